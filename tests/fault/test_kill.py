"""Daemon, launcher and zygotes killed under load, again and again: it serves again, nothing is left, no record is lost or doubled.

EBB_FAULT_ROUNDS says how often each is killed (5, and 20 for the record). What a client has received whole is the truth that the
usage records are held against.
"""

import concurrent.futures
import datetime
import os
import signal
import threading

import pytest
import requests

from ebb_node import Node, eventually, is_alive, removed_after

ROUNDS = int(os.environ.get("EBB_FAULT_ROUNDS", "5"))
CLIENTS = 4
SOURCE = '''
import subprocess, time
def handler(event, context):
    if event["rawPath"] == "/worker":
        subprocess.Popen(["/bin/sleep", "600"])  # what user code leaves behind must go with the instance
    time.sleep(0.005)
    return context.request_id

second = handler
'''
FUNCTIONS = {"handler": {"scale": {"max": 3}}, "second": {"scale": {"min": 1, "max": 2}, "idle_timeout": "200ms"}}


class Load:
    """Clients that call without pause and remember the answers they got whole."""

    def __init__(self, node):
        self._node = node
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.answered = set()  # request ids of complete good answers
        self.wrong = []
        self._pool = concurrent.futures.ThreadPoolExecutor(CLIENTS)
        self._runs = [self._pool.submit(self._run, number) for number in range(CLIENTS)]

    def _run(self, number):
        session = requests.Session()
        session.trust_env = False
        count = 0
        while not self._stop.is_set():
            count += 1
            path = "handler/worker" if count % 50 == 0 else ("second" if number == 0 else "handler")
            try:
                response = session.get(f"{self._node.url}/fn/app/{path}", timeout=90)
            except requests.RequestException:
                continue  # it was killed: no answer, or not all of one
            with self._lock:
                if response.status_code == 200:
                    if response.text != response.headers["X-Ebb-Request-Id"]:
                        self.wrong.append(response.text)
                    self.answered.add(response.headers["X-Ebb-Request-Id"])
                elif response.status_code not in (502, 503):
                    self.wrong.append(f"{response.status_code} {response.text}")

    def count(self):
        with self._lock:
            return len(self.answered)

    def grows(self, by=20):
        """Awaits that so many more calls are answered."""
        until = self.count() + by
        eventually(lambda: self.count() >= until or self._runs[0].done(), f"{by} more answers", 60)

    def end(self):
        self._stop.set()
        self._pool.shutdown()
        for run in self._runs:
            run.result()
        assert not self.wrong, self.wrong[:3]


@pytest.fixture
def node():
    with removed_after(Node({"usage_flush_interval": "10s"})) as node:  # what survives does so without the flush
        node.start()
        node.deploy_app(SOURCE, FUNCTIONS)
        yield node


class Records:
    """All usage records, read in portions so that one answer holds each."""

    def __init__(self, node):
        self._node = node
        self._since = datetime.datetime(2000, 1, 1)
        self.by_id = {}

    def read(self):
        began = datetime.datetime.utcnow() - datetime.timedelta(seconds=1)
        page = self._node.usage(settled=False, limit=10_000, since=self._since.isoformat() + "Z")
        assert len(page) < 10_000, "more records than one page: read more often"
        ids = [record["request_id"] for record in page]
        assert len(ids) == len(set(ids)), "a record is doubled"
        self.by_id.update((record["request_id"], record) for record in page)
        self._since = began


def gone(pids):
    return not any(is_alive(pid) for pid in pids)


def identities(folders):
    """(path, inode) of those that exist: the next life uses the same names again."""
    found = set()
    for folder in folders:
        try:
            found.add((folder, os.stat(folder).st_ino))
        except FileNotFoundError:
            pass
    return found


def serves(node):
    try:
        return node.is_ready() and node.call("app/handler", timeout=30).status_code == 200
    except (requests.RequestException, OSError):
        return False


def finish(node, load, records):
    """The end of the load: each whole answer has its one record, open ones were closed as faults of ours, nothing is left."""
    load.end()
    node.usage()  # awaits that none is open
    records.read()
    missing = load.answered - set(records.by_id)
    assert not missing, f"{len(missing)} of {len(load.answered)} answered calls have no usage record"
    for request in load.answered:
        assert records.by_id[request]["outcome"] == "ok"
    for record in records.by_id.values():
        assert record["state"] == "closed" or record["request_id"] not in load.answered
        if record.get("outcome") == "platform_fault":
            assert (record["billed_ms"], record["cu"]) == (0, "0.000000")
    totals = node.usage_totals()
    assert totals["invocations"] == len(records.by_id)
    node.cli("rm", "app", "--yes")
    eventually(lambda: not node.groups(), "the end of every process in a sandbox")
    eventually(lambda: not any("/app-" in folder for folder in node.cgroup_directories()), "the end of every cgroup of the app")
    eventually(lambda: node.pids() == node.platform_pids(), "only launcher and daemon")
    node.stop()  # asserts that no process, cgroup or mount is left


def test_daemon_killed(node):
    load, records = Load(node), Records(node)
    for _ in range(ROUNDS):
        load.grows()
        records.read()
        daemon, others = node.daemon_pid, node.pids() - node.platform_pids()
        os.kill(daemon, signal.SIGKILL)
        eventually(lambda: gone([daemon]), "the daemon's end")
        eventually(lambda: serves(node), "service again", 30)
        eventually(lambda: gone(others), "the end of all that belonged to the dead daemon")
        assert node.daemon_pid != daemon
    load.grows()
    finish(node, load, records)
    assert any(record.get("outcome") == "platform_fault" for record in records.by_id.values())  # some were under way, surely


def test_launcher_killed(node):
    load, records = Load(node), Records(node)
    for _ in range(ROUNDS):
        load.grows()
        records.read()
        everything = node.pids()
        cgroups = identities(folder for folder in node.cgroup_directories() if "/app-" in folder)
        os.kill(node.launcher_pid, signal.SIGKILL)
        node.process.wait()
        eventually(lambda: gone(everything), "the end of everything with the launcher")
        node.process = None
        node.start()
        eventually(lambda: serves(node), "service again", 30)
        swept = cgroups & identities(node.cgroup_directories())
        assert not swept, "cgroups of the life before, not swept by the next start"
    load.grows()
    finish(node, load, records)


def test_zygote_killed(node):
    load, records = Load(node), Records(node)
    for turn in range(ROUNDS):
        load.grows()
        records.read()
        kind = "sandboxes" if turn % 3 == 2 else "zygotes"  # now and then the runtime zygote and its init
        victims = eventually(lambda: node.pids_in(kind), f"{kind}")  # noqa: B023
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        eventually(lambda: gone(victims), "their end")  # noqa: B023
        eventually(lambda: serves(node), "service again", 30)
    load.grows()
    daemon = node.daemon_pid
    finish_with_same_daemon(node, load, records, daemon)


def finish_with_same_daemon(node, load, records, daemon):
    assert node.daemon_pid == daemon  # the daemon outlives every zygote
    for record in records.by_id.values():
        assert record.get("outcome") in (None, "ok", "crashed", "platform_fault"), record
    finish(node, load, records)
