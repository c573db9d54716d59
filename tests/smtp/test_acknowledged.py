# SPDX-License-Identifier: MIT
"""A message that was acknowledged is published, whatever the client or an operator does afterwards."""

import signal
import socket
import struct
import time

import pytest

from mqlua import MESSAGE, Host, read_lines

READINGS = ["close-during-pause", "close-after-handback", "no-close"]
RECIPIENTS = ["one@example.com", "two@example.com"]

# Each handler waits, so that the end of the client comes while the first message is decided.
WAITING = '''
mq.on("smtp_in_connect", function(connection) connection.vars.messages = 0 end)
mq.on("smtp_in_message", function(connection, message)
    mq.sleep(0.2)
    message.json.data = { seen = true }
    connection.vars.messages = connection.vars.messages + 1
end)
mq.on("smtp_in_close", function(connection) mq.log.info("closed after " .. connection.vars.messages) end)
'''


def quit_and_leave(client):
    client.send("QUIT\r\n")
    client.close()


def leave(client):
    client.close()


def reset(client):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()


def half_close(client):
    client.half_close()


def next_mail(client):
    client.send("MAIL FROM:<next@example.org>\r\nRCPT TO:<next@example.com>\r\nDATA\r\n")
    client.close()


def start_again(client):
    client.send("RSET\r\nEHLO client.example\r\nSTARTTLS\r\n")
    client.close()


def close_notify(client):
    try:
        client.socket.settimeout(0.1)
        client.socket.unwrap()
    except OSError:
        pass  # the host does not answer before it is done
    client.close()


ENDS = [quit_and_leave, leave, reset, half_close, next_mail, start_again]


def acknowledged(client, recipients=RECIPIENTS):
    """Sends a message and takes its 250."""
    client.begin(recipients=recipients)
    client.send(MESSAGE + b".\r\n")
    assert client.code() == 250


def check(host, recipients=RECIPIENTS):
    """All is published, and the policy was asked about each of them."""
    messages = host.inbox(len(recipients))
    assert [message["recipient"] for message in messages] == recipients
    assert all(message["data"] == {"seen": True} for message in messages)
    if host.knobs["disconnect"] != "no-close":
        host.wait_stderr(f"closed after {len(recipients)}")
    assert host.stop() == 0, host.stderr
    assert len(read_lines(host.inbox_path)) == len(recipients)
    assert "lost" not in host.stderr
    ledger = host.ledger()
    assert ledger["pauses"] == ledger["handbacks"]


def knobs(disconnect, **more):
    return {"message-after-reply": "on", "disconnect": disconnect, "extract": "on", **more}


@pytest.mark.parametrize("disconnect", READINGS)
@pytest.mark.parametrize("end", ENDS)
def test_client_leaves(end, disconnect):
    with Host(policy=WAITING, knobs=knobs(disconnect)) as host:
        with host.client() as client:
            client.greet()
            acknowledged(client)
            end(client)
            check(host)


@pytest.mark.parametrize("disconnect", READINGS)
@pytest.mark.parametrize("end", [leave, reset])
def test_client_leaves_while_handlers_work(end, disconnect):
    """Nothing is paused, but all of it together is too much for one turn of the loop."""
    recipients = [f"{i}@example.com" for i in range(8)]
    policy = WAITING.replace("mq.sleep(0.2)", "local till = mq.monotonic() + 0.04 while mq.monotonic() < till do end")
    with Host(policy=policy, knobs=knobs(disconnect)) as host:
        with host.client() as client:
            client.greet()
            acknowledged(client, recipients)
            end(client)
        check(host, recipients)


@pytest.mark.parametrize("disconnect", READINGS)
@pytest.mark.parametrize("end", [close_notify, reset, quit_and_leave])
def test_client_leaves_tls(end, disconnect):
    with Host(policy=WAITING, knobs=knobs(disconnect), tls=True, listen=False) as host:
        with host.client(tls=True) as client:
            client.greet()
            acknowledged(client)
            end(client)
            check(host)


@pytest.mark.parametrize("disconnect", READINGS)
def test_client_is_silent_for_too_long(disconnect):
    with Host("--idle-timeout", 0.5, policy=WAITING, knobs=knobs(disconnect)) as host:
        with host.client() as client:
            client.greet()
            acknowledged(client)
            check(host)


