# SPDX-License-Identifier: MIT
"""What each verdict does on the wire and to the message, at every event, before and after a wait."""

import base64
import re
import shutil
import time

import pytest

from mqlua import BUILD, MESSAGE, Host, wait_until
from probe import Probe, delivering
from sink import Sink

HOLD = 0.3
SETTINGS = {"hold": HOLD, "host": {"inbox": "mailerq"}}
PAUSE = pytest.mark.parametrize("pause", ["", "mq.sleep(0.002) "], ids=["at-once", "after-sleep"])
REFUSALS = pytest.mark.parametrize("call, line, closing", [
    ('mq.reject(554, "5.7.9", "No thanks")', (554, ["5.7.9 No thanks"]), True),
    ('mq.reject()', (550, ["5.7.1 Rejected by policy"]), True),
    ('mq.tempfail(451, "4.3.9", "Later")', (451, ["4.3.9 Later"]), True),
    ('mq.disconnect(421, "4.7.5", "Go")', (421, ["4.7.5 Go"]), False)], ids=["reject", "default", "tempfail", "disconnect"])


@pytest.fixture(scope="module")
def probe():
    with Probe(settings=SETTINGS) as host:
        yield host


CLOSING = (421, ["4.7.0 Closing connection"])
SENT_AHEAD = 102  # 421 lines behind the reply: one for each command that a client may have sent already


def refusal(client, ahead=SENT_AHEAD):
    """Reads the replies up to the first 421, and then all others, which have to be 421 too; ahead of them follow the reply."""
    replies = [client.reply()]
    while replies[-1][0] not in (421, 0):
        replies.append(client.reply())
    more = ahead - (len(replies) > 1)
    assert [client.reply() for _ in range(more)] == [CLOSING] * more
    return replies


# ---- refusals on the wire ----

@PAUSE
@REFUSALS
@pytest.mark.parametrize("event", ["mailfrom", "rcptto"])
def test_refusal_in_a_transaction(probe, event, pause, call, line, closing):
    trial, client = probe.begin(**{event: pause + "return " + call})
    with client:
        if event == "rcptto":
            client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
            client.send("RCPT TO:<one@example.com>\r\n")
        else:
            client.send(f"MAIL FROM:<{trial.name}@probe.example>\r\n")
        assert refusal(client) == [line] + ([CLOSING] if closing else [])


@PAUSE
@REFUSALS
def test_refusal_at_connect(pause, call, line, closing):
    with Host(policy=f'mq.on("smtp_in_connect", function() {pause} return {call} end)\n', settings=SETTINGS) as host:
        with host.client() as client:
            replies = refusal(client, 1 if closing else 0)
        assert line in replies and replies[-1][0] == 421


@PAUSE
def test_refusal_at_secure(pause):
    with Host(policy=f'mq.on("smtp_in_secure", function() {pause} return mq.reject() end)\n', settings=SETTINGS) as host:
        with host.client() as client:
            client.greet()
            client.expect("STARTTLS", 220)
            client.starttls()
            client.send("EHLO client.example\r\n")
            assert [code for code, _ in refusal(client, 1)] == [550, 421]


@PAUSE
def test_disconnect_at_authenticate(pause):
    policy = f'mq.on("smtp_in_authenticate", function() {pause} return mq.disconnect() end)\n'
    with Host(policy=policy, settings=SETTINGS, knobs={"auth-by-symbol": "on"}) as host, host.client() as client:
        client.greet()
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()) == 421


def test_refused_client_that_leaves(probe):
    trial, client = probe.begin(rcptto="return mq.reject()")
    with client:
        client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
        client.send("RCPT TO:<one@example.com>\r\n")
        refusal(client)
    assert probe.run().codes[-1] == 221


def test_nothing_is_said_while_held():
    with Probe(settings={"hold": 5}) as host:
        trial, client = host.begin(rcptto="return mq.reject()")
        with client:
            client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
            client.send("RCPT TO:<one@example.com>\r\n")
            refusal(client)
            client.send("NOOP\r\n")
            client.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.socket.recv(1)


def test_hand_back_after_hold_stays_condemned(probe):
    trial, client = probe.begin(rcptto="show(address.localpart) return mq.reject()", data="show('data')")
    with client:
        client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
        client.send("RCPT TO:<one@example.com>\r\n")
        refusal(client)
        client.send("RCPT TO:<two@example.com>\r\nDATA\r\n" + MESSAGE.decode() + ".\r\nQUIT\r\n")
        while client.line() is not None:
            pass  # whatever the host says once it has control again
    assert trial.shown == [["one"]]
    for message in trial.published:
        assert message["mailerq-lua"]["verdict"] == "discard"


