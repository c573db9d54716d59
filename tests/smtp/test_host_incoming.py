# SPDX-License-Identifier: MIT
"""The stand-in host as an SMTP server, without mailerq-lua: with no plugin and with small C plugins."""

import base64
import os
import socket
import struct
import subprocess

import pytest

from mqlua import MESSAGE, PROGRAM, TIMEOUT, Client, Host


@pytest.fixture(scope="module")
def plain():
    """A host without plugins that many tests share."""
    with Host(plugins=[], tls=True, knobs={"json": "full"}) as host:
        yield host


def encoded(text):
    return base64.b64encode(text.encode()).decode()


# ---- messages ----

def test_one_line_for_each_recipient(plain):
    before = len(plain.inbox())
    with plain.client() as client:
        client.greet()
        client.begin("sender@example.org", ["one@example.com", "two@example.com"])
        client.send(MESSAGE + b".\r\n")
        code, lines = client.reply()
    assert code == 250
    assert lines[0] == "Ok, your message has been queued using the following identifiers:"
    first, second = plain.inbox(before + 2)[before:]
    assert [first["recipient"], second["recipient"]] == ["one@example.com", "two@example.com"]
    assert lines[1:] == [f"{m['message-id']} for {m['recipient']}" for m in (first, second)]
    assert first["message-id"] != second["message-id"]
    assert first["envelope"] == "sender@example.org"
    assert first["mime"] == MESSAGE.decode()
    assert first["connection"]["remote-ip"] == "127.0.0.1"
    assert first["connection"]["local-port"] == plain.port
    assert first["connection"]["secure"] is False


def test_dots_are_unstuffed(plain):
    before = len(plain.inbox())
    plain.send(message=b"Subject: dots\r\n\r\n.\r\n..two\r\n.one\r\n")
    assert plain.inbox(before + 1)[before]["mime"] == "Subject: dots\r\n\r\n.\r\n..two\r\n.one\r\n"


def test_eight_bit_and_utf8_addresses(plain):
    before = len(plain.inbox())
    with plain.client() as client:
        client.greet()
        client.send("MAIL FROM:<sänder@example.org> SMTPUTF8 BODY=8BITMIME\r\n".encode())
        assert client.code() == 250
        client.send("RCPT TO:<empfänger@example.com>\r\n".encode())
        assert client.code() == 250
        client.expect("DATA", 354)
        client.send("Subject: grün\r\n\r\nblau\r\n.\r\n".encode())
        assert client.code() == 250
    message = plain.inbox(before + 1)[before]
    assert message["envelope"] == "sänder@example.org"
    assert message["recipient"] == "empfänger@example.com"
    assert "grün" in message["mime"]


def test_null_sender(plain):
    before = len(plain.inbox())
    plain.send(sender="")
    assert not plain.inbox(before + 1)[before].get("envelope")


def test_large_message(plain):
    before = len(plain.inbox())
    body = b"Subject: large\r\n\r\n" + (b"x" * 998 + b"\r\n") * 5000
    plain.send(message=body)
    assert plain.inbox(before + 1)[before]["mime"] == body.decode()


def test_several_messages_in_one_session(plain):
    before = len(plain.inbox())
    with plain.smtp() as smtp:
        for number in range(5):
            smtp.sendmail("sender@example.org", [f"r{number}@example.com"], MESSAGE)
    assert [m["recipient"] for m in plain.inbox(before + 5)[before:]] == [f"r{n}@example.com" for n in range(5)]


