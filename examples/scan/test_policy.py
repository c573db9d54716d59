# SPDX-License-Identifier: MIT

import pytest

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


@pytest.mark.parametrize("data", ["chunks:1000", "chunks:7", "chunks:1", "whole"])
def test_a_signature_is_found_however_the_host_cuts(mailerq, data):
    mailerq.start(knobs={"data": data})
    text = "Subject: x\n\n" + 40 * "some text\n" + "before" + GTUBE + "after\n" + 40 * "more text\n"
    message = mailerq.deliver("a@example.org", "b@example.com", text)
    assert message["recipient"] == "quarantine@example.com"
    assert message["mailerq-lua"]["reason"] == "signature 1"


def test_harmless_mail(mailerq):
    message = mailerq.deliver("a@example.org", "b@example.com", "Subject: x\n\n" + GTUBE[:-1] + "\n")
    assert message["recipient"] == "b@example.com" and "mailerq-lua" not in message


def test_one_message_says_nothing_about_the_next(mailerq):
    client = mailerq.session()
    mailerq.deliver("a@example.org", "b@example.com", "Subject: x\n\n" + GTUBE + "\n", client)
    message = mailerq.deliver("a@example.org", "b@example.com", client=client)
    assert message["recipient"] == "b@example.com"
