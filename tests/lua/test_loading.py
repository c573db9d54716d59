# SPDX-License-Identifier: MIT
"""What a policy does at its top level happens in every state, also in that of initialize, which has no loop."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "smtp"))

from mqlua import Host  # noqa: E402

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
