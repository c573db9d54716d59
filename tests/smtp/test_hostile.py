# SPDX-License-Identifier: MIT
"""Policies that do their worst, beyond what test_limits.py has: each ends with its on_error verdict and a clear log
line, and everybody else goes on. MQLUA_HOSTILE says how many of them the long run has (default: 600)."""

import os
import re

import pytest

from mqlua import MESSAGE, Host, wait_until

SETTINGS = {"budget": 0.03, "memory": "8MB", "deadline": {"incoming": 0.5}, "hold": 0.05,
            "files": {"read": ["@FOLDER@"]}}
COUNT = int(os.environ.get("MQLUA_HOSTILE", "600"))

POLICY = r"""
local folder, open, load, tonumber = os.getenv("PROBE_FOLDER"), io.open, load, tonumber
local done, count = mq.done(), collectgarbage
kept = {}

local function run(name, ...)
  local file = open(folder .. "/" .. name .. ".lua")
  if not file then return end
  local text = file:read("*a")
  file:close()
  local chunk, message = load("local connection, address = ... " .. text, "=" .. name)
  if not chunk then error(message, 0) end
  return chunk(...)
end

mq.on("smtp_in_rcptto", function(connection, address)
  return run(address.localpart, connection, address)
end, {name = "hostile", on_error = mq.tempfail(451, "4.3.0", "hostile")})
mq.on("smtp_in_message", function(connection, message)
  kept.message, kept.mime, kept.json, kept.recipient = message, message.mime, message.json, message.recipient
  message:tag("seen")
end)
mq.on("smtp_in_data", function(connection, chunk) kept.chunk = chunk end, {chunks = true})
"""


class Hostile(Host):
    def __init__(self, *arguments, policy=POLICY, settings=None, **options):
        super().__init__(*arguments, policy=policy, settings={**SETTINGS, **(settings or {})}, start=False, **options)
        self.environment["PROBE_FOLDER"] = str(self.folder)
        self.count = self.failed = 0
        self.start()

    def put(self, code):
        """Puts code where the policy finds it; returns the localpart that runs it."""
        self.count += 1
        (self.folder / f"h{self.count}.lua").write_text(code)
        return f"h{self.count}"

    def run(self, code):
        """The code of the reply to RCPT TO, and the first line of the failure, or None."""
        with self.client() as client:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            reply = client.command(f"RCPT TO:<{self.put(code)}@example.com>")
        if reply == 250:
            return reply, None
        self.failed += 1
        pattern = r"handler 'hostile' of smtp_in_rcptto failed: (.*)"
        return reply, self.wait_stderr(pattern, self.failed).group(1)


BUDGET = r"run-time budget of 30 ms is spent"
MEMORY = r"not enough memory|stack overflow"

