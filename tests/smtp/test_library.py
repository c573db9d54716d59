# SPDX-License-Identifier: MIT
"""The small parts of the library: networks, data files, passwords, metrics, log, clock, JSON text."""

import re
import subprocess
import time

import pytest

from mqlua import Host
from probe import Probe

DATA = {"blocked.txt": "# bad\nBad@example.com\n@evil.example # all of it\n\nplain\n",
        "map.txt": "# routes\na@example.com   first value\n@example.com second\nkey value with blanks\n",
        "text.txt": "some\0text\n"}

EXTRA = """
blocked, routes, text = mq.set("blocked.txt"), mq.map("map.txt"), mq.file("text.txt")
"""


@pytest.fixture(scope="module")
def probe():
    with Probe(extra=EXTRA, files=DATA) as host:
        yield host


# ---- mq.cidr ----

@pytest.mark.parametrize("networks, ip, inside", [
    ("{'192.0.2.0/24'}", "192.0.2.255", True), ("{'192.0.2.0/24'}", "192.0.3.0", False),
    ("{'192.0.2.7'}", "192.0.2.7", True), ("{'2001:db8::/32'}", "2001:db8:1::1", True),
    ("{'2001:db8::/32'}", "2001:db9::1", False), ("{'0.0.0.0/0'}", "::1", False),
    ("{'10.0.0.0/8', '192.0.2.0/24'}", "10.1.2.3", True), ("{}", "10.1.2.3", False),
    ("{'192.0.2.0/24'}", "::ffff:192.0.2.1", True), ("'10.0.0.0/8'", "10.0.0.1", True)])
def test_cidr(probe, networks, ip, inside):
    assert probe.shown(rcptto=f"show(mq.cidr({networks}):contains('{ip}'))") == [inside]


@pytest.mark.parametrize("code", ["mq.cidr{'x'}", "mq.cidr{'10.0.0.0/33'}", "mq.cidr{5}", "mq.cidr()", "mq.cidr{'10.0.0.0/8'}:contains('x')",
                                  "mq.cidr{'10.0.0.1/8/9'}"])
def test_cidr_misuse(probe, code):
    assert probe.error(rcptto=f"raises(function() return {code} end)") != "NO ERROR"


def test_cidr_names_the_entry(probe):
    assert "entry 2" in probe.error(rcptto="raises(mq.cidr, {'10.0.0.0/8', '10.0.0.0/40'})")


def test_cidr_with_the_client(probe):
    assert probe.shown(rcptto="show(mq.cidr{'127.0.0.0/8'}:contains(connection.remote_ip))") == [True]


# ---- data files ----

@pytest.mark.parametrize("code, value", [
    ("blocked:contains('plain')", True), ("blocked:contains('PLAIN')", True), ("blocked:contains('bad')", False),
    ("blocked:lookup('bad@EXAMPLE.com')", True), ("blocked:lookup('any@evil.example')", True),
    ("blocked:lookup('any@example.com')", False), ("blocked:lookup(address)", False), ("#blocked", 3),
    ("routes:get('key')", "value with blanks"), ("routes:get('none')", None),
    ("routes:lookup('a@example.com')", "first value"), ("routes:lookup('b@Example.Com')", "second"),
    ("routes:lookup(address)", "second"), ("routes:lookup('b@example.org')", None), ("#text", 10), ("routes:get(nil)", None)])
def test_lookup(probe, code, value):
    assert probe.shown(rcptto=f"show({code})") == [value]


def test_file_that_was_not_named_while_loading(probe):
    assert probe.error(rcptto="raises(mq.file, 'other.txt')") != "NO ERROR"


def test_file_that_is_not_there():
    host = Host(policy='mq.set("missing.txt")\n', start=False)
    with pytest.raises(AssertionError):
        host.start()
    with host:
        host.wait_end()
    assert "policy.lua:1: mq.set: " in host.stderr and "missing.txt" in host.stderr


# ---- passwords ----

def hashed(method):
    return subprocess.run(["openssl", "passwd", method, "-salt", "saltsalt", "secret"], check=True, capture_output=True,
                          text=True).stdout.strip()


@pytest.mark.parametrize("method", ["-5", "-6"])
def test_password(probe, method):
    code = f"show(mq.password.verify('secret', '{hashed(method)}'), mq.password.verify('wrong', '{hashed(method)}'))"
    assert probe.shown(rcptto=code) == [True, False]


@pytest.mark.parametrize("text", ["", "*", "!", "plain", "$9$x$y"])
def test_password_with_a_hash_that_is_none(probe, text):
    shown = probe.shown(rcptto=f"show(mq.password.verify('plain', '{text}'))")
    assert shown[0] in (None, False)


