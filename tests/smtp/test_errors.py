# SPDX-License-Identifier: MIT
"""What happens when a handler fails: on_error, staged writes, the log; and when the policy or the settings do."""

import base64
import re

import pytest

from mqlua import MESSAGE, Host, wait_until
from probe import Probe, delivering
from sink import Sink

PAUSE = pytest.mark.parametrize("pause", ["", "mq.sleep(0.002) "], ids=["at-once", "after-sleep"])


def rcpt(policy, recipient="one@example.com", **options):
    """The code of the reply to RCPT TO, and the log."""
    with Host(policy=policy, settings={"hold": 0.2, **options}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        code = client.command(f"RCPT TO:<{recipient}>")
        client.close()
    return code, host.stderr


# ---- on_error ----

@PAUSE
@pytest.mark.parametrize("on_error, code", [
    ("nil", 250), ("mq.tempfail()", 450), ("function() return mq.reject(551, '5.7.0') end", 551),
    ("function() end", 250), ("function() mq.sleep(0.002) return mq.tempfail() end", 450),
    ("function(e) if e:find('boom') then return mq.reject(552, '5.0.0') end end", 552),
    ("function() error('again') end", 250), ("function() return true end", 250),
    ("function() return ({mq.hold()})[1] end", 250)])
def test_on_error_of_a_handler(on_error, code, pause):
    policy = f"""
    local on_error = {on_error}
    mq.on("smtp_in_rcptto", function() {pause} error("boom") end, {{on_error = on_error}})"""
    assert rcpt(policy)[0] == code


def test_on_error_of_the_policy():
    policy = """
    mq.configure{on_error = {smtp_in_rcptto = mq.reject(553, "5.0.0")}}
    mq.on("smtp_in_rcptto", function() error("boom") end)"""
    assert rcpt(policy)[0] == 553


def test_on_error_of_a_handler_comes_first():
    policy = """
    mq.configure{on_error = {smtp_in_rcptto = mq.reject(553, "5.0.0")}}
    mq.on("smtp_in_rcptto", function() error("boom") end, {on_error = mq.reject(554, "5.0.0")})"""
    assert rcpt(policy)[0] == 554


def test_default_is_the_next_handler():
    policy = """
    mq.on("smtp_in_rcptto", function() error("boom") end)
    mq.on("smtp_in_rcptto", function() return mq.reject(555, "5.0.0") end)"""
    assert rcpt(policy)[0] == 555


def test_on_error_without_verdict_goes_on_with_the_next_handler():
    policy = """
    mq.on("smtp_in_rcptto", function() error("boom") end, {on_error = function() end})
    mq.on("smtp_in_rcptto", function() return mq.reject(555, "5.0.0") end)"""
    assert rcpt(policy)[0] == 555


@PAUSE
@pytest.mark.parametrize("on_error, reply", [("nil", 535), ("function() end", 535), ("function() error('x') end", 535),
                                             ("mq.accept()", 235), ("function() return mq.accept() end", 235)])
def test_authenticate_denies_by_default(on_error, reply, pause):
    policy = f"""
    mq.on("smtp_in_authenticate", function() {pause} error("boom") end, {{on_error = {on_error}}})
    mq.on("smtp_in_authenticate", function() return mq.accept() end)"""
    with Host(policy=policy, knobs={"auth-by-symbol": "on"}) as host, host.client() as client:
        client.greet()
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()) == reply


def test_log_has_place_traceback_and_generation():
    policy = """
    local function inner() error("boom") end
    mq.on("smtp_in_rcptto", function() local x = inner() return x end, {name = "my handler"})"""
    _, text = rcpt(policy)
    assert re.search(r"\[generation 1, [0-9a-f]{8}\] handler 'my handler' of smtp_in_rcptto failed: policy.lua:2: boom", text)
    assert "stack traceback:" in text and "policy.lua:3: in function" in text


@pytest.mark.parametrize("value", ["nil", "{}", "42", "setmetatable({}, {__tostring = function() error('x') end})"])
def test_error_values_that_are_no_text(value):
    code, text = rcpt(f"""
    mq.on("smtp_in_rcptto", function() error({value}) end, {{on_error = mq.tempfail()}})""")
    assert code == 450
    assert "smtp_in_rcptto failed: " in text


