# SPDX-License-Identifier: MIT
"""Checks every promise about performance, and prints a table. See run.sh and docs/PERFORMANCE.md."""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time

import counting
import peers
import reload

HERE = pathlib.Path(__file__).resolve().parent


class Row:
    """A promise: bound is the limit of what is measured; sign says on which side it has to be. instead: another row has the bound
    that counts (docs/PERFORMANCE.md says why), and this one is measured all the same."""

    def __init__(self, key, promise, sign, bound, unit, measure, instead=None):
        self.key, self.promise, self.sign, self.bound, self.unit, self.measure = key, promise, sign, bound, unit, measure
        self.instead = instead
        self.value, self.why, self.detail = None, None, {}

    def run(self, options):
        try:
            self.value, self.detail = self.measure(options)
        except peers.Missing as missing:
            self.why = str(missing)

    @property
    def holds(self):
        if self.value is None:
            return None
        return self.value <= self.bound if self.sign == "<=" else self.value >= self.bound

    def cells(self):
        verdict = {True: "holds", False: "FALLS SHORT", None: "not measured"}[self.holds]
        if self.holds is False and self.instead:
            verdict = f"falls short; '{self.instead}' counts"
        measured = self.why.splitlines()[0][:60] if self.value is None else f"{self.value:.3g} {self.unit}"
        if self.value is not None and self.value >= 100:
            measured = f"{self.value:.0f} {self.unit}"
        return self.promise, f"{self.sign} {self.bound} {self.unit}".strip(), measured.strip(), verdict

    def as_json(self):
        return {"promise": self.promise, "bound": f"{self.sign} {self.bound}", "unit": self.unit, "measured": self.value,
                "holds": self.holds, "instead": self.instead, "why": self.why, "detail": self.detail}


# ---- instructions ----


def sessions_of(options):
    return [path for share, path in options.mail.messages() for _ in range(share)]


def over_empty(options, policy):
    """Instructions of the dearest event more than an empty C plugin has, and of each."""
    sessions = sessions_of(options)
    base = counting.events(counting.EMPTY, None, sessions)
    found = counting.events(counting.PLUGIN, policy, sessions)
    over = {event: found[event] - base[event] for event in found}
    return max(over.values()), over


def unhandled(options):
    return over_empty(options, counting.write_policy("none", ""))


def empty_handlers(options):
    if "empty" not in options.kept:
        options.kept["empty"] = over_empty(options, counting.write_policy("empty", counting.EMPTY_HANDLERS))
    return options.kept["empty"]


def empty_handler(options):
    """On a connection that is known, with no argument that has to be made: the bridge and nothing else."""
    _, over = empty_handlers(options)
    return over["smtp_in_secure"], over


# ---- messages per CPU second ----


def compile_policy(options):
    source = options.policy.with_suffix(".c")
    if not source.exists():
        raise peers.Missing(f"there is no {source.name}")
    library = peers.WORK / "policy.so"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libfastjson"], capture_output=True, text=True, check=True)
    subprocess.run(["cc", "-O2", "-g", "-shared", "-fPIC", f"-I{peers.ROOT / 'include'}", str(source), "-o", str(library),
                    *flags.stdout.split()], check=True)
    return library


def contestants(options):
    """{name: a server, or why there is none}"""
    makers = {
        "none": lambda: peers.mqlua("none", None),
        "empty C": lambda: peers.mqlua("empty", counting.EMPTY, options.policy),
        "C": lambda: peers.mqlua("c", compile_policy(options), options.policy),
        "Lua": lambda: peers.lua(options.policy),
        "smtp-sink": peers.smtp_sink,
        "Haraka": lambda: peers.haraka(options.policy),
    }
    found = {}
    for name, make in makers.items():
        try:
            found[name] = make()
        except peers.Missing as missing:
            found[name] = missing
    return found


