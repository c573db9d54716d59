# SPDX-License-Identifier: MIT
"""Guards what an event costs, in instructions, so that a slow change is seen the day it is made.

cost.json has what each measurement gave when it was last accepted. Much more than that fails; so does much less, because then
the guard is blind: accept the new numbers with

    /usr/bin/python3 tests/bench/test_cost.py
"""

import json
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import counting  # noqa: E402
import peers  # noqa: E402

ACCEPTED = pathlib.Path(__file__).with_name("cost.json")
POLICY = pathlib.Path(__file__).with_name("policy") / "policy.lua"
# Other versions of the C library and of LuaJIT differ by a few percent. Which event of a session collects the garbage of all
# is a matter of bytes: so one event may differ more than all of them together.
OF_ALL, OF_ONE = 0.08, 0.25
ALLOWANCE = 20  # instructions, for what costs next to nothing

MEASUREMENTS = {
    "nobody handles it": "",
    "empty handler": counting.EMPTY_HANDLERS,
    "fields and a tag": counting.FIELDS,
    "the policy of tests/bench": None,
}


def measure(name):
    """{event: instructions over an empty C plugin}, and of all events together"""
    peers.WORK.mkdir(parents=True, exist_ok=True)
    text = MEASUREMENTS[name]
    policy = POLICY if text is None else counting.write_policy("guard", text)
    session = peers.WORK / "message-guard.json"
    peers.write_message(session, "Subject: test\r\n\r\n" + "x" * 1000, "news@press.example", "reader@one.example")
    base = counting.events(counting.EMPTY, None, [session], count=100, warm=10)
    found = counting.events(counting.PLUGIN, policy, [session], count=400, warm=200)
    over = {event: found[event] - base[event] for event in found}
    return {"all": sum(over.values()), **over}


def allowed(event, accepted):
    return max(ALLOWANCE, accepted * (OF_ALL if event == "all" else OF_ONE))


@pytest.mark.skipif(not shutil.which("valgrind") or not counting.DRIVER.exists(), reason="needs valgrind and its headers")
@pytest.mark.parametrize("name", MEASUREMENTS)
def test_cost(name):
    accepted = json.loads(ACCEPTED.read_text(encoding="utf-8"))[name]
    found = measure(name)
    wrong = {event: f"{found[event]:.0f} instructions, accepted are {accepted[event]}" for event in accepted
             if abs(found[event] - accepted[event]) > allowed(event, accepted[event])}
    assert not wrong, f"{name}: {wrong}"


if __name__ == "__main__":
    numbers = {name: {event: round(value) for event, value in measure(name).items()} for name in MEASUREMENTS}
    ACCEPTED.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
