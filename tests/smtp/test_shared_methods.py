# SPDX-License-Identifier: MIT
"""The methods of mq.shared, with the results and errors that ngx.shared.DICT of OpenResty has.

Each case is a list of steps on an empty dictionary of 1 MB (or the one that it names) and what each returns. It covers what
OpenResty's own tests of its dictionary cover, as far as that needs nothing of nginx (values, keys, lives, flags, add, replace,
incr with init, safe_set and safe_add, stale reads, flushes, keys, lists). Differences, all on purpose:

- how many entries fit depends on the memory of an entry: the cases look for the first refusal instead of a count;
- what is declared too small gets 8 KB;
- a text that is too large evicts nothing: "forcible" is false, where OpenResty has thrown away entries in vain;
- a wrong object raises "shared expected" in place of 'bad "zone" argument';
- lists are read by get as nil, "value is a list"; booleans cannot be pushed, as there.
"""

import json

import pytest

from mqlua import Host, wait_until

FILL = "(function() for i = 1, 100000 do local a, b, c = d:%s('key' .. i, ('x'):rep(60) .. i) if not a or c then " \
       "return a, b, c, i > 100 end end end)()"
LONG = "('a'):rep(%d)"
STORED = "true nil false"

CASES = {
    # ---- values ----
    "an integer": [("d:set('foo', 32)", STORED), ("d:get('foo')", "32")],
    "a fraction": [("d:set('foo', 3.14159)", STORED), ("d:get('foo')", "3.14159")],
    "the last value counts": [("d:set('k', 1.28)", STORED), ("d:set('k', 3.96)", STORED), ("d:get('k')", "3.96")],
    "true": [("d:set('k', true)", STORED), ("d:get('k')", "true")],
    "false": [("d:set('k', false)", STORED), ("d:get('k')", "false")],
    "not a number": [("d:set('k', 0/0)", STORED), ("d:get('k') ~= d:get('k')", "true")],
    "infinity": [("d:set('k', -1/0)", STORED), ("d:get('k') == -1/0", "true")],
    "an empty text": [("d:set('k', '')", STORED), ("d:get('k')", '""')],
    "any bytes": [("d:set('k', 'a\\0b\\255')", STORED), ("d:get('k') == 'a\\0b\\255'", "true")],
    "64-bit integers": [("d:set('k', 9007199254740993LL)", STORED), ("tostring(d:get('k'))", '"9007199254740993LL"')],
    "texts of other sizes in one place": [
        ("d:set('k', 'hello')", STORED), ("d:set('k', 'hello, world')", STORED), ("d:get('k')", '"hello, world"'),
        ("d:set('k', 'hi')", STORED), ("d:get('k')", '"hi"')],
    "a large text": [("d:set('k', ('0123456789'):rep(1024))", STORED), ("#d:get('k')", "10240")],
    "other types in one place": [
        ("d:set('k', 'text')", STORED), ("d:set('k', 5)", STORED), ("d:get('k')", "5"),
        ("d:set('k', true)", STORED), ("d:get('k')", "true")],
    "a table is no value": [("d:set('k', {})", 'nil "bad value type"'), ("d:get('k')", "nil")],
    "a dictionary is no value": [("d:set('k', d)", 'nil "bad value type"')],
    "a function is no value": [("d:add('k', print)", 'nil "bad value type"')],
    "two dictionaries": [
        ("d:set('k', 32)", STORED), ("e:set('k', 'other')", STORED), ("d:get('k')", "32"), ("e:get('k')", '"other"'),
        ("d:set('k', 56)", STORED), ("e:get('k')", '"other"')],
    # ---- keys ----
    "numbers are their text": [
        ("d:set(1234, 'cat')", STORED), ("d:set('1234', 'dog')", STORED), ("d:get(1234)", '"dog"'),
        ("d:set(256, 'bird')", STORED), ("d:get('256')", '"bird"')],
    "no such key": [("d:get('none')", "nil"), ("d:get('none')", "nil"), ("d:get_stale('none')", "nil")],
    "nil keys": [
        ("d:%s" % call, 'nil "nil key"') for call in [
            "get(nil)", "get_stale(nil)", "set(nil, 1)", "add(nil, 1)", "replace(nil, 1)", "safe_set(nil, 1)",
            "safe_add(nil, 1)", "incr(nil, 1)", "ttl(nil)", "expire(nil, 1)", "delete(nil)", "lpush(nil, 1)",
            "rpush(nil, 1)", "lpop(nil)", "rpop(nil)", "llen(nil)"]],
    "empty keys": [
        ("d:%s" % call, 'nil "empty key"') for call in [
            "get('')", "get_stale('')", "set('', 1)", "add('', 1)", "replace('', 1)", "safe_set('', 1)", "safe_add('', 1)",
            "incr('', 1)", "ttl('')", "expire('', 1)", "delete('')", "lpush('', 1)", "rpush('', 1)", "lpop('')", "rpop('')",
            "llen('')"]],
    "keys that are too long": [
        ("d:%s" % (call % (LONG % 65536)), 'nil "key too long"') for call in [
            "get(%s)", "get_stale(%s)", "set(%s, 1)", "add(%s, 1)", "replace(%s, 1)", "incr(%s, 1)", "ttl(%s)",
            "lpush(%s, 1)", "lpop(%s)", "llen(%s)", "delete(%s)"]],
    "the longest key": [(f"d:set({LONG % 65535}, 'v')", STORED), (f"d:get({LONG % 65535})", '"v"')],
    "no dictionary": [
        ("select(2, pcall(d.get, nil, 'k')):match('shared expected')", '"shared expected"'),
        ("select(2, pcall(d.set, nil, 'k', 1)):match('shared expected')", '"shared expected"'),
        ("select(2, pcall(d.incr, 'k', 1)):match('shared expected')", '"shared expected"')],
    # ---- delete ----
    "delete": [
        ("d:set('k', 32)", STORED), ("d:delete('k')", STORED), ("d:get('k')", "nil"), ("d:set('k', 'again')", STORED),
        ("d:get('k')", '"again"')],
    "delete what is not there": [("d:delete('k')", STORED), ("d:get('k')", "nil")],
    "nil deletes": [("d:set('k', 32)", STORED), ("d:set('k', nil)", STORED), ("d:get('k')", "nil")],
    "nil at first": [("d:set('k', nil)", STORED), ("d:get('k')", "nil"), ("d:set('k', 1)", STORED)],
    "nil is not added": [
        ("d:add('k', nil)", 'nil "attempt to add or replace nil values"'),
        ("d:replace('k', nil)", 'nil "attempt to add or replace nil values"')],
    # ---- lives ----
    "expired": [("d:set('k', 32, 0.01)", STORED), ("sleep(0.03)", ""), ("d:get('k')", "nil")],
    "not yet expired": [("d:set('k', 32, 60)", STORED), ("sleep(0.01)", ""), ("d:get('k')", "32")],
    "zero is for ever": [("d:set('k', 32, 0)", STORED), ("d:ttl('k')", "0"), ("d:get('k')", "32")],
    "negative lives raise": [
        ("pcall(d.set, d, 'k', 1, -1)", 'false "bad "exptime" argument: a number of seconds, 0 (for ever) or more"')],
    "stale": [
        ("d:set('k', 32, 0.01)", STORED), ("d:set('l', 33, 60)", STORED), ("sleep(0.03)", ""),
        ("d:get_stale('k')", "32 nil true"), ("d:get_stale('l')", "33 nil false")],
    "stale booleans and flags": [
        ("d:set('t', true)", STORED), ("d:get_stale('t')", STORED),
        ("d:set('f', false, 0, 325)", STORED), ("d:get_stale('f')", "false 325 false")],
    "ttl and expire": [
        ("d:ttl('none')", 'nil "not found"'), ("d:expire('none', 1)", 'nil "not found"'), ("d:set('k', 1, 60)", STORED),
        ("d:ttl('k') > 59 and d:ttl('k') <= 60", "true"), ("d:expire('k', 100)", "true"), ("d:ttl('k') > 99", "true"),
        ("d:expire('k', 0)", "true"), ("d:ttl('k')", "0"), ("d:expire('k', 0.01)", "true"), ("sleep(0.03)", ""),
        ("d:get('k')", "nil"),
        ("d:ttl('k')", 'nil "not found"'), ("d:expire('k', 1)", 'nil "not found"')],
    # ---- flags ----
    "flags": [
        ("d:set('k', 32, 0, 199)", STORED), ("d:get('k')", "32 199"), ("d:set('k', 33)", STORED), ("d:get('k')", "33")],
    "flags end with the entry": [("d:set('k', 32, 0.01, 255)", STORED), ("sleep(0.03)", ""), ("d:get('k')", "nil")],
    "the fourth argument is no flag": [("d:set('k', 10502, 202)", STORED), ("d:get('k')", "10502")],
    # ---- add, replace ----
    "add": [("d:add('k', 1)", STORED), ("d:add('k', 2)", 'false "exists" false'), ("d:get('k')", "1")],
    "add where one has expired": [
        ("d:set('k', 'hi', 0.01)", STORED), ("sleep(0.03)", ""), ("d:add('k', 'hello')", STORED), ("d:get('k')", '"hello"')],
    "safe_add": [("d:safe_add('k', 1)", STORED), ("d:safe_add('k', 2)", 'false "exists" false')],
    "replace": [
        ("d:replace('k', 1)", 'false "not found" false'), ("d:get('k')", "nil"), ("d:set('k', 1)", STORED),
        ("d:replace('k', 'hello')", STORED), ("d:get('k')", '"hello"')],
    "replace what has expired": [
        ("d:set('k', 'hi', 0.01)", STORED), ("sleep(0.03)", ""), ("d:replace('k', 'hello')", 'false "not found" false'),
        ("d:get('k')", "nil")],
    # ---- incr ----
    "incr": [
        ("d:set('k', 32)", STORED), ("d:incr('k', 10502)", "10534 nil nil"), ("d:incr('k', 0)", "10534 nil nil"),
        ("d:incr('k', -34)", "10500 nil nil"), ("d:incr('k', 0.5)", "10500.5 nil nil"), ("d:get('k')", "10500.5")],
    "incr of a text that is a number": [
        ("d:set('k', 1)", STORED), ("d:incr('k', '32')", "33 nil nil"), ("d:get('k')", "33")],
    "incr of nothing": [("d:incr('k', 2)", 'nil "not found" nil'), ("d:get('k')", "nil")],
    "incr of what has expired": [
        ("d:set('k', 1, 0.01)", STORED), ("sleep(0.03)", ""), ("d:incr('k', 2)", 'nil "not found" nil')],
    "incr of no number": [
        ("d:set('k', true)", STORED), ("d:incr('k', 1)", 'nil "not a number" nil'), ("d:set('k', '5')", STORED),
        ("d:incr('k', 1, 0)", 'nil "not a number" false'), ("d:get('k')", '"5"')],
    "incr keeps flags": [("d:set('k', 1, 0, 7)", STORED), ("d:incr('k', 1)", "2 nil nil"), ("d:get('k')", "2 7")],
    "incr with init": [("d:incr('k', 10, 5)", "15 nil false"), ("d:incr('k', 10, 5)", "25 nil false"), ("d:ttl('k')", "0")],
    "incr with init where one has expired": [
        ("d:set('k', 100, 0.01)", STORED), ("sleep(0.03)", ""), ("d:incr('k', 10, 5)", "15 nil false"),
        ("d:get('k')", "15")],
    "incr with init_ttl": [
        ("d:incr('k', 1, 0, 0.05)", "1 nil false"), ("d:ttl('k') > 0", "true"), ("sleep(0.08)", ""), ("d:get('k')", "nil"),
        ("d:incr('k', 1, 0, 60)", "1 nil false"), ("d:incr('k', 1, 0, 600)", "2 nil false"), ("d:ttl('k') <= 60", "true")],
    "init_ttl needs init": [
        ("select(2, pcall(d.incr, d, 'k', 1, nil, 5)):match('must provide .*')",
         '"must provide "init" when providing "init_ttl""')],
    # ---- room ----
    "too large": [("s:set('k', ('x'):rep(100000))", 'false "no memory" false'), ("s:get('k')", "nil")],
    "too large evicts nothing": [
        ("s:set('l', 'hello')", STORED), ("s:set('k', ('x'):rep(100000))", 'false "no memory" false'),
        ("s:get('l')", '"hello"')],
    "others have to go": [(FILL.replace("d:", "s:") % "set", "true nil true true"), ("s:get('key1')", "nil")],
    "safe_set evicts nothing": [
        (FILL.replace("d:", "s:") % "safe_set", 'false "no memory" false true'), ("#s:get('key1')", "61")],
    "safe_add evicts nothing": [
        (FILL.replace("d:", "s:") % "safe_add", 'false "no memory" false true'), ("#s:get('key1')", "61"),
        ("s:safe_add('key1', 1)", 'false "exists" false')],
    "capacity and free_space": [
        ("s:capacity()", "51200"), ("s:free_space() <= 51200", "true"), ("s:set('k', ('x'):rep(9000))", STORED),
        ("s:free_space() < 51200 - 9000", "true")],
    # ---- all ----
    "flush_all": [
        ("d:set('k', 1)", STORED), ("d:rpush('l', 1)", "1"), ("#d:get_keys()", "2"), ("d:flush_all()", ""),
        ("d:get('k')", "nil"), ("d:llen('l')", "0"), ("#d:get_keys()", "0"), ("d:get_stale('k')", "1 nil true")],
    "flush_expired": [
        ("d:flush_expired()", "0"), ("d:set('a', 1, 0.01)", STORED), ("d:set('b', 1, 0)", STORED),
        ("d:set('c', 1, 100)", STORED), ("sleep(0.03)", ""), ("d:flush_expired()", "1"), ("d:flush_expired()", "0"),
        ("d:get_stale('a')", "nil"), ("#d:get_keys()", "2")],
    "flush_expired of so many": [
        ("(function() for i = 1, 100 do d:set(i, 1, 0.01) end end)()", ""), ("sleep(0.05)", ""),
        ("d:flush_expired(42)", "42"), ("d:flush_expired()", "58")],
    "keys": [
        ("#d:get_keys()", "0"), ("#d:get_keys(4)", "0"), ("d:set('a', 1)", STORED), ("d:set('b', 1)", STORED),
        ("(function() local k = d:get_keys() table.sort(k) return table.concat(k, ' ') end)()", '"a b"'),
        ("#d:get_keys(1)", "1"), ("#d:get_keys(3)", "2")],
    "keys that have expired": [
        ("d:set('a', 1, 0.01)", STORED), ("d:set('b', 1)", STORED), ("sleep(0.03)", ""), ("#d:get_keys()", "1")],
    "many keys": [
        ("(function() for i = 1, 2048 do d:set(i, i) end end)()", ""), ("#d:get_keys()", "1024"), ("#d:get_keys(0)", "2048")],
    # ---- lists ----
    "push and pop": [
        ("d:lpush('l', 'bar')", "1"), ("d:llen('l')", "1"), ("d:lpop('l')", '"bar"'), ("d:llen('l')", "0"),
        ("d:lpop('l')", "nil")],
    "a stack": [
        ("d:lpush('l', 1)", "1"), ("d:lpush('l', 2)", "2"), ("d:lpush('l', 3)", "3"), ("d:lpop('l')", "3"),
        ("d:lpop('l')", "2"), ("d:lpop('l')", "1")],
    "a queue": [
        ("d:lpush('l', 1)", "1"), ("d:lpush('l', 2)", "2"), ("d:rpop('l')", "1"), ("d:rpop('l')", "2"),
        ("d:rpop('l')", "nil")],
    "a queue the other way": [
        ("d:rpush('l', 1)", "1"), ("d:rpush('l', 2)", "2"), ("d:lpop('l')", "1"), ("d:lpop('l')", "2")],
    "get of a list": [("d:lpush('l', 'bar')", "1"), ("d:get('l')", 'nil "value is a list"'), ("d:get_keys()[1]", '"l"')],
    "a value in the place of a list": [
        ("d:lpush('l', 'bar')", "1"), ("d:set('l', 'v')", STORED), ("d:get('l')", '"v"'), ("d:lpush('m', 1)", "1"),
        ("d:replace('m', 'v')", STORED), ("d:get('m')", '"v"')],
    "add and incr of a list": [
        ("d:lpush('l', 1)", "1"), ("d:add('l', 2)", 'false "exists" false'), ("d:incr('l', 1)", 'nil "not a number" nil'),
        ("d:delete('l')", STORED), ("d:get('l')", "nil")],
    "lists of a value": [
        ("d:set('k', 'v')", STORED)] + [("d:" + call, 'nil "value not a list"') for call in [
            "lpush('k', 1)", "rpush('k', 1)", "lpop('k')", "rpop('k')", "llen('k')"]] + [("d:get('k')", '"v"')],
    "values of lists": [
        ("d:lpush('l', true)", 'nil "bad value type"'), ("d:lpush('l', nil)", 'nil "bad value type"'),
        ("d:lpush('l', {})", 'nil "bad value type"'), ("d:llen('l')", "0")],
    "long texts in lists": [
        ("d:lpush('l', ('foo'):rep(1000))", "1"), ("d:lpush('l', ('bar'):rep(10))", "2"), ("#d:rpop('l')", "3000"),
        ("d:rpop('l') == ('bar'):rep(10)", "true")],
    "a list that has expired": [
        ("d:lpush('l', 1)", "1"), ("d:flush_all()", ""), ("d:rpush('l', 'new')", "1"), ("d:llen('l')", "1"),
        ("d:lpop('l')", '"new"'), ("d:lpush('m', ('x'):rep(30000))", "1"), ("d:flush_all()", ""),
        ("d:incr('m', 1, 0)", "1 nil false")],
    "lists evict nothing": [
        ("s:set('k', 1)", STORED),
        ("(function() for i = 1, 1e5 do local n, e = s:lpush('l' .. i, i) if not n then return n, e, i > 100 end end end)()",
         'nil "no memory" true'),
        ("s:get('k')", "1")],
}

