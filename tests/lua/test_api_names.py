# SPDX-License-Identifier: MIT
"""docs/LUA_API.md, the editor types in lua/mq/_meta and the code name the same things, and every example runs."""

import json
import pathlib
import re
import smtplib
import ssl
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "smtp"))

from mqlua import PROGRAM, Host, read_lines, wait_until  # noqa: E402
from sink import Sink  # noqa: E402

DOCUMENT = (ROOT / "docs" / "LUA_API.md").read_text()

# What a policy can hold. Those of the first group come from SMTP events, the others from calls.
TYPES = ["connection", "transaction", "address", "message", "buffer", "worker",
         "task", "timer", "cidr", "set", "map", "counter", "gauge", "histogram", "json", "shared", "ratelimit", "quota", "concurrency", "greylist",
         "mail", "part", "patterns"]

SETTINGS = {"host": {"inbox": "mailerq", "local_api": "address", "address_api": "address"}}


# ---- what the document defines: headings, and the first cells of tables ----

NAME = re.compile(r"`#?(mq(?:\.\w+)+|(?:" + "|".join(TYPES) + r")[.:]\w+)")


def without_code(text):
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def documented():
    names = set()
    for line in without_code(DOCUMENT).split("\n"):
        if line.startswith("#"):
            names.update(NAME.findall(line))
        elif line.startswith("| "):
            names.update(NAME.findall(line.split(" | ")[0]))
    return {name.replace(":", ".") for name in names}


# ---- what the editor is told ----

def in_meta():
    names = set()
    tables = {"mq.mime", "mq.log", "mq.json", "mq.password", "mq.generation"}
    for path in sorted((ROOT / "lua" / "mq" / "_meta").glob("*.lua")):
        of = None
        for line in path.read_text().split("\n"):
            if found := re.match(r"---@class ([\w.]+)", line):
                of = found.group(1)
            elif found := re.match(r"---@field (\w+)\??\s+(\S+)", line):
                name, kind = found.groups()
                if of == "mq" and kind not in tables:
                    names.add(f"mq.{name}")
                elif of == "mq.generation":
                    names.add(f"mq.generation.{name}")
                elif of and of.startswith("mq.") and of[3:] in TYPES and of not in tables:
                    names.add(f"{of[3:]}.{name}")
            elif found := re.match(r"function ([\w.:]+)\(", line):
                names.add(found.group(1).replace(":", "."))
    return names


# ---- what the code has ----

WALK = r"""
local out = {}
local function walk(name, value)
  if type(value) == "table" and name ~= "mq.generation" then
    for key, member in pairs(value) do walk(name .. "." .. key, member) end
  else
    out[#out + 1] = name
  end
end
walk("mq", mq)
local file = assert(io.open(os.getenv("NAMES_FILE"), "w"))
file:write(table.concat(out, "\n"), "\n")
file:close()
"""


def in_state(tmp_path):
    """The global mq of a policy that runs."""
    path = tmp_path / "names"
    with Host(policy=WALK, settings={"files": {"write": [str(tmp_path)]}}, environment={"NAMES_FILE": str(path)}):
        pass
    return set(path.read_text().split()) - {"mq.generation"}


