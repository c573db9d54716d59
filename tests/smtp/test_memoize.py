# SPDX-License-Identifier: MIT
"""mq.memoize: one call for many who ask, results of their own, lives, failures, and both scopes."""

import threading

import pytest

from mqlua import Host, change, wait_until
from probe import Probe


@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


def test_a_thousand_misses_are_one_call(probe):
    assert probe.shown(rcptto="""
        local calls, tasks = 0, {}
        local f = mq.memoize(function(x) calls = calls + 1 mq.sleep(1) return {x, {"deep"}} end)
        for i = 1, 1000 do
          if i % 50 == 0 then mq.sleep(0) end -- a run-time budget of its own for each part
          tasks[i] = mq.spawn(function() local r = f("a") r[2][1] = r[2][1] .. i return r[2][1] end)
        end
        local same = 0
        for i, ended in ipairs(mq.wait(tasks)) do same = same + (ended.value == "deep" .. i and 1 or 0) end
        local again = f("a")
        show(calls, same, again[1], again[2][1])""") == [1, 1000, "a", "deep"]


def test_arguments_tell_calls_apart(probe):
    """Each list of arguments has a call of its own, whatever texts are in it; the second time none has."""
    [calls, wrong, again] = probe.shown(rcptto="""
        local lists = {{n = 0}, {n = 1}, {n = 2}, {"", n = 1}, {"", "", n = 2}, {"1:a", n = 1}, {"a", n = 1}, {"sa", n = 1},
          {"a,1:b", n = 1}, {"a", "b", n = 2}, {"a,b", n = 1}, {"a,b", "c", n = 2}, {"a", "b,c", n = 2},
          {1, n = 1}, {"1", n = 1}, {"n1", n = 1}, {1.5, n = 1},
          {2^53, n = 1}, {2^53 + 2, n = 1}, {1/0, n = 1}, {-1/0, n = 1}, {true, n = 1}, {false, n = 1}, {"t", n = 1}, {"-", n = 1},
          {nil, 1, n = 2}, {1, nil, n = 2}, {"a\\0", n = 1}, {"a\\0b", n = 1}, {"\\255", n = 1}}
        local calls, wrong = 0, 0
        local f = mq.memoize(function() calls = calls + 1 return calls end)
        for i, list in ipairs(lists) do if f(unpack(list, 1, list.n)) ~= i then wrong = wrong + 1 end end
        for i, list in ipairs(lists) do if f(unpack(list, 1, list.n)) ~= i then wrong = wrong + 1 end end
        local before = calls
        f(0) f(-0)
        show(before - #lists, wrong, calls - before)""")
    assert (calls, wrong, again) == (0, 0, 1)


@pytest.mark.parametrize("argument, kind", [("{}", "a table"), ("print", "a function"), ("1LL", "a cdata"),
                                            ("0/0", "not a number"), ("'a', {}", "a table")])
def test_other_arguments_are_refused(probe, argument, kind):
    message = probe.error(rcptto=f"raises(function() mq.memoize(function() end)({argument}) end)")
    assert "a memoized function takes strings, numbers, booleans and nil; argument" in message and kind in message


@pytest.mark.parametrize("code, message", [
    ("mq.memoize()", "mq.memoize takes a function"),
    ("mq.memoize(print, 5)", "options are missing"),
    ("mq.memoize(print, {tll = 5})", "mq.memoize: unknown option 'tll'"),
    ("mq.memoize(print, {ttl = -1})", "mq.memoize: ttl must be seconds, 0 or more"),
    ("mq.memoize(print, {stale = '1'})", "mq.memoize: stale must be seconds, 0 or more"),
    ("mq.memoize(print, {negative_ttl = 0/0})", "mq.memoize: negative_ttl must be seconds, 0 or more"),
    ("mq.memoize(print, {capacity = 1})", "mq.memoize: capacity must be a number of entries, 2 or more"),
    ("mq.memoize(print, {scope = 'host'})", 'mq.memoize: scope must be "worker" or "process"'),
    ("mq.memoize(print, {scope = 'process'})", "was not declared while the policy loaded"),
    ("mq.memoize(function() return print end)()", "the result of a memoized function"),
    ("local f f = mq.memoize(function() return f() end) f()", "mq.memoize: the function waits for its own result"),
])
def test_misuse_is_told(probe, code, message):
    assert message in probe.error(rcptto=f"raises(function() {code} end)")


def test_lives_end_and_failures_are_not_kept(probe):
    assert probe.shown(rcptto="""
        local calls, answer = 0, {}
        local f = mq.memoize(function()
          calls = calls + 1
          if answer.raise then error(answer.raise, 0) end
          return unpack(answer, 1, 3)
        end, {ttl = 0.6, negative_ttl = 0.3})
        local seen = {}
        local function ask()
          local ok, a, b, c = pcall(f)
          seen[#seen + 1] = table.concat({calls, tostring(a), tostring(b), tostring(c)}, " ")
        end
        answer = {nil, "away", "EAWAY"} ask() ask()
        answer = {raise = "boom"} ask() ask()
        answer = {} ask() ask() mq.sleep(0.31) ask() mq.sleep(0.31)
        answer = {false} ask() ask() mq.sleep(0.61) ask()
        show(unpack(seen))""") == [
            "1 nil away EAWAY", "2 nil away EAWAY", "3 boom nil nil", "4 boom nil nil",
            "5 nil nil nil", "5 nil nil nil", "6 nil nil nil", "7 false nil nil", "7 false nil nil", "8 false nil nil"]


