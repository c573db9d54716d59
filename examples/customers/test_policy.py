# SPDX-License-Identifier: MIT


def deliver_as(mailerq, login):
    mailerq.start("--auth", f"{login}:secret", knobs={"own-auth": "before"})
    client = mailerq.dialogue(f"""
        STARTTLS                220
        LOGIN {login} secret    235
    """)
    return mailerq.deliver("any@sender.example", "you@example.org", client=client)


def test_a_customer(mailerq):
    message = deliver_as(mailerq, "jane@shop.example")
    assert message["tags"] == ["customer:shop"]
    assert (message["pool"], message["priority"]) == ("transactional", 5)
    assert message["customer"] == {"id": "shop", "login": "jane@shop.example"}


def test_a_customer_without_priority(mailerq):
    message = deliver_as(mailerq, "news@paper.example")
    assert (message["pool"], message["tags"]) == ("bulk", ["customer:paper"])
    assert "priority" not in message


def test_somebody_else(mailerq):
    message = mailerq.deliver("jane@shop.example", "you@example.org")
    assert message["pool"] == "shared"
    assert "tags" not in message and "customer" not in message
