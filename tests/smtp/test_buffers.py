# SPDX-License-Identifier: MIT
"""Buffers: the chunks of smtp_in_data under every reading of the documentation, and message.mime."""

import pytest

from mqlua import MESSAGE
from probe import Probe

BODY = MESSAGE + b".one dot\r\n" + b"x" * 3000 + b"\r\nend\r\n"


@pytest.fixture(scope="module")
def probe():
    with Probe() as host:
        yield host


CHUNKS = """
local vars = connection.transaction.vars
vars.size, vars.calls = (vars.size or 0) + #chunk, (vars.calls or 0) + 1
vars.text = (vars.text or "") .. tostring(chunk)
%s
"""
SHOW = "local v = connection.transaction.vars show(v.size, v.calls, v.text:sub(-5), #v.text)"


@pytest.mark.parametrize("pause", ["", "mq.sleep(0.001)"], ids=["at-once", "after-sleep"])
@pytest.mark.parametrize("data, calls", [("whole", 1), ("chunks:1000", 4), ("chunks:100", 30), ("at-command", 1)])
def test_chunks(data, calls, pause):
    with Probe(knobs={"data": data}) as host:
        trial = host.run(mime=BODY.replace(b"\r\n.one", b"\r\n..one"), data=CHUNKS % pause, message=SHOW)
        [[size, seen, end, length]] = trial.wait_shown()
    assert size == length
    if data == "at-command":
        assert (size, seen) == (0, 1)
    else:
        assert seen >= calls and size >= len(BODY) and end == "end\r\n"


@pytest.mark.parametrize("knob", ["on", "off"])
def test_chunks_with_and_without_dot_stuffing(knob):
    with Probe(knobs={"data": "whole", "data-unstuffed": knob}) as host:
        trial = host.run(mime=BODY.replace(b"\r\n.one", b"\r\n..one"), data="show(#chunk, chunk:find('%.one') ~= nil)")
        [[_, found]] = trial.wait_shown()
    assert found


def test_chunk_is_copied_when_the_task_parks():
    with Probe(knobs={"data": "whole"}) as host:
        code = "local before = tostring(chunk) mq.sleep(0.01) show(tostring(chunk) == before, #chunk == #before)"
        assert host.shown(data=code) == [True, True]


def test_chunk_kept_beyond_its_event():
    with Probe(knobs={"data": "whole"}) as host:
        message = host.error(data="mq.after(0.02, function() raises(function() return #chunk end) end)")
    assert message != "NO ERROR"


METHODS = [
    ("#chunk > 3000", True),
    ("chunk:sub(1, 7)", "X-Trial"),
    ("chunk:sub(-5)", "end\r\n"),
    ("chunk:byte(1)", 88),
    ("chunk:find('Subject', 1, true) ~= nil", True),
    ("chunk:find('nowhere', 1, true)", None),
    ("chunk:match('Subject: (%a+)')", "test"),
    ("chunk:lower():sub(1, 7)", "x-trial"),
    ("tostring(chunk):sub(1, 7)", "X-Trial"),
    ("(function() local n = 0 for name in chunk:gmatch('\\n(%u%a+): ') do n = n + 1 end return n end)()", 3),
    ("select(3, chunk:find('(Te)xt'))", "Te"),
    ("#chunk:sub(5, 4)", 0),
]


@pytest.mark.parametrize("code, value", METHODS)
@pytest.mark.parametrize("event", ["data", "message"])
def test_methods(probe, event, code, value):
    prefix = "local chunk = message.mime " if event == "message" else "if #chunk < 3000 then return end "
    with_whole = probe if event == "message" else whole()
    assert with_whole.run(mime=BODY, **{event: f"{prefix} show(({code}))"}).wait_shown()[0] == [value]


_whole = []


def whole():
    if not _whole:
        _whole.append(Probe(knobs={"data": "whole"}))
    return _whole[0]


@pytest.fixture(scope="module", autouse=True)
def stop_whole():
    yield
    for host in _whole:
        with host:
            pass


def test_unknown_field(probe):
    assert "buffer has no field 'fnid' (did you mean 'find'?)" in probe.error(message="raises(function() return message.mime:fnid('x') end)")


def test_pattern_that_is_malformed(probe):
    assert "malformed pattern" in probe.error(message="raises(function() return message.mime:find('[a') end)")


def test_old_buffer_after_a_new_value(probe):
    code = "local old = message.mime message.mime = 'A: b\\r\\n\\r\\nnew\\r\\n' show(tostring(message.mime), #old > 0) "
    assert probe.shown(message=code) == ["A: b\r\n\r\nnew\r\n", True]


def test_old_buffer_after_the_commit():
    policy = """
    local old
    mq.on("smtp_in_message", function(_, message) old = message.mime message.mime = "A: b\\r\\n\\r\\nnew\\r\\n" end)
    mq.on("smtp_in_message", function(_, message)
      mq.log.info("<%s|%s>", pcall(function() return #old end), #message.mime)
    end)
    """
    from mqlua import Host
    with Host(policy=policy) as host:
        host.send()
        host.wait_stderr("<false|13>".replace("|", r"\|"))


def test_bytes_that_are_not_utf8(probe):
    trial = probe.run(mime=b"Subject: \xe4\xff\r\n\r\n\x80\r\n", message="show(message.mime:byte(-3), #message.mime:match('\\n\\n*.+'))")
    assert trial.wait_shown()[0][0] == 0x80


def test_large_message(probe):
    trial = probe.run(mime=b"Subject: x\r\n\r\n" + (b"y" * 70 + b"\r\n") * 50000,
                      message="show(#message.mime > 3600000, message.mime:find('nowhere', 1, true), message.mime:sub(-3, -3))")
    assert trial.wait_shown() == [[True, None, "y"]]
