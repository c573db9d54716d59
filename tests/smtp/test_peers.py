# SPDX-License-Identifier: MIT
"""Mail programs that others wrote, as clients and as a smarthost."""

import contextlib
import email.message
import email.policy
import shutil
import socket
import ssl
import subprocess

import pytest

from mqlua import TIMEOUT, Host, wait_until
from postfix import free_port
from probe import delivering

POLICY = """
mq.on("smtp_in_authenticate", function(connection, login, password)
  mq.sleep(0.002)
  if login == "joe" and password == "s e\\"cret" then return mq.accept() end
  return mq.deny()
end)
mq.on("smtp_in_rcptto", function(connection, address)
  if address.localpart == "no" then return mq.reject(550, "5.1.1", "No such user") end
  if address.localpart == "later" then mq.sleep(0.002) return mq.tempfail(450, "4.2.1", "Not now") end
end)
mq.on("smtp_in_message", function(connection, message)
  mq.sleep(0.001)
  message:tag("seen")
end)
"""
NEVER = {"host": {"reply_after_send": "never"}}
KNOBS = {"reply-after-send": "suppress", "json": "full", "password": "given"}


def needs(program):
    found = shutil.which(program)
    return pytest.mark.skipif(found is None, reason=f"{program} is not installed (tests/install.sh test)")


@pytest.fixture(scope="module")
def host():
    """A session goes on behind a refusal."""
    with Host(policy=POLICY, settings=NEVER, knobs=KNOBS, tls=True, workers=2) as one:
        yield one


def run(*command, text=None):
    return subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, timeout=TIMEOUT)


def arrived(host, mark, count=1):
    """The published messages with that mark in them, when there are so many."""
    def found():
        mine = [message for message in host.inbox() if mark in message["mime"]]
        return len(mine) >= count and mine
    return wait_until(found, f"{count} messages with {mark!r}")


# ---- swaks ----

def swaks(host, *arguments, tls_port=False):
    return run("swaks", "--server", "127.0.0.1", "--port", host.tls_port if tls_port else host.port, "--helo",
               "client.example", "--from", "a@sender.example", *arguments)


@needs("swaks")
@pytest.mark.parametrize("mode", [(), ("--pipeline",), ("--tls",), ("--tls", "--pipeline"), ("--tls-on-connect",)],
                         ids=["plain", "pipeline", "tls", "tls-pipeline", "tls-on-connect"])
def test_swaks(host, mode):
    mark = "swaks" + "".join(mode)
    done = swaks(host, "--to", "one@example.com,two@example.com", "--body", f".\\n..dots\\n{mark}\\n", *mode,
                 tls_port="--tls-on-connect" in mode)
    assert done.returncode == 0, done.stdout
    messages = arrived(host, f"\r\n{mark}\r\n", 2)
    assert [one["recipient"] for one in messages] == ["one@example.com", "two@example.com"]
    assert {one["connection"]["secure"] for one in messages} == {any("tls" in word for word in mode)}
    assert all("\r\n\r\n.\r\n..dots\r\n" in one["mime"] and one["tags"] == ["seen"] for one in messages)


@needs("swaks")
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("password, status", [('s e"cret', 0), ("wrong", 28)])
def test_swaks_logs_in(host, mechanism, password, status):
    mark = f"login-{mechanism}-{status}"
    done = swaks(host, "--to", "one@example.com", "--tls", "--auth", mechanism, "--auth-user", "joe", "--auth-password",
                 password, "--header", f"X-Mark: {mark}")
    assert done.returncode == status, done.stdout
    if status == 0:
        assert arrived(host, mark)[0]["connection"]["user"] == "joe"


