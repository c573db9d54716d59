# SPDX-License-Identifier: MIT
"""Policies saved again and again under full load: no transaction is judged by two generations, none is lost, doubled or
refused, and memory stays where it is. MQLUA_CHANGES sets how often (default 200; 2000 is the full run)."""

import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import threading
import time

import pytest

from mqlua import BUILD, Client, Host, wait_until

CHANGES = int(os.environ.get("MQLUA_CHANGES", "200"))
SEED = int(os.environ.get("MQLUA_SEED", "0")) or random.randrange(1, 1 << 31)
SOURCE = shutil.which("smtp-source", path=os.environ["PATH"] + ":/usr/sbin")

POLICY = """
local version = %d
local function judge(transaction, event)
  local judged = transaction.vars.judged or {}
  judged[#judged + 1] = {event, mq.generation.number, mq.generation.hash, version}
  transaction.vars.judged = judged
end
mq.on("smtp_in_connect", function(connection) connection.vars.sessions = (connection.vars.sessions or 0) + 1 end)
mq.on("smtp_in_mailfrom", function(connection) judge(connection.transaction, "mailfrom") end)
mq.on("smtp_in_rcptto", function(connection)
  if version %% 3 == 0 then mq.sleep(0.001) end
  judge(connection.transaction, "rcptto")
end)
mq.on("smtp_in_message", function(connection, message)
  judge(connection.transaction, "message")
  message.json.judged, message.json.number = connection.transaction.vars.judged, message:header("X-Number")
end)
"""

BROKEN = ["x x", "error('broken')", "mq.on('smtp_in_rcptto', function() end) require('nowhere')",
          "mq.on('context_initialize', function() error('broken') end)"]

EVENTS = ["mailfrom", "rcptto", "message"]


def save(path, text):
    beside = path.with_name(".new")
    beside.write_text(text)
    beside.rename(path)


class Checker:
    """Reads published messages and knows nothing of how they came about."""

    def __init__(self):
        self.count = 0
        self.wrong = []
        self.hashes = {}  # generation: hash
        self.versions = set()

    def see(self, line):
        message = json.loads(line)
        judged = message.get("judged") or []
        self.count += 1
        if [entry[0] for entry in judged] != EVENTS:
            self.wrong.append(f"message {self.count}: events: {judged} {line[:1500]}")
        if len({tuple(entry[1:]) for entry in judged}) != 1:
            self.wrong.append(f"two generations: {judged}")
            return
        _, number, content, version = judged[0]
        if self.hashes.setdefault(number, content) != content:
            self.wrong.append(f"generation {number} with two hashes")
        self.versions.add(version)


def follow(path, checker, ended):
    with open(path, "rb") as pipe:
        for line in pipe:
            checker.see(line)
    ended.set()


