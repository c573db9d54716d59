-- mq.memoize: what a function returned is kept for calls with the same arguments.

local mq, private = ...

local error, type, tostring, select, unpack, pairs = error, type, tostring, select, unpack, pairs
local pcall, running, getinfo = pcall, coroutine.running, debug.getinfo
local concat, format, floor, huge, max, min =
  table.concat, string.format, math.floor, math.huge, math.max, math.min
local find, sub = string.find, string.sub
local monotonic, defer, sleep, shared, counter, warn =
  mq.monotonic, mq.defer, mq.sleep, mq.shared, mq.counter, mq.log.warn
local encode, decode = mq.json.encode, mq.json.decode
local wait, results = private.tasks.wait, private.tasks.results
local detach, check_wait, copy = private.memoize.detach, private.memoize.check_wait, private.memoize.copy

local KEY = 4000 -- bytes of a key; what has a longer one is not kept
local LOCK = 10 -- seconds that other workers wait for the one that calls

local said -- the counter of what came of calls, made with the first memoized function
local processes = 0 -- functions with scope "process" so far

-- ---- keys ----

local function part_of(value)
  local kind = type(value)
  if kind == "string" then
    return #value .. ":" .. value
  elseif kind == "number" and value == value then
    return format("n%.17g", value + 0) -- 0 and -0 are the same
  elseif kind == "boolean" then
    return value and "t" or "f"
  elseif kind == "nil" then
    return "-"
  end
  return nil
end

-- The arguments as a text: others have another one. A single string, the usual case, is nearly its own.
local function key_of(...)
  local count, first = select("#", ...), (...)
  if count == 1 and type(first) == "string" then
    return "s" .. first
  end
  local parts = { ... }
  for i = 1, count do
    local part = part_of(parts[i])
    if not part then
      local what = type(parts[i]) == "number" and "not a number" or "a " .. type(parts[i])
      error(
        format("a memoized function takes strings, numbers, booleans and nil; argument %d is %s", i, what),
        3
      )
    end
    parts[i] = part
  end
  return concat(parts, ",", 1, count)
end

-- ---- where results are kept: an entry has value, fresh (until when) and last (until when it can be given in
-- the place of a failure) ----

local of_worker = {}

-- Two tables: what is in neither half was used longest ago.
local function put(self, key, entry)
  if self.young[key] == nil then
    if self.count >= self.half then
      self.young, self.old, self.count = {}, self.young, 0
    end
    self.count = self.count + 1
  end
  self.old[key] = nil
  self.young[key] = entry
end

function of_worker.find(self, key)
  local entry = self.young[key]
  if not entry then
    entry = self.old[key]
    if entry then
      put(self, key, entry)
    end
  end
  return entry
end

function of_worker.store(self, key, value, time, lifetime)
  put(self, key, { value = copy(value), fresh = time + lifetime, last = time + lifetime + self.stale })
end

of_worker.out = copy

local of_process = {}

-- A text: until when it is fresh, and the value in a list, which is empty for nil.
function of_process.find(self, key)
  local text = self.dict:get(self.prefix .. key)
  if type(text) ~= "string" then
    return nil
  end
  local blank = find(text, " ", 1, true)
  return { fresh = sub(text, 1, blank - 1) + 0, last = huge, value = decode(sub(text, blank + 1))[1] }
end

function of_process.store(self, key, value, time, lifetime)
  local text = format("%.3f ", time + lifetime) .. encode(mq.array({ value }), { invalid = "error" })
  local stored, why = self.dict:set(self.prefix .. key, text, lifetime + self.stale)
  if not stored and not self.warned then
    self.warned = true
    warn("mq.memoize (%s): a result is not kept: %s; a larger capacity helps", self.place, why)
  end
end

function of_process.out(value)
  return value -- it was decoded for this call
end

-- Waits while another worker calls the function: the fresh entry that it left, or nil when it is this one's
-- turn.
local function await_turn(self, key)
  local lock, pause = self.prefix .. "!" .. key, 0.005
  while true do
    local added, why = self.dict:add(lock, true, LOCK)
    if added then
      defer(function()
        self.dict:delete(lock)
      end)
    end
    if added or why ~= "exists" then
      return nil
    end
    sleep(pause)
    pause = min(pause * 2, 0.1)
    local entry = of_process.find(self, key)
    if entry and monotonic() < entry.fresh then
      return entry
    end
  end
end

-- ---- calls ----

local function keep(self, key, value)
  local lifetime = value == nil and self.negative_ttl or self.ttl
  if lifetime > 0 and #key <= KEY then
    self.scope.store(self, key, value, monotonic(), lifetime)
  end
