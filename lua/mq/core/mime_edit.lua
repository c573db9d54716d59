-- Edits of a mail that was taken apart. Each puts some bytes in the place of others; all others stay as they
-- are. Then the offsets of all parts are moved.

local _, private = ...

local error, type, ipairs = error, type, ipairs
local find, gsub, lower, match, sub, byte =
  string.find, string.gsub, string.lower, string.match, string.sub, string.byte
local remove = table.remove
local native, mime = private.mime, private.mail
local part, mail, type_of, text_of, charset_of, shown, self_of =
  mime.part, mime.mail, mime.type_of, mime.text_of, mime.charset_of, mime.shown, mime.self_of
local field, recode, encode, decode = native.field, native.recode, native.encode, native.decode

-- ---- bytes ----

local begins = { "line", "header", "body" }
local ends = { "stop", "next", "close" }

-- Puts text in the place of the bytes between two offsets. What begins where nothing is replaced stays.
local function splice(self, from, to, text)
  self.source = native.splice(self.source, { from, to, text })
  local parts, delta, inserted = self.parts, #text - (to - from), from == to
  for i = 1, #parts do
    local one = parts[i]
    for k = 1, 3 do
      local at, stop = one[begins[k]], one[ends[k]]
      if at > to or at == to and not inserted then
        one[begins[k]] = at + delta
      end
      if stop >= to then
        one[ends[k]] = stop + delta
      end
    end
  end
  self.shown = nil
  if self.message then
    native.set_mime(self.message, self.source)
  end
end

-- Where a field can be added to the header of a part, and whether an empty line follows.
local function header_end(self)
  local source, body = self.mail.source, self.body
  local tail = source:sub(body - 1 > self.header and body - 1 or self.header + 1, body)
  local size = tail == "\r\n" and 2 or sub(tail, -1) == "\n" and 1 or 0
  local at = body - size
  if size > 0 and (at == self.header or source:byte(at) == 10) then
    return at, true
  end
  return body, false
end

local function remove_field(self, name, number)
  local _, from, to = field(self.mail.source, self.header, self.body, name, number)
  if from then
    splice(self.mail, from, to, "")
  end
  return from ~= nil
end

-- Sets a field in the header of a part; others of its name go.
local function set_field(self, name, value)
  local line = name .. ": " .. match(value, "^%s*(.-)%s*$") .. "\r\n"
  while remove_field(self, name, 2) do
  end
  local _, from, to = field(self.mail.source, self.header, self.body, name, 1)
  if from then
    splice(self.mail, from, to, line)
    return
  end
  local at, followed = header_end(self)
  if not followed then
    line = line .. "\r\n"
  end
  local is_body = at == self.body
  splice(self.mail, at, at, line)
  if is_body then
    self.body = at + #line
  end
end

-- ---- bodies ----

local function with_crlf(text)
  return (gsub(gsub(text, "\r\n", "\n"), "\n", "\r\n"))
end

local function is_ascii(text)
  return not find(text, "[\128-\255]")
end

