-- Mail to recipients that bounced is not sent again: by a file, and by a list that grows while MailerQ runs.

local DAYS = 90 -- that an address stays on the list after its last bounce

local fixed = mq.set("suppressed.txt") -- never
local bounced = mq.shared("suppressed", { capacity = "32MB", persist = true }) -- by bounces, of all workers
local added = mq.counter("suppressed_added", { help = "Addresses that bounces put on the list" })

-- The mailbox as a key: one spelling for each.
local function key_of(address)
  return address.email and address.domain and address.email:lower() or ""
end

-- Returned mail comes to bounces+user=domain@example.com (VERP), from the null sender.
local function original_of(address)
  local user, domain = (address.localpart or ""):match("^bounces%+(.+)=([%w.-]+)$")
  return user and (user .. "@" .. domain):lower()
end

mq.on("smtp_in_rcptto", function(connection, address)
  local envelope = connection.transaction.envelope
  local original = original_of(address)
  if original and envelope and envelope.is_null then
    bounced:set(original, true, DAYS * 86400)
    added:inc()
    return nil
  end
  if fixed:lookup(address) or bounced:get(key_of(address)) then
    return mq.reject(550, "5.1.1", "This address is on the suppression list: mail to it has bounced")
  end
end)