def test_pipelining(plain):
    before = len(plain.inbox())
    with plain.client() as client:
        client.greet()
        client.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nRCPT TO:<broken\r\nDATA\r\n")
        assert [client.code() for _ in range(4)] == [250, 250, 501, 354]
        client.send(MESSAGE + b".\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        assert [client.code() for _ in range(4)] == [250, 250, 250, 221]
        assert client.at_end()
    assert len(plain.inbox(before + 1)) == before + 1


def test_message_byte_by_byte(plain):
    before = len(plain.inbox())
    with plain.client() as client:
        client.greet()
        client.begin()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for position in range(len(MESSAGE)):
            client.send(MESSAGE[position:position + 1])
        for byte in (b".", b"\r", b"\n"):
            client.send(byte)
        assert client.code() == 250
    assert plain.inbox(before + 1)[before]["mime"] == MESSAGE.decode()


# ---- commands ----

def test_ehlo_offers(plain):
    with plain.client() as client:
        lines = client.greet()
    assert {"PIPELINING", "STARTTLS", "8BITMIME", "SMTPUTF8"} <= set(lines)
    assert any(line.startswith("SIZE ") for line in lines)
    assert not any(line.startswith("AUTH") for line in lines), "no plugin handles AUTH"


def test_order_of_commands(plain):
    with plain.client() as client:
        assert client.code() == 220
        client.expect("MAIL FROM:<a@example.org>", 503)
        client.expect("HELO client.example", 250)
        client.expect("RCPT TO:<b@example.com>", 503)
        client.expect("DATA", 503)
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("MAIL FROM:<a@example.org>", 503)
        client.expect("DATA", 554)
        client.expect("RSET", 250)
        client.expect("RCPT TO:<b@example.com>", 503)
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("EHLO client.example", 250)
        client.expect("RCPT TO:<b@example.com>", 503)
        client.expect("VRFY someone", 252)
        client.expect("HELP", 214)
        client.expect("NOOP", 250)
        client.expect("AUTH PLAIN", 502)
        client.expect("NONSENSE", 500)
        client.expect("BDAT 5 LAST", 502)
        client.expect("MAIL FROM:<a@example.org> FOO=1", 555)
        client.expect("MAIL FROM:a@example.org> x", 501)
        client.expect("QUIT", 221)
        assert client.at_end()


def test_too_many_errors(plain):
    with plain.client() as client:
        client.greet()
        client.send("NONSENSE\r\n" * 60)
        codes = []
        while (code := client.code()):
            codes.append(code)
    assert codes[-1] == 421 and set(codes[:-1]) == {500}


# ---- limits ----

def test_limits():
    with Host("--max-size", 2000, "--max-recipients", 2, "--idle-timeout", 1, plugins=[]) as host:
        with host.client() as client:
            assert "SIZE 2000" in client.greet()
            client.expect("MAIL FROM:<a@example.org> SIZE=2001", 552)
            client.begin("a@example.org", ["b@example.com"])
            client.send(b"Subject: big\r\n\r\n" + b"0123456789abcdef\r\n" * 200 + b".\r\n")
            assert client.code() == 552
            client.expect("MAIL FROM:<a@example.org>", 250)
            client.expect("RCPT TO:<b@example.com>", 250)
            client.expect("RCPT TO:<c@example.com>", 250)
            client.expect("RCPT TO:<d@example.com>", 452)
            client.send("NOOP " + "x" * 5000 + "\r\nNOOP\r\n")
            assert [client.code(), client.code()] == [500, 250]
            assert client.code() == 421, "silence ends the session"
            assert client.at_end()
        assert host.inbox() == []


def test_line_without_end_is_not_kept(plain):
    with plain.client() as client:
        client.greet()
        client.send("x" * 300000)
        client.send("\r\nNOOP\r\n")
        assert [client.code(), client.code()] == [500, 250]


# ---- smuggling ----

@pytest.mark.parametrize("end", ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\n\r.\r\n"])
def test_other_ends_of_data_are_data(plain, end):
    before = len(plain.inbox())
    with plain.client() as client:
        client.greet()
        client.begin()
        client.send("Subject: one\r\n\r\nText" + end + "MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.com>\r\n"
                    "DATA\r\nSubject: two\r\n\r\nsmuggled\r\n.\r\n")
        assert client.code() == 550, "refused because of its bare CR or LF"
        client.expect("NOOP", 250)
    assert len(plain.inbox()) == before


def test_bare_line_feed_in_a_command_ends_the_session(plain):
    with plain.client() as client:
        client.greet()
        client.send("NOOP\nNOOP\r\n")
        assert client.code() == 521
        assert client.at_end()


def test_bare_carriage_return_in_a_command(plain):
    with plain.client() as client:
        client.greet()
        client.send("NOOP\rNOOP\r\n")
        assert client.code() == 500
        client.expect("NOOP", 250)


# ---- TLS ----

def test_starttls(plain):
    before = len(plain.inbox())
    with plain.smtp() as smtp:
        smtp.starttls()
        smtp.ehlo()
        assert not smtp.has_extn("starttls")
        smtp.sendmail("sender@example.org", ["one@example.com"], MESSAGE)
    assert plain.inbox(before + 1)[before]["connection"]["secure"] is True


def test_starttls_forgets_what_was_said_before(plain):
    with plain.client() as client:
        client.greet()
        client.send("STARTTLS\r\nNOOP\r\n")  # the second command must not be run inside TLS
        assert client.code() == 220
        assert client.buffer == b""
        client.starttls()
        client.expect("MAIL FROM:<a@example.org>", 503)
        client.expect("EHLO client.example", 250)
        client.expect("STARTTLS", 503)


def test_implicit_tls(plain):
    before = len(plain.inbox())
    with plain.client(tls=True) as client:
        client.greet()
        client.begin()
        client.send(MESSAGE * 2000 + b".\r\n")
        assert client.code() == 250
        client.expect("QUIT", 221)
        assert client.at_end()
    assert plain.inbox(before + 1)[before]["connection"]["secure"] is True


def test_failed_handshake(plain):
    with Client(plain.tls_port) as client:
        client.send("EHLO this is not TLS\r\n")
        try:
            while client.socket.recv(4096):
                pass
        except ConnectionResetError:
            pass
    plain.send()


# ---- PROXY ----

def proxy_v2(source, source_port, destination, destination_port):
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    return (b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x11]) + struct.pack("!H", 12) + addresses
            + struct.pack("!HH", source_port, destination_port))


