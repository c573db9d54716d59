# SPDX-License-Identifier: MIT
"""Connections, transactions and addresses as a policy sees them."""

import pytest

from mqlua import Host
from probe import Probe


@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


def test_connection_fields(probe):
    code = "show(connection.remote_ip, connection.peer_ip, connection.local_ip, connection.local_port, " \
           "connection.is_secure, connection.is_authenticated, connection.login, connection.direction)"
    assert probe.shown(rcptto=code) == ["127.0.0.1", "127.0.0.1", "127.0.0.1", probe.port, False, False, None,
                                        "incoming"]


def test_remote_port(probe):
    trial, client = probe.begin(mailfrom="show(connection.remote_port)")
    with client:
        client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
        assert trial.wait_shown() == [[client.socket.getsockname()[1]]]


def test_connection_ids_differ(probe):
    first, second = (probe.shown(rcptto="show(connection.id, type(connection.id))") for _ in range(2))
    assert first[0] != second[0] and first[1] == "string"


def test_unknown_field_names_the_nearest(probe):
    assert probe.error(rcptto="raises(function() return connection.remote_op end)") == \
        "connection has no field 'remote_op' (did you mean 'remote_ip'?)"
    assert "did you mean 'domain'" in probe.error(rcptto="raises(function() return address.domian end)")
    assert "did you mean 'recipient'" in probe.error(message="raises(function() return message.recipiant end)")


def test_fields_cannot_be_assigned(probe):
    assert "remote_ip" in probe.error(rcptto="raises(function() connection.remote_ip = '::1' end)")
    assert "nothing" in probe.error(rcptto="raises(function() connection.nothing = 1 end)")
    assert probe.error(rcptto="raises(function() connection.spawn = 1 end)") == "connection.spawn cannot be assigned"


def test_is_secure_after_starttls(probe):
    trial, client = probe.begin(mailfrom="show(connection.is_secure)")
    with client:
        client.expect("STARTTLS", 220)
        client.starttls()
        client.expect("EHLO client.example", 250)
        client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
    assert trial.wait_shown() == [[True]]


def test_fields_after_a_wait(probe):
    code = "mq.sleep(0.01) show(connection.remote_ip, connection.local_port, connection.is_secure, address.email)"
    assert probe.shown(rcptto=code) == ["127.0.0.1", probe.port, False, "one@example.com"]


def test_vars_live_as_long_as_the_connection(probe):
    trial, client = probe.begin(mailfrom="connection.vars.n = (connection.vars.n or 0) + 1 show(connection.vars.n)")
    with client:
        for _ in range(3):
            client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
            client.expect("RSET", 250)
    assert trial.wait_shown(3) == [[1], [2], [3]]


def test_transaction_is_new_at_mail_from(probe):
    trial, client = probe.begin(rcptto="local t = connection.transaction t.vars.n = (t.vars.n or 0) + 1 "
                                       "show(t.vars.n, #t.recipients, tostring(t.envelope))")
    sender = f"{trial.name}@probe.example"
    with client:
        for _ in range(2):
            client.expect(f"MAIL FROM:<{sender}>", 250)
            client.expect("RCPT TO:<one@example.com>", 250)
            client.expect("RCPT TO:<two@example.com>", 250)
            client.expect("RSET", 250)
    assert trial.wait_shown(4) == [[1, 1, sender], [2, 2, sender]] * 2


def test_old_transaction_is_over(probe):
    trial, client = probe.begin(mailfrom="local old = connection.vars.old connection.vars.old = connection.transaction "
                                         "if old then raises(function() return old.envelope end) end")
    with client:
        for _ in range(2):
            client.expect(f"MAIL FROM:<{trial.name}@probe.example>", 250)
            client.expect("RSET", 250)
    assert trial.wait_shown() == [["transaction is over"]]


def test_recipients_offered_so_far(probe):
    code = "local list = {} for i, one in ipairs(connection.transaction.recipients) do list[i] = one.email end show(list)"
    trial = probe.run(recipients=["one@example.com", "Two@EXAMPLE.com"], rcptto=code)
    assert trial.wait_shown(2) == [[["one@example.com"]], [["one@example.com", "Two@EXAMPLE.com"]]]


