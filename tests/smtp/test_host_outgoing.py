# SPDX-License-Identifier: MIT
"""The stand-in's outgoing side against a scripted SMTP server."""

import json
import os
import signal
import socket
import subprocess
import time

import pytest

import profiles
from mqlua import BUILD
from sink import CLOSE, SILENT, Sink

MIME = "Subject: test\r\n\r\nbody\r\n"
SET = b"Subject: set\r\n\r\n.by a plugin\r\n"


def message(**more):
    return {"envelope": "from@sender.example", "recipient": "to@recipient.example", "mime": MIME, **more}


class Host:
    """One run of the stand-in over a folder with an outbox."""

    def __init__(self, folder, lines, target, *options, plugin="out_events.so", outbox=None):
        self.results_file = folder / "results"
        self.outbox = outbox or folder / "outbox"
        if not outbox:
            text = "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines)
            self.outbox.write_text(text, errors="surrogateescape")
        plugins = BUILD / "plugins" / plugin if plugin else folder / "none"
        if not plugin:
            plugins.mkdir(exist_ok=True)
        command = [BUILD / "mqlua", "run", "--plugin", plugins, "--outbox", self.outbox, "--results",
                   self.results_file, "--inbox", folder / "inbox", "--out-connections", "1", "--smarthost", target,
                   *profiles.arguments(dict(word.split("=") for word in options if "=" in str(word)), compiled=True)]
        command += [word for word in options if "=" not in str(word) and word != "--knob"]
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                                        stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)

    def wait(self, status=0):
        """Waits for the end; the lines on stderr."""
        try:
            _, errors = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        text = errors.decode(errors="replace")
        assert self.process.returncode == status, text
        return text

    def results(self):
        if not self.results_file.exists():
            return []
        return [json.loads(line) for line in self.results_file.read_text(errors="surrogateescape").splitlines()]

    def wait_for_results(self, number):
        for _ in range(600):
            if len(self.results()) >= number:
                return self.results()
            time.sleep(0.05)
        raise AssertionError("only %d results: %s" % (len(self.results()), self.results()))


def deliver(folder, lines, target, *options, **more):
    host = Host(folder, lines, target, *options, **more)
    host.wait()
    return host.results()


def last(result):
    return result["results"][-1]


def outcome(result):
    return last(result)["state"], last(result)["result"]


def test_one_connection_for_many(tmp_path):
    with Sink() as sink:
        results = deliver(tmp_path, [message(n=n) for n in range(4)], sink.target)
    assert [outcome(one) for one in results] == [("message", "accepted")] * 4
    assert [last(one)["messages"] for one in results] == [1, 2, 3, 4]
    assert [one["n"] for one in results] == [0, 1, 2, 3]
    assert len(sink.sessions) == 1
    assert sink.sessions[0].commands[-1] == "QUIT"
    assert all(one.data == MIME.encode() for one in sink.messages)
    first = last(results[0])
    assert (first["code"], first["status"], first["description"]) == (250, "2.0.0", "Taken")
    assert (first["from"], first["to"], first["mta"]) == ("127.0.0.1", "127.0.0.1", "sink.example")
    assert "cipher" not in first
    assert all("mime" not in one and one["seen-data"] and one["seen-sent"] for one in results)


def test_several_workers_and_connections(tmp_path):
    with Sink() as sink:
        results = deliver(tmp_path, [message(n=n) for n in range(200)], sink.target, "--workers", "3",
                          "--out-connections", "4")
    assert sorted(one["n"] for one in results) == list(range(200))
    assert all(outcome(one) == ("message", "accepted") for one in results)
    assert len(sink.messages) == 200
    assert len(sink.sessions) <= 12


@pytest.mark.parametrize("api", ["5.6.5", "4.1"])
def test_without_plugin(tmp_path, api):
    """Without anybody who makes MIME, a key or an object is no reason to connect; with either JSON library."""
    with Sink() as sink:
        results = deliver(tmp_path, [message(), {"recipient": "a@b.example", "key": "k"},
                                     {"recipient": "a@b.example", "mime": {"text": "x"}}], sink.target,
                          "--knob", "api=" + api, plugin=None)
    assert sorted(outcome(one) for one in results) == [
        ("message", "accepted"), ("responsive", "error"), ("storage", "error")]
    assert sum("MAIL" in command for command in sink.sessions[0].commands) == 1


