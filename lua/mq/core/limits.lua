-- Limits that all workers share: mq.ratelimit, mq.quota, mq.concurrency, mq.greylist. Each has a dictionary
-- of mq.shared.

local mq, private = ...

local error, type, pairs, tostring, setmetatable = error, type, pairs, tostring, setmetatable
local floor, huge, max = math.floor, math.huge, math.max
local date, now, shared, warn, counter = os.date, mq.now, mq.shared, mq.log.warn, mq.counter
local find, lower, match, format, sub = string.find, string.lower, string.match, string.format, string.sub
local limits = private.limits
local rate, sum, enter, leave, zone_of, offset_of =
  limits.rate, limits.sum, limits.enter, limits.leave, limits.zone, limits.offset

local results -- the counter of what came of them, made with the first

-- ---- objects ----

-- A metatable for objects whose methods are in a table; name is how errors call them.
local function class(name, methods)
  return {
    __index = function(_, key)
      local method = methods[key]
      if method == nil then
        error(format("%s has no field '%s'", name, tostring(key)), 2)
      end
      return method
    end,
    __newindex = function(_, key)
      error(format("%s.%s cannot be assigned", name, tostring(key)), 2)
    end,
    __metatable = false,
  }
end

-- What is kept about an object: not in the object, where a policy could change it.
local inside = setmetatable({}, { __mode = "k" })

local function self_of(object, kind)
  local self = inside[object]
  if not self or self.kind ~= kind then
    error(format("%s: call it with a colon, as in limit:take(key)", kind), 3)
  end
  return self
end

-- ---- options ----

local durations = { second = 1, minute = 60, hour = 3600, day = 86400 }

local function check_number(value, where, least)
  if type(value) ~= "number" or not (value >= least) or value == huge then
    error(format("%s must be a number of at least %s", where, least), 4)
  end
  return value
end

local function check_options(kind, name, options, known)
  if type(name) ~= "string" or not find(name, "^%w[%w_.-]*$") or #name > 40 then
    error(format("%s: a name has letters, digits, '_', '-' and '.', at most 40", kind), 3)
  end
  if type(options) ~= "table" then
    error(format('%s("%s", {...}): options are missing', kind, name), 3)
  end
  for key in pairs(options) do
    if not known[key] then
      error(format("%s: unknown option '%s'", kind, tostring(key)), 3)
    end
  end
  local failure = options.on_failure
  if
    failure ~= nil
    and failure ~= "allow"
    and failure ~= "refuse"
    and not (failure == "local" and known.per)
  then
    error(format('%s: on_failure must be "allow"%s or "refuse"', kind, known.per and ', "local"' or ""), 3)
  end
end

-- The dictionary, and what all limits have in common.
local function open(kind, prefix, name, options, persist)
  if options.persist ~= nil then
    persist = options.persist
  end
  results = results
    or counter("mailerq_lua_limits", { labels = { "kind", "name", "result" }, help = "What limits said" })
  return {
    kind = kind,
    name = name,
    dict = shared(prefix .. "." .. name, { capacity = options.capacity or "8MB", persist = persist }),
    on_failure = options.on_failure or "allow",
  }
end

-- ---- failures ----

-- The dictionary is full, or somebody wrote something else into it.
local function failed(self, why)
  results:add(1, self.kind, self.name, "failed")
  if not self.warned then
    self.warned = true
    warn("%s '%s' cannot count: %s; on_failure = \"%s\"", self.kind, self.name, why, self.on_failure)
  end
  return self.on_failure ~= "refuse"
end

local LOCAL_KEYS = 10000

-- Counts in this worker alone, in windows of a fixed length.
local function take_local(self, key, count)
  local at = floor(now() / self.window)
  if self.local_at ~= at or (self.local_keys or 0) > LOCAL_KEYS then
    self.local_at, self.local_counts, self.local_keys = at, {}, 0
  end
  local counts = self.local_counts
  local taken = counts[key]
  if not taken then
    self.local_keys, taken = self.local_keys + 1, 0
  end
  if taken + count > self.limit then
    return false, (at + 1) * self.window - now()
  end
  counts[key] = taken + count
  return true, self.limit - taken - count
end

local function answer(self, taken, value)
  results:add(1, self.kind, self.name, taken and "taken" or "refused")
  return taken, value
end

local function check_count(self, count)
  if count == nil then
    return 1
  end
  if type(count) ~= "number" or not (count >= 0) then
    error(format("%s:take takes a number of 0 or more", self.kind), 3)
  end
  return count
