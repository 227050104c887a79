"""Section C of the hardening checklist: what lives on longer than it should, or is the same twice. The number in a test's name is the
line of the checklist; docs/internals/hardening.md lists which test stands for which line."""

import contextlib
import os
import pathlib
import resource
import struct
import subprocess
import tempfile
import time

import mmap
import pytest

from ebb_node import Node, adopt_orphans, eventually, in_parallel, server_timing

TEXT = {"Content-Type": "text/plain"}


def run(node, target, code, status=200):
    response = node.call(target, data=code.encode(), headers=TEXT)
    assert response.status_code == status, response.text
    return response


PROBE = '''
import os, sys, threading, time
KEPT = []
fired = []

def recurse(n):
    return recurse(n + 1) + 1

def overflow():
    sys.setrecursionlimit(1 << 30)
    threading.stack_size(0)
    value = lambda: value()
    return recurse(0)

def deep_repr():
    value = []
    for _ in range(10_000_000):
        value = [value]
    sys.setrecursionlimit(1 << 30)
    return repr(value)

def handler(event, context):
    return eval(event["body"])
'''


# --- 32: time ---


def test_c32_time_after_fork_and_thaw(node):
    """The template is older than its instances: what it read of the clocks must not come back, forked or thawed."""
    node.deploy_function("import time\nBORN = [time.time(), time.monotonic()]\n" + PROBE, app="clock", scale={"max": 1})
    time.sleep(0.5)
    clocks = "[BORN[0], BORN[1], time.time(), time.monotonic()]"
    before = time.time(), time.monotonic()
    first = run(node, "clock/f", clocks)
    assert server_timing(first)["start"]["desc"] == "fork"
    born_wall, born_monotonic, wall, monotonic = first.json()
    assert born_wall < before[0] - 0.4 and before[0] - 0.01 <= wall <= time.time() + 0.01
    assert born_monotonic < before[1] - 0.4 and before[1] <= monotonic <= time.monotonic()
    run(node, "clock/f", "threading.Timer(1.5, lambda: fired.append(time.monotonic())).start()")
    eventually(lambda: frozen(node, "clock"), "that it is frozen")
    time.sleep(1)
    thawed = time.monotonic()
    again = run(node, "clock/f", clocks)
    assert server_timing(again)["start"]["desc"] == "frozen"
    assert again.json()[3] >= thawed and abs(again.json()[2] - time.time()) < 2
    eventually(lambda: run(node, "clock/f", "len(fired)").json() == 1, "the timer that came due meanwhile")
    assert run(node, "clock/f", "len(fired)").json() == 1


def frozen(node, app):
    """Whether all instances of an app use no processor for a moment."""
    def ticks():
        return [pathlib.Path(f"/proc/{pid}/stat").read_text().split()[13:15] for pid in sorted(node.pids_in("instances", app))]
    patterns = ("unified/ebb-*/app-{}/v*/i*/cgroup.freeze", "ebb-*/app-{}/v*/i*/cgroup.freeze", "freezer/ebb-*/app-{}/v*/i*/freezer.self_freezing")
    states = [path.read_text().strip() for pattern in patterns for path in pathlib.Path("/sys/fs/cgroup").glob(pattern.format(app))
              if path.with_name("cgroup.procs").read_text().strip()]
    return bool(states) and set(states) == {"1"} and ticks() == ticks()


# --- 35, 36: state of tenants and versions ---


def test_c35_nothing_passes_between_versions_and_apps(node):
    source = "import os\n" + PROBE
    leave = "[KEPT.append(1), open('/tmp/left', 'w').close(), open('/dev/shm/left', 'w').close(), os.environ.setdefault('LEFT', '1')] and 1"
    look = "[len(KEPT), os.path.exists('/tmp/left'), os.path.exists('/dev/shm/left'), os.environ.get('LEFT'), os.environ['SECRET']]"
    for app in ("one", "two"):
        node.deploy_function(source, app=app, env={"SECRET": f"{app} first"}, scale={"max": 1})
    run(node, "one/f", leave)
    assert run(node, "one/f", look).json() == [1, True, True, "1", "one first"]
    assert run(node, "two/f", look).json() == [0, False, False, None, "two first"]
    node.deploy_function(source, app="one", env={"SECRET": "one second"}, scale={"max": 1})
    assert run(node, "one/f", look).json() == [0, False, False, None, "one second"]  # the very next call
    assert run(node, "one/f:1", look).json()[4] == "one first"
    assert run(node, "two/f", look).json()[4] == "two first"


# --- 37: handlers that crash; functional/test_bad_input.py has the other ways ---


@pytest.mark.parametrize("how", ["overflow()", "deep_repr()"])
def test_c37_stack_overflow_is_an_error_of_the_call_only(node, how):
    node.deploy_function(PROBE, app="crash", scale={"max": 1})
    response = run(node, "crash/f", how, status=502)
    assert response.json()["error"]["code"] == "function_failed"
    assert run(node, "crash/f", "1").json() == 1


# --- 31, 38: many ---


