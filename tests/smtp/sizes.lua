-- SPDX-License-Identifier: MIT
-- What the library does with sizes that a script chooses: test_sizes.py runs this.
--
-- each(names, charges, makes, run): one line for each function that takes a size. charges: what it takes from
-- the budget. makes: the most that it allocates at once. run(n, ...) prepares a use of size n, and returns a
-- function that does it, and how much it really is where n is more than there can be.

local message, connection -- of now
local sized, order = {}, {}

local function each(names, charges, makes, run)
  for name in names:gmatch("%S+") do
    sized[name] = { charges = charges, makes = makes, run = run }
  end
  order[#order + 1] = names:match("%S+") -- once for all of them
end

local function find(name)
  local value = _G
  for part in name:gmatch("[^.]+") do
    value = value[part]
  end
  return value
end

local function text(n)
  return ("x"):rep(n)
end

local function list(n, value)
  local t = {}
  for i = 1, n do
    t[i] = value or i
  end
  return t
end

local ARGUMENTS = 7000 -- LuaJIT's stack has room for few more

local function few(n)
  return n < ARGUMENTS and n or ARGUMENTS
end

-- A function of one text.
local function of_text(names, charges, makes, ...)
  local more, count = { ... }, select("#", ...)
  for name in names:gmatch("%S+") do
    each(name, charges, makes, function(n)
      local f, s = find(name), text(n)
      return function()
        return f(s, unpack(more, 1, count))
      end
    end)
  end
end

-- A method of a buffer: the content of a message of that size.
local function of_buffer(name, charges, makes, ...)
  local more, count = { ... }, select("#", ...)
  each("buffer:" .. name, charges, makes, function(n)
    local buffer = message.mime
    local f = buffer[name]
    return function()
      return f(buffer, unpack(more, 1, count))
    end, #buffer
  end)
end

-- ---- Lua's libraries ----

each("collectgarbage", "the time of a round", "nothing", function(n)
  local t = {}
  for i = 1, n do
    t[i] = {}
  end
  return function()
    collectgarbage()
    return t
  end
end)
each("next pairs", "what is passed over", "nothing", function(n)
  local t = list(n)
  for i = 1, n do
    t[i] = nil
  end
  return function()
    for _ in pairs(t) do
    end
    return next(t)
  end
end)
each("load loadstring", "the text", "the function", function(n)
  local s = ("x=1;"):rep(n / 4)
  return function()
    return assert(load(s))
  end
end)
each(
  "unpack select math.max math.min coroutine.resume string.char bit.bor",
  "arguments",
  "a stack",
  function(n)
    local t = list(few(n), 65)
    local co = coroutine.wrap(function(...)
      while true do
        coroutine.yield(select("#", ...))
      end
    end)
    return function()
      select(-1, unpack(t))
      math.max(unpack(t))
      math.min(unpack(t))
      bit.bor(unpack(t))
      string.char(unpack(t))
      return co(unpack(t))
    end,
      few(n)
  end
)
of_text("tonumber", "the text", "nothing")
of_text(
  "print mq.log.info mq.log.warn mq.log.error debug.traceback tostring error assert",
  "the text",
  "the text"
)
sized["error"].run = function(n)
  local s = text(n)
  return function()
    return pcall(error, s)
  end
end
each("io.lines file:lines file:read file:write file:seek file:flush io.open", "bytes", "the line", function(n)
  local name = "sizes.tmp"
  local s = ("x\n"):rep(n / 2)
  return function()
    local f = assert(io.open(name, "w"))
    f:write(s)
    f:close()
    for _ in io.lines(name) do
    end
    f = assert(io.open(name))
    f:seek("set", 0)
    f:read(n)
    f:seek("set", 0)
    f:read("*a")
    f:close()
  end
end)
each("string.byte", "results", "a stack", function(n)
  local s = text(few(n))
  return function()
    return s:byte(1, -1)
  end, few(n)
end)
of_text("string.lower string.upper string.reverse", "the text", "the text")
of_text("string.sub", "the text", "the text", 2)
of_text("string.len", "nothing", "nothing")
of_text("string.find", "the text", "nothing", "y", 1, true)
of_text("string.match", "steps", "captures", "(x*)y")
of_text("string.gsub", "steps and what is made", "the text", "x", "yy")
of_text("string.rep", "what is made", "the text", 2)
each("string.find", "steps", "nothing", function(n)
  local s = text(n)
  return function()
    s:find("y", 1, true)
    s:find("[yz]")
    s:find("xy")
  end
end)
each("string.gmatch string.gfind", "steps", "captures", function(n)
  local s = text(n)
  return function()
    for _ in s:gmatch("x") do
    end
  end
end)
each("string.match", "steps", "captures", function(n)
  local s = text(n)
  return function()
    return s:match("^(x*)$")
  end
end)
each("string.format", "what is made", "the text", function(n)
  local s = text(n)
  return function()
    s = ("%s"):format(s)
    return ("%q"):format(s)
  end
end)
each("table.concat", "what is made", "the text", function(n)
  local t = list(n, "x")
  return function()
    return table.concat(t, ",")
  end
end)
each("table.foreach table.foreachi", "calls", "nothing", function(n)
  local t = list(n)
  return function()
    table.foreach(t, function() end)
    table.foreachi(t, function() end)
  end
end)
each("table.insert table.remove table.getn table.maxn", "what is moved", "nothing", function(n)
  local t = list(n)
  return function()
    table.insert(t, 1, 0)
    table.remove(t, 1)
    return table.getn(t) + table.maxn(t)
  end
end)
each("table.move", "what is moved", "the table", function(n)
  local t = list(n)
  return function()
    return table.move(t, 1, n, 2, {})
  end
end)
each("table.sort", "comparisons", "nothing", function(n)
  local t = {}
  for i = 1, n do
    t[i] = i * 7919 % n
  end
  return function()
    local copy = table.move(t, 1, n, 1, {})
    table.sort(copy)
  end
end)
of_text("os.date", "the text", "the text")
sized["os.date"].run = function(n)
  local s = text(n < 400 and n or 400)
  return function()
    return os.date(s, 0)
  end, n < 400 and n or 400
end

-- ---- mq ----

of_text("mq.hash.md5 mq.hash.sha1 mq.hash.sha256 mq.hash.sha512", "the text", "nothing")
of_text("mq.hmac.md5 mq.hmac.sha1 mq.hmac.sha256 mq.hmac.sha512", "both texts", "nothing", "text")
of_text(
  "mq.base64.encode mq.base64url.encode mq.hex.encode mq.url.encode mq.quoted_printable.encode",
  "the text",
  "the text"
)
of_text(
  "mq.url.decode mq.quoted_printable.decode mq.mime.decode mq.mime.addresses mq.mime.parse",
  "the text",
  "the text"
)
each("mq.base64.decode mq.base64url.decode", "the text", "the text", function(n)
  local s = text(n - n % 4)
  return function()
    return assert(mq.base64.decode(s)), assert(mq.base64url.decode(s))
  end
end)
each("mq.hex.decode", "the text", "the text", function(n)
  local s = ("ab"):rep(n / 2)
  return function()
    return assert(mq.hex.decode(s))
  end
end)
each("mq.mime.addresses", "the text", "the list", function(n)
  local s = ("a@b.example, "):rep(n / 13) .. "a@b.example"
  return function()
    return mq.mime.addresses(s)
  end
end)
each("mq.mime.decode", "the text", "the text", function(n)
  local s = ("=?utf-8?q?a?= "):rep(n / 14)
  return function()
    return mq.mime.decode(s)
  end
end)
local function parts(n)
  local one = "--b\r\nA: b\r\n\r\n" .. ("x "):rep(n / 100) .. "\r\n"
  return "Content-Type: multipart/mixed; boundary=b\r\n\r\n" .. one:rep(n / #one) .. "--b--\r\n"
end
each("mq.mime.parse message:parts", "the text", "the parts", function(n)
  local s = parts(n)
  message.mime = s
  return function()
    return assert(message:parts()), assert(mq.mime.parse(s))
  end
end)
each("mq.equal", "the text", "nothing", function(n)
  local a, b = text(n), text(n - 1) .. "y"
  return function()
    return mq.equal(a, b)
  end
end)
each(
  "mail:root mail:subject mail:text mail:html mail:attachments mail:links mail:delivery_report "
    .. "mail:feedback_report mail:header mail:addresses mail:body_hash part:parts part:parent part:type "
    .. "part:disposition part:filename part:charset part:encoding part:size part:bytes part:text "
    .. "part:headers part:header part:addresses",
  "the content",
  "the content",
  function(n)
    local bodies = { parts(n), "Subject: x\r\n\r\n" .. ("http://a.example/ "):rep(n / 18) }
    return function()
      for i = 1, #bodies do
        local mail = assert(mq.mime.parse(bodies[i]))
        local root = mail.root
        local _ = mail.subject, mail.text, mail.html, mail.attachments, mail.links, mail:header("Subject")
        _ = mail:addresses("To"), mail:body_hash(), mail.delivery_report, mail.feedback_report
        _ = root.parts, root.parent, root.type, root.disposition, root.filename, root.charset
        _ = root.encoding, root.size, root.bytes, root.text, root.headers
        _ = root:header("Subject"), root:addresses("To")
      end
    end
  end
)
each(
  "mail:append_text mail:add_part part:append_text part:replace_body part:remove",
  "the content and what is written",
  "the content",
  function(n)
    local body, s = "Subject: x\r\n\r\n" .. text(n), text(n)
    return function()
      local mail = assert(mq.mime.parse(body))
      mail:append_text(s)
      mail.root:append_text(s)
      mail.root:replace_body(s)
      mail:add_part({ type = "text/plain", content = s })
      mail.root.parts[1]:remove()
      return tostring(mail)
    end
  end
)
local double = mq.memoize(function(s)
  return s
end)
each("mq.memoize", "the arguments", "a result", function(n)
  local s = text(n < 4000 and n or 4000)
  return function()
    return double(s)
  end, #s
end)
each("expressions:match expressions:all", "PCRE2's steps", "the list", function(n)
  local set, s = mq.re.set({ "a+", "b$" }), text(n)
  return function()
    set:match(s)
    return set:all(s)
  end
end)
each("mq.random.bytes", "bytes", "the text", function(n)
  return function()
    return mq.random.bytes(n)
  end
end)
each("mq.random.token", "bytes", "the text", function(n)
  local size = n < 192 and n or 192
  return function()
    return mq.random.token(size)
  end, size
end)
each("mq.json.decode mq.json.encode", "values and text", "the values", function(n)
  local s = "[" .. ("1,"):rep(n - 1) .. "1]"
  return function()
    return mq.json.encode(assert(mq.json.decode(s)))
  end
end)
each("mq.array mq.object", "nothing", "nothing", function(n)
  local t = list(n)
  return function()
    return mq.array(t)
  end
end)
each("mq.cidr", "the text, and sorting", "24 bytes for each network", function(n)
  local t = {}
  for i = 1, n / 12 do
    t[i] = ("10.%d.%d.%d"):format(i % 250, i / 250 % 250, i / 62500)
  end
  local s = table.concat(t, "\n")
  return function()
    mq.cidr(t)
    return mq.cidr(s)
  end
end)
each("cidr:contains", "nothing", "nothing", function(n)
  local cidr, s = mq.cidr("10.0.0.0/8"), ("1"):rep(n)
  return function()
    return pcall(cidr.contains, cidr, s)
  end
end)
local counter = mq.counter("sizes_total", { labels = { "x" }, max_series = 100000 })
local gauge, histogram =
  mq.gauge("sizes", { labels = { "x" } }), mq.histogram("sizes_s", { labels = { "x" } })
each(
  "counter:inc counter:add gauge:inc gauge:add gauge:set histogram:observe",
  "the value of a label",
  "a series",
  function(n)
    local s = text(n)
    return function()
      counter:inc(s)
      counter:add(1, s)
      gauge:inc(s)
      gauge:add(1, s)
      gauge:set(1, s)
      histogram:observe(1, s)
    end
  end
)
each("mq.metrics", "the text", "4 MB", function(n)
  for i = 1, n / 20 do
    counter:inc(i)
  end
  return function()
    return mq.metrics()
  end
end)
each(
  "mq.accept mq.deny mq.discard mq.disconnect mq.hold mq.reject mq.tempfail mq.quarantine",
  "the text",
  "400 bytes",
  function(n)
    local s = text(n)
    return function()
      mq.discard(s)
      mq.hold(s)
      mq.disconnect(421, "4.7.0", s)
      mq.reject(550, "5.1.1", s)
      mq.tempfail(450, "4.1.1", s)
      return mq.quarantine("a@b.example", s)
    end
  end
)
each("mq.after mq.spawn timer:cancel task:cancel", "each", "each", function(n)
  return function()
    local t = {}
    for i = 1, n / 100 do
      t[2 * i - 1] = mq.after(1000, print)
      t[2 * i] = mq.spawn(print)
    end
    for i = 1, #t do
      t[i]:cancel()
    end
  end
end)
each("connection:spawn", "each", "each", function(n)
  return function()
    for _ = 1, n / 1000 do
      connection:spawn(function() end)
    end
  end
end)
each("mq.wait", "tasks", "a list", function(n)
  return function()
    local t = {}
    for i = 1, n / 100 do
      t[i] = mq.spawn(function() end)
    end
    return #mq.wait(t)
  end
end)
each("mq.password.verify", "500", "512 bytes of the password", function(n)
  local s = text(n)
  return function()
    return mq.password.verify(s, "ABJnggxhB/yWI")
  end
end)
each(
  "mq.re.find mq.re.match mq.re.gmatch mq.re.gsub mq.re.sub mq.re.split",
  "PCRE2's steps",
  "the text",
  function(n)
    local s = text(n)
    return function()
      mq.re.find(s, "y")
      mq.re.match(s, "(x+)$")
      mq.re.gsub(s, "x", "y")
      mq.re.sub(s, "x$", "y")
      mq.re.split(s, "xxxxx")
      for _ in mq.re.gmatch(s, "xx") do
      end
    end
  end
)
each("mq.re.set", "the expressions", "their code", function(n)
  local t = {}
  local count = n / 100 < 500 and n / 100 or 500
  for i = 1, count do
    t[i] = "a" .. i
  end
  return function()
    return mq.re.set(t)
  end, count
end)
local shared = mq.shared("sizes", { capacity = "60MB" })
each(
  "shared:set shared:get shared:add shared:replace shared:safe_set shared:safe_add shared:get_stale "
    .. "shared:delete",
  "key and value",
  "the value",
  function(n)
    local s, key = text(n), text(n < 60000 and n or 60000)
    return function()
      shared:set(key, s)
      shared:get(key)
      shared:get_stale(key)
      shared:replace(key, s)
      shared:delete(key)
      shared:add(key, s)
      shared:safe_set(key, s)
      shared:delete(key)
      shared:safe_add(key, s)
      shared:delete(key)
    end
  end
)
each("shared:incr shared:ttl shared:expire shared:update", "the key", "nothing", function(n)
  local key = text(n < 60000 and n or 60000)
  return function()
    shared:incr(key, 1, 0)
    shared:ttl(key)
    shared:expire(key, 100)
    shared:update(key, function(value)
      return value
    end)
    shared:delete(key)
  end
end)
each("shared:lpush shared:rpush shared:lpop shared:rpop shared:llen", "the value", "the value", function(n)
  local s = text(n)
  return function()
    shared:lpush("list", s)
    shared:rpush("list", s)
    shared:llen("list")
    shared:lpop("list")
    shared:rpop("list")
  end
end)
each("shared:keys shared:get_keys shared:flush_all shared:flush_expired", "entries", "the list", function(n)
  for i = 1, n / 20 do
    shared:set(i, i)
  end
  return function()
    shared:get_keys(0)
    shared:flush_expired()
    shared:flush_all()
    shared:keys()
    for i = 1, n / 20 do
      shared:set(i, i)
    end
  end
end)
local rate, quota = mq.ratelimit("rate", { limit = 1e9, per = "day" }), mq.quota("quota", { limit = 1e9 })
local places, grey = mq.concurrency("places", { limit = 1e6 }), mq.greylist("grey")
each(
  "ratelimit:take quota:take concurrency:enter concurrency:leave greylist:check",
  "the key",
  "the key",
  function(n)
    local s = text(n)
    return function()
      rate:take(s)
      quota:take(s)
      places:enter(connection, s)
      places:leave(connection, s)
      grey:check("192.0.2.1", s, s)
    end
  end
)
local set, map = mq.set("set.txt"), mq.map("map.txt")
each("set:contains set:lookup map:get map:contains map:lookup", "the key", "nothing", function(n)
  local s = text(n / 2) .. "@" .. ("x."):rep(n / 4)
  return function()
    set:contains(s)
    set:lookup(s)
    map:get(s)
    map:contains(s)
    map:lookup(s)
  end
end)

-- ---- messages ----

of_buffer("find", "the text", "nothing", "y", 1, true)
of_buffer("match", "steps", "captures", "^(.*)$")
of_buffer("gsub", "steps and what is made", "the text", "x", "yy")
of_buffer("sub", "nothing", "nothing", 2)
of_buffer("lower", "the text", "the text")
of_buffer("upper", "the text", "the text")
of_buffer("reverse", "the text", "the text")
of_buffer("append", "what is made", "the buffer", "x")
of_buffer("rep", "what is made", "the text", 2)
of_buffer("tostring", "the text", "the text")
of_buffer("len", "nothing", "nothing")
of_buffer("byte", "results", "a stack", 1, 100)
each(
  "buffer:gmatch buffer.__concat buffer.__eq buffer.__len buffer.__tostring",
  "the text",
  "the text",
  function(n)
    local buffer = message.mime
    return function()
      for _ in buffer:gmatch("x+") do
      end
      return buffer == buffer .. "y", #buffer, tostring(buffer)
    end,
      #buffer
  end
)
each("address.__concat address.__eq address.__tostring", "the text", "the text", function(n)
  local s = text(n)
  return function()
    return message.recipient .. s
  end
end)
each("message:header message:headers", "the header", "the fields", function(n)
  message.mime = ("X-A: b\r\n"):rep(n / 8) .. "\r\n"
  return function()
    message:header("X-A", 3)
    message:header("X-None")
    return message:headers()
  end
end)
each("message:add_header message:remove_header", "the text", "the text", function(n)
  local s = text(n)
  return function()
    message:add_header("X-A", s)
    message:remove_header("X-A")
    message.json.headers = nil
  end
end)
each("message:tag", "the text", "the text", function(n)
  local s = text(n)
  return function()
    message:tag(s)
    message.json.tags = nil
  end
end)
each("message:add_dkim", "the text", "the text", function(n)
  local s = text(n)
  return function()
    message:add_dkim({ domain = "a.example", selector = "s", key = s })
    message.json.dkim = nil
  end
end)
each("json.__index json.__newindex json.__pairs", "values", "the values", function(n)
  local t = list(n)
  return function()
    message.json.x = t
    local _ = message.json.x[1]
    for _ in pairs(message.json) do
    end
    message.json.x = nil
  end
end)
each("json:totable", "values", "the values", function(n)
  message.json.x = list(n / 10)
  return function()
    return message.json:totable()
  end
end)

-- Nothing in these depends on a size: numbers, names of what there is, and what only loads.
local constant = [[
gcinfo getfenv getmetatable ipairs module object pcall rawequal rawget rawset require setfenv
setmetatable type xpcall bit.arshift bit.band bit.bnot bit.bswap bit.bxor bit.lshift bit.rol bit.ror
bit.rshift bit.tobit bit.tohex coroutine.create coroutine.isyieldable coroutine.running coroutine.status
coroutine.wrap coroutine.yield debug.getinfo io.close io.tmpfile io.type math.abs math.acos math.asin
math.atan math.atan2 math.ceil math.cos math.cosh math.deg math.exp math.floor math.fmod math.frexp
math.ldexp math.log math.log10 math.modf math.pow math.rad math.random math.randomseed math.sin math.sinh
math.sqrt math.tan math.tanh mq.complete mq.concurrency mq.configure mq.counter mq.defer mq.done mq.every
mq.file mq.gauge mq.greylist mq.histogram mq.map mq.monotonic mq.now mq.on mq.quota mq.ratelimit mq.rerun
mq.set mq.shared mq.sleep mq.uuid mq.with_timeout mq.generation.__newindex mq.generation.__index
mq.random.integer os.clock os.difftime os.getenv os.remove os.rename os.time os.tmpname package.seeall
file:close file:setvbuf shared:capacity shared:free_space message:delay message:expire
]]
local known = {}
for name in constant:gmatch("%S+") do
  known[name] = true
end

-- ---- what is there ----

local objects -- by name, in walk

-- Functions that a policy can reach and that are in neither list.
local function unknown()
  local seen, missing = { [debug] = true }, {}
  local function note(name, value)
    if type(value) == "function" and not seen[value] then
      seen[value] = true
      local bare = name:match("[:.](__%w+)$") -- of a type without sizes: __tostring, __newindex, ...
      if not sized[name] and not known[name] and not bare then
        missing[#missing + 1] = name
      end
    end
  end
  local function keys(t)
    local names = {}
    for key in next, t do
      names[#names + 1] = type(key) == "string" and key or nil
    end
    table.sort(names)
    return names
  end
  local function methods(name, object)
    local meta = debug.getmetatable(object)
    for _, key in ipairs(meta and keys(meta) or {}) do
      note(name .. "." .. key, meta[key])
      local classes = { key == "__index" and meta[key] or nil }
      for i = 1, key == "__index" and type(meta[key]) == "function" and 8 or 0 do
        local _, inner = debug.getupvalue(meta[key], i)
        classes[#classes + 1] = inner
      end
      for _, class in ipairs(classes) do
        for _, method in ipairs(type(class) == "table" and keys(class) or {}) do
          note(name .. ":" .. method, class[method])
        end
      end
    end
  end
  local function walk(path, t)
    if seen[t] then
      return
    end
    seen[t] = true
    for _, key in ipairs(keys(t)) do
      local value = rawget(t, key)
      note(path .. key, value)
    end
    for _, key in ipairs(keys(t)) do
      local value = rawget(t, key)
      if type(value) == "table" and value ~= package.loaded and value ~= package.preload then
        walk(path .. key .. ".", value)
        methods(path .. key, value)
      end
    end
  end
  walk("", _G)
  for name, object in pairs(objects) do
    methods(name, object)
  end
  return missing
end

-- ---- how it is run: the subject says what ----

-- Seconds of one use of size n, the least of some.
local function measure(run, n)
  local use, size = run(n)
  size = size or n
  local times, best = size < 5000 and 20 or 1, math.huge
  for _ = 1, 3 do
    collectgarbage()
    local begin = os.clock()
    for _ = 1, times do
      use()
    end
    best = math.min(best, (os.clock() - begin) / times)
  end
  return best, size
end

local modes, begin = {}, 0

function modes.list()
  local task, timer = mq.spawn(print), mq.after(9, print)
  objects = {
    message = message,
    connection = connection,
    json = message.json,
    buffer = message.mime,
    task = task,
    timer = timer,
  }
  objects.address, objects.transaction, objects.shared = message.recipient, connection.transaction, shared
  objects.counter, objects.gauge, objects.histogram, objects.ratelimit = counter, gauge, histogram, rate
  objects.quota, objects.concurrency, objects.greylist, objects.set, objects.map =
    quota, places, grey, set, map
  objects.cidr, objects.file, objects.verdict = mq.cidr("::1"), assert(io.open("set.txt")), mq.done()
  objects.mail, objects.expressions = mq.mime.parse("A: b\r\n\r\nx"), mq.re.set({ "a" })
  objects.part = message:parts()[1]
  objects.integer = mq.json.decode("[9007199254740993]")[1]
  for _, name in ipairs(unknown()) do
    mq.log.info("unknown: %s ", name)
  end
  for i = 1, #order do
    mq.log.info("sized: %s ", order[i])
  end
  mq.log.info("listed")
end

function modes.growth(name, n)
  local seconds, size = measure(sized[name].run, n)
  mq.log.info("measured: %s %d %.12f %.6f ", name, n, seconds / size, seconds)
end

local waiting = "^mail: ^part: ^mq.memoize$ ^mq.wait$ ^mq.password.verify$ ^mq.mime.parse$ ^message:parts$"

local function waits(name)
  for pattern in waiting:gmatch("%S+") do
    if name:find(pattern) then
      return true
    end
  end
  return false
end

function modes.budget(name, n)
  local use = sized[name].run(n)
  while not waits(name) do
    use()
  end
  use() -- the budget begins anew when a task goes on
  while true do
  end
end

mq.on("smtp_in_message", function(c, m)
  connection, message = c, m
  local mode, name, n = m:header("Subject"):match("^(%S+) ?(%S*) ?(%d*)$")
  begin = os.clock()
  modes[mode](name, tonumber(n))
end, {
  on_error = function(failure)
    mq.log.info("ended: %.3f %s ", os.clock() - begin, failure)
  end,
})
