# SPDX-License-Identifier: MIT
"""What the tests of the examples talk to: a stand-in MailerQ with the policy that lies beside the test.

    def test_nobody(mailerq):
        mailerq.dialogue('''
            MAIL FROM:<sender@example.org>    250
            RCPT TO:<nobody@example.com>      550 5.1.1
        ''')

    def test_tag(mailerq):
        message = mailerq.deliver("sender@example.org", "one@example.com", "Subject: test\\n\\nText\\n")
        assert message["tags"] == ["seen"]
"""

import base64
import email
import email.policy
import json
import pathlib
import re
import shutil
import socket

import pytest

import mqlua
import sink

TEXT = "From: sender@example.org\nTo: one@example.com\nSubject: test\n\nText\n"


class Client(mqlua.Client):
    """An SMTP session, of a client with the given address (any of 127.0.0.0/8)."""

    def __init__(self, port, address):
        self.socket = socket.create_connection(("127.0.0.1", port), mqlua.TIMEOUT, (address, 0))
        self.buffer = b""

    def say(self, command):
        """Sends a command; returns its reply as one line, such as "250 2.1.0 Ok". Two shorthands: "LOGIN name password"
        stands for AUTH PLAIN, and STARTTLS is followed by the handshake and a new EHLO."""
        words = command.split()
        if words[0] == "LOGIN":
            secret = base64.b64encode("\0".join(["", *words[1:]]).encode()).decode()
            command = f"AUTH PLAIN {secret}"
        self.send(command + "\r\n")
        reply = self.answer()
        if words[0] == "STARTTLS" and reply.startswith("220"):
            self.starttls()
            self.say("EHLO client.example")
        return reply

    def answer(self):
        """The next reply as one line; "closed" at the end of the connection."""
        code, lines = self.reply()
        return f"{code} {' '.join(lines)}" if code else "closed"

    def content(self, text):
        """Sends the content of a message after DATA."""
        data = text if isinstance(text, bytes) else text.encode()
        data = re.sub(rb"\r?\n", b"\r\n", data)
        self.send(re.sub(rb"(?m)^\.", b"..", data) + b".\r\n")
        return self.answer()


class MailerQ:
    """The stand-in with one policy, and mail through it."""

    def __init__(self, folder, temporary):
        self.folder = folder
        self.temporary = temporary
        self.outbox = temporary / "outbox"
        self.results = temporary / "results"
        self.policy = folder / "policy.lua"
        self.host = None
        self.clients = []
        self.options = {"tls": False, "knobs": {"timers": "exact"}}
        if (folder / "settings.json").exists():
            self.options["settings"] = json.loads((folder / "settings.json").read_text())

    def change(self, **changes):
        """Gives constants of the policy's files other values: change(LOCK_SECONDS=0.1). Before the first session."""
        copy = self.temporary / "policy"
        shutil.copytree(self.folder, copy)
        text = (copy / "policy.lua").read_text()
        for name, value in changes.items():
            text, count = re.subn(rf"(?m)^local {name} = .*$", f"local {name} = {value}", text)
            assert count == 1, f"there is no line 'local {name} = ...' in the policy"
        (copy / "policy.lua").write_text(text)
        self.policy = copy / "policy.lua"

    def start(self, *arguments, **options):
        self.host = mqlua.Host(*arguments, policy=self.policy, **{**self.options, **options})
        self.host.__enter__()

    def session(self, address="127.0.0.1"):
        """A session after the greeting and EHLO."""
        if not self.host:
            self.start()
        client = Client(self.host.port, address)
        self.clients.append(client)
        client.greeting = client.answer()
        if client.greeting.startswith("220"):
            client.say("EHLO client.example")
        return client

    def dialogue(self, text, address="127.0.0.1"):
        """Holds a session: each line is a command, two or more blanks, and how the reply must begin. A line that begins
        with "(" instead of a command is only a reply. Returns the session, which is still open."""
        client = self.session(address)
        for line in filter(None, map(str.strip, text.splitlines())):
            command, expected = re.split(r"\s{2,}", line, maxsplit=1)
            if command == "(greeting)":
                reply = client.greeting
            elif command.startswith("("):
                reply = client.answer()
            else:
                reply = client.say(command)
            assert reply.startswith(expected), f"{command!r} was answered with {reply!r}"
        return client

    def deliver(self, sender, recipient, text=TEXT, client=None, address="127.0.0.1"):
        """Sends a message, for which each step must be accepted; returns its JSON as MailerQ publishes it."""
        count = len(self.host.inbox()) if self.host else 0
        client = client or self.session(address)
        for command, code in ((f"MAIL FROM:<{sender}>", "250"), (f"RCPT TO:<{recipient}>", "250"), ("DATA", "354")):
            reply = client.say(command)
            assert reply.startswith(code), f"{command!r} was answered with {reply!r}"
        reply = client.content(text)
        assert reply.startswith("250"), f"the content was answered with {reply!r}"
        return self.host.inbox(count + 1)[count]

    def inbox(self):
        """What was published so far."""
        return self.host.inbox()

    def start_out(self, server, *messages):
        """Starts to deliver messages, given as JSON, to a sink.Sink."""
        self.outbox.write_text("".join(json.dumps(one) + "\n" for one in messages), errors="surrogateescape")
        self.start("--outbox", self.outbox, "--results", self.results, "--smarthost", server.target,
                   "--out-connections", 1, listen=False)

    def finish_out(self):
        """Waits until everything has been tried."""
        assert self.host.wait_end() == 0, self.host.stderr
        self.host, host = None, self.host
        host.__exit__(None)
        return host.stderr

    def send_out(self, *messages):
        """Delivers messages, given as JSON, to a server; returns what arrived there as (sender, recipient, letter)."""
        self.close()
        with sink.Sink() as server:
            self.start_out(server, *messages)
            check(self.finish_out())
            return [(address(one.sender), address(one.recipients[0]),
                     email.message_from_bytes(one.data, policy=email.policy.default)) for one in server.messages]

    def close(self):
        """Ends the host; fails when the policy did."""
        for client in self.clients:
            client.close()
        if self.host:
            self.host, host = None, self.host
            status = host.stop()
            host.__exit__(None)
            print(host.stderr)  # shown by pytest when the test fails
            assert status == 0
            check(host.stderr)


def address(argument):
    """The address in "<address> SIZE=1"."""
    return argument.split(">")[0].strip("<")


def check(log):
    """Fails when the policy did."""
    errors = re.findall(r"^.*(?: failed: | did not return | was ignored).*$", log, re.MULTILINE)
    assert not errors, "the policy failed:\n" + "\n".join(errors)


@pytest.fixture
def mailerq(request, tmp_path):
    """A stand-in MailerQ with the policy.lua that lies beside the test. It starts with the first session."""
    mailerq = MailerQ(pathlib.Path(request.path).parent, tmp_path)
    yield mailerq
    mailerq.close()