-- Can it be in a message as it is, where bytes of 8 bits may be or not?
local function is_plain(bytes, eight)
  if find(bytes, "%z") or not eight and not is_ascii(bytes) then
    return false
  end
  local at = 1
  while true do
    local lf = find(bytes, "\n", at, true)
    if (lf or #bytes + 1) - at > 998 then
      return false
    end
    if not lf then
      return not find(gsub(bytes, "\r\n", ""), "\r", 1, true)
    end
    at = lf + 1
  end
end

-- The last line end of base64 means nothing, that of quoted-printable is one of the text unless it is soft.
local function encoded(bytes, encoding)
  if encoding == "base64" then
    return (gsub(gsub(encode(bytes, encoding), "\n$", ""), "\n", "\r\n"))
  end
  return (gsub(gsub(encode((gsub(bytes, "\r\n", "\n")), encoding), "=\n$", ""), "\n", "\r\n"))
end

-- How bytes are to be encoded in a part, and whether its header has to say so.
local function choose(self, bytes, is_text)
  local encoding = self.encoding
  if encoding == "base64" or encoding == "quoted-printable" and is_text then
    return encoding
  end
  if encoding == "plain" then
    local said = lower(field(self.mail.source, self.header, self.body, "content-transfer-encoding", 1) or "")
    if is_plain(bytes, find(said, "^8bit") or find(said, "^binary")) then
      return encoding
    end
  end
  return is_text and "quoted-printable" or "base64", true
end

-- Gives a part another body, of bytes that are to be encoded.
local function store(self, bytes, is_text)
  local encoding, changed = choose(self, bytes, is_text)
  if changed then
    set_field(self, "Content-Transfer-Encoding", encoding)
    self.encoding = encoding
  end
  local body = encoding == "plain" and bytes or encoded(bytes, encoding)
  local whole, last = self.mail, self.next == #self.mail.source
  local text = body
  if last and encoding == "base64" then
    text = text .. "\r\n"
  elseif self.next == self.stop and not last then
    text = text .. "\r\n" -- the line end that belongs to the boundary line
  end
  local _, followed = header_end(self)
  if not followed then
    splice(whole, self.body, self.body, "\r\n")
    self.body = self.body + 2
  end
  splice(whole, self.body, self.stop, text)
  self.stop = last and self.body + #text or self.body + #body
  self.size_known = nil
end

local function set_charset(self, charset)
  local value = field(self.mail.source, self.header, self.body, "content-type", 1) or "text/plain"
  set_field(self, "Content-Type", native.with_parameter(value, false, "charset", charset))
  self.type_parameters = self.type_parameters or {}
  self.type_parameters.charset = charset
  self.type = type_of(self)
end

-- Gives a part another text, in its charset if that has all of it.
local function store_text(self, text)
  local charset = charset_of(self)
  local bytes = is_ascii(text) and mime.is_compatible(charset) and text
  if not bytes and charset then
    bytes = recode(text, charset)
  end
  if not bytes then
    set_charset(self, "utf-8")
    bytes = text
  end
  store(self, bytes, true)
end

-- ---- what may be edited ----

local function check_text(text, where)
  if type(text) ~= "string" then
    error(where .. " takes a text, got " .. type(text), 3)
  end
  return text
end

local function check_there(self, where)
  if self.removed then
    error(where .. ": the part was removed", 3)
  end
  return self
end

-- ---- edits of a part ----

local function forget(self)
  self.removed = true
  local children = self.children
  for i = 1, children and #children or 0 do
    forget(children[i])
  end
end

-- part:replace_body(content): a text is given as UTF-8, anything else as bytes.
function part.replace_body(object, content)
  local self = check_there(self_of(object, "part:replace_body"), "part:replace_body")
  check_text(content, "part:replace_body")
  if self.kind ~= "leaf" then
    error("part:replace_body: a " .. type_of(self) .. " has parts, which can be replaced", 2)
  end
  if sub(type_of(self), 1, 5) == "text/" then
    store_text(self, with_crlf(content))
  else
    store(self, content, false)
  end
end

-- Where text goes in a text or in HTML: behind everything, or before the end of what is shown.
local function place(bytes, html)
  if not html then
    return #bytes
  end
  local small, at, last = lower(bytes), 0, nil
  for _, tag in ipairs({ "</body", "</html" }) do
    while true do
      at = find(small, tag, at + 1, true)
      if not at then
        break
      end
      last = at
    end
    if last then
      return last - 1
    end
    at = 0
  end
  return #bytes
end

local function inserted(bytes, text, html)
  local at = place(bytes, html)
  if not html and at > 0 and byte(bytes, at) ~= 10 then
    text = "\r\n" .. text
  end
  return sub(bytes, 1, at) .. text .. sub(bytes, at + 1), at, text
end

-- Adds text (UTF-8, CRLF) to a part, in its charset if that has all of it.
local function append(self, text, html)
  local charset = charset_of(self)
  local added = mime.is_compatible(charset) and (is_ascii(text) and text or charset and recode(text, charset))
  if not added then
    local now, message, code = text_of(self)
    if not now then
      return nil, message, code
    end
    store_text(self, (inserted(now, text, html)))
    return true
  end
  local bytes, message, code = decode(self.mail.source, self.body, self.stop, self.encoding)
  if not bytes then
    return nil, message, code
  end
  local whole, at, piece = inserted(bytes, added, html)
  local encoding, changed = choose(self, whole, true)
  if encoding == "plain" and not changed and self.next ~= self.stop then
    splice(self.mail, self.body + at, self.body + at, piece)
  else
    store(self, whole, true)
  end
  self.size_known = nil
  return true
end

-- part:append_text(text): adds text to a text, before the end of the body of HTML. nil, message, code beyond
-- a limit.
function part.append_text(object, text)
  local self = check_there(self_of(object, "part:append_text"), "part:append_text")
  check_text(text, "part:append_text")
  local kind = type_of(self)
  if self.kind ~= "leaf" or sub(kind, 1, 5) ~= "text/" then
    error("part:append_text: a " .. kind .. " is no text", 2)
  end
  return append(self, with_crlf(text), kind == "text/html")
end

-- part:remove(): it goes with its header and boundary line. The last one of a multipart becomes an empty
-- text.
function part.remove(object)
  local self = check_there(self_of(object, "part:remove"), "part:remove")
  local above, whole = self.above, self.mail
  if not above or above.kind ~= "multipart" then
    error("part:remove: a message itself cannot be removed; see mq.discard", 2)
  end
  local list = above.children
  if #list == 1 then
    local stop = self.next == self.stop and "\r\n" or ""
    splice(whole, self.header, self.stop, "Content-Type: text/plain\r\n\r\n" .. stop)
  else
    splice(whole, self.line, self.next, "")
  end
  forget(self)
  for i = 1, #list do
    if list[i] == self then
      remove(list, i)
      break
    end
  end
  mime.relist(whole)
end

-- ---- edits of a mail ----

local function is_sealed(self)
  local kind = type_of(self)
  return kind == "multipart/signed"
    or kind == "multipart/encrypted"
    or find(kind, "pkcs7-mime", 1, true) ~= nil
end

-- Is it, or something around it?
local function is_within_sealed(self)
  while self do
    if is_sealed(self) then
      return true
    end
    self = self.above
  end
  return false
end

local escapes = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ["\n"] = "<br>\n" }

