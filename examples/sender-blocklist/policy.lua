-- Refuses clients by network and senders by address or domain.

local networks = mq.cidr(mq.file("networks.txt"))
local senders = mq.set("senders.txt")

local refused = mq.counter("blocklist_refused", { labels = { "list" }, help = "refusals, by list" })

mq.on("smtp_in_connect", function(connection)
  if networks:contains(connection.remote_ip) then
    refused:inc("networks")
    return mq.disconnect(421, "4.7.0", "Your network is not welcome here")
  end
end)

-- The domain itself and all domains above it: "a.b.example" is blocked by "@b.example", too.
local function is_blocked(address)
  if senders:lookup(address) then
    return true
  end
  local domain = address.domain
  while domain do
    if senders:contains("@" .. domain) then
      return true
    end
    domain = domain:match("^[^.]+%.(.+)$")
  end
  return false
end

mq.on("smtp_in_mailfrom", function(connection, address)
  -- Bounces come from the null sender <>: they are never refused here.
  if not address.is_null and is_blocked(address) then
    refused:inc("senders")
    mq.log.info("sender %s from %s is blocked", tostring(address), connection.remote_ip or "?")
    return mq.reject(550, "5.7.1", "Mail from this sender is refused")
  end
end)