def test_condemned_message_becomes_a_discard():
    """With a host whose own 250 follows ours, the message comes although its recipient was refused."""
    with Probe(settings={"hold": 0.05, "host": {"inbox": "mailerq"}}, knobs={"reply-after-send": "always"}) as host:
        trial, client = host.begin(rcptto="return mq.reject()")
        with client:
            client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
            client.send("RCPT TO:<one@example.com>\r\n")
            refusal(client)
            assert client.code() == 250
            client.expect("DATA", 354)
            client.send(b"X-Trial: " + trial.name.encode() + b"\r\n" + MESSAGE + b".\r\n")
            assert client.code() == 250
        [message] = host.inbox(1)
    assert message["maxdelivertime"] < "2001"
    assert message["mailerq-lua"] == {"verdict": "discard", "reason": "the connection was rejected", "generation": 1}


@pytest.mark.parametrize("own_reply", ["suppress", "close"])
def test_refusal_with_other_hosts(own_reply):
    with Probe(settings=SETTINGS, knobs={"reply-after-send": own_reply}) as host:
        trial, client = host.begin(rcptto="return mq.reject()")
        with client:
            client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
            client.send("RCPT TO:<one@example.com>\r\n")
            assert [code for code, _ in refusal(client)] == [550, 421]


@PAUSE
def test_client_that_stays_is_closed_by_the_host(pause):
    """With reply-after-send=close, when it gets control back."""
    with Probe(settings={"hold": 0.02}, knobs={"reply-after-send": "close"}) as host:
        for code in ({"mailfrom": pause + "return mq.reject()"}, {"rcptto": pause + "return mq.reject()"}) * 2:
            trial, client = host.begin(**code)
            with client:
                client.send(f"MAIL FROM:<{trial.name}@probe.example>\r\nRCPT TO:<one@example.com>\r\n")
                refusal(client)
                assert client.at_end()
        assert host.run().codes[-1] == 221


def test_many_held_connections_are_bounded():
    with Probe(settings={"hold": 60}, knobs={"reply-after-send": "always"}) as host:
        name = host.name({"mailfrom": "return mq.reject()"})
        clients = []
        for number in range(1001):
            client = host.client()
            clients.append(client)
            client.send(f"EHLO client.example\r\nMAIL FROM:<{name}@probe.example>\r\n")
            if number == 0:
                refusal(client)
        for client in clients[1:]:
            refusal(client)
        assert clients[0].code() == 250  # the oldest went back to the host
        for client in clients:
            client.close()


# ---- reply_after_send = never ----

NEVER = {"host": {"reply_after_send": "never", "inbox": "mailerq"}}


@pytest.fixture(scope="module")
def never():
    with Probe(settings=NEVER, knobs={"reply-after-send": "suppress", "data": "chunks:1000"}) as host:
        yield host


@PAUSE
def test_never_the_session_goes_on(never, pause):
    trial, client = never.begin(rcptto=pause + "if address.localpart == 'bad' then return mq.reject(550, '5.1.1', 'No') end")
    with client:
        client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
        client.expect("RCPT TO:<bad@example.com>", 550)
        client.expect("RCPT TO:<good@example.com>", 250)
        client.expect("DATA", 354)
        client.send(b"X-Trial: " + trial.name.encode() + b"\r\n" + MESSAGE + b".\r\n")
        assert client.code() == 250
        client.expect("QUIT", 221)
    wait_until(lambda: trial.published, "the message")
    good = [message for message in trial.published if "maxdelivertime" not in message]
    assert [message["recipient"] for message in good] == ["good@example.com"]


@PAUSE
def test_never_reject_in_data(never, pause):
    trial = never.run(data="if #chunk > 0 and not connection.transaction.vars.done then "
                           "connection.transaction.vars.done = true " + pause + "return mq.reject(554, '5.6.0', 'No') end")
    assert trial.replies[3][0] == 554
    assert all(message["mailerq-lua"]["verdict"] == "discard" for message in trial.published)


def test_reject_in_data_needs_never(probe):
    trial = probe.run(data="return mq.reject()")
    assert trial.codes == [250, 250, 354, 250, 221]
    probe.wait_stderr("mq.reject cannot be returned from smtp_in_data "
                      r"\(use mq.discard or mq.quarantine in smtp_in_message\)")


