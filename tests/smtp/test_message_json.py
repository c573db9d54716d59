# SPDX-License-Identifier: MIT
"""message.json, the helpers, and what can be written to a message that comes in."""

import json

import pytest

from mqlua import Host, wait_until
from probe import Probe


@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


def write(probe, code, **options):
    """Runs code in smtp_in_message; returns the published message."""
    trial = probe.run(message=code, **options)
    return wait_until(lambda: [m for m in probe.inbox() + probe.local() if m["envelope"] == f"{trial.name}@probe.example"
                               or trial.name in json.dumps(m)], f"the message:\n{probe.stderr[-2000:]}")[0]


# ---- writing ----

@pytest.mark.parametrize("value, expected", [
    ("'text'", "text"), ("5", 5), ("-0.5", -0.5), ("true", True), ("false", False), ("mq.null", None),
    ("{}", {}), ("mq.array{}", []), ("mq.object{}", {}), ("{1, 2}", [1, 2]), ("{a = {b = {1}}}", {"a": {"b": [1]}}),
    ("mq.array{mq.array{}, mq.null}", [[], None]), ("9007199254740993LL", 9007199254740993),
    ("-9223372036854775807LL", -9223372036854775807), ("1e15", 10**15), ("'\\195\\164'", "ä"), ("''", ""),
    ("message.mime:sub(1, 7)", "X-Trial"),
])
@pytest.mark.parametrize("pause", ["", "mq.sleep(0.001) "], ids=["at-once", "after-sleep"])
def test_values(probe, value, expected, pause):
    message = write(probe, f"message.json.value = {value} {pause} message.json.data = {{value = {value}}}")
    assert message["value"] == expected and message["data"]["value"] == expected
    assert type(message["value"]) is type(expected)


def test_empty_array_stays_an_array(probe):
    assert write(probe, "message.json.a = mq.array{} message.json.a[1] = 1 message.json.a[1] = nil")["a"] == []


def test_array_of_the_tree_that_becomes_empty(probe):
    policy = """
    mq.on("smtp_in_message", function(_, message) message.json.a = {1, 2} end)
    mq.on("smtp_in_message", function(_, message) table.remove(message.json.a) table.remove(message.json.a) end)
    """
    with Host(policy=policy) as host:
        host.send()
        assert host.inbox(1)[0]["a"] == []


def test_table_functions(probe):
    message = write(probe, "local j = message.json j.tags = {'c', 'a'} table.insert(j.tags, 'b') table.sort(j.tags) "
                           "j.joined = table.concat(j.tags, ' ') j.n = #j.tags")
    assert (message["tags"], message["joined"], message["n"]) == (["a", "b", "c"], "a b c", 3)


def test_nested_changes_are_merged(probe):
    policy = """
    mq.on("smtp_in_message", function(_, message)
      message.json.data = {keep = {x = 1}, change = 1, drop = 2, list = {1, {a = 1}, 3}}
    end)
    mq.on("smtp_in_message", function(_, message)
      local data = message.json.data
      data.change, data.drop, data.new, data.list[2].a = 9, nil, {5}, 7
    end)"""
    with Host(policy=policy) as host:
        host.send()
        assert host.inbox(1)[0]["data"] == {"keep": {"x": 1}, "change": 9, "new": [5], "list": [1, {"a": 7}, 3]}


def test_assignment_copies(probe):
    message = write(probe, "local t = {1} message.json.a = t message.json.b = t t[1] = 2 message.json.a[1] = 3")
    assert (message["a"], message["b"]) == ([3], [1])


def test_deleting(probe):
    message = write(probe, "message.json.hostname = nil message.json.nothing = nil")
    assert "hostname" not in message and ("received" in message) == (probe.knobs["json"] == "full")


def test_untouched_parts_are_unchanged(probe):
    first = write(probe, "")
    second = write(probe, "local j = message.json local _ = j.connection, j.mime, j:totable() "
                          "for k, v in pairs(j) do local _ = v end message:tag('x')")
    assert list(second)[:len(first)] == list(first)
    assert second.get("connection", {}).keys() == first.get("connection", {}).keys()


# ---- reading ----

def test_pairs_and_totable(probe):
    code = """
    local keys, n = {}, 0
    message.json.extra = {1}
    for key, value in pairs(message.json) do keys[key] = type(value) n = n + 1 end
    local all, m = message.json:totable(), 0
    for _ in pairs(all) do m = m + 1 end
    show(keys.recipient, keys.connection, keys.extra, keys.mime, n == m, type(all.mime), all.recipient, next(all) ~= nil)"""
    connection = "table" if probe.knobs["json"] == "full" else None
    assert probe.shown(message=code) == ["string", connection, "table", "userdata", True, "string", "one@example.com", True]


def test_missing_is_nil(probe):
    assert probe.shown(message="show(message.json.nothing, message.json[1], rawlen and 1)") == [None, None, None]


