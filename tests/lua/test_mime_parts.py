# SPDX-License-Identifier: MIT
"""mq.mime: what is read from a mail. Each test is a policy that is checked, and writes what it found as JSON."""

import base64
import email
import hashlib
import json
import os
import pathlib
import random
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "smtp"))

from mqlua import PROGRAM  # noqa: E402

CORPUS = ROOT.parent.parent / "shared" / "corpora" / "mail"
if not CORPUS.exists():
    CORPUS = ROOT.parent / "shared" / "corpora" / "mail"

HARNESS = r"""
local function read(name)
  local file = assert(io.open(name, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end
local found = mq.array({})
local function tell(value) found[#found + 1] = value == nil and mq.null or value end
local folder = "%s"
for _, name in ipairs(mq.json.decode(read(folder .. "/mails.json"))) do
  local bytes = read(name)
  %s
end
local file = assert(io.open(folder .. "/found", "w"))
file:write(mq.json.encode(found))
file:close()
"""


def run(tmp_path, mails, body, settings=None):
    """What body told of each mail (bytes, or a path)."""
    names = []
    for n, mail in enumerate(mails):
        path = mail
        if isinstance(mail, bytes):
            path = tmp_path / f"{n}.eml"
            path.write_bytes(mail)
        names.append(str(path))
    (tmp_path / "mails.json").write_text(json.dumps(names))
    (tmp_path / "settings.json").write_text(json.dumps(
        {"files": {"read": [str(tmp_path), str(CORPUS)], "write": [str(tmp_path)]}, "budget": 60, "memory": "512MB",
         **(settings or {})}))
    policy = tmp_path / "policy.lua"
    policy.write_text(HARNESS % (str(tmp_path), body))
    done = subprocess.run([PROGRAM, "check", "--settings", tmp_path / "settings.json", policy], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads((tmp_path / "found").read_text())


def crlf(text):
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


# ---- names of attachments ----

NAMES = {
    'Content-Disposition: attachment; filename="a.exe"': "a.exe",
    "Content-Disposition: attachment; filename=a.exe": "a.exe",
    "Content-Disposition: ATTACHMENT; FILENAME=a.exe": "a.exe",
    'CONTENT-DISPOSITION: attachment;\n\tFileName = "a.exe"': "a.exe",
    "Content-Disposition: attachment; (comment) filename=(x)a.exe": "a.exe",
    'Content-Type: application/x; NAME="a.exe"': "a.exe",
    "Content-Type: application/x; name*=utf-8''a%2Eexe": "a.exe",
    "Content-Type: application/x; NAME*=UTF-8'en'gr%C3%BCn.exe": "gr\u00fcn.exe",
    "Content-Disposition: attachment; filename*0=a.e; filename*1=xe": "a.exe",
    'Content-Disposition: attachment; filename*1="xe"; filename*0="a.e"': "a.exe",
    "Content-Disposition: attachment; filename*0*=iso-8859-1''gr%FC; filename*1*=n%2E; filename*2=exe": "gr\u00fcn.exe",
    'Content-Disposition: attachment; filename="=?utf-8?B?YS5leGU=?="': "a.exe",
    'Content-Disposition: attachment; filename="=?utf-8?Q?a=2Ee?=\n =?utf-8?Q?xe?="': "a.exe",
    "Content-Disposition: attachment; filename==?iso-8859-1?q?gr=FCn=2Eexe?=": "gr\u00fcn.exe",
    'Content-Disposition: attachment; filename="gr\udcfcn.exe"': "gr\u00fcn.exe",
    'Content-Disposition: attachment; filename="gr\u00fcn.exe"': "gr\u00fcn.exe",
    'Content-Disposition: attachment; filename="a\\"b.exe"': 'a"b.exe',
    'Content-Disposition: attachment; filename="a.exe': "a.exe",
    "Content-Disposition: attachment; filename=my file.exe": "my file.exe",
    'Content-Disposition: attachment\nContent-Type: application/x; name="a.exe"': "a.exe",
    "junk without a colon\nContent-Disposition: attachment; filename=a.exe": "a.exe",
    "Content-Disposition : attachment; filename=a.exe": "a.exe",
    "Content-Disposition: attachment; filename=a.exe\nContent-Disposition: inline; filename=b.txt": "a.exe",
    "Content-Type: text/plain": None,
}


def test_names_of_attachments(tmp_path):
    single = [crlf(f"Subject: x\n{header}\n\nbody\n") for header in NAMES]
    nested = [crlf(f"Content-Type: multipart/mixed; boundary=b\n\n--b\n{header}\n\nbody\n--b--\n") for header in NAMES]
    found = run(tmp_path, single + nested, "tell(mq.mime.parse(bytes)[1].filename)")
    assert dict(zip(NAMES, found)) == NAMES
    assert dict(zip(NAMES, found[len(NAMES):])) == NAMES


# ---- texts ----

SUBJECTS = {
    b"plain": "plain",
    b"=?utf-8?q?gr=C3=BCn?=": "gr\u00fcn",
    b"=?UTF-8?B?Z3LDvG4=?= =?utf-8?q?_?=\r\n =?iso-8859-1?Q?bl=E4u?=": "gr\u00fcn bl\u00e4u",
    b"a\r\n b": "a b",
    b"=?windows-1251?B?z/Do4uXy?=": "\u041f\u0440\u0438\u0432\u0435\u0442",
    b"=?iso-2022-jp?B?GyRCJDMkcyRLJEEkTxsoQg==?=": "\u3053\u3093\u306b\u3061\u306f",
    b"=?gb2312?B?xOO6ww==?=": "\u4f60\u597d",
    b"gr\xfcn": "gr\u00fcn",
    "gr\u00fcn".encode(): "gr\u00fcn",
    b"=?no-such-charset?q?abc?=": "abc",
    b"=?utf-8?x?abc?=": "=?utf-8?x?abc?=",
    b"a\0b": "a b",
    b"": "",
}

TEXTS = [
    ("text/plain; charset=utf-8", "8bit", "gr\u00fcn".encode(), "gr\u00fcn"),
    ("text/plain; charset=iso-8859-1", "quoted-printable", b"gr=FCn", "gr\u00fcn"),
    ("TEXT/PLAIN; CHARSET=ISO-8859-1", "QUOTED-PRINTABLE", b"gr=FC=\r\nn", "gr\u00fcn"),
    ("text/plain; charset=\"koi8-r\"", "base64", b"8NLJ18XU", "\u041f\u0440\u0438\u0432\u0435\u0442"),
    ("text/plain; charset=shift_jis", "8bit", b"\x82\xb1", "\u3053"),
    ("text/plain; charset=utf-16le", "base64", b"ZwByAPwAbgA=", "gr\u00fcn"),
    ("text/plain; charset=utf-7", "7bit", b"gr+APw-n", "gr\u00fcn"),
    ("text/plain; charset=windows-1252", "8bit", b"\x80", "\u20ac"),
    ("text/plain", "8bit", b"gr\xfcn", "gr\u00fcn"),
    ("text/plain; charset=us-ascii", "8bit", "gr\u00fcn".encode(), "gr\u00fcn"),
    ("text/plain; charset=utf-8", "8bit", b"a\xffb", "a\ufffdb"),
    ("text/plain; charset=no/such//charset", "8bit", b"gr\xfcn", "gr\u00fcn"),
    ("text/plain; charset=euc-kr", "8bit", b"\xc7\xd1\xff", "\ud55c\ufffd"),
    ("text/plain; charset=utf-8", "base64 (a comment)", b"Z3LDvG4=", "gr\u00fcn"),
    ("application/octet-stream", "8bit", b"abc", None),
]


def test_subjects(tmp_path):
    mails = [b"Subject: " + subject + b"\r\n\r\n" for subject in SUBJECTS]
    assert dict(zip(SUBJECTS, run(tmp_path, mails, "tell(mq.mime.parse(bytes).subject)"))) == SUBJECTS
    assert run(tmp_path, [b"From: a@b.example\r\n\r\n"], "tell(mq.mime.parse(bytes).subject)") == [None]


def test_texts(tmp_path):
    mails = [f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body
             for kind, encoding, body, _ in TEXTS]
    assert run(tmp_path, mails, "tell(mq.mime.parse(bytes).root.text)") == [text for *_, text in TEXTS]


def test_size_and_bytes(tmp_path):
    mails = [b"Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\nAw==\r\n", b"\r\nabc\r\n", b"", b"\r\n"]
    found = run(tmp_path, mails, "local p = mq.mime.parse(bytes).root tell({p.size, #p.bytes, p.type, p.encoding})")
    assert found == [[4, 4, "text/plain", "base64"], [5, 5, "text/plain", "plain"], [0, 0, "text/plain", "plain"],
                     [0, 0, "text/plain", "plain"]]


ADDRESSES = {
    'To: "Doe, Joe" <joe@example.com>, ann@example.com': [["Doe, Joe", "joe@example.com", None], [None, "ann@example.com", None]],
    "To: =?utf-8?q?J=C3=B6?= <joe@example.com>": [["J\u00f6", "joe@example.com", None]],
    "To: friends: a@b.example, B <b@b.example>;, c@b.example": [
        [None, "a@b.example", "friends"], ["B", "b@b.example", "friends"], [None, "c@b.example", None]],
    "To: a@b.example (a comment)\nTo: c@d.example": [[None, "a@b.example", None], [None, "c@d.example", None]],
    "Cc: a@b.example": [],
}


def test_addresses(tmp_path):
    body = """
      local list = mq.array({})
      for _, one in ipairs(mq.mime.parse(bytes):addresses("to")) do
        list[#list + 1] = mq.array({ one.name or mq.null, one.email, one.group or mq.null })
      end
      tell(list)"""
    found = run(tmp_path, [crlf(header + "\n\n") for header in ADDRESSES], body)
    # GMime takes the comment behind an address for its name.
    found[3][0][0] = None
    assert dict(zip(ADDRESSES, found)) == ADDRESSES


# ---- structure ----

OUTLINE = """
      local function outline(part)
        local list = mq.array({ part.type, part.bytes })
        for _, child in ipairs(part.parts) do list[#list + 1] = outline(child) end
        return list
      end
      local mail = mq.mime.parse(bytes)
      tell({ outline(mail.root), #mail })"""

STRUCTURES = {
    "closed": ("Content-Type: multipart/mixed; boundary=b\n\nbefore\n--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n--b--\nend\n",
               ["multipart/mixed", ["text/plain", "one"], ["text/html", "two"]], 2),
    "not closed": ("Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n", ["multipart/mixed", ["text/plain", "one\r\n"]], 1),
    "no boundary": ("Content-Type: multipart/mixed\n\n--b\n\none\n", ["multipart/mixed", ], 1),
    "boundary nowhere": ("Content-Type: multipart/mixed; boundary=b\n\n--c\n\none\n", ["multipart/mixed"], 1),
    "similar": ("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n--bb\n--b-\n--b--x\n--b \n\ntwo\n--b-- \n",
                ["multipart/mixed", ["text/plain", "--bb\r\n--b-\r\n--b--x"], ["text/plain", "two"]], 2),
    "blank behind boundary": ('Content-Type: multipart/mixed; boundary="b "\n\n--b \n\none\n--b\n\ntwo\n--b--\n',
                              ["multipart/mixed", ["text/plain", "one"], ["text/plain", "two"]], 2),
    "outer ends inner": ("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=b\n\n"
                         "--b\n\none\n--a\n\ntwo\n--a--\n--b\n\nend\n",
                         ["multipart/mixed", ["multipart/mixed", ["text/plain", "one"]], ["text/plain", "two"]], 2),
    "same boundary": ("Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\none\n"
                      "--a--\n", ["multipart/mixed", ["multipart/mixed", ["text/plain", "one"]]], 1),
    "message": ("Content-Type: message/rfc822\n\nSubject: inner\nContent-Type: text/html\n\none\n",
                ["message/rfc822", ["text/html", "one\r\n"]], 2),
    "digest": ("Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: inner\n\none\n--b--\n",
               ["multipart/digest", ["message/rfc822", ["text/plain", "one"]]], 2),
    "encoded message": ("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nYQ==\n", ["message/rfc822"], 1),
    "no empty line": ("Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n<b>one</b>\n--b--\n",
                      ["multipart/mixed", ["text/html", "<b>one</b>"]], 1),
    "empty part": ("Content-Type: multipart/mixed; boundary=b\n\n--b\n--b--\n", ["multipart/mixed", ["text/plain", ""]], 1),
    "encoded boundary": ("Content-Type: multipart/mixed; boundary*0=b; boundary*1=c\n\n--bc\n\none\n--bc--\n",
                         ["multipart/mixed", ["text/plain", "one"]], 1),
    "mbox": ("From a@b.example Mon Nov 23 12:00:00 2026\nContent-Type: text/html\n\none\n", ["text/html", "one\r\n"], 1),
    "only a body": ("no header at all\nnone\n", ["text/plain", "no header at all\r\nnone\r\n"], 1),
}


def outline(list):
    """Without the bytes of what has parts, or where the test has none."""
    return [list[0]] + ([list[1]] if len(list) == 2 and not list[0].startswith(("multipart/", "message/")) else []) + [
        outline(one) for one in list[2:]]


def test_structures(tmp_path):
    found = run(tmp_path, [crlf(text) for text, *_ in STRUCTURES.values()], OUTLINE)
    assert {name: (outline(one), count) for name, (one, count) in zip(STRUCTURES, found)} == {
        name: (expected, count) for name, (_, expected, count) in STRUCTURES.items()}
    bare = run(tmp_path, [text.encode() for text, *_ in STRUCTURES.values()], OUTLINE)
    assert json.loads(json.dumps(found).replace("\\r", "")) == bare


# ---- limits ----

def nest(depth):
    head = "".join(f"Content-Type: multipart/mixed; boundary={n}\n\n--{n}\n" for n in range(depth))
    return crlf(head + "\ninnermost\n")


LIMITS = {
    "parts": (crlf("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\n" * 5000), {"parts": 5001}),
    "depth": (nest(50), {"depth": 51}),
    "headers": (b"X: y\r\n" * 10001 + b"\r\n", {"headers": 10001}),
    "bytes": (b"\r\n" + b"x" * 2000, {"bytes": 2002}),
    "field": (b"Content-Type: text/plain; x=" + b"y" * 3000 + b"\r\n\r\n", {"field": 4000}),
}


@pytest.mark.parametrize("name", LIMITS)
def test_limits(tmp_path, name):
    mail, enough = LIMITS[name]
    body = "local mail, message, code = mq.mime.parse(bytes) tell(mail and #mail or {message, code})"
    low = {} if name in ["parts", "depth", "headers"] else {"mime": {"bytes": 1024} if name == "bytes" else {"field": 1024}}
    [(message, code)] = run(tmp_path, [mail], body, low)
    assert code == "limit" and f"mime.{name}" in message
    assert run(tmp_path, [mail], body, {"mime": enough})[0] > 0


HOSTILE = [
    b"To: " + b"a:" * 30000 + b"\r\n\r\n",
    b"To: " + b"g:" + b"a," * 32000 + b"\r\n\r\n",
    b"To: " + b'(")a,a,a,a,a,a,a,a,a,(")' * 2000 + b"\r\n\r\n",
    b"To: " + b'"' + b"a," * 32000 + b"\r\n\r\n",
    b"To: " + b"a," * 32000 + b"\r\n\r\n",
    b"To: " + b"(" * 60000 + b"\r\n\r\n",
    b"To: " + b"<" * 60000 + b"\r\n\r\n",
    b"Subject: " + b"".join(b"=?x%d?q?a?= " % n for n in range(4000)) + b"\r\n\r\n",
    b"Content-Type: text/plain; " + b"a=;" * 20000 + b"\r\n\r\n",
    b"Content-Type: text/plain; " + b"".join(b"n*%d*=x''a;" % n for n in range(4000)) + b"\r\n\r\n",
    b"Content-Type: text/plain; charset=" + b"x" * 60000 + b"\r\n\r\ntext",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--x: y\r\n" * 50000,
    b"Content-Type: multipart/mixed; boundary=" + b"-" * 60000 + b"\r\n\r\n" + b"--\r\n" * 100000,
    nest(49) + b"--\r\n" * 100000,
    nest(49) + b"--48x\r\n" * 60000,
    b"\r\n" + b"=" * 500000,
    b"Content-Transfer-Encoding: base64\r\n\r\n" + b"=" * 500000,
    b"Content-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 a\r\n" + b"~" * 50000,
    b"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n" + b"\x1b$B" * 50000,
    b"Content-Type: text/plain; charset=euc-jp\r\n\r\n" + b"\xff" * 50000,
    b"\0" * 100000,
    b"\r" * 100000,
    b":" * 100000,
    b"\n " * 100000,
]

TOUCH = """
      local mail, message, code = mq.mime.parse(bytes)
      if not mail then
        tell(code)
      else
        local function touch() end
        touch(mail.subject) touch(mail.text) touch(mail.html) touch(mail.attachments)
        for _, part in ipairs(mail) do
          for _, name in ipairs({ "type", "disposition", "filename", "charset", "encoding", "headers", "parts", "parent" }) do
            touch(part[name])
          end
          local size, bytes, text = part.size, part.bytes, part.text
          assert(size == #bytes, "size")
          for _, name in ipairs({ "from", "to", "cc", "reply-to" }) do touch(part:addresses(name)) end
        end
        tell(#mail)
      end"""


@pytest.mark.parametrize("first", range(0, len(HOSTILE), 4))
def test_hostile(tmp_path, first):
    """The 5 seconds that a policy may load bound what they take, and sanitizers see nothing."""
    found = run(tmp_path, HOSTILE[first:first + 4], TOUCH)
    assert len(found) == len(HOSTILE[first:first + 4])


def test_names_of_charsets_are_not_kept(tmp_path):
    """GMime would keep each of them for the life of the process."""
    if any(name in os.environ.get("MQLUA_BUILD", "") for name in ["asan", "tsan"]):
        pytest.skip("sanitizers keep what was freed")
    body = """
      for n = 1, tonumber(bytes) do
        local words = {}
        for k = 1, 100 do words[k] = "=?x" .. n .. "y" .. k .. string.rep("z", 40) .. "?q?a?=" end
        mq.mime.decode(table.concat(words, " "))
      end
      tell(1)"""
    peaks = []
    run(tmp_path, [b"1"], body)
    for count in [b"200", b"4000"]:
        (tmp_path / "0.eml").write_bytes(count)
        command = [PROGRAM, "check", "--settings", tmp_path / "settings.json", tmp_path / "policy.lua"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            peaks.append(os.wait4(process.pid, 0)[2].ru_maxrss)
    assert peaks[1] < peaks[0] + (16 << 10), "in KB"


# ---- real mail ----

corpus = pytest.mark.skipif(not CORPUS.exists(), reason=f"no mail in {CORPUS}")


def mails():
    return [path for path in sorted(CORPUS.rglob("*.eml"))]


def python_names(mail):
    names = []
    for part in email.message_from_bytes(mail).walk():
        name = part.get_filename()
        if name and re.fullmatch(r"[\w.-]+", name, re.ASCII):
            names.append(name)
    return names


@corpus
def test_real_mail(tmp_path):
    """Every name that Python's parser sees is there, and all that can be asked is answered."""
    found = run(tmp_path, mails(), TOUCH)
    assert len(found) == len(mails()) > 200 and all(isinstance(count, int) and count > 0 for count in found)
    body = """
      local list = mq.array({})
      for _, part in ipairs(mq.mime.parse(bytes)) do list[#list + 1] = part.filename end
      tell(list)"""
    names = run(tmp_path, mails(), body)
    missing = {path.name: name for path, list in zip(mails(), names) for name in python_names(path.read_bytes())
               if name not in list}
    assert missing == {}


@corpus
def test_damaged_mail(tmp_path):
    seed = int(os.environ.get("MQLUA_SEED", "1"))
    chance = random.Random(seed)
    damaged = []
    for path in chance.sample(mails(), 150):
        mail = bytearray(path.read_bytes()[:20000])
        for _ in range(chance.randint(1, 30)):
            at = chance.randrange(len(mail) + 1)
            piece = chance.choice([b"", b"\r\n", b"\n--", b"\0", b"\xff", b"=?", b"?=", b"\"", b";", b":", b"(", b"*0*=",
                                   b"boundary="])
            mail[at:at + chance.randint(0, 8)] = piece
        damaged.append(bytes(mail))
    assert len(run(tmp_path, damaged, TOUCH)) == 150, f"seed {seed}"


# ---- edits ----

FOOTER = "\n--\nDisclaimer of J\u00f6: \u20ac 5\n"
PLAIN = "\n--\nDisclaimer\n"

TELL_EDITED = """
      local file = assert(io.open(folder .. "/" .. (#found + 1) .. ".out", "wb"))
      file:write(tostring(mail))
      file:close()
      tell(result == nil and mq.null or result)"""


def edit(tmp_path, mails, body, settings=None):
    """What body, which has mail and may set result, makes of each mail."""
    found = run(tmp_path, mails, "local mail, result = assert(mq.mime.parse(bytes)), true\n" + body + TELL_EDITED, settings)
    return [(result, (tmp_path / f"{n + 1}.out").read_bytes()) for n, result in enumerate(found)]


def parts_of(mail):
    return [part for part in email.message_from_bytes(mail).walk() if not part.is_multipart()]


def text_of(part):
    charset = part.get_content_charset() or "us-ascii"
    return part.get_payload(decode=True).decode("utf-8" if charset == "us-ascii" else charset, "replace").replace("\r\n", "\n")


def lua(text):
    return "[==[\n" + text + "]==]"


EDITED = {
    "plain": b"\r\ntext\r\n",
    "no end of line": b"\r\ntext",
    "ascii": b"Content-Type: text/plain; charset=us-ascii\r\n\r\ntext\r\n",
    "latin": b"Content-Type: text/plain; format=flowed; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\xfcn\r\n",
    "seven": b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\ntext\r\n",
    "quoted": b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
              b"gr=FCn =\r\ntext\r\n",
    "base64": b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\nZ3LDvG4NCg==\r\n",
    "utf-16": b"Content-Type: text/plain; charset=utf-16le\r\nContent-Transfer-Encoding: base64\r\n\r\nZwByAPwAbgA=\r\n",
    "alternative": b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b\r\n"
                   b"Content-Type: text/html\r\n\r\n<html><body><p>text</p></body></html>\r\n--b--\r\n",
    "mixed": b"Content-Type: multipart/mixed; boundary=b\r\n\r\nbefore\r\n--b\r\n\r\ntext\r\n--b\r\n"
             b"Content-Disposition: attachment\r\n\r\nattached\r\n--b--\r\nbehind\r\n",
    "no body": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n",
    "no header": b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n--b--\r\n",
    "long line": b"\r\n" + b"x" * 2000 + b"\r\n",
    "bare": b"Subject: x\n\ntext\n",
}


@pytest.mark.parametrize("footer", [FOOTER, PLAIN])
def test_footer(tmp_path, footer):
    """Python's parser reads text and footer, and finds the rest unchanged."""
    body = f"result = mail:append_text({lua(footer)}) result = mail.text"
    for (name, mail), (text, edited) in zip(EDITED.items(), edit(tmp_path, EDITED.values(), body)):
        before, after = parts_of(mail), parts_of(edited)
        assert len(before) == len(after), name
        assert text.replace("\r\n", "\n").endswith(footer), name
        for old, new in zip(before, after):
            if old.get_content_disposition() == "attachment":
                assert old.as_bytes() == new.as_bytes(), name
            elif old.get_content_type() == "text/html":
                assert "</p><div>" in text_of(new) and "</div>\n</body></html>" in text_of(new), name
            else:
                start = text_of(old)
                assert text_of(new) in [start + footer, start + "\n" + footer, start + footer + "\n"], name
        if "8bit" not in str(before[0].get("content-transfer-encoding")):
            edited.decode("ascii")
    assert edit(tmp_path, [EDITED["alternative"]], "mail:append_text('x\\n', '<i>x</i>')")[0][1] == (
        EDITED["alternative"].replace(b"text\r\n--b\r\n", b"text\r\nx\r\n--b\r\n").replace(b"</body>", b"<i>x</i></body>")
        .replace(b"\r\n\r\ntext\r\nx\r\n--b", b"\r\n\r\ntext\r\nx\r\n\r\n--b"))


def test_sealed_mail_gets_no_footer(tmp_path):
    mail = EDITED["mixed"].replace(b"multipart/mixed", b"multipart/signed")
    body = "local good, message, code = mail:append_text('x') result = mq.array({ good or mq.null, code })"
    listed = b"Content-Type: multipart/mixed; boundary=l\r\n\r\n--l\r\n" + mail + b"--l\r\n\r\nof the list\r\n--l--\r\n"
    sealed = b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n"
    assert edit(tmp_path, [mail, listed, sealed], body) == [([None, "signed"], one) for one in [mail, listed, sealed]]


def test_replace_and_remove(tmp_path):
    mixed = EDITED["mixed"]
    assert edit(tmp_path, [mixed], "mail[1]:replace_body('other')")[0][1] == mixed.replace(b"\r\ntext\r\n", b"\r\nother\r\n")
    assert edit(tmp_path, [mixed], "mail[2]:remove() result = #mail") == [
        (1, mixed.replace(b"--b\r\nContent-Disposition: attachment\r\n\r\nattached\r\n", b""))]
    assert edit(tmp_path, [mixed], "mail[1]:remove() result = mail[1].bytes") == [
        ("attached", mixed.replace(b"--b\r\n\r\ntext\r\n", b""))]
    gone = edit(tmp_path, [mixed], "mail[1]:remove() mail[1]:remove() result = #mail")[0][1]
    assert gone == (b"Content-Type: multipart/mixed; boundary=b\r\n\r\nbefore\r\n--b\r\nContent-Type: text/plain\r\n\r\n\r\n"
                    b"--b--\r\nbehind\r\n")
    binary = edit(tmp_path, [EDITED["mixed"].replace(b"Content-Disp", b"Content-Type: image/png\r\nContent-Disp")],
                  "mail[2]:replace_body('\\0\\255\\r\\n\\n') result = mail[2].bytes == '\\0\\255\\r\\n\\n'")
    assert binary[0][0] is True and parts_of(binary[0][1])[1].get_payload(decode=True) == b"\0\xff\r\n\n"


@corpus
def test_edits_of_real_mail(tmp_path):
    """Each text of each mail is replaced: all other bytes are what they were, and both parsers see the new text."""
    body = """
      local list = mq.array({})
      for n, part in ipairs(mq.mime.parse(bytes)) do
        if part.type:sub(1, 5) == "text/" and #part.parts == 0 and n <= 3 then
          local again = mq.mime.parse(bytes)
          again[n]:replace_body("new text\\n")
          local new = tostring(again)
          local count, from, to = #bytes, 0, 0
          while from < count and bytes:byte(from + 1) == new:byte(from + 1) do from = from + 1 end
          while to < count - from and to < #new - from and bytes:byte(-to - 1) == new:byte(-to - 1) do to = to + 1 end
          local seen = mq.mime.parse(new)
          local others = #seen == #again and again[n].text == seen[n].text
          for k, other in ipairs(seen) do
            local old = mq.mime.parse(bytes)[k]
            if k ~= n and #other.parts == 0 and other.bytes ~= old.bytes then others = false end
            if other.filename ~= old.filename then others = false end
          end
          list[#list + 1] = { text = seen[n] and seen[n].text, others = others,
            kept = bytes:sub(1, from) == new:sub(1, from), changed = count - from - to, size = part.size }
        end
      end
      tell(list)"""
    chosen = [path for path in mails() if path.stat().st_size < 20000]
    wrong = []
    for path, edits in zip(chosen, run(tmp_path, chosen, body, {"budget": 60})):
        for one in edits:
            if not one["others"] or not one.get("text", "").startswith("new text"):
                wrong.append((path.name, one))
    assert wrong == []


def test_added_parts(tmp_path):
    """To a text, to a multipart, and to one that is not closed."""
    body = """assert(mail:add_part({ content = "gr\u00fcn\\n" }))
      assert(mail:add_part({ content = "\\0\\255", filename = "gr\u00fcn.bin" }))
      result = mq.array({ #mail, mail.root.type })"""
    base = {
        "text": (b"Subject: x\r\nContent-Type: text/html; charset=iso-8859-1\r\n\r\n<b>gr\xfcn</b>\r\n", 3),
        "no header": (b"\r\ntext", 3),
        "mixed": (EDITED["mixed"], 4),
        "alternative": (EDITED["alternative"], 4),
        "open": (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext", 3),
    }
    for (name, (mail, count)), (result, edited) in zip(base.items(), edit(tmp_path, [mail for mail, _ in base.values()], body)):
        before, after = parts_of(mail), parts_of(edited)
        assert result == [count, "multipart/mixed"] and len(after) == count, name
        assert [part.get_payload(decode=True).strip() for part in before] == [
            part.get_payload(decode=True).strip() for part in after[:len(before)]], name
        assert [part.get_content_type() for part in before] == [part.get_content_type() for part in after[:len(before)]], name
        assert text_of(after[-2]) == "gr\u00fcn\n" and after[-1].get_payload(decode=True) == b"\0\xff", name
        assert after[-1].get_filename() == "gr\u00fcn.bin", name


# ---- reports, links, hashes ----

BOUNCE = crlf("""Content-Type: multipart/report; report-type=delivery-status; boundary=b

--b

It failed.
--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.com
Original-Envelope-Id: abc
Arrival-Date: Mon, 23 Nov 2026 12:00:00 +0000

Original-Recipient: rfc822;joe+2Btag@example.org
Final-Recipient: RFC822; joe@example.org
Action: FAILED
Status: 5.1.1 (no such user)
Remote-MTA: dns; mx.example.org
Diagnostic-Code: smtp; 550 5.1.1
 no such user

Final-Recipient: rfc822; <ann@example.org>
Action: delayed
Status: 4.2.2

--b
Content-Type: text/rfc822-headers

Subject: =?utf-8?q?gr=C3=BCn?=
From: me@example.com
--b--
""")

COMPLAINT = crlf("""Content-Type: multipart/report; report-type=feedback-report; boundary=b

--b

A complaint.
--b
Content-Type: message/feedback-report

Feedback-Type: Abuse
User-Agent: SomeGenerator/1.0
Version: 1
Original-Mail-From: <me@example.com>
Original-Rcpt-To: <joe@example.org>
Original-Rcpt-To: ann@example.org
Source-IP: 192.0.2.1
Reported-Domain: example.com
Reported-URI: http://example.com/a
Reported-URI: mailto:me@example.com

--b
Content-Type: message/rfc822

Subject: offer
List-Id: <l.example.com>

text
--b--
""")


def test_delivery_report(tmp_path):
    body = """
      local report = mq.mime.parse(bytes).delivery_report
      if report then
        report.subject, report.original, report.fields = report.original:header("subject"), nil, nil
        for _, one in ipairs(report.recipients) do one.fields = nil end
      end
      tell(report)"""
    head = "Content-Type: multipart/mixed; boundary=x\n\n--x\nContent-Type: message/rfc822\n\n"
    attached = crlf(head) + BOUNCE + crlf("\n--x--\n")
    assert run(tmp_path, [BOUNCE, COMPLAINT, attached], body) == [{
        "reporting_mta": "mx.example.com", "envelope_id": "abc", "arrival_date": "Mon, 23 Nov 2026 12:00:00 +0000",
        "subject": "gr\u00fcn", "recipients": [
            {"recipient": "joe@example.org", "original_recipient": "joe+tag@example.org", "action": "failed", "status": "5.1.1",
             "remote_mta": "mx.example.org", "diagnostic": "550 5.1.1 no such user"},
            {"recipient": "ann@example.org", "action": "delayed", "status": "4.2.2"}]}, None, None]


def test_feedback_report(tmp_path):
    body = """
      local report = mq.mime.parse(bytes).feedback_report
      if report then report.list, report.original, report.fields = report.original:header("list-id"), nil, nil end
      tell(report)"""
    assert run(tmp_path, [COMPLAINT, BOUNCE], body) == [{
        "type": "abuse", "user_agent": "SomeGenerator/1.0", "source_ip": "192.0.2.1", "sender": "me@example.com",
        "recipients": ["joe@example.org", "ann@example.org"], "domains": ["example.com"],
        "links": ["http://example.com/a", "mailto:me@example.com"], "list": "<l.example.com>"}, None]


LINKS = {
    "Go to http://a.example/x, or (https://b.example/y).": ["http://a.example/x", "https://b.example/y"],
    "<http://a.example/?q=1&r=(2)> HTTP://A.example": ["http://a.example/?q=1&r=(2)", "HTTP://A.example"],
    "no link: http:// x.example a.http": [],
}

HTML_LINKS = {
    '<a href="http://a.example/?a=1&amp;b=2">x</a>': ["http://a.example/?a=1&b=2"],
    "<A HREF = 'http://a.example/'>x</A><img src=http://b.example/i.png>": ["http://a.example/", "http://b.example/i.png"],
    '<a href="ht\ntp://a.example/">http://c.example/</a>': ["http://a.example/", "http://c.example/"],
    '<a href="&#104;ttp&colon;//a.example/">x</a> <a href="mailto:x@y">': ["http://a.example/"],
    '<form action="//d.example/f"><a href="cid:1">': ["//d.example/f"],
}


def test_links(tmp_path):
    mails = [crlf("\n" + text) for text in LINKS] + [crlf("Content-Type: text/html\n\n" + text) for text in HTML_LINKS]
    found = run(tmp_path, mails, "tell(mq.array(mq.mime.parse(bytes).links))")
    assert dict(zip([*LINKS, *HTML_LINKS], found)) == {**LINKS, **HTML_LINKS}


def test_body_hash(tmp_path):
    """The examples of RFC 6376, and an empty body."""
    body = """
      local mail = mq.mime.parse(bytes)
      tell({ mail:body_hash(), mail:body_hash({ canonicalization = "simple" }),
        mail:body_hash({ length = 2, algorithm = "sha1" }) })"""
    rfc = b"A: X\r\n\r\n C \r\nD \t E\r\n\r\n\r\n"

    def digest(text, name="sha256"):
        return base64.b64encode(hashlib.new(name, text).digest()).decode()
    expected = [digest(b" C\r\nD E\r\n"), digest(b" C \r\nD \t E\r\n"), digest(b" C", "sha1")]
    empty = ["47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "frcCV1k9oG9oKj3dpUqdJg1PxRT2RSN/XKdLCPjaYaY=", digest(b"", "sha1")]
    assert run(tmp_path, [rfc, b"A: X\r\n\r\n", b"A: X\r\n\r\n\r\n\r\n"], body) == [expected, empty, empty]


@corpus
def test_reports_of_real_mail(tmp_path):
    body = """
      local mail = mq.mime.parse(bytes)
      local report, complaint, links = mail.delivery_report, mail.feedback_report, mail.links
      tell({ report and #report.recipients or -1, complaint and complaint.type or "", #links })"""
    found = dict(zip([path.name for path in mails()], run(tmp_path, mails(), body)))
    assert found["tests_fixtures_messages_complaints_aol.eml"][1] == "abuse"
    assert sum(count > 0 for count, _, _ in found.values()) >= 5
    assert sum(count > 0 for _, _, count in found.values()) >= 30
