# SPDX-License-Identifier: MIT
"""Run-time budget, memory cap, deadlines, and what is not there: nothing a script does stops the others."""

import re
import threading

import pytest

from mqlua import Client, Host
from probe import Probe

SETTINGS = {"budget": 0.05, "memory": "8MB", "deadline": {"incoming": 0.3}, "hold": 0.1,
            "files": {"read": ["@FOLDER@"]}}
PAUSE = pytest.mark.parametrize("pause", ["", "mq.sleep(0.002) "], ids=["at-once", "after-sleep"])

POLICY = r"""
local folder = os.getenv("PROBE_FOLDER")
mq.on("smtp_in_rcptto", function(connection, address)
  local file = io.open(folder .. "/" .. address.localpart .. ".bomb")
  if file then
    local text = file:read("*a")
    file:close()
    return assert(load(text, "=bomb"))()
  end
end, {on_error = mq.tempfail(451, "4.3.0", "bomb")})
"""


class Bombs(Host):
    """Tells what came of Lua code in smtp_in_rcptto: the code of the reply, and the first line of the failure."""

    def __init__(self, **settings):
        super().__init__(policy=POLICY, settings={**SETTINGS, **settings}, start=False)
        self.environment["PROBE_FOLDER"] = str(self.folder)
        self.count = 0
        self.start()

    def reply(self, code):
        """For many in a row: of a kind of line, ten a second are logged."""
        self.count += 1
        name = f"b{self.count}"
        (self.folder / f"{name}.bomb").write_text(code)
        with self.client() as client:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            return client.command(f"RCPT TO:<{name}@example.com>")

    def drop(self, code):
        reply = self.reply(code)
        if reply == 250:
            return reply, None
        return reply, self.wait_stderr(r"handler 'policy.lua:3' of smtp_in_rcptto failed: (.*)", self.failures()).group(1)

    def failures(self):
        self.failed = getattr(self, "failed", 0) + 1
        return self.failed


@pytest.fixture
def bombs():
    with Bombs() as host:
        yield host
        assert host.send() == {}, "the host still takes mail"


LOOPS = {
    "plain": "while true do end",
    "calls": "local function f() end while true do f() end",
    "pcall": "while true do pcall(function() while true do end end) end",
    "xpcall": "xpcall(function() while true do end end, function() while true do end end) while true do end",
    "xpcall in handler": "xpcall(function() error('x') end, function() while true do end end)",
    "pcall of error": "while true do pcall(error, 'x') end",
    "coroutine": "coroutine.wrap(function() while true do end end)()",
    "coroutines": "while true do coroutine.wrap(function() end)() end",
    "pcall in coroutine": "while true do coroutine.resume(coroutine.create(function() pcall(function() while true do end end) end)) end",
    "yields": "local f = coroutine.wrap(function() while true do coroutine.yield() end end) while true do f() end",
    "metamethod": "local t = setmetatable({}, {__index = function() while true do end end}) local x = t.x",
    "index chain": "local t = setmetatable({}, {}) getmetatable(t).__index = function(t, k) return rawget(t, k) end while true do local x = t.x end",
    "concat": "local t = setmetatable({}, {__concat = function() while true do end end}) local x = t .. 'x'",
    "tostring": "tostring(setmetatable({}, {__tostring = function() while true do end end}))",
    "iterator": "for _ in function() return 1 end do end",
    "pairs": "for _ in pairs(setmetatable({}, {__pairs = function() while true do end end})) do end",
    "gsub": "(' '):rep(10000):gsub(' ', function() while true do end end)",
    "pattern": "local _ = ('a'):rep(5000):find('.-.-.-.-b')",
    "gmatch": "while true do for _ in ('a b'):gmatch('%a') do end end",
    "sort": "local t = {} for i = 1, 1000 do t[i] = i end table.sort(t, function(a, b) while true do end end)",
    "sort that is inconsistent": "local t = {} for i = 1, 1e5 do t[i] = i % 7 end while true do pcall(table.sort, t, function() return true end) end",
    "load": "while true do load('return 1')() end",
    "load of pieces": "load(function() return ' ' end)",
    "concat of many": "local t = {} for i = 1, 1000 do t[i] = 'xxxxxxxxxx' end while true do table.concat(t) end",
    "rep": "while true do ('x'):rep(100000) end",
    "format": "while true do ('%99s'):format('x') end",
    "json": "local s = '[' .. ('1,'):rep(50000) .. '1]' while true do mq.json.decode(s) end",
    "spawn": "while true do mq.spawn(function() end) end",
    "goto": "::again:: goto again",
    "recursion": "local function f() pcall(f) return f() end f()",
    "tail calls": "local function f() return f() end f()",
    "insert": "local t = {} for i = 1, 20000 do t[i] = i end while true do table.insert(t, 1, 0) table.remove(t, 1) end",
    "unpack": "local t = {} for i = 1, 5000 do t[i] = i end while true do select('#', unpack(t)) end",
    "collectgarbage": "local t = {} for i = 1, 20000 do t[i] = {} end while true do collectgarbage() end",
    "deep equality": "while true do local _ = ('x'):rep(1000) == ('x'):rep(1000) end",
}


