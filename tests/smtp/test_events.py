# SPDX-License-Identifier: MIT
"""Which handlers are called, in which order, and with what."""

import base64
import re

import pytest

from mqlua import MESSAGE, Host
from probe import delivering
from sink import Sink

LOG = r"""
local function note(...) mq.log.info("<%s>", table.concat({...}, " ")) end
local function kind(value) return (tostring(value):gsub(":? .*", "")) end
for _, event in ipairs{"initialize", "cleanup"} do
  mq.on(event, function(...) note(event, select("#", ...)) end)
end
for _, event in ipairs{"context_initialize", "context_cleanup"} do
  mq.on(event, function(worker, ...) note(event, type(worker.number), select("#", ...)) end)
end
for _, event in ipairs{"smtp_in_connect", "smtp_in_secure", "smtp_in_close"} do
  mq.on(event, function(connection, ...) note(event, kind(connection), select("#", ...)) end)
end
for _, event in ipairs{"smtp_in_mailfrom", "smtp_in_rcptto"} do
  mq.on(event, function(connection, address, ...) note(event, kind(connection), address.email, select("#", ...)) end)
end
mq.on("smtp_in_authenticate", function(connection, login, password, ...)
  note("smtp_in_authenticate", kind(connection), login, tostring(password), select("#", ...))
  return mq.accept()
end)
mq.on("smtp_in_data", function(connection, chunk, ...)
  note("smtp_in_data", kind(connection), #chunk > 0 and "bytes" or "empty", select("#", ...))
end, {chunks = true})
for _, event in ipairs{"smtp_in_message", "smtp_out_data", "smtp_out_sent"} do
  mq.on(event, function(connection, message, ...)
    note(event, kind(connection), message.recipient.email, select("#", ...))
  end)
end
"""


def notes(host):
    return re.findall(r"<(.*)> \(generation 1\)$", host.stderr, re.MULTILINE)


def without_workers(lines):
    return [line for line in lines if "initialize" not in line and "cleanup" not in line]


def test_one_message_with_two_recipients():
    with Host(policy=LOG, knobs={"data": "whole"}) as host:
        host.send(recipients=["one@example.com", "two@example.com"])
        host.wait_stderr("smtp_in_close")
    lines = notes(host)
    assert lines[:2] == ["initialize 0", "context_initialize number 0"]
    contexts = ["context_cleanup number 0"] * 2  # one never sees a connection
    first = host.knobs["shutdown"] == "contexts-first"
    assert lines[-3:] == (contexts + ["cleanup 0"] if first else ["cleanup 0"] + contexts)
    assert without_workers(lines) == [
        "smtp_in_connect connection 0", "smtp_in_mailfrom connection sender@example.org 0",
        "smtp_in_rcptto connection one@example.com 0", "smtp_in_rcptto connection two@example.com 0",
        "smtp_in_data connection bytes 0",
        "smtp_in_message connection one@example.com 0", "smtp_in_message connection two@example.com 0",
        "smtp_in_close connection 0"]


def test_context_events_once_per_worker():
    policy = """
    mq.on("context_initialize", function(worker) mq.log.info("<begin %d>", worker.number) end)
    mq.on("context_cleanup", function(worker) mq.log.info("<end %d>", worker.number) end)
    """
    with Host(policy=policy, workers=3) as host:
        pass
    lines = notes(host)
    count = len(lines) // 2
    assert count >= 3
    assert sorted(lines) == [f"begin {i + 1}" for i in range(count)] + [f"end {i + 1}" for i in range(count)]


def test_secure_and_authenticate():
    with Host(policy=LOG, knobs={"auth-by-symbol": "on", "password": "given"}) as host, host.client() as client:
        client.greet()
        client.expect("STARTTLS", 220)
        client.starttls()
        client.expect("EHLO client.example", 250)
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()) == 235
        host.wait_stderr("smtp_in_authenticate")
        assert without_workers(notes(host)) == ["smtp_in_connect connection 0", "smtp_in_secure connection 0",
                                                "smtp_in_authenticate connection joe secret 0"]


def test_authenticate_without_password():
    with Host(policy=LOG, knobs={"auth-by-symbol": "on", "password": "null"}) as host, host.client() as client:
        client.greet()
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()) == 235
        host.wait_stderr("smtp_in_authenticate connection joe nil 0")


def test_outgoing():
    with Sink() as sink, delivering(LOG, [{"recipient": "c@d.example"}], sink=sink) as host:
        host.results(1)
    assert without_workers(notes(host)) == ["smtp_out_data connection c@d.example 0",
                                            "smtp_out_sent connection c@d.example 0"]


ORDER = r"""
for i = 1, 4 do
  mq.on("smtp_in_rcptto", function(connection, address)
    if address.localpart == "sleep" then mq.sleep(0.002 * (5 - i)) end
    mq.log.info("<handler %d>", i)
    if i == 3 and address.localpart ~= "all" then return mq.done() end
  end)
end
"""


