-- How verdicts on messages are carried out: documented properties of MailerQ's JSON, nothing else.
-- Called by C with the message's JSON after the handler's own writes were committed.

local mq, private = ...

-- Not looked up when they are needed: a policy may have put something else there.
local null, array, object = mq.null, mq.array, mq.object

-- No queue of results but "results", which stays for the audit.
local function silence(json)
  local dsn = json.dsn
  if dsn == nil or dsn == null then
    json.dsn = { notify = "NEVER" }
  else
    dsn.notify = "NEVER"
  end
end

local function note(json, verdict, reason)
  json["mailerq-lua"] = { verdict = verdict, reason = reason, generation = private.generation() }
end

function private.discard(json, reason)
  silence(json)
  -- In the past: MailerQ gives up before the first attempt.
  json.maxdelivertime = "2000-01-01 00:00:00"
  local queues = json.queues
  if queues == nil or queues == null then
    json.queues = object({})
    queues = json.queues
  end
  queues.success, queues.failure, queues.retry, queues.dsn = null, null, null, null
  note(json, "discard", reason)
end

function private.quarantine(json, recipient, reason)
  note(json, "quarantine", reason)
  json["mailerq-lua"].recipient = json.recipient
  json.recipient = recipient
  local tags = json.tags
  if tags == nil or tags == null then
    json.tags = array({ "quarantine" })
  else
    tags[#tags + 1] = "quarantine"
  end
  -- What was meant for the original recipient must not steer the way to the quarantine.
  silence(json)
  json.smarthost, json.pool, json.ips = nil, nil, nil
end
