# SPDX-License-Identifier: MIT
"""The sessions of quickstart.sh: real SMTP with the stand-in MailerQ, shown with what the policy decided."""

import hashlib
import itertools
import json
import pathlib
import re
import shlex
import signal
import smtplib
import ssl
import sys
import textwrap
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests" / "smtp"))
sys.dont_write_bytecode = True

import mqlua  # noqa: E402
import sink  # noqa: E402

LEFT, WIDTH = 52, 110
DECISION = re.compile(r"policy\.lua:\d+: (\S+) +(.*) \(generation \d+\)")


def letter(subject, text, more=""):
    return f"From: sender@example.org\r\nSubject: {subject}\r\n{more}\r\n{text}\r\n".encode()


def large():
    """5 MB with lines that begin with dots, and all bytes from 128 to 255, most of which are no UTF-8."""
    line = b"..two dots\r\n.one dot\r\n" + bytes(range(128, 256)) + b"\r\n"
    body = line * (5 * 2**20 // len(line) + 1)
    return b"Subject: five megabytes\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + body + b".\r\n"


class Client:
    """A mail client that keeps what was said as the lines of a dialogue."""

    def __init__(self, port, dialogue):
        self.dialogue = dialogue
        self.smtp = smtplib.SMTP("127.0.0.1", port, "client.example", timeout=60)
        self.smtp.ehlo()

    def note(self, command, reply):
        code, text = reply[0], reply[1].decode("utf-8", "replace")
        self.dialogue.append(f"{command:<{LEFT - 10}} {code}")
        if code >= 400:
            self.dialogue[-1] = command
            self.dialogue.append(f"   {code} {text}")
        return code

    def login(self, name, password):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.note("STARTTLS", self.smtp.starttls(context=context))
        self.note(f"AUTH PLAIN {name} ********", self.smtp.login(name, password))

    def send(self, sender, recipients, message, refusal_ends):
        """Sends to the recipients in order. Returns those that were refused, and whether that ended the session."""
        refused = []
        self.note(f"MAIL FROM:<{sender}>", self.smtp.mail(sender, ["BODY=8BITMIME"]))
        for recipient in recipients:
            if self.note(f"RCPT TO:<{recipient}>", self.smtp.rcpt(recipient)) >= 500:
                refused.append(recipient)
                if refusal_ends:
                    code, text = self.smtp.getreply()
                    self.dialogue.append(f"   {code} {text.decode()}")
                    return refused, True
        self.note(f"DATA, {len(message):,} bytes", self.smtp.data(message))
        return refused, False

    def close(self):
        self.smtp.close()


class Show:
    """The stand-in, and what is printed about it."""

    numbers = itertools.count(1)

    def __init__(self, host, refusal_ends=True):
        self.host = host
        self.refusal_ends = refusal_ends
        self.seen_lines = self.seen_messages = 0

    def title(self, text, remark=None):
        print(f"\n== {next(self.numbers)}. {text} ".ljust(WIDTH, "="))
        if remark:
            print(textwrap.fill(remark, WIDTH - 3, initial_indent="   ", subsequent_indent="   ") + "\n")

    def decisions(self, closes):
        """Prints what the policy said, up to the end of so many connections."""
        def ended():
            return sum(found[1] == "close" for found in map(DECISION.search, self.new_lines()) if found) >= closes
        mqlua.wait_until(ended, "the policy's log")
        lines = self.new_lines()
        self.seen_lines += len(lines)
        for found in filter(None, map(DECISION.search, lines)):
            if found[1] != "close":
                print(f"   {found[1]:<13} {found[2]}")
        print()

    def new_lines(self):
        return self.host.stderr.splitlines()[self.seen_lines:]

    def messages(self, count):
        """The JSON of so many messages that were published since."""
        messages = self.host.inbox(self.seen_messages + count)[self.seen_messages:]
        self.seen_messages += count
        assert len(messages) == count
        return messages


def describe(message):
    """A message's JSON as lines, without the parts that are the same in each."""
    shown = {name: value for name, value in message.items() if name not in ("received", "hostname", "connection")}
    mime = content(message)
    shown["mime"] = f"... {len(mime):,} bytes ..."
    lines = []
    for name, value in shown.items():
        lines += textwrap.wrap(f'"{name}": {json.dumps(value)},', WIDTH - LEFT - 6, subsequent_indent="    ",
                               break_on_hyphens=False)
    lines[-1] = lines[-1].rstrip(",")
    return ["{ " + lines[0]] + ["  " + line for line in lines[1:-1]] + ["  " + lines[-1] + " }"]


def content(message):
    return message["mime"].encode("utf-8", "surrogateescape")


def beside(left, right):
    for one, other in itertools.zip_longest(left, right, fillvalue=""):
        print(f"   {one:<{LEFT}} {other}".rstrip())


def session(show, title, sender, recipients, message, login=None, remark=None):
    """One message, in as many connections as it takes; checks that it came out as it went in."""
    show.title(title, remark)
    dialogue, rest, closes = [], list(recipients), 0
    while True:
        client = Client(show.host.port, dialogue)
        closes += 1
        if login:
            client.login(*login)
        refused, ended = client.send(sender, rest, message, show.refusal_ends)
        client.close()
        rest = [one for one in rest if one not in refused]
        if not ended:
            break
        dialogue += ["(as mail servers do, the others once more:)"]
    show.decisions(closes)
    messages = show.messages(len(rest))
    beside(dialogue, list(itertools.chain.from_iterable(map(describe, messages))))
    assert [one["recipient"] for one in messages] == rest
    assert all(content(one) == message for one in messages), f"{title}: the content has changed"
    return messages


SEVERAL = {
    "sender": "you@example.org", "recipients": ["jane@example.com", "ghost@example.com", "kim@example.com"],
    "message": letter("to several", "Hello all")}


def incoming(show):
    """All sessions with the stand-in; returns the first message that it published."""
    first = session(show, "A plain message", "news@paper.example", ["jane@example.com"],
                    letter("plain", "Hello Jane", "Precedence: bulk\r\n"))[0]
    session(show, "TLS and a login", "jane@example.com", ["friend@far.example"], letter("from a customer", "Hello"),
            ("jane@example.com", "opensesame"))
    session(show, "The null sender", "", ["kim@example.com"], letter("a bounce", "It could not be delivered"))
    message = large()
    [published] = session(
        show, "5 MB, with dots and 8-bit bytes", "you@example.org", ["jane@example.com"], message,
        remark="smtp_in_data counts more bytes than the message has: it sees the dots that SMTP doubles.")
    digest = [hashlib.sha256(one).hexdigest()[:40] for one in (message, content(published))]
    beside(["SHA-256 " + digest[0]], ["SHA-256 " + digest[1]])
    session(
        show, "Three recipients, one of whom does not exist", **SEVERAL,
        remark="MailerQ's documentation does not say whether it adds a reply of its own to the policy's, which the client "
               "could take for acceptance. So a reject ends the session with a 421, and the sender tries the others again.")
    return first


def without_own_reply():
    """The same three recipients with the other kind of MailerQ."""
    with mqlua.Host(policy=HERE / "policy.lua", settings={"host": {"reply_after_send": "never"}},
                    knobs={"reply-after-send": "suppress"}) as host:
        session(
            Show(host, refusal_ends=False), "The same where MailerQ is known to send no reply of its own", **SEVERAL,
            remark='With "reply_after_send": "never" in the settings a reject is one reply, and the session goes on for '
                   "the others. docs/MAILERQ.md tells how to find out what yours does.")


def outgoing(show, message):
    """Gives what came in to the sending side, which delivers it to an SMTP server of ours."""
    show.title("The first message goes out again, and smtp_out_data changes it")
    outbox, results = show.host.folder / "outbox", show.host.folder / "results"
    outbox.write_text(json.dumps(message) + "\n")
    with sink.Sink() as server:
        sender = mqlua.Host("--outbox", outbox, "--results", results, "--smarthost", server.target,
                            policy=HERE / "policy.lua", listen=False)
        with sender:
            sender.wait_end()
        [arrived] = server.messages
    for found in filter(None, map(DECISION.search, sender.stderr.splitlines())):
        print(f"   {found[1]:<13} {found[2]}")
    print()
    beside(["what was in the outbox:", *content(message).decode().splitlines()],
           ["what the server at the other end got:", *arrived.data.decode().splitlines()])
    [result] = mqlua.read_lines(results)
    last = result["results"][-1]
    print(f"\n   the result: {last['state']} {last['result']}, {last['code']} {last['status']} {last['description']}")
    assert arrived.data == content(message) + b"-- \r\nSent by MailerQ, with a footer from Lua\r\n", "no footer"


def serve(host):
    """Keeps the host until Ctrl-C and prints its log."""
    server = f"127.0.0.1:{host.port}"
    seen = len(host.stderr.splitlines())
    print(f"""
The host goes on at {server}, until Ctrl-C. Talk to it with swaks, for example
(apt-get install swaks libnet-ssleay-perl)

   swaks --server {server} --from you@example.org --to jane@example.com
   swaks --server {server} --from you@example.org --to ghost@example.com
   swaks --server {server} --tls --auth-user jane@example.com --auth-password opensesame \\
         --from jane@example.com --to friend@far.example

or by hand: openssl s_client -quiet -crlf -starttls smtp -connect {server}
The policy: {shlex.quote(str(HERE / 'policy.lua'))}
Messages:   tail -f {shlex.quote(str(host.inbox_path))}
""", flush=True)
    while host.process.poll() is None:
        lines = host.stderr.splitlines()
        for line in lines[seen:]:
            print(line, flush=True)
        seen = len(lines)
        time.sleep(0.2)


def interrupt(number, frame):
    raise KeyboardInterrupt


def main():
    signal.signal(signal.SIGTERM, interrupt)
    print("Each session below: what the policy decided at each event; then, on the left, what the client said and the\n"
          "server's replies, and on the right the JSON that MailerQ publishes (without "
          "received, hostname and\nconnection). The policy: examples/quickstart/policy.lua")
    with mqlua.Host(policy=HERE / "policy.lua") as host:
        show = Show(host)
        first = incoming(show)
        without_own_reply()
        outgoing(show, first)
        if "--serve" in sys.argv[1:]:
            try:
                serve(host)
            except KeyboardInterrupt:
                print()
    assert not re.search(r"\[(Warning|Critical)\]| failed", host.stderr), host.stderr
    print(f"\nThe host has ended with {host.returncode}. All is well.")


if __name__ == "__main__":
    main()
