# SPDX-License-Identifier: MIT
"""What a MailerQ exports, and what mailerq-lua makes of it: old and new names, no MQ_log, either JSON library in the
process or hidden in it, Lua of its own, MailerQ 2.1 and 3.0, and a process that is no MailerQ at all."""

import re
import subprocess
import sys

import pytest

from mqlua import BUILD, MESSAGE, Host

ALL = r"""
mq.on("smtp_in_connect", function(connection) mq.log.info("<from %s>", connection.remote_ip) end)
mq.on("smtp_in_mailfrom", function(connection)
  mq.sleep(0.002)
  connection.vars.slept = true
end)
mq.on("smtp_in_rcptto", function(connection, address)
  if address.localpart == "no" then return mq.reject(550, "5.1.1", "No") end
  if address.localpart == "all" then return mq.complete() end
end)
mq.on("smtp_in_message", function(connection, message)
  message:tag("seen")
  message.json.data = {nested = mq.array{1, "x", mq.null}, big = 9007199254740993LL, slept = connection.vars.slept}
  message.recipient = "other@example.net"
  message.envelope = "changed@example.net"
  message.mime = "Subject: new\r\n\r\nText\r\n"
end)
mq.on("smtp_in_close", function() mq.log.info("<closed>") end)
"""

WORKING = {
    "5.6.5": {}, "5.0, no MQ_log": {"api": "5.0"}, "4.1, json-c": {"api": "4.1"}, "4.0, MQ_Json": {"api": "4.0"},
    "old names": {"spelling": "pascal"}, "both names": {"spelling": "both"}, "hidden libfastjson": {"json-export": "no"},
    "old names, hidden json-c": {"api": "4.0", "spelling": "pascal", "json-export": "no"},
}


@pytest.mark.parametrize("kind", WORKING)
def test_everything_works(kind):
    knobs = {"disconnect": "close-during-pause", "message-after-reply": "off", **WORKING[kind]}
    with Host(policy=ALL, knobs=knobs, settings={"hold": 0.1}) as host:
        with host.client() as client:
            client.greet()
            client.begin("a@example.org", ["all@example.com"])
            client.send(MESSAGE + b".\r\n")
            assert client.code() == 250
            client.expect("MAIL FROM:<a@example.org>", 250)
            client.expect("RCPT TO:<no@example.com>", 550)
        [message] = host.inbox(1)
        host.wait_stderr("<closed>")
        assert "<from 127.0.0.1>" in host.stderr
    assert (message["tags"], message["recipient"], message["envelope"]) == \
        (["seen"], "other@example.net", "changed@example.net")
    assert message["mime"] == "Subject: new\r\n\r\nText\r\n"
    assert message["data"] == {"nested": [1, "x", None], "big": 9007199254740993, "slept": True}
    assert host.ledger()["pauses"] >= 3 and host.ledger()["left"] == 0


@pytest.mark.parametrize("kind", WORKING)
def test_the_log_looks_the_same(kind):
    """Where there is no MQ_log the plugin writes the line itself, as MailerQ would have."""
    policy = 'mq.log.info("one") mq.log.warn("two") mq.log.error("three")\n'
    with Host(policy=policy, knobs=WORKING[kind]) as host:
        pass
    for level, text in (("[Info]    ", "one"), ("[Warning] ", "two"), ("[Critical]", "three")):
        assert re.search(rf"^{re.escape(level)} \[\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d\] \[plugin\] .*{text}", host.stderr,
                         re.MULTILINE), host.stderr