def test_password_many_at_once(probe):
    code = f"""
    local tasks = {{}}
    for i = 1, 20 do tasks[i] = mq.spawn(function() return mq.password.verify(i % 2 == 0 and 'secret' or 'x', '{hashed('-5')}') end) end
    local good = 0
    for _, r in ipairs(mq.wait(tasks)) do good = good + (r.value and 1 or 0) end
    show(good)"""
    assert probe.shown(rcptto=code) == [10]


def test_password_of_a_client_that_left(probe):
    trial, client = probe.begin(mailfrom=f"for _ = 1, 20 do mq.password.verify('x', '{hashed('-6')}') end show('no')")
    with client:
        client.send(f"MAIL FROM:<{trial.name}@probe.example>\r\n")
    assert probe.run().codes[-1] == 221


# ---- metrics ----

def test_metrics():
    policy = """
    local seen = mq.counter("seen_total", {help = "Recipients", labels = {"domain"}, max_series = 2})
    local level = mq.gauge("level")
    local sizes = mq.histogram("sizes", {buckets = {1, 10}})
    mq.on("smtp_in_rcptto", function(_, address)
      seen:inc(address.domain)
      level:set(5)
      sizes:observe(3)
    end)
    mq.on("smtp_in_message", function() for line in mq.metrics():gmatch("[^\\n]+") do mq.log.info("<%s>", line) end end)
    """
    with Host(policy=policy) as host:
        host.send(recipients=["a@one.example", "b@one.example", "c@two.example", "d@three.example", "e@four.example"])
    lines = re.findall("<(.*)>", host.stderr)
    if not any('domain="one.example"' in line for line in lines):
        pytest.fail(host.stderr)
    assert 'seen_total{domain="one.example"} 2' in lines
    assert 'seen_total{domain="other"} 2' in lines
    assert "level 5" in lines
    assert 'sizes_bucket{le="10"} 5' in lines and "sizes_count 5" in lines and "sizes_sum 15" in lines


@pytest.mark.parametrize("code", ["mq.counter('bad name')", "mq.counter('x', {lables = {}})", "mq.gauge()", "mq.counter('y', {labels = {'a b'}})"])
def test_metrics_misuse(probe, code):
    assert probe.error(rcptto=f"raises(function() {code} end)") != "NO ERROR"


# ---- log ----

@pytest.mark.parametrize("level, prefix", [("info", r"\[Info\]"), ("warn", r"\[Warning\]"), ("error", r"\[Critical\]")])
def test_log_levels(probe, level, prefix):
    probe.run(rcptto=f"mq.log.{level}('level %s %d', '{level}', 5)")
    probe.wait_stderr(prefix + rf" .*t\d+-:1: level {level} 5 \(generation 1\)$")


def test_log_keeps_to_one_line(probe):
    probe.run(rcptto="mq.log.info('one\\r\\ntwo\\27[31m\\0three')")
    probe.wait_stderr(r"one  two \[31m")


def test_log_takes_text_without_arguments_as_it_is(probe):
    probe.run(rcptto="mq.log.info('100%')")
    probe.wait_stderr("100% ")


def test_log_misuse(probe):
    assert "bad argument #2 to 'info'" in probe.error(rcptto="raises(function() mq.log.info('%d', 'x') end)")


def test_log_of_a_long_text(probe):
    probe.run(rcptto="mq.log.info('long ' .. ('x'):rep(100000))")
    probe.wait_stderr("long xxxx")


# ---- clock ----

def test_now(probe):
    [now] = probe.shown(rcptto="show(mq.now())")
    assert abs(now - time.time()) < 60


# ---- JSON text ----

@pytest.mark.parametrize("text", ['{"a":[1,2.5,"x",true,null]}', "[]", "{}", '[[],{}]', "9223372036854775807", '"\\u0000"', '"\u00e4"'])
def test_json_there_and_back(probe, text):
    assert probe.shown(rcptto=f"show(mq.json.encode(mq.json.decode([==[{text}]==])) == [==[{text}]==])") == [True]


@pytest.mark.parametrize("text, message", [("{", "line 1"), ("[1,\\n2,\\nx]", "line 3"), ("", "line 1"), ("[1] 2", "line 1")])
def test_json_errors_have_a_place(probe, text, message):
    value, error = probe.shown(rcptto=f"show(mq.json.decode('{text}'))")[:2]
    assert value is None and message in error


@pytest.mark.parametrize("value, path", [("{a = print}", "a"), ("{1, {b = 0/0}}", "[2].b"), ("{[1] = 1, x = 2}", ""),
                                         ("(function() local t = {} t.t = t return t end)()", "t")])
def test_json_errors_have_a_path(probe, value, path):
    message = probe.error(rcptto=f"raises(mq.json.encode, {value})")
    assert message != "NO ERROR" and path in message
