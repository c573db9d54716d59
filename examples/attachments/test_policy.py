# SPDX-License-Identifier: MIT

import pytest

MAIL = """From: friend@example.org
Subject: invoice
Content-Type: multipart/mixed; boundary=b

--b

See the invoice.
--b
{header}

QUJD
--b--
"""

DANGEROUS = [
    'Content-Disposition: attachment; filename="invoice.pdf.EXE"',
    "CONTENT-TYPE: application/x; NAME=invoice.exe",
    "Content-Type: application/x; name*=utf-8''invoice%2E%65xe",
    "Content-Disposition: attachment;\n filename*0=invoice.e;\n filename*1=xe",
    'Content-Disposition: attachment; filename="=?utf-8?B?aW52b2ljZS5leGU=?="',
    'Content-Disposition: attachment; filename="invoice.exe . "',
    "Content-Disposition: attachment; (a comment) filename = invoice.exe",
    "Content-Type: message/rfc822\n\nContent-Disposition: attachment; filename=invoice.exe",
]


@pytest.mark.parametrize("header", DANGEROUS)
def test_dangerous(mailerq, header):
    message = mailerq.deliver("friend@example.org", "jane@example.com", MAIL.format(header=header))
    assert message["recipient"] == "quarantine@example.com"
    assert message["mailerq-lua"]["reason"] == "attachment .exe"


@pytest.mark.parametrize("header", ["Content-Disposition: attachment; filename=exe", "Content-Type: text/plain",
                                    'Content-Disposition: attachment; filename="about .exe files.txt"'])
def test_harmless(mailerq, header):
    assert mailerq.deliver("friend@example.org", "jane@example.com", MAIL.format(header=header))["recipient"] == "jane@example.com"


def test_more_parts_than_are_allowed(mailerq):
    text = MAIL.format(header="Content-Type: text/plain").replace("--b\n", "--b\n\n" * 1001 + "--b\n", 1)
    message = mailerq.deliver("friend@example.org", "jane@example.com", text)
    assert message["recipient"] == "quarantine@example.com"
    assert "mime.parts" in message["mailerq-lua"]["reason"]
