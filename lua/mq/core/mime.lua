-- mq.mime and message:parts(): mail taken apart.
--
-- A mail is a list of its parts. What is known of a mail or a part is in a table that a policy sees under no
-- name (the key "inside"); offsets count from 0 in the bytes that were taken apart.

local mq, private = ...

local error, type, tostring, setmetatable, rawget, rawset =
  error, type, tostring, setmetatable, rawget, rawset
local lower, find, sub, match = string.lower, string.find, string.sub, string.match
local native, methods = private.mime, private.message_methods
local scan, decode, decoded_size, to_text, field, fields, words, addresses =
  native.scan,
  native.decode,
  native.decoded_size,
  native.text,
  native.field,
  native.fields,
  native.words,
  native.addresses

local inside = {} -- the key

-- ---- objects ----

-- A metatable for objects with getters and methods.
local function class(name, getters, methods, text)
  return {
    __tostring = text,
    __index = function(object, key)
      local getter = getters[key]
      if getter then
        return getter(rawget(object, inside))
      end
      local method = methods[key]
      if method == nil and type(key) ~= "number" then
        error(name .. " has no field '" .. tostring(key) .. "'", 2)
      end
      return method
    end,
    __newindex = function(_, key)
      error(name .. "." .. tostring(key) .. " cannot be assigned", 2)
    end,
    __metatable = false,
  }
end

local part_fields, part, mail_fields, mail = {}, {}, {}, {}
local part_class = class("part", part_fields, part)
local mail_class = class("mail", mail_fields, mail, function(object)
  return tostring(rawget(object, inside).source)
end)

local function self_of(object, method)
  local self = type(object) == "table" and rawget(object, inside)
  if not self then
    error(method .. ": call it with a colon, as in part" .. sub(method, find(method, ":", 1, true), -1), 3)
  end
  return self
end

-- ---- parts ----

local function type_of(self)
  local kind = self.type
  if kind and kind ~= "" then
    return kind
  end
  local parent = self.above
  return parent and parent.type == "multipart/digest" and "message/rfc822" or "text/plain"
end

-- "multipart/mixed": what the part says of itself; text/plain where it says nothing.
function part_fields.type(self)
  return type_of(self)
end

-- "attachment", "inline", or nil.
function part_fields.disposition(self)
  local text = self.disposition
  return text ~= "" and text or nil
end

local function filename_of(self)
  local disposition, content = self.disposition_parameters, self.type_parameters
  local name = disposition and disposition.filename or content and content.name
  return name and match(name, '^"([^"]*)$') or name -- a quote that is not closed
end

-- The name that the sender gave it.
function part_fields.filename(self)
  return filename_of(self)
end

-- Of a text, as the sender spelt it but in small letters; nil: it says none.
local function charset_of(self)
  local content = self.type_parameters
  return content and content.charset and lower(content.charset)
end

function part_fields.charset(self)
  return charset_of(self)
end

-- Are the bytes of ASCII in this charset those of ASCII, wherever they stand?
local function is_compatible(charset)
  return not charset
    or not (
      find(charset, "^utf%-?7")
      or find(charset, "^utf%-?16")
      or find(charset, "^utf%-?32")
      or find(charset, "^ucs")
      or find(charset, "^iso%-?2022")
      or find(charset, "^hz")
    )
end

-- "base64", "quoted-printable", "uuencode", or "plain" for what is as it is.
function part_fields.encoding(self)
  return self.encoding
end

-- What is in it, decoded. nil, message, code beyond a limit.
function part_fields.bytes(self)
  return decode(self.mail.source, self.body, self.stop, self.encoding)
end

-- How many bytes that is.
function part_fields.size(self)
  if self.encoding == "plain" then
    return self.stop - self.body
  end
  local size, message, code = self.size_known, nil, nil
  if not size then
    size, message, code = decoded_size(self.mail.source, self.body, self.stop, self.encoding)
    self.size_known = size
  end
  return size, message, code
end

local function text_of(self)
  if sub(type_of(self), 1, 5) ~= "text/" then
    return nil
  end
  return to_text(self.mail.source, self.body, self.stop, self.encoding, charset_of(self))
end

-- The same as UTF-8, whatever the charset; nil for what is no text.
function part_fields.text(self)
  return text_of(self)
end

-- {name =, value =} of each field of its header, decoded.
function part_fields.headers(self)
  return fields(self.mail.source, self.header, self.body)
end

-- The parts of a multipart, and the message in a message.
function part_fields.parts(self)
  local list, children = {}, self.children
  for i = 1, children and #children or 0 do
    list[i] = children[i].object
  end
  return list
end

-- What it is in, or nil.
function part_fields.parent(self)
  return self.above and self.above.object
end

local function header_of(self, name, number)
  return (field(self.mail.source, self.header, self.body, name, number or 1))
end

local function check_name(name, where)
  if type(name) ~= "string" then
    error(where .. " takes the name of a header field", 3)
  end
  return name
end

-- part:header(name, n): the value of its n-th field of that name, decoded, or nil.
function part.header(object, name, number)
  return header_of(self_of(object, "part:header"), check_name(name, "part:header"), number)
