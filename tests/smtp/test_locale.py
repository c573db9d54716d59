# SPDX-License-Identifier: MIT
"""Hosts that call setlocale: what a policy sees and writes is the same in each locale."""

import json
import re
import subprocess
import sys

import pytest

import locales
from mqlua import Host

POLICY = r"""
local lines = mq.set("set.txt")
local took = mq.gauge("policy_took")

mq.on("smtp_in_rcptto", function(connection, address)
  mq.log.info("to %s|%s|%s", address.localpart, address.domain, lines:lookup(address))
end)

mq.on("smtp_in_message", function(connection, message)
  local json = message.json
  took:set(2.25)
  json.half = 1.5
  json.real = mq.json.decode("[0.25, 1e-3, 12345.678]")
  json.text = mq.json.encode({ 0.5, 1e100, -0.125 })
  json.formatted = string.format("%.2f %g %5.1f", 1.25, 0.5, 2.5)
  json.number = tostring(1.5) .. " " .. tostring(tonumber("2.5")) .. " " .. tostring(tonumber("2,5"))
  json.list = message:header("list-id") .. "|" .. message:header("LIST-ID") .. "|" .. message:header("X-InIt")
  json.lower = ("WIKI I"):lower() .. ("wiki i"):upper()
  json.bytes = tostring(("\221\253\196\176\195\156"):lower() == "\221\253\196\176\195\156")
  json.letters = tostring(("\221\253"):find("[%a%s%p%c%d%w%u%l]"))
  json.date = os.date("!%a, %d %b %Y %H:%M:%S %p", 86400 * 60)
  json.metrics = mq.metrics():match("\npolicy_took ([^\n]*)")
  json.missing = select(2, io.open("/nowhere/at/all")) and "yes"
  message:tag("INFO", "info")
end)
"""

MAIL = b"Subject: x\r\nLIST-ID: <i.example>\r\nx-init: y\r\n\r\nText\r\n"


@pytest.mark.parametrize("name", locales.ALL)
def test_all_is_the_same(name):
    host = Host(policy=POLICY, start=False, knobs={"locale": "environment"}, environment=locales.environment(name),
                settings={"budget": 0.75, "deadline": {"incoming": 2.5, "outgoing": 1.5}, "memory": "64mb"})
    (host.policy_path.parent / "set.txt").write_text("info@WIKI.example\n@IIII.example\n")
    with host.start():
        with host.client() as client:
            assert client.code() == 220
            client.expect("ehlo client.example", 250)
            client.expect("mail from:<sender@example.org>", 250)
            for address in ["INFO@wiki.EXAMPLE", "x@IiIi.example", "x@WIKI.EXAMPLE"]:
                client.expect(f"rcpt to:<{address}>", 250)
            client.expect("data", 354)
            client.send(MAIL + b".\r\n")
            assert client.code() == 250
        message = host.inbox(3)[0]
    assert re.findall(r"to (\S+) \(generation", host.stderr) == [
        "INFO|wiki.example|true", "x|iiii.example|true", "x|wiki.example|false"]
    wanted = {
        "half": 1.5, "real": [0.25, 0.001, 12345.678], "text": "[0.5,1e+100,-0.125]", "formatted": "1.25 0.5   2.5",
        "number": "1.5 2.5 nil", "list": "<i.example>|<i.example>|y", "lower": "wiki iWIKI I", "bytes": "true",
        "letters": "nil", "date": "Mon, 02 Mar 1970 00:00:00 AM", "metrics": "2.25", "missing": "yes",
        "tags": ["INFO", "info"],
    }
    assert {key: message[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", locales.ALL)
def test_utf8_is_left_alone(name):
    policy = """
    mq.on("smtp_in_rcptto", function(connection, address) mq.log.info("to %s", address.domain) end)"""
    with Host(policy=policy, knobs={"locale": "environment"}, environment=locales.environment(name)) as host, \
            host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<sender@example.org> SMTPUTF8", 250)
        client.send("RCPT TO:<joe@ÝÞß-Şİ.EXAMPLE>\r\n".encode())
        assert client.code() == 250
        host.wait_stderr("to ÝÞß-Şİ.example ")


@pytest.mark.parametrize("name", locales.ALL)
def test_messages_of_the_settings(name):
    host = Host(policy=POLICY, start=False, settings={"deadline": {"incoming": 1e6}}, knobs={"locale": "environment"},
                environment=locales.environment(name))
    with pytest.raises(AssertionError):
        host.start()
    assert "incoming must be from 0.1 to 3600 seconds" in host.stderr


def test_a_locale_that_is_not_there():
    host = Host(plugins=[], start=False, knobs={"locale": "environment"}, environment={"LC_ALL": "xx_XX.nothing"})
    with pytest.raises(AssertionError):
        host.start()
    assert "locale that the environment asks for is not there" in host.stderr


def test_the_locales_are_what_they_are_said_to_be():
    """The tests above would prove nothing in locales that are like C."""
    code = ("import ctypes, json, locale; c = ctypes.CDLL(None); locale.setlocale(locale.LC_ALL, ''); "
            "buffer = ctypes.create_string_buffer(20); c.snprintf(buffer, 20, b'%.1f', ctypes.c_double(1.5)); "
            "print(json.dumps([c.tolower(ord('I')), c.isalpha(0xdd), buffer.value.decode()]))")
    found = {}
    for name in locales.ALL:
        done = subprocess.run([sys.executable, "-c", code], env=locales.environment(name), capture_output=True, text=True)
        found[name] = json.loads(done.stdout)
    assert found[locales.TURKISH][0] != ord("i") and found[locales.TURKISH][1]
    assert found[locales.GERMAN][2] == "1,5" and found[locales.LATIN][1] and found[locales.PASHTO][2] == "1٫5"
