# SPDX-License-Identifier: MIT
"""Odd but real forms of mail: in over SMTP, published, delivered from there, and in again, without a byte changed."""

import json

import pytest

from mqlua import Host, read_lines, wait_until

BODY = b"\r\n\r\nText\r\n"

MAILS = {
    "empty": b"",
    "no-header": b"\r\nOnly a body\r\n",
    "no-body": b"From: a@b.example\r\nSubject: no body, no empty line\r\n",
    "empty-body": b"Subject: x\r\n\r\n",
    "one-dot": b"Subject: x\r\n\r\n.\r\n",
    "dots": b".Subject: x\r\n\r\n.\r\n..\r\n...\r\n.a\r\n\r\n.\r\n",
    "no-colon": b"Subject: x\r\nthis is no header field" + BODY,
    "starts-with-a-fold": b" folded\r\nSubject: x" + BODY,
    "folded": b"Subject: one\r\n two\r\n\tthree\r\n \r\nX-Empty:\r\nX-Blank: \r\nX-Colons: a:b::c" + BODY,
    "blank-before-colon": b"Subject : x\r\nTO\t: y" + BODY,
    "mbox-from": b"From a@b.example Mon Nov 23 12:00:00 2026\r\nSubject: x\r\n\r\n>From quoted\r\nFrom not\r\n",
    "long-line": b"Subject: x\r\n\r\n" + b"y" * 60000 + b"\r\n",
    "long-header": b"References: " + b"<0123456789@example.org>\r\n " * 2000 + b"<end@example.org>" + BODY,
    "many-headers": b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(3000)) + BODY,
    "latin-1": b"Subject: gr\xfcn" + BODY + b"bl\xe4u \xff\xfe\r\n",
    "utf-8": "Subject: gr\u00fcn \u20ac \U0001f4e7".encode() + BODY,
    "broken-utf-8": b"Subject: \xc3\x28 \xe2\x82 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf" + BODY,
    "controls": b"Subject: x\r\n\r\n" + bytes(n for n in range(1, 32) if n not in (10, 13)) + b"\x7f\r\n",
    "nul": b"Subject: x\r\n\r\na\0b\0\r\n",
    "json-in-it": b'Subject: "\\u0000\\"}\r\n\r\n{"a": "\\n", "b": [1, 2]}\\\r\n</script>\r\n',
    "binary": b"Content-Transfer-Encoding: 8bit" + b"\r\n\r\n" + bytes(n for n in range(256) if n not in (10, 13)) + b"\r\n",
    "percent": b"Subject: %s%n%d {$name}\r\n\r\n%s%n%%\r\n",
    "nested": b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n"
              b"--b\r\n\r\none\r\n--b--\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\n.\r\n--a--\r\n",
}


@pytest.fixture(scope="module")
def host():
    policy = 'mq.on("smtp_in_message", function(connection, message) message:tag("seen") end)\n'
    with Host(policy=policy, knobs={"data": "chunks:7"}) as one:
        yield one


def send(host, mail, recipient):
    """Stuffs dots, and says nothing of 8 bits, as many programs do."""
    stuffed = (b"\r\n" + mail).replace(b"\r\n.", b"\r\n..")[2:]
    with host.client() as client:
        client.greet()
        client.begin(recipients=[recipient])
        client.send(stuffed + b".\r\n")
        assert client.code() == 250


def published(host, recipient):
    def found():
        return next((one for one in host.inbox() if one["recipient"] == recipient), None)
    return wait_until(found, recipient)


def raw(text):
    return text.encode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", MAILS)
def test_there_and_back(host, tmp_path, name):
    mail = MAILS[name]
    recipient = f"{name}@example.com"
    send(host, mail, recipient)
    first = published(host, recipient)
    assert raw(first["mime"]) == mail

    outbox, results = tmp_path / "outbox", tmp_path / "results"
    line = next(line for line in host.inbox_path.read_bytes().split(b"\n") if f'"{recipient}"'.encode() in line)
    outbox.write_bytes(line.replace(f'"{recipient}"'.encode(), f'"back-{recipient}"'.encode()) + b"\n")
    with Host("--outbox", outbox, "--results", results, "--smarthost", f"127.0.0.1:{host.port}", plugins=[], listen=False):
        [result] = wait_until(lambda: read_lines(results), "the result")
    last = result["results"][-1]
    assert (last["state"], last["result"]) == ("message", "accepted"), last
    assert raw(published(host, f"back-{recipient}")["mime"]) == mail


# json.dumps writes control characters in its own way
@pytest.mark.parametrize("name", [name for name in MAILS if b"\x01" not in MAILS[name] and b"\0" not in MAILS[name]])
def test_header_edits_leave_the_rest(tmp_path, name):
    """MailerQ's headers property, with an edit that comes to nothing."""
    mail = MAILS[name]
    with Host(plugins=[]) as host:
        line = {"recipient": "one@example.com", "mime": mail.decode("utf-8", "surrogateescape"),
                "headers": {"remove": ["X-Absent"], "update": {"X-Absent": "1"}}}
        outbox, results = tmp_path / "outbox", tmp_path / "results"
        outbox.write_bytes(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n")
        with Host("--outbox", outbox, "--results", results, "--smarthost", f"127.0.0.1:{host.port}", plugins=[],
                  listen=False):
            assert raw(host.inbox(1)[0]["mime"]) == mail
