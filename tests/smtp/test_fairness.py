# SPDX-License-Identifier: MIT
"""A worker's time is shared: whatever one connection's tasks do, and however many of them end, the others are served."""

import contextlib
import select
import time

import pytest

from mqlua import Host

BURN = """
local function burn(seconds)
  local till = mq.monotonic() + seconds
  while mq.monotonic() < till do end
end
"""
SOON = 3.0  # generous: what a command takes on a worker that shares its time, on a loaded machine with sanitizers


@pytest.fixture
def serve():
    """A host with one worker and a policy, which burns what its handlers say."""
    hosts = []

    def start(policy, knobs=None, **settings):
        host = Host(policy=BURN + policy, settings={"memory": "1GB", **settings}, knobs=knobs)
        hosts.append(host)
        return host.__enter__()

    yield start
    for host in hosts:
        host.__exit__(None, None, None)


def noop(client):
    begun = time.monotonic()
    client.expect("NOOP", 250)
    return time.monotonic() - begun


def longest_noop(client, seconds):
    end, longest = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        longest = max(longest, noop(client))
        time.sleep(0.01)
    return longest


def begin(client):
    client.greet()
    client.expect("MAIL FROM:<sender@example.org>", 250)


def rcpt(address):
    return f"RCPT TO:<{address}@example.com>"


@pytest.mark.parametrize("work", [
    "for i = 1, 100 do connection:spawn(function() burn(0.09) end) end",
    "for i = 1, 100 do mq.after(0, function() burn(0.09) end) end",
    "for i = 1, 100 do mq.every(0.001, function() burn(0.09) end) end",
    "for i = 1, 100 do connection:spawn(function() mq.sleep(0.2) burn(0.09) end) end",
    "for i = 1, 10 do connection:spawn(function() while true do burn(0.09) mq.sleep(0) end end) end",
], ids=["spawned", "after", "every", "woken", "endless"])
def test_tasks_of_one_connection(serve, work):
    host = serve(f"""
    mq.on("smtp_in_rcptto", function(connection, address)
      if address.localpart == "work" then {work} end
    end)""")
    with host.client() as one, host.client() as other:
        begin(one)
        other.greet()
        one.expect(rcpt("work"), 250)
        assert longest_noop(other, 3) < SOON


def test_tasks_of_ten_connections(serve):
    """None of them has so much to do that it is slowed down."""
    host = serve("""
    mq.on("smtp_in_rcptto", function(connection, address)
      for i = 1, 10 do connection:spawn(function() mq.sleep(0.5) burn(0.09) end) end
    end)""")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(host.client()) for _ in range(11)]
        for client in clients[1:]:
            begin(client)
        clients[0].greet()
        for client in clients[1:]:
            client.expect(rcpt("work"), 250)
        assert longest_noop(clients[0], 3) < SOON


def test_handlers_of_one_event(serve):
    handlers = "for i = 1, 100 do mq.on('smtp_in_mailfrom', function() burn(0.09) end) end"
    host = serve(handlers, deadline={"incoming": 60})
    with host.client() as one, host.client() as other:
        one.greet()
        other.greet()
        one.send(b"MAIL FROM:<a@example.org>\r\n")
        time.sleep(0.05)
        assert longest_noop(other, 2) < SOON
        assert one.code() == 250


def test_handlers_after_a_wait(serve):
    handlers = """
    mq.on("smtp_in_mailfrom", function() mq.sleep(0.01) end)
    for i = 1, 100 do mq.on("smtp_in_mailfrom", function() burn(0.09) end) end"""
    host = serve(handlers, deadline={"incoming": 60})
    with host.client() as one, host.client() as other:
        one.greet()
        other.greet()
        one.send(b"MAIL FROM:<a@example.org>\r\n")
        time.sleep(0.05)
        assert longest_noop(other, 2) < SOON
        assert one.code() == 250


def test_a_deadline_passes_in_between(serve):
    host = serve("""
    mq.on("smtp_in_rcptto", function(connection, address)
      if address.localpart == "work" then
        for i = 1, 100 do mq.after(0, function() burn(0.09) end) end
      end
      if address.localpart == "wait" then mq.sleep(30) end
    end, {timeout = 0.5, on_error = mq.tempfail(451, "4.3.0", "late")})""")
    with host.client() as one, host.client() as other:
        begin(one)
        begin(other)
        one.expect(rcpt("work"), 250)
        begun = time.monotonic()
        other.expect(rcpt("wait"), 451)
        assert 0.4 < time.monotonic() - begun < 0.5 + SOON


