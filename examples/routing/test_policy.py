# SPDX-License-Identifier: MIT

from datetime import datetime, timedelta

import pytest

import sink


def hours(message):
    """How long delivery is tried, rounded to quarters of an hour."""
    received, end = (datetime.fromisoformat(message[name]) for name in ("received", "maxdelivertime"))
    return round((end - received) / timedelta(minutes=15)) / 4


@pytest.mark.parametrize("domain", ["partner.example", "PARTNER.example", "eu.partner.example"])
def test_smarthost_and_time(mailerq, domain):
    message = mailerq.deliver("jane@example.com", f"you@{domain}")
    assert message["smarthost"] == {"hostname": "relay.partner.example", "port": 2525}
    assert hours(message) == 12


def test_time_only(mailerq):
    message = mailerq.deliver("jane@example.com", "you@codes.example")
    assert hours(message) == 0.25 and "smarthost" not in message


def test_everything_else(mailerq):
    message = mailerq.deliver("jane@example.com", "you@notpartner.example")
    assert hours(message) == 72 and "smarthost" not in message


def test_the_smarthost_gets_it(mailerq):
    """The JSON that comes out goes in as an outgoing message, with another address in place of the smarthost's."""
    message = mailerq.deliver("jane@example.com", "you@partner.example")
    with sink.Sink() as relay:
        message["smarthost"].update(hostname="127.0.0.1", port=relay.port)
        assert mailerq.send_out(message) == []
        assert [one.recipients[0] for one in relay.messages] == ["<you@partner.example>"]
