# SPDX-License-Identifier: MIT
"""The stand-in against clients that break the rules, on purpose or not."""

import base64
import contextlib
import json
import os
import random
import re
import resource
import socket
import struct
import threading
import time

import pytest

from mqlua import BUILD, MESSAGE, Client, Host, read_lines, wait_until
from sink import Sink

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = socket.inet_aton("192.0.2.7") + socket.inet_aton("192.0.2.8") + struct.pack("!HH", 4567, 25)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def plain():
    with Host("--max-size", 1000, plugins=[], tls=True) as host:
        yield host


@pytest.fixture(scope="module")
def accounts():
    """A host whose plugin lets user/password in, and wants logins."""
    with Host(plugins=["pause"], knobs={"timers": "exact", "auth-by-symbol": "on", "password": "given"}, tls=True) as host:
        yield host


@pytest.fixture(scope="module")
def proxied():
    with Host("--proxy-from", "127.0.0.0/8", plugins=["count"], knobs={"json": "full"}, tls=True) as host:
        yield host


@pytest.fixture(scope="module")
def impatient():
    with Host("--idle-timeout", 1, "--proxy-from", "127.0.0.2", plugins=["pause"], tls=True) as host:
        yield host


def rest(client):
    """What the server still says before it closes, or resets because of what it did not read."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := client.socket.recv(65536):
            said += data
    return said


# ---- PROXY ----

def v2(command, family, content):
    return SIGNATURE + bytes([command, family]) + struct.pack("!H", len(content)) + content


BAD_HEADERS = {
    "smtp": b"EHLO client.example\r\n",
    "lower-case": b"proxy TCP4 192.0.2.7 192.0.2.8 4567 25\r\n",
    "short-line": b"PROXY TCP4 192.0.2.7 192.0.2.8 4567\r\n",
    "word-too-many": b"PROXY TCP4 192.0.2.7 192.0.2.8 4567 25 1\r\n",
    "two-blanks": b"PROXY TCP4  192.0.2.7 192.0.2.8 4567 25\r\n",
    "family": b"PROXY TCP4 2001:db8::1 2001:db8::2 4567 25\r\n",
    "address": b"PROXY TCP4 192.0.2.256 192.0.2.8 4567 25\r\n",
    "port": b"PROXY TCP4 192.0.2.7 192.0.2.8 65536 25\r\n",
    "minus": b"PROXY TCP4 192.0.2.7 192.0.2.8 -1 25\r\n",
    "bare-lf": b"PROXY TCP4 192.0.2.7 192.0.2.8 4567 25\n",
    "nul": b"PROXY TCP4 192.0.2.7\0 192.0.2.8 4567 25\r\n",
    "endless": b"PROXY UNKNOWN " + b"x" * 200,
    "version-1": v2(0x11, 0x11, IPV4),
    "command": v2(0x22, 0x11, IPV4),
    "v2-family": v2(0x21, 0x41, IPV4),
    "protocol": v2(0x21, 0x13, IPV4),
    "v2-short": v2(0x21, 0x11, IPV4[:11]),
    "v6-short": v2(0x21, 0x21, IPV4),
    "v2-huge": SIGNATURE + b"\x21\x11\xff\xff" + IPV4,
    "signature": SIGNATURE[:-1] + b"X",
}


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_malformed_proxy_header(proxied, name):
    """Nothing is said, nothing is taken as SMTP, and no event is run."""
    with proxied.client() as client:
        client.send(BAD_HEADERS[name] + b"EHLO client.example\r\n")
        assert rest(client) == b""


HEADERS = {"v1": b"PROXY TCP4 192.0.2.7 192.0.2.8 4567 25\r\n", "v2": v2(0x21, 0x11, IPV4),
           "v2-extensions": v2(0x21, 0x11, IPV4 + b"\x04\0\x80" + b"\0" * 128)}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_proxy_header_in_pieces(proxied, name, tls):
    before = len(proxied.inbox())
    with Client(proxied.tls_port if tls else proxied.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in HEADERS[name]:
            client.send(bytes([byte]))
        if tls:
            client.starttls()
        client.greet()
        client.begin()
        client.send(MESSAGE + b".\r\n")
        assert client.code() == 250
    connection = proxied.inbox(before + 1)[-1]["connection"]
    assert (connection["remote-ip"], connection["local-port"]) == ("192.0.2.7", 25)


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_proxy_header_that_ends_early(proxied, name):
    with proxied.client() as client:
        client.send(HEADERS[name][:-1])
        client.half_close()
        assert client.at_end()


# ---- silence ----

def test_silence(impatient):
    """Each of these ends after a second, with 421 where something can be said."""
    def beginning(*commands, tls=False):
        client = impatient.client(tls)
        client.greet()
        for command, code in commands:
            client.expect(command, code)
        return client

    def bare(port, data=b""):
        client = Client(port)
        client.send(data)
        return client

    spoken = [
        beginning(),
        beginning(tls=True),
        beginning(("AUTH LOGIN", 334)),
        beginning(("MAIL FROM:<a@example.org>", 250), ("RCPT TO:<b@example.com>", 250), ("DATA", 354)),
    ]
    spoken[0].send("NOO")
    spoken[3].send(MESSAGE)
    proxy = socket.socket()
    proxy.bind(("127.0.0.2", 0))
    proxy.connect(("127.0.0.1", impatient.port))
    proxy.sendall(HEADERS["v1"][:20])
    mute = [beginning(("STARTTLS", 220)), bare(impatient.tls_port), bare(impatient.tls_port, b"\x16\x03\x01")]
    for client in spoken:
        assert client.code() == 421
        assert client.at_end()
        client.close()
    for client in mute:
        rest(client)
        client.close()
    assert proxy.recv(1) == b""
    proxy.close()
    assert impatient.inbox() == []


# ---- lines ----

@pytest.mark.parametrize("size", [3000, 300000])
def test_long_line_with_a_bare_line_feed(plain, size):
    """It must not count as the end of a line only because the line is too long anyway."""
    with plain.client() as client:
        client.greet()
        client.send(b"NOOP " + b"x" * size + b"\nNOOP\r\n")
        assert client.code() == 521
        assert client.at_end()


def test_long_line_whose_end_comes_apart(plain):
    with plain.client() as client:
        client.greet()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.send(b"NOOP " + b"x" * 100000 + b"\r")
        client.expect("\nNOOP", 500)
        assert client.code() == 250


@pytest.mark.parametrize("line", [b"NO\0OP", b"NOOP \xff", b"NOOP \xc0\xaf", b"NOOP \x7f", b"NOOP \x1b[31m"])
def test_bytes_that_are_not_text(plain, line):
    with plain.client() as client:
        client.greet()
        client.send(line + b"\r\n")
        assert client.code() == 500
        client.expect("NOOP", 250)


def test_wide_recipient_needs_smtputf8(plain):
    with plain.client() as client:
        client.greet()
        wide = "RCPT TO:<empf\u00e4nger@example.com>\r\n".encode()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.send(wide)
        assert client.code() == 553
        client.expect("RSET", 250)
        client.expect("MAIL FROM:<a@example.org> SMTPUTF8", 250)
        client.send(wide)
        assert client.code() == 250


def test_client_that_reads_no_replies(plain):
    """Commands wait once 64 KB of replies are queued; none is lost."""
    number = 2000000
    with plain.client() as client:
        client.greet()
        sender = threading.Thread(target=client.send, args=(b"NOOP\r\n" * number + b"QUIT\r\n",))
        sender.start()
        sender.join(1)
        replies = bytearray()
        while data := client.socket.recv(1 << 20):
            replies += data
        sender.join()
    assert replies.count(b"250 2.0.0 Ok\r\n") == number and replies.count(b"221 ") == 1
    pid = plain.process.pid
    pids = [pid, *map(int, re.findall(r"\d+", open(f"/proc/{pid}/task/{pid}/children").read()))]
    peaks = [int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) for pid in pids]
    assert max(peaks) < 24 * 1024 or BUILD.name == "asan", peaks


# ---- size ----

def mail_of(size):
    head = b"Subject: x\r\n\r\n"
    return head + b"y" * (size - len(head) - 2) + b"\r\n"


def test_size_limit_is_exact(plain):
    before = len(plain.inbox())
    with plain.client() as client:
        client.greet()
        for size, code in ((1000, 250), (1001, 552), (5000, 552), (1000, 250)):
            client.begin()
            client.send(mail_of(size) + b".\r\n")
            assert client.code() == code, size
        client.begin()
        client.send(b"Subject: dots\r\n\r\n" + b"..\r\n" * 327 + b".\r\n")
        assert client.code() == 250, "stuffed dots do not count"
    assert [len(one["mime"]) for one in plain.inbox(before + 3)[before:]] == [1000, 1000, 17 + 3 * 327]


@pytest.mark.parametrize("parameter, code", [("SIZE=1000", 250), ("SIZE=1001", 552), ("SIZE=0", 250), ("SIZE=", 501), ("SIZE", 501),
                                             ("SIZE=-1", 501), ("SIZE=1x", 501), ("SIZE=18446744073709551616", 501),
                                             ("SIZE=9999999999999999999", 552), ("SIZE=1 SIZE=2", 501),
                                             ("BODY=BINARYMIME", 501), ("SMTPUTF8=1", 501)])
def test_parameters(plain, parameter, code):
    with plain.client() as client:
        client.greet()
        client.expect(f"MAIL FROM:<a@example.org> {parameter}", code)
        client.expect("NOOP", 250)


# ---- STARTTLS ----

def test_starttls_takes_no_argument(plain):
    with plain.client() as client:
        client.greet()
        client.expect("STARTTLS now", 501)
        client.expect("NOOP", 250)


def test_starttls_ends_the_transaction(plain):
    with plain.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("STARTTLS", 220)
        client.starttls()
        client.expect("EHLO client.example", 250)
        client.expect("RCPT TO:<b@example.com>", 503)


def test_plain_text_behind_starttls(plain):
    """In a piece of its own it is no handshake: the connection ends, nothing of it is run."""
    before = len(plain.inbox())
    with plain.client() as client:
        client.greet()
        client.expect("STARTTLS", 220)
        with contextlib.suppress(ConnectionError):
            client.send(b"EHLO x\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n" + MESSAGE + b".\r\n")
        said = rest(client)
    assert not re.search(rb"^[2-5]\d\d[ -]", said, re.MULTILINE), said
    assert len(plain.inbox()) == before


def test_starttls_forgets_the_login(accounts):
    with accounts.client() as client:
        client.greet()
        client.expect("AUTH PLAIN " + encoded("\0user\0password"), 235)
        client.expect("STARTTLS", 220)
        client.starttls()
        client.expect("EHLO client.example", 250)
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<one@example.com>", 530)
        client.expect("RSET", 250)
        client.expect("AUTH PLAIN " + encoded("\0user\0password"), 235)
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<one@example.com>", 250)


# ---- AUTH ----

@pytest.mark.parametrize("steps", [["AUTH LOGIN"], ["AUTH LOGIN", encoded("user")], ["AUTH LOGIN " + encoded("user")],
                                   ["AUTH PLAIN"]], ids=len)
@pytest.mark.parametrize("answer, code", [("*", 501), ("!", 501), ("x" * 20000, 500), ("", None), ("QUIT", None)],
                         ids=["cancel", "no-base64", "long", "empty", "command"])
def test_auth_given_up(accounts, steps, answer, code):
    """Whatever is wrong with it, the next line is a command again, and nobody is logged in."""
    with accounts.client() as client:
        client.greet()
        for step in steps:
            client.expect(step, 334)
        got = client.command(answer)
        assert got == code or code is None and got in (501, 535, 334)
        if got == 334:
            client.expect("*", 501)
        client.expect("NOOP", 250)
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect("RCPT TO:<one@example.com>", 530)


def test_auth_guessing_ends(accounts):
    with accounts.client() as client:
        client.greet()
        codes = [client.command("AUTH PLAIN " + encoded(f"\0user\0{n}")) for n in range(10)]
        assert codes == [535] * 10
        assert client.code() == 421
        assert client.at_end()


# ---- what goes out ----

@pytest.mark.parametrize("end", ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n", "\n.\r", "\n\r.\r\n"])
def test_nothing_is_smuggled_out(tmp_path, end):
    """Mail with such an end of data in it is not sent at all."""
    outbox, results = tmp_path / "outbox", tmp_path / "results"
    mime = "Subject: one\r\n\r\nText" + end + "MAIL FROM:<evil@example.org>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n\r\n"
    outbox.write_text(json.dumps({"recipient": "to@example.com", "mime": mime}) + "\n")
    with Sink() as sink, Host("--outbox", outbox, "--results", results, "--smarthost", sink.target, plugins=[], listen=False):
        [result] = wait_until(lambda: read_lines(results), "the result")
    assert result["results"][-1]["result"] == "invalid"
    assert sink.messages == []


@pytest.mark.parametrize("name", ["envelope", "recipient"])
@pytest.mark.parametrize("address", ["a@b.example>\r\nRSET", "a@b.example> SIZE=1", "a@b.example\n", "a@b.example\0x", "a b@c.example",
                                     "<a@b.example>", "a@b@c.example", "@b.example", "a@", "\"a@b.example", "a@b..example"])
def test_no_command_in_an_address(tmp_path, name, address):
    outbox, results = tmp_path / "outbox", tmp_path / "results"
    line = {"envelope": "from@example.org", "recipient": "to@example.com", "mime": MESSAGE.decode(), name: address}
    outbox.write_text(json.dumps(line) + "\n")
    with Sink() as sink, Host("--outbox", outbox, "--results", results, "--smarthost", sink.target, plugins=[], listen=False):
        [result] = wait_until(lambda: read_lines(results), "the result")
    assert result["results"][-1]["result"] == "invalid"
    assert sink.messages == [] and not any("RSET" in command for one in sink.sessions for command in one.commands)


# ---- what a client says is not the plugins' doing ----

@pytest.mark.parametrize("name", ["postmaster", "Postmaster", "POSTMASTER"])
def test_postmaster_without_domain(name):
    with Host(plugins=["count"]) as host:
        with host.client() as client:
            client.greet()
            client.begin(recipients=(name, "one@example.com"))
            client.send(MESSAGE + b".\r\n")
            assert client.code() == 250
        assert sorted(line["recipient"] for line in host.inbox(2)) == sorted([name, "one@example.com"])


def odd_text(chance):
    pieces = ["postmaster", "@", "<", ">", '"', "\\", ",", ":", " ", "\t", ".", "a", "9", "-1", "{}", "[1]", "null", "true",
              "example.com", "1e999", "9" * 40, "\0", "\x7f", "\xe9", "\xff", "x" * 600]
    return "".join(chance.choice(pieces) for _ in range(chance.randrange(6)))


ODD_NAMES = ["recipient", "envelope", "mime", "key", "ip", "tag", "delayed", "maxattempts", "retries", "inlinecss", "keepmime",
             "priority", "results-queue", "smarthost-port", "dsn-notify", "queues", "data", "", "\0", " ", "x y"]


def odd_session(client, chance):
    """One transaction of odd commands. How many recipients the server answers for with 250 after the data."""
    accepted = 0
    client.send(f"MAIL FROM:<{odd_text(chance)}>\r\n".encode("latin-1"))
    if client.code() != 250 and client.command("MAIL FROM:<sender@example.org>") != 250:
        return 0
    for _ in range(chance.randrange(1, 4)):
        address = chance.choice(["postmaster", "one@example.com", odd_text(chance)])
        client.send(f"RCPT TO:<{address}>\r\n".encode("latin-1"))
        accepted += client.code() == 250
    if client.command("DATA") != 354:
        return 0
    for _ in range(chance.randrange(8)):
        client.send(f"X-MQ-{chance.choice(ODD_NAMES)}: {odd_text(chance)}\r\n".encode("latin-1"))
    client.send("\r\nbody\r\n.\r\n")
    return accepted if client.code() == 250 else 0


def test_odd_input_ends_no_host():
    seed = os.environ.get("MQLUA_SEED") or str(random.randrange(1, 1 << 31))
    print(f"MQLUA_SEED={seed}")
    chance = random.Random(seed)
    accepted = 0
    with Host(plugins=["count"]) as host:
        for _ in range(150):
            with host.client() as client:
                client.greet()
                accepted += odd_session(client, chance)
        assert accepted > 50
        assert len(host.inbox(accepted)) == accepted


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_descriptors_left():
    """The socket stays readable while nothing can be accepted: that takes no CPU, and it is over when there are some."""
    with Host(plugins=[], knobs={"fork": "off"}) as host:
        pid = host.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
        with host.client() as client:
            host.wait_stderr("cannot accept connections for now")
            start = cpu_seconds(pid)
            time.sleep(1)
            assert cpu_seconds(pid) - start < 0.3
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
            client.greet()
        assert host.stderr.count("cannot accept connections for now") == 1


def test_many_headers_of_ours():
    """Each X-MQ header is a member of the JSON: time for each of them must not grow with their number."""
    with Host(plugins=[], knobs={"extract": "on", "json": "full"}) as host:
        def seconds(count):
            start = cpu_seconds(host.process.pid)
            host.send(message=b"".join(b"X-MQ-k%d: v\r\n" % i for i in range(count)) + b"\r\nText\r\n")
            return cpu_seconds(host.process.pid) - start
        few, many = seconds(5000), seconds(50000)
        assert many < 30 * max(few, 0.05)  # some 10 times as long; it was 100 times
        message = host.inbox(2)[1]
        assert [message[f"k{i}"] for i in (0, 1, 49999)] == ["v", "v", "v"]
