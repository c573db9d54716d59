-- Takes mail only for mailboxes that exist, and refuses to relay for strangers.

local domains = mq.set("domains.txt") -- the domains that end here
-- One address a line; @example.com alone takes everything of that domain.
local mailboxes = mq.set("mailboxes.txt")

-- Should this policy ever fail, mail waits at its sender: nothing bounces and nothing unknown comes in.
mq.configure({
  on_error = { smtp_in_rcptto = mq.tempfail(451, "4.3.0", "Temporary problem, please try again") },
})

-- "jane+shop@example.com" is delivered to "jane@example.com".
local function without_tag(address)
  return address.localpart:gsub("%+.*", "") .. "@" .. address.domain
end

mq.on("smtp_in_rcptto", function(connection, address)
  if connection.is_authenticated then
    return nil -- our own users may write to anybody
  elseif not domains:contains(address.domain) then
    return mq.reject(550, "5.7.1", "We do not relay")
  elseif not mailboxes:lookup(address) and not mailboxes:lookup(without_tag(address)) then
    return mq.reject(550, "5.1.1", "No such mailbox here")
  end
end)
