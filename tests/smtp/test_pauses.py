# SPDX-License-Identifier: MIT
"""Pauses, ended in every order by everything that can end one, against a model of what has to come of each.

Sessions and deliveries do what chance says: pipelined commands, RSET, QUIT, STARTTLS, AUTH, leaving at any point in
three ways, a host that stops in between. Handlers do the same: they go on at once, wait once or often, for a child or
for a helper thread, past their deadline, fail, or end with a verdict that keeps control. Each counts what it does:

  paused    the handler waited, or returned a verdict that keeps control: true was returned to the host
  finished  it came to its end after a wait: the hand-back is part of the same turn of the loop
  open      its hand-back was still to come, and the end of the connection may have come first

The host keeps a ledger of its own, and aborts over a hand-back that is late, double or not owed. Together: as many
pauses as handlers paused; as many hand-backs as finished, and at most those that were open besides; every other pause
was ended by a close, and only where the host closes during a pause at all.

Each round is made from one number, which is printed when it fails:
    MQLUA_SEED=12345 MQLUA_ROUNDS=1 pytest tests/smtp/test_pauses.py      that round again
    MQLUA_ROUNDS=500 pytest -x tests/smtp/test_pauses.py                  longer
"""

import base64
import json
import os
import random
import re
import resource
import socket
import struct
import threading
import time

import pytest

from mqlua import MESSAGE, Client, Host, read_lines, wait_until
from sink import CLOSE, Sink

ROUNDS = int(os.environ.get("MQLUA_ROUNDS", "6"))
SEED = int(os.environ.get("MQLUA_SEED", str(random.SystemRandom().randrange(1 << 30))))

POLICY = r"""
local seed, refuse = os.getenv("PAUSES"):match("(%d+) (%d)")
local hash = os.getenv("PAUSES_HASH")
local paused, finished, open = 0, 0, 0

mq.on("context_initialize", function(worker) math.randomseed(tonumber(seed) + worker.number) end)
mq.on("context_cleanup", function() mq.log.info("<counted paused=%d finished=%d open=%d>", paused, finished, open) end)

local verdicts = {"complete", "rerun"}
local refusals = {"reject", "tempfail", "disconnect"}
local may_refuse = {connect = true, secure = true, mailfrom = true, rcptto = true}

-- One event: counts the pause that keep() or the first wait stands for.
local function act(event, observes, again)
  local has_paused = false
  local function pause()
    if not has_paused and not observes then paused = paused + 1 end
    has_paused = true
  end
  local function wait(seconds) pause() mq.sleep(seconds) end
  local function leave(verdict)
    if has_paused and not observes then finished = finished + 1 end
    return verdict
  end
  local ways = {
    function() end,
    function() wait(math.random() * 0.01) end,
    function() for _ = 1, math.random(5) do wait(math.random() * 0.004) end end,
    function() pause() mq.wait{mq.spawn(function() mq.sleep(math.random() * 0.01) end), mq.spawn(function() end)} end,
    function() mq.spawn(function() mq.sleep(60) end) wait(0.002) end,
    function() pause() mq.with_timeout(0.003, function() mq.sleep(60) end) end,
    function() pause() mq.password.verify("secret", hash) end,
    function() pause() pcall(function() mq.sleep(0.001) error("caught") end) end,
    function() error("at once", 0) end,
    function() wait(0.003) error("after a wait", 0) end,
    function() wait(60) end,
    function() coroutine.wrap(function() wait(0.002) end)() end,
  }
  ways[math.random(#ways)]()
  if observes or again or math.random(4) > 1 then return leave() end
  if tonumber(refuse) == 1 and may_refuse[event] and math.random(4) == 1 then
    if not has_paused then pause() end
    open = open + 1
    return mq[refusals[math.random(#refusals)]]()
  end
  local name = verdicts[math.random(#verdicts)]
  if not has_paused then
    pause()
    open = open + 1
    return mq[name](), name == "rerun"
  end
  return leave(mq[name]()), name == "rerun"
end

local function failed(observes)
  return function(message)
    if not observes and not message:find("at once", 1, true) then finished = finished + 1 end
  end
end

local function options(observes, more)
  local all = {timeout = 0.05, on_error = not observes and failed(observes) or nil}
  for name, value in pairs(more or {}) do all[name] = value end
  return all
end

for _, event in ipairs{"connect", "secure", "authenticate", "mailfrom", "rcptto", "data", "message", "close"} do
  local observes = event == "close"
  mq.on("smtp_in_" .. event, function(connection)
    if math.random(20) == 1 then connection:spawn(function() mq.sleep(math.random() * 0.02) end) end
    local again = connection.vars.rerun == event
    connection.vars.rerun = nil
    local verdict, rerun = act(event, observes, again)
    if rerun then connection.vars.rerun = event end
    return verdict
  end, options(observes, event == "data" and {chunks = true} or nil))
end

local rerun_out = {}
for _, event in ipairs{"data", "sent"} do
  mq.on("smtp_out_" .. event, function(_, message)
    local n = message.json.n
    local again = rerun_out[n]
    local verdict, rerun = act("out_" .. event, event == "sent", again)
    if event == "data" then rerun_out[n] = rerun end
    return verdict
  end, options(event == "sent"))
end
"""

