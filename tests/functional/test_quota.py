"""Quotas: never exceeded, whatever comes at once; what is beyond is answered 429 and why, and costs nothing."""

import concurrent.futures
import os
import signal
import time

import pytest
import requests

from ebb_node import eventually, in_parallel, read_response

SOURCE = """
import time

def hold(event, context):
    time.sleep(float(event.get("body") or 0))
    return "done"

def drip(event, context):
    yield b"first"
    time.sleep(float(event.get("body") or 0))
    yield b"last"

other = hold
"""


STEADY = """
import time, uuid

me = None

def hold(event, context):
    global me
    me = me or uuid.uuid4().hex
    time.sleep(float(event.get("body") or 0))
    return me

other = big = hold
"""


@pytest.fixture(scope="module", autouse=True)
def apps(node):
    node.deploy_app(SOURCE, {"hold": {"scale": {"max": 20}}, "drip": {}}, app="bounded")
    node.deploy_app(SOURCE, {"other": {}}, app="free")
    yield
    node.cli("rm", "bounded", "--yes")
    node.cli("rm", "free", "--yes")


@pytest.fixture(autouse=True)
def unbounded(node):
    yield
    if quota(node):
        node.cli("quota", "rm", "bounded")


def quota(node):
    return next((one for one in node.cli_json("quota", "ls")["quotas"] if one["app"] == "bounded"), None)


def test_a_long_upload_takes_its_place_when_it_is_here(node):
    """And not when its head came: by then others' calls have gone on."""
    node.cli("quota", "set", "bounded", "--calls-per-second", "2")
    size = 70_000  # beyond limits::kUnreadBodyBytes
    with node.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(f"POST /fn/bounded/hold HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode() + b" " * (size - 1))
        for _ in range(4):
            time.sleep(0.7)
            assert node.call("bounded/hold").status_code == 200
        time.sleep(0.7)
        connection.sendall(b"0")
        status, _, body = read_response(stream)
        assert status == 200, body


@pytest.mark.sanitized
def test_calls_at_once_are_never_more(node):
    node.cli("quota", "set", "bounded", "--calls-at-once", "3")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        before = len(node.usage("bounded"))
        calls = [pool.submit(node.call, "bounded/hold", data="2") for _ in range(12)]
        answers = [call.result() for call in calls]
        served = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(served) == 3 and len(refused) == 9, [answer.status_code for answer in answers]
    assert all("has 3 calls at once, which is its quota" in answer.json()["error"]["message"] for answer in refused)
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)
    assert len(node.usage("bounded")) == before + 3, "what was refused has no record"
    assert node.call("bounded/hold").status_code == 200, "the places are free again"
    assert quota(node)["calls_now"] == 0


def test_a_stream_keeps_its_place_to_the_end(node):
    node.cli("quota", "set", "bounded", "--calls-at-once", "1")
    with node.call("bounded/drip", data="3", stream=True) as answer:
        pieces = answer.iter_content(5)
        assert next(pieces) == b"first"
        assert node.call("bounded/hold").status_code == 429 and quota(node)["calls_now"] == 1
        assert b"".join(pieces) == b"last"
    eventually(lambda: node.call("bounded/hold").status_code == 200, "its place")
    with node.call("bounded/drip", data="600", stream=True) as answer:
        next(answer.iter_content(5))
    eventually(lambda: quota(node)["calls_now"] == 0, "the place of a caller that went away", 30)


def test_calls_a_second(node):
    node.cli("quota", "set", "bounded", "--calls-per-second", "5")
    began = time.monotonic()
    answers = in_parallel(40, lambda n: node.call("bounded/hold"))
    took = time.monotonic() - began
    served = sum(answer.status_code == 200 for answer in answers)
    assert 5 <= served <= 5 * (took + 1) + 1
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and "quota of 5 a second" in refused[0].json()["error"]["message"]
    assert in_parallel(5, lambda n: node.call("free/other"))[0].status_code == 200, "others are not concerned"
    node.cli("quota", "rm", "bounded")
    assert {answer.status_code for answer in in_parallel(10, lambda n: node.call("bounded/hold"))} == {200}


def test_a_quota_survives_kill_and_a_new_deployment(fresh_node):
    node = fresh_node
    node.cli("quota", "set", "bounded", "--calls-per-second", "0.001", "--calls-at-once", "7")
    node.deploy_app(SOURCE, {"hold": {}}, app="bounded")
    assert [node.call("bounded/hold").status_code for _ in range(2)] == [200, 429]
    node.stop()
    node.start()
    listed = quota(node)
    assert (listed["calls_per_second"], listed["calls_at_once"]) == ("0.001", "7")
    assert [node.call("bounded/hold").status_code for _ in range(2)] == [200, 429]
    node.cli("rm", "bounded", "--yes")
    assert quota(node) is not None, "who removes an app is not rid of its quota"