def test_log_of_failures_is_limited_and_counted():
    policy = """
    mq.on("smtp_in_rcptto", function() error("boom") end)
    mq.on("smtp_in_close", function() mq.log.info("%s", mq.metrics():match("\\nmailerq_lua_script_errors[^\\n]*")) end)"""
    with Host(policy=policy) as host:
        with host.client() as client:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            for _ in range(100):
                client.expect("RCPT TO:<one@example.com>", 250)
        host.wait_stderr("mailerq_lua_script_errors(_total)? 100")
        assert 10 <= host.stderr.count("failed: policy.lua:2: boom") < 50


def test_forgotten_return():
    code, text = rcpt("""
    mq.on("smtp_in_rcptto", function()
      mq.reject()
    end)""")
    assert code == 250
    assert "made a verdict and did not return it: policy.lua:3: mq.reject without 'return' does nothing" in text


def test_forgotten_return_after_a_wait():
    _, text = rcpt("""
    mq.on("smtp_in_rcptto", function()
      mq.sleep(0.001)
      mq.reject()
    end)""")
    assert "policy.lua:4: mq.reject without 'return' does nothing" in text


def test_no_warning_for_a_verdict_that_is_returned_later():
    _, text = rcpt("""
    local refuse = mq.reject()
    mq.on("smtp_in_rcptto", function() local v = mq.done() return refuse or v end)""")
    assert "did not return" not in text


# ---- staged writes ----

@pytest.fixture(scope="module")
def probe():
    with Probe(settings={"deadline": {"incoming": 0.2}}) as host:
        yield host


WRITE = "message.json.data = {a = 1} message:tag('t') message.recipient = 'other@example.net' message.mime = 'X: y\\r\\n\\r\\n' "


def published(trial):
    [message] = wait_until(lambda: trial.published, "the message")
    return message


def is_untouched(message):
    return "data" not in message and "tags" not in message and message["recipient"] == "one@example.com" and \
        message["mime"].endswith("Text\r\n")


@PAUSE
@pytest.mark.parametrize("failure", ["error('x')", "mq.sleep(5)", "while true do end", "return 5", "return mq.reject()",
                                     "message.json.data.x = function() end", "message.json.data.x = 0/0",
                                     "('x'):rep(1e9)"])
def test_writes_of_a_failed_handler_are_dropped(probe, pause, failure):
    assert is_untouched(published(probe.run(message=WRITE + pause + failure)))


@PAUSE
def test_writes_are_visible_at_once_and_committed(probe, pause):
    trial = probe.run(message=WRITE + pause + "show(message.json.data.a, message.json.tags[1], message.recipient.email, "
                                              "message.json.recipient, tostring(message.mime), #message.json.mime)")
    assert trial.wait_shown() == [[1, "t", "other@example.net", "other@example.net", "X: y\r\n\r\n", 8]]
    message = wait_until(lambda: [m for m in probe.inbox() if m["envelope"].startswith(trial.name)], "the message")[0]
    assert (message["data"], message["tags"], message["recipient"]) == ({"a": 1}, ["t"], "other@example.net")
    assert message["mime"] == "X: y\r\n\r\n"


def test_the_next_handler_sees_what_was_committed():
    policy = """
    mq.on("smtp_in_message", function(_, message) message:tag("one") end)
    mq.on("smtp_in_message", function(_, message) message:tag("lost") error("x") end)
    mq.on("smtp_in_message", function(_, message) mq.sleep(0.001) message:tag("two") end)
    mq.on("smtp_in_message", function(_, message)
      mq.log.info("<%s>", table.concat(message.json.tags, " "))
      message.json.tags[3] = "three"
    end)"""
    with Host(policy=policy) as host:
        host.send()
        [message] = host.inbox(1)
    assert message["tags"] == ["one", "two", "three"]
    assert "<one two>" in host.stderr


