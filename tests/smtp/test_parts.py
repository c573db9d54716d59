# SPDX-License-Identifier: MIT
"""message:parts() in a host: on the worker, on a helper thread, and when the client leaves meanwhile."""

import base64
import pathlib

from mqlua import Host, wait_until

SMALL = (b"Subject: =?utf-8?q?gr=C3=BCn?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\n"
         b"Content-Type: application/x; NAME*=utf-8''a%2eexe\r\n\r\ntwo\r\n--b--\r\n")

POLICY = """
mq.on("smtp_in_message", function(connection, message)
  local mail = assert(message:parts())
  local names, sizes = mq.array({}), mq.array({})
  for i, part in ipairs(mail) do
    sizes[i] = part.size
    names[#names + 1] = part.filename
  end
  message.json.data = { subject = mail.subject, names = names, sizes = sizes, text = #(mail.text or "") }
end)
"""


def large(size):
    text = ("gr\u00fcn " * 15 + "\r\n").encode("latin-1") * (size // 90)
    encoded = base64.encodebytes(b"x" * size).replace(b"\n", b"\r\n")
    return (b"Subject: large\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
            + b"--b\r\nContent-Type: text/plain; charset=latin1\r\n\r\n" + text
            + b"--b\r\nContent-Disposition: attachment; filename=a.bin\r\n"
            + b"Content-Transfer-Encoding: base64\r\n\r\n"
            + encoded + b"--b--\r\n")


def processes(host):
    """The host may run in a child, as with a sanitizer."""
    folder = pathlib.Path(f"/proc/{host.process.pid}")
    children = [child for path in folder.glob("task/*/children") for child in path.read_text().split()]
    return [folder, *(pathlib.Path(f"/proc/{child}") for child in children)]


def threads(host):
    return [path.read_text().strip() for process in processes(host) for path in process.glob("task/*/comm")]


def maps(host):
    return "".join((process / "maps").read_text() for process in processes(host))


def test_small_and_large():
    """GLib comes with the first message that is taken apart, a helper thread with the first large one."""
    with Host(policy=POLICY) as host:
        assert "libglib" not in maps(host)
        host.send(recipients=["one@example.com"], message=SMALL)
        host.inbox(1)
        assert "libglib" in maps(host) and "mqlua-helper" not in threads(host)
        host.send(recipients=["two@example.com"], message=large(2000000))
        found = {one["recipient"]: one["data"] for one in host.inbox(2)}
        assert "mqlua-helper" in threads(host)
        assert found["one@example.com"] == {"subject": "gr\u00fcn", "names": ["a.exe"], "sizes": [3, 3], "text": 3}
        assert found["two@example.com"]["sizes"][1] == 2000000 and found["two@example.com"]["text"] > 2000000


def test_clients_that_leave():
    """The bytes of a message end with its client, the work of the helper goes on for a while."""
    with Host(policy=POLICY) as host:
        mail = large(1000000)
        for n in range(10):
            with host.client() as client:
                client.greet()
                client.begin(recipients=[f"n{n}@example.com"])
                client.send(mail + b".\r\n")
        host.send(recipients=["last@example.com"], message=SMALL)
        wait_until(lambda: any(one["recipient"] == "last@example.com" for one in host.inbox()), "the last one")
        assert "Traceback" not in host.stderr and "stack traceback" not in host.stderr


def test_what_is_not_taken_apart(tmp_path):
    """A limit is no error of the policy, and not silence either."""
    policy = """
    mq.on("smtp_in_message", function(connection, message)
      local mail, text, code = message:parts()
      message.json.data = { mail = mail ~= nil, text = text, code = code }
    end)
    """
    with Host(policy=policy, settings={"mime": {"parts": 2}}) as host:
        host.send(message=SMALL)
        [one] = wait_until(host.inbox, "the message")
        assert one["data"] == {"mail": False, "code": "limit",
                               "text": "the message has more than 2 parts (mime.parts in the settings)"}


EDITS = """
mq.on("smtp_in_message", function(connection, message)
  local mail = message:parts()
  mail[2]:remove()
  assert(mail:append_text("footer\\n"))
  assert(tostring(message.mime) == tostring(mail))
  message.json.data = { names = #message:parts().attachments, kind = type(mail[1].text) }
  if connection.vars.fail then error("no") end
end)
"""


def test_edits_are_staged():
    """They reach the host with the other writes of the handler."""
    mail = SMALL.replace(b"\r\none\r\n", b"\r\none\r\ntwo\r\n")
    with Host(policy=EDITS) as host:
        host.send(message=mail)
        [one] = host.inbox(1)
        assert one["mime"] == (mail.decode().replace("two\r\n", "two\r\nfooter\r\n\r\n", 1)
                               .replace("--b\r\nContent-Type: application/x; NAME*=utf-8''a%2eexe\r\n\r\ntwo\r\n", ""))
        assert one["data"] == {"names": 0, "kind": "string"}


def test_edits_that_fail_are_dropped():
    with Host(policy=EDITS.replace("connection.vars.fail", "true")) as host:
        host.send(message=SMALL)
        [one] = host.inbox(1)
        assert one["mime"] == SMALL.decode() and "data" not in one