HASH = "$5$rounds=1000$saltsalt$eKLZU9t9OoPWrqOQsoTIKG0aYkZ5rGOoOQhiIvoSWX2"
LOGIN = base64.b64encode(b"\0joe\0secret").decode()

KNOBS = {
    "continue": ["alternate", "inline", "deferred"],
    "disconnect": ["close-during-pause", "close-after-handback", "no-close"],
    "reply-after-send": ["always", "suppress", "close"],
    "data": ["chunks:20", "whole", "at-command"],
    "timers": ["late", "exact"],
    "watchers": ["spurious", "exact"],
    "banner": ["after", "before"],
    "message-after-reply": ["off", "on"],
    "shutdown": ["contexts-first", "cleanup-first"],
    "close-on-exit": ["no", "yes"],
    "ctx-init": ["workers", "main"],
}


def leave(chance, client):
    """Ends the connection: politely, with a reset, or by saying nothing more."""
    way = chance.randrange(3)
    if way == 0:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif way == 1:
        client.half_close()
        time.sleep(chance.random() * 0.02)
    client.close()


def script(chance):
    """The commands of a session, as one text for each that is sent in one piece."""
    steps = ["EHLO client.example\r\n"]
    for _ in range(chance.randint(1, 3)):
        if chance.randrange(6) == 0:
            steps.append(f"AUTH PLAIN {LOGIN}\r\n")
        steps.append("MAIL FROM:<a@example.org>\r\n")
        steps += ["RCPT TO:<b@example.com>\r\n"] * chance.randint(1, 3)
        if chance.randrange(4) == 0:
            steps.append(chance.choice(["RSET\r\n", "NOOP\r\n", "EHLO again.example\r\n"]))
        else:
            steps += ["DATA\r\n", MESSAGE.decode() + ".\r\n"]
    steps.append("QUIT\r\n")
    pieces = []
    for step in steps:  # DATA waits for its reply, the rest may go out together
        if pieces and chance.randrange(2) and not pieces[-1].endswith("DATA\r\n"):
            pieces[-1] += step
        else:
            pieces.append(step)
    return pieces


def session(chance, port):
    """One client. What the server answers does not matter to it: the ledger tells what came of it."""
    try:
        with Client(port) as client:
            pieces = script(chance)
            stop = chance.randrange(2 * len(pieces))
            if chance.randrange(5) == 0:
                client.greet()
                client.expect("STARTTLS", 220)
                client.starttls()
            for number, piece in enumerate(pieces):
                if number == stop:
                    leave(chance, client)
                    return
                client.send(piece)
                if chance.randrange(3):
                    time.sleep(chance.random() * 0.01)
                if piece.endswith("DATA\r\n"):
                    while client.code() not in (354, 421, 503, 554, 0):
                        pass
            while client.line() is not None:
                pass
    except (OSError, AssertionError, ValueError):
        pass  # the server ended it first, or a refusal did


def sessions(seed, port, count):
    chance = random.Random(seed)
    for _ in range(count):
        session(chance, port)


def start(chance, knobs, refuse, drained, sink):
    host = Host("--grace", 20 if drained else 0, "--out-connections", chance.randint(1, 6), policy=POLICY, knobs=knobs, start=False,
                workers=chance.randint(1, 3), settings={"hold": 0.05, "budget": 10, "deadline": {"incoming": 0.1, "outgoing": 0.1}})
    outbox = host.folder / "outbox.jsonl"
    lines = [{"envelope": "a@b.example", "recipient": "c@d.example", "mime": MESSAGE.decode(), "n": n} for n in range(40)]
    outbox.write_text("".join(json.dumps(line) + "\n" for line in lines))
    host.results_path = host.folder / "results.jsonl"
    host.command += ["--outbox", str(outbox), "--results", str(host.results_path), "--smarthost", sink.target]
    host.environment.update(PAUSES=f"{chance.randrange(1 << 20)} {int(refuse)}", PAUSES_HASH=HASH)
    return host.start()


def check(host, refuse, drained):
    counted = [[int(number) for number in found] for found in
               re.findall(r"<counted paused=(\d+) finished=(\d+) open=(\d+)>", host.stderr)]
    paused, finished, still_open = (sum(column) for column in zip(*counted))
    ledger = host.ledger()
    assert ledger["pauses"] == ledger["handbacks"] + ledger["closed"] + ledger["left"]
    if refuse:  # behind a refusal events are kept without asking a handler
        assert ledger["pauses"] >= paused
        assert ledger["handbacks"] >= finished
    else:
        assert ledger["pauses"] == paused
        assert finished <= ledger["handbacks"] <= finished + still_open
    if drained:
        assert ledger["left"] == 0
        if host.knobs["disconnect"] != "close-during-pause":
            assert ledger["closed"] == 0
    return ledger


