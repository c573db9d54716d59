# SPDX-License-Identifier: MIT
"""Each rule of the stand-in host aborts a plugin that breaks it, and a right plugin breaks none."""

import json
import re
import signal

import pytest

import mqlua
from mqlua import MESSAGE, Client

# What these tests are about; everything else is as the profile says.
STRICT = {"strict": "on", "sync-continue": "abort", "data-in-loop": "poison", "blocking": "on", "timers": "exact",
          "disconnect": "close-during-pause", "close-on-exit": "no", "data": "chunks:1000"}


def Host(*arguments, knobs=None, **options):
    return mqlua.Host(*arguments, knobs={**STRICT, **(knobs or {})}, **options)


# Each deliberately wrong plugin (wrong_<name>.c): the rule it breaks, where, and on which host if that matters.
# Where: "in", a message that comes in; "leave", the same and the client leaves; "pause", it leaves at MAIL FROM;
# "out", a message that goes out; "stop", the end; "start", the beginning.
WRONG = {
    "cf1": ("CF1", "in"), "cf2": ("CF2", "in"), "cf3": ("CF3", "in"), "cf4": ("CF4", "in"), "cf5": ("CF5", "pause"),
    "cf6": ("CF6", "in"), "th1": ("TH1", "in"), "th1_json": ("TH1", "in"), "tg1": ("TG1", "in"),
    "tg1_stale": ("TG1", "in"), "tg1_message": ("TG1", "leave"), "tg1_local": ("TG1", "in"),
    "tg1_recipient": ("TG1", "in", {"recipient": "string"}), "tm1": ("TM1", "in"), "tm1_zero": ("TM1", "in"),
    "tm1_nan": ("TM1", "in"), "tm1_reset": ("TM1", "in"), "tm1_twice": ("TM1", "in"), "io1": ("IO1", "in"),
    "io2": ("IO2", "in"), "io3": ("IO3", "in"), "io4": ("IO4", "in"), "cd1": ("CD1", "in"),
    "cd1_connection": ("CD1", "in"), "st1": ("ST1", "in"), "st1_nul": ("ST1", "in"), "st2": ("ST2", "out"),
    "sn1": ("SN1", "leave"), "sn1_out": ("SN1", "out"), "au1": ("AU1", "out"), "fd1": ("FD1", "in"),
    "fd1_close": ("FD1", "in"), "fd1_read": ("FD1", "in"), "fd1_write": ("FD1", "in"), "js1_get": ("JS1", "in"),
    "js1_put": ("JS1", "in"), "js2": ("JS2", "in"), "js2_at": ("JS2", "in"), "js2_mime": ("JS2", "in"),
    "js3": ("JS3", "out"), "js3_header": ("JS3", "out"), "lg1": ("LG1", "in"), "lg1_null": ("LG1", "in"),
    "bl1": ("BL1", "in"), "lo1": ("LO1", "stop"), "lo1_watcher": ("LO1", "stop"),
}
# Wrong in a way that a rule cannot name: what comes of it is said in a test of its own.
OTHERWISE = {"guard", "poison", "version", "decoy_lua", "decoy_ev"}
# No plugin breaks these: LD1 is the host's own sum, NM1 its own lack of memory.
OF_THE_HOST = {"LD1", "NM1"}


def test_every_rule_has_a_wrong_plugin():
    header = (mqlua.ROOT / "src" / "host" / "rules.h").read_text()
    rules = set(re.findall(r"RULE\(([A-Z]+\d)", header))
    assert len(rules) > 20
    assert {rule for rule, *_ in WRONG.values()} == rules - OF_THE_HOST


def test_every_wrong_plugin_is_tried():
    plugins = {path.stem.removeprefix("wrong_") for path in (mqlua.ROOT / "tests" / "plugins").glob("wrong_*.c")}
    assert plugins == set(WRONG) | OTHERWISE


def until_it_aborts(host, leave=False):
    """Sends a whole message and stays, or leaves; the host may be gone at any point of it."""
    client = Client(host.port)
    try:
        client.send("EHLO client.example\r\n")
        assert [client.code(), client.code()] == [220, 250]
        client.begin()
        client.send(MESSAGE + b".\r\n")
        client.code()
        if leave:
            client.command("QUIT")
    except (AssertionError, OSError):
        pass
    return client


def send_out(host, smarthost):
    outbox = host.folder / "outbox.jsonl"
    outbox.write_text(json.dumps({"envelope": "sender@example.org", "recipient": "one@example.com",
                                  "mime": MESSAGE.decode()}) + "\n")
    host.command += ["--outbox", str(outbox), "--smarthost", f"127.0.0.1:{smarthost.port}",
                     "--results", str(host.folder / "results.jsonl")]


def broken(host, where):
    """Does what the plugin waits for; the rule that the host then aborts over."""
    if where == "stop":
        host.stop()
        return host.rule()
    if where == "pause":
        with host.client() as client:
            client.greet()
            client.send("MAIL FROM:<sender@example.org>\r\n")
        return host.rule()
    with until_it_aborts(host, where == "leave"):
        return host.rule()


