# SPDX-License-Identifier: MIT
"""Random SMTP clients for sessions.py, and the book in which they write what they saw of each mail."""

import base64
import collections
import os
import socket
import ssl
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "smtp"))
from mqlua import Client  # noqa: E402

ACCEPTED, UNKNOWN, REFUSED = "accepted", "unknown", "refused"


class Gone(Exception):
    """The session is over: the server closed it, or refused as a condemned connection is refused."""


class Book:
    """What the clients saw, by sender: the fate of the mail, and its recipients that were accepted."""

    def __init__(self):
        self.mails = {}
        self.faults = []
        self.lock = threading.Lock()

    def write(self, sender, fate, recipients):
        with self.lock:
            self.mails[sender] = (fate, collections.Counter(recipients))

    def fault(self, text):
        with self.lock:
            self.faults.append(text)

    def check(self, published):
        """Compares with what was published (objects); the faults, as text."""
        delivered, discarded = collections.Counter(), collections.Counter()
        for message in published:
            ours = message.get("mailerq-lua", {})
            recipient = message["recipient"]
            if ours.get("verdict") == "quarantine":
                recipient = next((v for v in ours.values() if str(v).endswith("@example.com")), recipient)
            if ours.get("verdict") != "discard":
                delivered[message["envelope"], recipient] += 1
            elif ours.get("reason") == "asked":  # others were refused before: they are not the one that was accepted
                discarded[message["envelope"], recipient] += 1
        faults = list(self.faults)
        for (sender, recipient), count in delivered.items():
            fate, accepted = self.mails.get(sender, (REFUSED, {}))
            if fate == REFUSED or count > accepted.get(recipient, 0):
                most = accepted.get(recipient, 0)
                faults.append(f"{sender} to {recipient}: {fate}, accepted {most} times, published {count} times")
        for sender, (fate, accepted) in self.mails.items():
            for recipient, count in accepted.items() if fate == ACCEPTED else ():
                got = delivered[sender, recipient]
                all_of_it = got + (discarded[sender, recipient] if "gone" in recipient else 0)
                if all_of_it != count:
                    faults.append(f"{sender} to {recipient}: accepted {count} times, published {all_of_it} times, "
                                  f"discarded {discarded[sender, recipient]} times")
        return faults


class Session:
    """One connection that does what the random numbers say, until it or the server ends it."""

    def __init__(self, rng, port, tls, name, book, never):
        self.rng, self.name, self.book, self.never = rng, name, book, never
        self.client = Client(port)
        self.client.socket.settimeout(90)
        if tls:
            self.client.starttls()
        self.number = 0

    def send(self, data):
        """Whole or in small pieces."""
        if self.rng.random() < 0.1 and len(data) < 400:
            for byte in data:
                self.client.send(bytes([byte]))
        elif self.rng.random() < 0.3:
            middle = self.rng.randint(0, len(data))
            self.client.send(data[:middle])
            time.sleep(self.rng.random() * 0.01)
            self.client.send(data[middle:])
        else:
            self.client.send(data)

    def code(self):
        """The code of the next reply. A connection that is condemned ends with it."""
        code = self.client.code()
        if code in (0, 421):
            raise Gone
        if code >= 400 and not self.never and self.rng.random() < 0.5:
            raise Gone
        return code

    def command(self, text):
        self.send(text.encode() + b"\r\n")
        return self.code()

    def run(self):
        try:
            self.dialogue()
        except (Gone, ConnectionError, BrokenPipeError, ssl.SSLError):
            pass
        except socket.timeout:
            self.book.fault(f"{self.name}: no reply within 90 seconds")
        self.leave()

    def leave(self):
        if self.rng.random() < 0.3:
            try:
                self.client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                pass
        self.client.close()

    def dialogue(self):
        rng = self.rng
        if rng.random() < 0.03:
            return
        if self.code() != 220:
            return
        if self.command("EHLO client.example") != 250:
            return
        if rng.random() < 0.15 and not isinstance(self.client.socket, ssl.SSLSocket) and self.command("STARTTLS") == 220:
            self.client.starttls()
            self.command("EHLO client.example")
        if rng.random() < 0.5:
            word = rng.choice([b"\0joe\0secret", b"\0joe\0", b"bad"])
            self.command("AUTH PLAIN " + base64.b64encode(word).decode())
        for _ in range(rng.randint(1, 6)):
            self.transaction()
            if rng.random() < 0.05:
                return
        end = rng.random()
        if end < 0.1 and not isinstance(self.client.socket, ssl.SSLSocket):  # there it would end TLS, not one direction
            self.client.socket.shutdown(socket.SHUT_WR)
            while self.client.line() is not None:
                pass
        elif end < 0.8:
            self.quit()

    def quit(self):
        code = self.command("QUIT")
        if self.never and code != 221:
            self.book.fault(f"{self.name}: QUIT was answered with {code}: replies and commands differ in number")
        if self.never and self.client.line() is not None:
            self.book.fault(f"{self.name}: a line after the reply to QUIT")

    def transaction(self):
        rng = self.rng
        self.number += 1
        sender = f"s{self.name}x{self.number}@example.org"
        known = ["gone", "", "", "", ""]
        recipients = [f"r{rng.choice(known)}{i}@example.com" for i in range(rng.choice([1, 1, 2, 3, 8]))]
        if rng.random() < 0.2:
            recipients.append(recipients[0])
        self.book.write(sender, REFUSED, [])
        commands = [f"MAIL FROM:<{sender}>"] + [f"RCPT TO:<{one}>" for one in recipients]
        if rng.random() < 0.5:
            self.send("".join(f"{one}\r\n" for one in commands).encode())
            codes = [self.code() for _ in commands]
        else:
            codes = [self.command(one) for one in commands]
        accepted = [one for one, code in zip(recipients, codes[1:]) if code == 250] if codes[0] == 250 else []
        if rng.random() < 0.1 or not accepted or codes[0] != 250:
            self.command("RSET")
            return
        if rng.random() < 0.05:
            raise Gone
        if self.command("DATA") != 354:
            self.command("RSET")
            return
        self.content(sender, accepted)

    def content(self, sender, accepted):
        rng = self.rng
        body = b"Subject: fuzz\r\nX-MQ-Data: {}\r\n\r\n..dot\r\n" + (b"y" * 60 + b"\r\n") * rng.choice([0, 1, 30, 500])
        if rng.random() < 0.05:
            self.send(body[:rng.randint(0, len(body))])
            raise Gone
        end = b".\r\nQUIT\r\n" if rng.random() < 0.05 else b".\r\n"
        self.book.write(sender, UNKNOWN, accepted)
        self.send(body + end)
        if rng.random() < 0.05:
            raise Gone
        code = self.client.code()
        if code:
            self.book.write(sender, ACCEPTED if code == 250 else REFUSED, accepted if code == 250 else [])
        if code in (0, 421) or end != b".\r\n":
            raise Gone
