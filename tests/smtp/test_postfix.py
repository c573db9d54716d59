# SPDX-License-Identifier: MIT
"""Postfix as the client of a policy, and as the smarthost of the outgoing side."""

import pytest

from mqlua import MESSAGE, wait_until
from postfix import Postfix, needed
from probe import Probe, delivering

pytestmark = needed

CONNECT = """
mq.on("smtp_in_connect", function(connection) return run("connect", "rule", "address", connection) end)
"""

# Readings of the API: whether the host says something of its own after MQ_send, and whether it gets the
# connection back while the client may still be there.
REPLIES = {
    "always": ({"hold": 10}, {"reply-after-send": "always"}),
    "at-once": ({"hold": 0.01}, {"reply-after-send": "always"}),
    "suppress": ({"hold": 0.01}, {"reply-after-send": "suppress"}),
    "close": ({"hold": 0.01}, {"reply-after-send": "close"}),
    "never": ({"host": {"reply_after_send": "never"}}, {"reply-after-send": "suppress"}),
}
READINGS = pytest.mark.parametrize("reading", REPLIES)

REFUSALS = {
    "no@sender.example": "550 5.7.1 Not you",
    "no@through.example": "550 5.1.1 No such user",
    "later@through.example": "450 4.2.1 Not now",
    "go@through.example": "421 4.7.0 Go away",
}


@pytest.fixture(scope="module")
def hosts():
    """A stand-in for each reading."""
    started = {}
    try:
        for reading, (settings, knobs) in REPLIES.items():
            settings = {**settings, "host": {"inbox": "mailerq", **settings.get("host", {})}}
            started[reading] = Probe(settings=settings, knobs=knobs, extra=CONNECT)
        yield started
    finally:
        for host in started.values():
            host.__exit__(None, None, None)


@pytest.fixture(scope="module")
def postfix(hosts):
    relay = {f"{client}-{reading}.example": ("127.0.0.1", host.port)
             for reading, host in hosts.items() for client in ("pipelining", "lockstep")}
    relay["through.example"] = ("127.0.0.1", hosts["always"].port)
    with Postfix(relay, REFUSALS) as one:
        yield one


class Mail:
    """One message through Postfix to three recipients, judged by that code."""

    def __init__(self, postfix, hosts, reading, client, **code):
        self.postfix, self.host, self.client = postfix, hosts[reading], client
        self.name = self.host.name(code)
        self.recipients = [f"{self.name}{one}@{client}-{reading}.example" for one in ("bad", "one", "two")]
        postfix.send(f"{self.name}@probe.example", self.recipients,
                     b"X-Trial: " + self.name.encode() + b"\r\n" + MESSAGE)

    def forget(self):
        """From now on everything of it is welcome."""
        for path in self.host.folder.glob(f"{self.name}.*"):
            path.unlink()

    def statuses(self, recipient):
        return [one.status for one in self.postfix.deliveries(recipient)]

    def refused(self, recipient):
        """The recipient bounced, at once and for good, with our words."""
        [attempt] = self.postfix.wait_deliveries(recipient)
        assert (attempt.status, attempt.dsn) == ("bounced", "5.7.9"), attempt
        assert "550 5.7.9 Not here" in attempt.text

    def delayed(self, recipient, text=""):
        """The recipient was only deferred so far."""
        attempts = self.postfix.wait_deliveries(recipient)
        assert {(one.status, one.dsn[0]) for one in attempts} == {("deferred", "4")}, attempts
        assert text in attempts[0].text

    def delivered(self, recipient, deferred=None):
        """The recipient was sent exactly once; if deferred is given, whether it was deferred before."""
        attempts = self.postfix.wait_deliveries(recipient, status="sent")
        statuses = [one.status for one in attempts]
        assert statuses == ["deferred"] * (len(statuses) - 1) + ["sent"], attempts
        assert deferred is None or deferred == (len(statuses) > 1), attempts

    def published(self, *recipients):
        """Exactly these recipients have got the message, once each; discards count as nothing."""
        mine = [message for message in self.host.inbox(len(recipients)) if self.name in message["mime"]]
        got = [message["recipient"] for message in mine if message.get("mailerq-lua", {}).get("verdict") != "discard"]
        assert sorted(got) == sorted(recipients)


