---@meta mq.task

-- Waiting, tasks and timers.

---@class mq.task
---@field is_done boolean
local task = {}

---Ends the task; does nothing when it has ended.
function task:cancel() end

---@class mq.timer
local timer = {}

---No further run; one that is under way goes on.
function timer:cancel() end

---Waits.
---@param seconds number
function mq.sleep(seconds) end

---Runs fn when the running handler or task ends, whichever way: it returned, failed, was cancelled, the
---client left. Last given,
---first run. It may not wait.
---@param fn fun()
function mq.defer(fn) end

---Starts a task that ends with the task that spawned it.
---@param fn fun(): any
---@return mq.task
function mq.spawn(fn) end

---@class mq.result
---@field ok boolean
---@field value any the first result; or what was raised, or "cancelled"
---@field [1] boolean
---@field [2] any

---Waits until all tasks have ended.
---@param tasks mq.task[]
---@return mq.result[]
function mq.wait(tasks) end

---Runs fn as a task of its own, once. Fire and forget: mq.after(0, fn).
---@param seconds number
---@param fn fun()
---@return mq.timer
function mq.after(seconds, fn) end

---@class mq.every_options
---@field scope? "worker" | "process"

---Runs fn again and again, counted from the end of the last run.
---@param seconds number above 0
---@param fn fun()
---@param options? mq.every_options
---@return mq.timer
function mq.every(seconds, fn, options) end

---What fn returns; or nil, "timeout", "timeout" when it took longer. An error in fn is raised here.
---@generic T
---@param seconds number above 0
---@param fn fun(): T
---@return T?
---@return "timeout"? message
---@return "timeout"? code
function mq.with_timeout(seconds, fn) end
