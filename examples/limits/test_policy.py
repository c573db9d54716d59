# SPDX-License-Identifier: MIT

import base64

import mqlua

AUTH = """
mq.on("smtp_in_authenticate", function(connection, login, password)
  return password == "right" and mq.accept() or mq.deny()
end)
"""


def with_logins(mailerq, **changes):
    """The policy, and a handler that takes a password."""
    mailerq.change(**changes)
    mailerq.policy.write_text(mailerq.policy.read_text() + AUTH)


def login(client, name):
    secret = base64.b64encode(f"\0{name}\0right".encode()).decode()
    assert client.say("STARTTLS").startswith("220")
    assert client.say(f"AUTH PLAIN {secret}").startswith("235")


def test_messages_of_one_address_on_all_workers(mailerq):
    mailerq.change(CLIENT_MESSAGES=1, CLIENT_BURST=3)
    mailerq.start(workers=4)
    for _ in range(3):
        mailerq.dialogue("MAIL FROM:<a@example.org>  250")
    mailerq.dialogue("MAIL FROM:<a@example.org>  450 4.7.1 Too much")
    mailerq.dialogue("MAIL FROM:<a@example.org>  250", address="127.0.0.2")


def test_connections_of_one_address(mailerq):
    mailerq.change(CONNECTIONS=2)
    mailerq.start(workers=2)
    first, second = mailerq.session(), mailerq.session()
    mailerq.dialogue("(greeting)  421 4.7.0 Too many")
    second.say("QUIT")
    second.close()

    def enters():
        client = mailerq.session()
        return client.greeting.startswith("220")

    mqlua.wait_until(enters, "the place that was given back")
    assert first.say("NOOP").startswith("250")


def test_recipients_of_a_customer(mailerq):
    with_logins(mailerq, CUSTOMER_RECIPIENTS=3)
    for name in ["ann@shop.example", "bob@SHOP.example"]:
        client = mailerq.session()
        login(client, name)
        assert client.say("MAIL FROM:<a@example.org>").startswith("250")
        replies = [client.say(f"RCPT TO:<r{i}@example.com>")[:3] for i in range(2)]
        assert replies == (["250", "250"] if name[0] == "a" else ["250", "452"])


def test_trusted_networks(mailerq):
    mailerq.change(CONNECTIONS=1, CLIENT_BURST=1)
    for _ in range(3):
        mailerq.dialogue("MAIL FROM:<a@example.org>  250", address="127.5.0.1")