SCRIPTS = {
    # loops
    "loop in a spawned task's parent": ("mq.spawn(function() while true do end end) while true do end", BUDGET),
    "loop in pcall in a metamethod": ("local t = setmetatable({}, {__newindex = function() while true do pcall(function() "
                                      "while true do end end) end end}) t.x = 1", BUDGET),
    "loop in a comparison": ("local m = {__lt = function() while true do end end} "
                             "local _ = setmetatable({}, m) < setmetatable({}, m)", BUDGET),
    "loop in xpcall's own handler, again": ("while true do xpcall(error, function() while true do end end) end", BUDGET),
    "errors in handlers of errors": ("local function h() return xpcall(error, h) end xpcall(error, h) while true do end",
                                     BUDGET),
    "loop that catches the budget": ("while true do pcall(pcall, function() repeat until false end) end", BUDGET),
    "coroutines in coroutines": ("local function f() return coroutine.wrap(f)() end f()", r"stack overflow|" + BUDGET),
    "caught overflows": ("local function f() pcall(f) pcall(f) end f()", BUDGET + "|" + MEMORY),
    "original xpcall": ("local x xpcall(function() x = debug.getinfo(2, 'f').func end, print); "
                        "(x or xpcall)(function() while true do end end, function() while true do end end)", BUDGET),
    "original pcall": ("local p pcall(function() p = debug.getinfo(2, 'f').func end); "
                       "local q = p or pcall local function f() q(f) q(f) end f()", BUDGET + "|" + MEMORY),
    "gsub in gsub": ("local function f() return (('x'):rep(99):gsub('x', f)) end f()", r"stack overflow|" + BUDGET),
    "sort in sort": ("local function f() table.sort({3, 2, 1}, f) end f()", r"stack overflow|" + BUDGET),
    "tostring in tostring": ("local t = setmetatable({}, {__tostring = function(t) return tostring(t) end}) tostring(t)",
                             r"stack overflow|" + BUDGET),
    "index of itself": ("local t = {} setmetatable(t, {__index = t}) local _ = t.x", r"loop in gettable"),
    "call of itself": ("local t = {} setmetatable(t, {__call = t}) t()", r"attempt to call|" + BUDGET + "|" + MEMORY),
    # memory
    "a string of gigabytes": ("return ('x'):rep(3e9)", r"not enough memory"),
    "replacement of gigabytes": ("return (('a'):rep(1e5):gsub('', ('b'):rep(1e5)))", BUDGET + "|" + MEMORY),
    "endless file": ("local f = io.tmpfile() f:write(('x'):rep(3e6)) f:seek('set') local t = {} while true do t[#t + 1] = f:read(1e6) or f:seek('set') "
                     "end", BUDGET + "|" + MEMORY),
    "endless line": ("return assert(io.open('/dev/zero')):read('*l')", r"/dev/zero: not below a folder that files\.read"),
    "lines of a device": ("for _ in io.lines('/dev/zero') do end", r"/dev/zero: not below a folder that files\.read"),
    "unpack": ("return unpack({}, 1, 1e8)", r"too many results"),
    "arguments": ("local t = {} for i = 1, 1e5 do t[i] = i end string.char(unpack(t))", r"too many results|stack"),
    "timers": ("while true do mq.after(1000, function() end) end", BUDGET + "|" + MEMORY),
    "tasks of the connection": ("while true do connection:spawn(function() mq.sleep(100) end) end", BUDGET + "|" + MEMORY),
    "vars": ("for i = 1, 1e9 do connection.vars[i] = ('x'):rep(1e5) .. i end", BUDGET + "|" + MEMORY),
    "nested arrays in text": ("assert(mq.json.decode(('['):rep(1e6)))", r"depth|deep|nested"),
    "nested tables in text": ("local t = {} for _ = 1, 1e4 do t = {t} end return mq.json.encode(t)", r"deeper than|" + BUDGET),
    "a cycle in text": ("local t = {} t[1] = t return mq.json.encode(t)", r"contains itself"),
    # waiting where nobody can
    "wait in gsub": ("('x'):gsub('x', function() mq.sleep(0.001) end)", r"mq\.sleep cannot wait inside a callback"),
    "wait in sort": ("table.sort({2, 1}, function() mq.sleep(0.001) end)", r"mq\.sleep cannot wait inside a callback"),
    "wait in load": ("load(function() mq.sleep(0.001) end) error('went on')", r"went on|cannot wait"),
    "yield of the handler": ("coroutine.yield(1)", r"attempt to yield from outside a coroutine"),
    "yield by another name": ("local y = coroutine.yield coroutine = nil y(1)", r"attempt to yield from outside"),
    "resume of the waiting": ("local co co = coroutine.create(function() mq.sleep(0.01) end) mq.spawn(function() "
                              "error(select(2, coroutine.resume(co))) end) mq.spawn(function() "
                              "coroutine.resume(co) end) mq.sleep(0.05) error('done')", r"done"),
    "waits for ever": ("while true do pcall(mq.sleep, 1) end", r"the deadline passed"),
    # getting out
    "environment": ("assert(not pcall(setfenv, 0, {})) setfenv(1, {}) local x = y.z", r"attempt to index|cannot change|'setfenv'"),
    "metatables": ("for _, v in ipairs{connection, address, mq.reject(), 'x'} do assert(type(getmetatable(v)) ~= 'table') end error('locked')",
                   r"locked"),
    "ffi by a number": ("local x = 1LL + 2ULL assert(not package.loaded.ffi and not pcall(require, 'ffi') and not package.preload.ffi) "
                        "assert(not pcall(function() return x.y end) and not pcall(function() return x() end)) "
                        "assert(getmetatable(x) ~= nil and type(getmetatable(x)) ~= 'table') error('no ffi')", r"no ffi"),
    "registry": ("assert(not debug.getregistry and not debug.getupvalue and not debug.setmetatable and not string.dump "
                 "and not newproxy) error('no registry')", r"no registry"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_ends_with_its_verdict(name):
    code, pattern = SCRIPTS[name]
    with Hostile() as host:
        reply, text = host.run(code)
        assert reply == 451
        assert re.search(pattern, text), text
        assert host.run("return nil") == (250, None)
        assert host.send() == {}


def test_error_of_the_budget_names_it():
    """Large blocks are refused when the budget is spent: that is not called a lack of memory."""
    with Hostile(settings={"memory": "64MB"}) as host:
        for code in ["while true do local s = ('x'):rep(1e6) .. 'y' end", "local s = ('x'):rep(2e7) while true do s:sub(1) end",
                     "local f = coroutine.wrap(function() while true do local s = ('x'):rep(1e6) .. 'y' end end) f()"]:
            reply, text = host.run(code)
            assert reply == 451 and re.search(BUDGET, text), text


def test_garbage_is_no_lack_of_memory():
    with Hostile(settings={"budget": 0.4}) as host:
        for code in ["for i = 1, 40 do local s = ('x'):rep(1e6) .. i end", "for i = 1, 2e5 do local t = {i} end",
                     "local keep = {} for i = 1, 3e4 do keep[i] = {i} end for i = 1, 1e5 do local t = {i} end"]:
            assert host.run(code) == (250, None)


# ---- what is over ----

@pytest.mark.parametrize("use, message", [
    ("kept.connection.id", "connection is closed"), ("kept.connection.vars.x", "connection is closed"),
    ("kept.transaction.envelope", "over|closed|ended"), ("kept.address.is_local", "after the end of the event"),
    ("kept.message.json", "over|ended"), ("kept.json.tags", "over|ended"), ("#kept.mime", "no longer valid"),
    ("#kept.chunk", "no longer valid")])
def test_things_kept_beyond_their_end(use, message):
    with Hostile() as host:
        assert host.run("kept.connection, kept.address, kept.transaction = connection, address, connection.transaction")[0] == 250
        host.send()
        host.inbox(1)
        reply, text = host.run(f"local x = {use} error('was there: ' .. tostring(x))")
        assert reply == 451
        assert re.search(message, text) and "was there" not in text, text


# ---- what the engine needs is not what scripts can reach ----

def test_globals_taken_away_at_load():
    policy = POLICY + r"""
    local wipe = {}
    for name in pairs(_G) do wipe[#wipe + 1] = name end
    local libraries = {string, table, coroutine, math, os, io, debug, package, bit}
    local on, discard, sleep, spawn, wait, decode = mq.on, mq.discard, mq.sleep, mq.spawn, mq.wait, mq.json.decode
    on("smtp_in_message", function(_, message)
      sleep(0.001)
      wait({spawn(function() sleep(0.001) end)})
      message:add_header("X-A", "b")
      message.json.data = decode('{"a": [1, 2]}')
      message.json.data.a[3] = 9007199254740993LL
      if message.recipient.localpart == "gone" then return discard("gone") end
    end)
    for _, library in ipairs(libraries) do for name in pairs(library) do library[name] = nil end end
    local globals, ipairs = _G, ipairs
    for _, name in ipairs(wipe) do if name ~= "kept" then globals[name] = nil end end
    """
    with Hostile(policy=policy, settings={"host": {"inbox": "mailerq"}}) as host:
        assert host.send(recipients=["one@example.com", "gone@example.com"]) == {}
        messages = {message["recipient"]: message for message in host.inbox(2)}
        assert messages["one@example.com"]["data"] == {"a": [1, 2, 9007199254740993]}
        assert messages["gone@example.com"]["mailerq-lua"]["verdict"] == "discard"
        assert " failed: " not in host.stderr


@pytest.mark.parametrize("code", [
    "pcall = nil error = nil xpcall = nil", "pairs = error next = error ipairs = error", "mq = nil", "mq.on = nil mq.done = nil",
    "for k in pairs(mq) do mq[k] = nil end", "coroutine.resume = error coroutine.yield = error coroutine.wrap = error",
    "string.find = error string.format = error string.match = error", "setmetatable = error getmetatable = error type = error",
    "tostring = function() while true do end end", "table.insert = error table.concat = error select = error",
    "require = nil package.loaded = {} package.loaders = {}", "_G._G = nil"])
def test_overwritten_while_running(code):
    with Hostile() as host:
        reply, _ = host.run(code + " while true do end")
        assert reply == 451
        assert host.run("return nil") == (250, None)
        assert host.send() == {}
        [message] = host.inbox(1)
        assert message["tags"] == ["seen"]


@pytest.mark.parametrize("code", [
    "xpcall(error, function() while true do end end) while true do end", "local t = {} while true do t[#t + 1] = {} end", "return ('x'):rep(3e9)", "local function f() return 1 + f() end f()",
    "mq.sleep(1)"])
def test_at_load(code):
    host = Host(policy=code + "\n", settings=SETTINGS, start=False)
    with pytest.raises(AssertionError, match="mqlua ended with"):
        host.start()
    assert re.search(r"policy\S* does not load:\n.*(budget|memory|stack overflow|mq\.sleep)", host.stderr), host.stderr
    with host:
        pass


# ---- the others ----

def test_sessions_beside_go_on():
    """Some on each worker, in the middle of a transaction, while others do their worst."""
    with Hostile(workers=2) as host:
        clients = [host.client() for _ in range(8)]
        for client in clients:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            client.expect(f"RCPT TO:<{host.put('mq.sleep(0.01)')}@example.com>", 250)
        for name in ["loop that catches the budget", "vars", "caught overflows", "waits for ever", "tasks of the connection",
                     "a string of gigabytes", "errors in handlers of errors", "timers"]:
            assert host.run(SCRIPTS[name][0])[0] == 451
        for client in clients:
            client.expect(f"RCPT TO:<{host.put('mq.sleep(0.01)')}@example.com>", 250)
            client.expect("DATA", 354)
            client.send(MESSAGE)
            client.expect(".", 250)
            client.close()
        assert len(host.inbox(16)) == 16
    assert host.ledger()["left"] == 0


def resident(host):
    """KB of memory that the process really uses."""
    [size] = re.findall(r"^VmRSS:\s+(\d+) kB", open(f"/proc/{host.process.pid}/status").read(), re.MULTILINE)
    return int(size)


# Cheap ones of each kind, all of which the session survives.
LONG = ["while true do end", "pcall(function() while true do end end)", "coroutine.wrap(function() while true do end end)()",
        "xpcall(error, function() while true do end end) while true do end", "error({})", "error(setmetatable({}, {__tostring = error}))",
        "local t = {} while true do t[#t + 1] = {} end", "return ('x'):rep(3e9)", "local function f() return 1 + f() end f()",
        "local s = 'x' while true do s = s .. s end", "return ('a'):rep(3000):find('.-.-.-b')", "while true do mq.spawn(error) end",
        "while true do mq.after(0.001, error) end", "connection:spawn(function() mq.sleep(100) end) error('x')",
        "mq.spawn(function() mq.sleep(0.01) end) error('x')", "pcall(mq.with_timeout, 0.001, function() mq.sleep(1) end) error('x')",
        "connection.vars.big = ('x'):rep(1e5) error('x')", "local t = {} t[1] = t connection.vars.t = t",
        "mq.wait{mq.spawn(function() mq.sleep(0.001) error('x') end)} error('x')", "return 5", "return mq.discard('x')",
        "mq.json.decode('{')", "('x'):gsub('x', function() mq.sleep(1) end)", "load('while true do end')()"]


def test_memory_stays_flat():
    """What many of them leave behind: nothing. RSS and the memory of the vm are compared with what a tenth left."""
    policy = POLICY.replace('mq.tempfail(451, "4.3.0", "hostile")', "mq.done()") + r"""
    mq.on("smtp_in_mailfrom", function()
      count() count()
      mq.log.info("<%d KB>", count("count"))
    end)"""
    sizes = []
    with Hostile(policy=policy, settings={"budget": 0.002}) as host:
        names = [host.put(code) for code in LONG]

        def run(number):
            with host.client() as client:
                client.greet()
                for i in range(number):
                    if i % 100 == 0:
                        client.expect("RSET", 250)
                        client.expect("MAIL FROM:<a@example.org>", 250)
                    client.expect(f"RCPT TO:<{names[i % len(names)]}@example.com>", 250)
                    host.failed += 1
                client.expect("RSET", 250)
                client.expect("MAIL FROM:<a@example.org>", 250)
            lines = wait_until(lambda: re.findall(r"<(\d+) KB>", host.stderr), "the size of the vm")
            sizes.append((resident(host), int(lines[-1])))

        run(max(COUNT // 10, 2 * len(names)))
        run(COUNT)
        assert host.send() == {}
    (rss_before, vm_before), (rss_after, vm_after) = sizes
    assert vm_after < max(vm_before, 600) + 400, sizes  # what a vm has when it is quiet
    assert rss_after < rss_before + 8 * 1024, sizes
    assert host.ledger()["left"] == 0
