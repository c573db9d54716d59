# SPDX-License-Identifier: MIT
"""Reload: which generation judges what, every way in which files change, what is refused, what survives."""

import collections
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from mqlua import Client, Host, MESSAGE, PROGRAM, wait_until

TAG = """
local version = %s
mq.on("smtp_in_connect", function(connection) connection.vars.connected = version end)
mq.on("smtp_in_mailfrom", function(connection) connection.transaction.vars.mailfrom = version end)
mq.on("smtp_in_rcptto", function(connection) connection.transaction.vars.rcptto = version end)
mq.on("smtp_in_message", function(connection, message)
  local vars = connection.transaction.vars
  message.json.versions = {connection.vars.connected, vars.mailfrom, vars.rcptto, version}
  message.json.generation = mq.generation.number
end)
"""

QUICK = {"reload": {"quiet": 0.05, "poll": 0.2}}


def tag(version):
    return TAG % json.dumps(version)


class Policy:
    """A folder with policy.lua in it."""

    def __init__(self, folder, text):
        self.folder = folder
        self.path = folder / "policy.lua"
        folder.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text)

    def save(self, text, name="policy.lua"):
        """As careful programs do: beside, then renamed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name("." + path.name + ".new")
        beside.write_text(text)
        beside.rename(path)


@pytest.fixture
def policy(tmp_path):
    return Policy(tmp_path / "policy", tag(1))


def run(policy, settings=None, **options):
    return Host(policy=str(policy.path), settings={**QUICK, **(settings or {})}, **options)


def judged(host):
    """Sends a message and returns the versions that judged it."""
    before = len(host.inbox(0))
    host.send("sender@example.org", ["one@example.com"], MESSAGE)
    return host.inbox(before + 1)[-1]["versions"]


def generations(host):
    return [int(n) for n in re.findall(r"generation (\d+), [0-9a-f]{8}: policy", host.stderr)]


def reloaded(host, count=1):
    """Waits until so many reloads were published."""
    wait_until(lambda: len(generations(host)) >= count, f"{count} reloads in {host.stderr}")


def refused(host, count=1):
    wait_until(lambda: host.stderr.count("reload refused") >= count, "a refused reload")
    return [line for line in host.stderr.splitlines() if "reload refused" in line][count - 1]


# ---- which generation judges what ----

def test_new_transactions_are_judged_by_the_new_policy(policy):
    with run(policy) as host:
        assert judged(host) == [1, 1, 1, 1]
        policy.save(tag(2))
        reloaded(host)
        assert judged(host) == [2, 2, 2, 2]


@pytest.mark.parametrize("moment", ["before MAIL", "after MAIL", "after RCPT", "in DATA"])
def test_a_transaction_is_judged_by_one_generation(policy, moment):
    """The save happens at that moment of an open session; the next transaction of it is the new generation's."""
    with run(policy) as host, Client(host.port) as client:
        def change_at(now):
            if now == moment:
                policy.save(tag(2))
                reloaded(host)
        client.greet()
        change_at("before MAIL")
        client.expect("MAIL FROM:<sender@example.org>", 250)
        change_at("after MAIL")
        client.expect("RCPT TO:<one@example.com>", 250)
        change_at("after RCPT")
        client.expect("DATA", 354)
        client.send(b"Subject: x\r\n\r\n")
        change_at("in DATA")
        client.expect("text\r\n.", 250)
        mine = 2 if moment == "before MAIL" else 1
        assert host.inbox(1)[0]["versions"] == [1, mine, mine, mine]
        client.begin()
        client.expect("text\r\n.", 250)
        assert host.inbox(2)[1]["versions"] == [1, 2, 2, 2]


def test_a_parked_task_finishes_in_its_own_generation(policy):
    text = """
    mq.on("smtp_in_rcptto", function(connection)
      while not PROBE() do mq.sleep(0.01) end
      return mq.reject(550, "5.7.1", "judged by %d")
    end)"""
    text = text.replace("PROBE()", "io.open('go')")
    policy.save(text % 1)
    with run(policy) as host, Client(host.port) as client:
        client.greet()
        client.expect("MAIL FROM:<sender@example.org>", 250)
        client.send("RCPT TO:<one@example.com>\r\n")
        time.sleep(0.1)
        policy.save(text % 2)
        reloaded(host)
        (policy.folder / "go").write_text("")
        code, lines = client.reply()
        assert (code, lines) == (550, ["5.7.1 judged by 1"])


