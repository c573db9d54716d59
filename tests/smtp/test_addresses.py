# SPDX-License-Identifier: MIT
"""Addresses: what a policy may assign, that what clients send is always taken back, and that a mailbox has one
spelling. The forms themselves are in tests/unit/test_email.c."""

import json
import subprocess

import pytest

from mqlua import PROGRAM, Host
from probe import Probe

# What the stand-in takes from a client, and what localpart and domain are of it.
SENT = {
    "joe@old.example": ("joe", "old.example"),
    "Joe.Doe+tag@OLD.example": ("Joe.Doe+tag", "old.example"),
    '"joe"@old.example': ("joe", "old.example"),
    '"no\\body"@old.example': ("nobody", "old.example"),
    '"us>er"@old.example': ("us>er", "old.example"),
    '"a b"@old.example': ("a b", "old.example"),
    '"a@b"@old.example': ("a@b", "old.example"),
    '"a,b;c"@old.example': ("a,b;c", "old.example"),
    '"a..b"@old.example': ("a..b", "old.example"),
    '"."@old.example': (".", "old.example"),
    '""@old.example': ("", "old.example"),
    '"<>"@old.example': ("<>", "old.example"),
    '"a\\"b"@old.example': ('a"b', "old.example"),
    '"a\\\\b"@old.example': ("a\\b", "old.example"),
    '"(x)"@old.example': ("(x)", "old.example"),
    "joe@a_b.example": ("joe", "a_b.example"),
    "joe@[192.0.2.1]": ("joe", "[192.0.2.1]"),
    "joe@[IPv6:2001:DB8::1]": ("joe", "[ipv6:2001:db8::1]"),
    "joe%x@old.example": ("joe%x", "old.example"),
    "@one.example,@two.example:joe@old.example": ("joe", "old.example"),
    "'{!#$&*/=?^`|}'@old.example": ("'{!#$&*/=?^`|}'", "old.example"),
}

WRONG = ["", "<>", "a", "a@", "@b.example", "a@b@c", "u@x.example,b@x.example", "u@x.example b@x.example", "<a@b.example>",
         "Joe <a@b.example>", " a@b.example", "a@b.example ", "a\\0@b.example", "a\\1@b.example", "a@b\\127.example",
         "a@b.example\\r\\nDATA", "a\\255@b.example", "a@\\195.example", "a..b@c.example", ".a@c.example", "a.@c.example",
         "a@b..c", "a@.b", "a@b.", "a@-b.example", "a@b-.example", "a b@c.example", "a@b c.example", "a@[1.2.3]",
         "a@[1.2.3.4", "\\\"a@b.example", "a(b)@c.example", "a@b.example:25", "mailto:a@b.example"]


def quoted(localpart):
    """The local part as it is in an address."""
    if not localpart or any(c in ' ",;:<>@()[]\\' for c in localpart) or ".." in f".{localpart}.":
        return '"' + localpart.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return localpart


@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


@pytest.mark.parametrize("sent", SENT)
def test_parts(probe, sent):
    trial = probe.run(recipients=[sent], rcptto="show(address.localpart, address.domain)",
                      message="show(message.recipient.localpart, message.recipient.domain)")
    assert trial.wait_shown(2) == [list(SENT[sent])] * 2


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("code", [
    "message.recipient = message.recipient", "message.recipient = tostring(message.recipient)",
    "message.recipient = message.recipient.email", "message.json.recipient = message.json.recipient",
    "message.json.recipient = message.recipient", "message.recipient = connection.transaction.recipients[1]",
])
def test_what_a_getter_returns_is_taken_back(probe, sent, code):
    trial = probe.run(recipients=[sent], message=f"{code} show(message.recipient)")
    [[shown]] = trial.wait_shown()
    probe.wait_stderr("", 1)
    assert sent.endswith(shown) or shown == sent
    [message] = trial.published
    assert message["recipient"] == shown


@pytest.mark.parametrize("sent", SENT)
def test_rewriting(probe, sent):
    localpart, domain = SENT[sent]
    trial = probe.run(recipients=[sent], message="""
      local old = message.recipient
      message.recipient = old.localpart .. "@example.com"
      message.envelope = "bounce+" .. old.localpart:lower() .. "@example.com"
      message.json.first = tostring(message.envelope)
      message.envelope = "nobody@" .. old.domain
      show(message.recipient, message.recipient.localpart, message.envelope.domain)""")
    assert trial.wait_shown() == [[quoted(localpart) + "@example.com", localpart, domain]]
    [message] = trial.published
    assert message["recipient"] == quoted(localpart) + "@example.com"
    assert message["first"] == quoted("bounce+" + localpart.lower()) + "@example.com"


@pytest.mark.parametrize("sent", SENT)
def test_a_quarantine_of_its_own_for_each_mailbox(probe, sent):
    trial = probe.run(recipients=[sent], message="""
      return mq.quarantine(message.recipient.localpart .. "@quarantine.example", "suspicious")""")
    assert trial.codes[-1] == 221
    [message] = trial.published
    assert message["recipient"] == quoted(SENT[sent][0]) + "@quarantine.example"