@needs("swaks")
@pytest.mark.parametrize("mode", [(), ("--pipeline",)], ids=["plain", "pipeline"])
def test_swaks_is_refused(host, mode):
    """Refused recipients are left out of the message; with none left there is no message."""
    mark = "refused" + "".join(mode)
    done = swaks(host, "--to", "no@example.com,one@example.com,later@example.com", "--header", f"X-Mark: {mark}", *mode)
    assert done.returncode == 0, done.stdout
    assert "<** 550 5.1.1 No such user" in done.stdout and "<** 450 4.2.1 Not now" in done.stdout
    assert [one["recipient"] for one in arrived(host, mark)] == ["one@example.com"]
    assert swaks(host, "--to", "no@example.com", *mode).returncode == 24


@needs("swaks")
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("tls", [(), ("--tls",), ("--tls-on-connect",)], ids=["plain", "tls", "tls-on-connect"])
def test_swaks_behind_a_proxy(version, tls):
    with Host("--proxy-from", "127.0.0.0/8", policy=POLICY, knobs={"json": "full"}, tls=True) as proxied:
        done = swaks(proxied, "--to", "one@example.com", "--proxy-version", version, "--proxy-command", "PROXY",
                     "--proxy-family", "TCP4" if version == 1 else "AF_INET", "--proxy-protocol", "STREAM", "--proxy-source",
                     "192.0.2.7", "--proxy-source-port", 4567, "--proxy-dest", "192.0.2.8", "--proxy-dest-port", 25, *tls,
                     tls_port=tls == ("--tls-on-connect",))
        assert done.returncode == 0, done.stdout
        [message] = proxied.inbox(1)
    assert message["connection"]["remote-ip"] == "192.0.2.7" and message["connection"]["local-port"] == 25


# ---- curl ----

@needs("curl")
@pytest.mark.parametrize("scheme, options", [("smtp", ()), ("smtp", ("--ssl-reqd", "--insecure")),
                                             ("smtps", ("--insecure",))], ids=["plain", "starttls", "smtps"])
def test_curl(host, scheme, options):
    mark = f"curl-{scheme}-{len(options)}"
    port = host.tls_port if scheme == "smtps" else host.port
    done = run("curl", "--silent", "--show-error", *options, "--user", 'joe:s e"cret', "--mail-from", "a@sender.example",
               "--mail-rcpt", "one@example.com", "--upload-file", "-", f"{scheme}://127.0.0.1:{port}/client.example",
               text=f"Subject: {mark}\r\n\r\n.\r\n..dots\r\n")
    assert done.returncode == 0, done.stderr
    [message] = arrived(host, mark)
    assert message["mime"] == f"Subject: {mark}\r\n\r\n.\r\n..dots\r\n"
    assert message["connection"].get("user") == ("joe" if message["connection"]["secure"] else None)


@needs("curl")
def test_curl_is_refused(host):
    done = run("curl", "--silent", "--mail-from", "a@sender.example", "--mail-rcpt", "no@example.com", "--upload-file", "-",
               f"smtp://127.0.0.1:{host.port}/client.example", text="Subject: x\r\n\r\n")
    assert done.returncode == 55  # CURLE_SEND_ERROR: RCPT failed


# ---- smtplib ----

def test_smtplib_refused_recipients(host):
    assert host.send(recipients=["one@example.com", "no@example.com", "later@example.com"]) == {
        "no@example.com": (550, b"5.1.1 No such user"), "later@example.com": (450, b"4.2.1 Not now")}


def test_smtplib_login_and_wide_addresses(host):
    message = email.message.EmailMessage(policy=email.policy.SMTPUTF8)
    message["From"], message["To"], message["Subject"] = "sänder@exämple.org", "empfänger@example.com", "grün"
    message.set_content("blau\n.\n")
    message.add_attachment(bytes(range(256)) * 40, maintype="application", subtype="octet-stream", filename="bytes")
    message.set_boundary("=-boundary-=")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with host.smtp() as smtp:
        smtp.starttls(context=context)
        smtp.login("joe", 's e"cret')
        smtp.send_message(message)
    [published] = arrived(host, "grün")
    assert (published["envelope"], published["recipient"]) == ("sänder@exämple.org", "empfänger@example.com")
    assert published["mime"].encode() == message.as_bytes(policy=message.policy.clone(linesep="\r\n"))
    parsed = email.message_from_bytes(published["mime"].encode(), policy=email.policy.default)
    assert parsed.get_body().get_content() == "blau\r\n.\r\n"
    assert next(parsed.iter_attachments()).get_content() == bytes(range(256)) * 40


