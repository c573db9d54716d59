# SPDX-License-Identifier: MIT
"""A small SMTP server for tests of the outgoing side: it records what comes in and answers as it is told to.

    with Sink({"MAIL": ["450 4.7.1 Greylisted"]}) as sink:
        ...                                # deliver to 127.0.0.1, port sink.port
        assert sink.messages[0].data == b"..."

The script maps a step (CONNECT, EHLO, HELO, STARTTLS, AUTH, MAIL, RCPT, DATA, MESSAGE, RSET, QUIT, IDLE) to what is
answered there: one reply for always, or a list that is used up over all connections, after which the usual reply
comes back. None in a list stands for the usual reply. CLOSE closes the connection instead of an answer, SILENT
gives none and waits until the client goes. IDLE is looked at after the usual reply to MESSAGE.
With pause the server rests for so many seconds after each megabyte of content.
"""

import os
import socket
import ssl
import subprocess
import tempfile
import threading
import time

CLOSE = object()
SILENT = object()

USUAL = {
    "CONNECT": "220 sink.example ESMTP",
    "HELO": "250 sink.example",
    "STARTTLS": "220 2.0.0 Go on",
    "AUTH": "235 2.7.0 Welcome",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 Go on",
    "MESSAGE": "250 2.0.0 Taken",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
    "IDLE": "",
}


class Message:
    """One message: sender and recipients as in the commands (parameters included), data without dot-stuffing."""

    def __init__(self, sender, recipients, raw, secure, session):
        self.sender = sender
        self.recipients = recipients
        self.raw = raw
        self.data = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n")[2:]
        self.secure = secure
        self.session = session


class Session:
    """One connection: the commands that came, in order."""

    def __init__(self, number):
        self.number = number
        self.commands = []


def _certificate(folder):
    path = os.path.join(folder, "sink.pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=sink.example", "-keyout", path, "-out", path + ".crt"],
        check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path + ".crt", path)
    return context


class Sink:
    def __init__(self, script=None, offers=("8BITMIME", "SMTPUTF8", "SIZE 1000000"), tls=False, pause=0):
        self.pause = pause
        self.script = {step: list(reply) if isinstance(reply, list) else reply for step, reply in (script or {}).items()}
        self.offers = list(offers)
        self.messages = []
        self.sessions = []
        self._folder = tempfile.TemporaryDirectory()
        self._tls = _certificate(self._folder.name) if tls else None
        if tls:
            self.offers.append("STARTTLS")
        self._lock = threading.Lock()
        self._threads = []
        self._open = set()
        self._closing = False
        self._socket = socket.create_server(("127.0.0.1", 0))
        if pause:  # or the system takes megabytes in advance
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.port = self._socket.getsockname()[1]
        self._start(self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        with self._lock:
            self._closing = True
            sockets = list(self._open)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads:
            thread.join(10)
        self._folder.cleanup()

    def hang_up(self):
        """Closes all connections that are open now."""
        with self._lock:
            sockets = list(self._open)
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it has ended meanwhile

    @property
    def target(self):
        return "127.0.0.1:%d" % self.port

    def _start(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with self._lock:
                if self._closing:
                    peer.close()
                    return
                session = Session(len(self.sessions))
                self.sessions.append(session)
                self._open.add(peer)
            self._start(self._serve, peer, session)

    def _reply_for(self, step, usual):
        with self._lock:
            reply = self.script.get(step)
            if isinstance(reply, list):
                reply = reply.pop(0) if reply else None
        return usual if reply is None else reply

    def _serve(self, peer, session):
        try:
            _Dialogue(self, peer, session).run()
        except OSError:
            pass
        with self._lock:
            self._open.discard(peer)
        peer.close()


class _Dialogue:
    def __init__(self, sink, peer, session):
        self.sink = sink
        self.socket = peer
        self.file = peer.makefile("rb")
        self.session = session
        self.secure = False
        self.sender = None
        self.recipients = []

    def run(self):
        if not self.answer("CONNECT"):
            return
        while True:
            line = self.file.readline()
            if not line:
                return
            text = line.decode("utf-8", "surrogateescape").rstrip("\r\n")
            self.session.commands.append(text)
            verb = text.split(" ", 1)[0].upper()
            if verb not in USUAL and verb != "EHLO":
                self.send("500 5.5.2 What?")
            elif not self.step(verb, text):
                return

    def step(self, verb, text):
        reply = self.answer(verb)
        if not reply:
            return False
        good = reply[0] in "23"
        if verb == "STARTTLS" and good and self.sink._tls:
            return self.start_tls()
        if verb == "MAIL" and good:
            self.sender, self.recipients = text[len("MAIL FROM:"):], []
        elif verb == "RCPT" and good:
            self.recipients.append(text[len("RCPT TO:"):])
        elif verb == "RSET":
            self.sender, self.recipients = None, []
        elif verb == "DATA" and reply.startswith("354"):
            return self.receive()
        return verb != "QUIT"

    def receive(self):
        raw = bytearray()
        rest = 1 << 20
        while not raw.endswith(b"\r\n.\r\n") and raw != b".\r\n":
            line = self.file.readline()
            if not line:
                return False
            raw += line
            if len(raw) > rest:
                rest += 1 << 20
                time.sleep(self.sink.pause)
        raw = bytes(raw)
        message = Message(self.sender, self.recipients, raw[:-3], self.secure, self.session)
        reply = self.sink._reply_for("MESSAGE", USUAL["MESSAGE"])
        if isinstance(reply, str) and reply.startswith("2"):
            with self.sink._lock:
                self.sink.messages.append(message)
        self.sender, self.recipients = None, []
        return bool(self.act(reply)) and bool(self.answer("IDLE"))

    def start_tls(self):
        try:
            self.socket = self.sink._tls.wrap_socket(self.socket, server_side=True)
        except (ssl.SSLError, OSError):
            return False
        self.file = self.socket.makefile("rb")
        self.secure = True
        return True

    def answer(self, step):
        """Gives the reply of that step and returns it; None when the connection is over."""
        usual = USUAL.get(step)
        if step == "EHLO":
            offers = [offer for offer in self.sink.offers if not (offer == "STARTTLS" and self.secure)]
            lines = ["sink.example"] + offers
            usual = "\r\n".join("250%s%s" % (" " if line is lines[-1] else "-", line) for line in lines)
        return self.act(self.sink._reply_for(step, usual))

    def act(self, reply):
        if reply is CLOSE:
            return None
        if reply is SILENT:
            while self.socket.recv(65536):
                pass
            return None
        self.send(reply)
        return reply or "-"

    def send(self, reply):
        if reply:
            self.socket.sendall(reply.encode("utf-8") + b"\r\n")