def test_address_fields(probe):
    trial = probe.run(recipients=["Mixed.Case@EXAMPLE.com"], rcptto="show(address.email, address.localpart, "
                      "address.domain, address.is_null, tostring(address))")
    assert trial.wait_shown() == [["Mixed.Case@EXAMPLE.com", "Mixed.Case", "example.com", False,
                                   "Mixed.Case@EXAMPLE.com"]]


def test_quoted_localpart_with_at(probe):
    trial = probe.run(recipients=['"a@b"@example.com'], rcptto="show(address.localpart, address.domain)")
    assert trial.wait_shown() == [["a@b", "example.com"]]


def test_quoted_localpart_with_blank(probe):
    trial = probe.run(recipients=['"a b"@example.com'], rcptto="show(address.localpart, address.domain)")
    assert trial.wait_shown() == [["a b", "example.com"]]


def test_null_sender(probe):
    policy = """
    mq.on("smtp_in_mailfrom", function(connection, address)
      mq.log.info("%s %s %s %s %s", address.email, address.localpart, address.domain, address.is_null, address)
    end)"""
    with Host(policy=policy) as host, host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<>", 250)
        host.wait_stderr("nil nil nil true <>")


@pytest.mark.parametrize("brackets", ["on", "off"])
def test_brackets_do_not_show(brackets):
    with Probe(knobs={"brackets": brackets}) as host:
        assert host.shown(rcptto="show(address.email, connection.transaction.recipients[1].email)") == \
            ["one@example.com"] * 2


def test_use_after_close(probe):
    code = "mq.after(0.05, function() raises(function() return connection.remote_ip end) end)"
    assert probe.error(rcptto=code) == "connection is closed"


def test_use_after_close_of_everything(probe):
    trial = probe.run(message="local t, b = connection.transaction, message.mime mq.after(0.05, function() "
                              "raises(function() return t.envelope end) "
                              "raises(function() return message.json end) "
                              "raises(function() return #b end) "
                              "raises(function() connection:spawn(print) end) end)")
    assert [message for [message] in trial.wait_shown(4)] == \
        ["transaction is over", "message is over", trial.shown[2][0], "connection is closed"]
    assert trial.shown[2][0] != "NO ERROR"


def test_address_outlives_its_event(probe):
    assert probe.shown(rcptto="mq.after(0.05, function() show(address.email, address.domain) end)") == \
        ["one@example.com", "example.com"]


def test_fields_at_close():
    policy = """
    mq.on("smtp_in_close", function(connection)
      mq.log.info("close %s %s %s", connection.remote_ip, connection.vars.seen, connection.is_secure)
      mq.sleep(0.01)
      mq.log.info("later %s", pcall(function() return connection.remote_ip end))
    end)
    mq.on("smtp_in_mailfrom", function(connection) connection.vars.seen = "yes" end)"""
    with Host(policy=policy) as host:
        host.send()
        host.wait_stderr("close 127.0.0.1 yes false")
        host.wait_stderr("later (true|false)")


def test_behind_a_proxy():
    policy = """
    mq.on("smtp_in_mailfrom", function(connection)
      mq.log.info("ip %s %s peer %s", connection.remote_ip, connection.remote_port, connection.peer_ip)
    end)"""
    settings = {"host": {"proxies": ["127.0.0.0/8"]}}
    with Host("--proxy-from", "127.0.0.1", policy=policy, settings=settings) as host, host.client() as client:
        client.send("PROXY TCP4 192.0.2.7 198.51.100.1 4000 25\r\n")
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        host.wait_stderr("ip nil nil peer 127.0.0.1")


AUTH = r"""
mq.on("smtp_in_authenticate", function(connection, login, password)
  if password == "right" then return mq.accept() end
end)
mq.on("smtp_in_mailfrom", function(connection)
  mq.log.info("login %s %s", connection.login, connection.is_authenticated)
end)
"""


def test_login_is_the_accepted_one():
    import base64
    with Host(policy=AUTH, knobs={"auth-by-symbol": "on", "password": "given"}) as host, host.client() as client:
        client.greet()
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0joe\0wrong").decode()) == 535
        assert client.command("AUTH PLAIN " + base64.b64encode(b"\0ann\0right").decode()) == 235
        client.expect("MAIL FROM:<a@example.org>", 250)
        host.wait_stderr("login ann true")
        assert "right" not in host.stderr
