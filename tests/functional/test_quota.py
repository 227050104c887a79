"""Quotas: never exceeded, whatever comes at once; what is beyond is answered 429 and why, and costs nothing."""

import concurrent.futures
import time

import pytest
import requests

from ebb_node import eventually, in_parallel

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
        node.deploy_app(SOURCE, {"hold": {"scale": {"max": 20}}}, app=app)
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