def test_vars_move_along(policy):
    old = """
    mq.on("smtp_in_connect", function(connection)
      local v = connection.vars
      local shared = {"x"}
      v.text, v.number, v.yes, v.list = "t\\0u", 1.5, true, {1, {2}}
      v.a, v.b = shared, shared
      v.self = v
      v.big = 9007199254740993LL
      v.null = mq.null
      v.array = mq.array{}
      v.fn = print
    end)"""
    new = """
    mq.on("smtp_in_message", function(connection, message)
      local v = connection.vars
      message.json.found = {text = v.text, number = v.number, yes = v.yes, list = v.list, shared = v.a == v.b,
        circle = v.self == v, big = v.big, null = v.null, array = v.array, fn = type(v.fn)}
    end)"""
    policy.save(old)
    with run(policy) as host, Client(host.port) as client:
        client.greet()
        policy.save(new)
        reloaded(host)
        client.begin()
        client.expect("text\r\n.", 250)
        assert host.inbox(1)[0]["found"] == {
            "text": "t\0u", "number": 1.5, "yes": True, "list": [1, [2]], "shared": True, "circle": True,
            "big": 9007199254740993, "null": None, "array": [], "fn": "nil"}
        host.wait_stderr("connection.vars.fn holds a function, which does not move")


def test_objects_of_the_old_generation_are_dead(policy):
    """A task of the connection keeps it where it is; afterwards it moves and old references raise."""
    policy.save("""
    mq.on("smtp_in_connect", function(connection)
      connection.vars.n = 0
      connection:spawn(function() mq.sleep(0.5) connection.vars.n = 1 end)
    end)
    mq.on("smtp_in_mailfrom", function(connection) connection.vars.judge = 1 end)""")
    with run(policy) as host, Client(host.port) as client:
        client.greet()
        policy.save("""
        mq.on("smtp_in_mailfrom", function(connection) connection.vars.judge = 2 end)
        mq.on("smtp_in_message", function(connection, message)
          message.json.seen = {connection.vars.n, connection.vars.judge}
        end)""")
        reloaded(host)
        client.expect("MAIL FROM:<sender@example.org>", 250)  # its task is alive: judged by the old one
        time.sleep(0.7)
        client.expect("RSET", 250)
        client.begin()
        client.expect("text\r\n.", 250)
        assert host.inbox(1)[0]["seen"] == [1, 2]


def test_carried(policy):
    policy.save("""
    local counts = mq.generation.carried or {messages = 0}
    mq.on("smtp_in_message", function(connection, message)
      counts.messages = counts.messages + 1
      message.json.count = {1, counts.messages}
    end)
    mq.on("reload", function() return counts end)""")
    with run(policy) as host:
        for version in (1, 2, 3):
            host.send("sender@example.org", ["one@example.com"], MESSAGE)
            assert host.inbox(version)[-1]["count"] == [version, version]
            policy.save(policy.path.read_text().replace(f"= {{{version},", f"= {{{version + 1},"))
            reloaded(host, version)


def test_repeating_timers_and_background_tasks_end_with_their_generation(policy):
    text = """
    mq.every(0.02, function() mq.log.info("tick %d") end)
    mq.spawn(function() while true do mq.sleep(0.02) mq.log.info("task %d") end end)"""
    policy.save(text % (1, 1))
    with run(policy) as host:
        host.wait_stderr("tick 1")
        host.wait_stderr("task 1")
        policy.save(text % (2, 2))
        host.wait_stderr("tick 2")
        host.wait_stderr("task 2")
        mark = len(host.stderr)
        time.sleep(0.3)
        assert "tick 2" in host.stderr[mark:] and "tick 1" not in host.stderr[mark:]


def test_a_single_timer_is_not_lost(policy):
    """What a handler has put off happens, although its generation was replaced meanwhile."""
    policy.save(tag(1) + """
    mq.on("smtp_in_mailfrom", function() mq.after(1, function() mq.log.info("late " .. mq.generation.number) end) end)""")
    with run(policy) as host:
        judged(host)
        policy.save(tag(2))
        reloaded(host)
        assert judged(host)[3] == 2
        host.wait_stderr("late 1")


def test_context_initialize_and_cleanup_once_per_worker_and_generation(policy):
    text = """
    mq.on("context_initialize", function(worker) mq.log.info("up %d of " .. worker.number) end)
    mq.on("context_cleanup", function(worker) mq.log.info("down %d of " .. worker.number) end)"""
    policy.save(text % (1, 1))
    with run(policy, workers=2) as host:
        policy.save(text % (2, 2))
        reloaded(host)
        wait_until(lambda: host.stderr.count("down 1 of") == host.stderr.count("up 1 of"), "the old generation's end")
    ups, downs = re.findall(r"up (\d of \d)", host.stderr), re.findall(r"down (\d of \d)", host.stderr)
    assert sorted(ups) == sorted(set(ups)) and sorted(ups) == sorted(downs)


