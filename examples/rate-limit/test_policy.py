# SPDX-License-Identifier: MIT

import time


def test_messages_at_once(mailerq):
    mailerq.change(MESSAGES=0, BURST=3)
    client = mailerq.dialogue(3 * "MAIL FROM:<a@example.org>  250\n RSET  250\n")
    assert client.say("MAIL FROM:<a@example.org>").startswith("450 4.7.1 Too much mail")
    mailerq.dialogue("MAIL FROM:<a@example.org>  250")  # a new connection starts afresh


def test_the_bucket_fills_with_time(mailerq):
    mailerq.change(MESSAGES="60 * 50", BURST=1)
    client = mailerq.session()
    for _ in range(3):
        assert client.say("MAIL FROM:<a@example.org>").startswith("250")
        client.say("RSET")
        time.sleep(0.02)  # at least; one message in that time is allowed


def test_recipients(mailerq):
    mailerq.change(RECIPIENTS=2)
    mailerq.dialogue("""
        MAIL FROM:<a@example.org>    250
        RCPT TO:<b@example.com>      250
        RCPT TO:<c@example.com>      250
        RCPT TO:<d@example.com>      452 4.5.3
    """)


def test_bytes(mailerq):
    mailerq.change(BYTES=100000)
    client = mailerq.session()
    for _ in range(2):
        mailerq.deliver("a@example.org", "b@example.com", "Subject: x\n\n" + 60 * (1000 * "x" + "\n"), client)
    assert client.say("MAIL FROM:<a@example.org>").startswith("421 4.7.0 Enough")


def test_trusted_networks(mailerq):
    mailerq.change(MESSAGES=0, BURST=1, RECIPIENTS=1)
    mailerq.dialogue(5 * "MAIL FROM:<a@example.org>  250\n RCPT TO:<b@example.com>  250\n RCPT TO:<c@example.com>  250\n"
                     " RSET  250\n", address="127.5.0.1")
