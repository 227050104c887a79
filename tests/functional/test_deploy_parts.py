"""Who deploys a lot leaves room for others: uploads on their way, and deployments that wait, have a part for each organisation."""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import signal

import pytest
import requests

from ebb_node import PATIENCE, eventually, read_response, resident_bytes

MIB = 1 << 20
PER_OWNER = 256 * MIB  # limits::kUploadBytesPerOwner
WAITING = 4  # limits::kDeploymentsWaitingPerOwner
SOURCE = "def handler(event, context):\n    return 'here'\n"


@pytest.fixture
def keys(fresh_node):
    """{organisation: a key that deploys its apps}; of `acme` two."""
    for name in ("acme", "globex"):
        fresh_node.cli("org", "create", name)
    made = {name: fresh_node.cli_json("key", "create", "--role", "deploy", "--org", name)["key"] for name in ("acme", "globex")}
    made["acme again"] = fresh_node.cli_json("key", "create", "--role", "deploy", "--org", "acme")["key"]
    return made


def send(connection, data):
    """What is refused may be answered, and its connection closed, before all of it was sent."""
    with contextlib.suppress(ConnectionError):
        connection.sendall(data)


def begin_upload(node, key, size):
    """An upload of which only the last byte is missing."""
    connection = node.connect()
    connection.settimeout(60 * PATIENCE)
    connection.sendall(f"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: {size}\r\n\r\n".encode())
    for _ in range(size // MIB):
        send(connection, bytes(MIB - 1 if _ == 0 else MIB))
    return connection


def uploaded(node, key, size):
    """The status that a whole upload is answered with."""
    with begin_upload(node, key, size) as connection, connection.makefile("rb") as stream:
        send(connection, b"x")
        return read_response(stream)[0]


def test_uploads_on_their_way(fresh_node, keys):
    node = fresh_node
    before = resident_bytes(node.daemon_pid)
    with begin_upload(node, keys["acme"], PER_OWNER) as slow:
        eventually(lambda: resident_bytes(node.daemon_pid) - before >= PER_OWNER - MIB, "that the organisation's part is full", 30)
        # Long enough to be more than is left of the part, whatever of the first one is still under way.
        with begin_upload(node, keys["acme again"], 16 * MIB) as connection, connection.makefile("rb") as stream:
            status, headers, body = read_response(stream)
        assert status == 429 and b"uploads of organisation acme as it may, 256Mi" in body and int(headers["retry-after"]) >= 1, body
        node.deploy({"ebb.yaml": json.dumps({"app": "small", "functions": {"f": {"handler": "app.handler"}}}), "app.py": SOURCE,
                     "more": os.urandom(MIB)})
        assert node.call("small/f").text == "here"
        with begin_upload(node, keys["globex"], 2 * MIB) as connection, connection.makefile("rb") as stream:
            connection.sendall(b"x")
            assert read_response(stream)[0] == 202, "another organisation has a part of its own"
        with slow.makefile("rb") as stream:
            slow.sendall(b"x")
            assert read_response(stream)[0] == 202, "the one that was there goes on"
    eventually(lambda: uploaded(node, keys["acme again"], 16 * MIB) == 202, "room, once the long one is unpacked", 60)


def command(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has ended
        return b""


@contextlib.contextmanager
def long_build(node):
    """While a deployment of app `long` builds; it goes on to its end behind it."""
    manifest = {"app": "long", "build": "sleep 297 || true", "functions": {"f": {"handler": "app.handler"}}}

    def sleepers():
        return [pid for pid in node.pids() if command(pid) == b"sleep\x00297\0"]

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        building = pool.submit(node.deploy, {"ebb.yaml": json.dumps(manifest), "app.py": SOURCE})
        try:
            eventually(sleepers, "the build", 60)
            yield
        finally:
            for pid in sleepers():
                os.kill(pid, signal.SIGKILL)
        building.result()


def test_uploads_that_wait_for_their_turn(fresh_node, keys):
    """They are held until they are unpacked, and count as long."""
    node = fresh_node
    with long_build(node):
        assert uploaded(node, keys["acme"], PER_OWNER - 8 * MIB) == 202
        assert uploaded(node, keys["acme again"], 16 * MIB) == 429
        assert uploaded(node, keys["globex"], 16 * MIB) == 202, "another organisation has a part of its own"
    eventually(lambda: uploaded(node, keys["acme again"], 16 * MIB) == 202, "room, once the long one is unpacked", 60)


def test_deployments_that_wait(fresh_node, keys):
    node = fresh_node

    def deploy(key):
        return requests.post(f"{node.url}/api/v1/deployments", headers={"Authorization": f"Bearer {key}"}, data=b"no archive", timeout=30)

    with long_build(node):
        assert [deploy(keys["acme"]).status_code for _ in range(WAITING)] == [202] * WAITING
        refused = deploy(keys["acme again"])
        assert refused.status_code == 429 and int(refused.headers["Retry-After"]) >= 1
        assert "organisation acme has 4 deployments waiting" in refused.json()["error"]["message"]
        assert deploy(keys["globex"]).status_code == 202 and deploy(node.key).status_code == 202
    assert node.call("long/f").text == "here"
    eventually(lambda: deploy(keys["acme"]).status_code == 202, "room for the next")
