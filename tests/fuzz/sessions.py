#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Random sessions with a model of what must be published: policies, knobs, settings, clients, deliveries, reloads and
ends, all from one seed. What threads and sockets make of it differs from run to run, so a failure may take several tries.

    tests/fuzz/sessions.py --seed 7 --seconds 60 --build build/asan
    tests/fuzz/sessions.py --seed 7 --rounds 1 --without tls,reload   # one round, with less in it

Each round runs one host, some times one after the other in the same folder. The model: a mail that was answered with 250
is published once for each recipient that was accepted; a discard was asked for and has its line in the log; nothing else
is delivered, except what was in flight when its client left or the end came, at most once. Besides: the ledger of the
host is balanced, no rule is broken, no sanitizer speaks, and the end comes in time. A round that fails prints one command
that repeats it. It is then repeated without each part, and the command names the parts that are not needed.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
PARTS = ["reload", "restart", "out", "tls", "knobs", "workers", "clients", "retry"]
REPORT = re.compile(r"^(rule \w+: .*|.*runtime error: .*|.*(?:Address|Thread|Leak)Sanitizer.*)$", re.MULTILINE)
KNOBS = {
    "continue": ["alternate", "inline", "deferred"],
    "disconnect": ["close-during-pause", "close-after-handback", "no-close"],
    "data": ["chunks:1000", "chunks:7", "whole", "at-command"], "data-unstuffed": ["off", "on"],
    "sync-continue": ["abort", "allow"], "message-after-reply": ["off", "off", "on"], "banner": ["after", "before"],
    "shutdown": ["contexts-first", "cleanup-first"], "close-on-exit": ["no", "yes"], "json": ["full", "minimal"],
    "timers": ["late", "exact", "fail"], "watchers": ["spurious", "exact"], "data-in-loop": ["poison", "ok"],
    "ctx-init": ["workers", "main"], "init": ["each", "after-all"], "strict": ["on", "off"], "extract": ["on", "off"],
}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(os.environ.get("MQLUA_SEED", random.randrange(10 ** 6))))
    parser.add_argument("--seconds", type=float, default=60, help="begin no round after so many seconds")
    parser.add_argument("--rounds", type=int, default=10 ** 9)
    parser.add_argument("--build", default=os.environ.get("MQLUA_BUILD", "build/release"))
    parser.add_argument("--without", default="", help="parts to leave out: " + ",".join(PARTS))
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--slack", type=float, default=30, help="seconds that the end may take beyond its grace")
    return parser.parse_args()


