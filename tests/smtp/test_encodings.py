# SPDX-License-Identifier: MIT
"""mq.hash, mq.hmac and the encodings against Python's."""

import base64
import hashlib
import hmac
import json
import quopri
import random
import urllib.parse

from mqlua import Host
from probe import Probe

POLICY = """
local read, out = {}, {}
for i, hex in ipairs(mq.json.decode(mq.file("cases.json"))) do
  read[i] = hex:gsub("%%x%%x", function(digits) return string.char(tonumber(digits, 16)) end)
end
for name, fn in pairs({%s}) do
  out[name] = mq.array({})
  for i, data in ipairs(read) do
    out[name][i] = fn(data, read[i %% #read + 1]):gsub(".", function(c) return ("%%02x"):format(c:byte()) end)
  end
end
local file = assert(io.open(os.getenv("RESULTS"), "w"))
file:write(mq.json.encode(out))
file:close()
"""

HASHES = ["md5", "sha1", "sha256", "sha512"]
ENCODINGS = ["base64", "base64url", "hex", "url", "quoted_printable"]

# What is asked: name to a Lua function of a case and the next one.
ASKED = {
    **{name: f"function(data) return mq.hash.{name}(data) end" for name in HASHES},
    **{f"hmac {name}": f"function(data, key) return mq.hmac.{name}(key, data, {{raw = true}}) end" for name in HASHES},
    **{name: f"function(data) return mq.{name}.encode(data) end" for name in ENCODINGS},
    **{f"{name} back": f"function(data) return mq.{name}.decode(mq.{name}.encode(data)) end" for name in ENCODINGS},
    "padded": "function(data) return mq.base64url.encode(data, {pad = true}) end",
    "url decode": "function(data) return mq.url.decode(data) end",
    "binary": "function(data) return mq.quoted_printable.encode(data, {binary = true}) end",
    "binary back": "function(data) return mq.quoted_printable.decode(mq.quoted_printable.encode(data, {binary = true})) end",
}


def cases():
    generator = random.Random(11)
    texts = [b"", b"\0", b"=", b".", b" ", b"From me\r\n.dot \r\n", b"a" * 75 + b"\xff", b"a" * 76 + b"\n", b"%41+ /~",
             "Z\u00fcrich & \u20ac\n".encode() * 20, bytes(range(256))]
    texts += [generator.randbytes(size) for size in [*range(1, 20), 63, 64, 65, 127, 128, 129, 1000, 5000]]
    texts += [bytes(generator.choice(b"ab= \t\r\n.") for _ in range(300)) for _ in range(40)]
    return texts


def lines(text):
    """Ends of lines as quoted-printable texts have them."""
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def results(tmp_path, texts):
    """What each function of ASKED made of each text."""
    folder = tmp_path / "policy"
    folder.mkdir()
    (folder / "cases.json").write_text(json.dumps([text.hex() for text in texts]))
    (folder / "policy.lua").write_text(POLICY % ", ".join(f'["{name}"] = {code}' for name, code in ASKED.items()))
    path = tmp_path / "results"
    settings = {"files": {"write": [str(tmp_path)]}}
    with Host(policy=folder / "policy.lua", settings=settings, environment={"RESULTS": str(path)}) as host:
        assert "does not load" not in host.stderr, host.stderr
    return {name: [bytes.fromhex(value) for value in values] for name, values in json.loads(path.read_text()).items()}


def test_against_python(tmp_path):
    texts = cases()
    keys = texts[1:] + texts[:1]
    made = results(tmp_path, texts)
    for name in HASHES:
        assert made[name] == [hashlib.new(name, text).hexdigest().encode() for text in texts]
        assert made[f"hmac {name}"] == [hmac.digest(key, text, name) for text, key in zip(texts, keys)]
    assert made["base64"] == [base64.b64encode(text) for text in texts]
    assert made["padded"] == [base64.urlsafe_b64encode(text) for text in texts]
    assert made["base64url"] == [text.rstrip(b"=") for text in made["padded"]]
    assert made["hex"] == [text.hex().encode() for text in texts]
    assert made["url"] == [urllib.parse.quote(text, safe="").encode() for text in texts]
    assert made["url decode"] == [urllib.parse.unquote_to_bytes(text) for text in texts]
    for name in ["base64", "base64url", "hex", "url", "binary"]:
        assert made[f"{name} back"] == texts
    assert made["quoted_printable back"] == [lines(text) for text in texts]
    assert [quopri.decodestring(text) for text in made["quoted_printable"]] == [lines(text) for text in texts]
    assert [quopri.decodestring(text) for text in made["binary"]] == texts
    for text in made["quoted_printable"] + made["binary"]:
        for line in text.split(b"\r\n"):
            assert len(line) <= 76 and not line.endswith((b" ", b"\t")) and not line.startswith((b".", b"From "))


def test_buffers_are_taken_as_they_are():
    code = """local mime = message.mime
      local text = tostring(mime)
      show(mq.hash.sha256(mime) == mq.hash.sha256(text), mq.base64.decode(mq.base64.encode(mime)) == text,
        mq.hmac.sha1(text, mime) == mq.hmac.sha1(mime, text), mq.equal(mime, text), mq.equal(mime, text .. "x"))"""
    with Probe() as host:
        assert host.run(message=code).wait_shown() == [[True, True, True, True, False]]