# ---- Postfix sends ----

def mails(postfix, hosts, reading, **code):
    """One mail from each kind of client, judged at once and after a wait; PAUSE in the code stands for that."""
    return [Mail(postfix, hosts, reading, client,
                 **{event: text.replace("PAUSE", pause) for event, text in code.items()})
            for client in ("pipelining", "lockstep") for pause in ("", "mq.sleep(0.002)")]


@READINGS
def test_accepted(postfix, hosts, reading):
    for mail in mails(postfix, hosts, reading, rcptto="PAUSE"):
        for recipient in mail.recipients:
            mail.delivered(recipient, deferred=False)
        mail.published(*mail.recipients)
        message = next(message for message in mail.host.inbox() if mail.name in message["mime"])
        if mail.host.knobs["json"] == "full":
            assert message["connection"]["secure"] is (mail.client == "pipelining")


@READINGS
@pytest.mark.parametrize("which", ["bad", "one", "two"])
def test_rejected_recipient(postfix, hosts, reading, which):
    """It bounces at once; the others of the transaction are deferred by the 421 and sent again. Postfix sends them in
    the order of the alphabet."""
    code = f"if address.localpart:find('{which}') then PAUSE return mq.reject(550, '5.7.9', 'Not here') end"
    for mail in mails(postfix, hosts, reading, rcptto=code):
        others = [recipient for recipient in mail.recipients if which not in recipient]
        [refused] = set(mail.recipients) - set(others)
        mail.refused(refused)
        for recipient in others:
            mail.delivered(recipient, deferred=reading != "never")
        assert mail.statuses(refused) == ["bounced"]
        mail.published(*others)


@READINGS
def test_recipient_for_later(postfix, hosts, reading):
    code = "if address.localpart:find('bad') then PAUSE return mq.tempfail(450, '4.7.9', 'Later') end"
    sent = mails(postfix, hosts, reading, rcptto=code)
    for mail in sent:
        mail.delayed(mail.recipients[0], "450 4.7.9 Later")
        mail.forget()
    for mail in sent:
        for recipient in mail.recipients:
            mail.delivered(recipient)
        mail.published(*mail.recipients)


@READINGS
def test_rejected_sender(postfix, hosts, reading):
    for mail in mails(postfix, hosts, reading, mailfrom="PAUSE return mq.reject(550, '5.7.9', 'Not here')"):
        for recipient in mail.recipients:
            mail.refused(recipient)
        mail.published()


@READINGS
def test_sender_for_later(postfix, hosts, reading):
    sent = mails(postfix, hosts, reading, mailfrom="PAUSE return mq.tempfail(450, '4.7.9', 'Later')")
    for mail in sent:
        for recipient in mail.recipients:
            mail.delayed(recipient, "450 4.7.9 Later")
        mail.forget()
    for mail in sent:
        for recipient in mail.recipients:
            mail.delivered(recipient, deferred=True)
        mail.published(*mail.recipients)


@READINGS
def test_disconnect(postfix, hosts, reading):
    """421 alone: everything is for later."""
    sent = mails(postfix, hosts, reading, rcptto="if address.localpart:find('bad') then PAUSE return mq.disconnect() end")
    for mail in sent:
        mail.delayed(mail.recipients[0])
        mail.forget()
    for mail in sent:
        for recipient in mail.recipients:
            mail.delivered(recipient)
        mail.published(*mail.recipients)


