-- Makes life slow for clients that guess addresses, at no cost: a task that sleeps is a few hundred bytes,
-- and the
-- worker serves everybody else meanwhile.

local mailboxes = mq.set("mailboxes.txt")

local FREE = 2 -- so many unknown recipients in one connection cost nothing
local STEP = 0.5 -- seconds for the next, doubled each time ...
local LONGEST = 20 -- ... up to this
local MOST = 10 -- unknown recipients, then the client is sent away

-- How long a handler may wait in all; the usual 5 seconds are too short for this policy.
mq.configure({ deadline = { incoming = LONGEST + 5 } })

local seconds = mq.counter("tarpit_seconds", { help = "time that guessing clients were kept waiting" })

mq.on("smtp_in_rcptto", function(connection, address)
  if mailboxes:lookup(address) then
    return nil
  end
  local vars = connection.vars
  vars.unknown = (vars.unknown or 0) + 1
  if vars.unknown > MOST then
    return mq.disconnect(421, "4.7.0", "Too many unknown recipients")
  end
  if vars.unknown > FREE then
    local delay = math.min(STEP * 2 ^ (vars.unknown - FREE - 1), LONGEST)
    mq.sleep(delay)
    seconds:add(delay)
  end
  -- Taken all the same, and put where nobody reads it: a guesser learns nothing from the reply.
end)

mq.on("smtp_in_message", function(connection, message)
  if not mailboxes:lookup(message.recipient) then
    return mq.quarantine("unknown@example.com", "no such mailbox")
  end
  if (connection.vars.unknown or 0) > FREE then
    message:tag("from-guesser")
  end
end)
