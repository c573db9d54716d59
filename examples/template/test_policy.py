# SPDX-License-Identifier: MIT

import mqlua
import sink

STUB = {"envelope": "shop@example.com", "recipient": "jane@example.org", "mime": "Subject: stub\r\n\r\nstub\r\n"}


def test_an_order(mailerq):
    order = {**STUB, "template": "order", "values": {"name": "Jané", "number": 4711, "total": "9.50"}}
    [(sender, recipient, letter)] = mailerq.send_out(order)
    assert (sender, recipient) == ("shop@example.com", "jane@example.org")
    assert letter["Subject"] == "Your order 4711"
    assert letter["To"] == "jane@example.org"
    assert "Dear Jané,\n" in letter.get_content().replace("\r", "")
    assert "order 4711 over 9.50 € has" in letter.get_content()


def test_no_field_can_be_smuggled_in(mailerq):
    order = {**STUB, "template": "order", "values": {"name": "x", "number": "1\r\nBcc: all@example.org", "total": 1}}
    [(_, _, letter)] = mailerq.send_out(order)
    assert letter["Bcc"] is None
    assert letter["Subject"] == "Your order 1  Bcc: all@example.org"


def test_other_messages_stay_as_they_are(mailerq):
    [(_, _, letter)] = mailerq.send_out(STUB)
    assert letter["Subject"] == "stub"


def test_a_value_that_is_missing_fails_the_attempt(mailerq):
    order = {**STUB, "template": "order", "values": {"name": "Jane"}}
    with sink.Sink() as server:
        mailerq.start_out(server, order)
        mailerq.host.wait_stderr("there is no value for 'number'")
        server.hang_up()  # a server that has waited long enough
        mailerq.finish_out()
        assert server.messages == []
    [result] = mqlua.read_lines(mailerq.results)
    assert result["results"][-1]["result"] == "lost"