def test_dots_and_bytes(tmp_path):
    mail = b"Subject: \xe4\r\n\r\n.\r\n..\r\n.x\r\nnul:\0:\r\n" + b"y" * 200000
    line = json.dumps(message()).replace(json.dumps(MIME), json.dumps(mail.decode("latin-1"), ensure_ascii=False))
    (tmp_path / "outbox").write_bytes(line.encode("latin-1") + b"\n")
    with Sink() as sink:
        host = Host(tmp_path, None, sink.target, outbox=tmp_path / "outbox")
        host.wait()
    assert sink.messages[0].data == mail + b"\r\n"
    assert "BODY=8BITMIME" in sink.messages[0].sender


def test_null_sender_and_dsn(tmp_path):
    dsn = {"notify": "SUCCESS,DELAY", "ret": "HDRS", "orcpt": "rfc822;a+b@c.example", "envid": "id 1"}
    with Sink(offers=["DSN"]) as sink:
        results = deliver(tmp_path, [{"recipient": "to@recipient.example", "mime": MIME, "dsn": dsn}], sink.target)
    assert sink.messages[0].sender == "<> RET=HDRS ENVID=id+201"
    assert sink.messages[0].recipients == ["<to@recipient.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@c.example"]
    assert last(results[0])["dsn"] is True


def test_wide_addresses(tmp_path):
    wide = message(recipient="t\u00f6@recipient.example")
    with Sink() as sink:
        deliver(tmp_path, [wide], sink.target)
    assert "SMTPUTF8" in sink.messages[0].sender
    with Sink(offers=["SIZE"]) as sink:
        results = deliver(tmp_path, [wide, message(n=1)], sink.target)
    assert outcome(results[-2]) == ("mailfrom", "invalid")
    assert outcome(results[-1]) == ("message", "accepted")


def test_headers_property(tmp_path):
    headers = {"remove": "subject", "prepend": {"X-First": "1"}, "add": {"X-Last": ["2", "3"]}}
    with Sink() as sink:
        deliver(tmp_path, [message(headers=headers, keepmime=True)], sink.target)
    assert sink.messages[0].data == b"X-First: 1\r\nX-Last: 2\r\nX-Last: 3\r\n\r\nbody\r\n"


def test_keepmime(tmp_path):
    with Sink() as sink:
        results = deliver(tmp_path, [message(keepmime=True)], sink.target)
    assert results[0]["mime"] == MIME


@pytest.mark.parametrize("step, reply, state", [
    ("CONNECT", "554 5.3.2 No service", "intro"),
    ("EHLO", "421 4.3.2 Busy", "ehlo"),
    ("MAIL", "450 4.7.1 Greylisted", "mailfrom"),
    ("RCPT", "550 5.1.1 No such user\r\n", "rcptto"),
    ("DATA", "451 4.3.0 Not now", "data"),
    ("MESSAGE", "552 5.3.4 Too big", "message"),
    ("MAIL", "421 4.7.0 Go away", "mailfrom"),
])
def test_refused(tmp_path, step, reply, state):
    """A refused message has the peer's words as its result, and the next one goes through."""
    reply = reply.strip()
    with Sink({step: [reply]}) as sink:
        results = deliver(tmp_path, [message(n=0), message(n=1)], sink.target)
    assert outcome(results[0]) == (state, "error")
    assert last(results[0])["code"] == int(reply[:3])
    assert last(results[0])["status"] == reply[4:9]
    assert last(results[0])["description"] == reply[10:]
    assert outcome(results[1]) == ("message", "accepted")
    assert [one.recipients for one in sink.messages] == [["<to@recipient.example>"]]


def test_rset_after_refusal(tmp_path):
    with Sink({"RCPT": ["550 5.1.1 No"]}) as sink:
        deliver(tmp_path, [message(), message()], sink.target)
    assert len(sink.sessions) == 1
    assert sink.sessions[0].commands[3] == "RSET"


def test_helo(tmp_path):
    with Sink({"EHLO": "502 5.5.1 Not here"}) as sink:
        results = deliver(tmp_path, [message()], sink.target)
    assert outcome(results[0]) == ("message", "accepted")
    assert sink.messages[0].sender == "<from@sender.example>"


