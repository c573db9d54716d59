---@meta mq.buffer

---An immutable view on bytes.
---@class mq.buffer
---@operator len: integer
---@operator concat(string | mq.buffer): string
local buffer = {}

---@param i? integer
---@param j? integer
---@return integer ...
function buffer:byte(i, j) end

---@param pattern string
---@param init? integer
---@param plain? boolean
---@return integer? first
---@return integer? last
---@return string ... captures
function buffer:find(pattern, init, plain) end

---@param pattern string
---@return fun(): string, ...
function buffer:gmatch(pattern) end

---@return integer
function buffer:len() end

---@return string
function buffer:lower() end

---@param pattern string
---@param init? integer
---@return string? ...
function buffer:match(pattern, init) end

---@param i integer
---@param j? integer
---@return string
function buffer:sub(i, j) end

---@return string
function buffer:tostring() end

---@return string
function buffer:upper() end
