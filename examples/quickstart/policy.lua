-- Each handler decides one thing, and says in the log what it decided.

local users = { demo = "opensesame" }
local retired = { ["retired.example"] = true }

mq.on("smtp_in_connect", function(connection)
  mq.log.info("connect: from %s", connection.remote_ip)
end)

mq.on("smtp_in_authenticate", function(connection, login, password)
  if connection.is_secure and password and users[login] == password then
    mq.log.info("authenticate: %s may come in", login)
    return mq.accept()
  end
  mq.log.info("authenticate: %s may not", login)
  return mq.deny()
end)

mq.on("smtp_in_mailfrom", function(_, address)
  mq.sleep(0.05) -- where a lookup would be; other connections go on meanwhile
  mq.log.info("mailfrom: %s", address)
end)

mq.on("smtp_in_rcptto", function(_, address)
  if retired[address.domain] then
    mq.log.info("rcptto: %s is refused", address)
    return mq.reject(550, "5.1.6", "This domain has moved")
  end
  mq.log.info("rcptto: %s is welcome", address)
end)

mq.on("smtp_in_message", function(connection, message)
  message:tag(connection.login and "customer" or "inbound")
  message:add_header("X-Policy", "quickstart")
  message.json.pool = connection.login and "customers" or "default"
  mq.log.info("message: \"%s\", %d bytes, to %s", message:header("Subject") or "", #message.mime, message.recipient)
end)

mq.on("smtp_out_data", function(_, message)
  local mime = tostring(message.mime)
  message.mime = "X-Delivered-By: mailerq-lua\r\n" .. mime
  mq.log.info("out_data: a header field for %s", message.recipient)
end)
