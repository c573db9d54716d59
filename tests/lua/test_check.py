# SPDX-License-Identifier: MIT
"""mqlua check: what it finds before a policy meets traffic, what it leaves alone, and its exit status."""

import json
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "smtp"))

from mqlua import PROGRAM, Host  # noqa: E402


class Checked:
    def __init__(self, folder, settings=None):
        command = [PROGRAM, "check", folder / "policy.lua"]
        if settings is not None:
            (folder / "settings.json").write_text(json.dumps(settings))
            command[2:2] = ["--settings", folder / "settings.json"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.status = done.returncode
        self.mistakes = done.stderr.splitlines()
        self.notes = [line[6:] for line in done.stdout.splitlines() if line.startswith("note: ")]
        self.fine = ": fine (" in done.stdout


@pytest.fixture
def check(tmp_path):
    """check(text, file=text, ...) checks a policy of these files."""
    def run(policy, settings=None, **files):
        for name, text in {"policy": policy, **files}.items():
            (tmp_path / f"{name}.lua").write_text(text)
        return Checked(tmp_path, settings)
    return run


def handler(body, event="smtp_in_rcptto", options=", {on_error = function() end}"):
    return f'mq.on("{event}", function(connection, address)\n{body}\nend{options})\n'


# ---- verdicts without return ----

@pytest.mark.parametrize("name, call", [
    ("reject", 'mq.reject(550, "5.1.1", "No")'), ("tempfail", "mq.tempfail()"), ("disconnect", "mq.disconnect()"),
    ("done", "mq.done()"), ("complete", "mq.complete()"), ("rerun", "mq.rerun()"), ("accept", "mq.accept()"),
    ("deny", "mq.deny()"), ("discard", 'mq.discard("x")'), ("quarantine", 'mq.quarantine("a@b.example")'),
    ("hold", "mq.hold()")])
def test_forgotten_return(check, name, call):
    found = check(handler(f"if address.is_null then {call} end"))
    assert found.status == 1 and not found.fine
    assert found.mistakes == [f"policy.lua:2: mq.{name} without 'return' does nothing: write 'return mq.{name}(...)'"]


@pytest.mark.parametrize("body, line", [
    ("mq.reject(550,\n'5.1.1',\n'No')\n", 2),
    ("local function inner()\n  mq.reject()\nend\ninner()", 3),
    ("do\n\nmq.reject() end", 4),
    ("mq.reject(550, '5.1.1', connection.is_secure and 'a' or 'b')", 2),
    ("mq['reject']()", 2)])
def test_forgotten_return_wherever_it_is(check, body, line):
    assert [text.split(": ")[0] for text in check(handler(body)).mistakes] == [f"policy.lua:{line}"]


def test_all_files_and_all_mistakes(check):
    found = check("local mq = mq\n" + handler("mq.reject()") + "require('other')\n",
                  other="return function() mq.tempfail() mq.hold() end\n", unused="\nmq.deny()\n")
    assert found.status == 1
    assert sorted(line.split(" without")[0] for line in found.mistakes) == [
        "other.lua:1: mq.hold", "other.lua:1: mq.tempfail", "policy.lua:3: mq.reject"]


@pytest.mark.parametrize("body", [
    "return mq.reject()",
    "return mq.reject(550, '5.1.1', 'No')",
    "return (mq.reject())",
    "local verdict = mq.reject()\nif address.is_null then return verdict end",
    "local verdict\nverdict = address.is_null and mq.reject()\nreturn verdict or nil",
    "local verdict = address.is_null and mq.reject() or nil\nreturn verdict",
    "return address.is_null and mq.reject() or mq.tempfail()",
    "connection.vars.text = tostring(mq.reject())",
    "local list = {mq.reject(), mq.tempfail()}\nreturn list[1]",
    "local function later() return mq.reject() end\nreturn later()",
    "-- mq.reject()\n--[[\nmq.reject()\n]] local text = 'mq.reject()' .. [[\nmq.reject()\n]]\nmq.log.info(text)",
    "local gate = {reject = function() end}\ngate.reject()\nlocal reject = gate.reject\nreject()",
    "local mq = {reject = function() end}\nmq.reject()",
    "connection:spawn(function() mq.sleep(0.1) end)",
    "mq.log.info('done')\nmq.now()",
    "local make = mq.reject\nreturn make()"])
def test_right_code_is_left_alone(check, body):
    found = check(handler(body))
    assert found.mistakes == []
    assert found.status == 0 and found.fine


# ---- verdicts at the wrong event ----

SEEN = ["return mq.hold('x')", "return (mq.hold())", "local v = mq.hold() return v",
        "if address then return mq.hold() end", "return address and mq.hold() or nil", "return made"]


@pytest.mark.parametrize("body", SEEN)
def test_wrong_event(check, body):
    found = check("local made = mq.hold()\n" + handler(body))
    assert found.status == 1
    assert found.mistakes == ["policy.lua:3: mq.hold cannot be returned from smtp_in_rcptto (use mq.reject, mq.tempfail "
                              "or mq.disconnect); it belongs to smtp_out_data"]


@pytest.mark.parametrize("event", ["smtp_in_close", "smtp_out_sent"])
@pytest.mark.parametrize("verdict", ["reject", "done"])
def test_observing_events_take_none(check, event, verdict):
    [mistake] = check(handler(f"return mq.{verdict}()", event)).mistakes
    assert mistake.startswith(f"policy.lua:2: mq.{verdict} cannot be returned from {event} "
                              "(this event only observes: return nothing); it belongs to ")


@pytest.mark.parametrize("event", ["initialize", "context_initialize", "cleanup", "context_cleanup"])
def test_events_without_verdicts(check, event):
    [mistake] = check(handler("return mq.done()", event, "")).mistakes
    assert mistake.startswith(f"policy.lua:2: mq.done cannot be returned from {event} (return nothing)")


def test_on_error_functions(check):
    found = check(handler("", options=",\n{on_error = function() return mq.accept() end}"))
    assert [line.split(" (")[0] for line in found.mistakes] == [
        "policy.lua:4: mq.accept cannot be returned from smtp_in_rcptto"]
    found = check("mq.configure{on_error = {smtp_in_message = function() return mq.reject() end}}\n" +
                  handler("", "smtp_in_message", ""))
    assert [line.split(" (")[0] for line in found.mistakes] == [
        "policy.lua:1: mq.reject cannot be returned from smtp_in_message"]


def test_every_mistake_is_told(check):
    found = check(handler("return mq.accept()") + handler("return mq.deny()") + handler("return mq.discard()"),
                  settings={"host": {"inbox": "mailerq"}})
    assert [line.split(" cannot")[0] for line in found.mistakes] == [
        "policy.lua:2: mq.accept", "policy.lua:5: mq.deny", "policy.lua:8: mq.discard"]


@pytest.mark.parametrize("body", [
    "return mq.reject()", "return mq.done()", "return other()", "return pcall(function() return mq.hold() end)",
    "local v = mq.hold() connection.vars.x = tostring(v)", "if made == mq.done() then return nil end"])
def test_right_event(check, body):
    assert check("local made = mq.hold()\nlocal function other() end\n" + handler(body)).mistakes == []


SERVES_SEVERAL = """
local function judge(event, options)
  mq.on(event, function()
    if event == "smtp_in_connect" then return mq.reject() end
  end)
  mq.on("smtp_out_data", function() error() end, {on_error = function()
    if event == "smtp_in_connect" then return mq.hold() end
  end})
end
judge("smtp_in_message")
judge("smtp_in_close")
"""


def test_a_function_for_several_events(check):
    """Which may know at which one it is: wrong is only what is wrong at all of them."""
    found = check(SERVES_SEVERAL)
    assert [line.split(" (")[0] for line in found.mistakes] == [
        "policy.lua:4: mq.reject cannot be returned from smtp_in_message",
        "policy.lua:4: mq.reject cannot be returned from smtp_in_close"]
    assert check(SERVES_SEVERAL + "judge('smtp_in_connect')\n").status == 0


def test_reject_in_data_is_for_the_settings_to_say(check):
    policy = handler("return mq.reject()", "smtp_in_data", ", {chunks = true}")
    assert check(policy).status == 1
    assert check(policy, settings={"host": {"reply_after_send": "never"}}).status == 0


def test_the_plugin_does_not_start_with_it(tmp_path):
    policy = handler("return mq.reject()", "smtp_in_close")
    with Host(policy=policy, start=False) as host:
        with pytest.raises(AssertionError):
            host.start()
        assert host.wait_end() != 0
    assert "policy.lua:2: mq.reject cannot be returned from smtp_in_close" in host.stderr


def test_the_plugin_starts_with_a_verdict_at_the_wrong_event():
    with Host(policy=handler("if address.localpart == 'x' then return mq.hold() end")) as host:
        host.wait_stderr("policy.lua:2: mq.hold cannot be returned from smtp_in_rcptto")
        host.send()


def test_the_plugin_starts_with_a_forgotten_return():
    with Host(policy=handler("if address.localpart == 'x' then mq.reject() end")) as host:
        assert "policy.lua:2: mq.reject without 'return' does nothing" in host.stderr
        host.send()


# ---- values that are wrong wherever they are ----

@pytest.mark.parametrize("event, body, said", [
    ("smtp_in_message", 'return mq.quarantine("user@")', 'the recipient of mq.quarantine must be an address'),
    ("smtp_in_message", 'return mq.quarantine("user", "why " .. (address and "a" or "b"))', '"user" has no @'),
    ("smtp_in_message", 'address.recipient = "a@"', 'recipient must be an address such as'),
    ("smtp_in_message", 'address.recipient = ""', 'recipient must be an address such as'),
    ("smtp_in_message", 'address.envelope = "x"', 'envelope must be an address such as'),
    ("smtp_in_message", 'address.json.recipient = "a@"', 'json.recipient must be an address such as'),
    ("smtp_in_message", 'address.json.envelope = "a@b@c"', 'json.envelope must be an address such as'),
    ("smtp_in_rcptto", "return mq.reject(452)", "the code of mq.reject must be a code from 500 to 599, got 452 "
                                                "(use mq.tempfail)"),
    ("smtp_in_rcptto", "return mq.tempfail(550)", "from 400 to 499, got 550 (use mq.reject)"),
    ("smtp_in_rcptto", "return mq.disconnect(550, '4.7.1', tostring(address))", "the code of mq.disconnect must be 421"),
    ("smtp_in_rcptto", "return mq.reject(550, '4.7.1')", "the status of mq.reject must be an enhanced status code"),
    ("smtp_in_rcptto", "return mq.reject(tonumber('550'), 'No')", "the status of mq.reject must be")])
def test_constants(check, event, body, said):
    found = check(handler(body, event))
    assert found.status == 1
    [mistake] = found.mistakes
    assert mistake.startswith("policy.lua:2: ") and said in mistake


@pytest.mark.parametrize("event, body", [
    ("smtp_in_message", 'return mq.quarantine("user@example.com")'),
    ("smtp_in_message", 'return mq.quarantine("user@" .. address.recipient.domain)'),
    ("smtp_in_message", 'return mq.quarantine(("user"):rep(2) .. "@example.com")'),
    ("smtp_in_message", 'pcall(function() return mq.quarantine("user@") end)'),
    ("smtp_in_message", 'address.recipient = "a" .. "@" .. address.recipient.domain'),
    ("smtp_in_message", 'address.envelope = ""\naddress.json.envelope = "<>"'),
    ("smtp_in_message", 'address.json.data = "a@"\naddress.vars.recipient = "a@"'),
    ("smtp_in_message", 'address = {}\naddress.recipient = "a@"\nlocal t = {}\nt.recipient = "a@"'),
    ("smtp_in_rcptto", "return mq.reject(connection.vars.code or 550, connection.vars.status or '5.1.1')"),
    ("smtp_in_rcptto", "return mq.reject(tonumber('550', 10), tostring('5.1.1', 4))"),
    ("smtp_in_rcptto", "return mq.tempfail(address and 450 or 451, nil, 'No')"),
    ("smtp_in_rcptto", "if address == nil or address.email == 'a@b' then return end"),
    ("smtp_in_rcptto", "address = address.email\nif address == 'a@b' then return end"),
    ("smtp_in_rcptto", "local t = {}\nt[tostring(address)] = t[address.email]"),
    ("smtp_in_connect", "if address == 'a@b' then return end")])
def test_constants_that_are_right(check, event, body):
    found = check(handler(body, event))
    assert found.mistakes == [] and found.status == 0


@pytest.mark.parametrize("event, body", [
    ("smtp_in_mailfrom", "if address == 'a@b.example' then return end"),
    ("smtp_in_rcptto", "local other = address ~= ''\nreturn other and nil"),
    ("smtp_in_rcptto", "if connection.transaction.envelope == 'x' then return end"),
    ("smtp_in_message", "if address.recipient == 'x' then return end"),
    ("smtp_in_message", "if address.envelope ~= 'x' then return end"),
    ("smtp_out_data", "if address.recipient == 'x' then return end")])
def test_addresses_compared_with_texts(check, event, body):
    [mistake] = check(handler(body, event)).mistakes
    assert mistake.startswith("policy.lua:2: an address is never equal to a text")


@pytest.mark.parametrize("event, body", [
    ("smtp_in_mailfrom", "if known[address] then return end"),
    ("smtp_in_rcptto", "known[address] = 1"),
    ("smtp_in_rcptto", "return known[connection.transaction.envelope] and nil"),
    ("smtp_in_message", "if known[address.recipient] then return end")])
def test_addresses_as_keys(check, event, body):
    [mistake] = check("local known = {}\n" + handler(body, event)).mistakes
    assert mistake.startswith("policy.lua:3: an address as a key of a table finds nothing")


def found_at(check, policy, event):
    """The mistakes of a policy whose handler is h, as (line, text)."""
    mistakes = check(policy + f'\nmq.on("{event}", h, {{on_error = mq.done()}})\n').mistakes
    return [(int(m.split(":")[1]), m.split(": ", 1)[1]) for m in mistakes]


RECIPIENT = "the recipient of mq.quarantine must be an address"


@pytest.mark.parametrize("policy, line", [
    ("local bad = 'user@'\nlocal function h() return mq.quarantine(bad) end", 2),
    ("local bad = 12345\nlocal function h() return mq.quarantine(bad) end", 2),
    ("local function h()\nlocal bad = 'user@'\nlocal other = bad\nreturn mq.quarantine(other)\nend", 4),
    ("local function h(c, m)\nlocal to = m.is_local and 'user' or 'user'\nif c then return mq.quarantine('x@') end\nend", 3),
    ("local function divert() return mq.quarantine('user@') end\nlocal function h() return divert() end", 1),
    ("local function divert(to) return mq.quarantine(to, 'why') end\nlocal function h() return divert('user@') end", 1),
    ("local function divert(to)\nlocal x = to\nreturn mq.quarantine(x)\nend\nlocal bad = '@b'\n"
     "local function h() return (divert(bad)) end", 3),
    ("function divert(m) m.recipient = 'a@b@c' end\nlocal function h(_, m) divert(m) end", 1),
    ("local M = {}\nfunction M.divert(m, to)\nm.recipient = to\nend\nlocal function h(_, m) M.divert(m, 'a b@c.example') end", 3),
    ("local quarantine = mq.quarantine\nlocal function h() return quarantine('user@') end", 2),
    ("local function h() local q = mq.quarantine\nreturn q('user@') end", 2),
    ("local function h(_, m)\nlocal json = m.json\njson.recipient = 'x'\nend", 3),
    ("local function h(_, m)\nlocal bad = 'x'\nfor i = 1, 2 do\nm.recipient = bad\nend\nend", 4),
    ("local function h(_, m)\nlocal bad\nif m.is_local then\nbad = 'x'\nelse\nbad = 'x'\nend\nm.recipient = bad\nend", 8)])
def test_constants_that_come_from_elsewhere(check, policy, line):
    [(where, said)] = found_at(check, policy, "smtp_in_message")
    assert where == line and "must be an address" in said


@pytest.mark.parametrize("policy, line", [
    ("local code = 450\nlocal function h() return mq.reject(code, 'No') end", 2),
    ("local function refuse(code) return mq.tempfail(code) end\nlocal function h() return refuse(550) end", 1),
    ("local refuse = mq.reject\nlocal function h() return refuse(550, '4.7.1', 'No') end", 2)])
def test_replies_that_come_from_elsewhere(check, policy, line):
    [(where, said)] = found_at(check, policy, "smtp_in_rcptto")
    assert where == line and "must be" in said


@pytest.mark.parametrize("policy, line", [
    ("local function h(_, m)\nlocal rcpt = m.recipient\nif rcpt == 'joe@x' then return end\nend", 3),
    ("local function h(_, m)\nlocal rcpt = m.recipient\nlocal function g() return rcpt end\n"
     "if g and rcpt ~= 'joe@x' then return end\nend",
     4),
    ("local boss = 'joe@x'\nlocal function h(_, m)\nif m.recipient == boss then return end\nend", 3),
    ("local boss = 'joe@x'\nlocal function h(_, m)\nlocal rcpt = m.recipient\nif boss == rcpt then return end\nend", 4),
    ("local function h(c, m)\nlocal t = c.transaction\nlocal from = t.envelope\nif from == '' then return end\nend", 4),
    ("local function is_joe(a) return a == 'joe@x' end\nlocal function h(_, m) if is_joe(m.recipient) then return end end", 1),
    ("local function is_joe(m)\nreturn m.recipient == 'joe@x'\nend\nlocal function h(_, m) return is_joe(m) and nil end", 2),
    ("local seen = {}\nlocal function h(_, m)\nlocal rcpt = m.recipient\nseen[rcpt] = (seen[rcpt] or 0) + 1\nend", 4),
    ("local vip = {}\nlocal function is_vip(a)\nreturn vip[a]\nend\n"
     "local function h(_, m) if is_vip(m.envelope) then return end end", 3)])
def test_addresses_that_come_from_elsewhere(check, policy, line):
    [(where, said)] = found_at(check, policy, "smtp_in_message")
    assert where == line and said.startswith("an address ")


@pytest.mark.parametrize("body", [
    # what may be something else when it gets there
    "local to = 'user@'\nlocal function set() to = 'user@x.example' end\nlocal function h() return to and mq.quarantine(to) end",
    "local to = 'user@'\nmq.on('context_initialize', function() to = 'user@x.example' end)\n"
    "local function h() return mq.quarantine(to) end",
    "local function h(c, m)\nlocal to = 'user@'\nif m.is_local then to = 'user@x.example' end\nreturn mq.quarantine(to)\nend",
    "local function h(c, m)\nlocal to = 'user@'\npcall(function() to = 'user@x.example' end)\nreturn mq.quarantine(to)\nend",
    "local function h(c, m)\nlocal to = 'user'\nfor i = 1, 2 do\nif i == 2 then return mq.quarantine(to) end\n"
    "to = to .. '@x.example'\nend\nend",
    "local function h(c, m)\nlocal to = 'user'\nto = to .. '@x.example'\nreturn mq.quarantine(to)\nend",
    "local function h(c, m)\nlocal rcpt = m.recipient\nrcpt = rcpt.email\nif rcpt == 'joe@x' then return end\nend",
    "local function h(c, m)\nlocal rcpt = m.recipient\nif m.is_local then rcpt = rcpt.email end\n"
    "if rcpt == 'joe@x' then return end\nend",
    "local function h(c, m)\nlocal rcpt = m.recipient and m.recipient.email\nif rcpt == 'joe@x' then return end\nend",
    "local function h(c, m)\nlocal rcpt = tostring(m.recipient)\nlocal t = {}\nt[rcpt] = t[rcpt .. 'x']\nreturn nil\nend",
    "local function h(c, m)\nlocal a = m.recipient\nif a == m.envelope or a == nil then return end\nend",
    # a value that turns something off
    "local to = ''\nlocal function h() if to ~= '' then return mq.quarantine(to) end end",
    "local function divert(to)\nif to == '' then return end\nreturn mq.quarantine(to)\nend\n"
    "local function h() return divert('') end",
    # what somebody catches, and what is never called
    "local function divert() return mq.quarantine('user@') end\nlocal function h() return pcall(divert) and nil end",
    "local function divert() return mq.quarantine('user@') end\nlocal function h() return type(divert) and nil end",
    # functions that call themselves
    "local f\nf = function(m, n) return n > 0 and f(m, n - 1) or nil end\nlocal function h(c, m) return f(m, 3) end",
    "local function f(m, n) if n > 0 then return f(m, n - 1) end end\nlocal function h(c, m) return f(m, 3) end"])
def test_values_that_may_be_right(check, body):
    assert found_at(check, body, "smtp_in_message") == []


def test_a_function_that_several_handlers_call_is_told_of_once(check):
    policy = "local function divert() return mq.quarantine('user@') end\n" \
             "for i = 1, 3 do mq.on('smtp_in_message', function() return divert() end) end\n" \
             "local function h() return divert() end"
    assert len(found_at(check, policy, "smtp_in_message")) == 1


def test_an_argument_that_is_a_text_at_another_event(check):
    policy = "local function h(c, x) if x == 'joe' then return end end\nmq.on('smtp_in_authenticate', h)"
    assert found_at(check, policy, "smtp_in_rcptto") == []


def test_the_plugin_starts_where_a_wrong_constant_comes_from_elsewhere():
    with Host(policy="local bad = 'user@'\n" + handler("if false then return mq.quarantine(bad) end", "smtp_in_message")) as host:
        assert "policy.lua:3: " + RECIPIENT in host.stderr
        host.send()


def test_the_plugin_does_not_start_with_a_wrong_constant(tmp_path):
    with Host(policy=handler("return mq.reject(452)"), start=False) as host:
        with pytest.raises(AssertionError):
            host.start()
        assert host.wait_end() != 0
    assert "policy.lua:2: the code of mq.reject must be a code from 500 to 599, got 452" in host.stderr


# ---- notes ----

def rejects(notes):
    return [note.split("'")[1] for note in notes if "rejects at RCPT TO" in note]


@pytest.mark.parametrize("policy", [
    handler("return mq.reject()"),
    handler("return mq.tempfail()"),
    handler("return address.is_null and mq.reject() or nil"),
    handler("return pcall(function() return mq.reject() end)"),
    "local gone = mq.reject()\n" + handler("if address.is_null then return gone end"),
    "local function judge() return mq.reject() end\n" + handler("return judge()"),
    "local function judge() return mq.reject() end local function b() return judge() end\n" + handler("return b()"),
    "local other = require('other')\n" + handler("return other()"),
    handler("", options=", {on_error = mq.tempfail()}"),
    handler("", options=", {on_error = function() return mq.tempfail() end}"),
    "mq.configure{on_error = {smtp_in_rcptto = mq.tempfail()}}\n" + handler("", options="")])
def test_note_of_rejects_at_rcptto(check, policy):
    files = {"other": "return function() return mq.reject() end"}
    found = check(policy, **files)
    assert len(rejects(found.notes)) == 1 and found.status == 0
    assert "host.reply_after_send" in found.notes[0]
    for said in ["never", "always"]:
        assert rejects(check(policy, settings={"host": {"reply_after_send": said}}, **files).notes) == []


@pytest.mark.parametrize("policy", [
    handler("return mq.done()"),
    handler("return mq.disconnect()"),
    handler("return mq.reject()", "smtp_in_mailfrom"),
    "local function judge() return mq.reject() end\n" + handler("return mq.done()") + handler("judge()", "smtp_in_close"),
    "local a, b\nfunction a() return b() end\nfunction b() return a() end\n" + handler("return a()")])
def test_no_note_of_rejects(check, policy):
    found = check(policy)
    assert rejects(found.notes) == [] and found.status == 0


def test_handlers_that_fail_open(check):
    found = check("""
mq.configure{on_error = {smtp_in_mailfrom = mq.tempfail()}}
mq.on("smtp_in_connect", function() end, {name = "open"})
mq.on("smtp_in_connect", function() end, {name = "closed", on_error = mq.disconnect()})
mq.on("smtp_in_mailfrom", function() end, {name = "configured"})
mq.on("smtp_in_authenticate", function() end, {name = "denies"})
mq.on("smtp_in_close", function() end, {name = "observes"})
mq.on("smtp_out_sent", function() end, {name = "observes"})
mq.on("context_initialize", function() end, {name = "starts"})
mq.on("smtp_out_data", function() end)
""")
    assert found.status == 0
    assert found.notes == [
        f"handler '{name}' of {event} fails open: after an error the next one goes on (see on_error)"
        for name, event in [("open", "smtp_in_connect"), ("policy.lua:10", "smtp_out_data")]]


# ---- the command ----

def status(*arguments, **options):
    return subprocess.run([PROGRAM, "check", *arguments], capture_output=True, text=True, timeout=60, **options)


def test_help():
    done = status("--help")
    assert done.returncode == 0 and "exit status: 0" in done.stdout and not done.stderr


@pytest.mark.parametrize("arguments", [[], ["a.lua", "b.lua"], ["--nonsense", "a.lua"], ["--settings"]])
def test_misuse(arguments):
    done = status(*arguments)
    assert done.returncode == 2 and "usage: mqlua check" in done.stderr and not done.stdout


def test_status_of_what_does_not_load(check, tmp_path):
    found = check("local x = = 1\n")
    assert found.status == 1 and found.mistakes[0].startswith("policy.lua:1: ")
    assert status(tmp_path / "missing.lua").returncode == 1
    (tmp_path / "settings.json").write_text("{\n \"hodl\": 1}")
    done = status("--settings", tmp_path / "settings.json", tmp_path / "policy.lua")
    assert done.returncode == 1 and "settings.json:2:2: unknown key 'hodl'; did you mean 'hold'?" in done.stderr


def test_files_that_nobody_requires(check):
    """They are no part of the policy: one that does not compile is a note."""
    found = check("", broken="local = 1\n", fine="return 1\n", broken_test="local = 1\n")
    assert found.status == 0 and found.fine
    [note] = [line for line in found.notes if "broken" in line]
    assert "broken.lua does not belong to the policy" in note and "broken.lua:1:" in note


# ---- data files ----

MARK = b"\xef\xbb\xbf"
GOOD = {"x.json": b'{"a": 1}', "x.txt": b"joe\n", "nets.txt": b"192.0.2.0/24\n", "map.txt": b"joe 1\n"}
READS = """
local value = assert(mq.json.decode(mq.file("x.json")))
assert(value.a == 1 and mq.file("x.json") == '{"a": 1}')
assert(mq.set("x.txt"):contains("joe") and mq.map("map.txt"):get("joe") == "1")
assert(mq.cidr(mq.file("nets.txt")):contains("192.0.2.1"))
"""


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.parametrize("name", [*GOOD, "policy.lua", "settings.json"])
def test_a_byte_order_mark_is_no_part_of_a_file(tmp_path, name):
    files = {**GOOD, "policy.lua": READS.encode(), "settings.json": b"{}"}
    write(tmp_path, {**files, name: MARK + files[name]})
    done = subprocess.run([PROGRAM, "check", "--settings", tmp_path / "settings.json", tmp_path / "policy.lua"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("name", [*GOOD, "policy.lua", "settings.json"])
def test_another_encoding_is_named(tmp_path, name, encoding):
    files = {**GOOD, "policy.lua": READS.encode(), "settings.json": b"{}"}
    write(tmp_path, {**files, name: files[name].decode().strip().encode(encoding)})
    done = subprocess.run([PROGRAM, "check", "--settings", tmp_path / "settings.json", tmp_path / "policy.lua"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert encoding[:6].upper() in done.stderr and f"{name}:" in done.stderr, done.stderr


@pytest.mark.parametrize("use", ["assert(mq.json.decode(mq.file('x.json')))", "local a = mq.json.decode(mq.file('x.json')).a",
                                 "local t, why = mq.json.decode(mq.file('x.json')) error(why)"])
@pytest.mark.parametrize("text, place", [(b'{"a": 1,\n "b": }', "line 2, column 7"), (b'{"a":\n\n"\0"}x', "line 3, column 2"),
                                         (b"", "line 1"), (MARK + b"\n[", "line 2")])
def test_json_that_is_wrong_names_its_file(tmp_path, use, text, place):
    write(tmp_path, {"x.json": text, "y.json": text + b" ", "policy.lua": ("mq.file('y.json')\n" + use).encode()})
    found = Checked(tmp_path)
    said = "\n".join(found.mistakes)
    assert found.status == 1 and said.count(f"x.json: {place}") == 1 and "policy.lua" in said and "y.json" not in said


def test_json_that_is_wrong_is_told_where_the_policy_goes_on(tmp_path):
    write(tmp_path, {"x.json": b'{"a": 1,\n "b": }', "policy.lua": b"local limits = mq.json.decode(mq.file('x.json')) or {}\n"})
    found = Checked(tmp_path)
    assert found.status == 1 and "x.json: line 2, column 7" in "\n".join(found.mistakes) and not found.fine


def test_networks_that_are_wrong_name_their_file_and_line(tmp_path):
    write(tmp_path, {"nets.txt": MARK + b"# ours\n192.0.2.0/24\n10.0.0.300\n",
                     "policy.lua": b"mq.cidr(mq.file('nets.txt'))"})
    assert "mq.cidr: nets.txt:3: '10.0.0.300' is not an IP address" in "\n".join(Checked(tmp_path).mistakes)


def test_the_top_level_runs_once(tmp_path):
    write(tmp_path, {"policy.lua": b'local f = assert(io.open("%s", "a")) f:write("x") f:close()\n'
                                   % str(tmp_path / "ran").encode()})
    found = Checked(tmp_path, {"files": {"write": [str(tmp_path)]}})
    assert found.fine, found.mistakes
    assert (tmp_path / "ran").read_text() == "x"


# ---- patterns that are no regular expressions ----

MEANT = {
    "alternatives": ["(jpg|png)", "%.(exe|scr|bat)$", "(.exe|.scr)", "^(spam|bulk):"],
    "escaped with %": [r"\d+", r"^\s*$", r"\bcasino\b", r"example\.com", r"(\w+)@"],
    "counts": ["%d{3}", "[0-9]{1,3}", "a{2,}", "(%d){4}"],
    "groups": ["(?:a)", "(?i)spam", "x(?=y)", "(?<n>a)"],
    "repeats what is before a -": ["no-reply", "^no-reply@", "x-mailer", "mail-out.example.com", "Content-Type"],
    "any character for a dot": ["mail.example.com", "example.com$", "@example.nl", "^mx.example.co.uk$", "joe@example.org"],
}

RIGHT = ['^bounces%+(.+)=([%w.-]+)$', '([^|]*)|([^|]*)', '(%w+)|(%w+)', '(%w+|%w+)', '[a|b]', '%d%d%d', '{{([%w_]+)}}',
         '{%d+}', '\\\\(.)', '[\\\\d]', '%.exe$', 'data.txt', 'v1.2', '1.2.3.4', 'a.b', '.-', 'a-b', 'x.-y', '%-',
         'no%-reply', 'example%.com', '^[^.]+%.(.+)$', 'name%*?="?[^"]*%.(%w+)"?', '(.-)%-(.*)', '^%s*(.-)%s*$', '(?',
         '%(?:', '@', '=', 'C:\\\\temp', 'key|value', '|', 'a|b', 'main.lua', '1-2']

CALLS = ["address.domain:match(PATTERN)", "string.find(address.domain, PATTERN)", "string.gsub(address.domain, PATTERN, '')",
         "(address.domain or ''):find(PATTERN, 1)", "address.domain:lower():gmatch(PATTERN)",
         "tostring(address):gsub(PATTERN, string.upper)", "select(2, address.domain:match(PATTERN))"]


@pytest.mark.parametrize("advice, pattern", [(advice, pattern) for advice, patterns in MEANT.items() for pattern in patterns])
def test_pattern_that_is_meant_as_something_else(check, advice, pattern):
    body = "".join(f"local _ = {call}\n" for call in CALLS).replace("PATTERN", f"[=[{pattern}]=]")
    found = check(handler(body) + f"return ('x'):match([=[{pattern}]=])\n")
    notes = [note for note in found.notes if " is a Lua pattern, " in note]
    assert found.status == 0 and len(notes) == len(CALLS) + 1
    for i, note in enumerate(notes):
        assert advice in note and f'"{pattern}"' in note
    assert {int(note.split(":")[1]) for note in notes} == {*range(2, len(CALLS) + 2), len(CALLS) + 4}


def test_patterns_that_are_right(check):
    body = "".join(f"local _ = address.domain:match({json.dumps(pattern)})\n" for pattern in RIGHT)
    found = check(handler(body))
    assert found.status == 0
    assert [note for note in found.notes if "pattern" in note] == []


@pytest.mark.parametrize("call", [
    "address.domain:find(PATTERN, 1, true)", "string.find(address.domain, PATTERN, 1, true)",
    "mq.re.match(address.domain, PATTERN)",
    "re.match(address.domain, PATTERN)", "mq.re.gsub(address.domain, PATTERN, '')", "other.match(address.domain, PATTERN)",
    "known:match(connection, PATTERN)", "address.domain:match(address.email and PATTERN or '')",
    "address.domain:match(unpack({PATTERN}))",
    "address.domain:match(tostring(PATTERN))", "address.domain:sub(1, #PATTERN)", "address.domain:find(table.concat({PATTERN}))"])
def test_what_is_no_pattern(check, call):
    body = f"local _ = {call}".replace("PATTERN", "'(jpg|png)'")
    found = check("local re, other, known = mq.re, {}, {}\n" + handler(body))
    assert found.status == 0 and [note for note in found.notes if "pattern" in note] == []


def test_no_pattern_of_the_examples_is_noted():
    policies = sorted((pathlib.Path(__file__).resolve().parents[2] / "examples").glob("*/policy.lua"))
    assert len(policies) > 10
    for policy in policies:
        done = subprocess.run([PROGRAM, "check", policy], capture_output=True, text=True, timeout=60)
        assert "pattern" not in done.stdout, done.stdout