def initializer(text, start):
    """The text of the braces that begin at or after start."""
    begin = text.index("{", start)
    depth = 0
    for at in range(begin, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[begin:at + 1]
    raise AssertionError("unbalanced braces")


def registered():
    """The static tables of fields and methods of every type in the C code."""
    names = set()
    for path in [*(ROOT / "src" / "api").glob("*.c"), ROOT / "src" / "vm" / "buffer.c"]:
        text = path.read_text()
        tables = {}
        for found in re.finditer(r"(?:mqlua_field|luaL_Reg) (\w+)\[\] =", text):
            members = initializer(text, found.end())
            tables[found.group(1)] = re.findall(r'\{"(\w+)",', members)
        for found in re.finditer(r'\.name = "(\w+)"', text):
            rest = text[found.end():text.index("}", found.end())]
            for table in re.findall(r"\.(?:fields|methods) = (\w+)", rest):
                names.update(f"{found.group(1)}.{member}" for member in tables[table])
    for path in (ROOT / "lua" / "mq" / "core").glob("*.lua"):
        names.update(".".join(found) for found in re.findall(r"^function (\w+?)(?:_fields)?\.(\w+)", path.read_text(), re.M)
                     if found[0] in TYPES)
        names.update(f"message.{name}" for name in re.findall(r"^function methods\.(\w+)", path.read_text(), re.M))
    generation = (ROOT / "src" / "api" / "generation.c").read_text()
    names.update(f"mq.generation.{name}" for name in re.findall(r'(?:-2|key), "(number|hash|carried)"', generation))
    return names | {"worker.number", "json.totable"}  # plain tables: made in state.c, and by the document


def test_names_agree(tmp_path):
    lists = {"docs/LUA_API.md": documented(), "lua/mq/_meta": in_meta(), "the code": in_state(tmp_path) | registered()}
    everything = set().union(*lists.values())
    assert len(everything) > 90
    missing = {where: sorted(everything - names) for where, names in lists.items() if everything - names}
    assert not missing, f"missing: {json.dumps(missing, indent=1)}"


def test_names_in_the_text_exist(tmp_path):
    """Also a name that the document only mentions."""
    code = in_state(tmp_path) | registered()
    tables = {name.rsplit(".", 1)[0] for name in code}
    mentioned = {name.replace(":", ".") for name in re.findall(r"\b(mq(?:\.\w+)+)\b", DOCUMENT)}
    assert mentioned - code - tables == set()


# Asks every object that SMTP brings about for every name that is documented for its type.
ASK = r"""
local names = mq.json.decode(mq.file("names.json"))
local file = assert(io.open(os.getenv("NAMES_FILE"), "a"))
local asked = {}
local function ask(kind, object)
  if asked[kind] then return end
  asked[kind] = true
  for _, name in ipairs(names[kind] or {}) do
    local ok, value = pcall(function() return object[name] end)
    if kind == "json" or kind == "worker" then ok = value ~= nil end
    file:write(kind, ".", name, " ", ok and "yes" or "no " .. tostring(value), "\n")
  end
  file:flush()
end
local ok, message = pcall(function() return mq.cidr({}).no_such_name end)
assert(not ok and message:find("cidr has no field 'no_such_name'"), message)
ask("cidr", mq.cidr({}))
ask("shared", mq.shared("names"))
ask("ratelimit", mq.ratelimit("names", {limit = 1}))
ask("quota", mq.quota("names", {limit = 1}))
ask("concurrency", mq.concurrency("names", {limit = 1}))
ask("greylist", mq.greylist("names"))
ask("counter", mq.counter("a"))
ask("gauge", mq.gauge("b"))
ask("histogram", mq.histogram("c"))
ask("timer", mq.after(1000, function() end))
ask("patterns", mq.re.set({}))
ask("set", mq.set("names.txt"))
ask("map", mq.map("names.map"))
mq.on("context_initialize", function(worker) ask("worker", worker) end)
mq.on("smtp_in_rcptto", function(connection, address)
  ask("connection", connection)
  ask("transaction", connection.transaction)
  ask("address", address)
  ask("task", mq.spawn(function() end))
end)
mq.on("smtp_in_message", function(connection, message)
  ask("message", message)
  ask("buffer", message.mime)
  ask("json", message.json)
  ask("mail", message:parts())
  ask("part", message:parts().root)
end)
"""


def test_objects_have_the_documented_names(tmp_path):
    names = {kind: [] for kind in TYPES}
    for name in documented():
        kind, member = name.split(".", 1)
        if kind in names:
            names[kind].append(member)
    assert all(names.values())
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.lua").write_text(ASK)
    (folder / "names.json").write_text(json.dumps(names))
    (folder / "names.txt").write_text("key\n")
    (folder / "names.map").write_text("key value\n")
    path = tmp_path / "answers"
    with Host(policy=folder / "policy.lua", settings={**SETTINGS, "files": {"write": [str(tmp_path)]}}, environment={"NAMES_FILE": str(path)}) as host:
        host.send()
    answers = dict(line.split(" ", 1) for line in path.read_text().splitlines())
    assert {name for name, answer in answers.items() if answer != "yes"} == set()
    assert set(answers) == {f"{kind}.{member}" for kind, members in names.items() for member in members}


def test_meta_is_lua(tmp_path):
    """Every file for editors compiles, and says that it is none to be required."""
    files = sorted((ROOT / "lua" / "mq" / "_meta").glob("*.lua"))
    assert files
    for path in files:
        assert path.read_text().startswith("---@meta mq")
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "policy.lua").write_text("-- all files in the folder are compiled\n")
    with Host(policy=tmp_path / "policy.lua") as host:
        assert "generation 1" in host.stderr