# ---- verdicts at the wrong event ----

WRONG = {
    "smtp_in_connect": ["accept()", "deny()", "discard()", "quarantine('a@b.c')", "hold()"],
    "smtp_in_authenticate": ["reject()", "tempfail()", "discard()", "quarantine('a@b.c')", "hold()"],
    "smtp_in_message": ["accept()", "deny()", "reject()", "tempfail()", "disconnect()", "hold()"],
    "smtp_out_data": ["accept()", "deny()", "reject()", "disconnect()", "discard()", "quarantine('a@b.c')"],
}
INSTEAD = {
    "smtp_in_connect": "use mq.reject, mq.tempfail or mq.disconnect",
    "smtp_in_authenticate": "use mq.accept, mq.deny or mq.disconnect",
    "smtp_in_message": "use mq.discard or mq.quarantine in smtp_in_message",
    "smtp_out_data": "use mq.hold",
}


@pytest.mark.parametrize("event", WRONG)
def test_wrong_verdict_names_the_right_one(event):
    lines = "".join(f"try('{event}', mq.{call})\n" for call in WRONG[event])
    policy = f"""
    local function try(event, verdict)
      local ok, message = pcall(mq.on, event, print, {{on_error = verdict}})
      mq.log.info("<%s>", message)
    end
    {lines}"""
    with Host(policy=policy, settings=SETTINGS) as host:
        text = host.stderr
    for call in WRONG[event]:
        name = "mq." + call.split("(")[0]
        assert f"on_error: {name} cannot be returned from {event} ({INSTEAD[event]}); it belongs to " in text


@PAUSE
def test_wrong_verdict_returned(probe, pause):
    trial = probe.run(message=pause + "message:tag('x') return mq.reject()")
    assert trial.codes[-1] == 221
    probe.wait_stderr("mq.reject cannot be returned from smtp_in_message")
    [message] = wait_until(lambda: trial.published, "the message")
    assert "tags" not in message


@PAUSE
def test_verdict_of_an_observer_is_ignored(pause):
    policy = "local function judge() return mq.reject() end\n" \
             f'mq.on("smtp_in_close", function() {pause} return judge() end)\n'
    with Host(policy=policy, settings=SETTINGS) as host:
        host.send()
        host.wait_stderr("a verdict was ignored: mq.reject cannot be returned from smtp_in_close "
                         r"\(this event only observes: return nothing\)")


@pytest.mark.parametrize("value, kind", [("true", "boolean"), ("'reject'", "string"), ("{}", "table"), ("connection", "userdata")])
def test_something_else_returned(probe, value, kind):
    assert probe.run(rcptto=f"return {value}").codes[-1] == 221
    probe.wait_stderr(f"returned a {kind}: return a verdict")
    time.sleep(0.3)  # the log of failures is limited in rate


# ---- done, complete, rerun ----

TWO = """
mq.on("smtp_in_rcptto", function(connection, address)
  %s
  mq.log.info("<first>")
  return %s
end)
mq.on("smtp_in_rcptto", function(connection, address) mq.log.info("<second>") end)
"""


def order(tmp_path, policy, name="z.so", knobs=None):
    """One refused recipient with a plugin that refuses it as well, loaded before (a.so) or after ours (z.so)."""
    other = tmp_path / name
    shutil.copy(BUILD / "plugins" / "answer.so", other)
    with Host(policy=policy, plugins=[BUILD / "mailerq-lua.so", other], knobs=knobs) as host:
        with host.client() as client:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            code = client.command("RCPT TO:<no@example.com>")
            client.send("QUIT\r\n")
            while client.line() is not None:
                pass
    return code, host.stderr.count("<first>"), host.stderr.count("<second")


@PAUSE
def test_done_lets_the_next_plugin_go_on(pause, tmp_path):
    assert order(tmp_path, TWO % (pause, "mq.done()")) == (550, 1, 0)


@PAUSE
def test_complete_skips_the_next_plugin(pause, tmp_path):
    assert order(tmp_path, TWO % (pause, "mq.complete()")) == (250, 1, 0)


@PAUSE
@pytest.mark.parametrize("name", ["a.so", "z.so"])
def test_rerun_works_once(pause, name, tmp_path):
    assert order(tmp_path, TWO % (pause, "mq.rerun()"), name) == (550, 2, 0)


