-- Puts messages whose subject or text matches an expression of expressions.txt into quarantine. Subject and
-- text are what a reader sees: encodings and charsets hide nothing.

local QUARANTINE = "quarantine@example.com"

-- A line of the file is a name and an expression. A line that is neither that nor a comment is a mistake.
local names, list = {}, {}
for line in mq.file("expressions.txt"):gmatch("[^\r\n]+") do
  if not line:match("^#") then
    local entry = mq.re.match(line, [[^(?<name>[\w-]+)\h+(?<expression>.+)$]]) or error("no name: " .. line)
    names[#names + 1] = entry.name
    list[#list + 1] = entry.expression
  end
end
local bait = mq.re.set(list, "iu")

mq.on("smtp_in_message", function(connection, message)
  local mail, err = message:parts()
  if not mail then
    mq.log.warn("not searched: %s", err)
    return
  end
  -- Words that were broken into lines, or have markup in between, are put together.
  local html = mail.html and mq.re.gsub(mail.html, "<[^>]*+>", "")
  for _, text in ipairs({ mail.subject or "", mail.text or "", html or "" }) do
    local number, reason = bait:match(mq.re.gsub(text, [[\s++]], " ") or text)
    if number or reason then
      return mq.quarantine(QUARANTINE, number and "bait: " .. names[number] or reason)
    end
  end
end)