class Round:
    """One seed, played; faults is what went wrong."""

    def __init__(self, seed, without, slack):
        self.seed, self.without, self.slack = seed, without, slack
        self.faults = []
        self.rng = self.random("round")
        self.never = self.rng.random() < 0.5
        self.book = Book()
        self.sessions = 0
        self.log = ""

    def random(self, name):
        """Numbers of their own for each part, so that leaving one out does not change the others."""
        return random.Random(f"{self.seed} {name}")

    def has(self, part):
        return part not in self.without

    def knobs(self):
        rng = self.random("knobs")
        chosen = {name: rng.choice(values) for name, values in KNOBS.items()} if self.has("knobs") else {}
        reply = rng.choice(["suppress", "unaware"] if self.never else ["always", "close"])
        if reply == "unaware":  # which of two messages for one mailbox was refused, only their ids tell
            chosen["json"] = "full"
        return {**chosen, "blocking": "off", "reply-after-send": reply}

    def plugins(self):
        """With one behind ours that asks for each event twice, where the host knows what was refused the second time."""
        if self.knobs()["reply-after-send"] == "unaware" or not self.has("retry") or self.random("plugins").random() < 0.7:
            return None
        return [os.path.join(os.environ["MQLUA_BUILD"], "mailerq-lua.so"), "retry"]

    def settings(self):
        rng = self.random("settings")
        return {
            "budget": rng.choice([0.01, 0.03, 0.1]), "memory": rng.choice(["2MB", "4MB", "64MB"]),
            "hold": rng.choice([0, 0.1, 0.5]),
            "deadline": {"incoming": rng.choice([0.1, 0.3, 1]), "outgoing": rng.choice([0.1, 0.5])},
            "json": {"values": rng.choice([1000, 200000])}, "shared": {"memory": "1MB"},
            "reload": {"quiet": 0.1, "poll": 0.2, "trial": rng.choice([0.5, 5, 120]), "min_errors": rng.choice([2, 10])},
            "start_without_policy": True,
            "host": {"inbox": "mailerq", "reply_after_send": "never" if self.never else "always"},
        }

    def play(self):
        rng = self.rng
        tls = self.has("tls") and rng.random() < 0.3
        script = {step: [rng.choice([None, None, None, CLOSE, SILENT, "450 4.7.1 Later", "550 5.7.1 No"]) for _ in range(20)]
                  for step in ("CONNECT", "MAIL", "RCPT", "DATA", "MESSAGE", "IDLE")}
        with Sink(script) as sink:
            workers = rng.randint(1, 3) if self.has("workers") else 1
            host = Host("--grace", "1", "--out-timeout", "0.5", policy=policy(rng, self.never), settings=self.settings(),
                        knobs=self.knobs(), plugins=self.plugins(), tls=tls, workers=workers, start=False)
            try:
                self.run_host(host, sink)
                self.faults += self.book.check(host.inbox() + host.local())
                lines = self.log.count(" is discarded: ")
                gone = sum(m.get("mailerq-lua", {}).get("verdict") == "discard" for m in host.inbox() + host.local())
                if gone > lines:
                    self.faults.append(f"{gone} messages are discarded, and {lines} lines tell it")
            finally:
                host.__exit__(None, None, None)
        return self

    def run_host(self, host, sink):
        command = list(host.command)
        for number in range(self.rng.choice([1, 2, 3]) if self.has("restart") else 1):
            host.command = list(command)
            if self.has("out"):
                self.add_outbox(host, sink, number)
            host.returncode, host._lines = None, []
            if number:
                self.put(host, policy(self.random(f"policy {number}"), self.never))
            host.start()
            self.load(host, number)
            self.end(host, number)

    def add_outbox(self, host, sink, number):
        outbox = host.folder / f"outbox{number}.jsonl"
        outbox.write_text("".join(json.dumps({"envelope": "o@sender.example", "recipient": f"o{number}x{i}@recipient.example",
                                              "mime": "Subject: out\r\n\r\nText\r\n"}) + "\n" for i in range(30)))
        host.command += ["--outbox", str(outbox), "--results", str(host.folder / f"results{number}.jsonl"),
                         "--smarthost", sink.target]

    def put(self, host, text):
        new = host.policy_path.with_suffix(".new")
        new.write_text(text)
        new.rename(host.policy_path)

    def load(self, host, number):
        """Clients and reloads, until a random moment."""
        rng = self.random(f"load {number}")
        stop = threading.Event()
        threads = [threading.Thread(target=self.clients, args=(host, f"{number}c{i}", stop), daemon=True)
                   for i in range(rng.randint(2, 6) if self.has("clients") else 1)]
        if self.has("reload"):
            threads.append(threading.Thread(target=self.reloads, args=(host, number, stop), daemon=True))
        for thread in threads:
            thread.start()
        stop.wait(rng.uniform(0.2, 4))
        self.stopping = time.monotonic()
        if host.process.poll() is None:
            host.process.send_signal(signal.SIGTERM)
        stop.set()
        for thread in threads:
            thread.join(120)
            if thread.is_alive():
                self.faults.append("a client does not end")

    def clients(self, host, name, stop):
        rng = self.random(f"client {name}")
        count = 0
        while not stop.is_set():
            count += 1
            tls = host.tls_port and rng.random() < 0.5
            try:
                session = Session(random.Random(rng.random()), host.tls_port if tls else host.port, tls, f"{name}n{count}",
                                  self.book, self.never)
            except OSError:
                time.sleep(0.01)
                continue
            session.run()
            self.sessions += 1

    def reloads(self, host, number, stop):
        rng = self.random(f"reload {number}")
        while not stop.wait(rng.uniform(0.1, 1)):
            self.put(host, broken(rng) if rng.random() < 0.3 else policy(rng, self.never))

    def end(self, host, number):
        try:
            status = host.process.wait(1 + 5 + self.slack)
        except subprocess.TimeoutExpired:
            self.faults.append(f"still there {time.monotonic() - self.stopping:.0f} s after SIGTERM")
            host.process.send_signal(signal.SIGABRT)
            status = host.process.wait()
        host.wait_end()
        self.log += f'== {shlex.join(host.command)}\n{host.stderr}'
        self.faults += REPORT.findall(host.stderr)[:5]
        if status != 0:
            self.faults.append(f"exit status {status}")
        elif (ledger := host.ledger())["pauses"] != ledger["handbacks"] + ledger["closed"] + ledger["left"]:
            self.faults.append(f"the ledger is not balanced: {ledger}")


def shrink(seed, without, slack):
    """The parts that a failure does not need, as far as one repetition each tells."""
    for part in PARTS:
        if part not in without and Round(seed, [*without, part], slack).play().faults:
            without = [*without, part]
    return without


def main():
    without = [part for part in options.without.split(",") if part]
    end = time.monotonic() + options.seconds
    rounds = failed = sessions = accepted = 0
    while rounds < options.rounds and (rounds == 0 or time.monotonic() < end):
        seed = options.seed + rounds
        rounds += 1
        played = Round(seed, without, options.slack).play()
        sessions += played.sessions
        accepted += sum(fate == ACCEPTED for fate, _ in played.book.mails.values())
        if played.faults:
            failed += 1
            log = pathlib.Path(tempfile.gettempdir()) / f"mqlua-fuzz-{seed}.log"
            log.write_text(played.log)
            print("\n".join([f"seed {seed}, log in {log}:", *played.faults[:20]]), flush=True)
            parts = without if options.no_shrink else shrink(seed, without, options.slack)
            more = f" --without {','.join(parts)}" if parts else ""
            print(f"again: tests/fuzz/sessions.py --build {options.build} --seed {seed} --rounds 1{more}", flush=True)
    print(f"{sessions} sessions, {accepted} mails accepted, seeds {options.seed} to {options.seed + rounds - 1}")
    print(f"{rounds - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    options = arguments()
    os.environ["MQLUA_BUILD"] = str(pathlib.Path(options.build).resolve())
    os.environ.setdefault("TSAN_OPTIONS", "halt_on_error=1")
    sys.path[:0] = [str(HERE), str(HERE.parent / "smtp")]
    from mqlua import Host  # noqa: E402
    from session_client import ACCEPTED, Book, Session  # noqa: E402
    from session_policy import broken, policy  # noqa: E402
    from sink import CLOSE, SILENT, Sink  # noqa: E402
    sys.exit(main())
