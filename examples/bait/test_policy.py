# SPDX-License-Identifier: MIT

import base64

import pytest


def reason(mailerq, text):
    """Why the message is in quarantine, or None."""
    message = mailerq.deliver("a@example.org", "b@example.com", text)
    if message["recipient"] == "b@example.com":
        return None
    assert message["recipient"] == "quarantine@example.com"
    return message["mailerq-lua"]["reason"]


def mail(text, kind="text/plain", encode=False, subject="x"):
    head = f"Subject: {subject}\nMIME-Version: 1.0\nContent-Type: {kind}; charset=utf-8\n"
    if encode:
        return head + "Content-Transfer-Encoding: base64\n\n" + base64.encodebytes(text.encode()).decode()
    return head + "\n" + text + "\n"


@pytest.mark.parametrize("text, name", [
    ("Cheap V1AGRA here", "pills"), ("an online-casino", "casino"), ("an online\ncasino", "casino"),
    ("your BitCoin and other crypto wallet", "wallet"), ("SOFORT-\u00dcBERWEISUNG", "transfer")])
@pytest.mark.parametrize("encode", [False, True])
def test_found_in_the_text(mailerq, text, name, encode):
    assert reason(mailerq, mail(text, encode=encode)) == f"bait: {name}"


def test_found_in_the_subject(mailerq):
    subject = "=?utf-8?B?" + base64.b64encode(b"Cialis").decode() + "?="
    assert reason(mailerq, mail("hello", subject=subject)) == "bait: pills"


def test_found_between_markup(mailerq):
    assert reason(mailerq, mail("<p>an online <b>cas</b>ino</p>", kind="text/html")) == "bait: casino"


@pytest.mark.parametrize("text", ["hello", "viagrante", "a casino in Vienna", "my wallet", "# A name"])
def test_harmless_mail(mailerq, text):
    assert reason(mailerq, mail(text)) is None