@PAUSE
def test_rerun_at_connect_is_the_same_connection(pause):
    policy = f"""
    mq.on("smtp_in_connect", function(connection)
      local vars = connection.vars
      vars.n = (vars.n or 0) + 1
      mq.log.info("<connect %d>", vars.n)
      {pause}
      if vars.n == 1 then return mq.rerun() end
    end)
    mq.on("smtp_in_close", function() mq.log.info("<closed>") end)"""
    with Host(policy=policy) as host:
        host.send()
        host.wait_stderr("<closed>")
    first, second, closed = re.findall("<.*>", host.stderr)
    assert (first, second, closed) == ("<connect 1>", "<connect 2>", "<closed>")


def test_reruns_of_clients_that_left_are_forgotten():
    policy = """
    mq.on("smtp_in_rcptto", function(connection, address)
      mq.log.info("<called for %s>", address.localpart)
      mq.sleep(0.1)
      mq.log.info("<over>")
      return mq.rerun()
    end)"""
    with Host(policy=policy, knobs={"disconnect": "close-after-handback"}) as host:
        for _ in range(140):  # more than 64 in each worker
            with host.client() as client:
                client.greet()
                client.expect("MAIL FROM:<a@example.org>", 250)
                client.send("RCPT TO:<left@example.com>\r\n")
        host.wait_stderr("<over>", 140)
        host.send(recipients=["stayed@example.com"])
        assert host.stderr.count("<called for stayed>") == 2


@pytest.mark.parametrize("hand_back", ["inline", "deferred"])
def test_rerun_then_something_else(hand_back, tmp_path):
    policy = """
    mq.on("smtp_in_rcptto", function(connection)
      mq.log.info("<first>")
      connection.vars.n = (connection.vars.n or 0) + 1
      if connection.vars.n == 1 then return mq.rerun() end
      mq.log.info("<second %d>", #connection.transaction.recipients)
      return mq.complete()
    end)"""
    assert order(tmp_path, policy, knobs={"continue": hand_back}) == (250, 2, 1)


@PAUSE
@pytest.mark.parametrize("verdict", ["done", "complete", "rerun"])
def test_at_every_event(verdict, pause):
    events = ["connect", "secure", "authenticate", "mailfrom", "rcptto", "data", "message"]
    policy = "".join(f"""
    mq.on("smtp_in_{event}", function()
      {pause} mq.log.info("<{event}>") return mq.{verdict}() end{', {chunks = true}' if event == "data" else ''})"""
                     for event in events)
    with Host(policy=policy, knobs={"data": "whole"}) as host:
        with host.client() as client:
            client.greet()
            client.expect("STARTTLS", 220)
            client.starttls()
            client.expect("EHLO client.example", 250)
            assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()) == 535
            client.begin()
            client.send(MESSAGE + b".\r\n")
            assert client.code() == 250
            host.inbox(1)  # the reply may come before the event
    for event in events:
        assert host.stderr.count(f"<{event}>") == (2 if verdict == "rerun" else 1), event


@pytest.mark.parametrize("verdict", ["complete", "rerun"])
def test_hand_back_where_the_host_gives_no_timers(verdict, tmp_path):
    code = 550 if verdict == "rerun" else 250
    assert order(tmp_path, TWO % ("", f"mq.{verdict}()"), knobs={"timers": "fail"})[0] == code


def test_refusal_where_the_host_gives_no_timers():
    """Nothing can end the hold then, so the host gets the connection back at once."""
    with Probe(settings=SETTINGS, knobs={"timers": "fail"}) as host:
        trial, client = host.begin(rcptto="return mq.reject()")
        with client:
            client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
            client.send("RCPT TO:<one@example.com>\r\n")
            assert [code for code, _ in refusal(client)] == [550, 421]


# ---- authenticate ----

@PAUSE
@pytest.mark.parametrize("code, reply", [("return mq.accept()", 235), ("return mq.deny()", 535), ("", 535),
                                         ("error('broken')", 535), ("return mq.done()", 535)])
def test_authenticate(pause, code, reply):
    policy = f'mq.on("smtp_in_authenticate", function() {pause} {code} end)\n'
    with Host(policy=policy, knobs={"auth-by-symbol": "on"}) as host, host.client() as client:
        client.greet()
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()) == reply
        assert "secret" not in host.stderr


# ---- discard and quarantine ----

