"""Processors, and section B's lines 25 and 28 of the hardening checklist about them: who floods them, who is held back, and what has
to end all the same. The number in a test's name is the line; docs/internals/hardening.md lists which test stands for which line."""

import contextlib
import os
import pathlib
import re
import threading

import pytest
import requests

from ebb_node import eventually, in_parallel, is_alive

SOURCE = '''
import os, subprocess, sys, time

def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

def share():  # processor time in the three seconds after the first three
    burn(3)
    before = time.process_time()
    burn(3)
    return time.process_time() - before

def errno_of(action):
    try:
        return action()
    except OSError as error:
        return error.strerror

def probe(event, context):
    return eval(event["body"])

half = slow = plain = probe
'''
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, {"plain": {"idle_timeout": "10m", "scale": {"max": 4}}})


def run(node, function, code):
    response = node.call(f"app/{function}", data=code.encode(), headers=TEXT)
    assert response.status_code == 200, response.text
    return response


@pytest.mark.parametrize("workers", [1, 4])
def test_b25_processor_quota(node, workers):
    """No more than the quota within 5 %, and what one period (0.1 s) may bring forward. How much less it gets is the machine's affair."""
    code = f"[[subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range({workers - 1})], burn(3)] and 1"
    node.deploy_app(SOURCE, {"half": {"cpu": 0.5, "scale": {"max": 1}}}, app="quota")
    response = node.call("quota/half", data=code.encode(), headers=TEXT)
    record, = node.usage(request=response.headers["X-Ebb-Request-Id"])
    assert record["cpu_ms"] <= record["handler_ms"] * 0.5 * 1.05 + 50
    node.cli("rm", "quota", "--yes")
    eventually(lambda: not node.pids_in("instances", app="quota"), "the end of its processes")


def weights_of(node, group):
    """Of the processors, of each of the node's control groups of such a name; 1024 is what a process of the host's has."""
    return [int(file.read_text()) * scale for folder in node.cgroup_directories() if re.fullmatch(group, os.path.basename(folder))
            for name, scale in (("cpu.shares", 1), ("cpu.weight", 10.24)) if (file := pathlib.Path(folder, name)).exists()]


def weight_of(node, app):
    weight, = weights_of(node, f"app-{app}")
    return weight


def test_b25_functions_together_weigh_as_much_as_a_process_on_each_processor(node):
    """Less, and whatever wakes up on the host, the daemon that calls them included, keeps them from their processors."""
    assert weights_of(node, "ebb-.*") == [1024 * os.cpu_count()]


def test_b25_an_app_that_floods_the_processors_stands_back(node):
    node.deploy_app(SOURCE, {"plain": {"idle_timeout": "10m"}}, app="victim")
    node.call("victim/plain", data="1")
    eventually(lambda: weight_of(node, "app") == weight_of(node, "victim") == 1024, "equal weights")
    flood = threading.Thread(target=in_parallel, args=(4, lambda n: run(node, "plain", "burn(10)")))
    flood.start()
    try:
        eventually(lambda: weight_of(node, "app") < 100, "the flood's low weight")
        assert weight_of(node, "victim") == 1024
        assert node.call("victim/plain", data="2").json() == 2
    finally:
        flood.join()
    eventually(lambda: weight_of(node, "app") == 1024, "its return")
    node.cli("rm", "victim", "--yes")
    eventually(lambda: not node.pids_in("instances", app="victim"), "the end of the other app")


def test_b25_an_app_that_stands_back_is_not_starved(node):
    had = {"first": [], "rival": []}
    for app in had:
        node.deploy_app(SOURCE, {"plain": {}}, app=app)

    def want_all(app):
        in_parallel(4, lambda n: had[app].append(node.call(f"{app}/plain", data="share()").json()))

    first = threading.Thread(target=want_all, args=("first",))
    first.start()
    eventually(lambda: weight_of(node, "first") < 100, "its low weight")
    want_all("rival")
    first.join()
    assert len(had["first"]) == len(had["rival"]) == 4
    assert sum(had["first"]) > 0.3 * sum(had["rival"]), had
    for app in had:
        node.cli("rm", app, "--yes")
    eventually(lambda: not any(node.pids_in("instances", app=app) for app in had), "the end of both")


