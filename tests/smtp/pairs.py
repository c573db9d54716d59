#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every pair of values of any two knobs of the stand-in, in as few hosts as a greedy search finds (a covering array).

    tests/smtp/pairs.py                         shows the rows: what each differs in from the default of every knob
    MQLUA_PROFILE=pairs:7 pytest tests/smtp     every host is row 7, as far as a test does not say otherwise
    MQLUA_PROFILE=pairs pytest tests/smtp       each test has a row of its own, which MQLUA_SEED chooses
    tests/smtp/pairs.py run -n 4 tests/smtp     all rows, one after the other; the rest is for pytest. "run 5-9,20" some

Knobs, their values and the programs that exist are what the stand-in itself says in `mqlua run --help`. The rows are
the same in each run, until a knob or a value is added. The first of them are the profiles that have a name.
"""

import functools
import itertools
import os
import pathlib
import random
import re
import subprocess
import sys
import zlib

# Where the plugin does nothing or cannot wait, most tests have nothing to look at: test_hosts.py and test_verdicts.py
# are about these. The values of data and locale that take a number or a variable are here.
ELSEWHERE = {("api", "3.0"), ("decoys", "on"), ("timers", "fail"), ("watchers", "fail")}
NUMBERS = {"data": ["chunks:1000", "chunks:7", "whole", "at-command"]}
CANDIDATES = 30  # rows that are tried for each one that is taken


@functools.cache
def _help():
    build = pathlib.Path(os.environ.get("MQLUA_BUILD", pathlib.Path(__file__).parents[2] / "build" / "release"))
    return subprocess.run([str(build / "mqlua"), "run", "--help"], capture_output=True, text=True, check=True).stdout


@functools.cache
def knobs():
    """Name of each knob to its values, the default first."""
    listed = {name: values.split("|") for name, values in re.findall(r"^  ([a-z-]+) +(\S+\|\S+)$", _help(), re.MULTILINE)}
    return {**listed, **NUMBERS}


@functools.cache
def programs():
    """The combinations of the knobs for which there is a program, each {name: value}."""
    lines = re.findall(r"^  ((?:[a-z-]+=\S+ ?){2,})$", _help(), re.MULTILINE)
    return [dict(word.split("=") for word in line.split()) for line in lines]


def works(chosen):
    """Whether a plugin in such a host does something, and can wait."""
    return not ELSEWHERE & set(chosen.items())


@functools.cache
def factors():
    """What is chosen independently of each other: lists of choices, each {name: value}. One list is the programs."""
    together = [program for program in programs() if works(program)]
    single = [[{name: value} for value in values if works({name: value})]
              for name, values in knobs().items() if name not in together[0]]
    return [together, *single]


def _covered(choices):
    """The pairs of places (factor, choice) of a row, which is one choice (a number) of each factor."""
    return set(itertools.combinations(enumerate(choices), 2))


def _place(row):
    """A row {name: value} as one choice of each factor."""
    defaults = {name: values[0] for name, values in knobs().items()}
    full = {**defaults, **row}
    return [next(n for n, choice in enumerate(factor) if choice.items() <= full.items()) for factor in factors()]


def _fill(rng, missing):
    """A row with one of the missing pairs, and of the others as many as there is room for."""
    choices = dict(rng.choice(missing))
    wanted = set(missing)
    order = [n for n in range(len(factors())) if n not in choices]
    rng.shuffle(order)
    for n in order:
        gains = [sum(tuple(sorted([(n, choice), other])) in wanted for other in choices.items())
                 for choice in range(len(factors()[n]))]
        choices[n] = rng.choice([choice for choice, gain in enumerate(gains) if gain == max(gains)])
    return [choices[n] for n in range(len(factors()))]


@functools.cache
def rows(*first):
    """The rows, each {name: value} without what is the default. first: rows to begin with, as tuples of items."""
    rng = random.Random(1)
    choices = [_place(dict(row)) for row in first]
    sizes = [range(len(factor)) for factor in factors()]
    missing = {((a, x), (b, y)) for a, b in itertools.combinations(range(len(sizes)), 2) for x in sizes[a] for y in sizes[b]}
    missing -= set().union(*map(_covered, choices))
    while missing:
        ordered = sorted(missing)
        best = max((_fill(rng, ordered) for _ in range(CANDIDATES)), key=lambda row: len(_covered(row) & missing))
        choices.append(best)
        missing -= _covered(best)
    merged = [{name: value for n, factor in zip(row, factors()) for name, value in factor[n].items()} for row in choices]
    return [{name: value for name, value in row.items() if value != knobs()[name][0]} for row in merged]


def chosen(which, table):
    """The row of a profile "pairs:N", or for "pairs" that of the test that is running."""
    if which.startswith("pairs:"):
        return table[int(which[6:])]
    test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
    return table[zlib.crc32(f"{os.environ.get('MQLUA_SEED', '1')} {test}".encode()) % len(table)]


def _numbers(text, count):
    """ "5-9,20" as numbers of rows."""
    ends = [part.split("-") for part in text.split(",")]
    return [n for end in ends for n in range(int(end[0]), int(end[-1]) + 1) if n < count]


def main(arguments):
    """Shows the rows, or runs pytest for each of them; returns how many failed."""
    import profiles  # pylint: disable=import-outside-toplevel
    table = profiles.pair_rows()
    if arguments[:1] != ["run"]:
        for n, row in enumerate(table):
            print(n, *(f"{name}={value}" for name, value in sorted(row.items())))
        return 0
    some = arguments[1] if re.fullmatch(r"[\d,-]*\d", "".join(arguments[1:2])) else f"0-{len(table) - 1}"
    rest = arguments[2:] if some in arguments[1:2] else arguments[1:]
    bad = []
    for n in _numbers(some, len(table)):
        print(f"== row {n}: ", *(f"{name}={value}" for name, value in sorted(table[n].items())), flush=True)
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=short", *rest], check=False,
                              env={"MQLUA_SEED": "1", **os.environ, "MQLUA_PROFILE": f"pairs:{n}"})
        bad += [n] if done.returncode else []
    print(f"rows that failed: {bad}")
    return len(bad)


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1:]), 100))
