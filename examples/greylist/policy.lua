-- Greylisting: unknown senders are asked to come again, which mail servers do.

local DELAY = 300 -- seconds until a retry passes

local ours = mq.cidr({ "10.0.0.0/8", "127.5.0.0/16" }) -- networks that are never asked
local welcome = mq.set("welcome.txt") -- senders and @domains that are never asked
local grey = mq.greylist("inbound", { delay = DELAY, window = 2 * 86400 })

mq.on("smtp_in_rcptto", function(connection, address)
  local sender = connection.transaction.envelope
  if connection.is_authenticated or ours:contains(connection.remote_ip) or welcome:lookup(sender) then
    return nil
  end
  local passes, wait = grey:check(connection.remote_ip, sender, address)
  if not passes then
    return mq.tempfail(451, "4.7.1", ("Greylisted, try again in %d seconds"):format(math.ceil(wait)))
  end
end)
