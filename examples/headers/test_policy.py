# SPDX-License-Identifier: MIT

LETTER = """From: jane@example.com
Subject: hello
User-Agent: Secret/1.0
X-Originating-IP: 10.1.2.3
{more}
Text
"""


def sent(mailerq, more=""):
    """The message as it came in and went out again."""
    message = mailerq.deliver("jane@example.com", "friend@example.org", LETTER.format(more=more))
    [(_, _, letter)] = mailerq.send_out(message)
    return message, letter


def test_private_fields_are_removed(mailerq):
    message, letter = sent(mailerq)
    assert message["headers"]["remove"] == ["X-Originating-IP", "User-Agent"]
    assert "Secret" in message["mime"]
    assert letter["User-Agent"] is None and letter["X-Originating-IP"] is None
    assert letter["Subject"] == "hello" and letter.get_content().strip() == "Text"


def test_the_identifier_is_added(mailerq):
    message, letter = sent(mailerq)
    assert letter["X-Message-ID"] == message["message-id"]
    assert letter["List-Unsubscribe"] is None


def test_a_mailing_list(mailerq):
    _, letter = sent(mailerq, "List-ID: Gardeners <garden.example.com>\n")
    assert letter["List-Unsubscribe"] == "<https://lists.example.com/leave/garden.example.com>"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_list_that_cares_for_itself(mailerq):
    _, letter = sent(mailerq, "List-ID: <a.example>\nList-Unsubscribe: <mailto:leave@a.example>\n")
    assert letter.get_all("List-Unsubscribe") == ["<mailto:leave@a.example>"]
