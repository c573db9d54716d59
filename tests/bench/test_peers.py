# SPDX-License-Identifier: MIT
"""The comparison is fair only when the policy in C does what the one in Lua does."""

import argparse
import json
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import peers  # noqa: E402
import run  # noqa: E402

POLICY = pathlib.Path(__file__).with_name("policy") / "policy.lua"
SAME = ["envelope", "recipient", "tags", "pool", "dsn", "mailerq-lua"]


def published(start):
    inbox = peers.WORK / "inbox.json"
    inbox.unlink(missing_ok=True)
    with start(inbox) as server:
        peers.Mail(POLICY.with_name("mail.json")).send(server.port, 10, sessions=1)
    lines = inbox.read_text(encoding="utf-8").splitlines()
    return [{key: message.get(key) for key in SAME} for message in map(json.loads, lines)]


@pytest.mark.skipif(not shutil.which("smtp-source", path="/usr/sbin:/usr/bin"), reason="needs Postfix's smtp-source")
def test_same_policy():
    peers.WORK.mkdir(parents=True, exist_ok=True)
    library = run.compile_policy(argparse.Namespace(policy=POLICY))
    in_lua = published(lambda inbox: peers.lua(POLICY, name="same-lua", inbox=inbox))
    in_c = published(lambda inbox: peers.mqlua("same-c", library, POLICY, inbox=inbox))
    assert in_lua == in_c
    assert len(in_lua) == 10
    assert {message["pool"] for message in in_lua} == {"newsletter", "bulk", None}
