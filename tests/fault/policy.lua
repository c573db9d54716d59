-- A little of everything, for tests in which something fails at every place once. The localpart of the
-- recipient
-- says what happens.

local parts = require("parts")
local networks = mq.cidr({ "192.0.2.0/24", "2001:db8::/32" })
local names = mq.set("names.txt")
local map = mq.map("map.txt")
local seen = mq.counter("seen", { labels = { "what" }, help = "What was seen" })
local refused = mq.reject(550, "5.1.1", "No such user")
local ticks = 0

mq.configure({ on_error = { smtp_in_mailfrom = mq.tempfail(451, "4.3.0", "Later") } })
mq.every(0.002, function()
  ticks = ticks + 1
end)

mq.on("initialize", function()
  parts.note("initialize")
end)
mq.on("cleanup", function()
  parts.note("cleanup")
end)
mq.on("context_initialize", function(worker)
  parts.note("worker " .. worker.number)
end)
mq.on("context_cleanup", function(worker)
  parts.note("end of " .. worker.number)
end)

mq.on("smtp_in_connect", function(connection)
  connection.vars.at = mq.now()
  if connection.remote_ip and networks:contains(connection.remote_ip) then
    return mq.disconnect()
  end
end)

mq.on("smtp_in_authenticate", function(connection, login, password)
  if mq.password.verify(password, map:get(login)) then
    return mq.accept()
  end
  return mq.deny()
end)

mq.on("smtp_in_mailfrom", function(connection, address)
  seen:add(1, { what = "sender" })
  connection.vars.sender = address.email
  connection.vars.list = { 1, 2, { x = "y" } }
  if address.localpart == "waits" then
    mq.sleep(3)
  end
end)

mq.on("smtp_in_rcptto", function(connection, address)
  local what = address.localpart
  if what == "unknown" then
    return refused
  end
  if what == "again" then
    return mq.rerun()
  end
  if what == "only" then
    return mq.complete()
  end
  if what == "local" then
    address.is_local = true
  end
  if what == "tasks" then
    return parts.tasks(connection)
  end
  if what == "waits" then
    mq.sleep(0.001)
  end
  names:contains(what)
end, {
  name = "recipients",
  on_error = function(message)
    mq.sleep(0.001)
    if #message > 0 then
      return mq.tempfail(451, "4.3.0", "Later")
    end
  end,
})

mq.on("smtp_in_data", function(connection, chunk)
  local first = chunk:match("^[^\r\n]+")
  mq.sleep(0.001)
  connection.transaction.vars.first = first .. #chunk
end, { chunks = true })

mq.on("smtp_in_message", function(connection, message)
  local what = message.recipient.localpart
  if what == "discard" then
    return mq.discard("not wanted")
  end
  if what == "quarantine" then
    return mq.quarantine("box@example.net", "looks bad")
  end
  parts.edit(message)
  if what == "waits" then
    mq.sleep(0.001)
  end
  if what == "fails" then
    error({ code = 5 })
  end
end)

mq.on("smtp_in_close", function(connection)
  local sender = connection.vars.sender
  mq.sleep(0.001)
  mq.log.info("closed: %s, %d ticks", tostring(sender), ticks)
end)

mq.on("smtp_out_data", function(connection, message)
  if message.json.data.hold then
    return mq.hold("not now")
  end
  message.mime = "X-Out: 1\r\n" .. tostring(message.mime)
  message:tag("out")
  mq.sleep(0.001)
end)

mq.on("smtp_out_sent", function(connection, message)
  seen:add(1, { what = message.json.recipient })
end)