def test_writes_are_dropped_when_the_client_leaves():
    policy = """
    mq.on("smtp_in_message", function(_, message) message:tag("lost") mq.sleep(1) end)
    mq.on("smtp_in_close", function() mq.log.info("<closed>") end)"""
    with Host(policy=policy, knobs={"disconnect": "close-during-pause", "message-after-reply": "off"}) as host:
        with host.client() as client:
            client.greet()
            client.begin()
            client.send(MESSAGE + b".\r\n")
        host.wait_stderr("<closed>")
    assert all("tags" not in message for message in host.inbox())


@PAUSE
def test_outgoing_writes_of_a_failed_handler_are_dropped(pause):
    policy = f"""
    mq.on("smtp_out_data", function(_, message)
      message.mime = "X: y\\r\\n\\r\\n" message:tag("lost") {pause} error("x")
    end)"""
    with Sink() as sink, delivering(policy, [{}], sink=sink) as host:
        [result] = host.results(1)
        assert "tags" not in result
        assert sink.messages[0].data == MESSAGE


# ---- start ----

def start(policy="\n", settings=None, raw=None, arguments=(), **options):
    """Starts and stops; the exit status and what was said."""
    host = Host(*arguments, policy=policy, settings=settings, start=False, **options)
    if raw is not None:
        (host.folder / "settings.json").write_text(raw)
    try:
        host.start()
    except AssertionError:
        host.wait_end()
    with host:
        status = host.stop()
    return status, host.stderr


@pytest.mark.parametrize("text, message", [
    ('{"budget": 1,\n  "memmory": 1}', r"settings\.json:2:\d+: .*'memmory'.*'memory'"),
    ('{"budget": 1,\n "hold": "x"}', r"settings\.json:2:\d+: .*hold"),
    ('{"budget": 1,\n', r"settings\.json:2"),
    ('{"host": {"proxies": ["x"]}}', r"settings\.json:1:\d+: .*x"),
    ('{"deadline": {"incoming": 0}}', r"settings\.json:1:\d+: .*incoming"),
    ('{"host": {"inbox": "mine"}}', r"settings\.json:1:\d+: .*inbox"),
])
def test_settings_that_are_wrong(text, message):
    status, said = start(settings={}, raw=text)
    assert status > 0
    assert re.search(message, said), said
    assert said.count("settings.json:") == 1


@pytest.mark.parametrize("policy, message", [
    ("x = = 1\n", r"policy\.lua:1: unexpected symbol near '='"),
    ("error('not today')\n", r"policy\.lua:1: not today"),
    ("require('missing')\n", r"module 'missing' not found"),
    ("mq.sleep(1)\n", r"mq\.sleep"),
    ("while true do end\n", r"policy\.lua:1: .*budget"),
    ("local t = {} for i = 1, 1e9 do t[i] = {} end\n", r"not enough memory"),
])
def test_policy_that_does_not_load(policy, message):
    status, said = start(policy)
    assert status > 0
    assert re.search(r"the policy \S+policy\.lua does not load:", said)
    assert re.search(message, said), said


def test_start_without_policy():
    with Host(policy="x = = 1\n", settings={"start_without_policy": True}) as host:
        assert host.send() == {}
        assert host.stderr.count("starting without policy, as the settings say") == 1


def start_lines(host):
    """What the log says at the start, in order."""
    kinds = ["does not load:", "was rolled back before", ": policy ", "RUNNING THE LAST-KNOWN-GOOD POLICY",
             "no last-known-good policy either", "starting without policy"]
    return [kind for line in host.stderr.splitlines() for kind in kinds if kind in line]


def test_a_start_says_once_and_last_what_runs(tmp_path):
    environment = {"MAILERQ_LUA_STATE_DIR": str(tmp_path)}
    file = tmp_path / "policy.lua"
    file.write_text("x = = 1\n")
    settings = {"start_without_policy": True}
    with Host(policy=str(file), settings=settings, environment=environment) as host:
        host.send()
        assert start_lines(host) == ["does not load:", "no last-known-good policy either", "starting without policy"]
    file.write_text("local x = 1\n")
    with Host(policy=str(file), settings=settings, environment=environment) as host:
        host.send()
        assert start_lines(host) == [": policy "]
    file.write_text("x = = 1\n")
    with Host(policy=str(file), settings=settings, environment=environment) as host:
        host.send()
        assert start_lines(host) == ["does not load:", ": policy ", "RUNNING THE LAST-KNOWN-GOOD POLICY"]


