# SPDX-License-Identifier: MIT


def test_a_bounce_adds_for_all_workers(mailerq):
    mailerq.start(workers=4)
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<Joe@example.net>  250")
    mailerq.dialogue("MAIL FROM:<>  250\n RCPT TO:<bounces+joe=example.net@example.com>  250")
    for _ in range(4):
        mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<JOE@example.net>  550 5.1.1 This address")
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<ann@example.net>  250")


def test_only_the_null_sender_adds(mailerq):
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<bounces+joe=example.net@example.com>  250")
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<joe@example.net>  250")


def test_the_file(mailerq):
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<complained@example.com>  550")
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<any@gone.example>  550")


def test_it_survives_a_restart(mailerq):
    mailerq.dialogue("MAIL FROM:<>  250\n RCPT TO:<bounces+joe=example.net@example.com>  250")
    assert mailerq.host.stop() == 0
    mailerq.host._lines.clear()
    mailerq.host.returncode = None
    mailerq.host.start()
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n RCPT TO:<joe@example.net>  550")
