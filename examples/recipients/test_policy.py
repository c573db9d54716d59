# SPDX-License-Identifier: MIT


def test_mailboxes_that_exist(mailerq):
    mailerq.dialogue("""
        MAIL FROM:<sender@example.org>        250
        RCPT TO:<jane@example.com>            250
        RCPT TO:<JANE@Example.COM>            250
        RCPT TO:<jane+shop@example.com>       250
        RCPT TO:<whoever@example.net>         250
    """)


def test_a_mailbox_that_does_not_exist(mailerq):
    mailerq.dialogue("""
        MAIL FROM:<sender@example.org>        250
        RCPT TO:<jane@example.com>            250
        RCPT TO:<john+jane@example.com>       550 5.1.1 No such mailbox here
        (and the session is over)             421
    """)


def test_no_relay(mailerq):
    mailerq.dialogue("""
        MAIL FROM:<jane@example.com>          250
        RCPT TO:<friend@elsewhere.example>    550 5.7.1 We do not relay
    """)


def test_our_users_may_write_to_anybody(mailerq):
    mailerq.start("--auth", "jane:secret", knobs={"own-auth": "before"})
    mailerq.dialogue("""
        LOGIN jane secret                     235
        MAIL FROM:<jane@example.com>          250
        RCPT TO:<friend@elsewhere.example>    250
    """)
