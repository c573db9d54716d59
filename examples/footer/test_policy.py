# SPDX-License-Identifier: MIT

import pytest

FOOTER = "\r\n-- \r\nExample Ltd, 1 Example Street, Exampleton\r\n"
HEADER = "From: jane@example.com\r\nSubject: hello\r\n"


def content(mailerq, header, body="Text\r\n", sender="jane@example.com"):
    """The content before and behind the policy."""
    text = f"{HEADER}{header}\r\n{body}"
    return text, mailerq.deliver(sender, "friend@example.org", text)["mime"]


@pytest.mark.parametrize("header", [
    "", "Content-Type: text/plain\r\n", "Content-Type: TEXT/PLAIN;\r\n charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"])
def test_a_plain_text(mailerq, header):
    before, after = content(mailerq, header)
    assert after == before + FOOTER


@pytest.mark.parametrize("header", [
    "Content-Type: multipart/mixed; boundary=b\r\n", "Content-Type: multipart/signed; boundary=b\r\n",
    "Content-Type: text/html\r\n",
    "Content-Type: text/plainer\r\n", "Content-Transfer-Encoding: base64\r\n", "Content-Transfer-Encoding: Quoted-Printable\r\n",
    "Content-Type: application/pkcs7-mime\r\n", "DKIM-Signature: v=1; a=rsa-sha256\r\n", "ARC-Seal: i=1\r\n"])
def test_what_a_footer_would_break(mailerq, header):
    before, after = content(mailerq, header)
    assert after == before


def test_a_stranger(mailerq):
    before, after = content(mailerq, "", sender="x@elsewhere.example")
    assert after == before


def test_a_large_text(mailerq):
    mailerq.options["settings"] = {"budget": 2}  # on a busy machine
    before, after = content(mailerq, "", body=("x" * 70 + "\r\n") * (18 * 1024 * 1024 // 72))
    assert len(after) == len(before) + len(FOOTER) and after.endswith(FOOTER)
