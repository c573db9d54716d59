# SPDX-License-Identifier: MIT
"""Every knob of the stand-in at each of its values: mail goes through in both directions with handlers that wait, no
pause is lost, and what the value means can be seen."""

import base64
import itertools
import re
import time

import pytest

import pairs
import profiles
from mqlua import MESSAGE, Host, wait_until
from probe import delivering
from sink import Sink

POLICY = r"""
local function note(...) mq.log.info("<%s>", table.concat({...}, " ")) end
local function pause() mq.sleep(0.002) end
mq.on("initialize", function() note("initialize") end)
mq.on("cleanup", function() note("cleanup") end)
mq.on("context_initialize", function() note("context_initialize") end)
mq.on("context_cleanup", function() note("context_cleanup") end)
mq.on("smtp_in_connect", function(connection) pause() note("connect", tostring(connection.remote_ip)) end)
mq.on("smtp_in_secure", function() pause() note("secure") end)
mq.on("smtp_in_authenticate", function(_, login, password)
  pause()
  note("authenticate", login, tostring(password))
  if login == "joe" then return mq.accept() end
end)
mq.on("smtp_in_mailfrom", function(_, address) pause() note("mailfrom", address.email) end)
mq.on("smtp_in_rcptto", function(_, address)
  if os.getenv("LOCAL_API") == "address" then address.is_local = address.localpart == "local" end
end)
mq.on("smtp_in_rcptto", function(_, address)
  pause()
  note("rcptto", address.email)
  if address.localpart == "slow" then mq.sleep(0.3) note("awake") end
end)
mq.on("smtp_in_data", function(_, chunk) pause() note("data", #chunk, chunk:find("\n..dot", 1, true) and "stuffed" or "") end,
  {chunks = true})
mq.on("smtp_in_message", function(_, message)
  if os.getenv("LOCAL_API") == "message" then message.is_local = message.recipient.localpart == "local" end
  pause()
  note("message", message.recipient.email, type(message.json.connection), type(message.json.tags))
  message.json.seen = "in"
end)
mq.on("smtp_in_close", function() note("close") end)
mq.on("smtp_out_data", function(_, message)
  pause()
  note("out_data", message.recipient.email)
  message.json.seen = "out"
end)
mq.on("smtp_out_sent", function(_, message) note("out_sent", message.recipient.email) end)
"""

TEXT = b"Subject: test\r\nX-MQ-Tag: one\r\n\r\n..dot\r\n" + b"x" * 60 + b"\r\n"
JOE = "AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()
OWN = "AUTH PLAIN " + base64.b64encode(b"\0own\0secret").decode()

LISTED = pairs.knobs()
DOCUMENTED = {"api", "spelling", "auth-by-symbol", "init", "fork", "ctx-init", "shutdown", "close-on-exit", "sync-continue",
              "continue", "disconnect", "reply-after-send", "secure-event-on-implicit", "banner", "data", "data-unstuffed",
              "recipient", "local", "own-auth", "auth-outside", "json", "message-after-reply", "json-export",
              "data-in-loop", "flag-values"}
PAIRS = [(name, value) for name, values in LISTED.items() for value in values if pairs.works({name: value})]


def test_profiles_know_every_knob():
    assert DOCUMENTED <= set(LISTED) == set(profiles.DEFAULTS)
    assert {name: values[0] for name, values in LISTED.items()} == profiles.DEFAULTS
    for name in DOCUMENTED - {"api"}:
        tried = {profile.get(name, profiles.DEFAULTS[name]) for profile in profiles.PROFILES.values()}
        assert tried == set(LISTED[name]) - {"chunks:7", "unaware"}, f"no profile has one of the values of {name}"


