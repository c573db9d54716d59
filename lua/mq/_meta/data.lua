---@meta mq.data

-- Data files, networks, passwords.

---@class mq.set
---@operator len: integer
local set = {}

---@param key string?
---@return boolean
function set:contains(key) end

---Is user@domain there, or @domain?
---@param address string | mq.address | nil
---@return boolean
function set:lookup(address) end

---@class mq.map
---@operator len: integer
local map = {}

---@param key string?
---@return string?
function map:get(key) end

---@param key string?
---@return boolean
function map:contains(key) end

---The value of user@domain, else of @domain.
---@param address string | mq.address | nil
---@return string?
function map:lookup(address) end

---@class mq.cidr
local cidr = {}

---@param ip string?
---@return boolean
function cidr:contains(ip) end

---The text of a data file, relative to the policy's folder.
---@param path string
---@return string
function mq.file(path) end

---A data file with one key a line.
---@param path string
---@return mq.set
function mq.set(path) end

---A data file with a key and a value a line.
---@param path string
---@return mq.map
function mq.map(path) end

---A set of networks and addresses.
---@param list string[] | string
---@return mq.cidr
function mq.cidr(list) end

---@class mq.password
mq.password = {}

---Waits. True or false; or nil, a message and a code.
---@param password string
---@param hash string
---@return boolean? right
---@return string? message
---@return "unusable" | "expensive" | "busy" | nil code
function mq.password.verify(password, hash) end
