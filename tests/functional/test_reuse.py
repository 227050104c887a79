"""`reuse: never`: each call has an instance of its own, which ends after it; nothing passes from one call to the next."""

import os

import pytest

from ebb_node import eventually, in_parallel, server_timing

SOURCE = '''
import os, subprocess, time
made = []

def fresh(event, context):
    """What it finds of an earlier call, and what it leaves for the next: memory, a file, a process, the environment."""
    before = [len(made), os.path.exists("/tmp/left"), os.path.exists("/dev/shm/left"), "LEFT" in os.environ,
              len([p for p in os.listdir("/proc") if p.isdigit()])]
    made.append(1)
    open("/tmp/left", "w").close()
    open("/dev/shm/left", "w").close()
    os.environ["LEFT"] = "1"
    subprocess.Popen(["/bin/sleep", "600"])
    time.sleep(0.02)
    return before

spared = single = fresh

def failing(event, context):
    made.append(1)
    raise ValueError(str(len(made)))
'''
FUNCTIONS = {
    "fresh": {"reuse": "never", "scale": {"max": 5}, "idle_timeout": "300ms"},
    "spared": {"reuse": "never", "scale": {"min": 2, "max": 4}},
    "single": {"reuse": "never", "scale": {"max": 1}},
    "failing": {"reuse": "never"},
}
CLEAN = [0, False, False, False, 1]


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, FUNCTIONS)


def instances(node, function):
    return node.functions("app")[f"app/{function}"]["instances"]


def test_every_call_finds_a_fresh_instance(node):
    calls = 40
    answers = [node.call("app/fresh") for _ in range(calls // 2)] + in_parallel(calls // 2, lambda n: node.call("app/fresh"))
    for answer in answers:
        assert answer.status_code == 200 and answer.json() == CLEAN, answer.text
        assert server_timing(answer)["start"]["desc"] in ("fork", "idle", "spare")  # of a wave, one may get another's instance unused
    records = node.usage("app/fresh")
    assert len(records) == calls and len({record["instance"] for record in records}) == calls


def test_the_instance_ends_after_its_call(node):
    for _ in range(3):
        assert node.call("app/fresh").status_code == 200
    eventually(lambda: sum(instances(node, "fresh").values()) == 0, "the end of every instance")
    groups = lambda: [group for group in node.groups().values() if "/i" in group]  # noqa: E731
    eventually(lambda: len(groups()) == 2, "only the instances that `spared` keeps ready")


def test_the_minimum_waits_unused(node):
    eventually(lambda: instances(node, "spared")["idle"] == 2, "two instances that wait")
    for _ in range(6):
        eventually(lambda: instances(node, "spared")["idle"] >= 1, "one that waits")
        answer = node.call("app/spared")
        assert answer.json() == CLEAN
        assert server_timing(answer)["start"]["desc"] in ("spare", "frozen")
    eventually(lambda: instances(node, "spared")["idle"] == 2, "two again")
    records = node.usage("app/spared")
    assert len({record["instance"] for record in records}) == len(records) == 6


def test_one_at_a_time_still_serves_all(node):
    answers = in_parallel(12, lambda n: node.call("app/single"))
    assert [answer.json() for answer in answers] == [CLEAN] * 12
    assert len({record["instance"] for record in node.usage("app/single")}) == 12


def test_a_call_that_fails_leaves_nothing_either(node):
    for _ in range(3):
        answer = node.call("app/failing")
        assert answer.status_code == 502 and "ValueError: 1" in answer.text, answer.text


def test_direct_calls_too(node):
    for _ in range(3):
        assert node.cli_json("invoke", "app/fresh", "--data", "{}")["body"] == CLEAN


def test_what_a_cancelled_call_left_is_gone(node):
    before = {pid for pid in node.pids_in("instances")}
    with node.connect() as connection:
        connection.sendall(b"GET /fn/app/fresh HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: sum(instances(node, "fresh").values()) == 0, "its end")
    assert node.call("app/fresh").json() == CLEAN
    eventually(lambda: not {pid for pid in before if os.path.exists(f"/proc/{pid}")} - node.pids_in("instances"), "no stray process")
