# SPDX-License-Identifier: MIT
"""Random policies for sessions.py: any handler may wait, fail, burn its budget, fill its memory or refuse.

Only recipients that say "gone" are discarded, and no handler changes envelopes: so the model of sessions.py knows what
must be published, whatever else the handlers do.
"""

PRELUDE = """
local shared = mq.shared("fuzz", {capacity = "64KB", persist = true})
local seen = mq.counter("fuzz_seen", {labels = {"what"}, help = "Seen"})
local kept = {}
"""

ANYWHERE = [
    "mq.sleep(SHORT)",
    "if math.random(9) == 1 then mq.sleep(3) end",
    "if math.random(5) == 1 then error('on purpose') end",
    "if math.random(9) == 1 then while true do end end",
    "if math.random(9) == 1 then local t = {} for i = 1, 1e7 do t[i] = {i} end end",
    "if math.random(9) == 1 then string.rep('x', 1e6):find(('x*'):rep(20) .. 'y') end",
    "mq.spawn(function() mq.sleep(SHORT) shared:incr('tasks', 1, 0) end)",
    "mq.wait({mq.spawn(function() mq.sleep(SHORT) end), mq.spawn(error)})",
    "mq.with_timeout(SHORT, function() mq.sleep(SHORT) end)",
    "pcall(mq.with_timeout, SHORT, function() while true do mq.sleep(0) end end)",
    "mq.after(SHORT, function() seen:inc('after') end)",
    "for i = 1, 50 do shared:set('k' .. math.random(2000), ('v'):rep(math.random(300)), math.random()) end",
    "shared:update('u', function(old) return (old or 0) + 1 end)",
    "shared:lpush('list', 'x') if shared:llen('list') and shared:llen('list') > 50 then shared:delete('list') end",
    "seen:inc(tostring(math.random(5)))",
    "mq.json.decode(mq.json.encode({a = {1, 2, {b = 'c'}}}))",
    "kept[#kept % 100 + 1] = ('x'):rep(1000)",
    "local co = coroutine.wrap(function() mq.sleep(SHORT) coroutine.yield(1) end) co()",
    "coroutine.wrap(function() pcall(function() mq.sleep(SHORT) error('in') end) end)()",
    "mq.log.info('%s', ('x'):rep(math.random(200)))",
    "connection.vars.n = (connection.vars.n or 0) + 1",
    "connection.vars.list = {1, {2}, 'x'}",
]
INCOMING = [
    "local child = connection:spawn(function() mq.sleep(5) end) if math.random(2) == 1 then child:cancel() end",
    "connection:spawn(function() while true do mq.sleep(SHORT) end end)",
]
MESSAGE = [
    "message:tag('t' .. math.random(3))",
    "message:add_header('X-Fuzz', ('v'):rep(math.random(900)))",
    "message:remove_header('X-Fuzz')",
    "message.json.fuzz = {list = mq.array({1, 2}), text = 'x', null = mq.null}",
    "message.json.tags = nil message:tag('again')",
    "local t = {1} for i = 1, 40 do t = {t, t} end message.json.data = t",
    "message.json.data = {n = math.random()} mq.sleep(SHORT) message.json.data.n = nil",
    "message.mime = 'X-New: 1\\r\\n' .. tostring(message.mime)",
    "message:delay(60)",
    "local copy = message.json:totable() copy.mime = nil message.json.copy = copy",
    "for name, value in message:headers() do connection.vars.last = tostring(name) end",
    "if #message.mime > 10 then message.mime:find('a*b') end",
]
REFUSALS = ["mq.reject(550, '5.7.1', 'refused')", "mq.tempfail(451, '4.7.1', 'later')"]
GO_ON = ["mq.done()", "mq.complete()", "mq.rerun()"]
BROKEN = ["this is no Lua", "error('not today')", "while true do end", "mq.on('smtp_in_nothing', print)",
          "local t = {} for i = 1, 1e9 do t[i] = {i} end", "require 'nothing'", "mq.shared('fuzz', {capacity = 7})"]

EVENTS = {
    "smtp_in_connect": ("connection", ["mq.disconnect()", *REFUSALS]),
    "smtp_in_secure": ("connection", ["mq.disconnect()", *REFUSALS]),
    "smtp_in_authenticate": ("connection, login, password", ["mq.accept()", "mq.deny()", "mq.disconnect()"]),
    "smtp_in_mailfrom": ("connection, address", ["mq.disconnect()", *REFUSALS]),
    "smtp_in_rcptto": ("connection, address", ["mq.disconnect()", *REFUSALS, *REFUSALS, *REFUSALS]),
    "smtp_in_data": ("connection, chunk", []),
    "smtp_in_message": ("connection, message", ["mq.quarantine('q@quarantine.example', 'fuzz')"]),
    "smtp_in_close": ("connection", []),
    "smtp_out_data": ("connection, message", ["mq.hold('fuzz')"]),
    "smtp_out_sent": ("connection, message", []),
}


def handler(rng, event, never):
    """One handler of that event, as Lua."""
    parameters, verdicts = EVENTS[event]
    observes = event in ("smtp_in_close", "smtp_out_sent")
    steps = [step for step in ANYWHERE if "_in_" in event or "connection" not in step]
    steps += INCOMING if "_in_" in event else []
    steps += MESSAGE if event == "smtp_in_message" else MESSAGE[:2] if event == "smtp_out_data" else []
    lines = rng.choices(steps, k=rng.randint(0, 4))
    if event == "smtp_in_message":
        lines.insert(rng.randint(0, len(lines)), "if message.recipient.localpart:find('gone') then return mq.discard('asked') end")
    if event == "smtp_in_data" and never:
        verdicts = REFUSALS
    if verdicts and rng.random() < 0.6:
        lines.append(f"if math.random({rng.choice([2, 4, 8])}) == 1 then return {rng.choice(verdicts)} end")
    if not observes and rng.random() < 0.2:
        lines.append(f"if math.random(3) == 1 then return {rng.choice(GO_ON)} end")
    options = ["chunks = true"] if event == "smtp_in_data" else []
    if rng.random() < 0.3:
        options.append("timeout = SHORT")
    if not observes and rng.random() < 0.3:
        options.append(rng.choice(["on_error = mq.done()", "on_error = function(err) mq.sleep(SHORT) end",
                                   "on_error = function(err) error(err) end"]))
    body = "\n  ".join(lines)
    text = f'mq.on("{event}", function({parameters})\n  {body}\nend, {{{", ".join(options)}}})\n'
    while "SHORT" in text:
        text = text.replace("SHORT", f"{rng.choice([0.001, 0.003, 0.01, 0.05]):g}", 1)
    return text


def policy(rng, never):
    """The text of a policy that loads. never: refusals at data are allowed."""
    text = PRELUDE
    for event in EVENTS:
        for _ in range(rng.choice([0, 1, 1, 2])):
            text += handler(rng, event, never)
    if rng.random() < 0.5:
        text += "mq.every(0.01, function() seen:inc('tick') mq.sleep(0.002) end)\n"
    if rng.random() < 0.3:
        text += "mq.every(0.03, function() mq.metrics() shared:flush_expired() end, {scope = 'process'})\n"
    if rng.random() < 0.3:
        text += "mq.on('reload', function() return {kept = kept, n = mq.generation.number} end)\n"
    if rng.random() < 0.3:
        text += "mq.on('context_initialize', function(worker) mq.log.info('%d', worker.number) end)\n"
    return text + f"-- {rng.random()}\n"


def broken(rng):
    """The text of a policy that is refused."""
    return PRELUDE + rng.choice(BROKEN) + f"\n-- {rng.random()}\n"