@pytest.mark.parametrize("name", LOOPS)
def test_loop_ends_with_the_budget(bombs, name):
    code, text = bombs.drop(LOOPS[name])
    assert code == 451
    assert re.search(r"run-time budget of 50 ms is spent|not enough memory", text), text


@PAUSE
def test_budget_counts_between_waits(pause):
    work = "local t = os.clock() while os.clock() - t < 0.15 do end "
    with Bombs(budget=0.25, deadline={"incoming": 60}) as host:
        assert host.drop((work + "mq.sleep(0.001) ") * 3)[0] == 250
        assert host.drop(pause + work * 3)[0] == 451


def test_spawned_loop_ends_as_well(bombs):
    code, _ = bombs.drop("local r = mq.wait{mq.spawn(function() while true do end end)}[1] error(r.value)")
    assert code == 451
    assert "run-time budget" in bombs.stderr


MEMORY = {
    "tables": "local t = {} while true do t[#t + 1] = {} end",
    "strings": "local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end",
    "one string": "local s = 'x' while true do s = s .. s end",
    "rep": "local s = ('x'):rep(1e9)",
    "coroutines": "local t = {} while true do t[#t + 1] = coroutine.create(function() end) end",
    "closures": "local t = {} while true do t[#t + 1] = function() return t end end",
    "recursion": "local function f() return 1 + f() end f()",
    "deep data": "local t = {} while true do t = {t} end",
    "concat": "local t = {} for i = 1, 1000 do t[i] = ('x'):rep(100000) end table.concat(t)",
    "spawn": "while true do mq.spawn(function() mq.sleep(60) end) end",
    "vars": "local t = {} for i = 1, 1e9 do t[i] = i end",
    "pcall": "local t = {} while true do pcall(function() while true do t[#t + 1] = {} end end) end",
    "buffers": "local t = {} while true do t[#t + 1] = mq.json.encode(t) end",
    "join": "local s = ('x'):rep(7e6) .. 'y' .. ('z'):rep(7e6)",
}


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_capped(name):
    with Bombs(budget=0.3) as host:
        code, text = host.drop(MEMORY[name])
        assert code == 451
        assert re.search(r"not enough memory|stack overflow|run-time budget|string length overflow", text), text
        for _ in range(3):
            assert host.send() == {}, "the host still takes mail"
        assert host.drop("local t = {} for i = 1, 10000 do t[i] = {} end")[0] == 250


def test_memory_again_and_again():
    with Bombs(budget=2) as host:
        for _ in range(8):
            assert host.drop("local t = {} while true do t[#t + 1] = {} end")[0] == 451
        assert host.drop("return mq.done()")[0] == 250