local function to_html(text)
  return "<div>" .. gsub(gsub(text, "\r\n", "\n"), "[&<>\n]", escapes) .. "</div>\r\n"
end

-- mail:append_text(text, html): adds a footer to the text that a reader is shown, and to its HTML. nil,
-- message, code where the mail is signed or encrypted, or has no text.
function mail.append_text(object, text, html)
  local self = self_of(object, "mail:append_text")
  check_text(text, "mail:append_text")
  html = with_crlf(html and check_text(html, "mail:append_text") or to_html(text))
  text = with_crlf(text)
  local list = shown(self)
  for i = 1, #list do
    if is_within_sealed(list[i]) then
      return nil, "the mail is signed or encrypted: a change would break that", "signed"
    end
  end
  if is_sealed(self.parts[1]) then -- nothing of it is shown
    return nil, "the mail is signed or encrypted: a change would break that", "signed"
  end
  if #list == 0 then
    return nil, "the mail has no text that a reader is shown", "no text"
  end
  for i = 1, #list do
    local is_html = type_of(list[i]) == "text/html"
    local good, message, code = append(list[i], is_html and html or text, is_html)
    if not good then
      return nil, message, code
    end
  end
  return true
end

-- ---- for mime_reports.lua ----

-- Takes the first field of a name out of the header of a part, and returns it as it stood there.
local function take_field(self, name)
  local source = self.mail.source
  local _, from, to = field(source, self.header, self.body, name, 1)
  local text = source:sub(from + 1, to)
  splice(self.mail, from, to, "")
  return text
end

mime.splice, mime.set_field, mime.take_field = splice, set_field, take_field
mime.with_crlf, mime.is_plain, mime.encoded, mime.is_sealed = with_crlf, is_plain, encoded, is_sealed
