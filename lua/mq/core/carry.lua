-- How verdicts on messages are carried out: documented properties of MailerQ's JSON, nothing else.
-- Called by C with the message after the handler's own writes were committed.

local mq, private = ...

-- Not looked up when they are needed: a policy may have put something else there.
local null = mq.null

-- No queue of results but "results", which stays for the audit.
local function silence(json)
  local dsn = json.dsn
  if dsn == nil or dsn == null then
    json.dsn = { notify = "NEVER" }
  else
    dsn.notify = "NEVER"
  end
end

local function note(json, verdict, reason, recipient)
  json["mailerq-lua"] = { verdict = verdict, reason = reason, recipient = recipient, generation = private.generation() }
end

function private.discard(message, reason)
  local json = message.json
  silence(json)
  -- In the past: MailerQ gives up before the first attempt.
  json.maxdelivertime = "2000-01-01 00:00:00"
  local queues = json.queues
  if queues == nil or queues == null then
    json.queues = { success = null, failure = null, retry = null, dsn = null }
  else
    queues.success, queues.failure, queues.retry, queues.dsn = null, null, null, null
  end
  note(json, "discard", reason)
end

function private.quarantine(message, recipient, reason)
  local json = message.json
  note(json, "quarantine", reason, json.recipient)
  json.recipient = recipient
  message:tag("quarantine")
  -- What was meant for the original recipient must not steer the way to the quarantine.
  silence(json)
  json.smarthost, json.pool, json.ips = nil, nil, nil
end
