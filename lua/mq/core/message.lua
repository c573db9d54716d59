-- The methods of messages that are written in Lua: helpers for shapes of MailerQ's JSON that are easy to get
-- wrong.
-- They only touch message.json, so they are staged like everything else that a handler writes.

local mq, private = ...

local error, type, tostring, date = error, type, tostring, os.date
local table_remove = table.remove
local find, lower, now, null, array, object = string.find, string.lower, mq.now, mq.null, mq.array, mq.object
local methods = private.message_methods
local check_headers, forget = private.header.check, private.header.forget
local encode, add_field = private.header.encode, private.header.add_field

local function check_seconds(seconds, name)
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 or seconds > 366 * 86400 then
    error(name .. " takes a number of seconds, 0 or more", 3)
  end
end

-- MailerQ parses times strictly: UTC, YYYY-MM-DD HH:MM:SS.
local function time_in(seconds)
  return date("!%Y-%m-%d %H:%M:%S", now() + seconds)
end

-- The names that message:headers() returns, and no others: MailerQ would leave such a field out, or break the
-- header.
local function check_header_name(name)
  if type(name) ~= "string" or not find(name, "^[!-9;-~]+$") then
    error("a header name must be printable characters without blanks and colon, got " .. tostring(name), 3)
  end
end

-- message:add_dkim{domain =, selector =, key =, ...}: signs with one more key.
function methods.add_dkim(message, key)
  if
    type(key) ~= "table"
    or type(key.domain) ~= "string"
    or type(key.selector) ~= "string"
    or type(key.key) ~= "string"
  then
    error("message:add_dkim takes a table with the strings domain, selector and key", 2)
  end
  local json = message.json
  local dkim = json.dkim
  if dkim == nil or dkim == null then
    json.dkim = array({ key })
  elseif #dkim == 0 and dkim.domain ~= nil then
    json.dkim = array({ dkim, key })
  else
    dkim[#dkim + 1] = key
  end
end

-- message:delay(seconds): not before then. Versions up to 5.3 read "delayed", later ones "nextattempt"; each
-- ignores
-- the other's.
function methods.delay(message, seconds)
  check_seconds(seconds, "message:delay")
  local json = message.json
  json.delayed = time_in(seconds)
  json.nextattempt = { time = json.delayed }
end

-- message:expire(seconds): give up after then.
function methods.expire(message, seconds)
  check_seconds(seconds, "message:expire")
  message.json.maxdelivertime = time_in(seconds)
end

local function header_edits(message)
  local json = message.json
  local headers = json.headers
  if type(headers) ~= "table" then
    json.headers = object({})
    headers = json.headers
  end
  return headers
end

-- Adds to what is nil, one value, or a list.
local function add_value(holder, key, value)
  local old = holder[key]
  if old == nil or old == null then
    holder[key] = value
  elseif type(old) == "table" then
    old[#old + 1] = value
  else
    holder[key] = array({ old, value })
  end
end

-- Takes a name off the fields to remove. Was it one of them?
local function keep_name(headers, name)
  local remove, there = headers.remove, false
  if type(remove) == "string" then
    remove = array({ remove })
    headers.remove = remove
  end
  for i = type(remove) == "table" and #remove or 0, 1, -1 do
    if type(remove[i]) == "string" and lower(remove[i]) == lower(name) then
      table_remove(remove, i)
      there = true
    end
  end
  return there
end

-- A line that is longer is no header of RFC 5322. Whether MailerQ would fold it is not known.
local LONGEST_LINE = 998

-- message:add_header(name, value): MailerQ adds the field when it sends the message. A field that has to be
-- folded is put into the content at once.
function methods.add_header(message, name, value)
  check_header_name(name)
  check_headers(message)
  if value == nil then
    return
  elseif type(value) ~= "string" and type(value) ~= "userdata" then
    error("a header value must be a string, got a " .. type(value), 2)
  end
  local text, headers, mime = encode(value), header_edits(message), message.mime
  if #name + #": " + #text > LONGEST_LINE and mime then
    message.mime = add_field(mime, name, text, keep_name(headers, name))
  else
    if type(headers.append) ~= "table" then
      headers.append = object({})
    end
    add_value(headers.append, name, text)
  end
end

-- message:remove_header(name): MailerQ removes every field of that name when it sends the message; those that
-- a handler has added are forgotten at once.
function methods.remove_header(message, name)
  check_header_name(name)
  check_headers(message)
  local headers = header_edits(message)
  forget(headers, name)
  add_value(headers, "remove", name)
end
