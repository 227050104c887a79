"""Spares: instances of functions that load for long, started ahead. Who gets one, which call takes it, and who gives way to whom."""

import json
import os
import shutil
import signal

import pytest

from ebb_node import eventually, in_parallel, server_timing

needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")

# Loads for 60 ms in every instance: a thread keeps its zygote from being forked.
SLOW = '''
import threading, time
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
time.sleep(0.06)
made = []
def handler(event, context):
    made.append(1)
    time.sleep(float(event["rawPath"][1:] or 0))
    return len(made)
'''
QUICK = "def handler(event, context):\n    return 'quick'\n"
NODE = "let calls = 0;\nexports.handler = async () => ({ calls: ++calls });\n"


def spares(node, app="app", function="f"):
    return node.functions(app)[f"{app}/{function}"]["instances"]["spare"]


def await_spare(node, app="app", function="f"):
    eventually(lambda: spares(node, app, function) == 1, f"a spare of {app}/{function}", 30)


def rung(answer):
    assert answer.status_code == 200, answer.text
    return server_timing(answer)["start"]["desc"]


def deploy_node(node, app, source=NODE, **keys):
    function = {"runtime": "node", "handler": "index.handler", "memory": "256Mi", **keys}
    node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"f": function}}), "index.js": source})


@needs_node
def test_each_cold_call_to_node_finds_one_ready(node):
    deploy_node(node, "js", reuse="never")
    for _ in range(3):
        await_spare(node, "js")
        answer = node.call("js/f")
        timing = server_timing(answer)
        assert rung(answer) == "spare" and answer.json() == {"calls": 1}
        assert timing["start"]["dur"] == timing["init"]["dur"] == 0
    records = node.usage("js/f")
    assert [record["rung"] for record in records] == ["spare"] * 3
    assert len({record["instance"] for record in records}) == 3
    assert all(record["init_ms"] == 0 and record["billed_ms"] <= record["handler_ms"] + 1 for record in records)
    metrics = node.call("/metrics").text
    assert 'ebb_starts_total{app="js",function="f",rung="spare"} 3' in metrics
    await_spare(node, "js")
    sample = 'ebb_memory_held_byte_seconds_total{app="js",function="f",tier="spare"} '
    eventually(lambda: any(line.startswith(sample) and float(line.split()[-1]) > 0 for line in node.call("/metrics").text.splitlines()), "that what it holds is counted")
    assert "1 (1 spare)" in node.cli("ls", "js").stdout


def test_who_is_forked_loaded_gets_none(node):
    node.deploy_function(QUICK, app="quick")
    node.deploy_function(SLOW, app="slow")
    for _ in range(10):
        assert node.call("quick/f").status_code == 200
    await_spare(node, "slow")  # whatever starts spares has had its turn
    assert spares(node, "quick") == 0


def test_beside_idle_instances_it_is_for_the_next_at_the_same_time(node):
    node.deploy_function(SLOW, app="beside")
    await_spare(node, "beside")
    assert rung(node.call("beside/f")) == "spare"
    await_spare(node, "beside")
    assert rung(node.call("beside/f")) in ("idle", "frozen")
    rungs = sorted(rung(answer) for answer in in_parallel(2, lambda _: node.call("beside/f/0.3")))
    assert rungs[1] == "spare" and rungs[0] in ("idle", "frozen")


def test_the_maximum_holds_and_no_call_is_refused_for_a_spare(node):
    node.deploy_function(SLOW, app="one", scale={"max": 1}, reuse="never")
    for _ in range(2):
        await_spare(node, "one")
        seen = []
        answers = in_parallel(4, lambda _: (node.call("one/f/0.05"), seen.append(sum(node.functions("one")["one/f"]["instances"].values())))[0])
        assert [answer.json() for answer in answers] == [1] * 4
        assert max(seen) <= 1
    assert rung(node.call("one/f")) in ("spare", "runtime")


@needs_node
def test_init_that_fails_is_not_run_again_for_nobody(node):
    """As it is tried out for the deployment it has another pid than in an instance."""
    deploy_node(node, "crash", 'if (process.pid === 1) { console.error("tried"); throw new Error("not in an instance"); }\n' + NODE)
    tries = lambda: sum(line["text"] == "tried" for line in node.logs("crash/f"))  # noqa: E731
    eventually(lambda: tries() == 1, "the spare's start", 30)
    node.deploy_function(SLOW, app="later")
    await_spare(node, "later")
    assert tries() == 1
    answer = node.call("crash/f")
    assert answer.status_code == 502 and "not in an instance" in answer.text, answer.text
    eventually(lambda: tries() == 4, "the call's own tries")
    assert rung(node.call("later/f")) == "spare"
    await_spare(node, "later")
    assert tries() == 4 and spares(node, "crash") == 0


@needs_node
def test_one_that_ends_while_it_waits_comes_back_with_a_cold_call(node):
    deploy_node(node, "ends", NODE)
    await_spare(node, "ends")
    pids = node.pids_in("instances", "ends")
    assert len(pids) == 1
    os.kill(pids.pop(), signal.SIGKILL)
    eventually(lambda: spares(node, "ends") == 0, "that its end is seen")
    assert rung(node.call("ends/f")) == "fork"
    await_spare(node, "ends")


def test_a_new_version_has_its_own_and_the_old_one_none(node):
    node.deploy_function(SLOW, app="new")
    await_spare(node, "new")
    old = node.pids_in("instances", "new")
    node.deploy_function(SLOW + "# changed\n", app="new")
    eventually(lambda: not old & node.pids_in("instances", "new"), "the end of the old version's spare")
    await_spare(node, "new")
    assert rung(node.call("new/f")) == "spare"
    assert node.usage("new/f")[-1]["version"] == 2


AT_ONCE = 20
SERVER = '''let calls = 0;
require("node:http").createServer((request, response) => response.end(JSON.stringify({ calls: ++calls }))).listen(process.env.PORT, "127.0.0.1");
'''


@needs_node
@pytest.mark.parametrize("spec", [{"runtime": "node", "handler": "index.handler"}, {"runtime": "http", "command": "exec node server.js"}], ids=["node", "http"])
def test_cold_calls_at_one_moment_are_all_answered(node, spec):
    """One finds the spare; each of the others has an instance of its own started."""
    app = f"burst-{spec['runtime']}"
    function = {**spec, "memory": "128Mi", "reuse": "never", "scale": {"max": AT_ONCE}, "timeout": "60s"}
    node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"f": function}}), "index.js": NODE, "server.js": SERVER})
    for _ in range(2):
        eventually(lambda: spares(node, app) == sum(node.functions(app)[f"{app}/f"]["instances"].values()) == 1, "the spare alone", 30)
        answers = in_parallel(AT_ONCE, lambda _: node.call(f"{app}/f", timeout=120))
        assert [(answer.status_code, answer.json()) for answer in answers] == [(200, {"calls": 1})] * AT_ONCE
        rungs = [rung(answer) for answer in answers]
        assert rungs.count("spare") >= 1 and set(rungs) <= {"spare", "fork"}, rungs
        records = [node.usage(f"{app}/f", request=answer.headers["x-ebb-request-id"])[0] for answer in answers]
        assert len({record["instance"] for record in records}) == AT_ONCE and {record["outcome"] for record in records} == {"ok"}
    node.cli("rm", app, "--yes")
    eventually(lambda: not node.pids_in("instances", app), "the end of every instance")
