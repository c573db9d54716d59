# SPDX-License-Identifier: MIT
"""Header fields of whatever a sender writes: what getters return, setters take, and nothing raises. Handlers see
their own edits. The mail in MQLUA_CORPUS (default: ../shared/corpora/mail) is tried where it is there."""

import email
import email.policy
import os
import pathlib
import random
import re

import pytest

from mqlua import ROOT, Host, wait_until
from probe import Probe, delivering
from sink import Sink

CORPUS = pathlib.Path(os.environ.get("MQLUA_CORPUS", ROOT / "../shared/corpora/mail"))

# Every pair of a getter and a setter. What fails is a message without "fields" in its JSON.
ROUND = """
local fields = message:headers()
local json = message.json
for _, field in ipairs(fields) do
  local first = message:header(field.name)
  assert(first, field.name)
  message:add_header("X-Old", first)
  message:remove_header(field.name)
  assert(message:header(field.name) == nil, field.name)
  message:add_header(field.name, field.value)
  message:tag(field.value, message:header("X-Absent"))
end
message:add_header("X-Old", message:header("X-Absent"))
message:tag("in", message.recipient.domain, message.envelope.domain, message.recipient)
message.envelope = message.envelope
message.recipient = message.recipient
message.mime = message.mime
mq.json.encode(json:totable())
message.mime = message.mime .. "footer\\r\\n"
mq.log.info("%s", message.mime:sub(1, 20))
json.fields = fields
json["seen"] = message:headers()
"""


def wire(mail):
    """The mail with whole line ends, as SMTP has it."""
    return re.sub(rb"\r*\n|\r+", b"\r\n", mail)


class Mailbox:
    """A host whose policy does ROUND to each message; run(mails) returns what was published for each."""

    def __init__(self):
        self.host = Host(policy=f"mq.on('smtp_in_message', function(connection, message) {ROUND} end)\n")

    def __enter__(self):
        self.host.__enter__()
        return self

    def __exit__(self, *error):
        self.host.__exit__(*error)

    def run(self, mails):
        with self.host.client() as client:
            client.greet()
            for number, mail in enumerate(mails):
                client.begin(recipients=[f"m{number}@example.com"])
                client.send((b"\r\n" + mail).replace(b"\r\n.", b"\r\n..")[2:] + b"\r\n" * (mail[-2:] != b"\r\n") + b".\r\n")
                assert client.code() == 250
        inbox = wait_until(lambda: len(self.host.inbox()) == len(mails) and self.host.inbox(), "the messages")
        by_recipient = {message["recipient"]: message for message in inbox}
        published = [by_recipient[f"m{number}@example.com"] for number in range(len(mails))]
        failed = [number for number, message in enumerate(published) if "fields" not in message]
        assert not failed, (mails[failed[0]][:300], self.host.stderr[-3000:])
        return published


# ---- what is a field, and where the header ends ----

FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")


def postfix(mail):
    """Names of the fields as Postfix has them: is_header() in global/is_header.c, mime_state.c, smtpd.c."""
    names, lines = [], mail.split(b"\r\n")
    while lines and lines[0].lstrip(b">").startswith(b"From "):
        del lines[0]
    for line in lines:
        field = FIELD.match(line)
        if field:
            names.append(field[1].decode())
        elif not (line[:1] in (b" ", b"\t") and names):
            break
    return names


def python(mail):
    """Names and values of the fields as Python's parser has them."""
    parsed = email.message_from_bytes(mail, policy=email.policy.compat32)
    return [(name, re.sub("[\r\n]", "", value).strip(" \t")) for name, value in parsed.raw_items()]


def shown(text):
    """What is no UTF-8 is U+FFFD in the JSON."""
    raw = str(text).encode("ascii", "surrogateescape")
    return re.sub("[\ud800-\udfff]", "\ufffd", raw.decode("utf-8", "surrogateescape"))