def test_rows_have_every_pair_of_values():
    """A check of its own of what pairs.py finds: any two values of two knobs, as far as a program has both."""
    rows = [{**profiles.DEFAULTS, **row} for row in profiles.pair_rows()]
    assert all(pairs.works(row) for row in rows)
    seen = {pair for row in rows for pair in itertools.permutations(row.items(), 2)}
    exported = set(pairs.programs()[0])
    for one, two in itertools.combinations(PAIRS, 2):
        if one[0] != two[0] and (not {one[0], two[0]} <= exported or
                                 any({one, two} <= program.items() for program in pairs.programs() if pairs.works(program))):
            assert (one, two) in seen, f"no row has {one} and {two}"


def test_each_test_has_a_row_that_the_seed_chooses(monkeypatch):
    def row(seed, test):
        monkeypatch.setenv("MQLUA_SEED", seed)
        monkeypatch.setenv("PYTEST_CURRENT_TEST", f"{test} (call)")
        return pairs.chosen("pairs", profiles.pair_rows())

    assert row("1", "one") == row("1", "one")
    assert len({str(row("1", f"{n}")) for n in range(500)}) == len(profiles.pair_rows())
    assert row("1", "one") != row("2", "one") or row("1", "two") != row("2", "two")


def notes(host):
    return re.findall(r"<(.*)> \(generation 1\)$", host.stderr, re.MULTILINE)


def count(host, word):
    return sum(line.split()[0] == word for line in notes(host))


def run(name, value):
    settings = {"host": {"local_api": "address", "address_api": "address"}, "hold": 0.1}
    knobs = {name: value, "disconnect": "close-during-pause"} if name != "disconnect" else {name: value}
    chosen = {**profiles.DEFAULTS, **profiles.knobs(knobs)}
    settings["host"].update(local_api=chosen["local"], address_api=chosen["recipient"])
    with Sink() as sink, delivering(POLICY, [{}], "--auth", "own:secret", sink=sink, tls=True, listen=True, knobs=knobs,
                                    settings=settings, environment={"LOCAL_API": chosen["local"]}) as host:
        host.codes = []
        with host.client() as client:
            client.greet()
            host.codes.append(client.command("MAIL FROM:<a@example.org>"))
            host.codes.append(client.command("RCPT TO:<early@example.com>"))
            client.expect("RSET", 250)
            host.codes += [client.command(OWN), client.command(JOE)]
            client.begin("a@example.org", ["one@example.com", "local@example.com"])
            client.send(TEXT + b".\r\n")
            host.codes.append(client.code())
            wait_until(lambda: len(host.inbox() + host.local()) == 2, "two messages")
            client.expect("QUIT", 221)
        with host.client(tls=True) as client:
            client.greet()
            client.expect("QUIT", 221)
        [host.result] = host.results(1)
        host.wait_stderr("<close>", 2)
        left = host.client()
        left.greet()
        assert host.stop() == 0
        left.close()
        host.messages = {**{m["recipient"]: m for m in host.inbox()}, **{m["recipient"]: m for m in host.local()}}
        host.local_messages = [m["recipient"] for m in host.local()]
    return host


