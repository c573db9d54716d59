# SPDX-License-Identifier: MIT
"""Random sessions against a model: one reply for each command, and what was accepted is what is stored.

Where the host sends no reply of its own after one of ours ("never"), a session goes on after a refusal. The model says
what each command is answered with, and which recipients of an accepted message have to be published.
MQLUA_SEED chooses other sessions.
"""

import os
import random

import pytest

from mqlua import Host, wait_until

SEED = int(os.environ.get("MQLUA_SEED", "1"))
DATA = ["chunks:100", "chunks:1000", "whole"]
TEXT = b"Subject: test\r\n\r\n" + b"A line of text that is not short\r\n" * 100

# The client says in the local part what shall become of its command; w: the handler waits first. What is judged more than
# once would be answered more than once: the handler of smtp_in_data refuses every piece.
POLICY = """
local function judge(word)
  if word:find("w", 1, true) then mq.sleep(0.002) end
  if word:find("r", 1, true) then return mq.reject(550, "5.7.1", "No\\0\\r\\n250 stale " .. ("x"):rep(1000)) end
  if word:find("t", 1, true) then return mq.tempfail(452, "4.5.3", "Later\\255") end
end
local function name(address)
  return (address.localpart:lower():gsub('"', ""))
end
local function action(address)
  return name(address):match("%-([a-z]+)$") or ""
end
mq.on("smtp_in_mailfrom", function(connection, address)
  connection.vars.data = address.localpart:match("%-d([a-z]*)%-") or ""
  return judge(action(address))
end)
mq.on("smtp_in_rcptto", function(connection, address)
  -- The first RCPT of each mailbox gets the first letter's verdict, the next one is accepted.
  local seen = connection.transaction.vars
  local key = name(address)
  seen[key] = (seen[key] or 0) + 1
  if key:find("once", 1, true) and seen[key] > 1 then return end
  if key:find("late", 1, true) and seen[key] == 1 then return end
  return judge(action(address))
end)
mq.on("smtp_in_data", function(connection, chunk)
  return judge(connection.vars.data)
end, {chunks = true})
mq.on("smtp_in_message", function(connection, message)
  if name(message.recipient):find("drop", 1, true) then
    return mq.discard("asked\\0\\255\\n" .. ("y"):rep(1000))
  end
end)
"""
ANSWER = {"r": 550, "t": 452}


def expected(word):
    """What a command is answered with instead of 250; None when it is accepted."""
    return next((ANSWER[letter] for letter in word if letter in ANSWER), None)


def spelling(choose, local):
    """One of the ways to write the local part."""
    return choose.choice([local, local.upper(), f'"{local}"'])


class Session:
    """One connection: what was said, and what the model says about it."""

    def __init__(self, choose, client, number):
        self.choose, self.client, self.number = choose, client, number
        self.stored, self.dropped = [], []

    def transaction(self, index):
        """One MAIL, some RCPT, maybe RSET, DATA."""
        choose = self.choose
        sender, data = choose.choice(["", "", "w", "r", "wt"]), choose.choice(["", "", "w", "r", "wr", "t"])
        lines = [(f"MAIL FROM:<s-d{data}-x-{sender}@s.example>", expected(sender) or 250)]
        if expected(sender):
            return self.exchange(lines + [("RSET", 250)])
        accepted = {}
        for n in range(choose.randint(1, 3)):
            kind, word = choose.choice(["plain", "once", "late", "drop"]), choose.choice(["", "w", "r", "t", "wr", "wt"])
            local = f"u{self.number}x{index}x{n}{kind}-{word}"
            replies = [expected(word) or 250]
            if kind == "once":
                replies.append(250)
            elif kind == "late":
                replies.insert(0, 250)
            for reply in replies:
                lines.append((f"RCPT TO:<{spelling(choose, local)}@d.example>", reply))
            if 250 in replies:
                accepted[local] = kind
        if choose.random() < 0.2:
            return self.exchange(lines + [("RSET", 250)])
        self.exchange(lines)
        if not accepted:
            return self.exchange([("RSET", 250)])
        self.exchange([("DATA", 354)])
        self.client.send(TEXT + b".\r\n")
        reply = expected(data) or 250
        assert self.client.code() == reply, (lines, data)
        if reply == 250:
            for local, kind in accepted.items():
                (self.dropped if kind == "drop" else self.stored).append(local)
        return self.exchange([("NOOP", 250)])  # a reply too many would be taken for this one's

    def exchange(self, lines):
        """Sends the commands, at once or one after the other, and compares the replies."""
        if self.choose.random() < 0.5:
            self.client.send("".join(line + "\r\n" for line, _ in lines))
            replies = [self.client.code() for _ in lines]
        else:
            replies = [self.client.command(line) for line, _ in lines]
        assert list(zip([line for line, _ in lines], replies)) == lines


def published(host):
    """Local parts of the recipients of what was published and is to be delivered."""
    return {message["recipient"].rpartition("@")[0].strip('"').lower()
            for message in host.inbox() if "maxdelivertime" not in message}


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("other", [{}, {"continue": "inline"}, {"continue": "deferred", "timers": "exact"}], ids=str)
def test_replies_and_messages(data, other):
    choose = random.Random(f"{SEED} {data} {other}")
    stored, dropped = set(), set()
    settings = {"host": {"reply_after_send": "never", "inbox": "mailerq"}}
    with Host(policy=POLICY, settings=settings, knobs={"reply-after-send": "suppress", "data": data, **other}) as host:
        for number in range(12):
            with host.client() as client:
                client.greet()
                session = Session(choose, client, number)
                for index in range(4):
                    session.transaction(index)
                client.expect("QUIT", 221)
            stored.update(session.stored)
            dropped.update(session.dropped)
        assert stored
        wait_until(lambda: stored <= published(host), "what was accepted")
        assert published(host) == stored
        for local in dropped:
            host.wait_stderr(rf'(?i)<"?{local}"?@d.example> is discarded: asked')
        for message in host.inbox():
            if "maxdelivertime" in message:
                recipient = message["recipient"].replace("\\", "\\\\")
                assert f"the message for <{recipient}> is discarded: " in host.stderr
