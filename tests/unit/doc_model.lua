-- A document and a model of it, a plain table, get the same random program; wherever both can be looked at
-- they must be
-- equal. Returns a function: one program of that seed. Raises where the two differ.

local json_of, commit, discard, add, text, mq = ...
local null, array, object, encode, decode = mq.null, mq.array, mq.object, mq.json.encode, mq.json.decode
local random = math.random

local KEYS = { "tags", "data", "list", "priority", "pool", "none", "new", "" }
local WORDS = { "one", "two", "a", "b", "c" }
local LONG = string.rep("x", 5000) -- too large for a step of its own

local function is_array(t)
  return getmetatable(t) == "array" or (getmetatable(t) == nil and #t > 0)
end

-- What becomes of a value that is assigned to the document itself: a copy, with its arrays and empty objects
-- marked.
local function copy(v)
  if type(v) ~= "table" then
    return v
  end
  local t = is_array(v) and array() or {}
  for k, inner in pairs(v) do
    t[k] = copy(inner)
  end
  return next(v) == nil and not is_array(v) and object(t) or t
end

-- Values of what would be written; a table counts wherever it is met.
local function size(v)
  if type(v) ~= "table" then
    return 1
  end
  local n = 1
  for _, inner in pairs(v) do
    n = n + size(inner)
  end
  return n
end

local function reaches(v, t)
  if v == t then
    return true
  end
  if type(v) == "table" then
    for _, inner in pairs(v) do
      if reaches(inner, t) then
        return true
      end
    end
  end
  return false
end

local function pick(list)
  return list[random(#list)]
end

local function scalar()
  local kind = random(9)
  if kind == 1 then
    return null
  elseif kind == 2 then
    return random(2) == 1
  elseif kind == 3 then
    return random(-5, 5)
  elseif kind == 4 then
    return pick({ 9007199254740993LL, 9223372036854775807LL, -9007199254740995LL, 2 ^ 53, -2 ^ 53, 5LL })
  elseif kind == 5 then
    return pick({ 0.1, 1e300, -2.5, 1e-7 })
  elseif kind == 6 and random(8) == 1 then
    return LONG
  end
  return pick(WORDS)
end

local function value(depth)
  local kind = depth > 3 and 1 or random(6)
  if kind <= 3 then
    return scalar()
  elseif kind == 4 then
    local t = random(2) == 1 and array({}) or {}
    for i = 1, random(0, 4) do
      t[i] = value(depth + 1)
    end
    return t
  end
  local t = {}
  for _ = 1, random(0, 3) do
    t[pick(WORDS)] = value(depth + 1)
  end
  return t
end

-- A table of its own for each of the two; a scalar is the same for both.
local function twins()
  local v = value(0)
  local function again(w)
    if type(w) ~= "table" then
      return w
    end
    local t = getmetatable(w) == "array" and array({}) or {}
    for k, inner in pairs(w) do
      t[k] = again(inner)
    end
    return t
  end
  return v, again(v)
end

local function same(a, b, path)
  if type(a) == "table" and type(b) == "table" then
    if next(a) ~= nil and is_array(a) ~= is_array(b) then
      error(path .. ": array and object")
    end
    for k in pairs(a) do
      same(a[k], b[k], path .. "." .. k)
    end
    for k in pairs(b) do
      if a[k] == nil then
        error(path .. "." .. k .. ": missing")
      end
    end
  elseif a ~= b then
    error(path .. ": " .. tostring(a) .. " where the model has " .. tostring(b))
  end
end

local function canonical(model)
  return encode(model, { sort_keys = true })
end

local json, model, committed, held, trace

local function note(...)
  trace[#trace + 1] = table.concat({ ... }, " ")
end

-- Where a program is at: the document itself or a table in it, with what the model has in its place.
local function place()
  if #held > 0 and random(4) == 1 then
    local h = pick(held)
    note("held", h.name)
    return h[1], h[2], h.name
  end
  local d, m, name = json, model, "json"
  for _ = 1, random(0, 3) do
    local keys = {}
    for k, v in pairs(m) do
      if type(v) == "table" then
        keys[#keys + 1] = k
      end
    end
    if #keys == 0 then
      break
    end
    table.sort(keys, function(x, y)
      return tostring(x) < tostring(y)
    end)
    local k = pick(keys)
    d, m, name = d[k], m[k], name .. "." .. k
  end
  if m ~= model and random(3) == 1 then
    held[#held + 1] = { d, m, name = name }
  end
  return d, m, name
end

local function any_key(m)
  if is_array(m) then
    return random(#m + 1)
  end
  return m == model and pick(KEYS) or pick(WORDS)
end

-- Puts v into the document's table and w into that of the model. An assignment to the document itself copies.
local function put(d, m, k, v, w)
  if type(w) == "table" and (reaches(w, m) or size(w) + size(model) > 400) then
    return
  end
  d[k] = v
  if m == model then
    m[k] = copy(w)
  else
    m[k] = w
  end
end

local operations = {}

function operations.set(d, m, name)
  local k = any_key(m)
  local v, w = twins()
  note(name, k, "= ", encode(w))
  put(d, m, k, v, w)
end

function operations.delete(d, m, name)
  local k = any_key(m)
  note(name, k, "= nil")
  if is_array(m) then
    if #m > 0 then
      k = #m
      d[k], m[k] = nil, nil
    end
  else
    d[k], m[k] = nil, nil
  end
end

function operations.insert(d, m, name)
  if m ~= model and is_array(m) then
    local v, w = twins()
    local at = random(#m + 1)
    note("insert", name, at, encode(w))
    table.insert(d, at, v)
    table.insert(m, at, w)
  end
end

function operations.remove(d, m, name)
  if m ~= model and is_array(m) and #m > 0 then
    local at = random(#m)
    note("remove", name, at)
    table.remove(d, at)
    table.remove(m, at)
  end
end

function operations.sort(d, m, name)
  if m == model or not is_array(m) then
    return
  end
  local kind = type(m[1])
  for i = 1, #m do
    if type(m[i]) ~= kind or (kind ~= "string" and kind ~= "number") then
      return
    end
  end
  note("sort", name)
  table.sort(d)
  table.sort(m)
end

-- A table that is at one place comes to another one as well, or instead.
function operations.move()
  local d, m = place()
  local e, n, name = place()
  local from, to = any_key(m), any_key(n)
  local v, w = d[from], m[from]
  note("move", from, "to", name, to)
  if w == nil then
    return
  end
  if random(2) == 1 and not is_array(m) and not is_array(n) then
    d[from], m[from] = nil, nil
  end
  put(e, n, to, v, w)
end

-- One new table at two keys.
function operations.alias(d, m, name)
  local v, w = twins()
  local k, l = any_key(m), any_key(m)
  note("alias", name, k, l)
  put(d, m, k, v, w)
  if not is_array(m) or l <= #m + 1 then
    put(d, m, l, v, w)
  end
  if type(v) == "table" and next(w) and not is_array(w) then
    v.a, w.a = 1, 1
  end
end

function operations.tag()
  local k = random(3) == 1 and pick(KEYS) or "tags"
  local list = model[k]
  if not (list == nil or list == null or (type(list) == "table" and is_array(list))) then
    return
  end
  local words = {}
  for i = 1, random(2) do
    words[i] = random(40) == 1 and LONG or pick(WORDS)
  end
  note("tag", k, table.concat(words, ","))
  add(k, unpack(words))
  if list == nil or list == null then
    list = array()
    model[k] = list
  end
  for _, word in ipairs(words) do
    local there = false
    for _, old in ipairs(list) do
      there = there or old == word
    end
    if not there then
      list[#list + 1] = word
    end
  end
end

function operations.get(d, m, name)
  local k = any_key(m)
  note("get", name, k)
  same(d[k], m[k], name .. "." .. k)
end

function operations.pairs(d, m, name)
  note("pairs", name)
  local seen = {}
  for k, v in pairs(d) do
    seen[k] = v
  end
  same(seen, m, name)
end

function operations.totable()
  note("totable")
  same(json:totable(), model, "totable")
end

local function settle(done)
  held = {}
  if done then
    committed = copy(model)
  else
    model = copy(committed)
  end
  local is, ought = canonical(decode(text())), canonical(committed)
  if is ~= ought then
    error("published\n  " .. is .. "\nthe policy saw\n  " .. ought)
  end
end

local function finish()
  local fits = pcall(encode, model)
  local done, message = commit()
  note("commit", tostring(done))
  if done ~= fits then
    error("commit: " .. tostring(message))
  end
  settle(done)
end

function operations.commit()
  if random(3) == 1 then
    finish()
  end
end

-- What cannot be written: the commit fails, unless that is in a table that the document has no more.
function operations.poison(d, m)
  if m ~= model and not is_array(m) and random(5) == 1 then
    note("poison")
    d.bad, m.bad = print, print
    finish()
  end
end

function operations.discard()
  if random(4) == 1 then
    note("discard")
    discard()
    settle(false)
  end
end

local names = {}
for name in pairs(operations) do
  names[#names + 1] = name
end
table.sort(names)
names[#names + 1] = "set"
names[#names + 1] = "tag"
names[#names + 1] = "delete"

local function run()
  json = json_of()
  committed = decode(text())
  model, held = copy(committed), {}
  for _ = 1, random(3, 25) do
    operations[pick(names)](place())
  end
  finish()
end

return function(seed)
  math.randomseed(seed)
  trace = {}
  local good, message = pcall(run)
  if not good then
    error("seed " .. seed .. ": " .. tostring(message) .. "\n" .. table.concat(trace, "\n"), 0)
  end
end
