---@meta mq.shared

-- What all workers share.

---@alias mq.shared.key string | number | mq.buffer | mq.address
---@alias mq.shared.value string | number | boolean | integer | mq.buffer

---@class mq.shared
local shared = {}

---@param key mq.shared.key
---@return any value
---@return integer | string | nil flags or a message
function shared:get(key) end

---@param key mq.shared.key
---@return any value
---@return integer | string | nil flags
---@return boolean? stale
function shared:get_stale(key) end

---@param key mq.shared.key
---@param value mq.shared.value?
---@param exptime number?
---@param flags integer?
---@return boolean? success
---@return string? message
---@return boolean? forcible
function shared:set(key, value, exptime, flags) end

---@param key mq.shared.key
---@param value mq.shared.value?
---@param exptime number?
---@param flags integer?
---@return boolean? success
---@return string? message
function shared:safe_set(key, value, exptime, flags) end

---@param key mq.shared.key
---@param value mq.shared.value
---@param exptime number?
---@param flags integer?
---@return boolean? success
---@return string? message
---@return boolean? forcible
function shared:add(key, value, exptime, flags) end

---@param key mq.shared.key
---@param value mq.shared.value
---@param exptime number?
---@param flags integer?
---@return boolean? success
---@return string? message
function shared:safe_add(key, value, exptime, flags) end

---@param key mq.shared.key
---@param value mq.shared.value
---@param exptime number?
---@param flags integer?
---@return boolean? success
---@return string? message
---@return boolean? forcible
function shared:replace(key, value, exptime, flags) end

---@param key mq.shared.key
---@return boolean? success
function shared:delete(key) end

---@param key mq.shared.key
---@param step number
---@param init number?
---@param init_ttl number?
---@return number? value
---@return string? message
---@return boolean? forcible
function shared:incr(key, step, init, init_ttl) end

---@param key mq.shared.key
---@param fn fun(value: any): any
---@param exptime number?
---@return any value
---@return string? message
function shared:update(key, fn, exptime) end

---@param key mq.shared.key
---@return number? seconds
---@return string? message
function shared:ttl(key) end

---@param key mq.shared.key
---@param exptime number
---@return boolean? success
---@return string? message
function shared:expire(key, exptime) end

---@param key mq.shared.key
---@param value string | number
---@return integer? length
---@return string? message
function shared:lpush(key, value) end

---@param key mq.shared.key
---@param value string | number
---@return integer? length
---@return string? message
function shared:rpush(key, value) end

---@param key mq.shared.key
---@return string | number | nil value
---@return string? message
function shared:lpop(key) end

---@param key mq.shared.key
---@return string | number | nil value
---@return string? message
function shared:rpop(key) end

---@param key mq.shared.key
---@return integer? length
---@return string? message
function shared:llen(key) end

---@param max integer?
---@return string[]
function shared:keys(max) end

---@param max integer?
---@return string[]
function shared:get_keys(max) end

function shared:flush_all() end

---@param max integer?
---@return integer
function shared:flush_expired(max) end

---@return integer bytes
function shared:capacity() end

---@return integer bytes
function shared:free_space() end

---A dictionary that all workers share; declared while the policy loads.
---@param name string
---@param options {capacity: (integer | string)?, persist: boolean?}?
---@return mq.shared
function mq.shared(name, options) end

---@class mq.ratelimit
local ratelimit = {}

---@param key mq.shared.key?
---@param count number?
---@return boolean taken
---@return number left_or_wait
function ratelimit:take(key, count) end

---@class mq.quota
local quota = {}

---@param key mq.shared.key?
---@param count number?
---@return boolean taken
---@return number left_or_wait
function quota:take(key, count) end

---@class mq.concurrency
local concurrency = {}

---@param connection mq.connection
---@param key mq.shared.key?
---@return boolean entered
---@return integer open
function concurrency:enter(connection, key) end

---@param connection mq.connection
---@param key mq.shared.key?
---@return boolean had
function concurrency:leave(connection, key) end

---@class mq.greylist
local greylist = {}

---@param ip string?
---@param envelope mq.address | string | nil
---@param recipient mq.address | string | nil
---@return boolean passes
---@return number? wait
function greylist:check(ip, envelope, recipient) end

---Keeps what a function returned for calls with the same arguments.
---@generic F: function
---@param fn F
---@param options {ttl: number?, negative_ttl: number?, stale: number?, scope: ("worker" | "process")?, capacity: (integer | string)?}?
---@return F
function mq.memoize(fn, options) end

---@alias mq.on_failure "allow" | "refuse" | "local"

---A rate that all workers count together.
---@param name string
---@param options {limit: number, per: string | number | nil, burst: number?, persist: boolean?, capacity: (integer | string)?, on_failure: mq.on_failure?}
---@return mq.ratelimit
function mq.ratelimit(name, options) end

---A sum in a calendar window that all workers count together.
---@param name string
---@param options {limit: number, per: string?, zone: string?, persist: boolean?, capacity: (integer | string)?, on_failure: mq.on_failure?}
---@return mq.quota
function mq.quota(name, options) end

---Connections that are open at once.
---@param name string
---@param options {limit: number, capacity: (integer | string)?, on_failure: mq.on_failure?}
---@return mq.concurrency
function mq.concurrency(name, options) end

---Greylisting.
---@param name string
---@param options {delay: number?, window: number?, lifetime: number?, known_after: integer?, persist: boolean?, capacity: (integer | string)?, on_failure: mq.on_failure?}?
---@return mq.greylist
function mq.greylist(name, options) end