@pytest.mark.parametrize("seed", [SEED + number for number in range(ROUNDS)])
def test_every_pause_ends_once(seed):
    chance = random.Random(seed)
    knobs = {name: chance.choice(values) for name, values in KNOBS.items()}
    refuse, drained = chance.randrange(2) == 0, chance.randrange(3) > 0
    print(f"MQLUA_SEED={seed} MQLUA_ROUNDS=1", knobs, "refusals" if refuse else "", "" if drained else "stopped early")
    replies = {"MESSAGE": [chance.choice([None, None, None, CLOSE, "451 4.3.0 Later"]) for _ in range(20)]}
    with Sink(replies) as sink, start(chance, knobs, refuse, drained, sink) as host:
        threads = [threading.Thread(target=sessions, args=(seed * 100 + number, host.port, 6), daemon=True)
                   for number in range(8)]
        for thread in threads:
            thread.start()
        for _ in range(chance.randrange(4)):
            time.sleep(0.05)
            sink.hang_up()
        if drained:
            for thread in threads:
                thread.join(120)
            wait_until(lambda: len(read_lines(host.results_path)) == 40, "a result for each delivery")
        else:
            time.sleep(chance.random() * 0.3)
        status = host.stop()
        # Without a grace the host itself loses what it acknowledged while a handler waits, and says so in its status.
        lost = "lost after it was acknowledged" in host.stderr
        assert status == int(lost)
        assert not (lost and drained)
        for thread in threads:
            thread.join(120)
        assert len(read_lines(host.results_path)) == 40
        check(host, refuse, drained)


@pytest.mark.parametrize("disconnect", KNOBS["disconnect"])
def test_stop_while_many_wake_up(disconnect):
    """The host gives up connections that are still paused: nothing of theirs may come back after that."""
    policy = """
    mq.on("smtp_in_mailfrom", function()
      for _ = 1, 1000 do mq.sleep(math.random() * 0.02) if math.random(8) == 1 then return end end
    end)"""
    for _ in range(3):
        with Host("--grace", 0.02, policy=policy, knobs={"disconnect": disconnect, "timers": "exact"}) as host:
            clients = [host.client() for _ in range(150)]
            for client in clients:
                client.send("EHLO x\r\n" + "MAIL FROM:<a@b.example>\r\nRSET\r\n" * 30)
            for client in clients:
                assert [client.code(), client.code()] == [220, 250]
            assert host.stop() == 0
            assert host.ledger()["pauses"] > host.ledger()["handbacks"], "some were given up"
            for client in clients:
                client.close()


# ---- ten thousand at once ----

MANY = r"""
local asleep, awake = 0, false
mq.on("smtp_in_mailfrom", function(_, address)
  if address.localpart == "wake" then awake = true return end
  asleep = asleep + 1
  if asleep == tonumber(os.getenv("SESSIONS")) then mq.log.info("<all asleep>") end
  repeat mq.sleep(0.5) until awake
end)
"""


def allowed_sessions(wanted, each):
    """As many as descriptors allow in this process, which has one for each, and in the host, which has so many."""
    needed = each * wanted + 500
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < needed:
        for limits in (needed, max(needed, hard)), (needed, hard), (hard, hard):
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, limits)
                break
            except (ValueError, PermissionError):
                pass
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if soft == unlimited else min(wanted, (soft - 500) // each)


def test_ten_thousand_sessions_paused_at_once(capsys):
    knobs = {}
    count = allowed_sessions(10000, 2)
    if count < 10000:  # without the strict host's own copy of each descriptor that a plugin asks for
        knobs = {"strict": "off"}
        count = allowed_sessions(10000, 1)
    if count < 10000:
        with capsys.disabled():
            print(f"\nthe limit of descriptors allows {count} sessions only")
    settings = {"deadline": {"incoming": 300}, "memory": "512MB"}
    with Host("--idle-timeout", 600, policy=MANY, settings=settings, knobs=knobs,
              environment={"SESSIONS": str(count)}) as host:
        clients = [host.client() for _ in range(count)]
        for client in clients:
            client.send("EHLO x\r\nMAIL FROM:<a@b.example>\r\n")
        host.wait_stderr("<all asleep>")
        with host.client() as client:
            client.greet()
            client.expect("MAIL FROM:<wake@b.example>", 250)
        for client in clients:
            assert [client.code(), client.code(), client.code()] == [220, 250, 250]
        for client in clients:
            client.close()
        assert host.stop() == 0
    ledger = host.ledger()
    assert ledger["pauses"] == ledger["handbacks"] == count
    assert ledger["left"] == ledger["closed"] == 0