@pytest.mark.parametrize("header", [
    b"PROXY TCP4 192.0.2.7 192.0.2.8 4567 25\r\n",
    proxy_v2("192.0.2.7", 4567, "192.0.2.8", 25),
])
@pytest.mark.parametrize("tls", [False, True])
def test_proxy_header(header, tls):
    with Host("--proxy-from", "10.0.0.0/8,127.0.0.1", plugins=["count"], tls=True, knobs={"json": "full"}) as host:
        with Client(host.tls_port if tls else host.port) as client:
            client.send(header)
            if tls:
                client.starttls()
            client.greet()
            client.begin()
            client.send(MESSAGE + b".\r\n")
            assert client.code() == 250
        connection = host.inbox(1)[0]["connection"]
    assert connection["remote-ip"] == "192.0.2.7" and connection["remote-port"] == 4567
    assert connection["local-ip"] == "192.0.2.8" and connection["local-port"] == 25


def test_missing_proxy_header():
    with Host("--proxy-from", "127.0.0.0/8", plugins=["pause"]) as host, host.client() as client:
        client.send("EHLO client.example\r\n")
        assert client.at_end()


# ---- AUTH ----

@pytest.fixture(scope="module")
def accounts():
    """A host whose plugin lets user/password in."""
    with Host(plugins=["pause"], knobs={"timers": "exact", "password": "given"}) as host:
        yield host


def test_auth_plain(accounts):
    with accounts.client() as client:
        assert "AUTH PLAIN LOGIN" in client.greet()
        client.expect("AUTH PLAIN " + encoded("\0user\0password"), 235)
        client.expect("AUTH PLAIN " + encoded("\0user\0password"), 503)


def test_auth_plain_in_two_steps(accounts):
    with accounts.client() as client:
        client.greet()
        client.expect("AUTH PLAIN", 334)
        client.expect(encoded("\0user\0wrong"), 535)
        client.expect("AUTH PLAIN", 334)
        client.expect(encoded("\0user\0password"), 235)


def test_auth_login(accounts):
    with accounts.client() as client:
        client.greet()
        assert client.expect("AUTH LOGIN", 334) == ["VXNlcm5hbWU6"]
        assert client.expect(encoded("user"), 334) == ["UGFzc3dvcmQ6"]
        client.expect(encoded("password"), 235)


def test_auth_login_with_initial_response(accounts):
    with accounts.client() as client:
        client.greet()
        client.expect("AUTH LOGIN " + encoded("user"), 334)
        client.expect(encoded("password"), 235)


def test_auth_misuse(accounts):
    with accounts.client() as client:
        client.greet()
        client.expect("AUTH CRAM-MD5", 504)
        client.expect("AUTH PLAIN", 334)
        client.expect("*", 501)
        client.expect("AUTH PLAIN !!!!", 501)
        client.expect("AUTH PLAIN " + encoded("nothing"), 501)
        client.expect("AUTH PLAIN =", 501)
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("AUTH PLAIN", 503)


@pytest.mark.parametrize("own", ["before", "after"])
def test_own_account(own):
    with Host("--auth", "me:secret", plugins=["count"], knobs={"own-auth": own, "json": "full"}, listen=False,
              tls=True) as host, \
            host.client(tls=True) as client:
        client.greet()
        client.expect("AUTH PLAIN " + encoded("\0me\0wrong"), 535)
        client.expect("AUTH PLAIN " + encoded("\0me\0secret"), 235)
        client.begin()
        client.send(MESSAGE + b".\r\n")
        assert client.code() == 250
        assert host.inbox(1)[0]["connection"]["user"] == "me"


