# SPDX-License-Identifier: MIT
"""Refusals belong to their command: one reply each, however often the host calls, and no mail is lost or let through
over them. Where the host sends no reply of its own (reply_after_send "never"), so that the session goes on."""

import itertools
import os
import random

import pytest

from mqlua import BUILD, Host, wait_until

SETTINGS = {"host": {"reply_after_send": "never", "inbox": "mailerq"}}
PAUSES = ["", "mq.sleep(0.001) "]
DATA = ["chunks:1000", "chunks:70", "whole"]
REPLIES = ["suppress", "unaware"]  # the second publishes what was refused, too: only the plugin keeps it from going out
SEED = int(os.environ.get("MQLUA_SEED", "1"))


def kept(messages):
    """Those that are delivered, and those that were discarded."""
    gone = [m for m in messages if m.get("mailerq-lua", {}).get("verdict") == "discard"]
    return [m["recipient"] for m in messages if m not in gone], [m["recipient"] for m in gone]


def never(policy, data="chunks:1000", plugins=None, **knobs):
    knobs = {"reply-after-send": "suppress", "data": data, "timers": "exact", **knobs}  # a hand-back for each piece
    return Host(policy=policy, settings=SETTINGS, knobs=knobs, plugins=plugins)


def ours(plugins):
    """The list with the path of mailerq-lua in it."""
    return plugins and [BUILD / f"{name}.so" if name == "mailerq-lua" else name for name in plugins]


SIZE = """
local sizes = {}
mq.on("smtp_in_data", function(connection, chunk)
  PAUSE
  local vars = connection.transaction.vars
  vars.size = (vars.size or 0) + #chunk
  if vars.size > 3000 then return mq.reject(552, "5.3.4", "Too large") end
end, {chunks = true})
"""


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("data, reply", [*((data, "suppress") for data in DATA), ("chunks:1000", "unaware")])
@pytest.mark.parametrize("plugins", [None, ["count", "mailerq-lua"], ["mailerq-lua", "suspect"], ["pause", "mailerq-lua"]])
def test_one_reply_to_data_however_many_pieces(pause, data, reply, plugins):
    small = b"Subject: small\r\n\r\nText\r\n.\r\n"
    large = b"Subject: large\r\n\r\n" + (b"y" * 70 + b"\r\n") * 150 + b".\r\n"
    with never(SIZE.replace("PAUSE", pause), data, ours(plugins), **{"reply-after-send": reply}) as host, host.client() as client:
        client.greet()
        for body, code in [(large, 552), (small, 250), (large, 552), (large, 552), (small, 250), (small, 250)]:
            client.begin()
            client.send(body)
            assert client.code() == code
            assert client.command("NOOP") == 250
        client.send("QUIT\r\n")
        assert client.code() == 221
        wait_until(lambda: len(kept(host.inbox())[0]) == 3, "the messages")
        assert host.stop() == 0
        discarded = kept(host.inbox())[1]
    assert host.stderr.count(" is discarded: ") == len(discarded)


RCPT = """
local refuse = mq.tempfail(452, "4.2.2", "Later")
mq.on("smtp_in_rcptto", function(connection, address)
  PAUSE
  local vars = connection.transaction.vars
  vars.n = (vars.n or 0) + 1
  if connection.transaction.envelope.localpart:sub(vars.n, vars.n) == "r" then return refuse end
end)
"""

