-- Writes a message when it is sent, from a template and the values in its JSON: the queue holds a few bytes
-- for each
-- message, and what is said is up to date.

local templates = { order = mq.file("order.eml"), code = mq.file("code.eml") }

-- No value may start a header field of its own.
local function clean(value)
  return (tostring(value):gsub("%c", " "))
end

-- Replaces {{name}} by the value of that name: the message's own, else ours.
local function fill(template, values, ours)
  return (
    template:gsub("{{([%w_]+)}}", function(name)
      local value = values[name] or ours[name]
      if type(value) ~= "string" and type(value) ~= "number" then
        error("there is no value for '" .. name .. "'")
      end
      return clean(value)
    end)
  )
end

mq.on("smtp_out_data", function(connection, message)
  local json = message.json
  local template = templates[json.template]
  if not template then
    return nil -- a message that brought its own content
  end
  message.mime = fill(template, json.values, {
    from = message.envelope.email,
    to = message.recipient.email,
    date = os.date("!%a, %d %b %Y %H:%M:%S +0000"),
  })
end, { on_error = mq.hold("the template could not be filled") }) -- better late than with {{name}} in it
