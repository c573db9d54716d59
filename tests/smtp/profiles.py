# SPDX-License-Identifier: MIT
"""Which MailerQ the tests meet: the documentation leaves much open, and each knob of the stand-in is one question.

    MQLUA_PROFILE=far pytest tests/smtp

  strict    the default of every knob: the reading that is hardest on plugins (what is run without MQLUA_PROFILE)
  lenient   the host that forgives: nothing is checked that need not be, nothing happens late or by chance
  turkish   the default of every knob, in a process with a Turkish 8-bit locale
  far       every knob as far from its default as it goes, in the shape of an old MailerQ 4.0
  pairs:N   row N of the hosts that have every pair of values between them (pairs.py); pairs: a row for each test

A test that holds under one reading only says so: it sets the knob (Host(knobs={"data": "whole"})), and what it
sets wins over the profile. A test whose outcome depends on the reading asks host.knobs["data"] what it is.
"""

import os

import pairs

# auth-by-symbol=on demands a login wherever a plugin exports mq_smtp_in_authenticate. Policies that do not mention
# that event then get the build without that export, which is what it is for.
LENIENT = {
    "spelling": "both", "fork": "off", "close-on-exit": "yes", "sync-continue": "allow", "continue": "inline",
    "disconnect": "close-after-handback", "reply-after-send": "suppress", "data": "whole", "own-auth": "before",
    "auth-outside": "honour", "data-in-loop": "ok", "timers": "exact", "watchers": "exact", "blocking": "off",
    "strict": "off",
}
FAR = {
    "api": "4.0", "spelling": "pascal", "json-export": "no", "auth-by-symbol": "on", "init": "after-all",
    "fork": "before-init", "ctx-init": "main", "shutdown": "cleanup-first", "close-on-exit": "yes",
    "sync-continue": "allow", "continue": "deferred", "disconnect": "no-close", "reply-after-send": "close",
    "secure-event-on-implicit": "yes", "banner": "before", "proxy": "before", "data": "at-command",
    "data-unstuffed": "on", "recipient": "string", "local": "message", "own-auth": "after", "auth-outside": "honour",
    "json": "minimal", "message-after-reply": "on", "data-in-loop": "ok", "flag-values": "libev", "brackets": "on",
    "extract": "off",
}
TURKISH = {"locale": "environment"}  # the variables are those of locales.py
PROFILES = {"strict": {}, "lenient": LENIENT, "far": FAR, "turkish": TURKISH}
NAME = os.environ.get("MQLUA_PROFILE", "strict")

# What the program does without any knob. Policies are tried without AUTH being demanded, so auth-by-symbol is off.
DEFAULTS = {
    "api": "5.6.5", "spelling": "camel", "auth-by-symbol": "off", "init": "each", "fork": "after-init",
    "ctx-init": "workers", "shutdown": "contexts-first", "close-on-exit": "no", "sync-continue": "abort",
    "continue": "alternate", "disconnect": "close-during-pause", "reply-after-send": "always",
    "secure-event-on-implicit": "no", "banner": "after", "proxy": "after", "data": "chunks:1000",
    "data-unstuffed": "off", "recipient": "address", "local": "address", "own-auth": "none", "auth-outside": "ignore",
    "password": "given", "json": "full", "message-after-reply": "off", "json-export": "yes", "data-in-loop": "poison",
    "flag-values": "odd", "decoys": "off", "brackets": "off", "extract": "on", "timers": "late",
    "watchers": "spurious", "blocking": "on", "strict": "on", "locale": "C",
}

# C plugins are compiled against one header: these would make it another one. And they export what they export.
SHAPE = {"api", "spelling", "json-export", "flag-values", "recipient", "local", "brackets", "auth-by-symbol"}
PROGRAM = {"api", "spelling", "json-export", "decoys"}


def pair_rows():
    """The rows of pairs.py: those with a name come first."""
    return pairs.rows(*(tuple(sorted(PROFILES[name].items())) for name in ("strict", "lenient", "far")))


def profile():
    """What the hosts of the test that is running differ in from the default of every knob."""
    return PROFILES[NAME] if NAME in PROFILES else pairs.chosen(NAME, pair_rows())


def knobs(own=None, compiled=False):
    """What the profile says and, above that, the test; compiled: for plugins in C. Only what is not the default."""
    own = own or {}
    chosen = {name: value for name, value in profile().items() if not (compiled and name in SHAPE)}
    if PROGRAM & set(own):  # not every combination of these has a program
        chosen = {name: value for name, value in chosen.items() if name not in PROGRAM}
    return {**chosen, **own}


def arguments(own=None, compiled=False):
    """The same as arguments of mqlua run."""
    return [word for name, value in knobs(own, compiled).items() for word in ("--knob", f"{name}={value}")]


def told(chosen):
    """What an operator tells mailerq-lua about the host of those knobs ("host" in the settings), as he has to."""
    host = {}
    if chosen.get("flag-values") == "libev":
        host.update(read_flag=1, write_flag=2)
    if chosen.get("api", "5.6.5") != "5.6.5":
        host["json_library"] = "fastjson" if chosen["api"] == "5.0" else "json-c"
    return host
