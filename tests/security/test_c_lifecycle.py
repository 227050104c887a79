"""Section C of the hardening checklist: what lives on longer than it should, or is the same twice. The number in a test's name is the
line of the checklist; docs/internals/hardening.md lists which test stands for which line."""

import contextlib
import os
import pathlib
import time

import pytest

from ebb_node import Node, eventually, in_parallel, running, server_timing

TEXT = {"Content-Type": "text/plain"}


@pytest.fixture(scope="module")
def node():
    """Without spares: on a slow machine every function would have one, and here what is left over is counted."""
    with running(Node({"max_spares": 0})) as node:
        yield node


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


def more(now, before):
    """What there is of now and was not before: a connection of a client may have been closed meanwhile, or a runtime have ended."""
    grown = {name: count for name, count in now.items() if isinstance(count, int) and count > before[name]}
    if any(mine > then for mine, then in zip(now["open files"], before["open files"], strict=True)):
        grown["open files"] = now["open files"]
    lists = {name: value for name, value in now.items() if not isinstance(value, int) and name != "open files"}
    return grown | {name: value for name, value in lists.items() if value != before[name]}


def nothing_is_left_of(node, count, **spec):
    source = "import os, subprocess\ndef handler(e, c):\n    open('/tmp/x', 'w').write('x' * 10000)\n" \
             "    subprocess.Popen(['/bin/sleep', '600'])\n    return os.getpid()\n"
    for app in {name.split("/")[0] for name in node.functions()}:  # whose idle instances and zygotes may end meanwhile
        node.cli("rm", app, "--yes")
        eventually(lambda: not node.pids_in("instances", app) | node.pids_in("zygotes", app), f"the end of {app}")  # noqa: B023
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
        eventually(lambda: not more(footprint(node), before), "the footprint of before", 30)
    except AssertionError:
        assert more(footprint(node), before) == {}
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
    assert len(list((node.data / "packages").iterdir())) <= 1  # of the last; the next deployment removes it
