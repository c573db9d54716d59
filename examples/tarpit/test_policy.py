# SPDX-License-Identifier: MIT

import re


def test_known_recipients_never_wait(mailerq):
    mailerq.change(STEP=1000, LONGEST=1000)
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n" + 20 * "RCPT TO:<jane@example.com>  250\n")
    message = mailerq.deliver("a@example.org", "jane@example.com")
    assert "tags" not in message and message["recipient"] == "jane@example.com"


def test_guessers_wait_longer_and_longer(mailerq):
    mailerq.change(STEP=0.01)
    path = mailerq.policy
    path.write_text(path.read_text().replace("mq.sleep(delay)", 'mq.sleep(delay) mq.log.info("waited %g", delay)'))
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n" + 6 * "RCPT TO:<guess@example.com>  250\n")
    mailerq.host.wait_stderr(r"waited \S+", 4)
    assert re.findall(r"waited (\S+)", mailerq.host.stderr) == ["0.01", "0.02", "0.04", "0.08"]


def test_others_are_served_meanwhile(mailerq):
    mailerq.change(STEP=20)
    guesser = mailerq.dialogue("MAIL FROM:<a@example.org>  250\n" + 2 * "RCPT TO:<guess@example.com>  250\n")
    guesser.send("RCPT TO:<guess@example.com>\r\n")
    message = mailerq.deliver("b@example.org", "jane@example.com")
    assert message["recipient"] == "jane@example.com"
    guesser.close()


def test_too_many_guesses(mailerq):
    mailerq.change(STEP=0.001)
    mailerq.dialogue("MAIL FROM:<a@example.org>  250\n" + 10 * "RCPT TO:<guess@example.com>  250\n" + """
        RCPT TO:<jane@example.com>   250
        RCPT TO:<guess@example.com>  421 4.7.0 Too many
    """)


def test_their_mail_goes_where_nobody_reads_it(mailerq):
    message = mailerq.deliver("a@example.org", "guess@example.com")
    assert message["recipient"] == "unknown@example.com"
    assert message["mailerq-lua"]["recipient"] == "guess@example.com"
