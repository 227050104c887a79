"""Section B of the hardening checklist: every way to take more than one's share, tried from inside by user code. The number in a
test's name is the line of the checklist; docs/internals/hardening.md lists which test stands for which line."""

import os
import pathlib
import signal
import time

import pytest

from ebb_node import eventually, in_parallel, server_timing

SOURCE = '''
import ctypes, mmap, os, resource, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
count = 0

def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

# --- idle instances ---

def spinner():
    global count
    while True:
        count += 1

def begin_spinning():
    for _ in range(2):
        threading.Thread(target=spinner, daemon=True).start()
    subprocess.Popen([sys.executable, "-c", "while True: pass"])

def probe(event, context):
    return eval(event["body"])

busy = small = half = files = slow = plain = brief = probe
'''
FUNCTIONS = {
    "busy": {"scale": {"max": 1}, "cpu": 0.5, "idle_timeout": "10m"},
    "plain": {"idle_timeout": "10m", "scale": {"max": 4}},
    "brief": {"idle_timeout": "2s", "scale": {"max": 1}},
}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, FUNCTIONS)


def run(node, function, code, status=200):
    response = node.call(f"app/{function}", data=code.encode(), headers={"Content-Type": "text/plain"})
    assert response.status_code == status, response.text
    return response


def instances(node, function):
    return sum(node.functions("app")[f"app/{function}"]["instances"].values())


def version_of(node, function):
    """The cgroup of a function's current version, as in Node.groups()."""
    return f"app-app/v{node.functions('app')[f'app/{function}']['version_id']}"


# --- 30: frozen when idle ---


def processor_time(pids):
    """Ticks that the processes have used."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def await_frozen(node, pids):
    """Frozen: the busy processes in it use no more processor."""
    def still():
        before = processor_time(pids)
        time.sleep(0.2)
        return processor_time(pids) == before
    eventually(still, "that the idle instance stands still")


def uses_nothing(node, seconds):
    begun = run(node, "busy", "[begin_spinning(), os.getpid()][1]")
    pids = node.pids_in("instances")
    assert len(pids) == 2 and begun.json() == 1, pids
    busy = processor_time(pids)
    eventually(lambda: processor_time(pids) > busy, "work in the background")
    await_frozen(node, pids)
    before = processor_time(pids)
    time.sleep(seconds)
    assert processor_time(pids) == before, f"an idle instance used the processor within {seconds} s"
    answer = run(node, "busy", "[count, time.time()]")
    assert server_timing(answer)["start"]["desc"] == "frozen"
    counted, wall = answer.json()
    assert abs(wall - time.time()) < 5
    assert node.usage(request=answer.headers["X-Ebb-Request-Id"])[0]["rung"] == "frozen"
    eventually(lambda: run(node, "busy", "count").json() > counted, "that the threads go on after the thaw")
    assert node.pids_in("instances") == pids
    return pids


def end_instances(node, pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    eventually(lambda: not node.pids_in("instances") & pids, "their end")


def test_b30_an_idle_instance_uses_no_processor(node):
    end_instances(node, uses_nothing(node, 1))


@pytest.mark.slow
def test_b30_ten_seconds_of_an_idle_instance_cost_nothing(node):
    end_instances(node, uses_nothing(node, 10))


def test_b30_frozen_and_thawed_again_and_again_it_answers_right(node):
    pids = set()
    for turn in range(4):
        answer = run(node, "busy", f"[begin_spinning() if {turn} == 0 else None, threading.active_count(), {turn}]")
        assert answer.json()[1:] == [3, turn]
        pids |= node.pids_in("instances")
        await_frozen(node, pids)
        if turn:
            assert server_timing(answer)["start"]["desc"] == "frozen"
    assert len(pids) == 2  # one instance and its child all the time
    end_instances(node, pids)


def test_b30_an_instance_in_use_is_never_frozen(node):
    run(node, "brief", "1")
    until = time.monotonic() + 2.5
    rungs = set()
    while time.monotonic() < until:
        rungs.add(server_timing(run(node, "brief", "time.sleep(0.02)"))["start"]["desc"])
    assert rungs == {"idle"}


def test_b30_a_frozen_instance_is_retired_and_may_be_killed(node):
    run(node, "brief", "begin_spinning()")
    pids = node.pids_in("instances")
    eventually(lambda: instances(node, "brief") == 0, "the end of its idle time")
    eventually(lambda: not pids & node.pids_in("instances"), "the end of all its processes")
    run(node, "brief", "begin_spinning()")
    pids = node.pids_in("instances")
    await_frozen(node, pids)
    node.deploy_app(SOURCE + "\n# another version\n", FUNCTIONS)
    node.cli("rm", "app", "--yes")
    eventually(lambda: not node.groups(), "the end of everything, frozen or not")
    node.deploy_app(SOURCE, FUNCTIONS)


@pytest.mark.parametrize("victim", ["zygotes", "sandboxes"])
def test_b30_a_frozen_instance_dies_with_its_zygote(node, victim):
    run(node, "plain", "begin_spinning()")
    pids = node.pids_in("instances")
    await_frozen(node, pids)
    for pid in node.pids_in(victim):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # init took it along
            pass
    eventually(lambda: not pids & node.pids_in("instances"), "the end of the frozen instance")
    assert run(node, "plain", "1").json() == 1
