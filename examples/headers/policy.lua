-- Edits header fields through MailerQ's own property "headers": the content itself is not touched, MailerQ
-- applies the
-- edits when it sends the message.

-- What mail programs tell about our users and our network.
local private_fields = { "X-Originating-IP", "X-Mailer", "User-Agent" }

mq.on("smtp_in_message", function(connection, message)
  local json = message.json

  for _, name in ipairs(private_fields) do
    if message:header(name) then
      message:remove_header(name)
    end
  end

  message:add_header("X-Message-ID", json["message-id"] or "unknown")

  -- Mailing lists: one click must be enough to leave (RFC 8058).
  local list = message:header("List-ID")
  if list and not message:header("List-Unsubscribe") then
    local name = list:match("<([%w.-]+)>") or "list"
    message:add_header("List-Unsubscribe", "<https://lists.example.com/leave/" .. name .. ">")
    message:add_header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")
  end
end)
