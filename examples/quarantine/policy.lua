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

-- Attachments that start programs. A name is what any program might take for it: decoded, each of several,
-- and without what Windows leaves out at its end.
local dangerous = mq.set("extensions.txt")

local function names_of(part)
  local names = { part.filename }
  for _, field in ipairs(part.headers) do
    if field.name:lower():match("^content%-") then
      for name in field.value:gmatch('[Nn][Aa][Mm][Ee][%d*]*%s*=%s*"?([^";]+)') do
        names[#names + 1] = mq.mime.decode(name)
      end
    end
  end
  return names
end

mq.on("smtp_in_message", function(connection, message)
  local mail, problem = message:parts()
  if not mail then
    return mq.quarantine(QUARANTINE, problem) -- more parts than anybody needs
  end
  for _, part in ipairs(mail) do
    for _, name in ipairs(names_of(part)) do
      local extension = name:gsub(":.*", ""):match("%.(%w+)[^%w]*$")
      if extension and dangerous:contains(extension) then
        return mq.quarantine(QUARANTINE, "attachment ." .. extension:lower())
      end
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
