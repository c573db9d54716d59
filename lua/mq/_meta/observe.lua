---@meta mq.observe

-- Log, metrics, clock.

---@class mq.log
mq.log = {}

---@param format string
---@param ... any
function mq.log.info(format, ...) end

---@param format string
---@param ... any
function mq.log.warn(format, ...) end

---@param format string
---@param ... any
function mq.log.error(format, ...) end

---@class mq.metric_options
---@field labels? string[] at most 8
---@field max_series? integer default 1000
---@field help? string

---@class mq.histogram_options : mq.metric_options
---@field buckets? number[] growing upper bounds

---@class mq.counter
local counter = {}

---@param ... string | number | boolean | table | nil label values
function counter:inc(...) end

---@param amount number 0 or more
---@param ... string | number | boolean | table | nil label values
function counter:add(amount, ...) end

---@class mq.gauge
local gauge = {}

---@param ... string | number | boolean | table | nil label values
function gauge:inc(...) end

---@param amount number
---@param ... string | number | boolean | table | nil label values
function gauge:add(amount, ...) end

---@param value number
---@param ... string | number | boolean | table | nil label values
function gauge:set(value, ...) end

---@class mq.histogram
local histogram = {}

---@param value number
---@param ... string | number | boolean | table | nil label values
function histogram:observe(value, ...) end

---@param name string
---@param options? mq.metric_options
---@return mq.counter
function mq.counter(name, options) end

---@param name string
---@param options? mq.metric_options
---@return mq.gauge
function mq.gauge(name, options) end

---@param name string
---@param options? mq.histogram_options
---@return mq.histogram
function mq.histogram(name, options) end

---All metrics as text in Prometheus' format.
---@return string
function mq.metrics() end

---Wall clock, seconds since 1970.
---@return number
function mq.now() end

---A clock that is never set back, in seconds.
---@return number
function mq.monotonic() end
