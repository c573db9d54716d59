# SPDX-License-Identifier: MIT
"""What one event costs inside a plugin: bench_driver, under callgrind for instructions and without it for time."""

import re
import statistics
import subprocess

import peers

DRIVER = peers.BUILD / "bench_driver"
PLUGIN = peers.BUILD / "mailerq-lua.so"
EMPTY = peers.BUILD / "plugins" / "count.so"
EVENTS = ["smtp_in_connect", "smtp_in_secure", "smtp_in_authenticate", "smtp_in_mailfrom", "smtp_in_rcptto", "smtp_in_data",
          "smtp_in_message", "smtp_in_close", "smtp_out_data", "smtp_out_sent"]

# A handler that does nothing for every event that there is.
EMPTY_HANDLERS = "\n".join(
    f'mq.on("{event}", function() end{", { chunks = true }" if event == "smtp_in_data" else ""})' for event in EVENTS)
FIELDS = """
mq.on("smtp_in_message", function(connection, message)
  local json = message.json
  if json.hostname and json.received and json["message-id"] then
    message:tag("seen")
  end
end)
"""
WAITS = """
local due = mq.monotonic() + {seconds}
mq.on("smtp_in_mailfrom", function() mq.sleep(due - mq.monotonic()) end)
"""


def write_policy(name, text):
    """A policy made for a measurement, in a folder of its own."""
    folder = peers.WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "policy.lua").write_text(text, encoding="utf-8")
    return folder / "policy.lua"


def drive(command, plugin, policy, arguments, settings=None, callgrind=None):
    """Runs bench_driver; [(name, number)] of what it prints."""
    line = [str(DRIVER), command, str(plugin), *map(str, arguments)]
    env = {**peers.os.environ, **peers.plugin_env(policy or write_policy("none", ""))}
    peers.settings_file(settings)
    if callgrind:
        line = [peers.need("valgrind"), "--tool=callgrind", "--collect-atstart=no", "--combine-dumps=yes",
                f"--callgrind-out-file={callgrind}", "-q", *line]
    done = subprocess.run(line, capture_output=True, text=True, env=env, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(line)}: {done.stderr[-2000:]}")
    return [(name, float(value)) for name, value in (row.split() for row in done.stdout.splitlines())]


def dumps(path):
    """{label: instructions} of a callgrind file of several parts."""
    found, label = {}, None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        trigger = re.match(r"desc: Trigger: Client Request: (\w+)", line)
        if trigger:
            label = trigger.group(1)
        elif line.startswith("summary:") and label:
            found[label] = int(line.split()[1])
            label = None
    return found


def events(plugin, policy, sessions, count=1000, warm=300):
    """Instructions of one call of each event, what the driver itself needs included (the same for every plugin)."""
    out = peers.WORK / "callgrind.events"
    out.unlink(missing_ok=True)
    drive("events", plugin, policy, [warm, count, *sessions], callgrind=out)
    return {event: total / count for event, total in dumps(out).items()}


def message_instructions(policy, session, keys, count=200, warm=100):
    out = peers.WORK / "callgrind.message"
    out.unlink(missing_ok=True)
    drive("message", PLUGIN, policy, [warm, count, session, *keys], callgrind=out)
    return dumps(out)["smtp_in_message"] / count


def message_seconds(policy, session, keys, count=2000, warm=500):
    """The median of one smtp_in_message."""
    rows = drive("message", PLUGIN, policy, [warm, count, session, *keys])
    return statistics.median(value for _, value in rows) * 1e-9


def memory(plugin, policy, session, count=10000):
    """{event: bytes that a connection has taken more after it}."""
    return dict(drive("memory", plugin, policy, [count, session]))


def parked(count, session):
    """bytes per connection that waits, seconds until all have gone on."""
    settings = {**peers.SETTINGS, "memory": 0, "deadline": {"incoming": 600}}
    policy = write_policy("waits", WAITS.replace("{seconds}", str(2 + count / 20000)))
    found = dict(drive("parked", PLUGIN, policy, [count, session], settings))
    if found["parked"] != count:
        raise RuntimeError(f"only {found['parked']:.0f} of {count} waited")
    return found