@pytest.mark.parametrize("name, value", PAIRS, ids=lambda text: text)
def test_value(name, value):
    host = run(name, value)
    knobs, lines = host.knobs, notes(host)
    mandatory = knobs["auth-by-symbol"] == "on"
    assert host.codes == [250, 530 if mandatory else 250, 235 if knobs["own-auth"] != "none" else 535,
                          503 if knobs["own-auth"] != "none" else 235, 250]
    assert host.ledger()["pauses"] == host.ledger()["handbacks"] > 10

    assert "connect 127.0.0.1" in lines and "mailfrom a@example.org" in lines and "rcptto one@example.com" in lines
    assert count(host, "secure") == (1 if knobs["secure-event-on-implicit"] == "yes" else 0)
    assert "authenticate own " + ("nil" if knobs["password"] == "null" else "secret") in lines
    assert count(host, "close") == (3 if knobs["close-on-exit"] == "yes" else 2)
    assert host.local_messages == ["local@example.com"]

    pieces = [line.split() for line in lines if line.startswith("data ")]
    unstuffed = knobs["data-unstuffed"] == "on"
    size = len(TEXT) - unstuffed
    if knobs["data"] == "at-command":
        assert pieces == [["data", "0"]]
    elif knobs["data"] in ("whole", "chunks:1000"):
        assert pieces == [["data", str(size)] + ([] if unstuffed else ["stuffed"])]
    else:
        assert len(pieces) == -(-size // 7) and sum(int(piece[1]) for piece in pieces) == size

    for recipient in ("one@example.com", "local@example.com"):
        full, extracted = knobs["json"] == "full", knobs["extract"] == "on"
        assert f"message {recipient} {'table' if full else 'nil'} {'table' if extracted else 'nil'}" in lines
        assert host.messages[recipient]["seen"] == "in"
        assert ("X-MQ-Tag" in host.messages[recipient]["mime"]) != extracted

    assert host.result["seen"] == "out" and host.result["results"][-1]["result"] == "accepted"
    assert "out_data to@recipient.example" in lines and "out_sent to@recipient.example" in lines

    assert lines[0] == "initialize"
    if knobs["shutdown"] == "contexts-first":
        assert lines[-1] == "cleanup" and "context_cleanup" in lines
    else:
        assert lines.index("cleanup") < lines.index("context_cleanup")


@pytest.mark.parametrize("value", LISTED["disconnect"])
def test_disconnect(value):
    """The client leaves in a pause: when the plugin hears of it, if at all, and whether it goes on."""
    with Host(policy=POLICY, knobs={"disconnect": value}) as host:
        with host.client() as client:
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            client.send("RCPT TO:<slow@example.com>\r\n")
            host.wait_stderr("<rcptto slow@example.com>")
        if value != "no-close":
            host.wait_stderr("<close>")
        if value != "close-during-pause":
            host.wait_stderr("<awake>")
    ends = [line for line in notes(host) if line in ("awake", "close")]
    assert ends == {"close-during-pause": ["close"], "close-after-handback": ["awake", "close"], "no-close": ["awake"]}[value]
    ledger = host.ledger()
    assert ledger["closed"] == (1 if value == "close-during-pause" else 0)


@pytest.mark.parametrize("value", LISTED["banner"])
def test_banner(value):
    policy = 'mq.on("smtp_in_connect", function() mq.sleep(0.05) return mq.reject(554, "5.7.1", "No") end)\n'
    with Host(policy=policy, settings={"hold": 0.1}, knobs={"banner": value}) as host, host.client() as client:
        assert client.code() == (220 if value == "before" else 554)


@pytest.mark.parametrize("value, codes", [("always", [250]), ("suppress", []), ("close", []), ("unaware", [])])
def test_reply_after_send(value, codes):
    """What the host says when a refused client's hold is over."""
    policy = 'mq.on("smtp_in_rcptto", function() return mq.reject(554, "5.7.1", "No") end)\n'
    with Host(policy=policy, settings={"hold": 0.1}, knobs={"reply-after-send": value}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.send("RCPT TO:<one@example.com>\r\n")
        assert client.code() == 554
        said = []
        client.socket.settimeout(1)
        try:
            while (code := client.code()):
                said.append(code)
        except TimeoutError:
            assert value != "close"
    assert [code for code in said if code != 421] == codes


@pytest.mark.parametrize("value", LISTED["message-after-reply"])
def test_message_after_reply(value):
    policy = 'mq.on("smtp_in_message", function() mq.sleep(0.3) mq.log.info("<awake>") end)\n'
    with Host(policy=policy, knobs={"message-after-reply": value}) as host:
        with host.client() as client:
            client.greet()
            client.begin()
            begun = time.monotonic()
            client.send(MESSAGE + b".\r\n")
            assert client.code() == 250
            if value == "off":
                assert time.monotonic() - begun >= 0.3
            else:
                assert "<awake>" not in host.stderr
            host.inbox(1)