@pytest.mark.parametrize("knobs", [{"api": "5.0"}, {"api": "4.1"}, {"api": "4.0"}], ids=lambda knobs: knobs["api"])
def test_json_library_that_nobody_named(knobs):
    """Without MQ_log nothing tells which library it is: JSON is left alone, everything else works."""
    policy = """
    mq.on("smtp_in_rcptto", function(_, address) mq.log.info("<to %s>", address.email) end)
    mq.on("smtp_in_message", function(_, message) message:tag("no") end)"""
    with Host(policy=policy, knobs={"flag-values": "odd", **knobs}, told=False) as host:
        assert host.send() == {}
        [message] = host.inbox(1)
    assert "tags" not in message
    assert "which JSON library this host uses is not known" in host.stderr
    assert "<to one@example.com>" in host.stderr
    assert "the message's JSON cannot be read" in host.stderr


PASSIVE = {
    "3.0": ({"api": "3.0"}, "this is MailerQ 2.1 or 3.0 (it has MQ_SmtpSend), which is not supported: nothing will be done"),
    "Lua of its own": ({"decoys": "on"}, "the host exports Lua functions of its own: nothing will be done"),
}


@pytest.mark.parametrize("kind", PASSIVE)
def test_passive(kind):
    """One line on stderr, and mail as without a plugin."""
    knobs, said = PASSIVE[kind]
    with Host(policy='mq.on("smtp_in_message", function(_, message) message:tag("no") end)\n', knobs=knobs) as host:
        assert host.send() == {}
        assert "tags" not in host.inbox(1)[0]
    lines = [line for line in host.stderr.splitlines() if "mailerq-lua: " in line]
    assert len(lines) == 1 and lines[0].startswith("mailerq-lua: " + said), host.stderr
    assert host.ledger()["pauses"] == 0


# Loads the plugin into a process that exports what the argument says, calls everything, and prints the answers.
ALONE = """
import ctypes, sys
if sys.argv[2:]:
    ctypes.CDLL(sys.argv[2], ctypes.RTLD_GLOBAL)
plugin = ctypes.CDLL(sys.argv[1])
plugin.mq_version()
for name in ("initialize", "context_initialize", "context_cleanup", "cleanup"):
    getattr(plugin, "mq_" + name)(None)
events = ("in_connect", "in_secure", "in_authenticate", "in_mailfrom", "in_rcptto", "in_data", "in_message", "in_close",
          "out_data", "out_sent")
for name in events:
    function = getattr(plugin, "mq_smtp_" + name)
    function.restype = ctypes.c_bool
    print(name, function(None, None, None, None, None, None))
"""


def alone(tmp_path, exported=()):
    arguments = []
    if exported:
        source = tmp_path / "host.c"
        source.write_text("".join(f"void {name}(void);\nvoid {name}(void) {{}}\n" for name in exported))
        library = tmp_path / "host.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
        arguments = [library]
    done = subprocess.run([sys.executable, "-c", ALONE, BUILD / "mailerq-lua.so", *arguments], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(name="unsanitized")
def _unsanitized():
    if "asan" in BUILD.name or "tsan" in BUILD.name:
        pytest.skip("a sanitizer must be loaded first")


def test_no_mailerq_at_all(unsanitized, tmp_path):
    done = alone(tmp_path)
    assert re.fullmatch(r"mailerq-lua: this host lacks MQ_continue, .*MQ_email: nothing will be done\n", done.stderr)
    assert done.stdout.count("False") == 10


def test_one_function_is_missing(unsanitized, tmp_path):
    listed = subprocess.run(["nm", "-D", "--defined-only", BUILD / "mqlua"], check=True, capture_output=True, text=True)
    names = [line.split()[2] for line in listed.stdout.splitlines() if line.split()[2].startswith("MQ_")]
    done = alone(tmp_path, [name for name in names if name != "MQ_setMime"])
    assert done.stderr == "mailerq-lua: this host lacks MQ_setMime: nothing will be done\n"
    assert done.stdout.count("False") == 10


def test_names_of_3_0_beside_those_of_today(unsanitized, tmp_path):
    done = alone(tmp_path, ["MQ_SmtpSend"])
    assert done.stderr.startswith("mailerq-lua: this is MailerQ 2.1 or 3.0")
    assert done.stdout.count("False") == 10
