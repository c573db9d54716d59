# SPDX-License-Identifier: MIT

import pytest

ATTACHMENT = """From: friend@example.org
To: jane@example.com
Subject: invoice
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: application/octet-stream; {parameter}
Content-Disposition: attachment

QUJD
--b--
"""


@pytest.mark.parametrize("parameter", ['name="invoice.pdf.EXE"', "name=invoice.exe", "name*=utf-8''%e2.js"])
def test_a_dangerous_attachment(mailerq, parameter):
    message = mailerq.deliver("friend@example.org", "jane@example.com", ATTACHMENT.format(parameter=parameter))
    assert message["recipient"] == "quarantine@example.com"
    assert message["tags"] == ["quarantine"]
    assert message["mailerq-lua"]["recipient"] == "jane@example.com"
    assert message["mailerq-lua"]["reason"].startswith("attachment .")


@pytest.mark.parametrize("parameter", ['name="executive.pdf"', 'name="exe"', "name=notes.txt"])
def test_a_harmless_attachment(mailerq, parameter):
    message = mailerq.deliver("friend@example.org", "jane@example.com", ATTACHMENT.format(parameter=parameter))
    assert message["recipient"] == "jane@example.com"
    assert "mailerq-lua" not in message


def test_a_forged_sender(mailerq):
    text = 'From: "The boss" <boss@EXAMPLE.com>\nSubject: urgent\n\nBuy vouchers\n'
    message = mailerq.deliver("x@elsewhere.example", "jane@example.com", text)
    assert message["recipient"] == "quarantine@example.com"
    assert message["mailerq-lua"]["reason"] == "claims to be from EXAMPLE.com"


def test_a_bounce_to_noreply(mailerq):
    message = mailerq.deliver("", "noreply@example.com")
    assert message["mailerq-lua"]["verdict"] == "discard"
    assert message["maxdelivertime"] < "2001"
    assert message["dsn"]["notify"] == "NEVER"


def test_a_bounce_to_jane(mailerq):
    message = mailerq.deliver("", "jane@example.com")
    assert message["recipient"] == "jane@example.com"
    assert "mailerq-lua" not in message