def test_a_refused_start_is_told_as_one():
    status, said = start("x = = 1\n")
    assert status > 0 and "The plugin refuses to start" in said
    assert "refused to start" in said.splitlines()[-1] and "0x80000000" not in said


def test_context_initialize_that_fails_is_answered_with_421():
    with Host(policy='mq.on("context_initialize", function() error("no") end)\n', settings={"hold": 0.1}) as host:
        with host.client() as client:
            if host.knobs["banner"] == "before":
                assert client.code() == 220
            assert client.code() == 421
        assert "policy.lua:1: no" in host.stderr


def test_initialize_that_fails_is_logged():
    with Host(policy='mq.on("initialize", function() error("no") end)\n') as host:
        assert host.send() == {}
    assert "initialize failed: policy.lua:1: no" in host.stderr


@pytest.mark.parametrize("pause", ["", "mq.sleep(0.001) "])
def test_error_objects_say_what_they_are(pause):
    policy = 'local object = setmetatable({}, {__tostring = function() return "the object itself" end})\n' \
             'local endless = setmetatable({}, {__tostring = function() while true do end end})\n' \
             'mq.on("smtp_in_mailfrom", function() %serror(object) end)\n' \
             'mq.on("smtp_in_rcptto", function() %serror(endless) end)\n' % (pause, pause)
    with Host(policy=policy) as host:
        assert host.send() == {}
        host.wait_stderr("of smtp_in_mailfrom failed: the object itself")
        host.wait_stderr("of smtp_in_rcptto failed: .error object is a table value")


@pytest.mark.parametrize("object, said", [
    ("setmetatable({}, {__tostring = function() return 'its text' end})", "its text"),
    ("setmetatable({}, {__tostring = function() return 42 end})", "(error object is a table value)"),
    ("setmetatable({}, {__tostring = function() error('inner') end})", "(error object is a table value)"),
    ("setmetatable({}, {__tostring = function() while true do end end})", "(error object is a table value)"),
    ("{}", "(error object is a table value)"),
    ("true", "(error object is a boolean value)")])
def test_error_objects_at_the_top_level_say_what_they_are_and_where(object, said):
    status, stderr = start(f"\n\nlocal function fails() error({object}) end\nfails()\nlocal x = 1\n")
    assert status > 0 and said in stderr and "policy.lua:3: in function 'fails'" in stderr and "memory" not in stderr


def test_a_nul_cuts_no_line_of_the_log():
    policy = 'mq.counter("c_total", {help = "he\\0lp"})\n' \
             'mq.on("smtp_in_mailfrom", function()\n' \
             '  mq.log.info("one\\0two")\n' \
             '  mq.log.warn("%s three", "one\\0two")\n' \
             '  mq.log.info("%s", mq.metrics():match("c_total ([^\\n]*)"))\n' \
             '  mq.spawn(function() error("task\\0failed") end)\n' \
             '  mq.sleep(0.01)\n' \
             '  error("handler\\0failed")\n' \
             'end, {name = "na\\0me"})\n'
    with Host(policy=policy) as host:
        assert host.send() == {}
        for said in [":3: one two \\(", ":4: one two three", "he lp", "a spawned task failed: .*task failed",
                     "handler 'na me' of smtp_in_mailfrom failed: .*handler failed"]:
            host.wait_stderr(said)


@pytest.mark.parametrize("call", [
    "mq.on('smtp_in_rcptto\\0', print)", "mq.on('smtp_in_rcptto', print, {['name\\0'] = 'x'})",
    "mq.configure({['deadline\\0'] = 1})",
    "mq.counter('x_total', {['help\\0'] = 'x'})", "mq.shared('x', {['capacity\\0'] = '1MB'})", "mq.reject(550, '5.1.1\\0')",
    "mq.hash.sha256('x', {['raw\\0'] = true})", "io.open('policy.lua', 'r\\0')"])
def test_a_name_with_a_nul_is_none_of_ours(call):
    status, stderr = start(call + "\nlocal x = 1\n")
    assert status > 0 and "policy.lua:1: " in stderr