@pytest.mark.parametrize("disconnect", READINGS)
@pytest.mark.parametrize("end", [None, leave, reset])
@pytest.mark.parametrize("close_on_exit", ["no", "yes"])
def test_operator_stops(end, disconnect, close_on_exit):
    more = {"close-on-exit": close_on_exit}
    with Host("--grace", 30, policy=WAITING, knobs=knobs(disconnect, **more)) as host:
        with host.client() as client:
            client.greet()
            acknowledged(client)
            host.process.send_signal(signal.SIGTERM)
            if end:
                end(client)
            assert host.wait_end() == 0, host.stderr
            assert [message["recipient"] for message in host.inbox()] == RECIPIENTS
            assert "lost" not in host.stderr


@pytest.mark.parametrize("disconnect", READINGS)
@pytest.mark.parametrize("end", [None, leave])
def test_what_the_grace_cuts_off_is_named(end, disconnect):
    policy = '''mq.on("smtp_in_message", function(connection, message)
        if message.recipient.localpart ~= "a" then mq.sleep(60) end
    end)'''
    with Host("--grace", 0.2, policy=policy, knobs=knobs(disconnect)) as host:
        recipients = ["a@example.com", "b@example.com", "c@example.com"]
        with host.client() as client:
            client.greet()
            client.begin(recipients=recipients)
            client.send(MESSAGE + b".\r\n")
            code, lines = client.reply()
            assert code == 250
            host.inbox(1)
            if end:
                end(client)
            assert host.stop() == 1
        assert [message["recipient"] for message in host.inbox()] == recipients[:1]
        for line in lines[2:]:
            name, address = line.split(" for ")
            host.wait_stderr(f"lost after it was acknowledged: message {name} from <sender@example.org> to <{address}>: ")
        assert host.stderr.count("lost after it was acknowledged") == 2


def test_what_cannot_be_stored_is_named():
    """The inbox is full: one recipient's loss does not end the others', who are local here."""
    policy = '''mq.on("smtp_in_rcptto", function(connection, address) address.is_local = address.localpart ~= "one" end)\n'''
    with Host("--inbox", "/dev/full", policy=policy, settings={"host": {"local_api": "address"}},
              knobs={"message-after-reply": "on", "local": "address"}) as host:
        with host.client() as client:
            client.greet()
            acknowledged(client)
        assert [message["recipient"] for message in host.local(1)] == ["two@example.com"]
        host.wait_stderr(r"lost after it was acknowledged: message \w+ from <sender@example.org> to <one@example.com>: No space")
        assert host.stop() == 1


def test_nothing_was_acknowledged():
    """The client that left without its 250 sends again: what is half done may go."""
    with Host(policy=WAITING, knobs={"message-after-reply": "off", "disconnect": "close-during-pause"}) as host:
        with host.client() as client:
            client.greet()
            client.begin(recipients=RECIPIENTS)
            client.send(MESSAGE + b".\r\n")
        host.wait_stderr("closed after [01]")
        assert host.stop() == 0
        assert len(host.inbox()) < 2 and "lost" not in host.stderr


@pytest.mark.parametrize("disconnect", READINGS)
@pytest.mark.parametrize("close_on_exit", ["no", "yes"])
@pytest.mark.parametrize("end", [leave, reset])
def test_one_leaves_while_the_host_stops(end, close_on_exit, disconnect):
    """The plugin has to hear of it: else it hands back a connection that is gone."""
    policy = 'mq.on("smtp_in_mailfrom", function() mq.log.info("parked") mq.sleep(0.5) end)\n'
    with Host("--grace", 20, policy=policy, knobs={"close-on-exit": close_on_exit, "disconnect": disconnect}) as host:
        with host.client() as one, host.client() as two:
            for client in (one, two):
                client.greet()
                client.send("MAIL FROM:<sender@example.org>\r\n")
            host.wait_stderr("parked", 2)
            host.process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            end(one)
            assert two.code() == 250
            assert host.wait_end() == 0, host.stderr
        ledger = host.ledger()
        assert ledger["left"] == 0 and ledger["pauses"] == 2
