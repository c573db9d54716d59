-- What is read from a mail as a whole: reports, links, the hash that DKIM signs. And parts that are added.

local mq, private = ...

local error, type, ipairs, pairs, tonumber, tostring = error, type, ipairs, pairs, tonumber, tostring
local concat = table.concat
local find, gmatch, gsub, lower, match, sub, format, char =
  string.find, string.gmatch, string.gsub, string.lower, string.match, string.sub, string.format, string.char
local native, mime = private.mime, private.mail
local mail, mail_fields, type_of, text_of = mime.mail, mime.mail_fields, mime.type_of, mime.text_of
local hash, base64 = mq.hash, mq.base64

-- ---- reports ----

-- Is it in a message that is attached?
local function is_attached(self)
  local above = self.above
  while above do
    if above.kind == "message" then
      return true
    end
    above = above.above
  end
  return false
end

local function find_part(self, ...)
  for _, kind in ipairs({ ... }) do
    for _, one in ipairs(self.parts) do
      if type_of(one) == kind and not one.removed and not is_attached(one) then
        return one
      end
    end
  end
end

-- Groups of fields with empty lines between them: a list of tables of lists, names in small letters.
local function read_groups(self)
  local text, message, code = native.text(self.mail.source, self.body, self.stop, self.encoding, "utf-8")
  if not text then
    return nil, message, code
  end
  text = gsub(gsub(text, "\r\n", "\n"), "\n[ \t]+([^ \t\n])", " %1")
  local groups, group = {}, nil
  for line in gmatch(text .. "\n", "([^\n]*)\n") do
    local name, value = match(line, "^([^%s:]+)[ \t]*:[ \t]*(.*)$")
    if name then
      name = lower(name)
      if not group then
        group = {}
        groups[#groups + 1] = group
      end
      group[name] = group[name] or {}
      group[name][#group[name] + 1] = match(value, "^(.-)%s*$")
    elseif find(line, "^%s*$") then
      group = nil
    end
  end
  return groups
end

local function first(group, name)
  return group and group[name] and group[name][1]
end

-- The value behind a type: "rfc822; joe@example.com".
local function untyped(value)
  value = value and (match(value, "^[^;]*;%s*(.-)%s*$") or value)
  return value and (match(value, "^<(.*)>$") or value)
end

-- RFC 3461 writes some characters of an original recipient as +XX.
local function plain(value)
  value = untyped(value)
  return value and gsub(value, "%+(%x%x)", function(digits)
    return char(tonumber(digits, 16))
  end) or nil
end

-- The groups of fields in the part of one of those types; nil where there is none, or it cannot be read.
local function report_groups(self, ...)
  local one = find_part(self, ...)
  if not one then
    return nil
  end
  return read_groups(one)
end

-- The message that a report is about: the part in the part that has it, or nil.
local function returned(self)
  local one =
    find_part(self, "message/rfc822", "message/global", "text/rfc822-headers", "message/global-headers")
  return one and one.children and one.children[1].object
end

-- What a mail server says about a delivery (RFC 3464), or nil where the mail is no such report.
function mail_fields.delivery_report(self)
  local groups, message, code =
    report_groups(self, "message/delivery-status", "message/global-delivery-status")
  if not groups then
    return nil, message, code
  end
  local head = groups[1]
  local report = {
    reporting_mta = untyped(first(head, "reporting-mta")),
    envelope_id = first(head, "original-envelope-id"),
    arrival_date = first(head, "arrival-date"),
    fields = head or {},
    recipients = {},
    original = returned(self),
  }
  for _, group in ipairs(groups) do
    if group.action or group.status or group["final-recipient"] then
      report.recipients[#report.recipients + 1] = {
        recipient = untyped(first(group, "final-recipient")),
        original_recipient = plain(first(group, "original-recipient")),
        action = first(group, "action") and lower(first(group, "action")),
        status = match(first(group, "status") or "", "%d%.%d+%.%d+"),
        diagnostic = untyped(first(group, "diagnostic-code")),
        remote_mta = untyped(first(group, "remote-mta")),
        fields = group,
      }
    end
  end
  return report
end

-- What a mailbox provider says about a complaint (RFC 5965), or nil where the mail is no such report.
function mail_fields.feedback_report(self)
  local groups, message, code = report_groups(self, "message/feedback-report")
  if not groups then
    return nil, message, code
  end
  local fields = groups[1] or {}
  local function address(value)
    return value and (match(value, "<([^>]*)>") or value)
  end
  local recipients = {}
  for i, value in ipairs(fields["original-rcpt-to"] or {}) do
    recipients[i] = address(value)
  end
  return {
    type = first(fields, "feedback-type") and lower(first(fields, "feedback-type")),
    user_agent = first(fields, "user-agent"),
    source_ip = first(fields, "source-ip"),
    sender = address(first(fields, "original-mail-from")),
    recipients = recipients,
    arrival_date = first(fields, "arrival-date") or first(fields, "received-date"),
    domains = fields["reported-domain"] or {},
    links = fields["reported-uri"] or {},
    fields = fields,
    original = returned(self),
  }
end

-- ---- links ----

local attributes = { href = true, src = true, action = true, formaction = true, background = true }
local entities =
  { amp = "&", lt = "<", gt = ">", quot = '"', apos = "'", colon = ":", sol = "/", period = "." }

local function without_entities(text)
  text = gsub(text, "&#[xX](%x+);?", function(digits)
    local number = tonumber(digits, 16)
    return number < 128 and char(number) or nil
  end)
  text = gsub(text, "&#(%d+);?", function(digits)
    local number = tonumber(digits)
    return number < 128 and char(number) or nil
  end)
  return (gsub(text, "&(%a+);?", entities))
end

local function add_link(list, link)
  link = gsub(link, "[\t\r\n]", "")
  if not find(lower(link), "^%s*[hf]t?tps?://.") and not find(link, "^%s*//.") then
    return
  end
  link = match(link, "^%s*(.-)%s*$")
  if not list[link] then
    list[link] = true
    list[#list + 1] = link
  end
end

local function add_links_of_text(list, text)
  for link in gmatch(text, '%f[%w][hHfF][tT]?[tT][pP][sS]?://[^%s<>"]+') do
    link = match(link, "^(.-)[.,;:!?'%]]*$")
    if sub(link, -1) == ")" and not find(link, "(", 1, true) then
      link = match(link, "^(.-)[.,;:!?')%]]*$")
    end
    add_link(list, link)
  end
end

local function add_links_of_html(list, html)
  local small = lower(html)
  for name, quote, at in gmatch(small, "%f[%w](%a+)%s*=%s*([\"']?)()") do
    if attributes[name] then
      local value = match(html, quote == '"' and '^[^"]*' or quote == "'" and "^[^']*" or "^[^%s>]*", at)
      add_link(list, without_entities(value))
    end
  end
  add_links_of_text(list, without_entities(gsub(html, "<[^>]*>", " ")))
end

-- The links in all texts and HTML that are no attachments, each once.
function mail_fields.links(self)
  local list = {}
  for _, one in ipairs(self.parts) do
    local kind = type_of(one)
    local is_text = one.kind == "leaf" and not one.removed and (kind == "text/plain" or kind == "text/html")
    if is_text and not mime.is_attachment(one) then
      local text, message, code = text_of(one)
      if not text then
        return nil, message, code
      end
      if kind == "text/html" then
        add_links_of_html(list, text)
      else
        add_links_of_text(list, text)
      end
    end
  end
  local plain_list = {}
  for i, link in ipairs(list) do
    plain_list[i] = link
  end
  return plain_list
end

-- ---- DKIM ----

-- mail:body_hash(options): what a DKIM-Signature has as bh. options: canonicalization ("relaxed", or
-- "simple"), algorithm ("sha256", or "sha1"), length (of l, in bytes).
function mail.body_hash(object, options)
  local self = mime.self_of(object, "mail:body_hash")
  options = options or {}
  local way, algorithm = options.canonicalization or "relaxed", options.algorithm or "sha256"
  if way ~= "relaxed" and way ~= "simple" then
    error('mail:body_hash: canonicalization is "relaxed" or "simple"', 2)
  end
  if algorithm ~= "sha256" and algorithm ~= "sha1" then
    error('mail:body_hash: algorithm is "sha256" or "sha1"', 2)
  end
  local body, message, code = native.canonical(self.source, self.parts[1].body, nil, nil, way)
  if not body then
    return nil, message, code
  end
  if options.length then
    body = sub(body, 1, options.length)
  end
  return base64.encode(hash[algorithm](body, { raw = true }))
end

-- ---- a part more ----

local function is_in(source, text)
  return source:find(text, 1, true) ~= nil
end

local function new_boundary(source)
  local number = 0
  while is_in(source, format("=_part_%d_", number)) do
    number = number + 1
  end
  return format("=_part_%d_", number)
end

local function header_of_part(options, is_text, ascii)
  local kind = options.type or is_text and "text/plain" or "application/octet-stream"
  if is_text then
    kind = native.with_parameter(kind, false, "charset", "utf-8")
  end
  local encoding = not is_text and "base64" or ascii and "7bit" or "quoted-printable"
  local header = "Content-Type: "
    .. match(kind, "^%s*(.-)%s*$")
    .. "\r\nContent-Transfer-Encoding: "
    .. encoding
    .. "\r\n"
  if options.filename or options.disposition then
    local value = native.with_parameter(
      options.disposition or "attachment",
      true,
      options.filename and "filename",
      options.filename
    )
    header = header .. "Content-Disposition: " .. match(value, "^%s*(.-)%s*$") .. "\r\n"
  end
  return header, encoding
end

-- Makes the root a multipart/mixed with what it was as its part.
local function wrap(self)
  local root = self.parts[1]
  local moved, boundary = {}, new_boundary(self.source)
  for _, one in ipairs(native.fields(self.source, root.header, root.body)) do
    if find(lower(one.name), "^content%-") then
      moved[#moved + 1] = mime.take_field(root, one.name)
    end
  end
  mime.set_field(root, "Content-Type", 'multipart/mixed; boundary="' .. boundary .. '"')
  if not mime.header_of(root, "mime-version") then
    mime.set_field(root, "MIME-Version", "1.0")
  end
  local inner = "--" .. boundary .. "\r\n" .. concat(moved) .. "\r\n"
  mime.splice(self, root.body, root.body, inner)
  local size = #self.source
  local ends = self.source:sub(-1) == "\n" and "" or "\r\n"
  mime.splice(self, size, size, ends .. "--" .. boundary .. "--\r\n")
end

local known = { type = true, content = true, filename = true, disposition = true }

-- mail:add_part{type =, content =, filename =, disposition =}: adds a part at the end. The mail is taken
-- apart again: parts that were taken from it before are no longer its own.
function mail.add_part(object, options)
  local self = mime.self_of(object, "mail:add_part")
  if type(options) ~= "table" or type(options.content) ~= "string" then
    error("mail:add_part takes a table with content, a string", 2)
  end
  for key, value in pairs(options) do
    if not known[key] or type(value) ~= "string" then
      error("mail:add_part: '" .. tostring(key) .. "' is no option, or no text", 2)
    end
  end
  if mime.is_sealed(self.parts[1]) then
    return nil, "the mail is signed or encrypted: a change would break that", "signed"
  end
  local is_text = sub(lower(options.type or (options.filename and "" or "text/plain")), 1, 5) == "text/"
  local content = is_text and mime.with_crlf(options.content) or options.content
  local header, encoding = header_of_part(options, is_text, mime.is_plain(content, false))
  local body = encoding == "7bit" and content or mime.encoded(content, encoding)
  local root = self.parts[1]
  if root.kind ~= "multipart" or type_of(root) ~= "multipart/mixed" then
    wrap(self)
    local good, message, code = mime.again(self)
    if not good then
      return nil, message, code
    end
    root = self.parts[1]
  end
  local line = "--" .. root.type_parameters.boundary .. "\r\n"
  local before = self.source:sub(root.close, root.close) == "\n" and "" or "\r\n"
  local text = before .. line .. header .. "\r\n" .. body .. "\r\n"
  if not root.closed then
    text = text .. "--" .. root.type_parameters.boundary .. "--\r\n"
  end
  mime.splice(self, root.close, root.close, text)
  return mime.again(self)
end
