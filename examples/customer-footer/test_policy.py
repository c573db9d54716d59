# SPDX-License-Identifier: MIT

import email
import email.policy

BOTH = """Subject: offer
Content-Type: multipart/alternative; boundary=b

--b
Content-Type: text/plain; charset=iso-8859-1
Content-Transfer-Encoding: quoted-printable

F=FCr Sie
--b
Content-Type: text/html; charset=us-ascii

<html><body><p>For you</p></body></html>
--b--
"""


def letter(message):
    return email.message_from_string(message["mime"], policy=email.policy.default)


def test_text_and_html(mailerq):
    text, html = letter(mailerq.deliver("shop@example.com", "jane@example.org", BOTH)).iter_parts()
    assert text.get_content_charset() == "iso-8859-1" and text["Content-Transfer-Encoding"] == "quoted-printable"
    assert text.get_content().replace("\r", "") == "Für Sie\n\n-- \nExample Ltd., Grün Street 5\n"
    assert "For you</p><div><br>" in html.get_content() and "Grün Street 5<br>" in html.get_content()
    assert html.get_content().rstrip().endswith("</body></html>")


def test_a_text_alone(mailerq):
    message = mailerq.deliver("news@shop.example.com", "jane@example.org", "Subject: offer\n\nFor you\n")
    assert message["mime"] == ("Subject: offer\r\n\r\nFor you\r\n\r\n-- \r\nThe shop. Returns within 30 days: "
                               "https://shop.example.com/returns\r\n")


def test_others(mailerq):
    message = mailerq.deliver("joe@elsewhere.example", "jane@example.org", BOTH)
    assert message["mime"].replace("\r", "") == BOTH


def test_signed_mail(mailerq):
    signed = BOTH.replace("multipart/alternative", "multipart/signed")
    message = mailerq.deliver("shop@example.com", "jane@example.org", signed)
    assert message["mime"].replace("\r", "") == signed and message["tags"] == ["no-footer"]