@pytest.mark.parametrize("step, state", [
    ("CONNECT", "intro"), ("EHLO", "ehlo"), ("MAIL", "mailfrom"), ("RCPT", "rcptto"), ("DATA", "data"),
    ("MESSAGE", "message"),
])
@pytest.mark.parametrize("how, result", [(CLOSE, "lost"), (SILENT, "timeout"), ("what?", "invalid")],
                         ids=["close", "silent", "no-smtp"])
def test_peer_fails(tmp_path, step, state, how, result):
    with Sink({step: [how]}) as sink:
        results = deliver(tmp_path, [message(n=0), message(n=1)], sink.target, "--out-timeout", "0.3")
    assert outcome(results[0]) == (state, result)
    assert outcome(results[1]) == ("message", "accepted")
    assert len(sink.messages) == 1


def test_nobody_listens(tmp_path):
    with Sink() as sink:
        target = sink.target
    results = deliver(tmp_path, [message(), message()], target)
    assert [outcome(one) for one in results] == [("connect", "lost")] * 2 or \
        [outcome(one) for one in results] == [("connect", "error")] * 2
    assert "to" not in last(results[0]) and "messages" not in last(results[0])


def test_peer_hangs_up_while_idle(tmp_path):
    """A connection that the peer ends between two messages costs no message."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with Sink({"IDLE": [CLOSE, None]}) as sink:
        host = Host(tmp_path, None, sink.target, outbox=fifo)
        with open(fifo, "w") as file:
            file.write(json.dumps(message()) + "\n")
            file.flush()
            host.wait_for_results(1)
            time.sleep(0.3)
            file.write(json.dumps(message()) + "\n")
        results = host.wait_for_results(2)
        host.process.send_signal(signal.SIGTERM)
        host.wait()
    assert [outcome(one) for one in results] == [("message", "accepted")] * 2
    assert len(sink.sessions) == 2


def test_421_while_idle(tmp_path):
    with Sink({"IDLE": ["421 4.4.2 Idle too long"]}) as sink:
        results = deliver(tmp_path, [message()], sink.target)
    assert outcome(results[0]) == ("message", "accepted")


def test_tls(tmp_path):
    with Sink(tls=True) as sink:
        results = deliver(tmp_path, [message(), message()], sink.target)
    assert [one.secure for one in sink.messages] == [True, True]
    cipher = last(results[1])["cipher"]
    assert cipher["version"].startswith("TLSv1.") and cipher["bits"] >= 128 and cipher["name"]
    assert [command.split()[0] for command in sink.sessions[0].commands[:3]] == ["EHLO", "STARTTLS", "EHLO"]


@pytest.mark.parametrize("reply, state, result", [
    ("454 4.7.0 Not now", "message", "accepted"),
    (CLOSE, "starttls", "lost"),
])
def test_tls_trouble(tmp_path, reply, state, result):
    with Sink({"STARTTLS": [reply]}, tls=True) as sink:
        results = deliver(tmp_path, [message()], sink.target)
    assert outcome(results[0]) == (state, result)
    assert all(not one.secure for one in sink.messages)


def test_handshake_fails(tmp_path):
    with Sink(offers=["STARTTLS"]) as sink:  # says 220, and then speaks no TLS
        results = deliver(tmp_path, [message()], sink.target, "--out-timeout", "1")
    assert outcome(results[0])[0] == "handshake"
    assert outcome(results[0])[1] in ("lost", "timeout")


def test_own_smarthost_with_login(tmp_path):
    with Sink(offers=["AUTH LOGIN PLAIN"]) as other, Sink() as sink:
        own = {"hostname": "127.0.0.1", "port": str(other.port), "username": "me", "password": "secret"}
        results = deliver(tmp_path, [message(smarthost=own), message(n=1)], sink.target)
    assert len(other.messages) == len(sink.messages) == 1
    assert other.sessions[0].commands[1] == "AUTH PLAIN AG1lAHNlY3JldA=="
    assert [last(one).get("authentication") for one in results] == ["plain", None]


def test_lines_without_attempt(tmp_path):
    lines = [
        "no json", "[]", message(maxdelivertime="2020-01-01 00:00:00"), message(ips=[]),
        message(recipient="nobody"), message(mime="Subject: x\n\nbare\n"), {"recipient": "a@b.example"},
        message(recipient="a@b.example>\r\nRSET"), message(),
    ]
    with Sink() as sink:
        results = deliver(tmp_path, lines, sink.target)
    assert [(one["line"], bool(one["error"])) for one in results if "line" in one] == [(1, True), (2, True)]
    assert [outcome(one) for one in results] == [
        ("process", "invalid"), ("process", "invalid"), ("process", "timeout"), ("process", "error"),
        ("process", "invalid"), ("process", "invalid"), ("process", "invalid"), ("process", "invalid"),
        ("message", "accepted")]
    assert len(sink.messages) == 1


# ---- events ----


@pytest.mark.parametrize("mode", ["alternate", "inline", "deferred"])
@pytest.mark.parametrize("test", ["set", "pause"])
def test_plugin_sets_mime(tmp_path, test, mode):
    shapes = [message(test=test), {"recipient": "a@b.example", "key": "k", "test": test},
              {"recipient": "a@b.example", "mime": {"text": "x"}, "test": test}]
    with Sink() as sink:
        results = deliver(tmp_path, shapes, sink.target, "--knob", "continue=" + mode)
    assert [one.data for one in sink.messages] == [SET] * 3
    assert [outcome(one) for one in results] == [("message", "accepted")] * 3
    assert not any("had-mime" in one for one in results)
    assert len(sink.sessions) == 1


def test_plugin_leaves_a_key_alone(tmp_path):
    with Sink() as sink:
        results = deliver(tmp_path, [{"recipient": "a@b.example", "key": "k"}, message()], sink.target)
    assert [outcome(one) for one in results] == [("storage", "error"), ("message", "accepted")]
    assert len(sink.messages) == 1


def test_json_does_not_change_what_is_sent(tmp_path):
    with Sink() as sink:
        deliver(tmp_path, [message(test="delete")], sink.target)
    assert sink.messages[0].data == MIME.encode()


@pytest.mark.parametrize("test", ["bare-lf", "no-header"])
def test_bad_mime_aborts(tmp_path, test):
    with Sink() as sink:
        host = Host(tmp_path, [message(test=test)], sink.target, "--knob", "strict=on")
        errors = host.wait(-signal.SIGABRT)
    assert "JS3" in errors
    assert sink.messages == []


def test_setting_mime_too_late_aborts(tmp_path):
    with Sink() as sink:
        host = Host(tmp_path, [message(test="set-late")], sink.target)
        errors = host.wait(-signal.SIGABRT)
    assert "ST2" in errors


@pytest.mark.parametrize("script", [{}, {"MESSAGE": ["451 4.3.0 Later"]}], ids=["accepted", "refused"])
def test_pause_in_sent(tmp_path, script):
    with Sink(script) as sink:
        results = deliver(tmp_path, [message(test="pause-sent"), message()], sink.target)
    assert outcome(results[0]) == ("message", "error" if script else "accepted")
    assert outcome(results[1]) == ("message", "accepted")


def test_hold_until_the_peer_closes(tmp_path):
    """Control is never handed back: the attempt ends when the peer does, other messages go on meanwhile."""
    with Sink() as sink:
        fifo = tmp_path / "fifo"
        os.mkfifo(fifo)
        host = Host(tmp_path, None, sink.target, "--out-connections", "2", "--out-timeout", "0.3", "--knob",
                    "disconnect=close-during-pause", outbox=fifo)
        with open(fifo, "w") as file:
            file.write(json.dumps(message(test="hold")) + "\n" + json.dumps(message(n=1)) + "\n")
        assert host.wait_for_results(1)[0]["n"] == 1
        time.sleep(0.5)
        assert len(host.results()) == 1
        sink.hang_up()
        results = host.wait_for_results(2)
        host.process.send_signal(signal.SIGTERM)
        errors = host.wait()
    assert outcome(results[1]) == ("data", "lost")
    assert "mime" not in results[1] and results[1]["seen-data"]
    assert "left=1" in errors


@pytest.mark.parametrize("mode", ["close-during-pause", "close-after-handback", "no-close"])
def test_hand_back_after_the_peer_closed(tmp_path, mode):
    with Sink() as sink:
        host = Host(tmp_path, [message(test="late"), message(n=1)], sink.target, "--knob", "disconnect=" + mode)
        for _ in range(400):
            if sink.sessions and "DATA" in sink.sessions[0].commands:
                break
            time.sleep(0.01)
        time.sleep(0.2)
        sink.hang_up()
        errors = host.wait()
    results = host.results()
    assert outcome(results[0]) == ("data", "lost")
    assert outcome(results[1]) == ("message", "accepted")
    assert len(results) == 2
    assert "pauses=1" in errors


# ---- the end ----


def test_stop_gives_every_line_its_result(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with Sink({"MESSAGE": ["250 2.0.0 Ok", SILENT]}) as sink:
        host = Host(tmp_path, None, sink.target, "--grace", "0.5", outbox=fifo)
        with open(fifo, "w") as file:
            file.writelines(json.dumps(message(n=n)) + "\n" for n in range(20))
        host.wait_for_results(1)
        time.sleep(0.2)
        host.process.send_signal(signal.SIGTERM)
        host.wait()
    results = host.results()
    assert sorted(one["n"] for one in results) == list(range(20))
    by_outcome = [outcome(one) for one in results]
    assert by_outcome.count(("message", "accepted")) == 1
    assert by_outcome.count(("message", "lost")) == 1
    assert by_outcome.count(("process", "error")) == 18


def test_stop_during_a_hold(tmp_path):
    with Sink() as sink:
        host = Host(tmp_path, [message(test="hold")], sink.target, "--grace", "0.3")
        for _ in range(400):
            if sink.sessions and "DATA" in sink.sessions[0].commands:
                break
            time.sleep(0.01)
        time.sleep(0.2)
        host.process.send_signal(signal.SIGTERM)
        errors = host.wait()
    assert [outcome(one) for one in host.results()] == [("data", "lost")]
    assert "left=1" in errors


def test_inbox_becomes_outbox(tmp_path):
    """What came in goes out again byte for byte, whatever is in it."""
    mail = b"Subject: \xe4\xff\r\nX-Long: a\r\n\tb\r\n\r\n.\r\n..two\r\nnul:\0\x7f\x1b \"\\/\r\n" + b"z" * 990 + b"\r\n"
    (tmp_path / "none").mkdir()
    listening = subprocess.Popen(
        [str(BUILD / "mqlua"), "run", "--plugin", str(tmp_path / "none"), "--listen", "127.0.0.1:0", "--inbox",
         str(tmp_path / "inbox")], stderr=subprocess.PIPE)
    port = int(listening.stderr.readline().decode().strip().rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port)) as client:
        stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in mail.splitlines(keepends=True))
        file = client.makefile("rb")
        for line in (b"HELO x", b"MAIL FROM:<>", b"RCPT TO:<a@b.example>", b"DATA"):
            assert file.readline()[:1] in b"23"
            client.sendall(line + b"\r\n")
        assert file.readline().startswith(b"354")
        client.sendall(stuffed + b".\r\n")
        assert file.readline().startswith(b"250")
    listening.terminate()
    listening.communicate(timeout=30)
    with Sink() as sink:
        host = Host(tmp_path, None, sink.target, outbox=tmp_path / "inbox")
        host.wait()
    assert outcome(host.results()[0]) == ("message", "accepted")
    assert sink.messages[0].data == mail
    assert sink.messages[0].sender.startswith("<>")


def test_large_message(tmp_path):
    mail = "Subject: large\r\n\r\n" + ("." * 70 + "\r\n") * 300000
    with Sink(offers=["8BITMIME"]) as sink:
        results = deliver(tmp_path, [message(mime=mail)], sink.target)
    assert outcome(results[0]) == ("message", "accepted")
    assert sink.messages[0].data == mail.encode()
    assert last(results[0])["sent"]["data"] == len(mail) + 300000 + 3


def test_slow_peer(tmp_path):
    """The time-out is about silence: a large message may take longer as long as it moves."""
    mail = "Subject: large\r\n\r\n" + ("x" * 800 + "\r\n") * 40000
    with Sink(offers=["8BITMIME"], pause=0.1) as sink:
        results = deliver(tmp_path, [message(mime=mail)], sink.target, "--out-timeout", "5")
    assert outcome(results[0]) == ("message", "accepted")


def test_standard_input(tmp_path):
    with Sink() as sink:
        host = Host(tmp_path, None, sink.target, outbox="-")
        host.process.stdin.write(json.dumps(message()).encode())  # no line end: the end of the file will do
        host.process.stdin.close()
        host.process.stdin = None
        host.wait()
    assert outcome(host.results()[0]) == ("message", "accepted")


def test_results_cannot_be_written(tmp_path):
    with Sink() as sink:
        host = Host(tmp_path, [message()], sink.target, "--results", "/dev/full")
        errors = host.wait(1)
    assert "is lost" in errors
