# SPDX-License-Identifier: MIT
"""How cost and memory grow: the plots of docs/PERFORMANCE.md, and the numbers behind them in build/bench/scale.json.

    tests/bench/run.sh scale [NAME...]
"""

import json
import pathlib
import resource
import statistics
import sys
import time

import counting
import peers
import plot

PLOTS = peers.ROOT / "docs" / "performance"
POLICY = pathlib.Path(__file__).resolve().with_name("policy") / "policy.lua"
ROUNDS = 3


def pair(kinds, count, workers=1, sessions=20, reuse=True):
    """Microseconds of CPU per message without plugin and with the policy, and their megabytes afterwards."""
    mail = peers.Mail(POLICY.with_name("mail.json"))
    mail.kinds = kinds or mail.kinds
    rates = {"no plugin": [], "policy": []}
    with peers.mqlua("none", None, workers=workers) as none, peers.lua(POLICY, workers=workers) as lua:
        for number in range(ROUNDS + 1):
            for name, server in (("no plugin", none), ("policy", lua)):
                before = server.cpu()
                sent = mail.send(server.port, count, sessions=sessions, reuse=reuse)
                if number:
                    rates[name].append((server.cpu() - before) / sent * 1e6)
        memory = {"no plugin": none.memory() / 1e6, "policy": lua.memory() / 1e6}
    return {name: statistics.median(values) for name, values in rates.items()}, memory


def both(xs, measure):
    """Two charts' worth of series from measure(x) -> (cost, memory)."""
    cost, memory = {"no plugin": [], "policy": []}, {"no plugin": [], "policy": []}
    for x in xs:
        found, megabytes = measure(x)
        for name in cost:
            cost[name].append((x, found[name]))
            memory[name].append((x, megabytes[name]))
    return cost, memory


def connections():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    xs = [n for n in (1, 10, 100, 1000, 10000) if n < limit - 100]
    kind = [{"sender": "news@press.example", "recipient": "reader@one.example", "size": 1024}]
    cost, memory = both(xs, lambda n: pair(kind, max(4000, 2 * n), sessions=n))
    return [("connections-cpu", "CPU per message", "connections at a time", "microseconds", cost),
            ("connections-memory", "Memory of the process", "connections at a time", "MB", memory)]


def sizes():
    cost = {"three fields and a tag": []}
    policy = counting.write_policy("fields", counting.FIELDS)
    for size in (1 << 10, 1 << 14, 1 << 17, 1 << 20, 10 << 20, 50 << 20):
        session = peers.WORK / "message-scale.json"
        peers.write_message(session, "Subject: test\r\n\r\n" + ("x" * 78 + "\r\n") * (size // 80))
        cost["three fields and a tag"].append((size, counting.message_seconds(policy, session, ["tags"]) * 1e6))
    return [("sizes", "An event on a message", "bytes of the message", "microseconds", cost)]


def recipients():
    def measure(n):
        kind = [{"sender": "news@press.example", "recipient": "reader@one.example", "size": 4096, "recipients": n}]
        return pair(kind, max(200, 4000 // n))
    cost, _ = both((1, 3, 10, 30, 100), measure)
    return [("recipients", "CPU per transaction", "recipients of a transaction", "microseconds", cost)]


def workers():
    cost, memory = both((1, 2, 4, 8, 16, 32, 64), lambda n: pair(None, 4000, workers=n, sessions=max(40, 2 * n)))
    return [("workers-cpu", "CPU per message", "workers", "microseconds", cost),
            ("workers-memory", "Memory of the process", "workers", "MB", memory)]


def files():
    start, memory, event = {"until it listens": []}, {"one worker": []}, {"RCPT TO": []}
    for count in (1, 10, 100, 1000):
        policy = counting.write_policy(f"files-{count}", "".join(f'require "part{i}"\n' for i in range(1, count)) +
                                       'mq.on("smtp_in_rcptto", function(connection, address) end)\n')
        for i in range(1, count):
            text = "".join(f"function M.f{n}(a, b) if a == {n} then return b .. 'text {i}' end end\n" for n in range(20))
            policy.with_name(f"part{i}.lua").write_text(f"local M = {{}}\n{text}return M\n", encoding="utf-8")
        begun = time.monotonic()
        with peers.lua(policy, name="files") as server:
            start["until it listens"].append((count, time.monotonic() - begun))
            memory["one worker"].append((count, server.memory() / 1e6))
        session = peers.WORK / "message-scale.json"
        peers.write_message(session, "Subject: test\r\n\r\ntext\r\n")
        event["RCPT TO"].append((count, counting.events(counting.PLUGIN, policy, [session], 2000, 1000)["smtp_in_rcptto"]))
    return [("files-start", "Start", "files of the policy", "seconds", start),
            ("files-memory", "Memory of the process", "files of the policy", "MB", memory),
            ("files-event", "An event", "files of the policy", "instructions", event)]


def tables():
    cost, memory = {"map:lookup": []}, {"one worker": []}
    for count in (10, 100, 1000, 10000, 100000, 1000000):
        policy = counting.write_policy("tables", 'local map = mq.map("map.txt")\n'
                                       'mq.on("smtp_in_message", function(connection, message)\n'
                                       '  for _ = 1, 100 do map:lookup(message.recipient) end\nend)\n')
        with open(policy.with_name("map.txt"), "w", encoding="utf-8") as file:
            file.writelines(f"user{i}@customer{i % 1000}.example value{i % 7}\n" for i in range(count))
        session = peers.WORK / "message-scale.json"
        peers.write_message(session, "Subject: test\r\n\r\ntext\r\n", recipient=f"user{count // 2}@customer0.example")
        cost["map:lookup"].append((count, counting.message_seconds(policy, session, ["tags"]) * 1e9 / 100))
        with peers.lua(policy, name="tables") as server:
            memory["one worker"].append((count, server.memory() / 1e6))
    return [("tables-cpu", "A lookup", "entries of the table", "nanoseconds", cost),
            ("tables-memory", "Memory of the process", "entries of the table", "MB", memory)]


def parked():
    memory, resume = {"a parked task": []}, {"all resumed": []}
    session = peers.WORK / "message-scale.json"
    peers.write_message(session, "Subject: test\r\n\r\ntext\r\n")
    for count in (1, 10, 100, 1000, 10000, 100000):
        found = counting.parked(count, session)
        memory["a parked task"].append((count, found["bytes"]))
        resume["all resumed"].append((count, found["resume"]))
    return [("parked-memory", "Memory of one", "parked tasks", "bytes", memory),
            ("parked-resume", "Until the last has gone on", "parked tasks", "seconds", resume)]


ALL = {f.__name__: f for f in (connections, sizes, recipients, workers, files, tables, parked)}


def main(names):
    peers.WORK.mkdir(parents=True, exist_ok=True)
    PLOTS.mkdir(parents=True, exist_ok=True)
    path = peers.WORK / "scale.json"
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name in names or ALL:
        begun = time.monotonic()
        for chart, title, x_name, y_name, series in ALL[name]():
            plot.chart(PLOTS / f"{chart}.svg", title, x_name, y_name, series)
            kept[chart] = {"x": x_name, "y": y_name, "series": series}
            print(chart, {key: [(x, float(f"{y:.3g}")) for x, y in line] for key, line in series.items()}, flush=True)
        print(f"  {time.monotonic() - begun:.0f} s", flush=True)
    path.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