@pytest.mark.parametrize("sent", ['"us>er"@old.example', "joe@old.example"])
def test_what_is_not_of_a_client_is_not_taken(probe, sent):
    trial = probe.run(recipients=[sent], message="""
      local old = message.recipient
      raises(function() message.recipient = old.localpart .. "@b@example.com" end)
      raises(function() message.recipient = old.localpart .. ",joe@example.com" end)
      raises(function() message.recipient = old.localpart .. "\\n@example.com" end)
      raises(function() message.recipient = old.localpart .. "@" end)
      raises(function() message.recipient = old.localpart .. "@-example.com" end)
      show(message.recipient)""")
    shown = trial.wait_shown(6)
    assert all("must be an address" in text for [text] in shown[:5])
    assert shown[5] == [sent]


@pytest.mark.parametrize("text", WRONG)
def test_what_delivery_would_not_take_is_refused(probe, text):
    trial = probe.run(message=f"""
      local text = "{text}"
      raises(function() message.recipient = text end)
      raises(function() message.json.recipient = text end)
      raises(function() mq.quarantine(text) end)
      if text ~= "" and text ~= "<>" then
        raises(function() message.envelope = text end)
        raises(function() message.json.envelope = text end)
      end
      raises(function() message.recipient = 5 end)""")
    shown = trial.wait_shown(4 if text in ("", "<>") else 6)
    assert all("must be " in message for [message] in shown)
    assert trial.codes[-1] == 221
    [message] = trial.published
    assert message["recipient"] == "one@example.com" and message["envelope"].startswith(trial.name)


@pytest.mark.parametrize("value", ["nil", '""', '"<>"', "connection.transaction.envelope"])
def test_null_sender(value):
    policy = f"""
    mq.on("smtp_in_message", function(connection, message)
      message.envelope = {value}
      message.json.seen = tostring(message.envelope) .. message.envelope
    end)"""
    with Host(policy=policy) as host:
        host.send("" if "envelope" in value else "sender@example.org")
        [message] = host.inbox(1)
        assert not message.get("envelope") and message["seen"] == "<><>"


def test_addresses_as_values(probe):
    trial = probe.run(recipients=['"Joe"@Example.ORG', "Joe@example.org", "joe@example.org"], rcptto="""
      local all = connection.transaction.recipients
      show(all[1] == address, all[1] ~= address, "to " .. address, address .. "!", address .. address,
           string.format("%s", address), string.lower(address), string.find(address, "@", 1, true),
           connection.transaction.envelope == address)
      mq.log.info(address)""")
    shown = trial.wait_shown(3)
    for values, sent, same in zip(shown, ['"Joe"@Example.ORG', "Joe@example.org", "joe@example.org"], [True, True, False]):
        at = sent.index("@") + 1
        assert values == [same, not same, "to " + sent, sent + "!", sent + sent, sent, sent.lower(), at, False]
        probe.wait_stderr(sent.replace(".", r"\.") + r" \(generation")


def test_one_mailbox_has_one_spelling():
    files = {"set.txt": 'joe@example.org\n@blocked.example\n', "map.txt": '"Ann"@Example.org. fast lane\n'}
    extra = '\nset, map = mq.set("set.txt"), mq.map("map.txt")\n'
    code = "show(set:lookup(address), set:contains(tostring(address)), map:lookup(address))"
    spellings = {
        "joe@example.org": [True, True, None], '"joe"@EXAMPLE.org': [True, True, None],
        '"j\\oe"@example.org': [True, True, None], "JOE@example.org": [True, True, None],
        '"joe "@example.org': [False, False, None], "x@Blocked.example": [True, False, None],
        '"a@b"@blocked.example': [True, False, None], "ann@example.org": [False, False, "fast lane"],
        "@relay.example:ann@example.org": [False, False, "fast lane"],
    }
    with Probe(extra=extra, files=files) as host:
        for sent, values in spellings.items():
            assert host.run(recipients=[sent], rcptto=code).wait_shown() == [values], sent
        assert host.shown(rcptto="show(set:lookup('\"joe\"@example.org.'), set:lookup('<joe@example.org>'), "
                                 "set:lookup('joe(x)@example.org'), set:lookup('j@xn--blocked.example'))") == \
            [True, True, True, False]


@pytest.mark.parametrize("text", ["user@", "@b.example", "a@b@c", "a@b,c@d", "a b@c.example"])
def test_constant_is_refused_at_load(tmp_path, text):
    policy = tmp_path / "policy.lua"
    policy.write_text(f'-- a policy\nlocal away = mq.quarantine("{text}")\n')
    done = subprocess.run([PROGRAM, "check", policy], capture_output=True, text=True)
    assert done.returncode == 1
    assert "policy.lua:2: " in done.stderr and 'mq.quarantine must be an address such as' in done.stderr
    assert json.dumps(text) in done.stderr
