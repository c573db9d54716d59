# SPDX-License-Identifier: MIT
"""The servers that are compared, and the load that they get.

A Server is a process that listens on a free port of 127.0.0.1; its cost is the CPU time of all its threads, which the kernel
keeps per process to the nanosecond. The load is Postfix's smtp-source, with the mail that a mail.json describes: a list of
{"sender", "recipient", "size" or "file", "recipients" (1), "share" (1)}.
"""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"
WORK = ROOT / "build" / "bench"
HARAKA = WORK / "haraka"

# The stand-in without what makes it a strict test host: nothing of that exists in a server that only serves.
PLAIN = ["strict=off", "blocking=off", "timers=exact", "watchers=exact", "data=whole", "fork=off", "init=after-all"]
SETTINGS = {"host": {"inbox": "mailerq", "json_library": "fastjson"}}

os.environ["PATH"] += ":/usr/sbin:/sbin"


class Missing(Exception):
    """A peer that cannot be measured here, and why."""


def need(program):
    path = shutil.which(program)
    if not path:
        raise Missing(f"{program} is not installed")
    return path


class Server:
    """A started process. Use with `with`, or call stop()."""

    def __init__(self, name, command, env=None, ready=None, port=None):
        self.name = name
        self.log = WORK / f"{name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        try:
            self.port = self._wait(ready, port)
        except Exception:
            self.stop()
            raise

    def _wait(self, ready, port):
        for _ in range(600):
            if self.process.poll() is not None:
                raise Missing(f"{self.name} ended: {self.log.read_text(errors='replace')[-600:]}")
            found = ready and re.search(ready, self.log.read_text(errors="replace"))
            if found:
                return int(found.group(1))
            if port:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    return port
                except OSError:
                    pass
            time.sleep(0.05)
        raise Missing(f"{self.name} does not listen: {self.log.read_text(errors='replace')[-600:]}")

    def processes(self):
        """The process and its children."""
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return [pid, *map(int, children.split())]

    def cpu(self):
        """Seconds of CPU used so far."""
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self.processes())  # clock_getcpuclockid()

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self):
        """Ends the process, and returns what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def settings_file(settings=None):
    path = WORK / "settings.json"
    path.write_text(json.dumps(settings or SETTINGS), encoding="utf-8")
    return path


def plugin_env(policy):
    state = WORK / "state"
    state.mkdir(parents=True, exist_ok=True)
    return {"MAILERQ_LUA_POLICY": str(policy), "MAILERQ_LUA_SETTINGS": str(settings_file()),
            "MAILERQ_LUA_STATE_DIR": str(state)}


def mqlua(name, plugin, policy=None, workers=1, inbox="/dev/null", knobs=(), more=()):
    """The stand-in host with that plugin (a path), or without any (None)."""
    empty = WORK / "no-plugins"
    empty.mkdir(parents=True, exist_ok=True)
    command = [str(BUILD / "mqlua"), "run", "--listen", "127.0.0.1:0", "--workers", str(workers), "--inbox", str(inbox),
               "--plugin", str(plugin or empty), *more]
    for knob in [*PLAIN, *knobs]:
        command += ["--knob", knob]
    return Server(name, command, plugin_env(policy) if policy else None, ready=r"listening on 127\.0\.0\.1:(\d+)")


def lua(policy, name="lua", **options):
    return mqlua(name, BUILD / "mailerq-lua.so", policy, **options)


def smtp_sink():
    port = free_port()
    # Postfix's programs refuse to write to mailboxes as root, not to run
    user = ["-u", "nobody"] if os.geteuid() == 0 else []
    return Server("smtp-sink", [need("smtp-sink"), *user, f"127.0.0.1:{port}", "1000"], port=port)


def install_haraka():
    """Puts Haraka 3 into the build folder, unless it is there."""
    program = HARAKA / "node_modules" / ".bin" / "haraka"
    if program.exists():
        return program
    HARAKA.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([need("npm"), "install", "--prefix", str(HARAKA), "--no-audit", "--no-fund", "--omit=dev",
                           "--omit=optional", "Haraka@3"], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode or not program.exists():
        raise Missing("npm could not install Haraka 3: " + (done.stderr.strip().splitlines() or ["?"])[-1])
    return program


def haraka(policy):
    """Haraka with the policy.js beside the Lua policy and nothing else, in one process."""
    source = policy.with_suffix(".js")
    if not source.exists():
        raise Missing(f"there is no {source.name}")
    program, port, home = install_haraka(), free_port(), WORK / "haraka-home"
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([need("node"), str(program), "-i", str(home)], capture_output=True, timeout=60, check=True)
    shutil.copy(source, home / "plugins" / "policy.js")
    config = {"plugins": "policy\n", "smtp.ini": f"listen=127.0.0.1:{port}\nnodes=0\n", "log.ini": "[main]\nlevel=error\n"}
    for name, text in config.items():
        (home / "config" / name).write_text(text, encoding="utf-8")
    return Server("haraka", [need("node"), str(program), "-c", str(home)], plugin_env(policy), port=port)


# ---- load ----


class Mail:
    """What smtp-source sends."""

    def __init__(self, path):
        self.folder = pathlib.Path(path).resolve().parent
        self.kinds = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))

    def _arguments(self, kind):
        arguments = ["-f", kind["sender"], "-t", kind["recipient"], "-r", str(kind.get("recipients", 1))]
        if "file" in kind:
            return arguments + ["-F", str(self.folder / kind["file"])]
        return arguments + ["-l", str(kind.get("size", 4096))]

    def send(self, port, count, sessions=20, reuse=True):
        """About count messages over so many connections at a time; returns how many. Every kind gets its share."""
        total = sum(kind.get("share", 1) for kind in self.kinds)
        sent = 0
        for kind in self.kinds:
            some = max(1, round(count * kind.get("share", 1) / total))
            command = [need("smtp-source"), "-s", str(min(sessions, some)), "-m", str(some), *(["-d"] if reuse else []),
                       "-M", "client.example", *self._arguments(kind), f"127.0.0.1:{port}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
            if done.returncode:
                raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
            sent += some
        return sent

    def messages(self):
        """One JSON per kind, as a host would show it to a plugin; [(share, path)]."""
        found = []
        for i, kind in enumerate(self.kinds):
            if "file" in kind:
                mime = (self.folder / kind["file"]).read_text(encoding="latin-1").replace("\r", "").replace("\n", "\r\n")
            else:
                mime = f"From: <{kind['sender']}>\r\nTo: <{kind['recipient']}>\r\n\r\n"
                mime += ("X" * 78 + "\r\n") * max(1, kind.get("size", 4096) // 80)
            path = WORK / f"message-{i}.json"
            write_message(path, mime, kind["sender"], kind["recipient"])
            found.append((kind.get("share", 1), path))
        return found


def write_message(path, mime, sender="sender@example.org", recipient="one@example.com"):
    path.write_text(json.dumps({
        "envelope": sender, "recipient": recipient, "mime": mime, "received": "2026-01-31 12:00:00", "hostname": "mx.example",
        "message-id": "4d966ff990077ce1000001", "tags": ["inbound"],
        "connection": {"local-ip": "127.0.0.1", "remote-ip": "127.0.0.1", "local-port": 25, "remote-port": 50134,
                       "secure": False}}), encoding="utf-8")
