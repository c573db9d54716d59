# SPDX-License-Identifier: MIT
"""A Postfix of our own: its folders, its ports, its log; nothing of the system's Postfix is used or touched.

    with Postfix(relay={"one.example": ("127.0.0.1", 2525)}) as postfix:
        postfix.send("sender@example.org", ["a@one.example"], b"Subject: x\\r\\n\\r\\nText\\r\\n")
        [delivery] = postfix.wait_deliveries("a@one.example", 1)
        assert delivery.status == "sent"

Mail that comes in on postfix.port is relayed by the table relay: with TLS and PIPELINING where they are offered, but
in plain text and command by command for a domain that begins with "lockstep". What was deferred is tried again about
a second later. Everything else, bounces among it, is thrown away. Needs root, as Postfix does.
"""

import collections
import os
import pathlib
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile

import pytest

from mqlua import TIMEOUT, wait_until

DAEMONS = pathlib.Path("/usr/lib/postfix/sbin")

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
daemon_directory = {daemons}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.example
mydestination =
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
smtp_host_lookup = native
transport_maps = inline:{{ {relay} }}
default_transport = discard
# what was deferred is soon tried again (what is found locked then goes to incoming, so the queue manager wakes up
# each second too), and a failure says nothing about the next message
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
default_destination_concurrency_failed_cohort_limit = 0
smtp_connection_cache_on_demand = no
smtp_tls_security_level = may
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/tls.pem
message_size_limit = 20000
smtpd_delay_reject = no
smtpd_peername_lookup = no
smtpd_sender_restrictions = check_sender_access inline:{{ {refusals} }}
smtpd_recipient_restrictions = check_recipient_access inline:{{ {refusals} }}, permit_mynetworks, reject
smtpd_relay_restrictions = permit_mynetworks, reject
"""

MASTER = """
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
lockstep unix - - n - - smtp
  -o smtp_discard_ehlo_keywords=pipelining -o smtp_tls_security_level=none
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

# Of the queue; who owns it and what may be done there, as Postfix's own set-up makes it.
FOLDERS = {name: ("postfix", None, 0o700) for name in
           ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")}
FOLDERS.update(pid=("root", None, 0o755), public=("postfix", "postdrop", 0o710), maildrop=("postfix", "postdrop", 0o730))

Delivery = collections.namedtuple("Delivery", "recipient relay dsn status text")

LINE = re.compile(r"postfix/\w+\[\d+\]: (\w+): to=<([^>]*)>,.* relay=([^,]*),.* dsn=([\d.]+), status=(\w+) \((.*)\)$",
                  re.MULTILINE)


def missing():
    """Why Postfix cannot run here; None when it can."""
    if not (DAEMONS / "master").exists():
        return "Postfix is not installed (tests/install.sh test)"
    if os.geteuid() != 0:
        return "Postfix runs only as root"
    return None


needed = pytest.mark.skipif(missing() is not None, reason=str(missing()))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def certificate(path):
    """Key and certificate in one file."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=postfix.example", "-keyout", path, "-out", f"{path}.crt"],
                   check=True, capture_output=True)
    path.write_text(path.read_text() + pathlib.Path(f"{path}.crt").read_text())


class Postfix:
    """relay: domain to (address, port). refusals: address to what smtpd says to it as sender or recipient."""

    def __init__(self, relay=None, refusals=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mqlua-postfix-"))
        self.folder.chmod(0o755)
        self.port = free_port()
        self._make_folders()
        certificate(self.folder / "tls.pem")
        config = self.folder / "config"
        config.mkdir()
        (config / "main.cf").write_text(MAIN.format(
            folder=self.folder, daemons=DAEMONS,
            relay=", ".join(f"{{ {domain} = {'lockstep' if domain.startswith('lockstep') else 'smtp'}:[{host}]:{port} }}"
                            for domain, (host, port) in (relay or {}).items()) or "none.example=discard:",
            refusals=", ".join(f"{{ {address} = {answer} }}" for address, answer in (refusals or {}).items())
            or "none.example=DUNNO"))
        (config / "master.cf").write_text(MASTER.format(port=f"127.0.0.1:{self.port}"))
        self.process = None

    def _make_folders(self):
        for name, (user, group, mode) in FOLDERS.items():
            path = self.folder / "queue" / name
            path.mkdir(parents=True)
            shutil.chown(path, user, group)
            path.chmod(mode)
        (self.folder / "data").mkdir(mode=0o700)
        shutil.chown(self.folder / "data", "postfix")

    def __enter__(self):
        # -d: in the foreground, so that its pid is the one we end; it leads a process group of its own.
        # -e: it ends in any case, should this process be killed.
        self.process = subprocess.Popen([DAEMONS / "master", "-d", "-e", "1200", "-c", self.folder / "config"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        start_new_session=True)
        try:
            wait_until(self._answers, "Postfix to listen")
        except BaseException:
            self.close()
            raise
        return self

    def _answers(self):
        assert self.process.poll() is None, f"Postfix ended:\n{self.process.stderr.read().decode()}\n{self.log}"
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=TIMEOUT) as smtp:
                return smtp.noop()[0] == 250
        except OSError:
            return False

    def __exit__(self, kind, *_):
        if kind is not None:
            print(f"--- log of Postfix ---\n{self.log}")
        self.close()

    def close(self):
        """Ends it with all its daemons, and removes its folders."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(TIMEOUT)
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def log(self):
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def send(self, sender, recipients, message):
        """Puts one message into its queue."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=TIMEOUT) as smtp:
            assert smtp.sendmail(sender, recipients, message) == {}

    def deliveries(self, recipient):
        """What came of each attempt for that recipient, oldest first."""
        return [Delivery(*found[1:]) for found in LINE.findall(self.log) if found[1] == recipient]

    def wait_deliveries(self, recipient, count=1, status=None):
        """Waits for so many attempts, those with that status only if it is given; returns all attempts."""
        def enough():
            all_of_them = self.deliveries(recipient)
            return sum(status in (None, one.status) for one in all_of_them) >= count and all_of_them
        return wait_until(enough, f"{count} deliveries to {recipient}:\n{self.log}")
