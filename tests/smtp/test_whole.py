# SPDX-License-Identifier: MIT
"""Everything at once on several workers: mail in and out, TLS, logins on helper threads, shared counters and sets,
failures, waits, clients that leave, reloads, and an end in the middle of it. What TSan and valgrind watch."""

import base64
import threading

from mqlua import MESSAGE, read_lines, wait_until
from probe import delivering
from sink import Sink

PASSWORD = "$5$rounds=1000$fault$mS8PchHC7dWYjEzKireOJ4vzEvac6PrM4PTRKX81jr/"

POLICY = f"""
local version = "VERSION"
local blocked = mq.set("blocked.txt")
local seen = mq.counter("seen", {{labels = {{"what"}}, help = "Seen"}})
local took = mq.histogram("took", {{help = "Seconds"}})
mq.every(0.005, function() seen:add(1, {{what = "tick"}}) end)
mq.every(0.01, function() mq.metrics() end, {{scope = "process"}})

mq.on("smtp_in_connect", function(connection) connection.vars.at = mq.monotonic() end)
mq.on("smtp_in_secure", function(connection) seen:add(1, {{what = "secure"}}) end)
mq.on("smtp_in_authenticate", function(_, login, password)
  return mq.password.verify(password, "{PASSWORD}") and mq.accept() or mq.deny()
end)
mq.on("smtp_in_rcptto", function(connection, address)
  if blocked:contains(address.localpart) then return mq.reject(550, "5.1.1", "No") end
  if address.localpart == "burns" then while true do end end
  if address.localpart == "fails" then error("failed") end
  if address.localpart == "waits" then mq.wait({{mq.spawn(function() mq.sleep(0.002) end), mq.spawn(error)}}) end
  if address.localpart == "stays" then mq.sleep(60) end
end, {{on_error = mq.done()}})
mq.on("smtp_in_message", function(connection, message)
  message:tag(version, "t" .. mq.generation.number)
  message:add_header("X-Seen", "yes")
  message.json.data = {{list = {{1, 2, 3}}, id = 9007199254740993LL}}
  if message.recipient.localpart == "lost" then error("after writing") end
  mq.sleep(0.001)
  message.mime = "X-New: 1\\r\\n" .. tostring(message.mime)
end)
mq.on("smtp_in_close", function(connection)
  took:observe(mq.monotonic() - (connection.vars.at or 0))
  mq.sleep(0.001)
end)
mq.on("smtp_out_data", function(_, message) mq.sleep(0.001) message:tag("out") end)
mq.on("smtp_out_sent", function(_, message) seen:add(1, {{what = message.json.recipient}}) end)
"""

RECIPIENTS = ["one", "waits", "fails", "burns", "lost", "two"]


def session(host, secure):
    with host.client() as client:
        client.greet()
        if secure:
            client.expect("STARTTLS", 220)
            client.starttls()
            client.expect("EHLO client.example", 250)
        wrong, right = (base64.b64encode(b"\0joe\0" + word).decode() for word in (b"wrong", b"secret"))
        client.expect(f"AUTH PLAIN {wrong}", 535)
        client.expect(f"AUTH PLAIN {right}", 235)
        client.begin(recipients=[f"{name}@example.com" for name in RECIPIENTS])
        client.send(MESSAGE)
        client.expect(".", 250)
        client.expect("QUIT", 221)


def leave(host):
    """In the middle of a wait, and after a rejection."""
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.send("RCPT TO:<stays@example.com>\r\n")
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        assert client.command("RCPT TO:<blocked@example.com>") == 550


def several(count, function, *arguments):
    """Runs function in count threads; their errors are raised here."""
    errors = []

    def run(number):
        try:
            function(*arguments, number % 2 == 0)
        except BaseException as error:
            errors.append(error)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def put(host, version):
    (host.policy_path.parent / "blocked.txt").write_text("blocked\n" + version + "\n")
    new = host.policy_path.with_suffix(".new")
    new.write_text(POLICY.replace("VERSION", version))
    new.rename(host.policy_path)


def test_everything_at_once():
    lines = [{"recipient": f"to{i}@recipient.example"} for i in range(20)]
    with Sink() as sink, delivering(POLICY, lines, sink=sink, workers=3, files={"blocked.txt": "blocked\n"},
                                    knobs={"auth-by-symbol": "on", "blocking": "off", "password": "given"},
                                    settings={"budget": 0.05, "hold": 0.2, "reload": {"quiet": 0.05}}) as host:
        several(6, session, host)
        leave(host)
        for number, version in [(2, "second"), (3, "third")]:
            put(host, version)
            several(4, session, host)
            host.wait_stderr(f"generation {number}, ")
        several(4, session, host)
        assert len(host.results(20)) == 20
        wait_until(lambda: len(read_lines(host.inbox_path)) == 18 * len(RECIPIENTS), "all messages")
        with host.client() as client:  # the end comes while it waits
            client.greet()
            client.expect("MAIL FROM:<a@example.org>", 250)
            client.send("RCPT TO:<stays@example.com>\r\n")
            host.stop()
        assert host.returncode == 0, host.stderr
    for message in host.inbox():
        assert ("tags" in message) == ("X-New" in message["mime"]) == (not message["recipient"].startswith("lost"))