end

-- What has no key (a client behind a proxy, a session without login) is not limited.
local function is_nobody(key)
  return key == nil or key == ""
end

-- ---- mq.ratelimit ----

local ratelimit = {}
local ratelimit_meta = class("ratelimit", ratelimit)

-- ratelimit:take(key, count): true and how many more may come at once, or false and the seconds to wait.
function ratelimit.take(object, key, count)
  local self = self_of(object, "ratelimit")
  count = check_count(self, count)
  if is_nobody(key) then
    return true, self.burst
  end
  local taken, value = rate(self.dict, key, now(), self.interval, self.burst, count)
  if taken ~= nil then
    return answer(self, taken, value)
  end
  local allowed = failed(self, value)
  if self.on_failure == "local" then
    return answer(self, take_local(self, tostring(key), count))
  end
  return allowed, allowed and self.burst or self.interval
end

function mq.ratelimit(name, options)
  check_options(
    "mq.ratelimit",
    name,
    options,
    { limit = true, per = true, burst = true, on_failure = true, capacity = true, persist = true }
  )
  local per = options.per == nil and 1 or durations[options.per] or options.per
  check_number(options.limit, "mq.ratelimit: limit", 1)
  check_number(per, 'mq.ratelimit: per ("second", "minute", "hour", "day", or seconds)', 0.001)
  local self = open("ratelimit", "ratelimit", name, options, false)
  self.limit, self.window = options.limit, per
  self.interval = per / options.limit
  self.burst = check_number(options.burst or options.limit, "mq.ratelimit: burst", 1)
  local object = setmetatable({}, ratelimit_meta)
  inside[object] = self
  return object
end

-- ---- mq.quota ----

local quota = {}
local quota_meta = class("quota", quota)

local DAY = 86400

-- The time of the midnight before a day of the zone, given as days since 1970.
local function midnight(self, day)
  local at = day * DAY
  return self.zone and at - offset_of(self.zone, at - offset_of(self.zone, at)) or at
end

local function days_of_month(year, month)
  local count = ({ 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 })[month]
  return month == 2 and (year % 4 == 0 and year % 100 ~= 0 or year % 400 == 0) and 29 or count
end

-- Name and end of the window that time is in.
local windows = {
  minute = function(_, time)
    local at = floor(time / 60)
    return "m" .. at, (at + 1) * 60
  end,
  hour = function(_, time)
    local at = floor(time / 3600)
    return "h" .. at, (at + 1) * 3600
  end,
  day = function(self, _, day)
    return "d" .. day, midnight(self, day + 1)
  end,
  week = function(self, _, day) -- from Monday on; 1970-01-01 was a Thursday
    local week = floor((day + 3) / 7)
    return "w" .. week, midnight(self, week * 7 + 4)
  end,
  month = function(self, time, day)
    local parts = date("!*t", day * DAY)
    return format("%04d-%02d", parts.year, parts.month),
      midnight(self, day - parts.day + 1 + days_of_month(parts.year, parts.month))
  end,
}

-- quota:take(key, count): true and how many are left in this window, or false and the seconds until the next.
function quota.take(object, key, count)
  local self = self_of(object, "quota")
  count = check_count(self, count)
  if is_nobody(key) then
    return true, self.limit
  end
  local time = now()
  local day = floor((time + (self.zone and offset_of(self.zone, time) or 0)) / DAY)
  local window, ends = windows[self.per](self, time, day)
  local left = max(ends - time, 1)
  local taken, value = sum(self.dict, window .. "\0" .. tostring(key), count, self.limit, left)
  if taken ~= nil then
    return answer(self, taken, taken and self.limit - value or left)
  end
  local allowed = failed(self, value)
  if self.on_failure == "local" then
    return answer(self, take_local(self, window .. "\0" .. tostring(key), count))
  end
  return allowed, allowed and self.limit or left
end

function mq.quota(name, options)
  check_options(
    "mq.quota",
    name,
    options,
    { limit = true, per = true, zone = true, on_failure = true, capacity = true, persist = true }
  )
  local per = options.per or "day"
  if not windows[per] then
    error('mq.quota: per must be "minute", "hour", "day", "week" or "month"', 2)
  end
  check_number(options.limit, "mq.quota: limit", 1)
  local self = open("quota", "quota", name, options, true)
  self.limit, self.per, self.window = options.limit, per, durations[per] or 7 * DAY
  if options.zone ~= nil and options.zone ~= "UTC" then
    self.zone = zone_of(options.zone)
  end
  local object = setmetatable({}, quota_meta)
  inside[object] = self
  return object