def test_what_is_no_quota(node):
    assert "say what to bound" in node.cli("quota", "set", "bounded", expect=2).stderr
    assert "is 0" in node.cli("quota", "set", "bounded", "--calls-at-once", "0", expect=2).stderr
    assert "calls_per_second" in node.cli("quota", "set", "bounded", "--calls-per-second", "1e3", expect=2).stderr
    assert node.cli("quota", "set", "bounded", "--calls-at-once", "1.5", expect=2).returncode == 2
    assert "has no quota" in node.cli("quota", "rm", "nobody", expect=3).stderr


def test_only_an_administrator_sets_one(node):
    key = node.cli_json("key", "create", "--role", "deploy", "--app", "bounded")["key"]
    headers = {"Authorization": f"Bearer {key}"}
    path = f"{node.url}/api/v1/apps/bounded/quota"
    assert requests.put(path, headers=headers, json={"calls_at_once": "9"}, timeout=30).status_code == 403
    assert requests.delete(path, headers=headers, timeout=30).status_code == 403


def test_an_organisations_quota_bounds_its_apps_together(node):
    node.cli("org", "create", "quota-org")
    for app in ("together-a", "together-b"):
        node.deploy_app(SOURCE, {"hold": {"memory": "128Mi", "scale": {"max": 20}}}, app=app)
        node.cli("org", "move", app, "quota-org")
    node.cli("quota", "set", "--org", "quota-org", "--calls-at-once", "3")
    answers = in_parallel(12, lambda number: node.call(f"together-{'ab'[number % 2]}/hold", data="2"))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 9 and sum(answer.status_code == 200 for answer in answers) == 3
    assert all("organisation quota-org has 3 calls at once, which is its quota" in answer.json()["error"]["message"] for answer in refused)
    assert node.call("free/other").status_code == 200
    node.cli("quota", "rm", "--org", "quota-org")
    assert all(status == 200 for status in in_parallel(6, lambda number: node.call("together-a/hold").status_code))
    for app in ("together-a", "together-b"):
        node.cli("rm", app, "--yes")
    node.cli("org", "rm", "quota-org")


def test_the_memory_of_all_instances_is_never_more(node):
    node.deploy_app(SOURCE, {"hold": {"memory": "128Mi", "scale": {"max": 20}}, "other": {"memory": "256Mi"}}, app="tight")
    node.cli("quota", "set", "tight", "--memory", "384Mi")  # three instances of 128 MiB
    try:
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            calls = [pool.submit(node.call, "tight/hold", data="0.5") for _ in range(12)]
            most = 0
            while not all(call.done() for call in calls):
                most = max(most, len(node.pids_in("instances", "tight")))
        assert [call.result().status_code for call in calls] == [200] * 12, "they waited for each other"
        assert most == 3
        tight = next(one for one in node.cli_json("quota", "ls")["quotas"] if one["app"] == "tight")
        assert tight["memory"] == tight["memory_now"] == "384Mi"
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            calls = [pool.submit(node.call, "tight/hold", data="3") for _ in range(3)]
            eventually(lambda: node.functions("tight")["tight/hold"]["instances"]["busy"] == 3, "that all are at work")
            refused = node.call("tight/other")  # of which there is no instance to wait for
            assert refused.status_code == 429 and "of app tight may take 384Mi together" in refused.json()["error"]["message"]
            assert int(refused.headers["Retry-After"]) >= 1
            assert [call.result().status_code for call in calls] == [200] * 3
        assert node.call("tight/other").status_code == 200, "two that idle end for it"
        assert len(node.pids_in("instances", "tight")) == 2
        node.cli("quota", "set", "tight", "--memory", "640Mi")
        assert {call.status_code for call in in_parallel(3, lambda n: node.call("tight/hold", data="0.3"))} == {200}
    finally:
        node.cli("quota", "rm", "tight")
        node.cli("rm", "tight", "--yes")