def test_another_connection_waits_for_one_piece_each(serve):
    """The tasks of a connection do not stand behind all of those of another one."""
    host = serve("""
    mq.on("smtp_in_rcptto", function(connection, address)
      if address.localpart == "work" then
        for i = 1, 100 do connection:spawn(function() burn(0.09) end) end
      else
        for i = 1, 3 do mq.sleep(0) end
      end
    end)""")
    with host.client() as one, host.client() as other:
        begin(one)
        begin(other)
        one.expect(rcpt("work"), 250)
        begun = time.monotonic()
        other.expect(rcpt("sleep"), 250)
        assert time.monotonic() - begun < SOON


def test_who_takes_more_than_half_is_told(serve):
    host = serve("""
    mq.on("smtp_in_rcptto", function(connection, address)
      for i = 1, 100 do connection:spawn(function() burn(0.09) end) end
    end)""")
    with host.client() as one:
        begin(one)
        one.expect(rcpt("work"), 250)
        host.wait_stderr(r"tasks of connection 1-1 use more than half of the worker's time")
        assert host.stderr.count("use more than half") < 20


# 30,000 tasks, made in parts so that no part takes long.
SPAWN = {
    "children": (300, "for i = 1, 100 do mq.spawn(function() mq.sleep(60) end) end"),
    "jobs": (300, "for i = 1, 100 do connection:spawn(function() mq.sleep(60) end) end"),
    "nested": (300, "mq.spawn(function() for i = 1, 99 do mq.spawn(function() mq.sleep(60) end) end mq.sleep(60) end)"),
    "deferred": (100, "for i = 1, 30 do mq.spawn(function() mq.defer(function() burn(0.001) end) mq.sleep(60) end) end"),
    "timers": (300, "for i = 1, 100 do mq.after(60, print) end"),
}


@pytest.mark.parametrize("kind", SPAWN)
@pytest.mark.parametrize("end", ["leaves", "deadline", "error"])
def test_many_tasks_end(serve, kind, end):
    """30,000 tasks are ended at once; nobody is charged for that, and nobody waits for it."""
    parts, part = SPAWN[kind]
    last = "error('x')" if end == "error" else "mq.log.info('<made>') mq.sleep(60)"
    timeout = 3 if end == "deadline" else 60
    host = serve(f"""
    mq.on("smtp_in_rcptto", function(connection, address)
      for part = 1, {parts} do {part} mq.sleep(0) end
      {last}
    end, {{timeout = {timeout}}})""", deadline={"incoming": 60})
    one, other = host.client(), host.client()
    with other:
        with one:
            begin(one)
            other.greet()
            one.send((rcpt("many") + "\r\n").encode())
            if end != "leaves":
                one.code()
            else:
                host.wait_stderr("<made>")
        assert longest_noop(other, 1.5) < SOON


def test_all_of_them_end(serve):
    """What is worked off bit by bit is worked off: every function of mq.defer has run, and the memory is free."""
    host = serve("""
    local open = 0
    mq.on("smtp_in_rcptto", function(connection, address)
      if address.localpart == "many" then
        for i = 1, 5000 do
          if i % 100 == 0 then mq.sleep(0) end
          connection:spawn(function()
            open = open + 1
            mq.defer(function() open = open - 1 end)
            mq.spawn(function() open = open + 1 mq.defer(function() open = open - 1 end) mq.sleep(60) end)
            mq.sleep(60)
          end)
        end
        mq.sleep(0.5)
        mq.log.info("<open %d>", open)
      else
        while open > 0 do mq.sleep(0.01) end
      end
    end)""", deadline={"incoming": 60})
    with host.client() as one:
        begin(one)
        one.expect(rcpt("many"), 250)
    host.wait_stderr("<open 10000>")
    with host.client() as other:
        begin(other)
        other.expect(rcpt("none"), 250)


def has_reply(client):
    """Whether something of the server is there already."""
    return bool(select.select([client.socket], [], [], 0)[0])


def test_pieces_that_came_at_once(serve):
    """One message can be thousands of events, and all of its bytes may be there: the stand-in goes back to its loop."""
    host = serve("""
    mq.on("smtp_in_data", function(connection, chunk) burn(0.05) end, {chunks = true})
    mq.on("smtp_in_message", function() mq.log.info("whole") end)""", knobs={"data": "chunks:7"})
    with host.client() as one, host.client() as other:
        begin(one)
        other.greet()
        one.expect(rcpt("one"), 250)
        one.expect("DATA", 354)
        one.send(b"Subject: many pieces\r\n\r\n" + b"y" * 300 + b"\r\n.\r\n")
        for _ in range(3):
            other.expect("NOOP", 250)
            assert not has_reply(one) and "whole" not in host.stderr
        assert one.code() == 250
