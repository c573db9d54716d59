-- The methods of messages that are written in Lua: helpers for shapes of MailerQ's JSON that are easy to get
-- wrong.
-- They only touch message.json, so they are staged like everything else that a handler writes.

local mq, private = ...

local error, type, tostring, date = error, type, tostring, os.date
local find, now, null, array, object = string.find, mq.now, mq.null, mq.array, mq.object
local methods = private.message_methods

local function check_seconds(seconds, name)
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 or seconds > 366 * 86400 then
    error(name .. " takes a number of seconds, 0 or more", 3)
  end
end

-- MailerQ parses times strictly: UTC, YYYY-MM-DD HH:MM:SS.
local function time_in(seconds)
  return date("!%Y-%m-%d %H:%M:%S", now() + seconds)
end

-- Header text goes into the message as it is: a line end in it would start another field, or the body.
local function check_header_name(name, level)
  if type(name) ~= "string" or not find(name, "^[!-9;-~]+$") then
    error(
      "a header name must be printable characters without blanks and colon, got " .. tostring(name),
      level + 1
    )
  end
end

local function check_header_value(value)
  if type(value) ~= "string" or find(value, "[\r\n%z]") then
    error("a header value must be a string without CR, LF and NUL", 3)
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
  if headers == nil or headers == null then
    json.headers = object({})
    headers = json.headers
  end
  return headers
end

-- message:add_header(name, value): MailerQ adds the field when it sends the message.
function methods.add_header(message, name, value)
  check_header_name(name, 2)
  check_header_value(value)
  local headers = header_edits(message)
  local append = headers.append
  if append == nil then
    append = object({})
    headers.append = append
  end
  local old = append[name]
  if old == nil then
    append[name] = value
  elseif type(old) == "table" then
    old[#old + 1] = value
  else
    append[name] = array({ old, value })
  end
end

-- message:remove_header(name): MailerQ removes every field of that name when it sends the message.
function methods.remove_header(message, name)
  check_header_name(name, 2)
  local headers = header_edits(message)
  local remove = headers.remove
  if remove == nil then
    headers.remove = array({ name })
  elseif type(remove) == "string" then
    headers.remove = array({ remove, name })
  else
    remove[#remove + 1] = name
  end
end
