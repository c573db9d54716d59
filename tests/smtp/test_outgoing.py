# SPDX-License-Identifier: MIT
"""smtp_out_data and smtp_out_sent: what can be read, written and waited for on the way out."""

import re

import pytest

from mqlua import MESSAGE
from probe import delivering
from sink import Sink

PAUSE = pytest.mark.parametrize("pause", ["", "mq.sleep(0.002) "], ids=["at-once", "after-sleep"])


def data(code, line=None, event="data", sink=None, count=1, **options):
    """Delivers one line through code in smtp_out_data; the results, the messages of the sink, and the log."""
    policy = f'mq.on("smtp_out_{event}", function(connection, message) {code} end)\n'
    with sink or Sink() as server, delivering(policy, [line or {}], sink=server, **options) as host:
        results = host.results(count)
    return results[0], server.messages, host.stderr


def log(text):
    return re.findall(r"<(.*)> \(generation 1\)", text)


def error(code, event="data", **options):
    _, _, text = data(f"mq.log.info('<%s>', tostring(select(2, pcall(function() {code} end))))", event=event, **options)
    return log(text)[0]


def last(result):
    return result["results"][-1]["result"]


def test_connection_fields():
    code = "mq.log.info('<%s %s %s %s>', connection.direction, connection.remote_ip, connection.is_secure, type(connection.remote_port))"
    assert log(data(code)[2]) == ["outgoing 127.0.0.1 false number"]


def test_connection_id_is_for_one_event():
    policy = """
    for _, event in ipairs{"data", "sent"} do
      mq.on("smtp_out_" .. event, function(connection)
        local id = connection.id
        if event == "data" then mq.sleep(0.001) end
        mq.log.info("<%s %s>", id, id == connection.id)
      end)
    end"""
    with Sink() as sink, delivering(policy, [{}, {}], "--out-connections", 1, sink=sink) as host:
        host.results(2)
        host.wait_stderr("<.* true>", 4)
    ids = [line.split()[0] for line in log(host.stderr)]
    assert len(set(ids)) == 4 and all(re.fullmatch(r"[1-9]-[0-9a-f]+", one) for one in ids)


@pytest.mark.parametrize("field", ["vars", "transaction", "login", "is_authenticated"])
def test_what_outgoing_connections_do_not_have(field):
    assert "for incoming connections only" in error(f"return connection.{field}")


@PAUSE
@pytest.mark.parametrize("api", ["address", "string"])
def test_reading(api, pause):
    code = pause + "mq.log.info('<%s %s %s %s>', message.envelope.email, message.recipient.domain, #message.mime, message.json.extra[2])"
    _, _, text = data(code, {"extra": [1, 2]}, knobs={"recipient": api}, settings={"host": {"address_api": api}})
    assert log(text) == [f"from@sender.example recipient.example {len(MESSAGE)} 2"]


@PAUSE
def test_mime_may_be_set(pause):
    result, messages, _ = data(pause + "message.mime = 'Subject: new\\r\\n\\r\\n.dot\\r\\n'")
    assert messages[0].data == b"Subject: new\r\n\r\n.dot\r\n"
    assert last(result) == "accepted"


def test_mime_that_was_set_is_what_is_read():
    code = "message.mime = 'Subject: new\\r\\n\\r\\nx\\r\\n' mq.log.info('<%s>', message:header('subject'))"
    assert log(data(code)[2]) == ["new"]


def test_the_next_handler_reads_the_mime_of_the_one_before():
    policy = """
    mq.on("smtp_out_data", function(_, message) message.mime = "Subject: new\\r\\n\\r\\nx\\r\\n" end)
    mq.on("smtp_out_data", function(_, message) mq.log.info("<%s>", message:header("subject")) end)
    """
    with Sink() as sink, delivering(policy, [{}], sink=sink) as host:
        host.results(1)
    assert log(host.stderr) == ["new"]


