# SPDX-License-Identifier: MIT
"""docs/TROUBLESHOOTING.md knows every line that the plugin can log and every error that it can raise."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = re.sub(r"\s+", " ", (ROOT / "docs" / "TROUBLESHOOTING.md").read_text())

CALL = re.compile(r"\b(mqlua_log|mqlua_report|say|luaL_error|luaL_argcheck|luaL_argerror|mqlua_path_raise|"
                  r"mqlua_error_set|mqlua_settings_wrong)\(")
STRING = re.compile(r'"((?:\\.|[^"\\])*)"((?:\s*"(?:\\.|[^"\\])*")*)')
CONVERSION = re.compile(r"%(?:[-+ 0-9.*lz]*[a-zA-Z]|%)")

# What LuaJIT's own functions say in the same words, and what no policy can bring about.
AS_IN_LUA = ["wrong number of arguments", "invalid ", "string slice too long", "string length overflow",
             "string/function/table expected", "too many captures", "unbalanced pattern", "unfinished capture",
             "missing '[' after", "attempt to concatenate", "counts from 1", "a path", "not a finite number",
             "buffer too large", "buffer expected", "the bundle is not sealed", "JSON is not open",
             "must be more than 0 seconds", "keys must be strings, not", "a key with a NUL byte",
             "a message's JSON expected", "this table has a metatable", "the message's JSON is not an object",
             "integers beyond", " must be an absolute path"]


def end_of_call(text, at):
    """Where the parenthesis that was opened before at is closed; strings may hold others."""
    depth = 1
    while depth:
        if text[at] == '"':
            at = STRING.match(text, at).end() - 1
        elif text[at] == "'" and text[at + 1] != "\\":
            at += 2
        elif text[at] == "'":
            at += 3
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at


def texts():
    """(file, longest fixed piece) of the texts of all calls that log or raise."""
    found = []
    for folder in ["plugin", "api", "policy", "vm", "json"]:
        for path in sorted((ROOT / "src" / folder).glob("*.c")):
            source = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.DOTALL)
            for call in CALL.finditer(source):
                arguments = source[call.end():end_of_call(source, call.end())]
                string = STRING.search(arguments)
                if not string:
                    continue
                text = "".join(re.findall(r'"((?:\\.|[^"\\])*)"', string.group(0))).replace('\\"', '"')
                pieces = [piece.strip(" :,'") for piece in CONVERSION.split(text.removeprefix("mailerq-lua: "))]
                piece = max(pieces, key=len)
                if len(piece) >= 8 and not piece.startswith("\\"):
                    found.append((path.name, piece))
    return sorted(set(found))


def known(piece):
    """Whether the document has the piece, or (where it cuts long ones) its beginning."""
    return re.sub(r"\s+", " ", piece)[:24].strip(" :,'") in DOCUMENT


def test_texts_are_found():
    assert len(texts()) > 80


@pytest.mark.parametrize("file, piece", texts())
def test_documented(file, piece):
    assert known(piece) or any(piece.startswith(other.strip()) for other in AS_IN_LUA), f"{file}: {piece}"
