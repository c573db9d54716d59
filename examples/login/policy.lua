-- Logins against a file with hashed passwords, with a lock-out after too many failures.

local LOCK_FAILURES = 5 -- wrong passwords of one login from one address ...
local LOCK_SECONDS = 900 -- ... within so long lock it out

local users = mq.map("users.txt") -- login, blanks, hash
-- Of all workers together; when it is full, those that were counted longest ago go.
local failures = mq.shared("login.failures", { capacity = "8MB" })
local logins = mq.counter("logins", { labels = { "result" } })

-- Of a password nobody has: an unknown login must take as long as a wrong password, or names could be
-- guessed.
local nobody = "$y$j9T$KOSNuK0RPYIOyNwbgWGex0$iutMZt4.6mSUilxw.HIyvOkRWE2tLnPRjFs931s5OX6"

mq.on("smtp_in_authenticate", function(connection, login, password)
  if not (login and password and connection.is_secure) then
    logins:inc("refused")
    return mq.deny() -- no password over a line that others can read
  end

  local key = login:lower() .. " " .. (connection.remote_ip or "")
  if (failures:get(key) or 0) >= LOCK_FAILURES then
    logins:inc("locked")
    return mq.disconnect(421, "4.7.0", "Too many failed logins, try again later")
  end

  -- Before the check, which waits: guesses that come in parallel count, too. Each one begins the time anew.
  failures:incr(key, 1, 0, LOCK_SECONDS)
  failures:expire(key, LOCK_SECONDS)
  local right, problem = mq.password.verify(password, users:get(login) or nobody)
  if right == nil then
    mq.log.error("login %s cannot be checked: %s", login, problem)
  elseif right and users:contains(login) then
    failures:delete(key)
    logins:inc("right")
    return mq.accept()
  end
  logins:inc("wrong")
  return mq.deny()
end, { on_error = mq.deny() })

-- Nobody sends in our name without a login.
mq.on("smtp_in_mailfrom", function(connection, address)
  if address.domain == "example.com" and not connection.is_authenticated then
    return mq.reject(550, "5.7.1", "Log in to send as example.com")
  end
end)