def memory(host):
    status = open(f"/proc/{host.process.pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


class Load(threading.Thread):
    """smtp-source, one run after the other, until told to stop."""

    def __init__(self, port):
        super().__init__()
        self.port, self.sent, self.failed, self.stopping = port, 0, [], False

    def run(self):
        while not self.stopping:
            run = subprocess.run([SOURCE, "-s", "8", "-m", "1000", "-l", "300", "-f", "sender@example.org", "-t",
                                  "one@example.com", f"127.0.0.1:{self.port}"], capture_output=True, text=True)
            if run.returncode:
                self.failed.append(run.stderr)
                return
            self.sent += 1000


@pytest.mark.skipif(not SOURCE, reason="smtp-source (Postfix) is not there")
def test_changes_under_full_load(tmp_path):
    path = tmp_path / "policy.lua"
    save(path, POLICY % 0)
    host = Host(policy=str(path), settings={"reload": {"quiet": 0.01, "poll": 0.5}}, workers=2, start=False,
                knobs={"fork": "off", "strict": "off"})  # a strict host remembers what was freed
    os.mkfifo(host.inbox_path)
    checker, ended = Checker(), threading.Event()
    threading.Thread(target=follow, args=(host.inbox_path, checker, ended), daemon=True).start()
    good, after_ten = 0, None
    host.start()
    with host:
        loads = [Load(host.port), Load(host.port)]
        for load in loads:
            load.start()
        for change in range(1, CHANGES + 1):
            if change % 10 == 0:
                text, pattern, count = random.choice(BROKEN) + f"-- {change}", "reload refused", change // 10
            else:
                good += 1
                text, pattern, count = POLICY % change, r"generation \d+, [0-9a-f]{8}: policy", good
            save(path, text)
            wait_until(lambda: len(re.findall(pattern, host.stderr)) >= count, f"change {change}")
            if good == 10 and not after_ten:
                time.sleep(1)
                after_ten = memory(host)
            if any(load.failed for load in loads):
                break
        for load in loads:
            load.stopping = True
            load.join()
        time.sleep(1)
        at_end = memory(host)
    assert ended.wait(60)
    assert [load.failed for load in loads] == [[], []]
    assert not checker.wrong, (checker.wrong[:5], host.stderr[:5000])
    assert checker.count == sum(load.sent for load in loads)
    assert len(checker.versions) > good / 2  # the load met most of them
    print(f"{CHANGES} changes, {checker.count} messages, {len(checker.hashes)} generations, "
          f"memory {after_ten} KB after ten, {at_end} KB at the end")
    if BUILD.name == "release":  # sanitizers keep freed memory
        assert at_end < after_ten * 1.1


# ---- killed at any moment ----

class Sender(threading.Thread):
    """Sends messages with numbers and knows which of them were accepted."""

    def __init__(self, port, numbers):
        super().__init__()
        self.port, self.numbers, self.accepted = port, numbers, []

    def run(self):
        try:
            with Client(self.port) as client:
                client.greet()
                while True:
                    number = next(self.numbers)
                    client.begin()
                    client.expect(f"Subject: {number}\r\nX-Number: {number}\r\n\r\ntext\r\n.", 250)
                    self.accepted.append(number)
        except (OSError, AssertionError):
            pass  # killed


def test_killed_during_reloads(tmp_path):
    random.seed(SEED)
    print(f"seed {SEED}")
    path, state, inbox = tmp_path / "policy.lua", tmp_path / "state", tmp_path / "inbox"
    state.mkdir()
    save(path, POLICY % 0)
    good, accepted = path.read_text(), []
    numbers = iter(range(1, 1 << 30))
    for life in range(max(5, CHANGES // 20)):
        host = Host(policy=str(path), settings={"reload": {"quiet": 0, "poll": 0.5, "trial": 0.05}}, workers=2,
                    environment={"MAILERQ_LUA_STATE_DIR": str(state)}, knobs={"fork": "off"}, start=False)
        host.command[host.command.index("--inbox") + 1] = str(inbox)
        host.start()  # a complete policy, the files' or the last good one
        loaded = re.search(r"policy \S+, generation 1, ([0-9a-f]{8})", host.stderr)
        assert loaded, host.stderr
        senders = [Sender(host.port, numbers) for _ in range(3)]
        for sender in senders:
            sender.start()
        for change in range(random.randrange(2, 6)):
            broken = random.random() < 0.2
            save(path, random.choice(BROKEN) if broken else good.replace("version = 0", f"version = {life * 10 + change}"))
            time.sleep(random.random() * 0.15)
        host.process.send_signal(signal.SIGKILL)
        host.process.wait()
        for sender in senders:
            sender.join()
            accepted += sender.accepted
        host.returncode = 0
        host.stop()
    published = collections.Counter()
    with open(inbox, "rb") as lines:
        for line in lines:
            if line.endswith(b"\n"):
                message = json.loads(line)
                published[int(message["number"])] += 1
                assert len({tuple(entry[1:]) for entry in message["judged"]}) == 1, message["judged"]
    assert len(accepted) > 100
    assert [number for number in accepted if published[number] != 1] == []
    assert [number for number, count in published.items() if count > 1] == []