@READINGS
@pytest.mark.parametrize("verdict", ["reject", "tempfail", "disconnect"])
def test_refused_at_connect(postfix, hosts, reading, verdict):
    """Postfix takes any refusal in the greeting as one of this server, not of the mail: it tries again."""
    rule = hosts[reading].folder / "connect.rule"
    rule.write_text(f"return mq.{verdict}()")
    try:
        sent = mails(postfix, hosts, reading)
        for mail in sent:
            mail.delayed(mail.recipients[0])
    finally:
        rule.unlink()
    for mail in sent:
        for recipient in mail.recipients:
            mail.delivered(recipient, deferred=True)
        mail.published(*mail.recipients)


# ---- Postfix receives ----

def last(result):
    return result["results"][-1]


def test_smarthost(postfix, hosts):
    """Accepted and refused mail on one connection, with TLS; and what was accepted arrives as it was sent."""
    policy = 'mq.on("smtp_out_data", function(connection, message) message:tag("seen") end)\n'
    lines = [{"recipient": f"{name}@through.example", "envelope": f"{sender}@sender.example", "mime": mime}
             for name, sender, mime in [
                 ("first", "yes", "From: a@b.c\r\nX-First: 1\r\n\r\n.\r\n..dots and \u00fcmlauts\r\n"),
                 ("no", "yes", "Subject: no\r\n\r\n"),
                 ("later", "yes", "Subject: later\r\n\r\n"),
                 ("first", "no", "Subject: not you\r\n\r\n"),
                 ("first", "yes", "Subject: big\r\n\r\n" + "0123456789\r\n" * 2000),
                 ("last", "yes", "Subject: last\r\n\r\nText\r\n")]]
    with delivering(policy, lines, "--out-connections", 1, sink=Target(postfix)) as host:
        results = host.results(6)
    found = [(last(one)["state"], last(one)["result"], last(one)["code"], last(one)["status"]) for one in results]
    assert found == [("message", "accepted", 250, "2.0.0"), ("rcptto", "error", 550, "5.1.1"),
                     ("rcptto", "error", 450, "4.2.1"), ("mailfrom", "error", 550, "5.7.1"),
                     ("mailfrom", "error", 552, "5.3.4"), ("message", "accepted", 250, "2.0.0")]
    assert [last(one)["messages"] for one in results] == [1, 1, 1, 1, 1, 2], "one connection for all"
    for one in results:
        assert last(one)["mta"] == "postfix.example" and last(one)["to"] == "127.0.0.1"
        assert last(one)["cipher"]["version"] in ("TLSv1.2", "TLSv1.3") and last(one)["cipher"]["bits"] >= 128
        assert "mime" not in one
    assert last(results[0])["description"].startswith("Ok: queued as ")
    assert last(results[1])["description"] == "<no@through.example>: Recipient address rejected: No such user"
    assert [one.get("tags") for one in results] == [["seen"], None, None, None, None, ["seen"]]

    def arrived():
        return {one["recipient"]: one for one in hosts["always"].inbox() if one["recipient"].endswith("@through.example")}

    messages = wait_until(lambda: len(arrived()) == 2 and arrived(), "both messages")
    assert messages["first@through.example"]["envelope"] == "yes@sender.example"
    mime = messages["first@through.example"]["mime"]
    assert "\r\nX-First: 1\r\n" in mime and mime.endswith("\r\n\r\n.\r\n..dots and \u00fcmlauts\r\n")


def test_smarthost_that_closes(postfix):
    """421 ends the connection; the next message gets another one."""
    lines = [{"recipient": "go@through.example"}, {"recipient": "one@pipelining-always.example"}]
    with delivering("\n", lines, "--out-connections", 1, sink=Target(postfix)) as host:
        results = host.results(2)
    assert [(last(one)["state"], last(one)["result"], last(one)["code"]) for one in results] == [
        ("rcptto", "error", 421), ("message", "accepted", 250)]
    assert [last(one)["messages"] for one in results] == [0, 1]


class Target:
    """What delivering() wants to know of a sink."""

    def __init__(self, postfix):
        self.target = f"127.0.0.1:{postfix.port}"