def test_an_old_value_stands_in_for_a_failure(probe):
    assert probe.shown(rcptto="""
        local calls, fails = 0, nil
        local f = mq.memoize(function() calls = calls + 1 if fails == "raise" then error("boom", 0) end
          if fails then return nil, fails end return {"good"} end, {ttl = 0.2, stale = 0.6})
        local first = f()[1]
        first = first .. f()[1]
        mq.sleep(0.21)
        fails = "away" local second = f()
        second[1] = "mine"
        fails = "raise" local third = f()[1]
        mq.sleep(0.61)
        show(first, second[1], third, calls, pcall(f))""") == ["goodgood", "mine", "good", 3, False, "boom"]


def test_capacity_bounds_entries_and_keeps_what_is_used(probe):
    [calls, used, first] = probe.shown(rcptto="""
        local calls = {}
        local f = mq.memoize(function(x) calls[x] = (calls[x] or 0) + 1 return x end, {capacity = 20})
        for i = 1, 200 do f(i) f("used") end
        local count = 0
        for i = 181, 200 do f(i) end
        for i = 1, 200 do count = count + calls[i] end
        f(1)
        show(count, calls.used, calls[1])""")
    assert 200 < calls <= 220 and (used, first) == (1, 2)


def test_a_large_argument_is_not_kept(probe):
    assert probe.shown(rcptto="""
        local calls = 0
        local f = mq.memoize(function(x) calls = calls + 1 return #x end)
        local long = ("x"):rep(100000)
        show(f(long), f(long), calls)""") == [100000, 100000, 2]


SLOW = """
local calls = 0
local f = mq.memoize(function(x) calls = calls + 1 mq.sleep(1) return calls end)
mq.on("smtp_in_rcptto", function(connection, address)
  mq.log.info("asks")
  return mq.reject(550, "5.1.1", "call=" .. f(address.domain))
end)
"""


def test_a_call_goes_on_without_the_one_who_caused_it():
    with Host(policy=SLOW, workers=1) as host:
        first = host.client()
        first.greet()
        first.expect("MAIL FROM:<a@example.org>", 250)
        first.send("RCPT TO:<a@example.com>\r\n")
        wait_until(lambda: "asks" in host.stderr, "the first one's call")
        first.close()
        with host.client() as second:
            second.greet()
            second.expect("MAIL FROM:<a@example.org>", 250)
            second.send("RCPT TO:<b@example.com>\r\n")
            assert "call=1" in second.reply()[1][0]


PROCESS = """
local calls = mq.shared("calls")
local f = mq.memoize(function(x)
  mq.sleep(0.3)
  return {number = calls:incr(x, 1, 0), text = "\\195\\164", no = mq.null}
end, {scope = "process", ttl = 60})
-- version 1
mq.on("smtp_in_rcptto", function(connection, address)
  local r = f(address.domain)
  return mq.reject(550, "5.1.1", ("call=%d %s %s"):format(r.number, #r.text, tostring(r.no == mq.null)))
end)
"""


def test_one_call_for_all_workers_until_a_reload():
    with Host(policy=PROCESS, workers=4, settings={"reload": {"quiet": 0.1}}) as host:
        seen = []

        def ask():
            with host.client() as client:
                client.greet()
                client.expect("MAIL FROM:<a@example.org>", 250)
                client.send("RCPT TO:<b@example.com>\r\n")
                seen.append(client.reply()[1][0].split("call=")[1])

        threads = [threading.Thread(target=ask) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ask()
        assert seen == ["1 2 true"] * 13
        change(host, "version 1", "version 2")
        ask()
        assert seen[-1] == "2 2 true"


def test_while_the_policy_loads_and_metrics():
    policy = """
        local calls = 0
        local f = mq.memoize(function(x) calls = calls + 1 return {calls} end)
        local g = mq.memoize(function(x) return nil, "away" end)
        f("a") f("a") g("a")
        mq.on("smtp_in_rcptto", function()
          f("a") f("b")
          for line in mq.metrics():gmatch("[^\\n]*memoize{[^\\n]*") do mq.log.info("<%s>", line) end
          return mq.reject(550, "5.1.1", "calls=" .. calls)
        end)"""
    with Host(policy=policy, workers=1) as host:
        with host.client() as client:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            client.send("RCPT TO:<b@example.com>\r\n")
            assert "calls=2" in client.reply()[1][0]
        for line in ['place="policy.lua:3",result="hit"} ', 'place="policy.lua:3",result="miss"} ',
                     'place="policy.lua:4",result="failed"} ']:
            assert "<mailerq_lua_memoize{" + line in host.stderr
