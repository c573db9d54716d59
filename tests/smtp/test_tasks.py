# SPDX-License-Identifier: MIT
"""Waiting, spawned tasks, timers, cancellation, and where waiting is not possible."""

import pytest

from mqlua import MESSAGE, Host
from probe import Probe


@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


# ---- mq.sleep ----

def test_sleep_takes_as_long_as_it_says(probe):
    [waited] = probe.shown(rcptto="local t = mq.monotonic() mq.sleep(0.05) show(mq.monotonic() - t)")
    assert waited >= 0.05


def test_sleep_zero_waits_as_well(probe):
    assert probe.shown(rcptto="mq.sleep(0) show('on')") == ["on"]


@pytest.mark.parametrize("argument", ["-1", "0/0", "1/0", "'x'", ""])
def test_sleep_of_nonsense(probe, argument):
    assert "bad argument #1 to 'sleep'" in probe.error(rcptto=f"raises(function() mq.sleep({argument}) end)")


@pytest.mark.parametrize("code", [
    "pcall(mq.sleep, 0.002)",
    "pcall(function() mq.sleep(0.002) end)",
    "xpcall(function() mq.sleep(0.002) end, print)",
    "coroutine.wrap(function() mq.sleep(0.002) end)()",
    "assert(coroutine.resume(coroutine.create(function() mq.sleep(0.002) end)))",
    "local co = coroutine.wrap(function() local x = coroutine.yield(1) mq.sleep(0.002) coroutine.yield(x) end) co() assert(co(7) == 7)",
    "coroutine.wrap(function() coroutine.wrap(function() mq.sleep(0.002) end)() mq.sleep(0.002) end)()",
    "for i in coroutine.wrap(function() for i = 1, 3 do mq.sleep(0.001) coroutine.yield(i) end end) do mq.sleep(0.001) end",
    "setmetatable({}, {__index = function() mq.sleep(0.001) end}).x = 1",
])
def test_waiting_works(probe, code):
    assert probe.shown(rcptto=code + " show('on')") == ["on"]


def test_error_after_a_wait_in_pcall(probe):
    assert probe.shown(rcptto="show(pcall(function() mq.sleep(0.002) error('x', 0) end))") == [False, "x"]


@pytest.mark.parametrize("code", [
    "('abc'):gsub('b', function() mq.sleep(0.002) end)",
    "table.sort({3, 2, 1}, function(a, b) mq.sleep(0.002) return a < b end)",
    "load(function() mq.sleep(0.002) end)",
])
def test_waiting_is_refused_and_says_what_to_do(probe, code):
    message = probe.error(rcptto=f"raises(function() local f, e = {code} error(e or 'no error') end)")
    assert "mq.sleep cannot wait inside a callback" in message and "collect first" in message
    # and the task is none the worse for it
    assert probe.shown(rcptto=f"pcall(function() {code} end) mq.sleep(0.002) show('on')".replace("return a", "return b"))


@pytest.mark.parametrize("event", ["initialize", "cleanup", "context_initialize", "context_cleanup"])
def test_waiting_is_refused_at(event):
    policy = f'mq.on("{event}", function() mq.log.info("<%s>", select(2, pcall(mq.sleep, 1))) end)\n'
    with Host(policy=policy) as host:
        pass
    assert "policy.lua:1: mq.sleep cannot wait here: a policy that loads, 'initialize'" in host.stderr


def test_waiting_is_refused_in_a_module(tmp_path):
    (tmp_path / "policy.lua").write_text("require('module')\n")
    (tmp_path / "module.lua").write_text("mq.sleep(1)\n")
    host = Host(policy=tmp_path / "policy.lua", start=False)
    with pytest.raises(AssertionError):
        host.start()
    with host:
        host.wait_end()
    assert "module.lua:1: mq.sleep cannot wait here" in host.stderr


def test_a_waiting_coroutine_cannot_be_resumed(probe):
    code = """
    local co = coroutine.create(function() mq.sleep(0.02) end)
    mq.spawn(function() show(coroutine.resume(co)) end)
    assert(coroutine.resume(co))"""
    assert probe.shown(rcptto=code) == [False, "cannot resume a coroutine that waits"]


def test_that_of_a_task_cannot_be_resumed_either(probe):
    code = """
    local co = coroutine.running()
    mq.spawn(function() show(coroutine.resume(co)) show(pcall(coroutine.wrap(function() return coroutine.running() == co end))) end)
    mq.sleep(0.02)
    show(coroutine.status(co))"""
    assert probe.run(rcptto=code).wait_shown(3) == [[False, "cannot resume a coroutine that waits"], [True, False], ["running"]]


