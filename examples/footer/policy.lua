-- A line at the end of what our users send.

local OURS = "example.com"
local FOOTER = "\r\n-- \r\nExample Ltd, 1 Example Street, Exampleton\r\n"

-- Text at the end is read as text only where nothing is behind it, nothing is encoded, and no signature
-- counts it.
local function takes_footer(message)
  local kind = (message:header("Content-Type") or "text/plain"):lower()
  local encoding = (message:header("Content-Transfer-Encoding") or "7bit"):lower()
  local is_plain = kind:match("^text/plain$") or kind:match("^text/plain%s*;")
  local is_signed = message:header("DKIM-Signature") or message:header("ARC-Seal")
  return message.mime and is_plain and (encoding == "7bit" or encoding == "8bit") and not is_signed
end

mq.on("smtp_in_message", function(connection, message)
  if message.envelope.domain == OURS and takes_footer(message) then
    message.mime = message.mime:append(FOOTER)
  end
end)