@pytest.mark.parametrize("name", [name for name, (_, where, *_) in WRONG.items() if where != "out"])
def test_rule(name):
    rule, where, *knobs = WRONG[name]
    plugins = ["hold"] if name == "cf4" else []  # which holds the pause that cf4 ends
    with Host(plugins=[*plugins, f"wrong_{name}"], knobs={"continue": "inline", **(knobs[0] if knobs else {})}) as host:
        assert broken(host, where) == rule
        if rule not in ("JS1", "JS2", "FD1", "TH1", "LO1"):
            assert f"wrong_{name}.so" in host.stderr, "the plugin is named"


@pytest.mark.parametrize("name", [name for name, (_, where, *_) in WRONG.items() if where == "out"])
def test_rule_at_outgoing_mail(name):
    with Host(plugins=[]) as smarthost, Host(plugins=[f"wrong_{name}"], listen=False, start=False) as host:
        send_out(host, smarthost)
        host.start()
        assert host.rule() == WRONG[name][0]


@pytest.mark.parametrize("name", ["cf2", "cf3"])
def test_rule_with_deferred_continue(name):
    with Host(plugins=[f"wrong_{name}"], knobs={"continue": "deferred"}) as host:
        assert broken(host, "in") == WRONG[name][0]


@pytest.mark.parametrize("name", ["guard", "poison"])
def test_what_is_not_the_plugins_cannot_be_used(name):
    with Host(plugins=[f"wrong_{name}"]) as host:
        with until_it_aborts(host):
            # a sanitizer reports the signal itself and exits
            assert host.wait_end() == -signal.SIGSEGV or "SEGV" in host.stderr


def test_poison_is_a_reading():
    with Host(plugins=["wrong_poison"], knobs={"data-in-loop": "ok"}) as host:
        host.send()
        host.wait_stderr("it was mine")


@pytest.mark.parametrize("name, function", [("decoy_lua", "luaL_newstate"), ("decoy_ev", "ev_run")])
def test_calls_that_land_in_the_program(name, function):
    host = Host(plugins=[f"wrong_{name}"], knobs={"decoys": "on"}, start=False)
    with pytest.raises(AssertionError):
        host.start()
    with host:
        assert host.wait_end() == -signal.SIGABRT
        assert f"a plugin's call of {function} landed in the program" in host.stderr


def test_wrong_version():
    with Host(plugins=["wrong_version"], listen=False, start=False) as host:
        host.command += ["--listen", "127.0.0.1:0"]
        host.start()
        assert host.wait_end() == 1
        assert "version 0x1 of the plugin API" in host.stderr


def test_expected_version_can_be_chosen():
    with Host(plugins=["wrong_version"], knobs={"api-version": "1"}) as host:
        host.send()


def test_what_is_only_suspicious_is_warned_of():
    with Host(plugins=[]) as smarthost, Host(plugins=["suspect"], start=False) as host:
        send_out(host, smarthost)
        host.start()
        host.send()
        for warning in ("AU2", "BL1", "CL1", "EV1", "LK1", "OE1", "OS1"):
            host.wait_stderr(f"^warning {warning}: ", 2 if warning == "LK1" else 1)


def test_right_plugin_breaks_nothing():
    with Host(plugins=["count"], workers=2) as host:
        for _ in range(3):
            host.send()
        assert len(host.inbox(3)) == 3
        assert host.stop() == 0
        assert host.ledger() == {"pauses": 0, "handbacks": 0, "closed": 0, "left": 0}


def test_paused_connection_is_left_at_the_end():
    with Host("--grace", "0.1", plugins=["hold"]) as host, host.client() as client:
        client.greet()
        client.send("MAIL FROM:<sender@example.org>\r\n")
        client.send("NOOP\r\n")
        with host.client() as other:
            other.greet()
        assert host.stop() == 0
        assert host.ledger() == {"pauses": 1, "handbacks": 0, "closed": 0, "left": 1}


@pytest.mark.parametrize("disconnect, ledger", [
    ("close-during-pause", {"pauses": 1, "handbacks": 0, "closed": 1, "left": 0}),
    ("close-after-handback", {"pauses": 1, "handbacks": 0, "closed": 0, "left": 1}),
    ("no-close", {"pauses": 1, "handbacks": 0, "closed": 0, "left": 1}),
])
def test_client_leaves_during_a_pause(disconnect, ledger):
    with Host("--grace", "0.1", plugins=["hold"], knobs={"disconnect": disconnect}) as host:
        with host.client() as client:
            client.greet()
            client.send("MAIL FROM:<sender@example.org>\r\n")
            with host.client() as other:
                other.greet()
                other.expect("NOOP", 250)
        with host.client() as other:
            other.greet()
            other.expect("NOOP", 250)
        assert host.stop() == 0
        assert host.ledger() == ledger
