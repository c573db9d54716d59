-- What tests/bench measures: seven handlers that do what those of a mail platform do. policy.c and policy.js
-- are the same
-- policy for a C plugin and for Haraka.

local refused = mq.cidr(mq.file("refused.txt"))
local partners = mq.cidr(mq.file("partners.txt"))
local senders = mq.set("senders.txt")
local recipients = mq.map("recipients.txt")
local customers = mq.map("customers.txt")

local from_here = mq.disconnect(421, "4.7.0", "Not from your network")
local blocked = mq.reject(550, "5.7.1", "Sender is blocked")
local moved = mq.reject(550, "5.1.6", "This mailbox has moved")
local too_many = mq.tempfail(452, "4.5.3", "Too many recipients")
local fine = mq.done()

mq.on("smtp_in_connect", function(connection)
  local ip = connection.remote_ip
  if refused:contains(ip) then
    return from_here
  end
  connection.vars.partner = partners:contains(ip)
end, { name = "client" })

mq.on("smtp_in_mailfrom", function(connection, address)
  if senders:lookup(address) then
    return blocked
  end
end, { name = "sender" })

mq.on("smtp_in_rcptto", function(connection, address)
  if recipients:lookup(address) == "moved" then
    return moved
  end
end, { name = "recipient" })

mq.on("smtp_in_rcptto", function(connection, address)
  local vars = connection.transaction.vars
  vars.recipients = (vars.recipients or 0) + 1
  if vars.recipients > 100 and not connection.vars.partner then
    return too_many
  end
end, { name = "count" })

mq.on("smtp_in_message", function(connection, message)
  local json = message.json
  message:tag(connection.vars.partner and "partner" or "public")
  if not (json["message-id"] and json.received and json.hostname) then
    message:tag("incomplete")
  end
  if connection.is_secure then
    message:tag("tls")
  end
end, { name = "classify" })

mq.on("smtp_in_message", function(connection, message)
  message.json.pool = customers:lookup(message.envelope) or "shared"
end, { name = "route" })

mq.on("smtp_in_message", function(connection, message)
  if recipients:lookup(message.recipient) == "trap" then
    return mq.quarantine("traps@platform.example", "spam trap")
  end
  return fine
end, { name = "verdict" })
