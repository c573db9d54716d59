# SPDX-License-Identifier: MIT
"""Runs the stand-in MailerQ (`mqlua run`) for tests, and talks SMTP to it.

    with Host(policy='mq.on("smtp_in_connect", function(connection) end)') as host:
        host.send("sender@example.org", ["one@example.com"], b"Subject: test\\r\\n\\r\\nText\\r\\n")
        [message] = host.inbox(1)
        assert message["recipient"] == "one@example.com"
    assert "ledger: pauses=0" in host.stderr

The program is taken from the folder in MQLUA_BUILD (default: build/release). Every wait ends after
MQLUA_TIMEOUT seconds (default: 60), which is generous so that sanitizer builds pass on busy machines. With
MQLUA_WRAPPER the program is run by another one, such as "valgrind -q --error-exitcode=99".
What kind of MailerQ it stands for is said by MQLUA_PROFILE (profiles.py).
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import locales
import profiles

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MQLUA_BUILD", ROOT / "build" / "release")).resolve()
TIMEOUT = float(os.environ.get("MQLUA_TIMEOUT", "60"))
PROGRAM = BUILD / "mqlua"
WRAPPER = shlex.split(os.environ.get("MQLUA_WRAPPER", ""))

MESSAGE = b"From: sender@example.org\r\nTo: one@example.com\r\nSubject: test\r\n\r\nText\r\n"


def wait_until(condition, what, timeout=TIMEOUT):
    """Calls condition() until it returns something true, and returns that; fails after timeout seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.01)


def change(host, old, new):
    """Another text of the policy, and the reload that follows."""
    before = host.stderr.count("generation ")
    path = pathlib.Path(host.policy_path)
    beside = path.with_suffix(".new")
    beside.write_text(path.read_text().replace(old, new))
    os.replace(beside, path)
    wait_until(lambda: host.stderr.count("generation ") > before, "the reload")


def plugin(name):
    """The path of a C plugin of tests/plugins."""
    return BUILD / "plugins" / f"{name}.so"


def read_lines(path):
    """The JSON lines of a file as a list of objects. Bytes that are not UTF-8 become surrogates."""
    if not os.path.exists(path):
        return []
    text = pathlib.Path(path).read_bytes().decode("utf-8", "surrogateescape")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def is_ours(item):
    """Whether that plugin is mailerq-lua, and not one of tests/plugins."""
    return os.path.basename(item).startswith("mailerq-lua")


class Client:
    """A raw SMTP client: sends bytes, reads replies, and never does anything on its own."""

    def __init__(self, port, tls=False, host="127.0.0.1", source=None):
        self.socket = socket.create_connection((host, port), TIMEOUT, source and (source, 0))
        self.buffer = b""
        if tls:
            self.starttls()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def starttls(self):
        """Starts the TLS handshake now, without any command. Any certificate will do."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def send(self, data):
        """Sends bytes (or ASCII text) as they are."""
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        """One line of the server without its CRLF, as text; None at the end of input."""
        while b"\n" not in self.buffer:
            try:
                data = self.socket.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                return None
            self.buffer += data
        line, self.buffer = self.buffer.split(b"\n", 1)
        assert line.endswith(b"\r"), f"a line of the server without CR: {line!r}"
        return line[:-1].decode("utf-8", "surrogateescape")

    def reply(self):
        """One reply: its code and its lines without codes. (0, []) at the end of input."""
        lines = []
        while True:
            line = self.line()
            if line is None:
                return 0, lines
            lines.append(line[4:])
            if line[3:4] != "-":
                return int(line[:3]), lines

    def code(self):
        """The code of the next reply, 0 at the end of input."""
        return self.reply()[0]

    def command(self, text):
        """Sends one command line and returns the code of its reply."""
        self.send(text + "\r\n")
        return self.code()

    def expect(self, text, code):
        """Sends one command line and checks the code of its reply; returns the reply's lines."""
        self.send(text + "\r\n")
        reply = self.reply()
        assert reply[0] == code, f"{text!r} was answered with {reply}"
        return reply[1]

    def greet(self):
        """Reads the banner and says EHLO; returns the lines of its reply."""
        assert self.code() == 220
        return self.expect("EHLO client.example", 250)

    def begin(self, sender="sender@example.org", recipients=("one@example.com",)):
        """MAIL, RCPT and DATA, all of which have to be accepted."""
        self.expect(f"MAIL FROM:<{sender}>", 250)
        for recipient in recipients:
            self.expect(f"RCPT TO:<{recipient}>", 250)
        self.expect("DATA", 354)

    def half_close(self):
        """Says that nothing more will be sent."""
        self.socket.shutdown(socket.SHUT_WR)

    def at_end(self):
        """True when the server closes without another line."""
        return self.line() is None

    def close(self):
        """Closes the socket; again does nothing."""
        self.socket.close()


