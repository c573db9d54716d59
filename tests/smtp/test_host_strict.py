# SPDX-License-Identifier: MIT
"""Each rule of the stand-in host aborts a plugin that breaks it, and a right plugin breaks none."""

import json
import signal

import pytest

import mqlua
from mqlua import MESSAGE, Client

# What these tests are about; everything else is as the profile says.
STRICT = {"strict": "on", "sync-continue": "abort", "data-in-loop": "poison", "blocking": "on", "timers": "exact",
          "disconnect": "close-during-pause", "close-on-exit": "no", "data": "chunks:1000"}


def Host(*arguments, knobs=None, **options):
    return mqlua.Host(*arguments, knobs={**STRICT, **(knobs or {})}, **options)


def until_it_aborts(host, clients, leave=False):
    """Sends a whole message and stays, or leaves; the host may be gone at any point of it."""
    client = Client(host.port)
    clients.append(client)
    try:
        client.greet()
        client.begin()
        client.send(MESSAGE + b".\r\n")
        client.code()
        if leave:
            client.command("QUIT")
    except (AssertionError, OSError):
        pass


INCOMING = [
    ("wrong_cf1", "CF1"),
    ("wrong_cf2", "CF2"),
    ("wrong_cf3", "CF3"),
    ("wrong_cf6", "CF6"),
    ("wrong_th1", "TH1"),
    ("wrong_tg1", "TG1"),
    ("wrong_tg1_stale", "TG1"),
    ("wrong_tm1", "TM1"),
    ("wrong_tm1_zero", "TM1"),
    ("wrong_io1", "IO1"),
    ("wrong_io2", "IO2"),
    ("wrong_io3", "IO3"),
    ("wrong_io4", "IO4"),
    ("wrong_cd1", "CD1"),
    ("wrong_st1", "ST1"),
    ("wrong_sn1", "SN1"),
    ("wrong_fd1", "FD1"),
    ("wrong_fd1_close", "FD1"),
    ("wrong_js1_put", "JS1"),
    ("wrong_js1_get", "JS1"),
    ("wrong_js2", "JS2"),
    ("wrong_lg1", "LG1"),
    ("wrong_bl1", "BL1"),
]


@pytest.mark.parametrize("name, rule", INCOMING)
def test_rule_at_incoming_mail(name, rule):
    clients = []
    with Host(plugins=[name], knobs={"continue": "inline"}) as host:
        until_it_aborts(host, clients, leave=rule == "SN1")
        assert host.rule() == rule
        if rule not in ("JS1", "JS2", "FD1", "TH1"):
            assert f"{name}.so" in host.stderr, "the plugin is named"
    for client in clients:
        client.close()


@pytest.mark.parametrize("name, rule", [("wrong_cf2", "CF2"), ("wrong_cf3", "CF3")])
def test_rule_with_deferred_continue(name, rule):
    clients = []
    with Host(plugins=[name], knobs={"continue": "deferred"}) as host:
        until_it_aborts(host, clients)
        assert host.rule() == rule


def test_pause_of_another_plugin():
    with Host(plugins=["hold", "wrong_cf4"]) as host, host.client() as client:
        client.greet()
        client.send("MAIL FROM:<sender@example.org>\r\n")
        assert host.rule() == "CF4"


def test_hand_back_after_close():
    with Host(plugins=["wrong_cf5"]) as host:
        with host.client() as client:
            client.greet()
            client.send("MAIL FROM:<sender@example.org>\r\n")
        assert host.rule() == "CF5"


def test_timer_left_behind():
    with Host(plugins=["wrong_lo1"]) as host:
        host.stop()
        assert host.rule() == "LO1"


def test_data_kept_after_the_call():
    clients = []
    with Host(plugins=["wrong_guard"]) as host:
        until_it_aborts(host, clients)
        # a sanitizer reports the signal itself and exits
        assert host.wait_end() == -signal.SIGSEGV or "SEGV" in host.stderr


def test_wrong_version():
    with Host(plugins=["wrong_version"], listen=False, start=False) as host:
        host.command += ["--listen", "127.0.0.1:0"]
        host.start()
        assert host.wait_end() == 1
        assert "version 0x1 of the plugin API" in host.stderr


def test_expected_version_can_be_chosen():
    with Host(plugins=["wrong_version"], knobs={"api-version": "1"}) as host:
        host.send()


@pytest.mark.parametrize("name, rule", [("wrong_st2", "ST2"), ("wrong_sn1_out", "SN1"), ("wrong_au1", "AU1"),
                                        ("wrong_js3", "JS3")])
def test_rule_at_outgoing_mail(name, rule):
    with Host(plugins=[]) as smarthost:
        with Host(plugins=[name], listen=False, start=False) as host:
            outbox = host.folder / "outbox.jsonl"
            outbox.write_text(json.dumps({"envelope": "sender@example.org", "recipient": "one@example.com",
                                          "mime": MESSAGE.decode()}) + "\n")
            host.command += ["--outbox", str(outbox), "--smarthost", f"127.0.0.1:{smarthost.port}",
                             "--results", str(host.folder / "results.jsonl")]
            host.start()
            assert host.rule() == rule


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
