# SPDX-License-Identifier: MIT
"""A running host whose policy runs the Lua that each test brings along, so that many tests share one process.

    trial = probe.run(rcptto="show(address.domain)")
    assert trial.shown == [["example.com"]]

Every run is a transaction of its own; its sender tells the policy which code belongs to it. The code of an
incoming event sees connection and, depending on the event, address, chunk or message; what it returns is what
the handler returns. show(...) hands values to the test, by way of JSON and the log. raises(function() ... end)
shows the error message, without its place.
"""

import contextlib
import json
import pathlib
import re

from mqlua import MESSAGE, Host, read_lines, wait_until

EVENTS = {"mailfrom": "address", "rcptto": "address", "data": "chunk", "message": "message"}

POLICY = r"""
local folder = os.getenv("PROBE_FOLDER")
local current = {}
local environment = setmetatable({}, {__index = _G})

-- Hosts with small pieces ask for the code of smtp_in_data any number of times: what a transaction met stays.
local function code_of(name, event)
  if event == "data" and current.name == name then return current.text end
  local file = io.open(folder .. "/" .. name .. "." .. event)
  local text = file and file:read("*a")
  if file then file:close() end
  current = event == "data" and {name = name, text = text} or {}
  return text
end

local function plain(value)
  if value == nil then return mq.null end
  if type(value) == "userdata" and value ~= mq.null then return tostring(value) end
  return value
end

local function run(name, event, parameter, ...)
  local text = name and code_of(name, event)
  if not text then return end
  local function show(...)
    local values = mq.array({})
    for i = 1, select("#", ...) do values[i] = plain((select(i, ...))) end
    mq.log.info("[%s] %s", name, mq.json.encode(values))
  end
  local function raises(fn, ...)
    local ok, message = pcall(fn, ...)
    show(ok and "NO ERROR" or tostring(message):gsub("^%S+:%d+: ", ""))
  end
  local chunk = assert(load("local show, raises, connection, " .. parameter .. " = ... " .. text, "=" .. name))
  return chunk(show, raises, ...)
end

local function incoming(event, parameter, options)
  mq.on("smtp_in_" .. event, function(connection, value)
    local sender = event == "mailfrom" and value or connection.transaction and connection.transaction.envelope
    return run(sender and sender.localpart, event, parameter, connection, value)
  end, options)
end

incoming("mailfrom", "address")
incoming("rcptto", "address")
incoming("data", "chunk", {chunks = true})
incoming("message", "message")

for _, event in ipairs({"data", "sent"}) do
  mq.on("smtp_out_" .. event, function(connection, message)
    return run(message.json.probe, "out_" .. event, "message", connection, message)
  end)
end
"""


class Trial:
    """What came of one run: the replies (code, lines) after EHLO, what was shown, and what was published."""

    def __init__(self, host, name):
        self.host, self.name, self.replies = host, name, []

    @property
    def codes(self):
        return [code for code, _ in self.replies]

    @property
    def shown(self):
        """The values of each show(...) so far."""
        lines = re.findall(rf"\[{self.name}\] (\[.*\]) \(generation \d+\)$", self.host.stderr, re.MULTILINE)
        return [json.loads(line) for line in lines]

    def wait_shown(self, count=1):
        """Waits for as many show(...), and returns their values."""
        return wait_until(lambda: len(self.shown) >= count and self.shown, f"show in {self.name}:\n{self.host.stderr}")

    @property
    def published(self):
        """The messages in the inbox and among the local ones."""
        return [message for message in self.host.inbox() + self.host.local()
                if message.get("probe", message.get("mailerq-probe")) == self.name
                or str(message["envelope"]).startswith(self.name + "@") or self.name in message["mime"]]


class Probe(Host):
    """The files (name to text) go where the policy is; extra is appended to the policy."""

    def __init__(self, *arguments, extra="", files=None, **options):
        self._count = 0
        options["settings"] = {"files": {"read": ["@FOLDER@"]}, **(options.get("settings") or {})}
        super().__init__(*arguments, policy=POLICY + extra, start=False, **options)
        for name, text in (files or {}).items():
            (self.policy_path.parent / name).write_text(text)
        self.environment["PROBE_FOLDER"] = str(self.folder)
        self.start()

    def name(self, code):
        """Puts the code (event to Lua) where the policy finds it, and returns the name it goes by."""
        self._count += 1
        name = f"t{self._count}-"
        for event, text in code.items():
            (pathlib.Path(self.folder) / f"{name}.{event}").write_text(text)
        return name

    def begin(self, **code):
        """A trial, and a client that has said EHLO."""
        trial = Trial(self, self.name(code))
        client = self.client()
        client.greet()
        return trial, client

    def run(self, recipients=("one@example.com",), mime=MESSAGE, **code):
        """Runs one transaction with that code, up to the first reply that is an error."""
        trial, client = self.begin(**code)
        with client:
            body = b"X-Trial: " + trial.name.encode() + b"\r\n" + mime
            steps = [f"MAIL FROM:<{trial.name}@probe.example>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"]
            for step in [*(step.encode() for step in steps), body + b".", b"QUIT"]:
                client.send(step + b"\r\n")
                trial.replies.append(client.reply())
                if not 200 <= trial.codes[-1] < 400:
                    break
        return trial

    def shown(self, **code):
        """The values of the first show(...) of a run."""
        return self.run(**code).wait_shown()[0]

    def error(self, **code):
        """The message of the first raises(...) of a run."""
        [message] = self.shown(**code)
        return message


LINE = {"envelope": "from@sender.example", "recipient": "to@recipient.example", "mime": MESSAGE.decode()}


@contextlib.contextmanager
def delivering(policy, lines, *arguments, sink, files=None, **options):
    """A host with that policy that delivers the lines (objects) to the sink; host.results(count) waits for results.
    The files (name to text) go where the policy is."""
    host = Host(*arguments, policy=policy, start=False, **options)
    for name, text in (files or {}).items():
        (host.policy_path.parent / name).write_text(text)
    outbox, results = host.folder / "outbox.jsonl", host.folder / "results.jsonl"
    outbox.write_text("".join(json.dumps({**LINE, **line}) + "\n" for line in lines))
    host.command += ["--outbox", str(outbox), "--results", str(results), "--smarthost", sink.target]

    def wait_results(count):
        wait_until(lambda: len(read_lines(results)) >= count, f"{count} results")
        return read_lines(results)

    host.results = wait_results
    with host.start():
        yield host