@pytest.mark.parametrize("level", ["0", "'0'", "0.5"])
def test_environment_of_a_task_cannot_be_changed(probe, level):
    assert probe.error(rcptto=f"raises(function() setfenv({level}, {{}}) end)") == "only functions can be given another environment"


def test_environment_of_a_function_can_be_changed(probe):
    code = """
    local function f() return x end
    setfenv(f, {x = 1})
    local function g() setfenv(1, {x = 2}) return x end
    show(f(), g())"""
    assert probe.shown(rcptto=code) == [1, 2]


def test_yield_outside_of_a_coroutine(probe):
    assert "attempt to yield from outside a coroutine" in probe.error(rcptto="raises(coroutine.yield)")


# ---- mq.spawn, mq.wait ----

def test_wait_for_results_in_order(probe):
    code = """
    local tasks = {}
    for i = 1, 3 do tasks[i] = mq.spawn(function() mq.sleep(0.01 * (4 - i)) return i * 10 end) end
    local all = mq.wait(tasks)
    show(#all, all[1].ok, all[1].value, all[2].value, all[3].value)"""
    assert probe.shown(rcptto=code) == [3, True, 10, 20, 30]


def test_wait_for_a_task_that_fails(probe):
    code = "local r = mq.wait{mq.spawn(function() error('x', 0) end)}[1] show(r.ok, (r.value:gsub('\\n.*', '')))"
    assert probe.shown(rcptto=code) == [False, "x"]


def test_result_as_pair(probe):
    assert probe.shown(rcptto="show(unpack(mq.wait{mq.spawn(function() return 'v' end)}[1]))") == [True, "v"]


def test_wait_for_tasks_that_have_ended(probe):
    code = "local t = mq.spawn(function() return 1 end) mq.sleep(0.01) show(t.is_done, mq.wait{t}[1].value, mq.wait{t, t}[2].value)"
    assert probe.shown(rcptto=code) == [True, 1, 1]


def test_wait_for_nothing(probe):
    assert probe.shown(rcptto="show(#mq.wait{})") == [0]


def test_two_waiters_for_one_task(probe):
    code = """
    local t = mq.spawn(function() mq.sleep(0.01) return 1 end)
    local other = mq.spawn(function() return mq.wait{t}[1].value end)
    show(mq.wait{t}[1].value, mq.wait{other}[1].value)"""
    assert probe.shown(rcptto=code) == [1, 1]


@pytest.mark.parametrize("code", ["mq.wait{1}", "mq.wait{mq.now}", "mq.wait()", "mq.spawn(1)", "mq.after(1)", "mq.every(0, print)",
                                  "mq.with_timeout(1)", "mq.with_timeout(0, print)", "mq.after('x', print)",
                                  "mq.every(1, print, {scope = 'universe'})"])
def test_misuse_raises(probe, code):
    assert probe.error(rcptto=f"raises(function() {code} end)") != "NO ERROR"


def test_cancel(probe):
    code = """
    local t = mq.spawn(function() mq.sleep(0.02) show('must not happen') end)
    t:cancel() t:cancel()
    local r = mq.wait{t}[1]
    mq.sleep(0.05)
    show(t.is_done, r.ok, r.value)"""
    assert probe.shown(rcptto=code) == [True, False, "cancelled"]


def test_children_end_with_their_parent(probe):
    code = """
    local t = mq.spawn(function()
      mq.spawn(function() mq.spawn(function() mq.sleep(0.02) show('must not happen') end) mq.sleep(1) end)
      mq.sleep(1)
    end)
    mq.sleep(0.005)
    t:cancel()
    mq.sleep(0.05)
    show('end')"""
    assert probe.shown(rcptto=code) == ["end"]


def test_children_of_a_handler_end_with_it(probe):
    code = "mq.spawn(function() mq.sleep(0.02) show('must not happen') end) mq.sleep(0.001) mq.after(0.06, function() show('end') end)"
    assert probe.shown(rcptto=code) == ["end"]


def test_a_task_that_cancels_the_one_that_spawned_it(probe):
    """It ends with its parent, as soon as it waits."""
    code = """
    local parent, done, went_on
    parent = mq.spawn(function()
      mq.spawn(function()
        parent:cancel()
        done = parent.is_done
        mq.sleep(0.001)
        went_on = true
      end)
      mq.sleep(10)
    end)
    local r = mq.wait{parent}[1]
    mq.sleep(0.01)
    show(done, r.ok, r.value, went_on or false)"""
    assert probe.shown(rcptto=code) == [True, False, "cancelled", False]


