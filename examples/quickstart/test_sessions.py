# SPDX-License-Identifier: MIT
"""The sessions of quickstart.sh run to their end, and --serve goes on until it is told to stop."""

import pathlib
import re
import smtplib
import subprocess
import sys
import threading

SESSIONS = pathlib.Path(__file__).resolve().parent / "sessions.py"


def test_sessions():
    done = subprocess.run([sys.executable, SESSIONS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n== ") == 7 and done.stdout.endswith("All is well.\n")
    # The refused recipient, with the session's end and without it.
    assert re.findall(r"^ +(550 5.1.1|421) ", done.stdout, re.MULTILINE) == ["550 5.1.1", "421", "550 5.1.1"]
    assert done.stdout.count('"recipient": "kim@example.com"') == 3


def test_serve():
    with subprocess.Popen([sys.executable, SESSIONS, "--serve"], stdout=subprocess.PIPE, text=True) as process:
        bound = threading.Timer(120, process.kill)
        bound.start()
        try:
            lines = iter(process.stdout.readline, "")
            port = next(int(found[1]) for found in map(re.compile(r"The host goes on at 127.0.0.1:(\d+)").match, lines)
                        if found)
            with smtplib.SMTP("127.0.0.1", port, timeout=60) as smtp:
                smtp.sendmail("you@example.org", ["jane@example.com"], b"Subject: served\r\n\r\nHello\r\n")
            assert any("message      to jane@example.com: tag inbound" in line for line in lines)
            process.terminate()  # SIGINT may be ignored where tests run in the background
            assert "All is well." in "".join(lines)
            assert process.wait(60) == 0
        finally:
            bound.cancel()
            process.kill()
