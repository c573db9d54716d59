# SPDX-License-Identifier: MIT

import mqlua


def test_right_and_wrong_passwords(mailerq):
    mailerq.dialogue("""
        STARTTLS                               220
        LOGIN jane@example.com wrong           535
        LOGIN nobody@example.com wrong         535
        LOGIN jane@example.com battery-staple  235
        MAIL FROM:<jane@example.com>           250
    """)
    mailerq.dialogue("""
        STARTTLS                               220
        LOGIN SHOP@example.com correct-horse   235
    """)


def test_no_login_without_tls(mailerq):
    mailerq.dialogue("LOGIN jane@example.com battery-staple  535")


def test_our_domain_needs_a_login(mailerq):
    mailerq.dialogue("MAIL FROM:<jane@example.com>           550 5.7.1 Log in")


def test_lock_out(mailerq):
    guess = "STARTTLS  220\n" + 5 * "LOGIN jane@example.com guess  535\n"
    mailerq.dialogue(guess + "LOGIN jane@example.com battery-staple  421 4.7.0 Too many", address="127.0.0.2")
    owner = mailerq.dialogue("""
        STARTTLS                               220
        LOGIN jane@example.com battery-staple  235
    """, address="127.0.0.3")
    assert owner.say("NOOP").startswith("250")


def test_the_lock_out_ends(mailerq):
    mailerq.change(LOCK_SECONDS=0.2, LOCK_FAILURES=1)
    mailerq.dialogue("STARTTLS  220\n LOGIN jane@example.com guess  535")

    def logged_in():
        client = mailerq.dialogue("STARTTLS  220")
        return client.say("LOGIN jane@example.com battery-staple").startswith("235")

    mqlua.wait_until(logged_in, "the lock-out to end")


def test_all_workers_count_together(mailerq):
    mailerq.start(workers=4)
    for _ in range(5):
        mailerq.dialogue("STARTTLS  220\n LOGIN jane@example.com guess  535")
    for _ in range(4):
        mailerq.dialogue("STARTTLS  220\n LOGIN jane@example.com battery-staple  421 4.7.0 Too many")
