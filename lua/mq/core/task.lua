-- The functions about tasks that are written in Lua.

local mq, private = ...

local error, type, print_line = error, type, mq.log.info
local spawn = mq.spawn
local copy, wait, results = private.tasks.copy, private.tasks.wait, private.tasks.results
local select, tostring, concat, unpack = select, tostring, table.concat, unpack

local function pack(...)
  return { count = select("#", ...), ... }
end

-- mq.wait(tasks): what the tasks ended with, in their order.
function mq.wait(tasks)
  local handles, running = copy(tasks)
  if not handles then
    error(running, 2)
  end
  if running > 0 then
    wait(handles, running)
  end
  return results(handles)
end

-- mq.with_timeout(seconds, fn): what fn returns, or nil, "timeout", "timeout" when it takes longer; fn is
-- cancelled
-- then. An error in fn is raised here.
function mq.with_timeout(seconds, fn)
  if type(seconds) ~= "number" or not (seconds > 0) then
    error("mq.with_timeout takes a number of seconds above 0", 2)
  end
  if type(fn) ~= "function" then
    error("mq.with_timeout takes a function", 2)
  end
  local task = spawn(function()
    return pack(fn())
  end)
  local handles = { task }
  if not wait(handles, 1, seconds) then
    task:cancel()
    return nil, "timeout", "timeout"
  end
  local ended = results(handles)[1]
  if not ended.ok then
    error(ended.value, 0)
  end
  return unpack(ended.value, 1, ended.value.count)
end

-- The host's standard output is not a policy's to write to.
function print(...)
  local words = {}
  for i = 1, select("#", ...) do
    words[i] = tostring((select(i, ...)))
  end
  return print_line("%s", concat(words, "\t")) -- a tail call: the log line names the caller's place
end