# ---- examples ----

def examples(path):
    """(text, companion files) of every Lua block of a document; a block "text NAME" before it is a file of it."""
    found, files = [], {}
    document = path.read_text()
    for block in re.finditer(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", document, re.MULTILINE | re.DOTALL):
        language, name, text = block.groups()
        if language == "text" and name:
            files[name] = text
        elif language == "lua":
            line = document.count("\n", 0, block.start()) + 2
            found.append(pytest.param(text, files, id=f"{path.name}-{line}"))
            files = {}
    return found


def all_examples():
    return [item for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))] for item in examples(path)]


MAIL = (b"From: a@example.org\r\nTo: one@example.com\r\nSubject: test\r\nList-Id: <l.example.org>\r\nX-Test: yes\r\n"
        b"\r\nText\r\n")
OUT = {"envelope": "a@example.com", "recipient": "b@example.org", "mime": MAIL.decode()}

# Examples that show a failure.
FAILS = {'name = "directory"': "the deadline passed while the handler was waiting"}


def receive(host):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with host.smtp() as smtp:
        smtp.starttls(context=context)
        smtp.ehlo()
        try:
            smtp.login("joe@example.com", "secret")
        except (smtplib.SMTPNotSupportedError, smtplib.SMTPAuthenticationError):
            pass  # whether it is right is for the policy to say
        try:
            smtp.sendmail("a@example.org", ["one@example.com", "two@lists.example.com", "vip@old.example.com"], MAIL)
        except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused, smtplib.SMTPServerDisconnected):
            return False
    return True


@pytest.mark.parametrize("text, files", all_examples())
def test_example(text, files, tmp_path):
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.lua").write_text(text)
    for name, content in files.items():
        (folder / name).write_text(content)
    (tmp_path / "outbox").write_text(json.dumps(OUT) + "\n")
    expected = [failure for mark, failure in FAILS.items() if mark in text]
    with Sink() as sink, Host("--outbox", tmp_path / "outbox", "--smarthost", sink.target, "--results",
                              tmp_path / "results", policy=folder / "policy.lua", settings=SETTINGS) as host:
        assert "RUNNING THE LAST-KNOWN-GOOD" not in host.stderr and "does not load" not in host.stderr
        sent = receive(host)
        wait_until(lambda: read_lines(tmp_path / "results"), "the delivery")
        host.stop()
        reports = re.findall(r"\[generation \d+, [0-9a-f]{8}\] (.*)", host.stderr)
        assert [report for report in reports if not any(e in report for e in expected)] == []
        assert len(reports) >= len(expected)
        assert sent or expected, host.stderr


@pytest.mark.parametrize("text, files", all_examples())
def test_example_passes_the_check(text, files, tmp_path):
    for name, content in {"policy.lua": text, **files}.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "settings.json").write_text(json.dumps(SETTINGS))
    done = subprocess.run([PROGRAM, "check", "--settings", tmp_path / "settings.json", tmp_path / "policy.lua"],
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_login_example(tmp_path):
    """The hash in the document is that of "secret"."""
    [(text, files)] = [item.values for item in examples(ROOT / "docs" / "LUA_API.md") if "mq.password.verify" in item.values[0]]
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "policy.lua").write_text(text)
    for name, content in files.items():
        (folder / name).write_text(content)
    with Host(policy=folder / "policy.lua") as host, host.smtp() as smtp:
        context = ssl._create_unverified_context()
        smtp.starttls(context=context)
        smtp.ehlo()
        with pytest.raises(smtplib.SMTPAuthenticationError):
            smtp.login("joe@example.com", "wrong")
        assert smtp.login("joe@example.com", "secret")[0] == 235
