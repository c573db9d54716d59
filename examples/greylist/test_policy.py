# SPDX-License-Identifier: MIT

import mqlua


def attempt(mailerq, sender="a@example.org", address="127.0.0.1"):
    client = mailerq.session(address)
    client.say(f"MAIL FROM:<{sender}>")
    return client.say("RCPT TO:<one@example.com>")


def test_a_retry_passes_on_any_worker(mailerq):
    mailerq.change(DELAY=0.3)
    mailerq.start(workers=3)
    assert attempt(mailerq).startswith("451 4.7.1 Greylisted, try again in 1 seconds")
    mqlua.wait_until(lambda: attempt(mailerq).startswith("250"), "the retry to pass")
    assert all(attempt(mailerq).startswith("250") for _ in range(4))
    assert attempt(mailerq, address="127.0.0.9").startswith("250")  # the same network


def test_too_early(mailerq):
    assert attempt(mailerq).startswith("451")
    assert attempt(mailerq).startswith("451")


def test_who_is_never_asked(mailerq):
    assert attempt(mailerq, address="127.5.0.1").startswith("250")
    assert attempt(mailerq, sender="x@PARTNER.example").startswith("250")
    assert attempt(mailerq, sender="x@other.example").startswith("451")


def test_it_survives_a_restart(mailerq):
    mailerq.change(DELAY=0.1)
    attempt(mailerq)
    mqlua.wait_until(lambda: attempt(mailerq).startswith("250"), "the retry to pass")
    assert mailerq.host.stop() == 0
    mailerq.host._lines.clear()
    mailerq.host.returncode = None
    mailerq.host.start()
    assert attempt(mailerq).startswith("250")