def race(options):
    """{name: [CPU seconds per message in each round]}: all take turns in every round, half of the mail on connections of its
    own, half on connections that stay."""
    servers = contestants(options)
    costs = {name: [] for name in servers}
    try:
        running = [(name, server) for name, server in servers.items() if isinstance(server, peers.Server)]
        for number in range(options.rounds + 1):
            running.append(running.pop(0))  # each comes first in its turn
            for name, server in running:
                count = max(100, options.messages // (10 if name == "Haraka" else 1))
                before = server.cpu()
                sent = options.mail.send(server.port, count // 2, reuse=False)
                sent += options.mail.send(server.port, count // 2, reuse=True)
                if number:  # the first one is to get warm
                    costs[name].append((server.cpu() - before) / sent)
    finally:
        for server in servers.values():
            if isinstance(server, peers.Server):
                server.stop()
    options.missing = {name: str(server) for name, server in servers.items() if isinstance(server, peers.Missing)}
    return costs


def share_of(name, options):
    """Messages per CPU second of the Lua policy, as a multiple of another's: the median of the rounds."""
    if options.race is None:
        options.race = race(options)
    for needed in ("Lua", name):
        if needed in options.missing:
            raise peers.Missing(options.missing[needed])
    other, lua = options.race[name], options.race["Lua"]
    ratios = [a / b for a, b in zip(other, lua)]
    detail = {"rounds": ratios,
              "microseconds per message": {key: statistics.median(value) * 1e6
                                           for key, value in options.race.items() if value}}
    return statistics.median(ratios), detail


def against_sink(options):
    """CPU that the policy adds to a message, as a part of what smtp-sink needs for one."""
    if options.race is None:
        options.race = race(options)
    for needed in ("Lua", "none", "smtp-sink"):
        if needed in options.missing:
            raise peers.Missing(options.missing[needed])
    rounds = zip(options.race["Lua"], options.race["none"], options.race["smtp-sink"])
    parts = [(lua - none) / sink for lua, none, sink in rounds]
    return statistics.median(parts), {"rounds": parts}


def against_c(options):
    """Instructions of the policy over an empty plugin, all events of a session, as a multiple of those of the policy in C."""
    sessions = sessions_of(options)
    base = counting.events(counting.EMPTY, None, sessions)
    over = {}
    for name, plugin in (("C", compile_policy(options)), ("Lua", counting.PLUGIN)):
        found = counting.events(plugin, options.policy, sessions)
        over[name] = sum(found.values()) - sum(base.values())
    return over["Lua"] / over["C"], over


# ---- JSON ----


def message_of(size):
    path = peers.WORK / f"message-{size}.json"
    peers.write_message(path, "Subject: test\r\n\r\n" + ("x" * 78 + "\r\n") * (size // 80))
    return path


def any_size(options):
    policy = counting.write_policy("fields", counting.FIELDS)
    small, large = message_of(1 << 10), message_of(10 << 20)
    ratios = []
    for _ in range(7):
        a = counting.message_seconds(policy, small, ["tags"])
        ratios.append(counting.message_seconds(policy, large, ["tags"]) / a)
    instructions = {size: counting.message_instructions(policy, path, ["tags"])
                    for size, path in (("1 KB", small), ("10 MB", large))}
    return statistics.median(ratios), {"rounds": ratios, "instructions": instructions}


def against_cjson(options):
    session = message_of(1 << 20)
    policy = counting.write_policy("fields", counting.FIELDS)
    command = [peers.need("luajit"), str(HERE / "cjson.lua"), str(session), "15"]
    ratios = []
    for _ in range(5):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise peers.Missing("lua-cjson cannot be loaded: " + done.stderr.strip().splitlines()[0])
        whole = statistics.median(float(line.split()[0]) for line in done.stdout.splitlines())
        ratios.append(whole / counting.message_seconds(policy, session, ["tags"]))
    return statistics.median(ratios), {"rounds": ratios}


# ---- memory ----


def parked(options):
    if "parked" not in options.kept:
        options.kept["parked"] = counting.parked(100000, message_of(1 << 10))
    return options.kept["parked"]


def parked_bytes(options):
    found = parked(options)
    return found["bytes"], found


def parked_resume(options):
    found = parked(options)
    return found["resume"], found


def steady(options):
    """Growth of the process between a fifth of the messages and all of them, in MB."""
    sizes = []
    with peers.lua(options.policy) as server:
        step = options.steady // 10
        for _ in range(10):
            options.mail.send(server.port, step, reuse=True)
            sizes.append(server.memory() / 1e6)
    return sizes[-1] - sizes[1], {"MB": sizes, "messages": options.steady}


def figures(options):
    """What is reported and not promised."""
    session = message_of(1 << 10)
    vars_policy = counting.write_policy("vars", """
mq.on("smtp_in_connect", function(connection) connection.vars.since = 1 connection.vars.name = "x" end)
mq.on("smtp_in_rcptto", function(connection) connection.transaction.vars.count = 1 end)
""")
    per_state = []
    for workers in (1, 33):
        with peers.lua(options.policy, workers=workers) as lua, peers.mqlua("none", None, workers=workers) as none:
            per_state.append(lua.memory() - none.memory())
    return {
        "bytes of one more worker": (per_state[1] - per_state[0]) / 32,
        "bytes of a connection, empty handlers, after each event":
            counting.memory(counting.PLUGIN, counting.write_policy("empty", counting.EMPTY_HANDLERS), session),
        "bytes of a connection with vars, after each event": counting.memory(counting.PLUGIN, vars_policy, session),
        "instructions of the policy, each event": counting.events(counting.PLUGIN, options.policy, sessions_of(options)),
    }


ROWS = [
    Row("unhandled", "an event nobody handles, over an empty C plugin", "<=", 50, "instructions", unhandled),
    Row("empty", "an empty handler, over an empty C plugin", "<=", 800, "instructions", empty_handler),
    Row("dearest", "the same for the dearest event, with its objects", "<=", 4000, "instructions", empty_handlers),
    Row("none", "messages per CPU second, of those without plugin", ">=", 0.95, "", lambda o: share_of("none", o), "sink"),
    Row("sink", "CPU that the policy adds, of what smtp-sink takes", "<=", 0.25, "", against_sink),
    Row("c", "messages per CPU second, of those of the policy in C", ">=", 0.97, "", lambda o: share_of("C", o), "times-c"),
    Row("times-c", "instructions, of those of the policy in C", "<=", 6, "times", against_c),
    Row("haraka", "messages per CPU second, of those of Haraka", ">=", 6, "times", lambda o: share_of("Haraka", o)),
    Row("sizes", "three fields and a tag, 10 MB against 1 KB", "<=", 1.3, "times", any_size),
    Row("cjson", "the same at 1 MB, lua-cjson takes", ">=", 100, "times", against_cjson),
    Row("parked", "a parked task", "<=", 3072, "bytes", parked_bytes),
    Row("resume", "100,000 parked tasks, all resumed", "<=", 1, "seconds", parked_resume),
    Row("steady", "growth while a million messages pass", "<=", 1, "MB", steady),
    Row("lost", "reload under full load, failed transactions", "<=", 0, "", lambda o: reload.failures(o)),
    Row("p99", "reload under full load, p99 of a transaction", "<=", 2, "times", lambda o: reload.latency(o)),
]


def print_table(rows):
    head = ("promise", "bound", "measured", "")
    cells = [head] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(4)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip(), flush=True)


def parse():
    parser = argparse.ArgumentParser(prog="run.sh", description=__doc__)
    parser.add_argument("--policy", type=pathlib.Path, default=HERE / "policy" / "policy.lua",
                        help="the Lua policy; the same in C and JavaScript are the .c and .js beside it")
    parser.add_argument("--mail", type=pathlib.Path, help="what is sent (mail.json beside the policy)")
    parser.add_argument("--rounds", type=int, default=15, help="of the paired comparisons")
    parser.add_argument("--messages", type=int, default=2000, help="in each round, for each server")
    parser.add_argument("--steady", type=int, default=1000000, help="messages for the row about growth")
    parser.add_argument("--only", nargs="+", choices=[row.key for row in ROWS], help="some rows")
    parser.add_argument("--no-figures", action="store_true", help="leave out what is not promised")
    parser.add_argument("--json", type=pathlib.Path, default=peers.WORK / "results.json", help="where the results go")
    options = parser.parse_args()
    options.policy = options.policy.resolve()
    options.mail = peers.Mail(options.mail or options.policy.with_name("mail.json"))
    options.race, options.missing, options.kept = None, {}, {}
    return options


def check_policy(options):
    """What does not load is not worth a measurement. Says what is wrong with it, or nothing."""
    done = subprocess.run([str(peers.BUILD / "mqlua"), "check", str(options.policy)], text=True, capture_output=True,
                          env={**os.environ, **peers.plugin_env(options.policy)}, check=False)
    return f"{done.stdout}{done.stderr}{options.policy} does not pass mqlua check" if done.returncode else ""


def main():
    peers.WORK.mkdir(parents=True, exist_ok=True)
    options = parse()
    wrong = check_policy(options)
    if wrong:
        print(f"{wrong}: nothing was measured", file=sys.stderr)
        return 2
    begun = time.monotonic()
    rows = [row for row in ROWS if not options.only or row.key in options.only]
    for row in rows:
        row.run(options)
        print(f"  {time.monotonic() - begun:5.0f} s  {row.key}: {row.cells()[2]}", file=sys.stderr, flush=True)
    results = {"machine": {"system": platform.platform(), "cores": os.cpu_count()}, "policy": str(options.policy),
               "rows": {row.key: row.as_json() for row in rows}}
    if not options.no_figures:
        results["figures"] = figures(options)
    options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print_table(rows)
    print(f"{time.monotonic() - begun:.0f} s; details in {options.json}")
    return 0 if all(row.holds or (row.instead and row.value) for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
