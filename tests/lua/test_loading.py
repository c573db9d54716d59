# SPDX-License-Identifier: MIT
"""What a policy does at its top level happens in every state, also in that of initialize, which has no loop."""

import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "smtp"))

from mqlua import PROGRAM, Host  # noqa: E402

POLICY = r"""
mq.every(3600, function() end, { scope = "process" })
mq.after(0.01, function() mq.log.info("after ran") end)
mq.spawn(function() mq.log.info("spawned ran") end)
mq.on("initialize", function()
  local ok, message = pcall(mq.after, 0, function() end)
  mq.log.info("initialize ran: %s", message)
end)
"""


def test_timers_and_tasks_at_load():
    with Host(policy=POLICY) as host:
        host.wait_stderr("after ran")
        host.wait_stderr("spawned ran")
        host.stop()
        assert "initialize ran: mq.after is not available here" in host.stderr
        assert "[Critical]" not in host.stderr


def test_print_names_the_place_of_its_caller():
    with Host(policy='\nprint("here", 1, nil)\n') as host:
        assert "policy.lua:2: here 1 nil (generation 1)" in host.stderr


@pytest.fixture
def somebody():
    """Arguments of subprocess.run for a user who may not read everything."""
    who = {"user": 65534, "group": 65534, "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        subprocess.run([PROGRAM, "version"], check=True, capture_output=True, **who)
    except (PermissionError, subprocess.CalledProcessError):
        pytest.skip("another user may not run the program here")
    return who


@pytest.fixture
def open_folder():
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield pathlib.Path(name)


def test_a_folder_that_may_not_be_read(somebody, open_folder):
    """It is nobody's business before something in it is required; then the reason is told."""
    private = open_folder / "private"
    private.mkdir()
    (private / "rules.lua").write_text("return 1")
    policy = open_folder / "policy.lua"
    policy.write_text("")
    os.chmod(private, 0)
    try:
        command = [PROGRAM, "check", policy]
        assert subprocess.run(command, capture_output=True, **somebody).returncode == 0
        policy.write_text("require('private.rules')")
        found = subprocess.run(command, capture_output=True, text=True, **somebody)
        assert found.returncode == 1
        assert "policy.lua requires 'private.rules'" in found.stderr and "rules.lua: Permission denied" in found.stderr
    finally:
        os.chmod(private, 0o755)