@pytest.mark.parametrize("recipient, count", [("all", 4), ("three", 3), ("sleep", 3)])
def test_order_until_a_verdict(recipient, count):
    with Host(policy=ORDER) as host:
        host.send(recipients=[f"{recipient}@example.com"])
    assert notes(host) == [f"handler {i + 1}" for i in range(count)]


def refused(policy):
    """What mqlua says about a policy that does not load."""
    host = Host(policy=policy, start=False)
    try:
        host.start()
    except AssertionError:
        pass
    with host:
        assert host.wait_end() != 0
        return host.stderr


@pytest.mark.parametrize("code, message", [
    ('mq.on("smtp_in_rcpto", print)', "policy.lua:2: there is no event 'smtp_in_rcpto' (did you mean 'smtp_in_rcptto'?)"),
    ('mq.on("smtp_in_rcptto", 5)', "policy.lua:2: the handler of smtp_in_rcptto must be a function, got number"),
    ('mq.on("smtp_in_rcptto")', "policy.lua:2: the handler of smtp_in_rcptto must be a function, got nothing"),
    ('mq.on("smtp_in_connect", print, {name = "x"}) mq.on("smtp_in_connect", print, {name = "x"})',
     "policy.lua:2: there is already a handler named 'x' for smtp_in_connect"),
    ('mq.on("smtp_in_connect", print, {tiemout = 1})', "mq.on has no option 'tiemout' (did you mean 'timeout'?)"),
    ('mq.on("smtp_in_data", print)', "{chunks = true}"),
    ('mq.on("smtp_in_message", print, {chunks = true})', "'chunks' is for smtp_in_data only"),
    ('mq.on("smtp_in_message", print, {on_error = mq.reject()})', "on_error: mq.reject cannot be returned from smtp_in_message"),
    ('mq.configure{on_error = {smtp_in_messsage = mq.done()}}', "did you mean 'smtp_in_message'?"),
    ('mq.configure{deadline = {incomming = 1}}', "did you mean 'incoming'?"),
    ('mq.configure{memory = 1}', "mq.configure has no option 'memory'"),
    ('mq.reject(250)', "must be a code from 500 to 599, got 250"),
    ('mq.reject(550, "4.7.1")', "must be an enhanced status code such as \"5.7.1\", got \"4.7.1\""),
])
def test_mistake_at_load(code, message):
    assert message in refused("\n" + code)


def test_handlers_are_registered_only_while_loading():
    policy = """
    mq.on("smtp_in_mailfrom", function()
      mq.log.info("<%s>", select(2, pcall(mq.on, "smtp_in_rcptto", print)))
    end)"""
    with Host(policy=policy) as host:
        host.send()
    assert notes(host) == ["mq.on is for loading only: call it at the top level of the policy"]


SLEEP_EVERYWHERE = r"""
for _, event in ipairs{"connect", "secure", "authenticate", "mailfrom", "rcptto", "data", "message", "close"} do
  mq.on("smtp_in_" .. event, function(connection)
    mq.sleep(0.002)
    pcall(mq.sleep, 0.001)
    mq.log.info("<%s>", event)
    if event == "authenticate" then return mq.accept() end
  end, {chunks = event == "data"})
end
for _, event in ipairs{"data", "sent"} do
  mq.on("smtp_out_" .. event, function()
    mq.sleep(0.01)
    mq.log.info("<out %s>", event)
  end)
end
"""


@pytest.mark.parametrize("hand_back", ["alternate", "inline", "deferred"])
def test_sleep_in_every_incoming_event(hand_back):
    knobs = {"auth-by-symbol": "on", "continue": hand_back, "data": "whole"}
    with Host(policy=SLEEP_EVERYWHERE, knobs=knobs) as host:
        with host.client() as client:
            client.greet()
            client.expect("STARTTLS", 220)
            client.starttls()
            client.expect("EHLO client.example", 250)
            assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0secret").decode()) == 235
            client.begin()
            client.send(MESSAGE + b".\r\n")
            assert client.code() == 250
            client.expect("QUIT", 221)
        host.wait_stderr("<close>")
        host.inbox(1)
    assert notes(host) == ["connect", "secure", "authenticate", "mailfrom", "rcptto", "data", "message", "close"]
    assert host.ledger()["pauses"] == host.ledger()["handbacks"] == 7


@pytest.mark.parametrize("hand_back", ["alternate", "inline", "deferred"])
def test_sleep_in_every_outgoing_event(hand_back):
    with Sink() as sink, delivering(SLEEP_EVERYWHERE, [{}] * 3, "--out-connections", "1", sink=sink,
                                    knobs={"continue": hand_back}) as host:
        assert [result["results"][-1]["result"] for result in host.results(3)] == ["accepted"] * 3
        host.wait_stderr("<out sent>", 3)
        assert notes(host).count("out data") == 3
