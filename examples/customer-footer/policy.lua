-- Adds a footer to what customers send: to text and HTML, in the charset and encoding of each.

local footers = assert(mq.json.decode(mq.file("footers.json"))) -- by the sender's domain

mq.on("smtp_in_message", function(connection, message)
  local footer = footers[message.envelope.domain or ""]
  if not footer then
    return nil
  end
  local mail = message:parts()
  local added, problem = nil, "it has no content"
  if mail then
    added, problem = mail:append_text("\n-- \n" .. footer .. "\n")
  end
  if not added then
    message:tag("no-footer")
    mq.log.info("no footer for %s: %s", message.recipient, problem)
  end
end)
