# SPDX-License-Identifier: MIT
"""What cmake --install puts where, and that it works from there."""

import os
import pathlib
import re
import subprocess

import pytest

import mqlua
from mqlua import BUILD, ROOT, Host

PREFIX = "usr/local"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The prefix below a DESTDIR."""
    folder = tmp_path_factory.mktemp("installed")
    subprocess.run(["cmake", "--install", BUILD, "--prefix", f"/{PREFIX}"], env={**os.environ, "DESTDIR": str(folder)},
                   check=True, capture_output=True)
    return folder / PREFIX


def run(installed, *arguments):
    return subprocess.run([installed / "bin" / "mqlua", *arguments], capture_output=True, text=True, timeout=60)


def test_version(installed):
    done = run(installed, "version")
    assert done.returncode == 0 and re.match(r"mqlua \d+\.\d+\.\d+, ", done.stdout)


def test_plugins_lie_together_and_only_there(installed):
    """Not where a MailerQ looks for plugins: it would load both."""
    assert sorted(path.relative_to(installed).as_posix() for path in installed.rglob("*.so")) == [
        "lib/mailerq-lua/mailerq-lua-noauth.so", "lib/mailerq-lua/mailerq-lua.so", "lib/mailerq-lua/modules/mime.so"]


def test_examples_are_complete(installed):
    examples = installed / "share/doc/mailerq-lua/examples"
    policies = sorted(examples.glob("*/policy.lua"))
    assert {path.parent.name for path in policies} == {
        path.parent.name for path in (ROOT / "examples").glob("*/policy.lua")} - {"quickstart"}
    for policy in policies:
        settings = policy.with_name("settings.json")
        options = ["--settings", settings] if settings.exists() else []
        done = run(installed, "check", *options, policy)
        assert done.returncode == 0 and ": fine (" in done.stdout, done.stdout + done.stderr
        assert policy.with_name("README.md").exists()
    assert not list(examples.rglob("*.py"))


@pytest.mark.parametrize("knobs", [{"api": "5.6.5"}, {"api": "5.0"}])
def test_it_runs(installed, knobs, monkeypatch):
    """Finds its plugin, and the other programs, from where it is linked."""
    monkeypatch.setattr(mqlua, "PROGRAM", installed / "bin" / "mqlua")
    policy = 'mq.on("smtp_in_message", function(connection, message) message:tag("here") end)\n'
    with Host(policy=policy, knobs=knobs, settings={"host": {"json_library": "fastjson"}}) as host:
        host.send()
        assert host.inbox(1)[0]["tags"] == ["here"]


def test_documents(installed):
    """Every path below the prefix that the documents name is there."""
    named = set()
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        named |= set(re.findall(rf"/{PREFIX}/((?:bin|lib|share)/[\w./*-]+)", path.read_text()))
    assert named
    assert [name for name in sorted(named) if not list(installed.glob(name.rstrip("/.")))] == []
    assert {path.name for path in (installed / "share/doc/mailerq-lua/docs").iterdir()} == {
        path.name for path in (ROOT / "docs").iterdir()}
    assert (pathlib.Path(installed) / "share/mailerq-lua/lua/mq/_meta/mq.lua").exists()
