-- Limits what one connection may do: messages a minute, recipients of a message, and bytes in all.

local MESSAGES = 30 -- a minute, on average ...
local BURST = 10 -- ... and so many at once
local RECIPIENTS = 50 -- of one message
local BYTES = 100 * 2 ^ 20 -- of one connection

local trusted = mq.cidr({ "10.0.0.0/8", "127.5.0.0/16" })

local slow_down = mq.tempfail(450, "4.7.1", "Too much mail at once, try again in a minute")
local too_many = mq.tempfail(452, "4.5.3", "Too many recipients, send to the others in another message")
local enough = mq.disconnect(421, "4.7.0", "Enough for one connection")

-- A token bucket: it fills with time, and every message takes one token.
local function take_token(vars)
  local now = mq.monotonic()
  local tokens = (vars.tokens or BURST) + (now - (vars.at or now)) * MESSAGES / 60
  vars.at = now
  vars.tokens = math.min(tokens, BURST)
  if vars.tokens < 1 then
    return false
  end
  vars.tokens = vars.tokens - 1
  return true
end

mq.on("smtp_in_mailfrom", function(connection, address)
  if trusted:contains(connection.remote_ip) then
    return nil
  elseif (connection.vars.bytes or 0) > BYTES then
    return enough
  elseif not take_token(connection.vars) then
    return slow_down
  end
end)

mq.on("smtp_in_rcptto", function(connection, address)
  if #connection.transaction.recipients > RECIPIENTS and not trusted:contains(connection.remote_ip) then
    return too_many
  end
end)

mq.on("smtp_in_data", function(connection, chunk)
  local vars = connection.vars
  vars.bytes = (vars.bytes or 0) + #chunk
end, { chunks = true })
