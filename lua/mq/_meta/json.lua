---@meta mq.json

---@class mq.json
mq.json = {}

---The value; or nil and "line L, column C: ...".
---@param text string | mq.buffer
---@return any value
---@return string? error
function mq.json.decode(text) end

---@class mq.encode_options
---@field invalid? "replace" | "error" bytes that are no UTF-8
---@field pretty? boolean
---@field sort_keys? boolean

---Raises with the path for what JSON cannot hold.
---@param value any
---@param options? mq.encode_options
---@return string
function mq.json.encode(value, options) end

---Marks a table (default: a new one) as an array.
---@generic T: table
---@param table? T
---@return T
function mq.array(table) end

---Marks a table (default: a new one) as an object.
---@generic T: table
---@param table? T
---@return T
function mq.object(table) end
