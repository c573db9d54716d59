# SPDX-License-Identifier: MIT
"""The comparison is fair only when the policy in C does what the one in Lua does."""

import argparse
import json
import pathlib
import shutil
import subprocess
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


def test_a_policy_that_does_not_load_is_not_measured(tmp_path):
    (tmp_path / "policy.lua").write_text('mq.on("smtp_in_connect"\n', encoding="utf-8")
    (tmp_path / "mail.json").write_text("[]", encoding="utf-8")
    done = subprocess.run([sys.executable, str(POLICY.parent.parent / "run.py"), "--policy", str(tmp_path / "policy.lua"),
                           "--only", "empty"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "policy.lua:" in done.stderr and "nothing was measured" in done.stderr