def test_auth_is_required_when_a_plugin_handles_it():
    with Host(plugins=["pause"], knobs={"auth-by-symbol": "on", "password": "given"}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<one@example.com>", 530)
        client.expect("RCPT TO:<local@example.com>", 250)
        client.expect("RSET", 250)
        client.expect("AUTH PLAIN " + encoded("\0user\0password"), 235)
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<one@example.com>", 250)


# ---- pauses ----

@pytest.mark.parametrize("mode", ["alternate", "inline", "deferred"])
def test_every_event_paused(mode):
    with Host(plugins=["pause"], knobs={"continue": mode, "data": "chunks:20", "data-unstuffed": "off"}, tls=True) as host:
        with host.client() as client:
            client.send("EHLO client.example\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<one@example.com>\r\n"
                        "RCPT TO:<local@example.com>\r\nDATA\r\n")
            assert [client.code() for _ in range(6)] == [220, 250, 250, 250, 250, 354]
            client.send(MESSAGE + b".\r\nSTARTTLS\r\n")
            assert [client.code(), client.code()] == [250, 220]
            client.starttls()
            client.expect("EHLO client.example", 250)
            client.expect("QUIT", 221)
            assert client.at_end()
        assert [m["recipient"] for m in host.inbox(1)] == ["one@example.com"]
        assert [m["recipient"] for m in host.local(1)] == ["local@example.com"]
        assert host.stop() == 0
        ledger = host.ledger()
        pieces = -(-len(MESSAGE) // 20)
        assert f"connect=1 secure=1 authenticate=0 mailfrom=1 rcptto=2 data={pieces} message=2 close=1" in host.stderr
        assert ledger["pauses"] == ledger["handbacks"] == 7 + pieces


@pytest.mark.parametrize("data, calls", [("whole", 1), ("at-command", 1), ("chunks:1", len(MESSAGE) + 1)])
def test_data_event(data, calls):
    with Host(plugins=["pause"], knobs={"data": data, "data-unstuffed": "off", "timers": "exact"}) as host:
        host.send(message=MESSAGE.replace(b"Text", b".ext"))  # one byte more: the dot is stuffed
        host.inbox(1)
        assert host.stop() == 0
        assert f" data={calls} " in host.stderr


def test_many_clients_at_once():
    with Host(plugins=["pause"], knobs={"data": "whole"}, workers=3) as host:
        clients = [host.client() for _ in range(60)]
        for client in clients:
            client.send("EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<one@example.com>\r\nDATA\r\n")
        for client in clients:
            assert [client.code() for _ in range(5)] == [220, 250, 250, 250, 354]
            client.send(MESSAGE + b".\r\nQUIT\r\n")
        for client in clients:
            assert [client.code(), client.code()] == [250, 221]
            client.close()
        assert len(host.inbox(60)) == 60
        assert host.stop() == 0
        assert host.ledger()["pauses"] == 60 * 5


def test_clients_that_leave_at_any_time():
    with Host(plugins=["pause"], workers=2) as host:
        text = (b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<one@example.com>\r\nDATA\r\n" + MESSAGE
                + b".\r\nQUIT\r\n")
        for size in range(0, len(text), 3):
            with host.client() as client:
                client.send(text[:size])
        host.send()
        assert host.stop() == 0
        assert host.ledger()["pauses"] > 0


# ---- replies of plugins ----

def test_reply_after_send_always():
    with Host(plugins=["answer"], knobs={"reply-after-send": "always"}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<no@example.com>", 550)
        assert client.code() == 250, "the host adds its own reply"


def test_reply_after_send_suppress():
    with Host(plugins=["answer"], knobs={"reply-after-send": "suppress"}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<no@example.com>", 550)
        client.expect("DATA", 554)
        assert client.expect("RCPT TO:<own@example.com>", 250) == ["2.1.5 Mine"]
        client.expect("DATA", 354)
        client.send(MESSAGE + b".\r\n")
        assert client.code() == 250
        assert [m["recipient"] for m in host.inbox(1)] == ["own@example.com"]


def test_reply_after_send_close():
    with Host(plugins=["answer"], knobs={"reply-after-send": "close"}) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<>", 421)
        assert client.at_end()


# ---- files, start and end ----

def test_full_disk_is_not_acknowledged():
    with Host(plugins=[], knobs={"message-after-reply": "off"}, start=False) as host:
        host.command[host.command.index("--inbox") + 1] = "/dev/full"
        host.start()
        with host.client() as client:
            client.greet()
            client.begin()
            client.send(MESSAGE + b".\r\n")
            assert client.code() == 451
            client.expect("NOOP", 250)


def test_sessions_are_told_at_the_end():
    with Host(plugins=[]) as host, host.client() as client:
        client.greet()
        assert host.stop() == 0
        assert client.code() == 421
        assert client.at_end()


@pytest.mark.parametrize("knobs", [
    {"fork": "off"}, {"fork": "before-init"}, {"init": "after-all"}, {"ctx-init": "main"},
    {"shutdown": "cleanup-first"}, {"close-on-exit": "yes"}, {"banner": "before"}, {"strict": "off"},
    {"blocking": "off"}, {"secure-event-on-implicit": "yes"}, {"recipient": "string"}, {"local": "message"},
    {"json": "minimal"}, {"message-after-reply": "on"}, {"brackets": "on"}, {"flag-values": "libev"},
    {"data-unstuffed": "on"}, {"extract": "off"}, {"password": "null"}, {"data-in-loop": "ok"},
    {"sync-continue": "allow"}, {"proxy": "before"}, {"auth-outside": "honour"},
])
def test_knobs_do_not_disturb_a_message(knobs):
    with Host(plugins=["count"], knobs=knobs, tls=True) as host:
        host.send()
        assert host.inbox(1)[0]["recipient"] == "one@example.com"


@pytest.mark.parametrize("knobs, program", [
    ({"api": "5.0"}, "mqlua-nolog"), ({"api": "4.1"}, "mqlua-4.1"), ({"api": "4.0"}, "mqlua-4.0"),
    ({"api": "3.0"}, "mqlua-3.0"), ({"spelling": "pascal"}, "mqlua-pascal"), ({"spelling": "both"}, "mqlua-both"),
    ({"json-export": "no"}, "mqlua-hidden"), ({"decoys": "on"}, "mqlua-decoys"),
])
def test_variants_of_the_program(knobs, program):
    with Host(plugins=["count"], knobs={**knobs, "fork": "off"}) as host:
        assert os.path.basename(os.readlink(f"/proc/{host.process.pid}/exe")) == program
        host.send()
        assert host.inbox(1)[0]["recipient"] == "one@example.com"


def test_exported_names():
    def names(program):
        output = subprocess.run(["nm", "-D", "--defined-only", str(PROGRAM.parent / program)], check=True,
                                capture_output=True, text=True).stdout
        return {line.split()[2] for line in output.splitlines() if line.split()[2].startswith("MQ_")}

    assert len(names("mqlua")) == 29
    assert names("mqlua") - names("mqlua-nolog") == {"MQ_log"}
    assert "MQ_Json" in names("mqlua-4.0") and "MQ_json" not in names("mqlua-4.0")
    assert len(names("mqlua-3.0")) == 25 and "MQ_SmtpSend" in names("mqlua-3.0")
    assert names("mqlua-both") == names("mqlua") | names("mqlua-pascal")


@pytest.mark.parametrize("arguments, message", [
    (["--knob", "nonsense=1"], "unknown knob 'nonsense' (there are api, spelling"),
    (["--knob", "continue=never"], "knob continue: unknown value 'never' (expected alternate, inline, deferred)"),
    (["--knob", "data=chunks:0"], "expected chunks:BYTES"),
    (["--knob", "continue"], "NAME=VALUE"),
    (["--listen", "nonsense"], "expected ADDR:PORT"),
    (["--workers", "0"], "expected a whole number from 1"),
    (["--policy", "/nonexistent/policy.lua", "--listen", "127.0.0.1:0"], "/nonexistent/policy.lua"),
    (["--plugin", "/nonexistent", "--listen", "127.0.0.1:0"], "/nonexistent"),
    (["--outbox", "x", "--listen", "127.0.0.1:0"], "--smarthost"),
    (["--nonsense"], "unknown option '--nonsense'"),
    (["extra"], "unexpected argument 'extra'"),
    ([], "nothing to do"),
])
def test_wrong_use(arguments, message):
    done = subprocess.run([str(PROGRAM), "run", *arguments], capture_output=True, text=True, timeout=TIMEOUT,
                          check=False)
    assert done.returncode != 0
    assert message in done.stderr


def test_port_in_use():
    with Host(plugins=[], workers=2) as host:
        done = subprocess.run([str(PROGRAM), "run", "--plugin", str(host.folder / "no-plugins"), "--workers", "2",
                               "--listen", f"127.0.0.1:{host.port}"],
                              capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 1
        assert "Address already in use" in done.stderr


def test_log_lines():
    with Host(plugins=["pause"]) as host:
        host.stop()
        assert len([line for line in host.stderr.splitlines() if line.startswith("[Warning]  [20")]) == 2, \
            "one worker, and the context that never sees a connection"
        assert "] [plugin] connect=0 " in host.stderr