SPELLINGS = ["joe@example.com", "JOE@example.com", "joe@EXAMPLE.com", '"joe"@example.com']


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("reply", REPLIES)
@pytest.mark.parametrize("plan", ["ra", "ar", "rra", "ara", "aa", "rarar"])
def test_acceptance_counts_in_any_order(pause, reply, plan):
    """As many messages as commands were accepted, whichever spelling each command had."""
    with never(RCPT.replace("PAUSE", pause), **{"reply-after-send": reply, "json": "full"}) as host, host.client() as client:
        client.greet()
        sent = 0
        for spellings in [["joe@example.com"] * len(plan), list(itertools.islice(itertools.cycle(SPELLINGS), len(plan)))]:
            client.expect(f"MAIL FROM:<{plan}@example.org>", 250)
            codes = [client.command(f"RCPT TO:<{spelling}>") for spelling in spellings]
            assert codes == [452 if step == "r" else 250 for step in plan]
            client.expect("DATA", 354)
            client.send("Subject: x\r\n\r\nText\r\n.\r\n")
            assert client.code() == 250
            sent += len(plan)
            wait_until(lambda: len(kept(host.inbox())[0]) >= plan.count("a") * (sent // len(plan)), "the messages")
        assert host.stop() == 0
        stored, discarded = kept(host.inbox())
        assert len(stored) == plan.count("a") * 2
    assert host.stderr.count(" is discarded: ") == len(discarded)


def test_a_refused_sender_has_its_messages_discarded_and_told():
    policy = """
    mq.on("smtp_in_mailfrom", function(connection, address)
      if address.localpart == "bad" then return mq.reject(550, "5.1.8", "No") end
    end)
    """
    with never(policy) as host, host.client() as client:
        client.greet()
        assert client.command("MAIL FROM:<bad@example.org>") == 550
        if client.command("RCPT TO:<one@example.com>") == 250:  # this host does not know of the refusal
            client.expect("DATA", 354)
            client.send("Subject: x\r\n\r\nText\r\n.\r\n")
            client.code()
        client.expect("RSET", 250)
        client.begin()
        client.send("Subject: y\r\n\r\nText\r\n.\r\n")
        assert client.code() == 250
        assert host.stop() == 0
        stored, discarded = kept(host.inbox())
    assert len(stored) == 1
    assert host.stderr.count(" is discarded: ") == len(discarded)


def test_a_refusal_is_over_when_another_plugin_took_the_next_sender():
    """MAIL FROM of skip@... is completed by another plugin, so that the policy does not see that a transaction began."""
    policy = """
    mq.on("smtp_in_mailfrom", function(connection, address)
      if address.localpart == "bad" then return mq.reject(550, "5.1.8", "No") end
    end)
    """
    with never(policy, plugins=["complete", BUILD / "mailerq-lua.so"]) as host, host.client() as client:
        client.greet()
        for sender in ["skip", "good", "skip"]:
            client.expect("MAIL FROM:<bad@example.org>", 550)
            client.begin(sender=f"{sender}@example.org")
            client.send("Subject: x\r\n\r\nText\r\n.\r\n")
            assert client.code() == 250
        assert host.stop() == 0
        stored, discarded = kept(host.inbox())
    assert len(stored) == 3, (stored, discarded)


@pytest.mark.parametrize("reply", REPLIES)
def test_refused_data_are_over_when_another_plugin_took_the_next_command(reply):
    """MAIL FROM and RCPT TO of skip@... are completed by another plugin: the policy sees neither."""
    policy = SIZE.replace("PAUSE", "")
    large = b"Subject: large\r\n\r\n" + (b"y" * 70 + b"\r\n") * 150 + b".\r\n"
    with never(policy, plugins=ours(["complete", "mailerq-lua"]), **{"reply-after-send": reply}) as host, host.client() as client:
        client.greet()
        for sender, recipient in [("skip", "skip"), ("good", "skip"), ("skip", "one"), ("good", "one")]:
            client.begin()
            client.send(large)
            assert client.code() == 552
            client.begin(sender=f"{sender}@example.org", recipients=[f"{recipient}@example.com"])
            client.send("Subject: x\r\n\r\nText\r\n.\r\n")
            assert client.code() == 250
        wait_until(lambda: len(kept(host.inbox())[0]) >= 4, "the messages")
        assert host.stop() == 0
        stored, discarded = kept(host.inbox())
    assert len(stored) == 4, (stored, discarded)
    assert len(discarded) == (4 if reply == "unaware" else 0) == host.stderr.count(" is discarded: ")


@pytest.mark.parametrize("pause", PAUSES)
@pytest.mark.parametrize("verdict", ['mq.discard("asked for")', 'mq.quarantine("q@example.net", "looked odd")'])
def test_a_message_has_one_verdict_however_often_it_is_asked_for(verdict, pause):
    policy = f"""
    mq.on("smtp_in_message", function(connection, message)
      mq.log.info("<asked>")
      {pause}
      return {verdict}
    end)"""
    with never(policy, plugins=ours(["mailerq-lua", "retry"])) as host, host.client() as client:
        client.greet()
        client.begin(recipients=["one@example.com", "two@example.com"])
        client.send("Subject: x\r\nX-MQ-mailerq-lua: {}\r\n\r\nText\r\n.\r\n")
        assert client.code() == 250
        messages = host.inbox(2)
        assert host.stop() == 0
    assert host.stderr.count("<asked>") == 2
    if "discard" in verdict:
        assert host.stderr.count(" is discarded: ") == 2
    else:
        assert [m["mailerq-lua"]["recipient"] for m in messages] == ["one@example.com", "two@example.com"]


def test_a_rerun_that_another_plugin_took_is_not_the_next_command():
    policy = """
    mq.on("smtp_in_rcptto", function(connection, address)
      if address.localpart == "again" then return mq.rerun() end
      if address.localpart == "bad" then return mq.reject(550, "5.1.1", "No") end
    end)"""
    with never(policy, plugins=ours(["complete", "mailerq-lua"])) as host, host.client() as client:
        client.greet()
        client.begin(recipients=["again@example.com", "one@example.com"])
        client.send("Subject: x\r\n\r\nText\r\n.\r\n")
        assert client.code() == 250
        client.expect("MAIL FROM:<a@example.org>", 250)
        for recipient, code in [("again", 250), ("bad", 550), ("again", 250), ("one", 250)]:
            client.expect(f"RCPT TO:<{recipient}@example.com>", code)


# ---- at random ----

POLICY = """
local seed = 0
local function plan(connection, at)
  return connection.transaction.envelope.localpart:match(at .. "(%a)")
end
local verdicts = {
  r = mq.reject(550, "5.7.1", "refused"), t = mq.tempfail(451, "4.7.1", "later"), d = mq.done(), c = mq.complete(),
}
local function judge(letter)
  if letter and letter:lower() ~= letter then mq.sleep(0.001) end
  return letter and verdicts[letter:lower()]
end
mq.on("smtp_in_mailfrom", function(connection, address) return judge(address.localpart:match("m(%a)")) end)
mq.on("smtp_in_rcptto", function(connection, address) return judge(address.localpart:match("^(%a)")) end)
mq.on("smtp_in_data", function(connection, chunk)
  local vars = connection.transaction.vars
  vars.n = (vars.n or 0) + 1
  local letter, number = connection.transaction.envelope.localpart:match("p(%a)(%d+)")
  if letter and vars.n >= tonumber(number) then return judge(letter) end
end, {chunks = true})
mq.on("smtp_in_message", function(connection, message)
  if message.recipient.localpart:find("gone") then return mq.discard("asked for") end
end)
"""


def random_transaction(rng, client, number):
    """One transaction; returns (recipients that were accepted and not asked to be gone)."""
    steps = "nnnndcDC"
    mail = rng.choice(steps + "r")
    piece = f"p{rng.choice('rtRTdn')}{rng.randint(1, 9)}"
    recipients = [rng.choice("aaaarRtTdDcC") + rng.choice(["", "gone"]) + str(rng.randint(1, 3)) for _ in range(rng.randint(1, 6))]
    commands = [f"MAIL FROM:<m{mail}{piece}@example.org>"] + [f"RCPT TO:<{r}x{number}@example.com>" for r in recipients]
    if rng.random() < 0.5:
        client.send("".join(c + "\r\n" for c in commands))
        codes = [client.code() for _ in commands]
    else:
        codes = [client.command(c) for c in commands]
    if rng.random() < 0.15:
        client.expect("RSET", 250)
        return []
    accepted = [r for r, code in zip(recipients, codes[1:]) if code == 250]
    if codes[0] != 250 or not accepted:
        client.expect("RSET", 250)
        return []
    data = client.command("DATA")
    if data != 354:
        client.expect("RSET", 250)
        return []
    client.send(b"Subject: x\r\n\r\n" + b"z" * 60 + (b"\r\n" + b"y" * 60) * rng.randint(0, 150) + b"\r\n.\r\n")
    return [f"{r}x{number}@example.com" for r in accepted if "gone" not in r] if client.code() == 250 else []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("data", ["chunks:1000", "chunks:100", "whole"])
def test_accepted_is_stored_and_nothing_else(seed, data):
    rng = random.Random(f"{SEED} {seed} {data}")
    knobs = {"reply-after-send": rng.choice(REPLIES), "json": "full",
             "continue": rng.choice(["alternate", "inline", "deferred"]), "message-after-reply": rng.choice(["off", "on"])}
    plugins = rng.choice([None, ["mailerq-lua", "retry"]])
    expected = []
    with never(POLICY, data, ours(plugins), **knobs) as host:
        with host.client() as client:
            client.greet()
            for number in range(40):
                expected += random_transaction(rng, client, number)
                assert client.command("NOOP") == 250
            client.expect("QUIT", 221)
        wait_until(lambda: len(kept(host.inbox())[0]) >= len(expected), "the messages")
        assert host.stop() == 0
        stored, discarded = kept(host.inbox())
    assert sorted(stored) == sorted(expected)
    assert host.stderr.count(" is discarded: ") == len(discarded)