def test_b25_the_daemon_runs_before_functions_and_no_function_before_it(node):
    prompt = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    eventually(lambda: os.sched_getscheduler(node.daemon_pid) == prompt or "daemon not prompt" in node.serve_log(), "the daemon's promptness")
    others = [int(task) for task in os.listdir(f"/proc/{node.daemon_pid}/task") if int(task) != node.daemon_pid]
    names = {task: pathlib.Path(f"/proc/{node.daemon_pid}/task/{task}/comm").read_text().strip() for task in others}
    policies = {name: os.sched_getscheduler(task) for task, name in names.items() if not name.startswith("core-")}
    assert set(policies.values()) <= {os.SCHED_OTHER, os.SCHED_BATCH}, policies  # the latter where a core with much to do started it
    assert os.sched_getscheduler(node.launcher_pid) == os.SCHED_OTHER
    assert run(node, "plain", "errno_of(lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)))").text == "Operation not permitted"
    assert run(node, "plain", "os.sched_getscheduler(0)").json() == os.SCHED_BATCH  # its wake-ups take no processor from others


@contextlib.contextmanager
def kept_from_dying(pid):
    """What the freezer of cgroup v1 holds takes no signal, not even SIGKILL."""
    freezer = pathlib.Path("/sys/fs/cgroup/freezer")
    if not (freezer / "cgroup.procs").exists():
        pytest.skip("no freezer of cgroup v1 here, and nothing else holds a killed process")
    group = freezer / f"held-by-a-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(pid))
        (group / "freezer.state").write_text("FROZEN")
        eventually(lambda: (group / "freezer.state").read_text() == "FROZEN\n", "that it is held")
        yield
    finally:
        (group / "freezer.state").write_text("THAWED")
        eventually(lambda: not (group / "cgroup.procs").read_text(), "its end or the end of the test", 60)
        group.rmdir()


def cpu_quota(node, group):
    """Of a control group, as the kernel writes it."""
    for folder in node.cgroup_directories():
        for file in (pathlib.Path(folder, "cpu.cfs_quota_us"), pathlib.Path(folder, "cpu.max")):
            if folder.endswith(f"/{group}") and file.exists():
                return file.read_text().split()[0]
    raise AssertionError(f"no control group {group}")


def test_b28_what_lingers_after_its_deadline_gets_processors_to_end(node):
    """Even SIGKILL takes processors: a fork bomb of an app that stands back would die for minutes, of what the others leave."""
    node.deploy_app(SOURCE, {"slow": {"timeout": "5s", "cpu": 0.05}, "plain": {"scale": {"max": 2}}}, app="lingers")

    def call(function, code):
        with contextlib.suppress(requests.ConnectionError):  # the flood's app is removed under it
            return node.call(f"lingers/{function}", data=code, headers=TEXT).status_code

    flood = threading.Thread(target=in_parallel, args=(2, lambda n: call("plain", "burn(600)")))
    flood.start()
    eventually(lambda: node.functions("lingers")["lingers/plain"]["instances"]["busy"] == 2 and weight_of(node, "lingers") < 100, "the flood's low weight")
    flooding = node.pids_in("instances", app="lingers")
    answers = []
    caller = threading.Thread(target=lambda: answers.append(call("slow", "time.sleep(600)")))
    caller.start()
    victim, = eventually(lambda: node.functions("lingers")["lingers/slow"]["instances"]["busy"] and node.pids_in("instances", app="lingers") - flooding, "the call")
    group = node.groups()[victim]
    with kept_from_dying(victim):
        assert cpu_quota(node, group) == "5000"
        assert weight_of(node, "lingers") < 100
        caller.join()
        assert answers == [504]
        eventually(lambda: weight_of(node, "lingers") == 1024 and cpu_quota(node, group) in ("-1", "max"), "processors for what has to end")
        assert is_alive(victim)
    eventually(lambda: not is_alive(victim), "its end")
    eventually(lambda: weight_of(node, "lingers") < 100, "that the rest of the app stands back again")
    node.cli("rm", "lingers", "--yes")
    flood.join()
