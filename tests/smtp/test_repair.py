# SPDX-License-Identifier: MIT
"""No limit that a policy can fill refuses the policy that repairs it, while the old one still serves a connection."""

import os
import pathlib

import pytest

from mqlua import Host, wait_until


def handler(body):
    return f'mq.on("smtp_in_rcptto", function(connection, address)\n{body}\nend)\n'


def shown(pattern):
    return f'mq.log.info("repaired: %s", mq.metrics():match("{pattern}"))'


FINE = handler('mq.log.info("repaired: good")')

# What the policy does that is at a limit afterwards, and the one that comes next, which logs "repaired: good".
CASES = {
    "labels": ('local c = mq.counter("x_total", {labels = {"a"}})\n' + handler("c:inc(address.localpart)"),
               'local c = mq.counter("x_total", {labels = {"b", "c"}})\n'
               + handler('c:inc("good", 1)' + shown('x_total{b=\\"(good)'))),
    "kind": ('local c = mq.counter("x_good")\n' + handler("c:inc()"),
             'local c = mq.gauge("x_good")\n' + handler("c:set(4)" + shown("x_(good) gauge"))),
    "buckets": ('local h = mq.histogram("x_good")\n' + handler("h:observe(1)"),
                'local h = mq.histogram("x_good", {buckets = {7}})\n'
                + handler("h:observe(1)" + shown('x_(good)_bucket{le=\\"7\\"}'))),
    "series": ('local c = mq.counter("x_total", {labels = {"a"}, max_series = 5})\n' + handler("for i = 1, 10 do c:inc(i) end"),
               'local c = mq.counter("x_total", {labels = {"a"}, max_series = 5})\n'
               + handler('c:inc("good")' + shown('a=\\"(good)\\"'))),
    "more series": ('local c = mq.counter("x_total", {labels = {"a"}, max_series = 5})\n'
                    + handler("for i = 1, 10 do c:inc(i) end"),
                    'local c = mq.counter("x_total", {labels = {"a"}, max_series = 50})\n'
                    + handler('for i = 1, 40 do c:inc(i) end c:inc("good")' + shown('a=\\"(good)\\"'))),
    "metrics": ('for i = 1, 1000 do mq.counter("old" .. i):inc() end\n' + handler(""),
                'for i = 1, 999 do mq.counter("new" .. i):inc() end\nmq.counter("x_good")\n' + handler(shown("# TYPE x_(good)"))),
    "dictionaries": ('mq.shared("a", {capacity = "200MB"})\n' + handler(""),
                     'local d = mq.shared("b", {capacity = "200MB"})\n'
                     + handler('d:set("k", "good") mq.log.info("repaired: %s", d:get("k"))')),
    "names of dictionaries": ('for i = 1, 1000 do mq.shared("a" .. i, {capacity = "8KB"}) end\n' + handler(""),
                              'local d for i = 1, 1000 do d = mq.shared("b" .. i, {capacity = "8KB"}) end\n'
                              + handler('d:set("k", "good") mq.log.info("repaired: %s", d:get("k"))')),
    "entries": ('local d = mq.shared("a")\n' + handler('for i = 1, 500 do d:set(i, ("x"):rep(3000)) d:incr("n" .. i, 1, 0) end'),
                'local d = mq.shared("a", {capacity = "8KB"})\n'
                + handler('d:set("k", "good") mq.log.info("repaired: %s", d:get("k"))')),
    "keys of limits": ('local r = mq.ratelimit("a", {limit = 1, per = "day"})\n' + handler("for i = 1, 5000 do r:take(i) end"),
                       'local r = mq.quota("a", {limit = 5, capacity = "16KB"})\n'
                       + handler('mq.log.info("repaired: %s", r:take("new") and "good")')),
    "places of connections": ('local c = mq.concurrency("a", {limit = 1})\n'
                              + handler("for i = 1, 64 do c:enter(connection, i) end"),
                              'local c = mq.concurrency("a", {limit = 1})\n'
                              + handler('mq.log.info("repaired: %s", c:enter(connection, "new") and "good")')),
    "timers": ("for i = 1, 5000 do mq.every(0.5, function() end) mq.after(3000, print) end\n" + handler(""), FINE),
    "tasks": (handler("for i = 1, 2000 do mq.spawn(function() mq.sleep(3000) end) end"), FINE),
    "tasks of a connection": (handler("for i = 1, 2000 do connection:spawn(function() mq.sleep(3000) end) end"), FINE),
    "functions at an end": (handler("for i = 1, 200 do mq.defer(function() end) end"), FINE),
    "memory": ("local kept = {}\n" + handler("for i = 1, 1e9 do kept[i] = ('x'):rep(1e6) .. i end"), FINE),
    "files": ("local kept = {}\n" + handler("for i = 1, 100 do kept[i] = assert(io.open('policy.lua')) end"),
              handler("mq.log.info('repaired: %s', io.open('policy.lua') and 'good')")),
    "vars": (handler("connection.vars.x = {} for i = 1, 20000 do connection.vars.x[i] = {i} end"), FINE),
    "a reload handler": ('mq.on("reload", function() while true do end end)\n' + handler(""), FINE),
    "what it hands on": ('mq.on("reload", function() return ("x"):rep(60e6) end)\n' + handler(""), FINE)}


def offer(client):
    client.send("RCPT TO:<joe@example.com>\r\n")
    client.reply()


@pytest.mark.parametrize("limit", CASES)
def test_no_limit_refuses_its_repair(limit, tmp_path):
    policy, repair = CASES[limit]
    path = pathlib.Path(tmp_path) / "policy.lua"
    path.write_text(policy)
    with Host(policy=str(path), settings={"reload": {"quiet": 0.05}, "hold": 0.1}) as host:
        with host.client() as stays, host.client() as fills:
            for client in (stays, fills):
                client.greet()
                client.expect("MAIL FROM:<a@example.org>", 250)
                offer(client)
            (tmp_path / "new").write_text(repair)
            os.replace(tmp_path / "new", path)
            wait_until(lambda: "generation 2, " in host.stderr or "reload refused" in host.stderr, "the reload")
            assert "reload refused" not in host.stderr
            host.send()
            host.wait_stderr("repaired: good")
