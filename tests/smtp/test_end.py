# SPDX-License-Identifier: MIT
"""The end comes in time, whatever a policy, a file system or a plugin does: mq_cleanup takes at most five seconds, and the
stand-in ends at most five seconds after its grace."""

import os
import time

import pytest

from mqlua import Host, plugin

GRACE = 0.2
IN_TIME = GRACE + 5 + 5  # generous: what a loaded machine and sanitizers add
LEFT = "the end does not wait for"


def end(host):
    """Ends the host; seconds that it took."""
    begun = time.monotonic()
    host.stop()
    return time.monotonic() - begun


def serve(policy, *arguments, **options):
    options.setdefault("settings", {"reload": {"quiet": 0.1, "poll": 0.2}})
    return Host("--grace", GRACE, *arguments, policy=policy, **options)


def write(host, policy):
    new = host.policy_path.with_suffix(".new")
    new.write_text(policy)
    new.rename(host.policy_path)


ENDLESS = "while true do end"
WAYS = ["contexts-first", "cleanup-first"]


@pytest.mark.parametrize("shutdown", WAYS)
def test_a_reload_that_runs(shutdown):
    """A check has seconds, and the end cuts it short."""
    with serve("mq.log.info('one')", knobs={"shutdown": shutdown}) as host:
        host.wait_stderr("generation 1")
        write(host, f"mq.log.info('checking') {ENDLESS}")
        host.wait_stderr("checking")
        assert end(host) < IN_TIME and host.returncode == 0
        assert LEFT not in host.stderr


@pytest.mark.parametrize("shutdown", WAYS)
@pytest.mark.parametrize("event", ["cleanup", "context_cleanup"])
def test_handlers_of_the_end(event, shutdown):
    """Together they have a part of a second: each of many could take its time otherwise."""
    with serve(f"for i = 1, 9 do mq.on('{event}', function() {ENDLESS} end) end", knobs={"shutdown": shutdown}) as host:
        assert end(host) < IN_TIME
        assert f"{event} failed" in host.stderr and "run-time budget" in host.stderr


def test_many_files():
    """In a policy, and beside it."""
    policy = "for i = 0, 899 do require('part' .. i) end"
    with serve(policy, start=False) as host:
        for i in range(5000):
            name = f"part{i}.lua" if i < 900 else f"other{i}.txt"
            (host.policy_path.parent / name).write_text("local t = {} for i = 1, 1e3 do t[i] = i end return t")
        host.start()
        host.wait_stderr("generation 1")
        write(host, policy + " mq.log.info('again')")
        time.sleep(0.5)
        assert end(host) < IN_TIME and host.returncode == 0


def test_pipes_in_the_state_folder(tmp_path):
    os.mkdir(tmp_path / "shared")
    for name in ["refused", "shared/lock", "shared/d.dict", "shared/d.dict.new"]:
        os.mkfifo(tmp_path / name)
    policy = "mq.shared('d', {capacity = '64KB', persist = true}):set('k', 1)"
    with serve(policy, settings={"state_dir": str(tmp_path)}) as host:
        host.wait_stderr("generation 1")
        assert end(host) < IN_TIME and host.returncode == 0


@pytest.fixture
def slow(tmp_path):
    """A host whose disk or CPU becomes slow when slow.begin() is called."""
    hosts = []

    class Slow:
        flag = tmp_path / "slow"

        def begin(self):
            self.flag.touch()

        def serve(self, policy, calls, **options):
            # what is left behind is not freed on purpose
            asan = os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0:detect_leaks=0"
            options["environment"] = {"LD_PRELOAD": str(plugin("slow")), "SLOW": str(self.flag), "SLOW_CALLS": calls,
                                      "ASAN_OPTIONS": asan}
            hosts.append(serve(policy, **options))
            return hosts[-1]

    yield Slow()
    for host in hosts:
        host.__exit__(None, None, None)


def ends_in_time(host, what):
    assert end(host) < IN_TIME and host.returncode == 0, host.stderr
    assert f"{LEFT} {what} any longer" in host.stderr


@pytest.mark.parametrize("shutdown", WAYS)
def test_a_dictionary_on_a_slow_disk(slow, shutdown):
    host = slow.serve("""
    local d = mq.shared("d", {capacity = "64KB", persist = true})
    mq.on("smtp_in_mailfrom", function() d:set("k", mq.monotonic()) end)""", "dict", knobs={"shutdown": shutdown})
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<sender@example.org>", 250)
        slow.begin()
    ends_in_time(host, "the saving of persistent dictionaries")


@pytest.mark.parametrize("shutdown", WAYS)
def test_a_good_policy_on_a_slow_disk(slow, shutdown):
    """What served without trouble is kept at the end."""
    host = slow.serve("mq.on('smtp_in_mailfrom', function() mq.log.info('served') end)", "kept",
                      knobs={"shutdown": shutdown})
    with host.client() as client:
        client.greet()
        client.expect("MAIL FROM:<sender@example.org>", 250)
        slow.begin()
    ends_in_time(host, "reading or checking the policy")


@pytest.mark.parametrize("shutdown", WAYS)
def test_a_policy_on_a_slow_disk(slow, shutdown):
    host = slow.serve("mq.log.info('one')", "openat", knobs={"shutdown": shutdown})
    slow.begin()
    write(host, "mq.log.info('two')")
    time.sleep(1)  # by then it is being read
    ends_in_time(host, "reading or checking the policy")


@pytest.mark.parametrize("shutdown", WAYS)
def test_a_slow_helper(slow, shutdown):
    host = slow.serve("""
    mq.on("smtp_in_mailfrom", function()
      mq.log.info("asking")
      mq.password.verify("secret", "$6$salt$" .. ("x"):rep(86))
    end)""", "crypt", knobs={"shutdown": shutdown})
    slow.begin()
    with host.client() as client:
        client.greet()
        client.send("MAIL FROM:<sender@example.org>\r\n")
        host.wait_stderr("asking")
        time.sleep(0.3)
        ends_in_time(host, "the work of helper threads")


@pytest.mark.parametrize("where", ["mailfrom", "context_cleanup", "cleanup"])
def test_a_plugin_that_never_comes_back(where):
    """Not this one: another plugin of the stand-in."""
    with Host("--grace", GRACE, plugins=["hang"], knobs={"blocking": "off"}, environment={"HANG": where}) as host:
        with host.client() as client:
            client.greet()
            client.send("MAIL FROM:<sender@example.org>\r\n")
            time.sleep(0.2)
            assert end(host) < IN_TIME
        assert host.returncode == 1 and "a plugin does not come to its end" in host.stderr