def test_null_is_null(probe):
    policy = """
    mq.on("smtp_in_message", function(_, message) message.json.x = mq.null end)
    mq.on("smtp_in_message", function(_, message) mq.log.info("<%s>", message.json.x == mq.null) end)"""
    with Host(policy=policy) as host:
        host.send()
        host.wait_stderr("<true>")


def test_encode_of_the_document(probe):
    [text] = probe.shown(message="local t = message.json:totable() t.mime = nil show(mq.json.encode(t))")
    assert json.loads(text)["recipient"] == "one@example.com"


# ---- errors ----

@pytest.mark.parametrize("code, message", [
    ("json.ips = {}", "json.ips must be an array: write mq.array{}"),
    ("json.ips = 'x'", "json.ips must be an array, got string"),
    ("json.ips = {1}", "json.ips[1] must be a string, got number"),
    ("json.tags = {a = 1}", "json.tags must be an array, got table"),
    ("json.maxattempts = 'x'", "json.maxattempts must be a whole number, got string"),
    ("json.maxattempts = 1.5", "json.maxattempts must be a whole number"),
    ("json.maxdelivertime = 'tomorrow'", "json.maxdelivertime must be a time in UTC"),
    ("json.dsn = 'x'", "json.dsn must be an object"),
    ("json.dsn = {1}", "json.dsn must be an object"),
    ("json.x = print", "json.x: "),
    ("json.x = {message}", "json.x[1]: "),
    ("json.x = {a = {1, 2, print}}", "json.x.a[3]: "),
    ("json.x = {1, a = 2}", "json.x: "),
    ("json.x = 1/0", "json.x: "),
    ("local t = {} t.t = t json.x = t", "json.x.t"),
    ("local t = {} for i = 1, 600 do t = {t} end json.x = t", "512"),
    ("json[1] = 1", "keys must be strings"),
    ("json.recipient = nil", "recipient must be an address"),
    ("json.recipient = 'nobody'", "recipient must be an address such as"),
    ("json.recipient = 'a@b.c>\\r\\nX'", "has a control character"),
    ("json.mime = 'no header'", ""),
    ("json.mime = 5", ""),
    ("message.recipient = nil", "recipient must be an address"),
    ("message.envelope = 'x'", "envelope must be an address such as"),
    ("message.nothing = 1", "nothing"),
    ("message.json = {}", "json"),
])
def test_errors(probe, code, message):
    text = probe.error(message=f"local json = message.json raises(function() {code} end)")
    assert text != "NO ERROR" and message in text


def test_error_in_a_nested_table_is_found_at_the_end(probe):
    trial = probe.run(message="message.json.data = {a = {1, 2}} message.json.data.a[3] = print message:tag('lost')")
    probe.wait_stderr(r"json\.data\.a\[3\]: ")
    assert all("lost" not in json.dumps(m) for m in trial.published)


# ---- recipient, envelope, mime ----

@pytest.mark.parametrize("code, key, value", [
    ("message.recipient = 'new@example.net'", "recipient", "new@example.net"),
    ("message.json.recipient = 'new@example.net'", "recipient", "new@example.net"),
    ("message.recipient = message.envelope", "recipient", None),
    ("message.envelope = 'me@example.net'", "envelope", "me@example.net"),
    ("message.mime = 'A: b\\r\\n\\r\\nText\\r\\n'", "mime", "A: b\r\n\r\nText\r\n"),
    ("message.mime = 'A: b\\n\\nText\\n'", "mime", "A: b\r\n\r\nText\r\n"),
])
@pytest.mark.parametrize("api", ["address", "string"])
def test_addresses_and_mime(api, code, key, value):
    with Probe(knobs={"recipient": api}, settings={"host": {"address_api": api}}) as host:
        trial = host.run(message=code + f" show(tostring(message.{key}), tostring(message.json.{key}))")
        [message] = host.inbox(1)
        value = value or f"{trial.name}@probe.example"
        assert message[key] == value
        assert trial.wait_shown() == [[value, value]]


@pytest.mark.parametrize("code", ["message.envelope = nil", "message.json.envelope = nil", "message.envelope = ''"])
def test_null_sender(probe, code):
    with Probe() as host:
        trial = host.run(message=code + " show(message.envelope.is_null, message.envelope.email)")
        [message] = host.inbox(1)
        assert trial.wait_shown() == [[True, None]]
    assert not message.get("envelope")


# ---- is_local ----

@pytest.mark.parametrize("pause", ["", "mq.sleep(0.001) "], ids=["at-once", "after-sleep"])
def test_is_local_of_a_recipient(pause):
    with Probe(knobs={"local": "address"}, settings={"host": {"local_api": "address"}}) as host:
        trial = host.run(rcptto="show(address.is_local) address.is_local = true show(address.is_local)")
        assert trial.wait_shown(2) == [[False], [True]]
        assert len(host.local(1)) == 1 and not host.inbox()
        message = host.error(rcptto=pause + "raises(function() local _ = address.is_local end)")
    assert ("before the handler waits" in message) == bool(pause)


