# SPDX-License-Identifier: MIT
"""What one handler may write: a graph of Lua values is a tree in JSON, and the host's memory holds it."""

import re

import pytest

from mqlua import MESSAGE, Host

POLICY = """
mq.on("smtp_in_message", function(connection, message)
  message.json.first = "kept"
end)
mq.on("smtp_in_message", function(connection, message)
  local json = message.json
  message:tag("written")
  json.data = mq.object()
  %s
end)
mq.on("smtp_in_message", function(connection, message) message.json.last = "kept" end)
"""

DOUBLED = "local t = {1} for i = 1, 40 do t = {t, t} end "
MUCH = "local text = ('x'):rep(30 * 1024 * 1024) "
VALUES, BYTES = "more than 200000 values at once", "more than 65536 KB of text at once"


@pytest.mark.parametrize("code, error", [
    (DOUBLED + "json.data.x = t", VALUES),
    (DOUBLED + "json.x = t", VALUES),
    ("local l = {} for i = 1, 2000 do l[i] = 's' .. i end for i = 1, 500 do json.data['k' .. i] = l end", VALUES),
    (MUCH + "for i = 1, 30 do json['k' .. i] = text end", BYTES),
    (MUCH + "for i = 1, 30 do json.data['k' .. i] = text end", BYTES),
], ids=["doubled", "at once", "lists", "texts", "texts inside"])
def test_too_much_is_a_failure_of_the_handler(code, error):
    with Host(policy=POLICY % code, settings={"budget": 2}, knobs={"blocking": "off"}) as host:
        assert host.send() == {}
        message = host.inbox(1)[0]
        host.wait_stderr(re.escape(error))
        assert message["first"] == message["last"] == "kept"
        assert "tags" not in message and "data" not in message and "k1" not in message
        peak = host.peak()
        assert peak < 700, f"{peak} MB"


def test_large_mail_passes():
    code = """
    message.mime = message.mime .. ("x"):rep(50 * 1024 * 1024 - 2) .. "\\r\\n"
    message:add_header("X-Large", "yes")
    json.data = nil
    """
    with Host(policy=POLICY % code, settings={"budget": 10, "memory": "512MB"},
              knobs={"blocking": "off"}) as host:
        assert host.send(message=MESSAGE) == {}
        message = host.inbox(1)[0]
        assert message["tags"] == ["written"] and message["headers"] == {"append": {"X-Large": "yes"}}
        assert len(message["mime"]) > 50 * 1024 * 1024