@PAUSE
def test_discard(probe, pause):
    trial = probe.run(message=pause + "return mq.discard('spam')")
    [message] = wait_until(lambda: trial.published, "the message")
    assert message["maxdelivertime"] < "2001"
    assert message["dsn"]["notify"] == "NEVER"
    assert {name: message["queues"][name] for name in ("success", "failure", "retry", "dsn")} == \
        dict.fromkeys(("success", "failure", "retry", "dsn"))
    assert message["mailerq-lua"] == {"verdict": "discard", "reason": "spam", "generation": 1}
    assert message["recipient"] == "one@example.com"


def test_discard_leaves_only_the_configured_results_queue(probe):
    trial = probe.run(message="message.json.queues = {results = 'audit', failure = 'f'} message.json.dsn = {envelope = 'a@b.c'} "
                              "return mq.discard('spam')")
    [message] = wait_until(lambda: trial.published, "the message")
    assert message["queues"] == dict.fromkeys(("success", "failure", "retry", "dsn"))  # results: as configured
    assert message["dsn"] == {"notify": "NEVER"}


@pytest.mark.parametrize("code", ["error('no')", "while true do end"])
def test_discard_calls_nothing_of_the_policy(code):
    policy = f"""
    mq.on("smtp_in_message", function(connection, message)
      message.json.queues = {{results = "r"}}
      setmetatable(message.json.queues, {{__newindex = function() {code} end}})
      return mq.discard("spam")
    end)"""
    with Host(policy=policy, settings=SETTINGS) as host:
        host.send()
        [message] = host.inbox(1)
    assert message["queues"] == dict.fromkeys(("success", "failure", "retry", "dsn"))


@pytest.mark.parametrize("array", ["mq.array({})", "mq.array({'x'})"])
def test_discard_puts_an_object_in_place_of_an_array(probe, array):
    trial = probe.run(message="local json = message.json json.dsn = mq.array({}) json.queues = mq.array({}) "
                              f"for i, v in ipairs({array}) do json.dsn[i] = v json.queues[i] = v end return mq.discard('spam')")
    [message] = wait_until(lambda: trial.published, "the message")
    assert message["maxdelivertime"] < "2001" and message["dsn"] == {"notify": "NEVER"}
    assert message["queues"] == dict.fromkeys(("success", "failure", "retry", "dsn"))


def test_discard_needs_the_setting():
    policy = 'mq.on("smtp_in_message", function() return mq.discard("x") end)\nlocal d = mq.discard("x")\n'
    host = Host(policy=policy, start=False)
    with pytest.raises(AssertionError):
        host.start()
    with host:
        assert host.wait_end() != 0
    assert '"inbox": "mailerq"' in host.stderr


@PAUSE
def test_quarantine(probe, pause):
    code = "message.json.pool = 'p' message.json.ips = {'192.0.2.1'} message:tag('mine') "
    trial = probe.run(message=pause + code + "return mq.quarantine('jail@example.net', 'virus')")
    [message] = wait_until(lambda: trial.published, "the message")
    assert message["recipient"] == "jail@example.net"
    assert message["mailerq-lua"] == {"verdict": "quarantine", "reason": "virus", "generation": 1,
                                      "recipient": "one@example.com"}
    assert message["tags"] == ["mine", "quarantine"]
    assert message["dsn"]["notify"] == "NEVER"
    assert not {"smarthost", "pool", "ips", "maxdelivertime"} & set(message)


STEERING = ("X-MQ-Ip: 192.0.2.1", "X-MQ-Pool: p", "X-MQ-Delayed: 2040-01-01 00:00:00", "X-MQ-Maxattempts: 1",
            "X-MQ-Maxdelivertime: 2001-01-01 00:00:00", "X-MQ-Retries: 1,2", "X-MQ-Inlinecss: 1", "X-MQ-Keepmime: 1",
            "X-MQ-Results-Queue: a", "X-MQ-Failure-Queue: b", "X-MQ-Success-Queue: c", "X-MQ-Retry-Queue: d",
            "X-MQ-Smarthost-Hostname: evil.example", "X-MQ-Smarthost-Port: 26", "X-MQ-Dsn-Notify: SUCCESS",
            "X-MQ-Dsn-Ret: FULL", "X-MQ-Dsn-Orcpt: rfc822;a@b.c", "X-MQ-Dsn-Envid: 1", "X-MQ-Force: 1", "X-MQ-Security: none",
            "X-MQ-Priority: 9", "X-MQ-Data: x", "X-MQ-Dkim: x", "X-MQ-Headers: x", "X-MQ-Nextattempt: x", "X-MQ-Results: x",
            "X-MQ-Extracted: x", "X-MQ-Seen: 1", "X-MQ-Domain: evil.example", "X-MQ-Forcedip: 192.0.2.1", "X-MQ-Tag: sent",
            "X-MQ-Mine: kept")