@pytest.mark.parametrize("spec", [{"reuse": "never"}, {"idle_timeout": "0s"}])
def test_a_call_after_the_other_needs_no_room_for_both(node, spec):
    """The first call's instance still has its memory when the second comes; it is on its way out, so the second waits for it."""
    node.deploy_app(SOURCE, {"hold": {"memory": "128Mi", **spec}, "other": {"memory": "128Mi", **spec}}, app="narrow")
    node.cli("quota", "set", "narrow", "--memory", "128Mi")
    try:
        for function in ["hold"] * 10 + ["hold", "other"] * 10:
            answer = node.call(f"narrow/{function}")
            assert answer.status_code == 200, answer.text
    finally:
        node.cli("quota", "rm", "narrow")
        node.cli("rm", "narrow", "--yes")


def test_a_minimum_that_has_no_room_is_kept_as_far_as_it_goes(node):
    node.cli("quota", "set", "roomy", "--memory", "128Mi")
    try:
        node.deploy_app(SOURCE, {"other": {"memory": "64Mi", "scale": {"min": 3}}}, app="roomy")
        eventually(lambda: len(node.pids_in("instances", "roomy")) == 2, "two of three")
        before = node.serve_log().count("start_failed")
        time.sleep(2)
        assert node.serve_log().count("start_failed") - before < 20, "it is tried again with pauses"
        assert node.call("roomy/other").status_code == 200
        node.cli("quota", "rm", "roomy")
        eventually(lambda: len(node.pids_in("instances", "roomy")) == 3, "the third, now that there is room")
        node.cli("quota", "set", "roomy", "--memory", "128Mi")
        before = node.serve_log().count("start_failed")
        os.kill(node.pids_in("instances", "roomy").pop(), signal.SIGKILL)
        eventually(lambda: node.serve_log().count("start_failed") > before, "that the next want of room is told as the first")
    finally:
        node.cli("rm", "roomy", "--yes")


def test_a_minimum_that_cannot_be_kept_leaves_others_their_instances(node):
    """`big` would need all of the quota, of which `hold` uses a part: that `other` has an instance too makes no difference to it."""
    small = {"memory": "128Mi", "idle_timeout": "5s"}
    functions = {"hold": small, "other": small, "big": {"memory": "384Mi"}}
    node.deploy_app(STEADY, functions, app="crowded")
    node.cli("quota", "set", "crowded", "--memory", "384Mi")
    try:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            at_work = pool.submit(node.call, "crowded/hold", data="12")
            eventually(lambda: node.functions("crowded")["crowded/hold"]["instances"]["busy"] == 1, "that a part is in use")
            node.call("crowded/other")
            began = time.monotonic()
            node.deploy_app(STEADY, {**functions, "big": {"memory": "384Mi", "scale": {"min": 1}}}, app="crowded")
            served_by = set()
            while not at_work.done():
                answer = node.call("crowded/other")
                assert answer.status_code == 200, answer.text
                served_by.add(answer.text)
                time.sleep(0.02)
            assert at_work.result().status_code == 200
            took = time.monotonic() - began
        # At most once at 0, 2, 6, 14, 30 and 62 seconds, and then once a minute; the one it began with, and one in hand.
        displaced = sum(at <= took for at in (0, 2, 6, 14, 30, 62)) + int(took // 60)
        assert len(served_by) <= displaced + 2, "it ends for the minimum ever more seldom, and not once a second"
        eventually(lambda: node.functions("crowded")["crowded/big"]["instances"]["idle"] == 1, "the minimum, when there is room", seconds=40)
    finally:
        node.cli("quota", "rm", "crowded")
        node.cli("rm", "crowded", "--yes")


def test_what_packages_take_on_disk(node):
    ballast = {"ballast.bin": os.urandom(3 << 20)}
    node.cli("quota", "set", "stored", "--storage", "4Mi")
    try:
        node.deploy_app(SOURCE, {"other": {}}, app="stored", files=ballast)
        assert node.call("stored/other").status_code == 200
        refused = node.deploy_app(SOURCE + "\n# 2", {"other": {}}, app="stored", files={"ballast.bin": os.urandom(3 << 20)}, expect=None)
        assert refused.returncode != 0 and "its quota is 4Mi" in refused.stdout + refused.stderr
        assert node.functions("stored")["stored/other"]["version"] == 1 and node.call("stored/other").status_code == 200
        node.cli("quota", "set", "stored", "--storage", "8Mi")
        node.deploy_app(SOURCE + "\n# 3", {"other": {}}, app="stored", files={"ballast.bin": os.urandom(3 << 20)})
        assert "0.5" in node.cli("quota", "set", "stored", "--memory", "0.5", expect=2).stderr
    finally:
        node.cli("quota", "rm", "stored")
        node.cli("rm", "stored", "--yes")