def interfaces():
    return sorted(os.listdir("/sys/class/net"))


def temporary_files(node):
    """Files of ours outside of the data directory, and of instances in it."""
    mine = {path.name for path in pathlib.Path("/tmp").iterdir() if path.stat().st_uid >= 1_879_048_192}
    return sorted(mine), sorted(path.name for path in node.data.rglob("*.tmp"))


def zombies(node):
    return sum(1 for entry in os.listdir("/proc") if entry.isdigit() and is_zombie_of(node, entry))


def is_zombie_of(node, pid):
    with contextlib.suppress(OSError):
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return fields[0] == "Z" and int(fields[1]) in (node.launcher_pid, node.daemon_pid)
    return False


def footprint(node):
    """Everything that an instance might leave behind; the launcher's, the daemon's and the zygotes' descriptors by number."""
    zygotes = sorted(node.pids_in("zygotes", "many") | node.pids_in("sandboxes", "many"))
    return {"namespaces": len(node.namespaces()), "processes": len(node.pids()), "open files": node.open_files(), "mounts": sorted(node.mounts()),
            "zygote mounts": sorted(line.split()[4] for pid in zygotes for line in open(f"/proc/{pid}/mountinfo")),
            "zygote files": {pid: sorted(os.listdir(f"/proc/{pid}/fd")) for pid in zygotes}, "interfaces": interfaces(),
            "files": temporary_files(node), "zombies": zombies(node)}


def nothing_is_left_of(node, count, **spec):
    source = "import os, subprocess\ndef handler(e, c):\n    open('/tmp/x', 'w').write('x' * 10000)\n" \
             "    subprocess.Popen(['/bin/sleep', '600'])\n    return os.getpid()\n"
    node.deploy_function(source, app="many", **spec)
    call = lambda number: node.call("many/f").status_code  # noqa: E731
    quiet = lambda: not node.pids_in("instances", "many")  # noqa: E731
    assert set(in_parallel(10, call)) == {200}
    eventually(quiet, "the end of the first instances")
    directories = lambda: sorted(folder for folder in node.cgroup_directories() if "/app-many/" in folder)  # noqa: E731
    instance_groups = lambda: len([folder for folder in directories() if "/i" in folder.rpartition("/app-many/")[2]])  # noqa: E731
    spare = lambda: instance_groups() <= 4 * len({folder.split("/app-many/")[0] for folder in directories()})  # noqa: E731
    eventually(spare, "that only the cgroups made ahead are left")
    before = footprint(node)
    made = lambda: len({record["instance"] for record in node.usage("many", limit=10_000)})  # noqa: E731
    calls = 0
    while calls < count or made() < min(count, 9_000):
        for _ in range(5):
            assert set(in_parallel(10, call)) == {200}
        calls += 50
    eventually(quiet, "the end of all instances", 30)
    eventually(spare, "the end of their cgroups", 30)
    try:
        eventually(lambda: footprint(node) == before, "the footprint of before", 30)
    except AssertionError:
        assert footprint(node) == before
    print(f"{calls} calls, each in an instance of its own; what is there afterwards, as before: {before}")
    node.cli("rm", "many", "--yes")
    eventually(lambda: not directories(), "the end of the app's cgroups")


def test_c38_300_instances_leave_nothing(node):
    nothing_is_left_of(node, 300, reuse="never")


@pytest.mark.slow
def test_c38_1000_forks_leave_nothing(node):
    nothing_is_left_of(node, 1000, idle_timeout="0s")


@pytest.mark.slow
def test_c38_10000_instances_leave_nothing(node):
    nothing_is_left_of(node, 10_000, reuse="never")


@pytest.mark.slow
def test_c38_100_versions_leave_nothing(node):
    """Zygotes, packages and cgroups of versions that come and go, beside the instances."""
    source = "VERSION = {}\ndef handler(e, c):\n    return VERSION\n"
    node.deploy_function(source.format(0), app="many", idle_timeout="0s")
    groups = lambda: [folder for folder in node.cgroup_directories() if "/app-many" in folder]  # noqa: E731
    for number in range(1, 100):
        node.deploy_function(source.format(number), app="many", idle_timeout="0s")
        assert node.call("many/f").json() == number
        node.cli("rm", "many", "--yes")
    eventually(lambda: not groups() and not node.pids_in("zygotes", "many"), "the end of everything of the app", 30)
    assert not list((node.data / "packages").iterdir())


# --- 40: the control plane without disk, without descriptors, with a disk that fails ---


class SmallDisk:
    """A data directory on a file system of its own, that can be filled."""

    def __init__(self, megabytes):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="ebb-test-", dir="/tmp"))
        self.data = self.directory / "data"
        self.data.mkdir()
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


@pytest.fixture
def small_disk_node():
    adopt_orphans()
    disk = SmallDisk(48)
    node = Node(directory=disk.directory)
    try:
        node.start()
        yield node, disk
    finally:
        try:
            if node.process is not None:
                node.stop(kill=True)
        finally:
            disk.remove()
            node.remove()


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


