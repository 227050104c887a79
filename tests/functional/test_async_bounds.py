"""Asynchronous calls where the bounds of a whole node are reached, where versions of one function share a backlog, and when failed calls are
forgotten."""

import contextlib
import shutil
import sqlite3
import time

import pytest

from ebb_node import eventually
from test_async import calls, leave, left, wait_done, wait_failed
from test_clock import DAY, clocked

SLEEPS = "import time\n\ndef handler(event, context):\n    time.sleep(event['s'])\n"
MIB = 1024 * 1024
ROW = ("INSERT INTO calls (id, app, function, version, content_type, traceparent, tracestate, retries, retry_after_ns, max_age_ns, state, "
       "accepted_ns, due_ns, deadline_ns, attempts, error, event_bytes, event) "
       "VALUES (?, ?, 'f', '', '', '', '', 2, 60000000000, 21600000000000, ?, ?, ?, ?, 0, '', ?, x'7b7d')")


def keep(node, apps, of_each, event_bytes):
    """Calls as an earlier daemon may have left them: all but the first one, which failed, wait for an hour. The ids of the first two."""
    now = time.time_ns()
    ids = [f"01{number:024}" for number in range(apps * of_each)]
    rows = [(one, f"app-{number % apps}", int(number == 0), now, now + 3600 * 10**9, now + 7200 * 10**9, event_bytes)
            for number, one in enumerate(ids)]
    with contextlib.closing(sqlite3.connect(node.data / "calls.db")) as database, database:
        database.executemany(ROW, rows)
    return ids[:2]


@pytest.mark.parametrize("apps, of_each, event_bytes", [(20, 5_000, 2), (16, 128, MIB)], ids=["calls", "bytes"])
def test_a_node_that_is_full_refuses_and_failed_calls_make_way(fresh_node, apps, of_each, event_bytes):
    node = fresh_node
    node.deploy_function("def handler(event, context):\n    return 1\n", app="new")
    node.cli("budget", "set", "new", "0")
    node.stop()
    failed, waits = keep(node, apps, of_each, event_bytes)
    node.start()
    assert node.cli_json("calls", "show", failed)["state"] == "failed"
    large = "x" * (MIB - 2)
    first = left(node, "new/f", large)
    node.cli("calls", "show", failed, expect=3)
    refused = leave(node, "new/f", large)
    assert refused.status_code == 429 and "this node has as many asynchronous calls" in refused.json()["error"]["message"], refused.text
    assert int(refused.headers["Retry-After"]) >= 1
    assert sum(value for name, value in node.metrics().items() if name.startswith("ebb_async_calls{")) == apps * of_each
    node.cli("calls", "rm", waits)
    second = left(node, "new/f", large)
    assert leave(node, "new/f", large).status_code == 429
    node.cli("budget", "rm", "new")
    for call in (first, second):
        wait_done(node, call)
    wait_done(node, left(node, "new/f", large))


NODE_SLEEPS = "exports.handler = (event) => new Promise((done) => setTimeout(done, event.s * 1000));\n"
GREEDY = 18


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is needed")
def test_attempts_of_a_node_have_their_bound_and_leave_room_for_others(fresh_node):
    node = fresh_node
    spec = {"runtime": "node", "handler": "app.handler", "concurrency": 64, "scale": {"max": 1}, "timeout": "10m"}
    manifest = "app: {}\nfunctions:\n  f: {}\n"
    apps = [f"greedy-{number}" for number in range(GREEDY)]
    for app in [*apps, "modest"]:
        node.deploy({"ebb.yaml": manifest.format(app, str(spec).replace("'", "")), "app.js": NODE_SLEEPS})
    for app in apps:
        for _ in range(20):
            left(node, f"{app}/f", {"s": 500})

    def running():
        return {app: node.metrics().get(f'ebb_async_calls{{app="{app}",state="running"}}', 0) for app in apps}

    def settled():
        now = running()
        return all(count >= min(16, 256 - sum(now.values())) for count in now.values()) and now

    # Each begins another one for as long as more places are free than it has.
    at_once = eventually(settled, "that as many run as may", 60, evidence=running)
    assert max(at_once.values()) == 16 and 200 < sum(at_once.values()) < 256, at_once
    wait_done(node, left(node, "modest/f", {"s": 0}))
    assert sum(running().values()) >= sum(at_once.values()), "while all of that runs"
    node.stop(kill=True)


def test_a_version_under_an_alias_has_room_of_its_own(fresh_node):
    node = fresh_node
    node.deploy_function(SLEEPS, app="gray", scale={"max": 2})
    node.deploy_function(SLEEPS + "\n", app="gray", scale={"max": 40})
    node.cli("alias", "set", "gray/f", "old", "1")
    for _ in range(20):
        left(node, "gray/f", {"s": 2}, more="&version=old")
    eventually(lambda: calls(node, "gray", "--state", "running"), "the first attempt")
    wait_done(node, left(node, "gray/f", {"s": 0}))
    wait_done(node, left(node, "gray/f", {"s": 0}, more="&version=2"))
    by_number = left(node, "gray/f", {"s": 0}, more="&version=1")
    direct = node.call("/api/v1/apps/gray/functions/f/invocations?version=old", json={"s": 0})
    assert (direct.status_code, direct.headers["X-Ebb-Version"]) == (200, "1"), "half of its two places are for callers who wait"
    running = calls(node, "gray", "--state", "running")
    assert len(running) == 1 and len(calls(node, "gray")) > 10, running
    assert node.cli_json("calls", "show", by_number)["state"] == "waiting" or running[0]["id"] == by_number, "the same version's"
    assert {record["version"] for record in node.usage("gray", settled=False)} == {1, 2}
    node.cli("rm", "gray", "--yes")


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is needed")
def test_failed_calls_are_forgotten_after_their_days_and_not_because_a_clock_was_set():
    with clocked() as (node, clock):
        node.deploy_function("def handler(event, context):\n    raise ValueError('no luck')\n", **{"async": {"retries": 0}})
        old = left(node, "app/f", {})
        wait_failed(node, old)
        told = node.serve_log().count("clock_set")
        clock.set(15 * DAY)
        eventually(lambda: node.serve_log().count("clock_set") > told, "the line that says so", 30)
        young = left(node, "app/f", {})
        wait_failed(node, young)
        time.sleep(12)  # a look every 10 s: a clock that is ahead may be set right again
        assert node.cli_json("calls", "show", old)["state"] == "failed"
        clock.set(13 * DAY)
        node.stop()
        node.start()
        assert node.cli_json("calls", "show", old)["state"] == "failed", "13 days old"
        node.stop()
        clock.set(15 * DAY)
        node.start()
        eventually(lambda: node.cli("calls", "show", old, expect=None).returncode == 3, "that it is forgotten")
        assert node.cli_json("calls", "show", young)["state"] == "failed"