POLICY = """
local d, e, s = mq.shared("d"), mq.shared("e"), mq.shared("s", {capacity = "50KB"})
local sleep = mq.sleep
local function text(...)
  local parts = {}
  for i = 1, select("#", ...) do
    local value = (select(i, ...))
    parts[i] = type(value) == "string" and '"' .. value .. '"' or tostring(value)
  end
  return table.concat(parts, " ")
end
local cases = {
%s
}
mq.on("smtp_in_rcptto", function(connection, address)
  for _, dict in ipairs({d, e, s}) do dict:flush_all() dict:flush_expired() end
  local results = {}
  for i, step in ipairs(cases[tonumber(address.localpart)]) do results[i] = text(step()) end
  mq.log.info("[%%s] %%s", address.localpart, mq.json.encode(mq.array(results)))
end)
"""


@pytest.fixture(scope="module")
def host():
    lists = ["  {%s}," % ", ".join(f"function() return {step} end" for step, _ in case) for case in CASES.values()]
    with Host(policy=POLICY % "\n".join(lists), workers=1) as running:
        yield running


@pytest.mark.parametrize("name", list(CASES))
def test_as_ngx_shared(host, name):
    number = list(CASES).index(name) + 1
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.expect(f"RCPT TO:<{number}@example.com>", 250)
    mark = f"[{number}] ["
    wait_until(lambda: mark in host.stderr, "the results")
    found = json.JSONDecoder().raw_decode(host.stderr, host.stderr.index(mark) + len(mark) - 1)[0]
    assert list(zip([step for step, _ in CASES[name]], found)) == CASES[name]
