# SPDX-License-Identifier: MIT
"""mq.shared: one dictionary for all workers, through reloads, restarts and kills, and on a state folder that fails."""

import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

from mqlua import BUILD, Host, change, wait_until

LIMIT = """
local daily = mq.shared("daily", {capacity = "1MB"%s})
-- version 1
mq.on("smtp_in_rcptto", function(connection, address)
  local asked = address.localpart:match("^ask%%.(.*)")
  if asked then return mq.reject(550, "5.1.1", "count=" .. tostring(daily:get(asked))) end
  if daily:incr(address.localpart, 1, 0) > 50 then return mq.tempfail(452, "4.5.3", "Enough") end
end)
"""
COUNT = LIMIT % ""
PERSIST = LIMIT % ", persist = true"


def offer(host, recipient):
    """Offers a recipient on a connection of its own; whether it was taken."""
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        return client.command(f"RCPT TO:<{recipient}@example.com>") == 250


def count_of(host, name):
    """What the dictionary has under that name, 0 for nothing."""
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<a@example.org>", 250)
        client.send(f"RCPT TO:<ask.{name}@example.com>\r\n")
        count = client.reply()[1][0].split("count=")[1]
    return 0 if count == "nil" else int(count)


def test_a_limit_is_exact_on_four_workers():
    with Host(policy=COUNT, workers=4) as host:
        taken = []

        def customer():
            taken.extend(offer(host, "joe") for _ in range(20))

        threads = [threading.Thread(target=customer) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert taken.count(True) == 50
        assert count_of(host, "joe") == 160


def test_a_reload_keeps_what_is_counted():
    with Host(policy=COUNT, workers=2, settings={"reload": {"quiet": 0.1}}) as host:
        for _ in range(5):
            offer(host, "joe")
        change(host, "version 1", "version 2")
        offer(host, "joe")
        assert count_of(host, "joe") == 6
        change(host, '"1MB"', '"4MB"')
        offer(host, "joe")
        change(host, '"4MB"', '"64KB"')
        offer(host, "joe")
        assert count_of(host, "joe") == 8


def test_a_check_does_not_touch_it():
    policy = COUNT + '\ndaily:incr("joe", 1000, 0)\nif daily:get("joe") % 1000 ~= 0 then error("the live one") end\n'
    with Host(policy=COUNT, settings={"reload": {"quiet": 0.1}}) as host:
        offer(host, "joe")
        checked = host.folder / "checked.lua"
        checked.write_text(policy)
        result = subprocess.run([BUILD / "mqlua", "check", checked], capture_output=True, env=host.environment)
        assert result.returncode == 0, result
        # a policy that adds and is then refused has added to its own dictionary
        broken = COUNT + '\ndaily:incr("joe", 1000, 0)\nerror("does not load")\n'
        pathlib.Path(host.policy_path).write_text(broken)
        host.wait_stderr("does not load")
        offer(host, "joe")
        assert count_of(host, "joe") == 2


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_what_persists(how):
    host = Host(policy=PERSIST, start=False)
    with host:
        host.start()
        for _ in range(7):
            assert offer(host, "joe")
        if how == signal.SIGKILL:
            file = host.folder / "shared" / "daily.dict"
            wait_until(file.exists, "the file", 30)
        host.process.send_signal(how)
        host.process.wait()
        host._reader.join()
        host._lines.clear()
        host.returncode = None
        host.start()
        offer(host, "joe")
        assert count_of(host, "joe") == 8


def test_a_second_process_serves_without_files():
    with Host(policy=PERSIST) as first:
        offer(first, "joe")
        environment = {"MAILERQ_LUA_STATE_DIR": str(first.folder)}
        with Host(policy=PERSIST, environment=environment) as second:
            second.wait_stderr("ANOTHER PROCESS KEEPS THE SHARED DICTIONARIES")
            assert offer(second, "joe")
            assert count_of(second, "joe") == 1
            assert first.stop() == 0
            # once the first has ended, the second takes the files over, with what it lacks
            offer(second, "ann")
            second.wait_stderr("are this process's now")
            offer(second, "joe")
            assert count_of(second, "joe") == 2
        with Host(policy=PERSIST, environment=environment) as third:
            offer(third, "ann")
            assert count_of(third, "ann") == 2


@pytest.mark.parametrize("content", [b"", b"not a dictionary", b"MQLDICT1" + bytes(200)])
def test_a_damaged_file_is_set_aside(content):
    host = Host(policy=PERSIST, start=False)
    (host.folder / "shared").mkdir(mode=0o700)
    (host.folder / "shared" / "daily.dict").write_bytes(content)
    with host.start():
        host.wait_stderr("is damaged and begins anew")
        offer(host, "joe")
        assert count_of(host, "joe") == 1
        assert (host.folder / "shared" / "daily.dict.damaged").read_bytes() == content


def test_no_regular_file_is_read():
    host = Host(policy=PERSIST, start=False)
    (host.folder / "shared").mkdir(mode=0o700)
    os.mkfifo(host.folder / "shared" / "daily.dict")
    with host.start():
        host.wait_stderr("it is no regular file")
        assert offer(host, "joe")


def test_a_state_folder_that_cannot_be_written_stops_no_mail():
    host = Host(policy=PERSIST, start=False)
    (host.folder / "shared").write_text("a file where a folder should be")
    with host.start():
        host.wait_stderr("SHARED DICTIONARIES CANNOT BE KEPT")
        assert offer(host, "joe") and offer(host, "joe")
        assert count_of(host, "joe") == 2


@pytest.mark.parametrize("text, error", [
    ('mq.shared("a b")', "a name has letters"),
    ('mq.shared("a", {capacty = 5})', "unknown option 'capacty'"),
    ('mq.shared("a", {capacity = "5 pounds"})', "a number of bytes or a text"),
    ('mq.shared("a", {capacity = 5})', "at least 8KB"),
    ('mq.shared("a", {persist = 1})', "persist is true or false"),
    ('mq.shared("a", {capacity = "1GB"})', "shared.memory in the settings"),
    ('mq.shared("a", {capacity = "200MB"}) mq.shared("b", {capacity = "200MB"})', "there is no room for"),
    ('mq.shared("a", {capacity = "1MB"}) mq.shared("a", {capacity = "2MB"})', "is declared twice"),
    ('mq.shared("a"):get({})', "bad argument #1"),
    ('mq.shared("a"):set("k", 1, -1)', 'bad "exptime" argument'),
    ('mq.shared("a"):gett("k")', "did you mean 'get'"),
])
def test_misuse_says_where(tmp_path, text, error):
    policy = tmp_path / "policy.lua"
    policy.write_text(f"\n{text}\n")
    result = subprocess.run([BUILD / "mqlua", "check", policy], capture_output=True, text=True)
    assert result.returncode != 0
    assert "policy.lua:2:" in result.stderr and error in result.stderr


def test_what_no_policy_declares_any_more_makes_room():
    """Names that a policy used up do not refuse the one that repairs it."""
    spill = 'for i = 1, 4 do mq.shared("spill" .. i, {capacity = "60MB"}) end\n'
    with Host(policy=spill + COUNT, settings={"reload": {"quiet": 0.1}}) as host:
        offer(host, "joe")
        change(host, spill, 'for i = 5, 6 do mq.shared("spill" .. i, {capacity = "100MB"}) end\n')
        offer(host, "joe")
        assert count_of(host, "joe") == 2


METRICS = """
local small = mq.shared("small", {capacity = "8KB"})
local limit = mq.ratelimit("r", {limit = 5})
mq.on("smtp_in_rcptto", function()
  small:set("a", 1) small:set("b", ("x"):rep(100))
  for i = 1, 3 do small:get("a") end
  small:get("none") small:get("none") small:set("c", 1, 0.001) mq.sleep(0.01) small:get("c")
  small:set("large", ("x"):rep(20000))
  limit:take("me")
  local used = small:capacity() - small:free_space()
  local before = mq.metrics()
  for i = 1, 1000 do small:set("n" .. i, i) end
  mq.log.info("used=%d", used)
  for line in (before .. mq.metrics()):gmatch("[^\\n]*mailerq_lua_shared[^\\n]*") do mq.log.info("<%s>", line) end
  return mq.reject(550, "5.1.1", "done")
end)
local ok, why = pcall(mq.counter, "mailerq_lua_shared_hits")
mq.log.info("counter: %s", why)
"""


def test_metrics_of_each_dictionary():
    with Host(policy=METRICS, workers=1) as host:
        assert not offer(host, "joe")
        wait_until(lambda: host.stderr.count("mailerq_lua_shared_refused{") == 4, "the metrics")
        lines = re.findall("<(.*mailerq_lua_shared.*)>", host.stderr)
        values = {}
        for line in lines:
            if "name=" in line:
                values.setdefault(line.split(" ")[0], []).append(int(line.split(" ")[1]))
        used = int(re.search(r"used=(\d+)", host.stderr).group(1))
        small = {name: values[f'mailerq_lua_shared_{name}{{name="small"}}']
                 for name in ["entries", "bytes", "capacity_bytes", "hits", "misses", "evicted", "refused"]}
        assert [small[name][0] for name in ["entries", "bytes", "hits", "misses", "evicted", "refused"]] == [3, used, 3, 3, 0, 1]
        assert small["capacity_bytes"] == [8192, 8192]
        assert 0 < small["entries"][1] < 200 and small["bytes"][1] <= 8192
        assert small["evicted"][1] >= 1002 - small["entries"][1] - 1 and small["hits"][1] == 3
        assert values['mailerq_lua_shared_entries{name="ratelimit.r"}'] == [1, 1]
        assert "# TYPE mailerq_lua_shared_hits counter" in lines and "# TYPE mailerq_lua_shared_bytes gauge" in lines
        assert "counter: " in host.stderr and "is a name that mailerq-lua uses itself" in host.stderr
