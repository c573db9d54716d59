-- Attachments that start programs go to a mailbox of a human, however their names are written.

local QUARANTINE = "quarantine@example.com"

local dangerous = mq.set("extensions.txt")

-- Windows ignores blanks and points at the end of a name.
local function extension_of(name)
  return name:match("%.([^.%s]+)[.%s]*$")
end

mq.on("smtp_in_message", function(connection, message)
  local mail, problem = message:parts()
  if not mail then
    return mq.quarantine(QUARANTINE, problem)
  end
  for _, part in ipairs(mail.attachments) do
    local extension = extension_of(part.filename or "")
    if extension and dangerous:contains(extension) then
      return mq.quarantine(QUARANTINE, "attachment ." .. extension:lower())
    end
  end
end, { name = "attachments", on_error = mq.quarantine(QUARANTINE, "could not be examined") })
