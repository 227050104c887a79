"""Line 40 of the hardening checklist: the control plane with a full disk, without descriptors, and with calls that fail."""

import contextlib
import os
import pathlib
import shutil
import sqlite3
import subprocess
import tempfile

import pytest
import requests

from ebb_node import BINARY, Node, eventually, running


class SmallDisk:
    """A data directory on a file system of its own, that can be filled."""

    def __init__(self, megabytes):
        self.data = pathlib.Path(tempfile.mkdtemp(prefix="ebb-disk-", dir="/tmp"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "ebb-test", str(self.data)], check=True)

    def fill(self):
        with open(self.data / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x" * 65536)
        with open(self.data / "filler", "ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"x")

    def free(self):
        (self.data / "filler").unlink()

    def remove(self):
        subprocess.run(["umount", str(self.data)], check=False)
        self.data.rmdir()


@pytest.fixture
def small_disk_node():
    disk = SmallDisk(48)
    try:
        with running(Node({"data_dir": str(disk.data)})) as node:
            yield node, disk
    finally:
        disk.remove()


def test_c40_disk_full(small_disk_node):
    """Calls that can be metered go on, those that cannot are refused; a deployment is refused and changes nothing; and with room again
    all goes on, and is still so after a restart."""
    node, disk = small_disk_node
    source = "def handler(e, c):\n    print('x' * 2000)\n    return {}\n"
    node.deploy_function(source.format(1), app="full")
    assert node.call("full/f").json() == 1
    disk.fill()
    refused = node.deploy_function(source.format(2), app="full", expect=None)
    assert refused.returncode != 0 and "space" in (refused.stderr + refused.stdout).lower(), refused.stderr
    answers = [node.call("full/f") for _ in range(50)]
    for answer in answers:
        assert answer.status_code in (200, 503, 507) and (answer.status_code != 200 or answer.json() == 1), answer.text
    daemon = node.daemon_pid
    disk.free()
    eventually(lambda: node.call("full/f").status_code == 200, "calls again")
    node.deploy_function(source.format(2), app="full")
    assert node.call("full/f").json() == 2 and node.daemon_pid == daemon
    good = sum(answer.status_code == 200 for answer in answers)
    before = node.usage("full")
    assert sum(record["outcome"] == "ok" for record in before) >= good + 2
    node.stop()
    node.start()
    assert node.call("full/f").json() == 2 and node.call("full/f:1").json() == 1
    assert [record["request_id"] for record in node.usage("full")][:len(before)] == [record["request_id"] for record in before]


def test_c40_disk_full_asynchronous_calls(small_disk_node):
    """What is not on the disk is refused and not accepted; what is runs, while the disk is full or when there is room again, and is not lost
    to a kill then."""
    node, disk = small_disk_node
    node.deploy_function("import time\ndef handler(e, c):\n    time.sleep(0.3)\n", app="full", scale={"max": 1})
    path = "/api/v1/apps/full/functions/f/invocations?async=true"

    def leave(size=1):
        answer = node.call(path, json="x" * size)
        assert answer.status_code in (202, 503), answer.text
        return answer

    accepted = [leave().json()["id"] for _ in range(8)]
    disk.fill()
    answers = [leave(100_000)]
    while answers[-1].status_code == 202 and len(answers) < 200:  # what room the log had left
        answers.append(leave(100_000))
    refused = answers.pop()
    assert refused.status_code == 503 and "no space left" in refused.json()["error"]["message"], refused.text
    accepted += [answer.json()["id"] for answer in answers]
    known = {call["id"] for call in node.cli_json("calls", "ls", "full", "--limit", "1000")["calls"]}
    assert known <= set(accepted), "what was refused is not kept"
    last = accepted[-1]
    if node.cli("calls", "rm", last, expect=None).returncode == 0:  # there was room left for that
        accepted.remove(last)
    else:
        assert last in {call["id"] for call in node.cli_json("calls", "ls", "full", "--limit", "1000")["calls"]}, "it goes on as before"
    daemon = node.daemon_pid
    disk.free()
    eventually(lambda: leave().status_code == 202, "that one is accepted again")
    node.kill_daemon()
    eventually(node.is_ready, "the next daemon", 30)
    eventually(lambda: not node.cli_json("calls", "ls", "full")["calls"], "the end of all", 120,
               evidence=lambda: node.cli_json("calls", "ls", "full"))
    assert node.daemon_pid != daemon
    done = {record["request_id"] for record in node.usage("full") if record["outcome"] == "ok"}
    assert set(accepted) <= done and refused.headers["X-Ebb-Request-Id"] not in done


def test_c40_disk_full_at_start(small_disk_node):
    """It starts, or says what is missing; never half."""
    node, disk = small_disk_node
    node.deploy_function("def handler(e, c):\n    return 1\n", app="full")
    node.stop()
    disk.fill()
    try:
        node.start()
        assert node.call("full/f").status_code in (200, 503, 507)
    except AssertionError as error:
        assert "space" in str(error), error
        node.process = None
    finally:
        disk.free()
    if node.process is not None:
        node.stop()
    node.start()
    assert node.call("full/f").json() == 1


@pytest.fixture
def few_descriptors_node():
    """A node whose launcher and daemon may open so many files and no more."""
    node = Node()
    node.serve_binary = node.directory / "ebb"
    without_the_right_to_raise_it = "setpriv --bounding-set=-sys_resource"
    node.serve_binary.write_text(f'#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec {without_the_right_to_raise_it} {BINARY} "$@"\n')
    node.serve_binary.chmod(0o755)
    with running(node):
        yield node


DESCRIPTORS = 128


def test_c40_no_descriptors_left(few_descriptors_node):
    """EMFILE everywhere: what cannot be done is refused, nothing is lost, and it goes on when others have let go."""
    node = few_descriptors_node
    node.deploy_function("import time\ndef handler(e, c):\n    time.sleep(0.2)\n    return 1\n", app="few", idle_timeout="100ms", scale={"max": 100})
    assert node.call("few/f").json() == 1
    daemon = node.daemon_pid
    held = []
    for _ in range(2 * DESCRIPTORS):
        with contextlib.suppress(OSError):
            held.append(node.connect())
            held[-1].sendall(b"GET /fn/few/f HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: len(os.listdir(f"/proc/{daemon}/fd")) >= DESCRIPTORS - 4, "that the daemon has used them up")
    for connection in held:
        connection.close()
    eventually(lambda: answers(node), "calls again", 60)
    node.deploy_function("def handler(e, c):\n    return 2\n", app="few")
    assert node.call("few/f").json() == 2 and node.daemon_pid == daemon
    assert all(record["state"] == "closed" for record in node.usage("few"))


def answers(node):
    with contextlib.suppress(requests.RequestException):
        return node.call("few/f", timeout=5).status_code == 200


class Faults:
    """Makes calls of the running daemon fail, through strace: each thread's n-th call of a kind."""

    def __init__(self, node):
        self._pid = node.daemon_pid
        self._out = node.directory / "faults"
        self._strace = None

    def set(self, calls, error, turn):
        self._strace = subprocess.Popen(["strace", "-f", "-o", str(self._out), "-p", str(self._pid), "-e", f"trace={calls}",
                                         "-e", f"inject={calls}:error={error}:when={turn}"], stderr=subprocess.PIPE)
        assert b"attached" in self._strace.stderr.readline()

    def clear(self):
        """How many calls failed."""
        self._strace.terminate()
        self._strace.wait()
        self._strace.stderr.close()
        return self._out.read_text().count("(INJECTED)")


@pytest.fixture(scope="module")
def steady(node):
    if not shutil.which("strace"):
        pytest.fail("strace is not installed: ./dev test installs it, or apt-get install strace")
    node.deploy_function("def handler(e, c):\n    return 'steady'\n", app="steady", idle_timeout="0s")
    return node


FAULTS = {"open": ("openat", "EMFILE"), "write": ("pwrite64", "ENOSPC"), "read": ("pread64", "EIO"), "fsync": ("fsync,fdatasync", "EIO"),
          "rename": ("rename,renameat,renameat2", "EIO"), "socketpair": ("socketpair", "EMFILE"), "pipe": ("pipe2", "ENFILE"),
          "accept": ("accept,accept4", "EMFILE")}


@pytest.mark.parametrize("kind", FAULTS)
def test_c40_a_failing_call_is_a_clean_error(steady, kind):
    """The n-th call of its kind fails, for n one after the other, while an app is deployed and called."""
    node, daemon, hits = steady, steady.daemon_pid, 0
    for turn in (1, 2, 3, 5):
        faults = Faults(node)
        faults.set(*FAULTS[kind], turn)
        source = f"def handler(e, c):\n    return '{kind} {turn}'\n"
        try:
            deployed = node.deploy_function(source, app="faulty", expect=None)
            answer = node.call("steady/f")
        finally:
            hits += faults.clear()
        assert answer.status_code in (200, 429, 500, 502, 503, 507), answer.text
        assert answer.status_code == 200 or answer.json()["error"]["message"]
        if deployed.returncode != 0:
            assert deployed.stderr.strip(), "an error has words"
            node.deploy_function(source, app="faulty")  # with a sound disk it goes through
        assert eventually(lambda: (got := node.call("faulty/f")).status_code == 200 and got, "its answer").text == f"{kind} {turn}"
        eventually(lambda: node.call("steady/f").text == "steady", "the other app's answer")
        assert node.daemon_pid == daemon, "the daemon died"
    assert hits >= 1, "no such call was made: nothing failed"
    node.cli("rm", "faulty", "--yes")


def test_c40_after_all_those_faults_nothing_is_corrupt(steady):
    node = steady
    assert node.call("steady/f").text == "steady"
    ids = [record["request_id"] for record in node.usage("steady")]
    assert len(ids) == len(set(ids))
    node.stop()
    node.start()
    assert node.call("steady/f").text == "steady"
    assert [record["request_id"] for record in node.usage("steady")][:len(ids)] == ids
    with contextlib.closing(sqlite3.connect(node.data / "metadata.db")) as database:
        assert database.execute("pragma integrity_check").fetchone()[0] == "ok"
