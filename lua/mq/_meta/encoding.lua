---@meta mq.encoding

-- Digests, encodings, random numbers.

---@class mq.digest_options
---@field raw? boolean bytes instead of hexadecimal digits

---@class mq.hash
mq.hash = {}

---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hash.md5(data, options) end

---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hash.sha1(data, options) end

---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hash.sha256(data, options) end

---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hash.sha512(data, options) end

---@class mq.hmac
mq.hmac = {}

---@param key string | mq.buffer
---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hmac.md5(key, data, options) end

---@param key string | mq.buffer
---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hmac.sha1(key, data, options) end

---@param key string | mq.buffer
---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hmac.sha256(key, data, options) end

---@param key string | mq.buffer
---@param data string | mq.buffer
---@param options? mq.digest_options
---@return string
function mq.hmac.sha512(key, data, options) end

---Compares in a time that does not tell where the two differ. nil is equal to nothing.
---@param a string | mq.buffer | nil
---@param b string | mq.buffer | nil
---@return boolean
function mq.equal(a, b) end

---@class mq.base64
mq.base64 = {}

---@param data string | mq.buffer
---@return string
function mq.base64.encode(data) end

---@param text string | mq.buffer
---@return string? data
---@return string? error
function mq.base64.decode(text) end

---@class mq.base64url
mq.base64url = {}

---@param data string | mq.buffer
---@param options? { pad?: boolean }
---@return string
function mq.base64url.encode(data, options) end

---@param text string | mq.buffer
---@return string? data
---@return string? error
function mq.base64url.decode(text) end

---@class mq.hex
mq.hex = {}

---@param data string | mq.buffer
---@return string
function mq.hex.encode(data) end

---@param text string | mq.buffer
---@return string? data
---@return string? error
function mq.hex.decode(text) end

---@class mq.quoted_printable
mq.quoted_printable = {}

---@param data string | mq.buffer
---@param options? { binary?: boolean }
---@return string
function mq.quoted_printable.encode(data, options) end

---@param text string | mq.buffer
---@return string
function mq.quoted_printable.decode(text) end

---@class mq.url
mq.url = {}

---@param data string | mq.buffer
---@param options? { form?: boolean }
---@return string
function mq.url.encode(data, options) end

---@param text string | mq.buffer
---@param options? { form?: boolean }
---@return string
function mq.url.decode(text, options) end

---@class mq.random
mq.random = {}

---@param count integer 1 to 1048576
---@return string
function mq.random.bytes(count) end

---So many random bytes (default 16) as base64url.
---@param count? integer 1 to 192
---@return string
function mq.random.token(count) end

---A whole number from low to high.
---@param low integer
---@param high integer
---@return integer
function mq.random.integer(low, high) end

---A random UUID (version 4).
---@return string
function mq.uuid() end
