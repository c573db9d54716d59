#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Who may include whom, that nobody does in a circle, and what the built objects export and need.

usage: tests/unit/includes.py [BUILD]    (default: $MQLUA_BUILD, else build/release)

Prints every breach and exits with 1, or with 0 when there is none.
"""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SRC = ROOT / "src"

# Folder of src: the folders whose headers it may include besides its own.
ALLOWED = {
    "base": [],
    "mq": ["base"],
    "vm": ["base"],
    "json": ["base", "vm"],
    "policy": ["base", "vm"],
    "mime": ["base"],
    "modules": ["base", "mime"],
    "api": ["base", "mq", "vm", "json", "policy", "mime"],
    "plugin": ["base", "api", "mq", "vm", "json", "policy", "mime"],
    "host": ["base"],
    "cli": ["base", "host", "policy", "api", "mime"],
}

LUA = {"lua.h", "lauxlib.h", "lualib.h", "luajit.h"}
PROBE = "src/mq/probe.c"  # the one file of the plugin that sees a mailerq.h, for its constants alone
NO_LUA = ["base", "mq", "host", "mime", "modules"]
NO_HOST = ["base", "vm", "json", "policy", "mime", "modules"]  # not a word of MQ_*
VENDOR = ["host", "cli"]            # may include mailerq.h; the plugin finds everything at run time

EVENTS = """version initialize cleanup context_initialize context_cleanup smtp_in_connect smtp_in_secure
smtp_in_authenticate smtp_in_mailfrom smtp_in_rcptto smtp_in_data smtp_in_message smtp_in_close smtp_out_data
smtp_out_sent""".split()

# The locale of the process is the host's: what asks it has a name of ours instead (base/ascii.h, base/number.h, and
# mqlua_error_text in base/error.h). Word and what to use; or the few files that may.
LOCALE = {
    r"is(?:alpha|alnum|digit|xdigit|space|upper|lower|punct|print|graph|cntrl|blank)|to(?:upper|lower)": "base/ascii.h",
    r"str(?:n?casecmp|casestr)|fnmatch|regcomp": "base/ascii.h",
    r"str(?:coll|xfrm)|isw\w+|tow(?:lower|upper)|mbs?r?towcs?|wcs?r?tombs?": "base/ascii.h",
    r"strto(?:d|f|ld)|ato[f]|strfmon|localeconv": "mqlua_number_parse",
    r"strftime|strptime|asctime(?:_r)?|ctime(?:_r)?|getdate": "strftime_l, for more than numbers",
    r"strerror(?:_r)?|perror": "mqlua_error_text",
    r"setlocale": "nothing: the locale is the host's",
}
MAY_ASK = {
    "src/host/host.c": "setlocale",                 # the knob that makes it a host with a locale
    "src/host/message_json.c": "strftime|strptime",  # numbers alone, which are the same everywhere
    "src/host/api.c": "strftime",
    "src/mq/log.c": "strftime",
}
# A decimal point is printed by nobody else: its text depends on the locale.
FLOAT = r"%[-+ #0-9.*]*[lL]?[eEgGaA]|%[-+ #0]*\d*(?:[lL]?[fF]|\.(?!0[fF])[\d*]+[lL]?[fF])"
MAY_PRINT = {"src/base/number.c", "src/host/loop.c", "src/host/chain.c"}  # host: texts for who runs the tests

breaches = []


def breach(where, what):
    breaches.append(f"{where}: {what}")


def code(text):
    """C without comments and strings (those of #include lines stay)."""
    pattern = r"/\*.*?\*/|//[^\n]*|^[ \t]*#[ \t]*include[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'"
    return re.sub(pattern, lambda m: m.group(0) if m.group(0).lstrip().startswith("#") else " ", text,
                  flags=re.DOTALL | re.MULTILINE)


def check_include(path, folder, name, quoted):
    where = f"{path.relative_to(ROOT)} includes {name}"
    if name in LUA and folder in NO_LUA:
        breach(where, f"src/{folder} knows no Lua")
    if name.endswith("mailerq.h"):
        if folder not in VENDOR and str(path.relative_to(ROOT)) != PROBE:
            breach(where, f"only {', '.join('src/' + f for f in VENDOR)} and {PROBE} may")
        return
    if not quoted or name.startswith("mailerq-lua/"):
        return
    other = name.split("/")[0]
    if other not in ALLOWED or not (SRC / name).exists():
        breach(where, "headers of the project are included by their path from src")
    elif other != folder and other not in ALLOWED[folder]:
        breach(where, f"src/{folder} must not know src/{other}")


def check_locale(path, text, raw):
    for words, instead in LOCALE.items():
        for name in re.findall(rf"(?<![\w.>])({words})\s*\(", text):
            if not re.fullmatch(MAY_ASK.get(str(path), "-"), name):
                breach(path, f"{name} asks the locale of the host's process: use {instead}")
    for string in re.findall(r'"(?:\\.|[^"\\\n])*"', re.sub(r"/\*.*?\*/", "", raw, flags=re.DOTALL)):
        if str(path) not in MAY_PRINT and re.search(FLOAT, string.replace("%%", "")):
            breach(path, f"{string} prints a decimal point of the locale: use mqlua_number_format")


def check_sources():
    folders = {path.name for path in SRC.iterdir() if path.is_dir()}
    for folder in sorted(folders - set(ALLOWED)):
        breach(f"src/{folder}", "is not in the table of who may include whom")
    files = [path for folder in ALLOWED for path in sorted((SRC / folder).rglob("*.[ch]"))]
    assert len(files) > 100, "the sources were not found"
    for path in files:
        folder = path.relative_to(SRC).parts[0]
        text = code(path.read_text())
        for quote, name in re.findall(r"^[ \t]*#[ \t]*include[ \t]*([<\"])([^>\"]+)[>\"]", text, re.MULTILINE):
            check_include(path, folder, name, quote == '"')
        check_locale(path.relative_to(ROOT), text, path.read_text())
        if folder in NO_HOST:
            for name in sorted(set(re.findall(r"\bMQ_\w+", text))):
                breach(path.relative_to(ROOT), f"src/{folder} knows no {name}")


# ---- circles ----

# Units whose circles are still to be opened: each of them may only shrink.
OPEN = [
    {f"host/{unit}" for unit in """address api call chain connection guard handle host listener loader loop out_connection
     out_dialogue outgoing rules sentinel session session_state stream stream_internal worker""".split()},
]


def graph():
    """A unit is a .c with its header. Unit: the units that it includes."""
    units = {}
    for path in SRC.rglob("*.[ch]"):
        unit = units.setdefault(str(path.relative_to(SRC).with_suffix("")), set())
        for name in re.findall(r'^[ \t]*#[ \t]*include[ \t]*"([^"]+)\.h"', path.read_text(), re.MULTILINE):
            if (SRC / f"{name}.h").exists():
                unit.add(name)
    return units


def reachable(units, start):
    seen, todo = set(), [start]
    while todo:
        for unit in units.get(todo.pop(), ()):
            if unit not in seen:
                seen.add(unit)
                todo.append(unit)
    return seen


def circles(units):
    """The largest sets of units that all reach each other."""
    reach = {unit: reachable(units, unit) for unit in units}
    found = {frozenset(other for other in reach[unit] if unit in reach[other]) for unit in units if unit in reach[unit]}
    return [circle for circle in found if len(circle) > 1]


def is_one_object(circle, units):
    """The parts of one object share X_internal.h, which includes X.h and whatever it is made of."""
    inside = [unit for unit in circle if unit.endswith("_internal")]
    return any(all(unit == name or unit == name.removesuffix("_internal") or name in units[unit] for unit in circle)
               for name in inside)


def check_circles():
    units = graph()
    for circle in circles(units):
        if not is_one_object(circle, units) and not any(circle <= still_open for still_open in OPEN):
            breach(" ".join(sorted(circle)), "include each other in a circle")


def symbols(path, kind):
    """Names in the dynamic symbol table; kind: defined or undefined."""
    output = subprocess.run(["nm", "-D", f"--{kind}-only", str(path)], check=True, capture_output=True, text=True)
    return {line.split()[-1].split("@")[0] for line in output.stdout.splitlines()}


def check_plugin(path, events):
    exported = symbols(path, "defined")
    wanted = {f"mq_{event}" for event in events}
    for name in sorted(exported - wanted):
        breach(path.name, f"exports {name}")
    for name in sorted(wanted - exported):
        breach(path.name, f"does not export {name}")
    for name in sorted(symbols(path, "undefined")):
        if name.startswith("MQ_"):
            breach(path.name, f"needs {name} to be loaded: it must be looked up at run time")


def check_program(path):
    exported = symbols(path, "defined")
    # Copies of variables that shared libraries define, which the linker puts into the program.
    own = {name for name in exported if not name.startswith("_") and name not in COPIED}
    if not own:
        breach(path.name, "exports nothing")
    for name in sorted(own):
        if not name.startswith("MQ_"):
            breach(path.name, f"exports {name}")


COPIED = {"stderr", "stdout", "stdin", "environ", "optarg", "optind", "opterr", "optopt"}


def check_objects(build):
    check_plugin(build / "mailerq-lua.so", EVENTS)
    check_plugin(build / "mailerq-lua-noauth.so", [event for event in EVENTS if event != "smtp_in_authenticate"])
    for path in sorted(build.glob("mqlua*")):
        # mqlua-decoys exports functions of Lua on purpose, to show that the plugin does not land in them.
        if path.name != "mqlua-decoys" and os.access(path, os.X_OK) and path.is_file():
            check_program(path)


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MQLUA_BUILD", ROOT / "build/release"))
    check_sources()
    check_circles()
    check_objects(build.resolve())
    for line in breaches:
        print(line)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
