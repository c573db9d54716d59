-- One handler for each event, and each says in the log what it decided: quickstart.sh shows it.

local mailboxes = mq.set("mailboxes.txt")
local users = mq.map("users.txt") -- login, blanks, hashed password

local function say(event, format, ...)
  mq.log.info("%-12s " .. format, event, ...)
end

mq.on("smtp_in_connect", function(connection)
  say("connect", "%s may speak to us", connection.remote_ip)
end)

mq.on("smtp_in_secure", function(connection)
  say("secure", "the line is encrypted")
end)

mq.on("smtp_in_authenticate", function(connection, login, password)
  local hash = users:get(login)
  -- The check takes a helper thread some hundredths of a second; this worker serves others meanwhile.
  if hash and password and connection.is_secure and mq.password.verify(password, hash) then
    say("authenticate", "%s has the right password", login)
    return mq.accept()
  end
  say("authenticate", "%s may not log in", login)
  return mq.deny()
end)

mq.on("smtp_in_mailfrom", function(connection, address)
  if address.is_null then
    say("mailfrom", "the null sender: a bounce")
  elseif address.domain == "example.com" and not connection.is_authenticated then
    say("mailfrom", "%s is refused: one of us, without a login", address)
    return mq.reject(550, "5.7.1", "Log in to send as example.com")
  else
    say("mailfrom", "%s may send", address)
  end
end)

mq.on("smtp_in_rcptto", function(connection, address)
  if connection.is_authenticated or mailboxes:lookup(address) then
    say("rcptto", "%s is taken", address)
    return nil
  end
  say("rcptto", "%s is refused: no such mailbox", address)
  return mq.reject(550, "5.1.1", "No such mailbox here")
end)

mq.on("smtp_in_data", function(connection, chunk)
  local vars = connection.transaction.vars
  vars.pieces, vars.bytes = (vars.pieces or 0) + 1, (vars.bytes or 0) + #chunk
end, { chunks = true })

mq.on("smtp_in_message", function(connection, message)
  local json, vars = message.json, connection.transaction.vars
  if connection.login then
    message:tag("customer")
    json.pool = "customers"
    json.customer = { login = connection.login } -- a key of our own, which comes back in the result queues
  else
    message:tag(message.envelope.is_null and "bounce" or "inbound")
  end
  if message:header("Precedence") == "bulk" then
    message:expire(4 * 3600) -- seconds from now
    json.pool = "bulk"
  end
  say(
    "message",
    "to %s: tag %s, bytes: %d, pieces: %d",
    message.recipient,
    json.tags[1],
    vars.bytes,
    vars.pieces
  )
end)

mq.on("smtp_in_close", function(connection)
  say("close", "it was a pleasure")
end)

mq.on("smtp_out_data", function(connection, message)
  -- Only to texts that it does not break: examples/footer has the whole of it.
  if not message:header("Content-Type") and not message:header("DKIM-Signature") then
    message.mime = message.mime:append("-- \r\nSent by MailerQ, with a footer from Lua\r\n")
    say("out_data", "%s gets a footer", message.recipient)
  end
end)

mq.on("smtp_out_sent", function(connection, message)
  say("out_sent", "%s: the content is on its way", message.recipient)
end)
