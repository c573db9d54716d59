# SPDX-License-Identifier: MIT
"""The policy is saved again and again while mail arrives at full load: no transaction may fail, and none take long."""

import shutil
import smtplib
import threading
import time

import peers

SECONDS = 10  # of load without reloads, and then with them
EVERY = 2  # seconds between two saves: a reload waits for the folder to be quiet
CLIENTS = 4


class Client(threading.Thread):
    """Sends one message after the other on one connection, and notes how long each took."""

    def __init__(self, port, kind):
        super().__init__(daemon=True)
        self.kind, self.times, self.failed, self.stopped = kind, [], 0, False
        self.smtp = smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=30)

    def run(self):
        body = b"Subject: test\r\n\r\n" + b"x" * 78 + b"\r\n"
        while not self.stopped:
            begun = time.monotonic()
            try:
                self.smtp.sendmail(self.kind["sender"], [self.kind["recipient"]], body)
            except (smtplib.SMTPException, OSError):
                self.failed += 1
                return
            self.times.append((begun, time.monotonic() - begun))


def p99(times):
    return sorted(times)[int(len(times) * 0.99)]


def measure(options):
    """{failed, reloads, before, during}: p99 in seconds."""
    if "reload" in options.kept:
        return options.kept["reload"]
    folder = peers.WORK / "reloaded"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(options.policy.parent, folder)
    policy, text = folder / options.policy.name, options.policy.read_text(encoding="utf-8")
    with peers.lua(policy, name="reload") as server:
        kinds = options.mail.kinds
        clients = [Client(server.port, kinds[i % len(kinds)]) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(SECONDS)
        switched = time.monotonic()
        for number in range(SECONDS // EVERY):
            beside = folder / "policy.new"
            beside.write_text(f"{text}\n-- saved {number}\n", encoding="utf-8")
            beside.rename(policy)
            time.sleep(EVERY)
        for client in clients:
            client.stopped = True
        for client in clients:
            client.join(60)
        log = server.stop()
    times = [item for client in clients for item in client.times]
    options.kept["reload"] = {
        "failed": sum(client.failed for client in clients),
        "reloads": log.count("generation ") - 1,
        "before": p99([took for begun, took in times if begun < switched]),
        "during": p99([took for begun, took in times if begun >= switched]),
        "transactions": len(times),
    }
    return options.kept["reload"]


def checked(options):
    found = measure(options)
    if found["reloads"] < 2:
        raise peers.Missing("the plugin does not reload while the host runs")
    return found


def failures(options):
    found = checked(options)
    return found["failed"], found


def latency(options):
    found = checked(options)
    return found["during"] / found["before"], found