def test_a_task_that_cancels_itself(probe):
    code = """
    local t
    t = mq.spawn(function() t:cancel() mq.sleep(0.001) show('must not happen') end)
    show(mq.wait{t}[1].ok)"""
    assert probe.shown(rcptto=code) == [False]


def test_a_task_that_cancelled_itself_and_returned_leaves_nothing_behind(probe):
    """The next one has its coroutine."""
    code = """
    local t
    t = mq.spawn(function() t:cancel() return 'returned' end)
    local first = mq.wait{t}[1]
    local second = mq.wait{mq.spawn(function() mq.sleep(0.001) return 'waited' end)}[1]
    show(first.value, second.value)"""
    assert probe.shown(rcptto=code) == ["returned", "waited"]


def test_handler_goes_on_without_its_task(probe):
    assert probe.run(rcptto="mq.spawn(function() mq.sleep(60) end) return mq.done()").codes[-1] == 221


def test_error_of_a_task_nobody_waits_for(probe):
    probe.run(rcptto="mq.spawn(function() error('lonely') end) mq.sleep(0.01)")
    probe.wait_stderr("a spawned task failed: t.*: lonely")


# ---- with_timeout, after, every ----

def test_with_timeout(probe):
    assert probe.shown(rcptto="show(mq.with_timeout(1, function() mq.sleep(0.001) return 'v' end))") == ["v"]
    assert probe.shown(rcptto="show(mq.with_timeout(0.01, function() mq.sleep(1) show('no') end))") == \
        [None, "timeout", "timeout"]


def test_with_timeout_passes_errors_on(probe):
    assert probe.shown(rcptto="local ok, e = pcall(mq.with_timeout, 1, function() error('x', 0) end) show(ok, e)") == \
        [False, "x"]


def test_with_timeout_passes_all_results(probe):
    assert probe.shown(rcptto="show(mq.with_timeout(1, function() return nil, 'message', 'code' end))") == \
        [None, "message", "code"]


def test_after_and_cancel(probe):
    code = """
    local t = mq.after(0.01, function() show('must not happen') end)
    mq.after(0.03, function() mq.sleep(0.001) show('fired') end)
    t:cancel()"""
    assert probe.shown(rcptto=code) == ["fired"]


def test_every_and_cancel(probe):
    code = """
    local n = 0
    local t
    t = mq.every(0.005, function()
      n = n + 1
      if n == 2 then error('once') end
      if n == 3 then t:cancel() mq.after(0.03, function() show(n) end) end
    end)"""
    assert probe.shown(rcptto=code) == [3]


@pytest.mark.parametrize("run, cancel", [
    ("t:cancel() t = nil forget()", ""),
    ("runs = true mq.sleep(0.05)", "repeat mq.sleep(0.001) until runs t:cancel() t = nil forget()"),
])
@pytest.mark.parametrize("kind", ["after", "every"])
def test_cancelled_while_it_runs(probe, kind, run, cancel):
    """Its memory is not another timer's before its function has ended."""
    code = f"""
    local function forget()
      collectgarbage() collectgarbage()
      for i = 1, 50 do mq.after(0.1, function() show('fired') end) end
    end
    local t, runs
    t = mq.{kind}(0.001, function() {run} end)
    {cancel}"""
    assert probe.run(rcptto=code).wait_shown(50) == [["fired"]] * 50


@pytest.mark.parametrize("scope, count", [("process", 1), ("worker", 3)])
def test_every_at_load(scope, count):
    policy = f"""
    mq.every(0.005, function() mq.log.info("<tick>") end, {{scope = "{scope}"}})
    mq.on("context_initialize", function(worker) mq.log.info("<worker>") end)
    mq.after(0.3, function() mq.log.info("<late>") end)"""
    with Host(policy=policy, workers=3) as host:
        host.wait_stderr("<late>", 3)
    ticks = host.stderr.count("<tick>")
    workers = host.stderr.count("<worker>")
    assert ticks >= 3
    assert (ticks < 70) or scope == "worker", workers


def test_every_with_a_wrong_scope_never_runs():
    policy = """
    assert(not pcall(mq.every, 0.001, function() mq.log.info("<must not happen>") end, {scope = "x"}))
    mq.after(0.1, function() mq.log.info("<end>") end)"""
    with Host(policy=policy) as host:
        host.wait_stderr("<end>")
    assert "must not happen" not in host.stderr