end

-- ---- mq.concurrency ----

local concurrency = {}
local concurrency_meta = class("concurrency", concurrency)

-- concurrency:enter(connection, key): true, or false where the limit is reached, and how many there are now.
function concurrency.enter(object, connection, key)
  local self = self_of(object, "concurrency")
  if is_nobody(key) then
    return true, 0
  end
  local entered, value = enter(self.dict, key, connection, self.limit)
  if entered ~= nil then
    return answer(self, entered, value)
  end
  return failed(self, value), 0
end

-- concurrency:leave(connection, key): before the connection ends. Whether it had entered.
function concurrency.leave(object, connection, key)
  local self = self_of(object, "concurrency")
  return not is_nobody(key) and leave(self.dict, key, connection)
end

function mq.concurrency(name, options)
  check_options("mq.concurrency", name, options, { limit = true, on_failure = true, capacity = true })
  check_number(options.limit, "mq.concurrency: limit", 1)
  local self = open("concurrency", "concurrency", name, options, false)
  self.limit = options.limit
  local object = setmetatable({}, concurrency_meta)
  inside[object] = self
  return object
end

-- ---- mq.greylist ----

local greylist = {}
local greylist_meta = class("greylist", greylist)

-- The network that retries come from: farms of servers share one.
local function network_of(ip)
  local v4 = match(ip, "^(%d+%.%d+%.%d+)%.%d+$") or match(ip, "^::ffff:(%d+%.%d+%.%d+)%.%d+$")
  if v4 then
    return v4
  end
  local groups, count = {}, 0
  for group in (match(ip, "^(.-)::") or ip):gmatch("[^:]+") do
    count = count + 1
    groups[count] = group
    if count == 4 then
      break
    end
  end
  while count < 4 do
    count = count + 1
    groups[count] = "0"
  end
  return lower(groups[1] .. ":" .. groups[2] .. ":" .. groups[3] .. ":" .. groups[4])
end

local function text_of(value)
  return value == nil and "" or lower(tostring(value))
end

-- greylist:check(ip, envelope, recipient): true, or false and the seconds until a retry passes.
function greylist.check(object, ip, envelope, recipient)
  local self = self_of(object, "greylist")
  if is_nobody(ip) then
    return true
  end
  local network, dict, time = network_of(tostring(ip)), self.dict, now()
  local known = "n\0" .. network
  if self.known_after > 0 and (dict:get(known) or 0) >= self.known_after then
    dict:expire(known, self.lifetime)
    return answer(self, true)
  end
  local key = sub("t\0" .. network .. "\0" .. text_of(envelope) .. "\0" .. text_of(recipient), 1, 2000)
  local first = dict:get(key)
  if type(first) ~= "number" then
    local added, why = dict:add(key, time, self.window)
    if added then
      return answer(self, false, self.delay)
    elseif why == "no memory" then
      return failed(self, why), self.delay
    end
    first = dict:get(key) or time -- another worker was first
  end
  local waited = time - first
  if first > 0 and waited >= 0 and waited < self.delay then
    return answer(self, false, self.delay - waited)
  end
  if first > 0 then -- it passes from now on; the network is known a little better
    dict:incr(known, 1, 0, self.lifetime)
  end
  dict:set(key, -1, self.lifetime)
  return answer(self, true)
end

function mq.greylist(name, options)
  options = options == nil and {} or options
  check_options("mq.greylist", name, options, {
    delay = true,
    window = true,
    lifetime = true,
    known_after = true,
    on_failure = true,
    capacity = true,
    persist = true,
  })
  local self = open("greylist", "greylist", name, options, true)
  self.delay = check_number(options.delay or 300, "mq.greylist: delay (seconds)", 0)
  self.window = check_number(options.window or 2 * DAY, "mq.greylist: window (seconds)", 1)
  self.lifetime = check_number(options.lifetime or 36 * DAY, "mq.greylist: lifetime (seconds)", 1)
  self.known_after = check_number(options.known_after or 5, "mq.greylist: known_after", 0)
  if self.window <= self.delay then
    error("mq.greylist: window must be longer than delay: a retry has to come between them", 2)
  end
  local object = setmetatable({}, greylist_meta)
  inside[object] = self
  return object
end