def test_others_go_on_while_one_burns():
    with Bombs() as host:
        replies = []

        def send():
            replies.append(host.send())
        threads = [threading.Thread(target=send) for _ in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(4):
            assert host.drop("while true do end")[0] == 451
        for thread in threads:
            thread.join()
        assert replies == [{}] * 8


# ---- deadlines ----

def test_deadline_while_waiting(bombs):
    code, text = bombs.drop("mq.sleep(10)")
    assert (code, text) == (451, "the deadline passed while the handler was waiting")


def test_deadline_cannot_be_caught(bombs):
    assert bombs.drop("while true do pcall(mq.sleep, 10) end")[0] == 451


def test_timeout_of_a_handler():
    policy = """
    mq.on("smtp_in_rcptto", function() mq.sleep(10) end, {timeout = 0.05, on_error = mq.tempfail(452, "4.3.0")})"""
    with Host(policy=policy, settings={"hold": 0.1}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        assert client.command("RCPT TO:<one@example.com>") == 452


def test_deadline_is_for_all_handlers_together():
    policy = """
    local function wait() mq.sleep(0.2) mq.log.info("<done>") end
    for _ = 1, 5 do mq.on("smtp_in_rcptto", wait) end"""
    with Host(policy=policy, settings={"deadline": {"incoming": 0.5}}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<one@example.com>", 250)
        assert host.stderr.count("<done>") in (1, 2)


def test_deadline_of_the_policy():
    policy = """
    mq.configure{deadline = {incoming = 0.05}}
    mq.on("smtp_in_rcptto", function() mq.sleep(10) end, {on_error = mq.tempfail()})"""
    with Host(policy=policy, settings={"hold": 0.1}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        assert client.command("RCPT TO:<one@example.com>") == 450


def test_waiting_for_ever_for_a_child_ends_with_the_deadline(bombs):
    assert bombs.drop("mq.wait{mq.spawn(function() mq.sleep(100) end)}")[0] == 451


# ---- what is not there ----

@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


ABSENT = ["os.exit", "os.execute", "os.setlocale", "io.popen", "package.loadlib", "string.dump", "newproxy", "loadfile",
          "dofile", "debug.sethook", "debug.getregistry", "debug.setmetatable", "debug.getupvalue", "debug.setupvalue",
          "debug.getlocal", "debug.upvaluejoin", "jit", "ffi"]


@pytest.mark.parametrize("name", ABSENT)
def test_absent(probe, name):
    assert probe.shown(rcptto=f"show(pcall(load('return {name}')))")[1] is None


def test_modules_that_cannot_be_required(probe):
    code = "for _, name in ipairs{'ffi', 'jit', 'jit.opt', 'jit.util', 'debug'} do local ok, m = pcall(require, name) " \
           "show(name, ok and (name == 'debug' and m.sethook ~= nil or name ~= 'debug')) end"
    for name, found in probe.run(rcptto=code).wait_shown(5):
        assert not found, name


JIT = """
local seen = {jit ~= nil}
for _, name in ipairs{'jit', 'jit.opt', 'jit.util', 'jit.profile'} do seen[#seen + 1] = pcall(require, name) end
for i, value in ipairs(seen) do seen[i] = tostring(value) end
mq.log.info("<%s %s>", table.concat(seen, " "), jit and jit.status() and "on" or "off")
"""


@pytest.mark.parametrize("settings, seen", [
    ({}, "false false false false false off"), ({"jit": True}, "false false false false false off"),
    ({"allow": ["jit"]}, "true true true true true off"),
    ({"allow": ["jit"], "jit": True}, "true true true true true on")])
def test_the_compiler_and_its_library(settings, seen):
    """The compiler is for the setting jit alone, what scripts see is for allow."""
    with Host(policy=JIT, settings=settings) as host:
        host.wait_stderr(f"<{seen}>")


@pytest.mark.parametrize("settings, code", [({}, 451), ({"jit": True}, 250), ({"allow": ["jit"]}, 451)])
def test_a_compiled_loop_is_not_interrupted(settings, code):
    """Which is how the setting is seen to do something. Compiled, the loop takes an eighth of the time."""
    with Bombs(budget=0.1, **settings) as host:
        assert host.drop("local x = 0 for i = 1, 3e8 do x = x + i end")[0] == code


def test_bytecode_is_refused(probe):
    code = r"show(load('\27LJ\2\10')) show(loadstring('\27LJ\2\10')) show(load('\27LJ', 'x', 'b'))"
    for function, message in probe.run(rcptto=code).wait_shown(3):
        assert function is None and "bytecode" in message or "mode" in message


def test_globals_after_load_raise(probe):
    message = probe.error(rcptto="raises(function() typo = 1 end)")
    assert "typo" in message and "global" in message


def test_globals_from_a_loaded_chunk_raise(probe):
    assert "global" in probe.error(rcptto="raises(load('typo = 1'))")


def test_globals_at_load_are_fine():
    with Host(policy='limit = 5\nmq.on("smtp_in_rcptto", function() mq.log.info("<%d>", limit) end)\n') as host:
        host.send()
        host.wait_stderr("<5>")


def test_metatable_of_strings_is_locked(probe):
    assert probe.shown(rcptto="show(getmetatable(''), pcall(setmetatable, '', {}))")[:2] == [False, False]


def test_collectgarbage_cannot_be_stopped(probe):
    assert "not available to policies" in probe.error(rcptto="raises(collectgarbage, 'stop')")


def test_print_goes_to_the_log(probe):
    probe.run(rcptto="print('printed', 5)")
    probe.wait_stderr("printed\t5|printed 5")


def test_what_settings_allow():
    with Probe(settings={"allow": ["os.execute", "ffi"]}) as host:
        assert host.shown(rcptto="show(type(os.execute), type(require('ffi').new))") == ["function", "function"]


# ---- a state whose memory is at its cap ----

REFUSES = """
mq.on("smtp_in_rcptto", function(connection, address)
  if address.localpart == "refused" then return mq.reject(550, "5.1.1", "no such user") end
end)
"""

GROWS = {
    "a little": "local kept = {} local function keep() kept[#kept + 1] = ('x'):rep(40000) .. #kept end",
    "much": "local kept = {} local function keep() kept[#kept + 1] = ('x'):rep(1500000) .. #kept end",
    "more than half": "local kept = {} local function keep() kept[#kept + 1] = ('x'):rep(2500000 + #kept) end",
    "tables": "local kept = {} local function keep() for i = 1, 3000 do kept[#kept + 1] = {i} end end",
}


@pytest.mark.parametrize("name", GROWS)
def test_a_policy_that_keeps_everything_goes_on(name):
    """Without an end, and not only until the cap is reached for the first time."""
    policy = GROWS[name] + ' mq.on("smtp_in_mailfrom", function() keep() end)' + REFUSES
    passed = 0
    with Host(policy=policy, settings={"memory": "8MB", "hold": 0.05, "budget": 5}) as host:
        for _ in range(300):
            with host.client() as client:
                client.greet()
                client.command("MAIL FROM:<a@example.org>")
                passed += client.command("RCPT TO:<refused@example.com>") != 550
        assert passed == 0, host.stderr[-3000:]
        host.wait_stderr("ITS STATE WAS MADE ANEW.*a table that only grows")
        assert host.send() == {}


def test_vars_and_transactions_outlive_a_state_made_anew():
    policy = """
    local kept, marks = {}, 0
    mq.on("context_initialize", function() marks = marks + 1 end)
    mq.on("smtp_in_mailfrom", function(connection, address)
      if address.localpart == "grow" then for i = 1, 5 do kept[#kept + 1] = ("x"):rep(1e6) .. #kept end return end
      connection.vars.name, connection.transaction.vars.sender = "kept", address.email
    end)
    mq.on("smtp_in_message", function(connection, message)
      message.json.seen = {connection.vars.name, connection.transaction.vars.sender, #kept, marks}
    end)"""
    with Host(policy=policy, settings={"memory": "8MB", "budget": 5}) as host, Client(host.port) as client:
        client.greet()
        client.begin("first@example.org")
        for _ in range(4):
            with host.client() as other:
                other.greet()
                other.command("MAIL FROM:<grow@example.org>")
        host.wait_stderr("MADE ANEW")
        client.expect("text\r\n.", 250)
        name, sender, kept, marks = host.inbox(1)[0]["seen"]
        assert (name, sender, marks) == ("kept", "first@example.org", 1) and kept < 10


def test_what_waits_in_a_full_state_fails_with_its_memory():
    policy = """
    local kept = {}
    mq.on("smtp_in_mailfrom", function(connection, address)
      if address.localpart == "wait" then mq.sleep(60) end
      for i = 1, 50 do kept[#kept + 1] = ("x"):rep(2e5) .. #kept end
    end, {on_error = function(error) mq.log.warn("told: %s", error) return mq.tempfail(451, "4.3.0", "memory") end})"""
    with Host(policy=policy, settings={"memory": "8MB", "hold": 0.1, "budget": 5, "deadline": {"incoming": 50}}) as host, \
            Client(host.port) as client:
        client.greet()
        client.send("MAIL FROM:<wait@example.org>\r\n")
        for _ in range(3):
            with host.client() as other:
                other.greet()
                other.command("MAIL FROM:<grow@example.org>")
        assert client.code() == 451
        host.wait_stderr("told: not enough memory.*while this was waiting")


def test_one_large_thing_is_no_reason_to_make_a_state_anew(bombs):
    before = bombs.stderr.count("MADE ANEW")
    for _ in range(20):
        assert bombs.reply("local t = {} while true do t[#t + 1] = ('x'):rep(1e5) .. #t end") == 451
    assert bombs.stderr.count("MADE ANEW") == before
