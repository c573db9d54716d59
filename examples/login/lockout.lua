-- Counts failures by key, forgets them after a while, and never holds more than a given number of keys.
-- Each worker counts for itself: with n workers a guesser has up to n times as many tries.

local Lockout = {}
Lockout.__index = Lockout

local lockout = {}

-- most failures within that many seconds; at most capacity keys
function lockout.new(most, seconds, capacity)
  local self = { most = most, seconds = seconds, capacity = capacity, size = 0, entries = {} }
  return setmetatable(self, Lockout)
end

-- The entry of a key, unless its time is over.
function Lockout:current(key)
  local entry = self.entries[key]
  if entry and mq.monotonic() >= entry.ends then
    self:forget(key)
    return nil
  end
  return entry
end

function Lockout:is_locked(key)
  local entry = self:current(key)
  return entry ~= nil and entry.count >= self.most
end

function Lockout:add(key)
  local entry = self:current(key)
  if not entry then
    if self.size >= self.capacity then
      self:make_room()
    end
    entry = { count = 0 }
    self.entries[key] = entry
    self.size = self.size + 1
  end
  entry.count = entry.count + 1
  entry.ends = mq.monotonic() + self.seconds
end

function Lockout:forget(key)
  if self.entries[key] then
    self.entries[key] = nil
    self.size = self.size - 1
  end
end

-- Drops what is over; when that is nothing, the key that would be over first.
function Lockout:make_room()
  local now, first = mq.monotonic(), nil
  for key, entry in pairs(self.entries) do
    if now >= entry.ends then
      self:forget(key)
    elseif not first or entry.ends < self.entries[first].ends then
      first = key
    end
  end
  if first and self.size >= self.capacity then
    self:forget(first)
  end
end

return lockout