def test_c40_no_descriptors_left(fresh_node):
    """EMFILE everywhere in the daemon: what cannot be done is refused, nothing is lost, and it goes on with more."""
    node = fresh_node
    node.deploy_function("def handler(e, c):\n    return 1\n", app="few", idle_timeout="100ms", scale={"max": 50})
    assert node.call("few/f").json() == 1
    daemon = node.daemon_pid
    limits = resource.prlimit(daemon, resource.RLIMIT_NOFILE)
    used = max(int(fd) for fd in os.listdir(f"/proc/{daemon}/fd"))
    held = []
    try:
        resource.prlimit(daemon, resource.RLIMIT_NOFILE, (used + 3, limits[1]))
        for _ in range(30):
            held.append(node.connect())
        with contextlib.suppress(OSError):
            for connection in held:
                connection.sendall(b"GET /fn/few/f HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1)
    finally:
        for connection in held:
            connection.close()
        resource.prlimit(daemon, resource.RLIMIT_NOFILE, limits)
    eventually(lambda: node.call("few/f").status_code == 200, "calls again", 30)
    node.deploy_function("def handler(e, c):\n    return 2\n", app="few")
    assert node.call("few/f").json() == 2 and node.daemon_pid == daemon
    assert all(record["state"] == "closed" for record in node.usage("few"))


class Faults:
    """The shared page of fault_calls.c."""

    def __init__(self, path):
        path.write_bytes(bytes(4096))
        path.chmod(0o666)
        with open(path, "r+b") as file:
            self._page = mmap.mmap(file.fileno(), 4096)

    def set(self, call, number, skip, times=1):
        self._page[0:4] = bytes(4)
        self._page[20:52] = call.encode().ljust(32, b"\0")
        self._page[4:20] = struct.pack("<iiii", number, skip, times, 0)
        self._page[0:4] = struct.pack("<i", 1)

    def clear(self):
        """How often it failed."""
        self._page[0:4] = bytes(4)
        return struct.unpack("<i", self._page[16:20])[0]


@pytest.fixture(scope="module")
def faulty():
    """A node whose daemon's calls can be made to fail."""
    adopt_orphans()
    node = Node()
    library = node.directory / "fault_calls.so"
    source = pathlib.Path(__file__).parent / "fault_calls/fault_calls.c"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    control = node.directory / "control"
    faults = Faults(control)
    os.environ["LD_PRELOAD"], os.environ["EBB_FAULT_CONTROL"] = str(library), str(control)
    try:
        node.start()
    finally:
        del os.environ["LD_PRELOAD"], os.environ["EBB_FAULT_CONTROL"]
    try:
        node.deploy_function("def handler(e, c):\n    return 'steady'\n", app="steady")
        yield node, faults
        node.stop()
    finally:
        try:
            if node.process is not None:
                node.stop(kill=True)
        finally:
            node.remove()


CALLS = {"open": 24, "write": 5, "fsync": 5, "truncate": 28, "mkdir": 28, "rename": 5, "socketpair": 24, "pipe": 24, "accept": 23, "mmap": 12}


@pytest.mark.parametrize("call", CALLS)
def test_c40_a_failing_call_is_a_clean_error(faulty, call):
    """The n-th call of its kind fails, for n one after the other, while an app is deployed and called."""
    node, faults = faulty
    daemon = node.daemon_pid
    for skip in (0, 1, 2, 3, 5, 8):
        faults.set(call, CALLS[call], skip)
        source = f"def handler(e, c):\n    return '{call} {skip}'\n"
        deployed = node.deploy_function(source, app="faulty", expect=None)
        answer = node.call("steady/f")
        faults.clear()
        assert answer.status_code in (200, 429, 500, 502, 503, 507), answer.text
        if answer.status_code != 200:
            assert answer.json()["error"]["message"]
        if deployed.returncode == 0:
            assert eventually(lambda: (got := node.call("faulty/f")).status_code == 200 and got, "its answer").json() == f"{call} {skip}"
        else:
            assert deployed.stderr.strip(), "an error has words"
            node.deploy_function(source, app="faulty")  # with a sound disk it goes through
            assert node.call("faulty/f").json() == f"{call} {skip}"
        eventually(lambda: node.call("steady/f").text == "steady", "the other app's answer")
        assert node.daemon_pid == daemon, "the daemon died"
    node.cli("rm", "faulty", "--yes")


def test_c40_after_all_those_faults_nothing_is_corrupt(faulty):
    node, _ = faulty
    ids = [record["request_id"] for record in node.usage("steady")]
    assert len(ids) == len(set(ids))
    node.stop()
    node.start()
    assert node.call("steady/f").text == "steady"
    assert [record["request_id"] for record in node.usage("steady")][:len(ids)] == ids
    check = subprocess.run(["/usr/bin/python3", "-c", "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('pragma integrity_check').fetchone()[0])",
                            str(node.data / "metadata.db")], capture_output=True, text=True, check=True)
    assert check.stdout.strip() == "ok"
