-- What clients, logins and customers may do, counted by all workers together.

local CLIENT_MESSAGES = 60 -- a minute from one address ...
local CLIENT_BURST = 20 -- ... of which so many at once
local LOGIN_MESSAGES = 300 -- an hour of one login
local CUSTOMER_RECIPIENTS = 10000 -- a day of one customer: all logins of a domain
local CONNECTIONS = 20 -- open at once from one address

local trusted = mq.cidr({ "10.0.0.0/8", "127.5.0.0/16" })
local clients = mq.ratelimit("client", { limit = CLIENT_MESSAGES, per = "minute", burst = CLIENT_BURST })
local logins = mq.ratelimit("login", { limit = LOGIN_MESSAGES, per = "hour", persist = true })
local customers = mq.quota("customer", { limit = CUSTOMER_RECIPIENTS, per = "day", persist = true })
local open = mq.concurrency("client", { limit = CONNECTIONS })

local too_many = mq.disconnect(421, "4.7.0", "Too many connections from your address")
local slow_down = mq.tempfail(450, "4.7.1", "Too much mail at once, try again in a minute")
local enough = mq.tempfail(452, "4.7.1", "The daily limit of your account is reached")

-- The customer is the domain of the login; nil, which is not limited, without one.
local function customer_of(login)
  return login and login:lower():match("@(.+)$")
end

mq.on("smtp_in_connect", function(connection)
  if not trusted:contains(connection.remote_ip) and not open:enter(connection, connection.remote_ip) then
    return too_many
  end
end)

mq.on("smtp_in_mailfrom", function(connection, address)
  if trusted:contains(connection.remote_ip) then
    return nil
  end
  local login = connection.login
  local taken
  if login then
    taken = logins:take(login:lower())
  else
    taken = clients:take(connection.remote_ip)
  end
  if not taken then
    return slow_down
  end
end)

mq.on("smtp_in_rcptto", function(connection, address)
  if not customers:take(customer_of(connection.login)) then
    return enough
  end
end)