def test_idle_connections_move_when_too_many_generations_live(policy):
    with run(policy) as host:
        clients = []
        for version in range(1, 13):
            client = Client(host.port)
            client.greet()
            client.expect("MAIL FROM:<sender@example.org>", 250)
            clients.append(client)
            policy.save(tag(version + 1))
            reloaded(host, version)
        wait_until(lambda: "idle connections move from generation 1 to" in host.stderr, "the bound")
        for client in clients:
            client.expect("RCPT TO:<one@example.com>", 250)
            client.expect("DATA", 354)
            client.expect("text\r\n.", 250)
            client.close()
        assert len(host.inbox(12)) == 12


def test_figures(policy):
    text = tag(1) + """
    mq.on("smtp_in_close", function() for line in mq.metrics():gmatch("mailerq_lua_[^\\n]+") do mq.log.info("%s", line) end end)"""
    policy.save(text)
    with run(policy) as host:
        policy.save("x x")
        refused(host)
        policy.save(text + "--")
        reloaded(host)
        judged(host)
        for line in ("mailerq_lua_generation 2", 'mailerq_lua_reloads(_total)?{result="published"} 1',
                     'mailerq_lua_reloads(_total)?{result="refused"} 1', 'mailerq_lua_adoption_seconds_count [1-9]'):
            host.wait_stderr(line)