# ---- Postfix's smtp-source and smtp-sink ----

@needs("smtp-source")
@pytest.mark.parametrize("reuse", [(), ("-d",)], ids=["one-each", "reused"])
def test_smtp_source(reuse):
    """Twenty clients at once, each with messages for three recipients, through a policy that waits."""
    with Host(policy=POLICY, knobs={"json": "full"}, workers=2) as busy:
        done = run("smtp-source", *reuse, "-s", 20, "-m", 300, "-r", 3, "-l", 4000, "-f", "a@sender.example", "-t",
                   "to@example.com", f"127.0.0.1:{busy.port}")
        assert done.returncode == 0, done.stderr
        messages = busy.inbox(900)
    assert len(messages) == 900 and len({one["message-id"] for one in messages}) == 900
    assert all(one["tags"] == ["seen"] and len(one["mime"]) >= 4000 for one in messages)


@contextlib.contextmanager
def smtp_sink(*options):
    """A running smtp-sink; its HOST:PORT as target."""
    port = free_port()
    process = subprocess.Popen(["smtp-sink", "-u", "nobody", *options, f"127.0.0.1:{port}", "100"],
                               stderr=subprocess.PIPE)

    def listening():
        assert process.poll() is None, process.stderr.read().decode()
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        return False

    class Target:
        target = f"127.0.0.1:{port}"

    try:
        wait_until(listening, "smtp-sink to listen")
        yield Target
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        process.stderr.close()


OUT = 'mq.on("smtp_out_data", function(connection, message) mq.sleep(0.001) message:tag("seen") end)\n'


def outcomes(results):
    return {(one["results"][-1]["state"], one["results"][-1]["result"], one["results"][-1].get("code")) for one in results}


@needs("smtp-sink")
def test_smtp_sink():
    with smtp_sink() as sink, delivering(OUT, [{"n": n} for n in range(300)], "--workers", 2, sink=sink) as host:
        results = host.results(300)
    assert outcomes(results) == {("message", "accepted", 250)}
    assert sorted(one["n"] for one in results) == list(range(300))
    assert all(one["tags"] == ["seen"] for one in results)


@needs("smtp-sink")
@pytest.mark.parametrize("option, command, state, code", [
    ("-f", "mail", "mailfrom", 500), ("-r", "mail", "mailfrom", 450), ("-f", "rcpt", "rcptto", 500),
    ("-r", "rcpt", "rcptto", 450), ("-f", "data", "data", 500), ("-r", "data", "data", 450), ("-f", ".", "message", 500),
    ("-r", ".", "message", 450), ("-f", "connect", "intro", 500), ("-r", "ehlo", "ehlo", 450)])
def test_smtp_sink_refuses(option, command, state, code):
    with smtp_sink(option, command) as sink, delivering("\n", [{"n": n} for n in range(3)], sink=sink) as host:
        results = host.results(3)
    assert outcomes(results) == {(state, "error", code)}


@needs("smtp-sink")
@pytest.mark.parametrize("command, state", [("connect", "intro"), ("mail", "mailfrom"), ("rcpt", "rcptto"),
                                            ("data", "data"), (".", "message")])
def test_smtp_sink_hangs_up(command, state):
    with smtp_sink("-q", command) as sink, delivering("\n", [{"n": n} for n in range(3)], sink=sink) as host:
        results = host.results(3)
    assert outcomes(results) == {(state, "lost", None)}