end

local function addresses_of(self, name)
  local list, number = {}, 1
  local value = header_of(self, name, number)
  while value do
    local more, message, code = addresses(value)
    if not more then
      return nil, message, code
    end
    for i = 1, #more do
      list[#list + 1] = more[i]
    end
    number = number + 1
    value = header_of(self, name, number)
  end
  return list
end

-- part:addresses(name): {email =, name =, group =} of each address in its fields of that name.
function part.addresses(object, name)
  return addresses_of(self_of(object, "part:addresses"), check_name(name, "part:addresses"))
end

-- ---- mails ----

-- The message as a part.
function mail_fields.root(self)
  return self.parts[1].object
end

function mail_fields.subject(self)
  return header_of(self.parts[1], "subject")
end

function mail.header(object, name, number)
  local self = self_of(object, "mail:header")
  return header_of(self.parts[1], check_name(name, "mail:header"), number)
end

function mail.addresses(object, name)
  local self = self_of(object, "mail:addresses")
  return addresses_of(self.parts[1], check_name(name, "mail:addresses"))
end

local function is_attachment(self)
  return self.disposition == "attachment" or filename_of(self) ~= nil
end

-- Adds the texts that a reader is shown to list: one of each kind where there are alternatives.
local function collect(self, list)
  if self.kind == "leaf" then
    local kind = type_of(self)
    if (kind == "text/plain" or kind == "text/html") and not is_attachment(self) then
      list[#list + 1] = self
    end
    return
  end
  if self.kind ~= "multipart" or not self.children then
    return
  end
  local before, alternatives = #list, type_of(self) == "multipart/alternative"
  for i = 1, #self.children do
    collect(self.children[i], list)
    if #list > before and not alternatives then
      return
    end
  end
end

local function shown(self)
  if not self.shown then
    self.shown = {}
    collect(self.parts[1], self.shown)
  end
  return self.shown
end

local function shown_text(self, kind)
  local list = shown(self)
  for i = 1, #list do
    if type_of(list[i]) == kind then
      return text_of(list[i])
    end
  end
end

-- The text that a reader is shown, as UTF-8, and the same as HTML; nil where there is none.
function mail_fields.text(self)
  return shown_text(self, "text/plain")
end

function mail_fields.html(self)
  return shown_text(self, "text/html")
end

-- The parts that have a filename or are attachments, also those of attached messages.
function mail_fields.attachments(self)
  local list, parts = {}, self.parts
  for i = 1, #parts do
    if is_attachment(parts[i]) then
      list[#list + 1] = parts[i].object
    end
  end
  return list
end

-- Lists the parts of a mail in its object: all but multiparts and what was removed.
local function relist(self)
  local object, parts, count = self.object, self.parts, 0
  for i = 1, #parts do
    local one = parts[i]
    -- What is in a part that has a header alone is no part of the mail.
    local bare = one.above and find(one.above.type or "", "headers$")
    if one.kind ~= "multipart" and not bare and not one.removed then
      count = count + 1
      rawset(object, count, one.object)
    end
  end
  while object[count + 1] do
    object[count + 1] = nil
    count = count + 1
  end
end

-- Makes the mail of bytes that were taken apart.
local function fill(self, parts)
  self.parts = parts
  for i = 1, #parts do
    local one = parts[i]
    one.mail = self
    one.object = setmetatable({ [inside] = one }, part_class)
    local above = parts[one.parent]
    if above then
      one.above = above
      above.children = above.children or {}
      above.children[#above.children + 1] = one
    end
  end
  relist(self)
end

local function make(source, parts, message)
  local self = { source = source, message = message }
  local object = { [inside] = self }
  self.object = object
  fill(self, parts)
  return setmetatable(object, mail_class)
end

-- mq.mime.parse(bytes): the parts of a mail, a string or buffer.
local function take_apart(source, owner)
  local parts, message, code = scan(source)
  if not parts then
    return nil, message, code
  end
  return make(source, parts, owner)
end

local function parse(source)
  return take_apart(source)
end

mq.mime = { parse = parse, decode = words, addresses = addresses }

-- message:parts(): the parts of the message.
function methods.parts(message)
  local source = message.mime
  if source == nil then
    return nil, "the message has no mime", "missing"
  end
  return take_apart(source, message)
end

-- Takes a mail apart again after its structure was changed. Parts that a policy has keep what they had. nil,
-- message, code beyond a limit: then the mail is as it was taken apart before, and can be used no more.
local function again(self)
  local parts, message, code = scan(self.source)
  if not parts then
    return nil, message, code
  end
  local before = { source = self.source, parts = {} }
  for i = 1, #self.parts do
    self.parts[i].mail, self.parts[i].removed = before, true
  end
  self.shown = nil
  fill(self, parts)
  return true
end

private.mail = {
  part = part,
  mail = mail,
  mail_fields = mail_fields,
  type_of = type_of,
  text_of = text_of,
  charset_of = charset_of,
  header_of = header_of,
  shown = shown,
  self_of = self_of,
  relist = relist,
  is_compatible = is_compatible,
  is_attachment = is_attachment,
  again = again,
}