STAYS = {"envelope", "recipient", "mime", "key", "tags", "hostname", "received", "message-id", "connection", "spool", "cli",
         "http", "checks", "mine", "mailerq-lua", "dsn", "queues"}
EARLIER = """
mq.on("smtp_in_message", function(connection, message)
  local json = message.json
  json.data = {x = 1} json.ips = {"192.0.2.1"} json.pool = "p" json.force = true json.security = "none" json.priority = 9
  json.dkim = {domain = "a.example", selector = "s", key = "k"} json.headers = {remove = "Subject"} json.retries = {1}
  json.nextattempt = {time = "2040-01-01 00:00:00"} json.smarthost = {hostname = "evil.example"} json.maxattempts = 1
  json.queues = {results = "a"} json.dsn = {ret = "FULL"} json.mine = "kept"
end)
"""


@pytest.mark.parametrize("library", ["5.6.5", "5.0", "4.0"])
@pytest.mark.parametrize("earlier", ["", EARLIER], ids=["sender", "handler"])
@pytest.mark.parametrize("verdict", ["discard('x')", "quarantine('jail@example.net', 'x')"], ids=["discard", "quarantine"])
def test_nothing_that_steers_is_left(library, earlier, verdict):
    policy = earlier + f'mq.on("smtp_in_message", function() return mq.{verdict} end)\n'
    with Host(policy=policy, settings=SETTINGS, knobs={"api": library, "extract": "on"}) as host:
        host.send(message="\r\n".join(STEERING).encode() + b"\r\n" + MESSAGE)
        [message] = host.inbox(1)
    discarded = verdict.startswith("discard")
    assert set(message) <= STAYS | ({"maxdelivertime"} if discarded else set())
    assert message["dsn"] == {"notify": "NEVER"} and message["mine"] == "kept"
    assert message["queues"] == dict.fromkeys(("success", "failure", "retry", "dsn"))
    assert "sent" in message["tags"] and ("quarantine" in message["tags"]) != discarded


TEXTS = [r'"a\0b"', r'"a\r\n250 b"', r'"\1\127"', r'"\255\192"', '("x"):rep(100000)', '("\u00e9"):rep(450)', '""', "nil", "42"]


@pytest.mark.parametrize("text", TEXTS)
def test_no_verdict_is_lost_over_its_text(probe, never, text):
    for call in (f"mq.quarantine('jail@example.net', {text})", f"mq.discard({text})"):
        trial = probe.run(message="return " + call)
        [message] = wait_until(lambda: trial.published, "the message")
        reason = message["mailerq-lua"]["reason"]
        assert len(reason.encode()) <= 400 and reason.isprintable()
    trial, client = never.begin(rcptto=f"return mq.reject(550, '5.7.1', {text})")
    with client:
        client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
        [line] = client.expect("RCPT TO:<one@example.com>", 550)
        assert line.startswith("5.7.1 ") and line.isascii() and line.isprintable() and len(line) <= 508
        client.expect("NOOP", 250)


@pytest.mark.parametrize("call", ["reject(550, '5.7.1', {})", "tempfail(450, '4.7.1', true)", "discard(print)",
                                  "quarantine('jail@example.net', {})", "reject(200)", "tempfail(450, '5.7.1')"])
def test_wrong_types_and_codes_still_raise(probe, call):
    trial = probe.run(rcptto=f"raises(mq.now) raises(function() return mq.{call} end)")
    assert "bad argument" in trial.wait_shown(2)[1][0]


# ---- hold ----

@PAUSE
def test_hold_until_the_remote_closes(pause):
    policy = f'mq.on("smtp_out_data", function() {pause} return mq.hold("not now") end)\n'
    with Sink() as sink, delivering(policy, [{}], "--out-timeout", 60, sink=sink) as host:
        wait_until(lambda: sink.sessions and "RCPT" in " ".join(sink.sessions[0].commands), "the delivery to begin")
        time.sleep(0.3)
        sink.hang_up()
        if host.knobs["disconnect"] == "close-after-handback":
            assert host.stop() == 0  # this host waits for the hand-back as long as it runs
        [result] = host.results(1)
        assert result["results"][-1]["result"] != "accepted"
        assert not sink.messages
