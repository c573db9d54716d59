# SPDX-License-Identifier: MIT
"""mq.ratelimit, mq.quota, mq.concurrency and mq.greylist: exact on several workers, through reloads and restarts."""

import os
import random
import signal
import subprocess
import threading
import time

import pytest

from mqlua import BUILD, Host, change, wait_until

SEED = int(os.environ.get("MQLUA_SEED", "1"))


def ask(host, recipient):
    """Offers a recipient on a connection of its own: the text of the refusal, None when it was taken."""
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.send(f"RCPT TO:<{recipient}@example.com>\r\n")
        code, lines = client.reply()
        return None if code == 250 else lines[0]


def at_once(count, function):
    threads = [threading.Thread(target=function) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


TAKE = """
local limit = %s
-- version 1
mq.on("smtp_in_rcptto", function(connection, address)
  local taken, value = limit:take(address.localpart)
  if not taken then return mq.tempfail(450, "4.7.1", "wait=" .. value) end
end)
"""


@pytest.mark.parametrize("limit", ['mq.ratelimit("r", {limit = 30, per = "day"})',
                                   'mq.quota("q", {limit = 30, per = "month"})',
                                   'mq.quota("q", {limit = 30, per = "week", zone = "Europe/Berlin"})'])
def test_a_limit_is_exact_on_four_workers(limit):
    with Host(policy=TAKE % limit, workers=4, settings={"reload": {"quiet": 0.1}}) as host:
        taken = []
        at_once(6, lambda: taken.extend(ask(host, "joe") is None for _ in range(10)))
        assert taken.count(True) == 30
        change(host, "version 1", "version 2")
        assert ask(host, "joe").split("wait=")[1] > "0"
        assert ask(host, "ann") is None


def test_a_quota_survives_restarts():
    host = Host(policy=TAKE % 'mq.quota("q", {limit = 5})', start=False)
    with host:
        for how in [signal.SIGTERM, signal.SIGKILL, None]:
            host._lines.clear()
            host.returncode = None
            host.start()
            assert (ask(host, "joe") is None) == (how is not None)
            if how is None:
                break
            for _ in range(1 if how == signal.SIGTERM else 2):
                assert ask(host, "joe") is None
            if how == signal.SIGKILL:
                file = host.folder / "shared" / "quota.q.dict"
                saved = file.stat().st_mtime if file.exists() else 0
                wait_until(lambda: file.exists() and file.stat().st_mtime > saved, "the file", 30)
            host.process.send_signal(how)
            host.process.wait()
            host._reader.join()


def test_a_rate_lets_more_come_with_time():
    with Host(policy=TAKE % 'mq.ratelimit("r", {limit = 4, per = 2, burst = 2})') as host:
        begin = time.monotonic()
        assert [ask(host, "joe") is None for _ in range(2)] == [True, True]
        refused = ask(host, "joe")
        if time.monotonic() - begin < 0.4:  # else the machine is slow, and one more has come
            assert 0 < float(refused.split("wait=")[1]) <= 0.5
        wait_until(lambda: ask(host, "joe") is None, "the next one")
        taken = 3
        while time.monotonic() - begin < 3:
            taken += ask(host, "joe") is None
        assert 2 + 5 <= taken <= 2 + (time.monotonic() - begin) * 2 + 1


# ---- concurrency ----

OPEN = """
local open = mq.concurrency("open", {limit = 3})
local count = mq.shared("concurrency.open")
-- version 1
mq.on("smtp_in_mailfrom", function(connection, address)
  local entered, now = open:enter(connection, address.localpart)
  if not entered then return mq.tempfail(450, "4.7.1", "open=" .. now) end
  if address.domain == "waits.example" then mq.sleep(60) end
  if address.domain == "fails.example" then error("on purpose") end
end)
mq.on("smtp_in_rcptto", function(connection, address)
  if address.localpart == "leave" then open:leave(connection, connection.transaction.envelope.localpart) end
  local asked = address.localpart:match("^ask%.(.*)")
  if asked then return mq.tempfail(450, "4.7.1", "count=" .. tostring(count:get(asked) or 0)) end
end)
"""


def count_of(host, key):
    return int(ask(host, f"ask.{key}").split("count=")[1])


def test_what_connections_hold_is_given_back():
    # a host that tells of no close during a pause keeps what refused clients hold until the hold ends
    knobs = {"disconnect": "close-during-pause"}
    with Host(policy=OPEN, workers=3, settings={"reload": {"quiet": 0.1}}, knobs=knobs) as host:
        clients = [host.client() for _ in range(5)]
        for client in clients:
            client.greet()
        codes = [client.command("MAIL FROM:<joe@example.org>") for client in clients]
        assert codes.count(250) == 3
        held = [client for client, code in zip(clients, codes) if code == 250]
        change(host, "version 1", "version 2")
        assert count_of(host, "joe") == 3
        held[0].close()
        wait_until(lambda: count_of(host, "joe") == 2, "one to be given back")
        held[1].expect("RCPT TO:<leave@example.com>", 250)
        assert count_of(host, "joe") == 1
        held[2].command("QUIT")
        for client in clients:
            client.close()
        wait_until(lambda: count_of(host, "joe") == 0, "all to be given back")


@pytest.mark.parametrize("seed", range(3))
def test_counts_do_not_drift(seed):
    """Random clients that enter, wait, fail, leave and are gone, with reloads in between: in the end nothing is held."""
    rng = random.Random(f"{SEED} {seed}")
    disconnect = rng.choice(["close-during-pause", "close-after-handback"])
    with Host(policy=OPEN, workers=3, settings={"reload": {"quiet": 0.1}}, knobs={"disconnect": disconnect}) as host:
        clients = []
        for step in range(120):
            action = rng.random()
            if action < 0.45:
                client = host.client()
                client.greet()
                key, domain = rng.choice("xyz"), rng.choice(["example.org", "example.org", "waits.example", "fails.example"])
                client.send(f"MAIL FROM:<{key}@{domain}>\r\n")
                clients.append(client)
            elif action < 0.8 and clients:
                client = clients.pop(rng.randrange(len(clients)))
                if rng.random() < 0.3:
                    client.send("QUIT\r\n")
                client.close()
            elif action < 0.9 and clients:
                rng.choice(clients).send("RCPT TO:<leave@example.com>\r\n")
            elif step % 30 == 29:
                change(host, "-- version", f"-- {step} version")
        assert all(count_of(host, key) <= 3 for key in "xyz")
        for client in clients:
            client.close()
        if disconnect == "close-during-pause":
            for key in "xyz":
                wait_until(lambda: count_of(host, key) == 0, "all to be given back")


MODEL = OPEN.replace("-- version 1", "local bad = false -- version 1").replace("  local asked", """
  if bad and address.localpart == "broken" then error("on purpose") end
  local asked""") + """
mq.on("cleanup", function() mq.log.info("left=%d", #count:keys(0)) end)
"""


class Leases:
    """Clients that hold keys, and what the counts must be after each step."""

    def __init__(self, host, rng):
        self.host, self.rng, self.held = host, rng, {}

    def count(self, key):
        return sum(key in keys for keys in self.held.values())

    def check(self):
        for key in "xyz":
            wait_until(lambda: count_of(self.host, key) == self.count(key), f"{key} to be {self.count(key)}")

    def enter(self, client, domain):
        key = self.rng.choice("xyz")
        entered = key in self.held.get(client, ()) or self.count(key) < 3
        client.send(f"MAIL FROM:<{key}@{domain}>\r\n")
        if entered:
            self.held.setdefault(client, set()).add(key)
        if domain != "waits.example" or not entered:
            assert (client.reply()[0] == 250) == entered  # an error lets mail through
        if not entered:  # a refused client is held, and gives back what it had when it is gone
            self.close(client)

    def open(self):
        client = self.host.client()
        client.greet()
        client.domain = self.rng.choice(["example.org"] * 5 + ["waits.example"] * 2 + ["fails.example"])
        self.enter(client, client.domain)

    def one(self):
        usable = [client for client in self.held if client.domain == "example.org"]
        return self.rng.choice(usable) if usable else None

    def again(self):
        if client := self.one():
            client.expect("RSET", 250)
            self.enter(client, client.domain)

    def leave(self):
        if client := self.one():
            client.expect("RSET", 250)
            key = self.rng.choice("xyz")
            if key in self.held[client] or self.count(key) < 3:
                client.expect(f"MAIL FROM:<{key}@example.org>", 250)
                client.expect("RCPT TO:<leave@example.com>", 250)
                self.held[client].discard(key)

    def close(self, client=None):
        if client or self.held:
            client = client or self.rng.choice(list(self.held))
            self.held.pop(client, None)
            if self.rng.random() < 0.3:
                client.send("QUIT\r\n")
            client.close()

    def reload(self):
        change(self.host, "-- version", "-- version and")

    def roll_back(self):
        before = self.host.stderr.count("ROLLED BACK")
        change(self.host, "bad = false", "bad = true")

        def is_back():
            ask(self.host, "broken")
            return self.host.stderr.count("ROLLED BACK") > before

        wait_until(is_back, "the roll-back")
        change(self.host, "bad = true", f"bad = false -- {before}")


@pytest.mark.parametrize("seed", range(2))
def test_leases_follow_a_model(seed):
    """Close, cancel, errors, reloads, roll-backs and the end in any order: what is held is what the model says."""
    rng = random.Random(f"{SEED} leases {seed}")
    with Host(policy=MODEL, workers=3, settings={"reload": {"quiet": 0.05, "min_errors": 3}},
              knobs={"disconnect": "close-during-pause"}) as host:
        model = Leases(host, rng)
        steps = [model.open] * 12 + [model.again] * 4 + [model.leave] * 4 + [model.close] * 8 + [model.reload] * 2
        steps += [model.roll_back]
        rng.shuffle(steps)
        for step in steps:
            step()
            model.check()
        model.open()
        assert host.stop() == 0
        assert "left=0" in host.stderr


# ---- greylisting ----

GREY = """
local grey = mq.greylist("g", {delay = %s, window = 100, known_after = 3})
mq.on("smtp_in_rcptto", function(connection, address)
  local ip = address.localpart:match("^ip([%%d.]+)%%.[^.]*$") or connection.remote_ip
  local passes, wait = grey:check(ip, connection.transaction.envelope, address)
  if not passes then return mq.tempfail(451, "4.7.1", "wait=" .. wait) end
end)
"""


def test_greylisting():
    with Host(policy=GREY % "0.5", workers=3) as host:
        first = ask(host, "joe")
        assert 0 < float(first.split("wait=")[1]) <= 0.5
        wait_until(lambda: ask(host, "joe") is None, "the retry to pass")
        assert all(ask(host, "joe") is None for _ in range(5))
        assert ask(host, "JOE") is None
        # three pairs have passed: the network is known, and others of it are not asked to come again
        for name in ["ann", "eve"]:
            assert ask(host, name)
            wait_until(lambda: ask(host, name) is None, "the retry to pass")
        assert ask(host, "somebody-new") is None


def test_greylisting_asks_networks_not_addresses():
    with Host(policy=GREY % "0.3") as host:
        assert ask(host, "ip192.0.2.1.x")
        assert ask(host, "ip198.51.100.1.x")
        time.sleep(0.4)
        assert ask(host, "ip192.0.2.1.x") is None


def test_greylisting_persists():
    host = Host(policy=GREY % "0.2", start=False)
    with host:
        host.start()
        ask(host, "joe")
        wait_until(lambda: ask(host, "joe") is None, "the retry to pass")
        assert host.stop() == 0
        host._lines.clear()
        host.returncode = None
        host.start()
        assert ask(host, "joe") is None


# ---- failures ----

@pytest.mark.parametrize("on_failure, taken", [("allow", True), ("refuse", False), ("local", True)])
def test_a_full_dictionary(on_failure, taken):
    """Counters of a policy's own that never go fill the dictionary."""
    policy = f"""
    local limit = mq.ratelimit("r", {{limit = 2, per = "hour", capacity = "8KB", on_failure = "{on_failure}"}})
    local dict = mq.shared("ratelimit.r")
    local i = 0
    repeat i = i + 1 until not dict:incr("full" .. i, 1, 0)
    mq.on("smtp_in_rcptto", function(connection, address)
      if not limit:take(address.localpart) then return mq.tempfail(450, "4.7.1", "refused") end
    end)
    """
    with Host(policy=policy) as host:
        assert [ask(host, "joe") is None for _ in range(2)] == [taken, taken]
        assert (ask(host, "joe") is None) == (on_failure == "allow")
        host.wait_stderr(f"ratelimit 'r' cannot count: no memory; on_failure = \"{on_failure}\"")
        assert host.stderr.count("cannot count") == 1


@pytest.mark.parametrize("text, error", [
    ('mq.ratelimit("r")', "options are missing"), ('mq.ratelimit("r r", {})', "a name has letters"),
    ('mq.ratelimit("r", {limit = 1, pre = 1})', "unknown option 'pre'"),
    ('mq.ratelimit("r", {limit = 0})', "mq.ratelimit: limit must be a number of at least 1"),
    ('mq.ratelimit("r", {limit = 1, on_failure = "x"})', "on_failure must be"),
    ('mq.quota("q", {limit = 1, per = "year"})', "per must be"),
    ('mq.quota("q", {limit = 1, zone = "Nowhere/Else"})', "Nowhere/Else"),
    ('mq.quota("q", {limit = 1, zone = "../etc/passwd"})', "no name of a time zone"),
    ('mq.greylist("g", {delay = 100, window = 50})', "window must be longer than delay"),
    ('mq.concurrency("c", {limit = 1}):enter({}, "x")', "connection expected"),
    ('mq.quota("q", {limit = 1}).take("x")', "call it with a colon"),
])
def test_misuse_says_where(tmp_path, text, error):
    policy = tmp_path / "policy.lua"
    policy.write_text(f"\n{text}\n")
    result = subprocess.run([BUILD / "mqlua", "check", policy], capture_output=True, text=True)
    assert result.returncode != 0
    assert "policy.lua:2:" in result.stderr and error in result.stderr


def test_a_quota_can_count_in_each_worker(tmp_path):
    policy = tmp_path / "policy.lua"
    policy.write_text('mq.quota("q", {limit = 1, on_failure = "local"})\n')
    assert subprocess.run([BUILD / "mqlua", "check", policy]).returncode == 0
    policy.write_text('mq.concurrency("c", {limit = 1, on_failure = "local"})\n')
    assert subprocess.run([BUILD / "mqlua", "check", policy]).returncode != 0