def check_fields(mail, fields):
    """The header ends where both agree; where they do not, it is the longer one."""
    names = [field["name"] for field in fields]
    theirs = postfix(mail)
    assert names[:len(theirs)] == theirs, mail[:500]
    if re.search(rb"\n>*From ", mail.split(b"\r\n\r\n")[0]) or mail.startswith(b">"):
        return  # Python passes over these lines in the middle of a header, and no other program does
    reference = [(shown(name), shown(value)) for name, value in python(mail)]
    mine = [(field["name"], field["value"]) for field in fields]
    assert mine[:len(reference)] == reference, mail[:500]
    assert len(mine) == max(len(reference), len(theirs)) or re.search(rb"(^|\n):|[ \t]:", mail)


# ---- generated and real mail ----

NAMES = [b"Subject", b"X-A", b"x-a", b"X-Spam x", b"X-\xe4", b"", b"X-N\0", b"Subject ", b" X-Fold", b"X" * 1200, b"From a",
         b">From b"]
VALUES = [b"", b" ", b"text", b"gr\xfcn", "grün € 📧".encode(), b"a\0b", b"\x01\x7f\x1b[0m",
          b"one\r\n two\r\n\t three", b"\r\n ", b"word " * 400,
          b"y" * 2500, "ü".encode() * 700, b"=?UTF-8?Q?a_b?= c", b"a <b@c.example>", b"{$name}%s\\\"", b":", b"a:b"]


def generate(source):
    lines = [b"From a@b.example Mon Nov 23 12:00:00 2026"] if source.random() < .1 else []
    for _ in range(source.choice([0, 1, 2, 5, 9])):
        lines.append(source.choice(NAMES) + source.choice([b":", b":", b": ", b""]) + source.choice(VALUES))
    ends = source.choice([b"\r\n\r\nbody\r\n", b"\r\n\r\n", b"\r\n", b"\r\nbody\r\n\r\nX: no\r\n", b"\r\n\r\na\0b\xff\r\n"])
    return b"\r\n".join(lines) + ends


def test_generated():
    source = random.Random(int(os.environ.get("MQLUA_SEED", "1")))
    mails = [generate(source) for _ in range(int(os.environ.get("MQLUA_MAILS", "150")))]
    mails += [b"Subject: only\r\n", b"\r\nbody\r\n", b"X: " + b"z" * 50_000 + b"\r\n\r\n",
              b"X: " + b"z " * 25_000 + b"\r\n z" * 30_000 + b"\r\n\r\n",
              b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(300)) + b"\r\n"]
    with Mailbox() as mailbox:
        for mail, message in zip(mails, mailbox.run(mails)):
            check_fields(mail, message["fields"])
            check_lines(message)


def test_corpus():
    mails = [wire(path.read_bytes()) for path in sorted(CORPUS.rglob("*")) if path.is_file()] if CORPUS.exists() else []
    if not mails:
        pytest.skip(f"no mail in {CORPUS}")
    with Mailbox() as mailbox:
        for mail, message in zip(mails, mailbox.run(mails)):
            check_fields(mail, message["fields"])
            check_lines(message)


def check_lines(message):
    """Nothing that was written makes a line that is no line of a header, in the JSON and in the content."""
    headers = message.get("headers", {})
    for name, values in headers.get("append", {}).items():
        for value in [values] if isinstance(values, str) else values:
            assert re.fullmatch("[ -~]*", value), (name, value)
            assert len(name) + 2 + len(value) <= 998, (name, value)
    assert "\0" not in message["mime"] and not re.search("\r(?!\n)|(?<!\r)\n", message["mime"])


# ---- text ----

@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


def write(probe, code, **options):
    trial = probe.run(message=code, **options)
    return wait_until(lambda: trial.published, "the message")[0]


def decoded(message, name):
    """The fields of that name as a mail program shows them."""
    header = message["mime"].split("\r\n\r\n")[0]
    values = message.get("headers", {}).get("append", {}).get(name, [])
    lines = [f"{name}: {value}" for value in ([values] if isinstance(values, str) else values)]
    parsed = email.message_from_string("\r\n".join([header, *lines, "", ""]), policy=email.policy.default)
    return [str(value) for value in parsed.get_all(name, [])]