def test_eight_generations_at_most_with_two_thousand_idle_connections(policy):
    """Each connection is inside a transaction, so pinned; a generation ends with its context_cleanup."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16384), hard))
    life = """
    mq.on("context_initialize", function(worker) mq.log.info("live +1 " .. worker.number) end)
    mq.on("context_cleanup", function(worker) mq.log.info("live -1 " .. worker.number) end)"""
    policy.save(tag(0) + life)
    with run(policy, workers=2) as host:
        clients = []
        for version in range(1, 21):
            for _ in range(100):
                clients.append(Client(host.port))
            for client in clients[-100:]:
                client.greet()
                client.expect("MAIL FROM:<sender@example.org>", 250)
            policy.save(tag(version) + life)
            reloaded(host, version)
        assert len(clients) == 2000
        wait_until(lambda: host.stderr.count("live -1") >= host.stderr.count("live +1") - 8 * 3, "old generations to end")
        for client in clients[::10]:
            client.expect("RCPT TO:<one@example.com>", 250)
            client.expect("DATA", 354)
            client.expect("text\r\n.", 250)
        assert len(host.inbox(200)) == 200
        for client in clients:
            client.close()
        log = host.stderr
    live, most = collections.Counter(), collections.Counter()
    for change, worker in re.findall(r"live ([+-]1) (\d+)", log):
        live[worker] += int(change)
        most[worker] = max(most[worker], live[worker])
    # one more is made before the oldest ends, and its end is the business of another thread
    assert max(most.values()) <= 8 + 2, most
    assert "connections move from generation 1 to" in log


# ---- how files change ----

def in_place(policy, text):
    policy.path.write_text(text)


def slowly(policy, text):
    """Held open, in pieces, each of which would be a policy."""
    with open(policy.path, "w") as file:
        for line in text.splitlines(True):
            file.write(line)
            file.flush()
            time.sleep(0.08)


def rename_over(policy, text):
    policy.save(text)


def like_vim(policy, text):
    """A swap file all along; the old one becomes a backup, a new one is written, the backup goes."""
    swap = policy.folder / ".policy.lua.swp"
    swap.write_text("x" * 4096)
    backup = policy.folder / "policy.lua~"
    os.rename(policy.path, backup)
    policy.path.write_text(text)
    backup.unlink()
    swap.unlink()


def rsync(policy, text):
    source = policy.folder.parent / "source"
    source.mkdir()
    (source / "policy.lua").write_text(text)
    subprocess.run(["rsync", "-ac", "--delete", f"{source}/", f"{policy.folder}/"], check=True)


def git_checkout(policy, text):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments], cwd=policy.folder,
                       check=True, capture_output=True)
    git("checkout", "-q", "next")


@pytest.mark.parametrize("change", [in_place, slowly, rename_over, like_vim, rsync, git_checkout])
def test_one_reload_per_change(policy, change):
    if change is git_checkout:
        def git(*arguments):
            subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *arguments],
                           cwd=policy.folder, check=True, capture_output=True)
        git("init", "-q", "-b", "main")
        git("add", ".")
        git("commit", "-qm", "1")
        git("checkout", "-qb", "next")
        policy.save(tag(2))
        git("commit", "-qam", "2")
        git("checkout", "-q", "main")
    with run(policy, {"reload": {"quiet": 0.2, "poll": 0.2}}) as host:
        assert judged(host)[3] == 1
        change(policy, tag(2))
        reloaded(host)
        time.sleep(0.5)
        assert generations(host) == [2] and "refused" not in host.stderr
        assert judged(host) == [2, 2, 2, 2]


def test_links_of_a_config_map(tmp_path):
    """policy.lua -> ..data/policy.lua, ..data -> a folder: a renewal turns the second link, in one rename."""
    folder = tmp_path / "mounted"
    for version in (1, 2):
        (folder / f"..{version}").mkdir(parents=True)
        (folder / f"..{version}" / "policy.lua").write_text(tag(version))
    (folder / "..data").symlink_to("..1")
    (folder / "policy.lua").symlink_to("..data/policy.lua")
    with Host(policy=str(folder / "policy.lua"), settings=QUICK) as host:
        assert judged(host)[3] == 1
        (folder / "..next").symlink_to("..2")
        os.rename(folder / "..next", folder / "..data")
        reloaded(host)
        assert judged(host)[3] == 2


def test_a_folder_behind_a_link(tmp_path):
    for version in (1, 2):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / "policy.lua").write_text(tag(version))
    (tmp_path / "current").symlink_to("1")
    with Host(policy=str(tmp_path / "current" / "policy.lua"), settings=QUICK) as host:
        assert judged(host)[3] == 1
        (tmp_path / "next").symlink_to("2")
        os.rename(tmp_path / "next", tmp_path / "current")
        reloaded(host)
        assert judged(host)[3] == 2


def test_added_changed_and_removed_modules(policy):
    main = tag(1).replace("local version = 1", "local ok, version = pcall(require, 'rules.version')\n"
                          "if not ok then version = 'none' end")
    policy.save(main)
    with run(policy) as host:
        assert judged(host)[3] == "none"
        policy.save("return 'added'", "rules/version.lua")
        reloaded(host, 1)
        assert judged(host)[3] == "added"
        policy.save("return 'changed'", "rules/version.lua")
        reloaded(host, 2)
        assert judged(host)[3] == "changed"
        shutil.rmtree(policy.folder / "rules")
        reloaded(host, 3)
        assert judged(host)[3] == "none"


@pytest.mark.parametrize("where", ["beside", "elsewhere"])
def test_changed_data_files(policy, tmp_path, where):
    data = policy.folder / "version.txt" if where == "beside" else tmp_path / "data" / "version.txt"
    data.parent.mkdir(exist_ok=True)
    data.write_text("one")
    policy.save(tag(1).replace("local version = 1", f"local version = mq.file('{data}')"))
    with run(policy) as host:
        assert judged(host)[3] == "one"
        data.write_text("two")
        reloaded(host)
        assert judged(host)[3] == "two"


def test_a_missing_data_file_that_appears(policy):
    with run(policy) as host:
        policy.save(tag(2) + "mq.set('senders.txt')")
        assert "senders.txt: No such file" in refused(host)
        (policy.folder / "senders.txt").write_text("a@example.org\n")
        reloaded(host)
        assert judged(host)[3] == 2


def test_files_that_nobody_asked_for_do_not_reload(policy):
    with run(policy) as host:
        (policy.folder / "notes.txt").write_text("x")
        (policy.folder / ".policy.lua.swp").write_text("x")
        os.utime(policy.path)
        time.sleep(0.6)
        assert not generations(host)


@pytest.mark.parametrize("settings, seen", [({"watch": False, "quiet": 0.05, "poll": 0.1}, False),
                                            ({"poll": 0, "quiet": 0.05}, True)])
def test_settings_of_watching(policy, settings, seen):
    with run(policy, {"reload": settings}) as host:
        policy.save(tag(2))
        if seen:
            reloaded(host)
        time.sleep(0.5)
        assert judged(host)[3] == (2 if seen else 1)


def test_what_is_open_for_writing_is_not_loaded(policy):
    with run(policy, {"reload": {"quiet": 0.05, "poll": 0.1}}) as host:
        with open(policy.path, "w") as file:
            file.write(tag(2))
            file.flush()
            time.sleep(1)
            assert not generations(host)
            assert judged(host)[3] == 1
        reloaded(host)
        assert judged(host)[3] == 2


# ---- what is refused ----

BROKEN = {
    "syntax": ("x x", "policy.lua:1: '=' expected near 'x'"),
    "module": ("\nrequire('nowhere')", "policy.lua:2: module 'nowhere' not found"),
    "error": ("\n\nerror('boom')", "policy.lua:3: boom"),
    "event": ("mq.on('smtp_in_rcpto', print)", "smtp_in_rcptto"),
    "context": ("mq.on('context_initialize', function(worker) if worker.number == 2 then error('not here') end end)",
                "goes on: worker 2: policy.lua:1: not here"),
    "memory": ("local t = {} for i = 1, 1e9 do t[i] = ('x'):rep(1000) .. i end", "policy.lua: not enough memory (the cap is 65536 KB)"),
    "loop": ("while true do end", "policy.lua:1: run-time budget of 5000 ms is spent"),
    "gone": (None, "policy.lua: No such file or directory"),
}


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_a_broken_change_leaves_everything_as_it_was(policy, kind):
    text, reason = BROKEN[kind]
    with run(policy, workers=2) as host:
        assert judged(host)[3] == 1
        if text is None:
            policy.path.unlink()
        else:
            policy.save(text)
        line = refused(host)
        assert re.search(r"generation 1, [0-9a-f]{8} goes on: ", line) and reason in line
        assert judged(host) == [1, 1, 1, 1]
        policy.save(tag(2))
        reloaded(host)
        assert judged(host) == [2, 2, 2, 2]
        assert host.stderr.count("reload refused") == 1


def test_a_broken_change_is_told_once(policy):
    with run(policy, {"reload": {"quiet": 0, "poll": 0.05}}) as host:
        policy.save("error('boom')")
        refused(host)
        policy.save(tag(1))
        host.wait_stderr("the policy's files are again what generation 1")
        policy.save("error('boom again')")
        refused(host, 2)
        time.sleep(0.3)  # looks every 50 ms
        assert host.stderr.count("reload refused") == 2


def test_taking_a_broken_change_back(policy):
    with run(policy) as host:
        policy.save("x x")
        refused(host)
        policy.save(tag(1))
        host.wait_stderr("the policy's files are again what generation 1")
        assert not generations(host)


def test_check_says_the_same(policy):
    from mqlua import PROGRAM
    for kind in ("syntax", "module", "error", "event", "memory", "gone"):
        text, reason = BROKEN[kind]
        if text is None:
            policy.path.unlink()
        else:
            policy.save(text)
        found = subprocess.run([PROGRAM, "check", policy.path], capture_output=True, text=True)
        assert found.returncode != 0 and reason in found.stderr, found


def test_stopping_while_a_policy_loads(policy):
    with run(policy) as host:
        policy.save("while true do end")
        time.sleep(0.4)
        begun = time.monotonic()
        assert host.stop() == 0
        assert time.monotonic() - begun < 4  # loading alone would have had five seconds


# ---- what survives the process ----

def state(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(exist_ok=True)
    return folder, {"MAILERQ_LUA_STATE_DIR": str(folder)}


def test_last_known_good_survives(policy, tmp_path):
    folder, environment = state(tmp_path)
    with run(policy, environment=environment) as host:
        assert judged(host)[3] == 1
    [kept] = folder.iterdir()
    assert kept.name.startswith("last-known-good") and kept.stat().st_mode & 0o777 == 0o600
    policy.save("x x")
    with run(policy, environment=environment) as host:
        assert "RUNNING THE LAST-KNOWN-GOOD POLICY" in host.stderr and "policy.lua:1:" in host.stderr
        assert judged(host)[3] == 1
        policy.save(tag(2))
        reloaded(host)
        assert judged(host)[3] == 2


def test_a_trial_that_passed_replaces_it(policy, tmp_path):
    folder, environment = state(tmp_path)
    with run(policy, {"reload": {"quiet": 0.05, "poll": 0.2, "trial": 0.2}}, environment=environment) as host:
        policy.save(tag(2))
        reloaded(host)
        assert judged(host)[3] == 2
        host.wait_stderr("generation 2, ")
        host.wait_stderr("is the last-known-good policy now")
        host.process.send_signal(signal.SIGKILL)
        host.process.wait()
        host.returncode = 0
    policy.save("x x")
    with run(policy, environment=environment) as host:
        assert judged(host)[3] == 2


def test_state_in_the_folder_of_the_policy(policy):
    """What is kept there is not taken for a file of the policy."""
    with run(policy, environment={"MAILERQ_LUA_STATE_DIR": str(policy.folder)}) as host:
        wait_until(lambda: list(policy.folder.glob("last-known-good*.kept")), "the kept policy")
        policy.save(tag(2))
        reloaded(host)
        assert judged(host)[3] == 2 and "refused" not in host.stderr


def test_a_clean_stop_keeps_what_served_well(policy, tmp_path):
    folder, environment = state(tmp_path)
    with run(policy, environment=environment) as host:
        policy.save(tag(2))
        reloaded(host)
        assert judged(host)[3] == 2
    policy.save("x x")
    with run(policy, environment=environment) as host:
        assert judged(host)[3] == 2


def test_another_policy_has_its_own(policy, tmp_path):
    folder, environment = state(tmp_path)
    with run(policy, environment=environment) as host:
        judged(host)
    other = Policy(tmp_path / "other", "x x")
    host = Host(policy=str(other.path), environment=environment, start=False)
    with pytest.raises(AssertionError, match="no last-known-good policy either"):
        host.start()


def test_an_unwritable_state_folder_is_a_warning(policy, tmp_path):
    with run(policy, environment={"MAILERQ_LUA_STATE_DIR": str(tmp_path / "missing")}) as host:
        assert judged(host)[3] == 1
        host.wait_stderr("the last-known-good policy cannot be kept: ")


# ---- roll-back ----

FAILING = """
mq.on("smtp_in_mailfrom", function(connection) connection.transaction.vars.mailfrom = "bad" end)
mq.on("smtp_in_rcptto", function() local x = nil return x.y end)
mq.on("smtp_in_message", function(connection, message) message.json.versions = {"bad", "bad", "bad", "bad"} end)
"""


def mail_until(host, condition, what):
    wait_until(lambda: judged(host) and condition(), what)


def test_roll_back_on_error_rate(policy, tmp_path):
    folder, environment = state(tmp_path)
    with run(policy, environment=environment) as host:
        assert judged(host)[3] == 1
        policy.save(FAILING)
        reloaded(host)
        mail_until(host, lambda: "ROLLED BACK" in host.stderr, "the roll-back")
        reloaded(host, 2)
        assert generations(host) == [2, 3]
        assert judged(host) == [1, 1, 1, 1]
        policy.save(tag(2))
        reloaded(host, 3)
        policy.save(FAILING)
        assert "were rolled back before" in refused(host)
        assert judged(host)[3] == 2
    # it stays refused after a restart, until it changes
    with run(policy, environment=environment) as host:
        assert "was rolled back before the restart" in host.stderr and "RUNNING THE LAST-KNOWN-GOOD" in host.stderr
        assert judged(host)[3] in (1, 2)
        policy.save(FAILING + "-- changed")
        reloaded(host)
        assert judged(host)[3] == "bad"
    # or until the operator forgets it
    policy.save(FAILING)
    (folder / "refused").unlink()
    with run(policy, environment=environment) as host:
        assert judged(host)[3] == "bad"


def test_errors_as_usual_do_not_roll_back(policy):
    policy.save(FAILING)
    with run(policy, {"reload": {"quiet": 0.05, "poll": 0.2, "min_errors": 3}}) as host:
        for _ in range(6):
            judged(host)
        policy.save(FAILING + "-- changed")
        reloaded(host)
        for _ in range(6):
            judged(host)
        time.sleep(1)
        assert "ROLLED BACK" not in host.stderr and generations(host) == [2]


# ---- who may cause a roll-back ----

SENDERS = {"reload": {"quiet": 0.05, "poll": 0.2, "trial": 1.5}}

# Fails on senders that begin with "bad", and on the null sender.
PICKY = """
mq.on("smtp_in_mailfrom", function(connection, address)
  if address.localpart:sub(1, 3) == "bad" then error("bad sender") end
end)
mq.on("smtp_in_rcptto", function() end)"""


def transactions(host, ip, sender, count=1, commands=()):
    with Client(host.port, source=ip) as client:
        client.greet()
        for _ in range(count):
            client.command(f"MAIL FROM:<{sender}>")
            for command in commands:
                client.command(command)
            client.command("RSET")


def on_trial(policy, text, settings=SENDERS, **options):
    """A host with text as its second generation."""
    host = run(policy, settings, **options)
    policy.save(text)
    reloaded(host)
    return host


@pytest.mark.parametrize("sender", ["", "bad@example.org"])
@pytest.mark.parametrize("others", [1, 5])
def test_one_client_among_several_rolls_nothing_back(policy, sender, others):
    with on_trial(policy, PICKY) as host:
        for i in range(others):
            transactions(host, f"127.0.0.{10 + i}", "good@example.org")
        for _ in range(3):
            transactions(host, "127.0.0.2", sender, 40, ["RCPT TO:<a@example.com>"])
        host.wait_stderr("one client among several is no reason to roll back")
        transactions(host, "127.0.0.2", sender, 40)
        host.wait_stderr("generation 2, .{8} is the last-known-good policy now")
        assert "ROLLED BACK" not in host.stderr and generations(host) == [2]


def test_one_client_cannot_use_the_bad_luck_of_another(policy):
    with on_trial(policy, PICKY) as host:
        for i in range(4):
            transactions(host, f"127.0.0.{10 + i}", "good@example.org", 5)
        transactions(host, "127.0.0.10", "bad@example.org")
        transactions(host, "127.0.0.2", "bad@example.org", 100)
        time.sleep(1.2)
        assert "ROLLED BACK" not in host.stderr


def test_clients_are_remembered_from_the_trial_before(policy):
    """Whoever is first behind a reload is not the only one."""
    with on_trial(policy, tag(2)) as host:
        for i in range(3):
            transactions(host, f"127.0.0.{10 + i}", "good@example.org")
        policy.save(PICKY)
        reloaded(host, 2)
        transactions(host, "127.0.0.2", "bad@example.org", 50)
        host.wait_stderr("one client among several")
        assert "ROLLED BACK" not in host.stderr


def test_a_broken_policy_is_rolled_back_for_several_clients(policy):
    with on_trial(policy, PICKY) as host:
        for i in range(6):
            transactions(host, f"127.0.0.{10 + i}", "bad@example.org" if i < 4 else "good@example.org", 6)
        host.wait_stderr("transactions failed: ROLLED BACK")


def test_a_broken_policy_is_rolled_back_for_one_application(policy):
    """One connection, one failure for each transaction however many handlers failed."""
    text = 'for _, event in ipairs{"smtp_in_mailfrom", "smtp_in_rcptto"} do mq.on(event, function() error("x") end) end'
    with on_trial(policy, text) as host:
        transactions(host, "127.0.0.1", "a@example.org", 9, ["RCPT TO:<a@example.com>"] * 5)
        time.sleep(1)
        assert "ROLLED BACK" not in host.stderr, "nine transactions are fewer than min_errors"
        transactions(host, "127.0.0.1", "a@example.org", 3)
        host.wait_stderr("1[0-2] of 1[0-2] transactions failed: ROLLED BACK")


@pytest.mark.parametrize("wait, counts", [("mq.wait{mq.spawn(function() mq.sleep(60) end)}", False), ("mq.sleep(60)", True)])
def test_deadlines_of_waiting_for_others_do_not_count(policy, wait, counts):
    text = 'mq.on("smtp_in_mailfrom", function() %s end, {timeout = 0.01})' % wait
    with on_trial(policy, text) as host:
        transactions(host, "127.0.0.1", "a@example.org", 20)
        host.wait_stderr("ROLLED BACK" if counts else "generation 2, .{8} is the last-known-good policy now")
        assert counts == ("ROLLED BACK" in host.stderr)


# ---- what belongs to a policy ----

def test_what_nobody_requires_refuses_nothing(policy):
    (policy.folder / "broken.lua").write_text("this is no Lua")
    (policy.folder / "policy_test.lua").write_text("nor this (")
    os.mkfifo(policy.folder / "pipe.lua")
    with run(policy) as host:
        assert judged(host)[3] == 1
        policy.save(tag(2))
        reloaded(host)
        (policy.folder / "broken.lua").write_text("still none")
        policy.save("x = (", "policy_test.lua")
        time.sleep(0.5)
        assert generations(host) == [2] and "refused" not in host.stderr


LITERALS = {"call": 'require("%s")', "text": "require '%s'", "long": "require[==[%s]==]", "pcall": 'pcall(require, "%s")',
            "comment between": 'require --[[ x ]] ( -- y\n"%s")'}


@pytest.mark.parametrize("how", LITERALS)
def test_what_is_required_in_a_function_belongs_to_it(policy, how):
    """And what that requires, too; comments and texts require nothing."""
    code = tag(1) + '-- require "broken"\nlocal text = [[require "broken"]]\nlocal other = "require \'broken\'"\n'
    code += 'mq.on("smtp_in_message", function(connection, message) local rules = ' + LITERALS[how] % "lib.rules"
    code += ' message.json.rules = require("lib.rules")() end)'
    policy.save("-- (", "broken.lua")
    policy.save("return function() return require 'lib.deep' end", "lib/rules/init.lua")
    policy.save("return 'one'", "lib/deep.lua")
    (policy.folder / "broken.lua").write_text("(")
    policy.save(code)
    with run(policy) as host:
        judged(host)
        assert host.inbox(1)[0]["rules"] == "one"
        policy.save("return 'two'", "lib/deep.lua")
        reloaded(host)
        judged(host)
        assert host.inbox(2)[1]["rules"] == "two"
        policy.save("return (", "lib/deep.lua")
        assert "lib/deep.lua:1" in refused(host)


def wake_ups(host):
    """Of the thread that reloads, wherever the host runs its plugins."""
    children = pathlib.Path(f"/proc/{host.process.pid}/task/{host.process.pid}/children").read_text().split()
    for pid in [host.process.pid, *children]:
        for status in pathlib.Path(f"/proc/{pid}/task").glob("*/status"):
            text = status.read_text()
            if "mqlua-reload" in text:
                return sum(int(n) for n in re.findall(r"voluntary_ctxt_switches:\s*(\d+)", text)[:1])
    raise AssertionError("no such thread")


def test_files_written_beside_a_policy_cost_little(policy):
    with run(policy, {"reload": {"quiet": 0.05, "poll": 1}}) as host:
        time.sleep(0.5)
        before, begun, files = wake_ups(host), time.monotonic(), 0
        while files < 3000 or time.monotonic() - begun < 1:
            (policy.folder / f"message-{files}.eml").write_text("x")
            files += 1
        took = time.monotonic() - begun
        assert wake_ups(host) - before < 60 * took, (files, wake_ups(host) - before)
        policy.save(tag(2))
        for i in range(100):
            (policy.folder / f"log-{i}").write_text("x")
        reloaded(host)


def test_folders_in_circles_cost_nothing(policy):
    for i in range(9):
        (policy.folder / f"f{i}").mkdir()
        for j in range(8):
            (policy.folder / f"f{i}" / f"l{j}").symlink_to(f"../f{j}")
    started = time.monotonic()
    with run(policy) as host:
        policy.save(tag(2))
        reloaded(host)
    assert time.monotonic() - started < 15
    found = subprocess.run([PROGRAM, "check", policy.path], capture_output=True, text=True, timeout=20)
    assert found.returncode == 0, found


@pytest.mark.parametrize("name", ["refused", "refused.new", "kept", "kept.new"])
def test_a_pipe_in_the_state_folder_keeps_nobody_waiting(policy, tmp_path, name):
    """Neither the start, nor a roll-back, nor the end."""
    folder, environment = state(tmp_path)
    kept = "last-known-good" + str(policy.path).replace("/", "+") + ".kept"
    os.mkfifo(folder / name.replace("kept", kept))
    started = time.monotonic()
    with run(policy, environment=environment) as host:
        assert judged(host)[3] == 1
        policy.save(FAILING)
        reloaded(host)
        mail_until(host, lambda: "ROLLED BACK" in host.stderr, "the roll-back")
        reloaded(host, 2)
        assert judged(host)[3] == 1
    assert time.monotonic() - started < 20


SHARED = """
local first
local shared = {}
for i = 1, %d do shared[i] = {i} end
mq.on("smtp_in_connect", function(connection)
  connection.vars.table, connection.vars.own = shared, {"own"}
end)
mq.on("smtp_in_message", function(connection, message)
  local vars = connection.vars
  first = first or vars.table
  message.json.seen = {vars.own[1], vars.table and #vars.table or 0, vars.table == first}
end)
-- %s"""


@pytest.mark.parametrize("entries, moved", [(40000, 40000), (210000, 0)])
def test_one_table_of_many_connections_moves_once(policy, entries, moved):
    """What all connections share is copied once; what is too large is told once, and mail goes on."""
    policy.save(SHARED % (entries, "before"))
    with run(policy) as host:
        clients = [Client(host.port) for _ in range(250)]
        for client in clients:
            client.greet()
        policy.save(SHARED % (entries if moved else 1, "a comment"))
        reloaded(host)
        for client in clients:
            client.begin()
            client.expect("text\r\n.", 250)
            client.close()
        assert [item["seen"] for item in host.inbox(250)] == [["own", moved, True]] * 250
        log = host.stderr
        assert log.count("was lost on the way") == (0 if moved else 1)
        assert "rolled back" not in log and "ROLLED BACK" not in log