# ---- connection:spawn ----

def test_connection_spawn_outlives_the_event(probe):
    trial, client = probe.begin(mailfrom="connection:spawn(function() mq.sleep(0.03) show(connection.remote_ip) end)")
    with client:
        client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
        assert trial.wait_shown() == [["127.0.0.1"]]


def test_connection_spawn_dies_with_the_connection(probe):
    trial = probe.run(mailfrom="connection:spawn(function() mq.sleep(0.05) show('must not happen') end) "
                               "mq.after(0.1, function() show('end') end)")
    assert trial.wait_shown() == [["end"]]


def test_connection_spawn_at_close_dies_with_it():
    policy = """
    mq.on("smtp_in_close", function(connection)
      connection:spawn(function() mq.sleep(0.05) mq.log.info("<must not happen>") end)
    end)
    mq.on("smtp_in_connect", function() mq.after(0.1, function() mq.log.info("<end>") end) end)"""
    with Host(policy=policy, knobs={"disconnect": "close-during-pause"}) as host:
        for _ in range(3):
            host.send()
        host.wait_stderr("<end>", 3)
    assert "must not happen" not in host.stderr


# ---- the client leaves ----

LEAVE = """
mq.on("smtp_in_rcptto", function(connection)
  mq.spawn(function() mq.sleep(0.3) mq.log.info("<child went on>") end)
  mq.log.info("<waits>")
  mq.sleep(0.2)
  mq.log.info("<went on>")
end)
mq.on("smtp_in_close", function() mq.log.info("<closed>") end)
mq.on("smtp_in_mailfrom", function() mq.after(0.6, function() mq.log.info("<end>") end) end)
"""


@pytest.mark.parametrize("disconnect", ["close-during-pause", "close-after-handback", "no-close"])
def test_client_leaves_while_a_handler_waits(disconnect):
    with Host(policy=LEAVE, knobs={"disconnect": disconnect}) as host:
        with host.client() as client:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            client.send("RCPT TO:<one@example.com>\r\n")
            host.wait_stderr("<waits>")
        host.wait_stderr("<end>")
        if disconnect == "close-during-pause":
            assert "went on>" not in host.stderr
        assert host.send() == {}
    assert host.ledger()["left"] == 0


@pytest.mark.parametrize("disconnect", ["close-during-pause", "close-after-handback", "no-close"])
def test_many_clients_leave_at_any_time(disconnect):
    policy = """
    for _, event in ipairs{"connect", "mailfrom", "rcptto", "message"} do
      mq.on("smtp_in_" .. event, function(connection) mq.sleep(0.003) local _ = connection.vars end)
    end"""
    with Host(policy=policy, knobs={"disconnect": disconnect}, workers=2) as host:
        text = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + MESSAGE + b".\r\n"
        for i in range(200):
            with host.client() as client:
                client.send(text[:(i * 7) % (len(text) + 1)])
        assert host.send() == {}
    assert host.ledger()["left"] == 0


def test_thousands_asleep_at_once():
    policy = """
    local asleep = 0
    mq.on("smtp_in_mailfrom", function()
      asleep = asleep + 1
      if asleep == 2000 then mq.log.info("<all asleep>") end
      repeat mq.sleep(0.05) until asleep == 2000
    end, {timeout = 60})
    mq.configure{deadline = {incoming = 60}}"""
    with Host(policy=policy, workers=1) as host:
        clients = [host.client() for _ in range(2000)]
        for client in clients:
            client.send("EHLO x\r\nMAIL FROM:<a@b.example>\r\n")
        host.wait_stderr("<all asleep>")
        for client in clients:
            assert [client.code(), client.code(), client.code()] == [220, 250, 250]
            client.close()
    assert host.ledger()["pauses"] == 2000


def test_tasks_are_ended_when_the_program_stops():
    policy = """
    mq.every(60, print)
    mq.on("smtp_in_mailfrom", function(connection)
      connection:spawn(function() mq.sleep(60) end)
      mq.spawn(function() mq.sleep(60) end)
      mq.sleep(60)
    end, {timeout = 100})
    mq.configure{deadline = {incoming = 100}}"""
    with Host("--grace", 0.1, policy=policy) as host:
        client = host.client()
        client.greet()
        client.send("MAIL FROM:<a@b.example>\r\n")
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
    client.close()