def test_is_local_and_then_waiting_is_refused():
    with Probe(knobs={"local": "address"}, settings={"host": {"local_api": "address"}}) as host:
        host.run(rcptto="address.is_local = true mq.sleep(0.001)")
        host.wait_stderr("address.is_local was assigned and then the handler waited")
        host.inbox(1)
        assert not host.local()


@pytest.mark.parametrize("pause", ["", "mq.sleep(0.001) "], ids=["at-once", "after-sleep"])
@pytest.mark.parametrize("local", ["message", "address"])
def test_is_local_of_a_message(local, pause):
    settings = {"host": {"local_api": local, "address_api": "address"}}
    with Probe(knobs={"local": local, "recipient": "address"}, settings=settings) as host:
        trial = host.run(message=pause + "show(message.is_local) message.is_local = true show(message.is_local)")
        assert trial.wait_shown(2) == [[False], [True]]
        assert len(host.local(1)) == 1


def test_is_local_dropped_on_failure():
    with Probe(knobs={"local": "message"}, settings={"host": {"local_api": "message"}}) as host:
        host.run(message="message.is_local = true error('x')")
        assert len(host.inbox(1)) == 1 and not host.local()


@pytest.mark.parametrize("settings, knobs, event, object_, error", [
    ({"local_api": "message"}, {"local": "message"}, "rcptto", "address", "MQ_local takes messages: use message.is_local in smtp_in_message"),
    ({"local_api": "address", "address_api": "string"}, {"local": "address", "recipient": "string"}, "message", "message",
     "use address.is_local in smtp_in_rcptto"),
    ({"local_api": "address"}, {}, "mailfrom", "address", "only for the address of smtp_in_rcptto"),
])
def test_is_local_where_it_cannot_be(settings, knobs, event, object_, error):
    with Probe(knobs=knobs, settings={"host": settings}) as host:
        for code in (f"local _ = {object_}.is_local", f"{object_}.is_local = true"):
            assert error in host.error(**{event: f"raises(function() {code} end)"})


# ---- helpers ----

def test_tag(probe):
    assert write(probe, "message:tag('a', 'b') message:tag('b', 'c')")["tags"] == ["a", "b", "c"]


def test_add_dkim(probe):
    code = "message:add_dkim{domain = 'a.example', selector = 's', key = 'k'} message:add_dkim{domain = 'b.example', selector = 's', key = 'k'}"
    assert [key["domain"] for key in write(probe, code)["dkim"]] == ["a.example", "b.example"]


def test_add_dkim_to_a_single_object(probe):
    code = "message.json.dkim = {domain = 'a.example', selector = 's', key = 'k'} " \
           "message:add_dkim{domain = 'b.example', selector = 's', key = 'k'}"
    assert [key["domain"] for key in write(probe, code)["dkim"]] == ["a.example", "b.example"]


def test_delay_and_expire(probe):
    message = write(probe, "message:delay(3600) message:expire(7200)")
    assert message["delayed"] == message["nextattempt"]["time"] < message["maxdelivertime"]
    assert len(message["maxdelivertime"]) == 19


def test_header_edits(probe):
    code = "message:add_header('X-A', '1') message:add_header('X-A', '2') message:add_header('X-B', '3') message:remove_header('Received') message:remove_header('X-C')"
    assert write(probe, code)["headers"] == {"append": {"X-A": ["1", "2"], "X-B": "3"}, "remove": ["Received", "X-C"]}


MIME = b"Subject: one\r\n folded\r\nsubject: two\r\nX-Empty:\r\nTo: a@b.example\r\n\r\nSubject: body\r\n"


def test_header(probe):
    code = "show(message:header('subject'), message:header('Subject', 2), message:header('Subject', 3), message:header('x-empty'), message:header('none'))"
    assert probe.run(mime=MIME, message=code).wait_shown() == [["one folded", "two", None, "", None]]


def test_headers(probe):
    code = "local all = message:headers() show(all[#all].name, all[#all].value, #all >= 5)"
    [[name, value, enough]] = probe.run(mime=MIME, message=code).wait_shown()
    assert (name, value, enough) == ("To", "a@b.example", True)


@pytest.mark.parametrize("code", [
    "add_header('X-A', {})", "add_header('X-A:', 'x')", "add_header('', 'x')", "add_header('X A', 'x')", "add_header('X-A', 5)",
    "remove_header('X\\n')", "tag(5)", "add_dkim('x')", "add_dkim{domain = 'x'}", "delay(-1)", "delay('x')",
    "expire(0/0)", "expire(1e12)", "header()", "header('X', 0)"])
def test_helpers_refuse(probe, code):
    assert probe.error(message=f"raises(function() message:{code} end)") != "NO ERROR"


# ---- large ----

def test_large_message_with_a_small_cap():
    body = b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 140000
    with Probe(settings={"memory": "4MB"}) as host:
        trial = host.run(mime=body, message="message:tag('x') show(message.json.recipient, #message.mime > 10000000)")
        assert trial.wait_shown() == [["one@example.com", True]]
        [message] = host.inbox(1)
    assert message["tags"] == ["x"] and len(message["mime"]) > 10000000