end

-- nil with something behind it is a failure, which is not kept.
local function finish(self, key, value, why, code)
  if value ~= nil or why == nil then
    keep(self, key, value)
  end
  return { value, why, code }
end

-- A task that calls the function once for all who want to know.
local function take_off(self, key, count, ...)
  local arguments, flight = { ... }, {}
  self.flights[key] = flight
  flight.task = detach(function()
    flight.co = running()
    defer(function()
      self.flights[key] = nil
    end)
    local entry = self.dict and await_turn(self, key)
    if entry then
      return { entry.value }
    end
    return finish(self, key, self.fn(unpack(arguments, 1, count)))
  end)
  return flight
end

-- The old value in the place of a failure.
local function stale_of(self, key)
  local entry = self.stale > 0 and self.scope.find(self, key)
  if entry and monotonic() < entry.last then
    said:add(1, self.place, "stale")
    return entry
  end
  said:add(1, self.place, "failed")
  return nil
end

-- What comes of a call: ok, and its results in a list or what was raised.
local function answer(self, key, ok, value)
  if ok and (value[1] ~= nil or value[2] == nil) then
    return copy(value[1])
  end
  local entry = stale_of(self, key)
  if entry then
    return self.scope.out(entry.value)
  elseif not ok then
    error(value, 0)
  end
  return nil, value[2], value[3]
end

local function call(self, key, ...)
  local entry = self.scope.find(self, key)
  if entry and monotonic() < entry.fresh then
    said:add(1, self.place, "hit")
    return self.scope.out(entry.value)
  end
  local flight = self.flights[key]
  said:add(1, self.place, flight and "waited" or "miss")
  if not pcall(check_wait) then -- while the policy loads, and in other places where nothing can wait
    return answer(
      self,
      key,
      pcall(function(...)
        return finish(self, key, self.fn(...))
      end, ...)
    )
  end
  if not flight then
    flight = take_off(self, key, select("#", ...), ...)
  elseif flight.co == running() then
    error("mq.memoize: the function waits for its own result", 0)
  end
  local handles = { flight.task }
  if not flight.task.is_done then
    wait(handles, 1)
  end
  local ended = results(handles)[1]
  return answer(self, key, ended.ok, ended.value)
end

-- ---- mq.memoize ----

local function check_seconds(options, name, fallback)
  local value = options[name]
  if value == nil then
    return fallback
  end
  if type(value) ~= "number" or not (value >= 0 and value <= 1e8) then
    error(format("mq.memoize: %s must be seconds, 0 or more", name), 3)
  end
  return value
end

local known = { ttl = true, negative_ttl = true, stale = true, capacity = true, scope = true }

local function check(fn, options)
  if type(fn) ~= "function" then
    error("mq.memoize takes a function", 3)
  elseif options ~= nil and type(options) ~= "table" then
    error("mq.memoize(fn, {...}): options are missing", 3)
  end
  for name in pairs(options or {}) do
    if not known[name] then
      error(format("mq.memoize: unknown option '%s'", tostring(name)), 3)
    end
  end
end

local scopes = {
  worker = function(self, capacity)
    capacity = capacity == nil and 1000 or capacity
    if type(capacity) ~= "number" or not (capacity >= 2 and capacity <= 1e7) then
      error("mq.memoize: capacity must be a number of entries, 2 or more", 3)
    end
    self.scope, self.half, self.count, self.young, self.old = of_worker, floor(capacity / 2), 0, {}, {}
  end,
  process = function(self, capacity)
    processes = processes + 1
    self.scope, self.prefix = of_process, mq.generation.number .. ":"
    self.dict = shared("memoize." .. processes, { capacity = capacity or "1MB" })
  end,
}

-- mq.memoize(fn, options): a function that returns what fn returned for the same arguments.
function mq.memoize(fn, options)
  check(fn, options)
  options = options or {}
  local open = scopes[options.scope or "worker"]
  if not open then
    error('mq.memoize: scope must be "worker" or "process"', 2)
  end
  local caller = getinfo(2, "Sl")
  local self = { fn = fn, flights = {}, place = caller.short_src .. ":" .. max(caller.currentline, 0) }
  self.ttl = check_seconds(options, "ttl", 60)
  self.negative_ttl = check_seconds(options, "negative_ttl", self.ttl)
  self.stale = check_seconds(options, "stale", 0)
  open(self, options.capacity)
  said = said
    or counter(
      "mailerq_lua_memoize",
      { labels = { "place", "result" }, help = "Calls of memoized functions" }
    )
  return function(...)
    return call(self, key_of(...), ...)
  end
end