@pytest.mark.parametrize("text", [
    "plain", "grün", "a grün b", "€" * 300, "x" * 990, "x" * 5000, "word " * 400 + "end", "a  b   c" * 200 + "ü",
    "grün " + "x" * 3000 + " blau",
    "", "\U0001f4e7" * 100, "=?x", "a\tb", "x" * 992, "x" * 993, "Jörg <joerg@example.org>"])
def test_header_text(probe, text):
    code = f"message:add_header('X-A', {lua(text)}) show(message:header('X-A') ~= nil)"
    message = write(probe, code)
    check_lines(message)
    assert decoded(message, "X-A") == [text.replace("\t", " ").strip()]
    header = message["mime"].split("\r\n\r\n")[0]
    assert all(len(line) <= 998 for line in header.split("\r\n"))
    for word in re.findall(r"=\?UTF-8\?B\?.*?\?=", str(message["headers"]) + header):
        assert len(word) <= 75


def lua(text):
    return '"' + "".join(f"\\{byte:03}" for byte in text.encode()) + '"'


def test_controls_are_blanks(probe):
    message = write(probe, "message:add_header('X-A', 'a\\r\\nX-B: c\\0d\\127 ')")
    assert message["headers"]["append"] == {"X-A": "a  X-B: c d"}


def test_values_that_are_no_strings(probe):
    code = "local add = message.add_header " \
           "add(message, 'X-A', message.recipient) add(message, 'X-A', nil) add(message, 'X-A', message.mime)"
    assert write(probe, code)["headers"]["append"]["X-A"][0] == "one@example.com"


def test_addresses_and_buffers_are_what_they_show():
    policy = """
    local seen = mq.counter("seen", {labels = {"who"}})
    mq.on("smtp_in_message", function(_, message)
      local who, mime, json = message.recipient, message.mime, message.json
      seen:inc(who)
      json.a, json.b, json.c = who, {who, mime, n = nil}, mq.json.encode({who, message.envelope})
      json.d = "x"
      json.d = who
      message:tag(who)
      mq.log.info(who)
      mq.log.info("%s %s", who, mime:sub(1, 4))
      mq.log.info("<%s>", mq.metrics():match('seen{who="(.-)"}'))
      return mq.quarantine(who, who)
    end)
    """
    with Host(policy=policy) as host:
        host.send("", ["one@example.com"])
        [message] = host.inbox(1)
    who = "one@example.com"
    assert (message["a"], message["d"], message["b"][0], message["tags"][0]) == (who, who, who, who)
    assert message["b"][1] == message["mime"] and message["c"] == f'["{who}","<>"]' and message["mailerq-lua"]["reason"] == who
    assert f"{who} From" in host.stderr and f"<{who}>" in host.stderr


def test_a_long_field_replaces_what_was_removed(probe):
    mime = b"X-A: old\r\nX-B: 1\r\nx-a: old\r\n folded\r\nX-C: 2\r\n\r\nbody\r\n"
    code = "message:remove_header('X-A') message:add_header('X-A', ('word '):rep(400)) message:remove_header('X-C')"
    message = write(probe, code, mime=mime)
    assert decoded(message, "X-A") == ["word " * 399 + "word"] and message["headers"] == {"remove": ["X-C"]}
    assert message["mime"].endswith("word\r\n\r\nbody\r\n") and "\r\nX-B: 1\r\nX-C: 2\r\nX-A: word" in message["mime"]


# ---- edits are seen ----