@PAUSE
def test_json_goes_to_the_result(pause):
    result, _, _ = data(pause + "message:tag('out') message.json.note = {a = mq.array{}}")
    assert result["tags"] == ["out"] and result["note"] == {"a": []}


@pytest.mark.parametrize("code", ["message.recipient = 'a@b.example'", "message.json.recipient = 'a@b.example'",
                                  "message.envelope = 'a@b.example'", "message.json.envelope = nil"])
def test_sender_and_recipient_are_past(code):
    assert "cannot be changed in smtp_out_data" in error(code)


@pytest.mark.parametrize("code", ["message.mime = 'A: b\\r\\n\\r\\n'", "message.json.x = 1", "message:tag('x')",
                                  "message.recipient = 'a@b.example'", "message:add_header('X', 'y')"])
def test_nothing_can_be_written_when_it_was_sent(code):
    assert "nothing can be written in smtp_out_sent" in error(code, event="sent")


def test_nested_writes_when_it_was_sent_raise_as_well():
    result, _, text = data("message.json.data.x = 2", {"data": {"x": 1}}, event="sent")
    assert result["data"] == {"x": 1}
    assert "nothing can be written in smtp_out_sent" in text


def test_is_local_has_no_meaning():
    assert "no meaning on outgoing mail" in error("return message.is_local")


def test_bad_mime_is_refused():
    assert error("message.mime = 'no header'") != "nil"


def test_message_is_over_when_sent_handler_waits():
    code = "mq.sleep(0.01) mq.log.info('<%s>', select(2, pcall(function() return message.json end)))"
    policy = f'mq.on("smtp_out_sent", function(connection, message) {code} end)\n'
    with Sink() as sink, delivering(policy, [{}], sink=sink) as host:
        host.wait_stderr("message is over>")
        assert last(host.results(1)[0]) == "accepted"


def test_sent_is_not_yet_accepted():
    result, _, text = data("mq.log.info('<sent>')", event="sent", sink=Sink({"MESSAGE": "550 5.7.1 No"}))
    assert log(text) == ["sent"] and last(result) != "accepted"


def test_verdict_at_sent_is_ignored():
    result, _, text = data("return ({mq.reject()})[1]", event="sent")
    assert last(result) == "accepted"
    assert "a verdict was ignored: mq.reject cannot be returned from smtp_out_sent" in text


def test_deadline_of_outgoing_events():
    result, messages, text = data("message:tag('x') mq.sleep(60)", settings={"deadline": {"outgoing": 0.1}})
    assert last(result) == "accepted" and "tags" not in result and messages[0].data == MESSAGE
    assert "the deadline passed while the handler was waiting" in text


@pytest.mark.parametrize("disconnect", ["close-during-pause", "close-after-handback"])
def test_remote_closes_while_a_handler_waits(disconnect):
    policy = """
    mq.on("smtp_out_data", function(_, message)
      mq.log.info("<waits>")
      mq.sleep(0.4)
      message:tag("late")
      mq.log.info("<went on>")
    end)"""
    with Sink() as sink, delivering(policy, [{}], sink=sink, knobs={"disconnect": disconnect}) as host:
        host.wait_stderr("<waits>")
        sink.hang_up()
        assert last(host.results(1)[0]) != "accepted"


@PAUSE
@pytest.mark.parametrize("verdict", ["done", "complete", "rerun"])
def test_verdicts(verdict, pause):
    result, messages, text = data(pause + f"mq.log.info('<called>') return mq.{verdict}()")
    assert last(result) == "accepted" and len(messages) == 1
    assert log(text) == ["called"] * (2 if verdict == "rerun" else 1)


def test_many_deliveries_that_wait():
    policy = 'mq.on("smtp_out_data", function(_, message) mq.sleep(0.02) message:tag("x") end)\n'
    with Sink() as sink, delivering(policy, [{"n": n} for n in range(100)], "--out-connections", 20, sink=sink, workers=2) as host:
        results = host.results(100)
    assert sorted(result["n"] for result in results) == list(range(100))
    assert all(result["tags"] == ["x"] and last(result) == "accepted" for result in results)
