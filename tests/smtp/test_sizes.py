# SPDX-License-Identifier: MIT
"""What the library does with sizes that a script chooses: sizes.lua lists each function, and what it charges and makes.

By hand with MQLUA_SIZE=1000000, which finds what is charged too little."""

import os
import pathlib
import re
import shutil

import pytest

from mqlua import BUILD, Host, wait_until

SIZES = pathlib.Path(__file__).with_name("sizes.lua")
SIZE = int(os.environ.get("MQLUA_SIZE", "100000"))
GROWTH = 4  # the most that one of 100,000 may cost of what one of 1,000 does
BUDGET = 0.02  # seconds
SANITIZED = BUILD.name in ("asan", "tsan")
LATE = 0.4 if SANITIZED else 0.06  # seconds that one use may take beyond the budget
PEAK = 400  # MB of the process


@pytest.fixture
def begin(tmp_path):
    def start(**settings):
        shutil.copy(SIZES, tmp_path / "policy.lua")
        (tmp_path / "set.txt").write_text("joe\n")
        (tmp_path / "map.txt").write_text("joe 1\n")
        return Host(policy=str(tmp_path / "policy.lua"), knobs={"blocking": "off"},
                    settings={"deadline": {"incoming": 3600}, "host": {"inbox": "mailerq"}, **settings})
    return start


def ask(host, client, subject, answer, size=100):
    """Sends one message of that size, and returns what the log says of it from then on."""
    before = len(host.stderr)
    client.expect("MAIL FROM:<a@example.org>", 250)
    client.expect("RCPT TO:<b@example.com>", 250)
    client.expect("DATA", 354)
    client.send(f"Subject: {subject}\r\n\r\n" + ("x" * 70 + "\r\n") * (size // 72) + ".\r\n")
    client.reply()
    return wait_until(lambda: re.search(answer, host.stderr[before:]), f"{subject}: {answer}")


def functions(host, client):
    ask(host, client, "list", "listed")
    return list(dict.fromkeys(re.findall(r"sized: (\S+) ", host.stderr)))


def test_every_function_is_listed(begin):
    with begin(allow=["debug"], budget=5) as host, host.client() as client:
        client.greet()
        ask(host, client, "list", "listed")
        assert re.findall(r"unknown: (\S+) ", host.stderr) == []


def measure(host, client, name, size):
    """Seconds for each unit, and for all of them."""
    said = ask(host, client, f"growth {name} {size}", r"measured: \S+ \d+ ([0-9.]+) ([0-9.]+) |ended: .*", size)
    assert said.group(1), said.group(0)
    return float(said.group(1)), float(said.group(2))


def grows(host, client, name):
    """What is wrong, after some attempts: a machine that is busy is no reason."""
    for _ in range(3):
        few, _ = measure(host, client, name, 1000)
        many, seconds = measure(host, client, name, 100000)
        if many < GROWTH * few or seconds < 0.001:
            return None
    return f"{name}: {few * 1e9:.2f} ns of 1,000, {many * 1e9:.2f} of 100,000"


@pytest.mark.skipif(SANITIZED, reason="large blocks cost a sanitizer more for each byte")
def test_time_per_unit_does_not_grow(begin):
    with begin(allow=["debug"], budget=60, memory="512MB") as host, host.client() as client:
        client.greet()
        names = functions(host, client)
        for name in names:
            measure(host, client, name, 10)
        slow = list(filter(None, (grows(host, client, name) for name in names)))
        assert not slow, "\n".join(slow)


def is_late(host, client, name):
    for _ in range(3):
        said = ask(host, client, f"budget {name} {SIZE}", r"ended: ([0-9.]+) (.*)", SIZE)
        seconds = float(said.group(1))
        if not re.search("run-time budget|not enough memory", said.group(2)):
            break
        if seconds < BUDGET + LATE:
            return None
    return f"{name}: {seconds} s, {said.group(2):.300}"


def test_one_use_is_late_by_little(begin):
    with begin(allow=["debug"], budget=BUDGET) as host, host.client() as client:
        client.greet()
        late = list(filter(None, (is_late(host, client, name) for name in functions(host, client))))
        assert not late, "\n".join(late)
        assert SANITIZED or host.peak() < PEAK