@pytest.mark.parametrize("code, expected", [
    ("message:add_header('X-A', '3')", [("X-A", "1"), ("X-B", "2"), ("X-A", "3")]),
    ("message:remove_header('x-a')", [("X-B", "2")]),
    ("message:remove_header('x-a') message:add_header('X-A', '3')", [("X-B", "2"), ("X-A", "3")]),
    ("message:add_header('X-A', '3') message:remove_header('x-A')", [("X-B", "2")]),
    ("message:add_header('X-C', '3') message:add_header('X-C', '4')",
     [("X-A", "1"), ("X-B", "2"), ("X-C", "3"), ("X-C", "4")]),
    ("message.json.headers = {prepend = {['X-C'] = 3}, replace = {['x-a'] = '4', ['X-D'] = '5'}, "
     "update = {['X-B'] = {'6', '7'}, ['X-E'] = '8'}}",
     [("X-C", "3"), ("X-A", "4"), ("X-B", "6"), ("X-B", "7"), ("X-D", "5")]),
    ("message.json.headers = {remove = 'X-A', append = 'x', add = {['X-F'] = {'1', 2, true}, ['X G'] = '1'}, replace = 5}",
     [("X-B", "2"), ("X-F", "1"), ("X-F", "2")]),
])
def test_edits_are_seen(probe, code, expected):
    look = """
    local list, again = mq.array({}), true
    local count = {}
    for _, field in ipairs(message:headers()) do
      if field.name ~= "X-Trial" then
        local name = field.name:lower()
        count[name] = (count[name] or 0) + 1
        list[#list + 1] = {field.name, field.value}
        again = again and message:header(name, count[name]) == field.value
      end
    end
    for name, n in pairs(count) do again = again and message:header(name, n + 1) == nil end
    show(again, list)
    """
    trial = probe.run(mime=b"X-A: 1\r\nX-B: 2\r\n\r\nbody\r\n", message=code + look)
    [again, fields] = trial.wait_shown()[0]
    seen = [(name if name.lower() != "x-a" else "X-A", value) for name, value in fields]
    assert (again, seen) == (True, expected)


def test_the_next_handler_sees_edits():
    policy = """
    mq.on("smtp_in_message", function(_, message) message:remove_header("Subject") message:add_header("X-A", "1") end)
    mq.on("smtp_in_message", function(_, message)
      message.json.seen = {message:header("X-A"), message:header("Subject") or "none"}
    end)
    """
    with Host(policy=policy) as host:
        host.send()
        assert host.inbox(1)[0]["seen"] == ["1", "none"]


# ---- outgoing mail: MailerQ may apply json.headers before, behind, or never ----

def outgoing(code, line, event="data"):
    policy = f"""
    mq.on('smtp_out_{event}', function(_, message)
      local _, result = pcall(function() {code} end)
      mq.log.info("<%s>", tostring(result))
    end)"""
    with Sink() as sink, delivering(policy, [line], sink=sink) as host:
        [result] = host.results(1)
    [arrived] = sink.messages
    return result, arrived.data.decode(), host.stderr


EDITS = {"remove": ["X-Internal-Route"], "append": {"X-A": "1"}}
ROUTED = {"mime": "X-Internal-Route: secret\r\nSubject: x\r\n\r\nbody\r\n", "headers": EDITS}


@pytest.mark.parametrize("code", [
    "message:add_header('X-B', '2')", "message:remove_header('Subject')", "message.json.headers = nil",
    "message.json.headers = {append = {a = '1'}}",
    "message.mime = message.mime .. 'footer\\r\\n'"])
def test_edits_that_could_be_lost_raise(code):
    result, arrived, log = outgoing(code, ROUTED)
    assert re.search(r"<\S+ (headers|mime) cannot be (added or removed|changed) in smtp_out_data", log), log
    assert result["headers"] == EDITS and "secret" not in arrived


@pytest.mark.parametrize("code", ["message.json.headers.append['X-B'] = '2'",
                                  "table.insert(message.json.headers.remove, 'Subject')"])
def test_nested_edits_that_could_be_lost_raise(code):
    result, _, log = outgoing(code, ROUTED)
    assert "headers cannot be added or removed in smtp_out_data" in log and result["headers"] == EDITS


@pytest.mark.parametrize("code", ["message.mime = message.mime", "message.mime = tostring(message.mime)",
                                  "message.json.mime = message.json.mime"])
def test_the_same_content_undoes_nothing(code):
    _, arrived, log = outgoing(code + " return message:header('X-Internal-Route') or message:header('X-A')", ROUTED)
    assert "<1>" in log, log
    assert "secret" not in arrived and "X-A: 1" in arrived


def test_content_without_edits_is_changed():
    _, arrived, _ = outgoing("message.mime = message.mime .. 'footer\\r\\n'", {"mime": "Subject: x\r\n\r\nbody\r\n"})
    assert arrived.endswith("body\r\nfooter\r\n")
