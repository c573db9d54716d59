# SPDX-License-Identifier: MIT

import pytest

ATTACHMENT = """From: friend@example.org
To: jane@example.com
Subject: invoice
Content-Type: multipart/mixed; boundary=b

--b
Content-Type: application/octet-stream; {parameter}

QUJD
--b--
"""


DANGEROUS = [
    'name="invoice.pdf.EXE"', "name=invoice.exe", "name*=utf-8''%e2.js",
    'NAME="a.exe"', 'Name = "a.exe"', "name*0=\"a.e\"; name*1=xe",
    "name*0*=utf-8''a%2E; name*1*=e%78e", 'name="=?utf-8?B?YS5leGU=?="', 'name="=?UTF-8?Q?a=2Eexe?="',
    'name="a.exe."', 'name="a.exe "',
    'name="a.txt"; name="a.exe"', 'name="a.exe:x.txt"', 'name="a\\.exe"', "name=\n \"a.exe\"", "x=y;\n\tnAmE*=us-ascii'en'a.exe",
    'name="a.txt"\nContent-Disposition: attachment; FileName="a.exe"', 'name="a.exe"\nContent-Disposition: inline; filename=a.txt',
    'name="a.txt"\nContent-Type: application/x; name=a.exe', 'name=(comment)a.exe', 'name="a.exe', "name='a.exe'"]


@pytest.mark.parametrize("parameter", DANGEROUS)
def test_a_dangerous_attachment(mailerq, parameter):
    message = mailerq.deliver("friend@example.org", "jane@example.com", ATTACHMENT.format(parameter=parameter))
    assert message["recipient"] == "quarantine@example.com"
    assert message["tags"] == ["quarantine"]
    assert message["mailerq-lua"]["recipient"] == "jane@example.com"
    assert message["mailerq-lua"]["reason"].startswith("attachment .")


def test_an_attachment_of_an_attached_message(mailerq):
    inner = ATTACHMENT.format(parameter='NAME="a.exe"').replace("=b", "=c").replace("--b", "--c")
    text = ATTACHMENT.replace("application/octet-stream; {parameter}", "message/rfc822").replace("QUJD\n", inner)
    assert mailerq.deliver("friend@example.org", "jane@example.com", text)["recipient"] == "quarantine@example.com"


def test_too_many_parts(mailerq):
    text = ATTACHMENT.format(parameter="x=y").replace("--b--", "--b\n\n" * 20000 + "--b--")
    assert mailerq.deliver("friend@example.org", "jane@example.com", text)["recipient"] == "quarantine@example.com"


@pytest.mark.parametrize("parameter", ['name="executive.pdf"', 'name="exe"', "name=notes.txt", 'name="exe.pdf"', 'x="a.exe"'])
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