class Host:
    """One `mqlua run`.

    Arguments:
      *arguments     further options, such as "--max-size", 1000
      policy         text of a policy, or a path to one
      settings       an object for a settings file; @FOLDER@ in it becomes the folder of this host
      plugins        None: mailerq-lua.so; else a list of names (tests/plugins) or paths, which may be empty
      knobs          {"continue": "inline"}; the others are as the profile says (profiles.py), host.knobs has all
      told           the settings also tell what an operator of such a host has to tell the plugin
      listen         take SMTP at a free port of 127.0.0.1 (host.port)
      tls            the same with TLS from the start (host.tls_port)
      workers        number of threads
      environment    further variables
      start          False: do not start yet

    As a context manager it stops the program at the end and requires exit status 0, unless the test has
    waited for the end itself (stop, wait_end, rule).
    """

    def __init__(self, *arguments, policy=None, settings=None, plugins=None, knobs=None, told=True, listen=True,
                 tls=False, workers=1, environment=None, start=True):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mqlua-test-"))
        self.inbox_path = self.folder / "inbox.jsonl"
        self.local_path = self.folder / "local.jsonl"
        self.process = None
        self.returncode = None
        self.port = None
        self.tls_port = None
        self.command = [*WRAPPER, str(PROGRAM), "run", "--inbox", str(self.inbox_path), "--local", str(self.local_path)]
        self.environment = {**os.environ, "MAILERQ_LUA_STATE_DIR": str(self.folder), **(environment or {})}
        self._lines = []
        self._reader = None
        self._listeners = listen + tls
        self._add_policy(policy)
        chosen = profiles.knobs(knobs, compiled=bool(plugins) and any(not is_ours(item) for item in plugins))
        if plugins is None and "auth-by-symbol" not in (knobs or {}):
            plugins = self._choose_plugin(chosen)
        self.knobs = {**profiles.DEFAULTS, **chosen}
        if self.knobs["locale"] == "environment":
            self.environment = {**self.environment, **locales.environment(), **(environment or {})}
        self._add_settings(settings, profiles.told(chosen) if told else {})
        self._add_plugins(plugins)
        for name, value in chosen.items():
            self.command += ["--knob", f"{name}={value}"]
        if listen:
            self.command += ["--listen", "127.0.0.1:0"]
        if tls:
            self.command += ["--listen-tls", "127.0.0.1:0"]
        self.command += ["--workers", str(workers), *map(str, arguments)]
        if start:
            self.start()

    def _add_policy(self, policy):
        self.policy_path = None
        if policy is None:
            return
        path = pathlib.Path(policy) if "\n" not in str(policy) and os.path.exists(policy) else None
        if path is None:
            path = self.folder / "policy" / "policy.lua"
            path.parent.mkdir()
            path.write_text(policy)
        self.policy_path = path
        self.command += ["--policy", str(path)]

    def _choose_plugin(self, chosen):
        """Where exporting mq_smtp_in_authenticate demands logins, a policy without that event takes the build
        without it; one with that event is tried where it demands nothing."""
        if chosen.get("auth-by-symbol", "off") == "off":
            return None
        if self.policy_path and "authenticate" in self.policy_path.read_text():
            chosen["auth-by-symbol"] = "off"
            return None
        return [BUILD / "mailerq-lua-noauth.so"]

    def _add_settings(self, settings, told):
        if told:
            settings = {**(settings or {}), "host": {**told, **(settings or {}).get("host", {})}}
        if settings is not None:
            path = self.folder / "settings.json"
            path.write_text(json.dumps(settings).replace("@FOLDER@", str(self.folder)))
            self.command += ["--settings", str(path)]

    def _add_plugins(self, plugins):
        if plugins is None:
            return
        if not plugins:
            empty = self.folder / "no-plugins"
            empty.mkdir()
            self.command += ["--plugin", str(empty)]
        for item in plugins:
            self.command += ["--plugin", str(item if os.path.exists(item) else plugin(item))]

    def start(self):
        """Starts the program and waits until it listens. Fails when it ends before."""
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=self.environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._listeners:
            return self
        pattern = re.compile(r"^listening on \S+:(\d+)( \(tls\))?$", re.MULTILINE)

        def listening():
            found = pattern.findall(self.stderr)
            if len(found) >= self._listeners:
                return found
            if self.process.poll() is not None:
                self.wait_end()
                raise AssertionError(f"mqlua ended with {self.returncode}:\n{self.stderr}")
            return None

        for port, tls in wait_until(listening, "mqlua to listen"):
            if tls:
                self.tls_port = int(port)
            else:
                self.port = int(port)
        return self

    def _read(self):
        for line in self.process.stderr:
            self._lines.append(line.decode("utf-8", "replace"))

    @property
    def stderr(self):
        """What the program wrote to standard error so far."""
        return "".join(self._lines)

    def wait_stderr(self, pattern, count=1):
        """Waits until a regular expression is found count times in stderr; returns the last match."""
        def found():
            matches = list(re.finditer(pattern, self.stderr, re.MULTILINE))
            return matches[count - 1] if len(matches) >= count else None
        return wait_until(found, f"{pattern!r} on stderr:\n{self.stderr}")

    def peak(self):
        """The most memory that the program had so far, in MB. It may have left the work to a child."""
        def of(pid):
            status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
            return max(int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1024, *map(of, children), 0)
        return of(self.process.pid)

    def client(self, tls=False):
        """A raw client that is connected; nothing was read yet."""
        return Client(self.tls_port if tls else self.port, tls)

    def smtp(self):
        """A connected smtplib.SMTP."""
        return smtplib.SMTP("127.0.0.1", self.port, timeout=TIMEOUT)

    def send(self, sender="sender@example.org", recipients=("one@example.com",), message=MESSAGE):
        """Sends one message; returns what smtplib.SMTP.sendmail returns (the refused recipients)."""
        with self.smtp() as smtp:
            return smtp.sendmail(sender, list(recipients), message)

    def inbox(self, count=0):
        """The published messages, after waiting until there are count of them."""
        if count:
            wait_until(lambda: len(read_lines(self.inbox_path)) >= count, f"{count} messages in the inbox")
        return read_lines(self.inbox_path)

    def local(self, count=0):
        """The same for messages that were marked local."""
        if count:
            wait_until(lambda: len(read_lines(self.local_path)) >= count, f"{count} local messages")
        return read_lines(self.local_path)

    def wait_end(self):
        """Waits until the program ends on its own; returns its exit status (negative: the signal)."""
        if self.returncode is None:
            self.returncode = self.process.wait(TIMEOUT)
            self._reader.join(TIMEOUT)
        return self.returncode

    def stop(self):
        """Ends the program with SIGTERM; returns its exit status."""
        if self.returncode is None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait_end()

    def rule(self):
        """Waits until the program aborts over a broken rule, and returns the rule's id, such as "CF1"."""
        self.wait_end()
        found = re.search(r"^rule ([A-Z]+\d+): ", self.stderr, re.MULTILINE)
        assert found, f"mqlua ended with {self.returncode} and without a rule:\n{self.stderr}"
        assert self.returncode == -signal.SIGABRT, f"mqlua ended with {self.returncode}:\n{self.stderr}"
        return found.group(1)

    def ledger(self):
        """After the end: {"pauses": ..., "handbacks": ..., "closed": ..., "left": ...}."""
        found = re.search(r"^ledger: (.*)$", self.stderr, re.MULTILINE)
        assert found, f"no ledger on stderr:\n{self.stderr}"
        return {name: int(value) for name, value in (item.split("=") for item in found.group(1).split())}

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        try:
            ended_by_test = self.returncode is not None
            if self.process and not ended_by_test:
                self.stop()
                if kind is None:
                    assert self.returncode == 0, f"mqlua ended with {self.returncode}:\n{self.stderr}"
        finally:
            if self.process and self.process.poll() is None:
                self.process.kill()
            if kind is not None:
                print(f"--- what was run ---\n{shlex.join(self.command)}")
            if kind is not None and self.stderr:
                print(f"--- stderr of mqlua ---\n{self.stderr}")
            shutil.rmtree(self.folder, ignore_errors=True)
