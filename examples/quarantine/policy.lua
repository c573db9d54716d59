-- Puts dangerous mail aside for a human, and drops what nobody wants to read.

local QUARANTINE = "quarantine@example.com"

-- Mail that claims to come from us but came from outside.
local ours = mq.set("ours.txt")

mq.on("smtp_in_message", function(connection, message)
  local from = message:header("From") or ""
  local domain = from:match("@([%w.-]+)>?%s*$")
  if not connection.is_authenticated and domain and ours:contains(domain) then
    return mq.quarantine(QUARANTINE, "claims to be from " .. domain)
  end
end, { name = "forged sender" })

-- Attachments that start programs.
local dangerous = mq.set("extensions.txt")

mq.on("smtp_in_message", function(connection, message)
  for extension in message.mime:gmatch('name%*?="?[^"\r\n]*%.(%w+)"?[;\r\n]') do
    if dangerous:contains(extension) then
      return mq.quarantine(QUARANTINE, "attachment ." .. extension:lower())
    end
  end
end, { name = "attachments", on_error = mq.quarantine(QUARANTINE, "could not be examined") })

-- Automatic replies to a mailbox that nobody reads. Bounces are dropped silently: answering them could start
-- a loop.
mq.on("smtp_in_message", function(connection, message)
  local automatic = message.envelope.is_null or (message:header("Auto-Submitted") or "no"):lower() ~= "no"
  if automatic and message.recipient.localpart == "noreply" then
    return mq.discard("automatic reply to noreply")
  end
end, { name = "replies to noreply" })
