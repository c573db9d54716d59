# SPDX-License-Identifier: MIT
"""The sessions of quickstart.sh: real SMTP clients before and behind the stand-in host."""

import json
import pathlib
import re
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
MQLUA = HERE.parents[1] / "build" / "release" / "mqlua"
LARGE = b"Subject: five megabytes\r\n\r\n" + b".a line with a dot and 8-bit bytes: \xc3\xa9\r\n" * 131072


class Host:
    """`mqlua run` with the quickstart policy; collects what it logs."""

    def __init__(self, *arguments):
        command = [MQLUA, "run", "--policy", HERE / "policy.lua", "--knob", "auth-by-symbol=off", *arguments]
        self.process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE)
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stderr:
            self.lines.append(line.decode("utf-8", "replace").rstrip())

    def port(self):
        for _ in range(300):
            for line in list(self.lines):
                found = re.match(r"listening on .*:(\d+)$", line)
                if found:
                    return int(found[1])
            if self.process.poll() is not None:
                sys.exit("mqlua did not start:\n" + "\n".join(self.lines))
            time.sleep(0.1)
        sys.exit("mqlua did not say where it listens:\n" + "\n".join(self.lines))

    def stop(self):
        self.process.terminate()
        return self.process.wait(30)


def text(subject):
    return f"From: sender@example.org\r\nSubject: {subject}\r\n\r\nHello.\r\n".encode()


def send(port, sender, recipients, message, login=None):
    client = smtplib.SMTP("127.0.0.1", port, timeout=60)
    try:
        if login:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            client.starttls(context=context)
            client.login(*login)
        refused = client.sendmail(sender, recipients, message, ["body=8bitmime"])
    except smtplib.SMTPRecipientsRefused as error:
        refused = error.recipients
    except smtplib.SMTPServerDisconnected:
        refused = {"": (421, b"closed by the server")}
    except smtplib.SMTPResponseException as error:
        refused = {"": (error.smtp_code, error.smtp_error)}
    finally:
        client.close()
    return refused


def show(title, host, inbox, before, refused):
    time.sleep(0.3)
    print(f"\n== {title}")
    for line in host.lines[before[0]:]:
        decision = re.search(r"policy\.lua:\d+: (.*) \(generation", line)
        if decision:
            print("   decided   ", decision[1])
    for recipient, (code, reply) in refused.items():
        print("   client saw", code, reply.decode("utf-8", "replace"), recipient)
    lines = inbox.read_bytes().split(b"\n")[:-1]
    for line in lines[before[1]:]:
        message = json.loads(line.decode("utf-8", "surrogateescape"))
        mime = message.pop("mime")
        message.pop("received", None), message.pop("connection", None), message.pop("hostname", None)
        print("   published ", json.dumps(message), f"and {len(mime)} characters of MIME")


def incoming(port, host, inbox):
    """The sessions; each with its title."""
    sessions = [
        ("plain", ("a@example.org", ["one@example.com"], text("plain")), None),
        ("TLS and login", ("demo@example.org", ["one@example.com"], text("from a customer")), ("demo", "opensesame")),
        ("three recipients, one of them refused",
         ("a@example.org", ["one@example.com", "two@example.com", "three@retired.example"], text("several")), None),
        ("null sender", ("", ["one@example.com"], text("bounce")), None),
        ("5 MB with dots and 8-bit bytes", ("a@example.org", ["one@example.com"], LARGE), None),
    ]
    for title, (sender, recipients, message), login in sessions:
        before = len(host.lines), inbox.read_bytes().count(b"\n") if inbox.exists() else 0
        inbox.touch()
        show(title, host, inbox, before, send(port, sender, recipients, message, login))
    published = inbox.read_bytes().split(b"\n")[-2]
    mime = json.loads(published.decode("utf-8", "surrogateescape"))["mime"].encode("utf-8", "surrogateescape")
    assert LARGE.strip() == mime.strip(), "the 5 MB message came out changed"


class Sink(threading.Thread):
    """An SMTP server that takes one message."""

    def __init__(self):
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.message = b""

    def run(self):
        connection, _ = self.server.accept()
        file = connection.makefile("rwb", buffering=0)
        file.write(b"220 sink ESMTP\r\n")
        while command := file.readline():
            if command.upper().startswith(b"DATA"):
                file.write(b"354 go on\r\n")
                while (line := file.readline()) not in (b".\r\n", b""):
                    self.message += line
            file.write(b"221 bye\r\n" if command.upper().startswith(b"QUIT") else b"250 fine\r\n")


def outgoing(folder):
    sink = Sink()
    sink.start()
    outbox, results = folder / "outbox", folder / "results"
    outbox.write_text(json.dumps({"envelope": "a@example.org", "recipient": "far@example.net",
                                  "mime": text("going out").decode()}) + "\n")
    host = Host("--outbox", outbox, "--results", results, "--smarthost",
                f"127.0.0.1:{sink.server.getsockname()[1]}", "--inbox", folder / "unused")
    status = host.process.wait(60)
    print("\n== one message out, changed by smtp_out_data")
    print("   the sink got", sink.message.decode().split("\r\n")[:3])
    result = json.loads(results.read_text())["results"][-1]
    print("   result      ", {key: result.get(key) for key in ("state", "result", "code")})
    assert status == 0 and sink.message.startswith(b"X-Delivered-By:"), host.lines


def main():
    serve = "--serve" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        inbox = folder / "inbox"
        host = Host("--listen", "127.0.0.1:2525" if serve else "127.0.0.1:0", "--inbox", inbox)
        try:
            port = host.port()
            incoming(port, host, inbox)
            outgoing(folder)
            if serve:
                print(f"\nthe host goes on at 127.0.0.1:{port}; try\n"
                      f"  swaks --server 127.0.0.1:{port} --from a@example.org --to b@example.com\n"
                      f"and look at {inbox}. Ctrl-C ends it.", flush=True)
                host.process.wait()
        except KeyboardInterrupt:
            pass
        finally:
            status = host.stop() if host.process.poll() is None else host.process.returncode
    print("\nthe host ended with", status)
    return status


if __name__ == "__main__":
    sys.exit(main())
