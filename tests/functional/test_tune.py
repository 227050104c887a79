"""`ebb tune`, and the versions of another size it is made of: beside what serves, and gone afterwards."""

import json
import re
import signal
import subprocess

import pytest

from ebb_node import BINARY, eventually

SOURCE = '''
import os, time

def handler(event, context):
    if event.get("hold"):
        print("held", flush=True)
        time.sleep(event["hold"])
    block = bytearray(int(event.get("mb", 1)) << 20)
    block[::4096] = b"x" * (len(block) // 4096)
    end = time.process_time() + event.get("cpu_ms", 0) / 1000
    while time.process_time() < end:
        pass
    return context.function_version
kept = handler
'''


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, {"handler": {"memory": "128Mi"}, "kept": {"scale": {"min": 1}, "idle_timeout": "300ms"}})


def versions(node, function="handler"):
    """Numbers of the versions that have instances, and the current one."""
    return {one["version"] for one in node.cli_json("ls", "app")["functions"] if one["function"] == function}


def make(node, body, function="handler", expect=201):
    answer = node.call(f"/api/v1/apps/app/functions/{function}/versions", json=body)
    assert answer.status_code == expect, answer.text
    return answer.json()


def remove(node, number, function="handler"):
    return node.call(f"/api/v1/apps/app/functions/{function}/versions/{number}", method="DELETE")


def invoke(node, event, version=None):
    return json.loads(node.cli("invoke", "app/handler" + (f":{version}" if version else ""), "--data", json.dumps(event)).stdout)


def test_a_version_of_another_size_serves_by_its_number_only(node):
    made = make(node, {"memory": "64Mi", "cpu": "0.5"})
    number = made["version"]
    assert made["spec"]["memory"] == "64Mi" and made["spec"]["cpu"] == 0.5 and made["spec"]["scale"] == {"min": 0, "max": 20}
    current = invoke(node, {})
    assert str(current) != str(number) and str(invoke(node, {}, number)) == str(number)
    records = node.usage("app/handler")
    assert (records[-1]["version"], records[-1]["memory_limit_bytes"]) == (number, 64 << 20)
    assert "out of memory" in node.cli("invoke", f"app/handler:{number}", "--data", '{"mb": 100}', expect=7).stderr
    assert invoke(node, {"mb": 100}) == current
    assert remove(node, number).status_code == 204
    eventually(lambda: versions(node) == {int(current)}, "the end of its instances")
    assert node.cli("invoke", f"app/handler:{number}", expect=3).returncode == 3
    assert remove(node, number).status_code == 404


def test_what_cannot_be_made_or_removed(node):
    assert "memory" in make(node, {"memory": "1Ki"}, expect=400)["error"]["message"]
    assert "cpu" in make(node, {"cpu": "1000"}, expect=400)["error"]["message"]
    assert "memroy" in make(node, {"memroy": "64Mi"}, expect=400)["error"]["message"]
    make(node, {"cpu": "1"}, function="nobody", expect=404)
    current = remove(node, int(invoke(node, {})))
    assert current.status_code == 409 and "current version" in current.text
    assert remove(node, "x").status_code == 400
    assert "current version" in node.cli("rm", f"app/handler:{invoke(node, {})}", "--yes", expect=5).stderr


def test_an_old_version_keeps_nothing_ready(node):
    """Asked for by number, it serves and goes, though its scale.min once kept an instance."""
    kept = lambda number: [sum(one["instances"].values()) for one in node.cli_json("ls", "app")["functions"]  # noqa: E731
                           if one["function"] == "kept" and one["version"] == number]
    eventually(lambda: kept(1) == [1], "its minimum")
    node.deploy_app(SOURCE + "# changed\n", {"handler": {"memory": "128Mi"}, "kept": {"scale": {"min": 0}, "idle_timeout": "300ms"}})
    eventually(lambda: kept(1) == [], "the end of the old version's instances")
    assert node.cli("invoke", "app/kept:1").returncode == 0
    eventually(lambda: kept(1) == [], "that it has gone again")


def test_tune_finds_the_size(node):
    before = versions(node)
    done = node.cli("tune", "app/handler", "--data", '{"mb": 30, "cpu_ms": 100}', "--calls", "3", "--cpu", "0.25,1", "--json")
    found = json.loads(done.stdout)
    sizes = {(one["memory"], one["cpu"]): one for one in found["sizes"]}
    assert {cpu for _, cpu in sizes} == {0.25, 1} and len(sizes) == 4 and "128Mi" in {memory for memory, _ in sizes}
    assert all(one["calls"] == 3 and one["failed"] == 0 and one["memory_peak_mb"] > 30 for one in sizes.values())
    for memory in {memory for memory, _ in sizes}:
        # The kernel gives a quarter of a processor 25 ms in each 100: 100 ms of work need at least four of them.
        assert sizes[memory, 0.25]["handler_ms_p50"] > 200 and sizes[memory, 1]["handler_ms_p50"] > 100
    assert found["fastest"]["cpu"] == 1 and found["take"] in found["sizes"]
    assert found["cheapest"]["cu_per_1000_calls"] == min(one["cu_per_1000_calls"] for one in sizes.values())
    eventually(lambda: versions(node) == before, "the end of all versions that it made")
    assert {record["version"] for record in node.usage("app/handler")} > before, "the calls were real"


def test_tune_leaves_out_a_size_that_fails_and_draws(node, tmp_path):
    chart = tmp_path / "sizes.svg"
    done = node.cli("tune", "app/handler", "--data", '{"mb": 60}', "--calls", "2", "--memory", "32Mi,128Mi", "--cpu", "1", "--aim", "cost", "--chart", chart)
    lines = done.stdout.splitlines()
    assert re.search(r"^ *32Mi .* 2 failed: out_of_memory$", lines[1]) and "take this" in lines[2] and "leave app/handler as it is" in lines[-1]
    assert chart.read_text().startswith("<svg") and "cpu 1" in chart.read_text()
    assert "no size" in node.cli("tune", "app/handler", "--data", '{"mb": 60}', "--calls", "1", "--memory", "32Mi", "--cpu", "1", expect=7).stdout


def test_tune_says_what_is_wrong(node):
    assert "no function app/nobody" in node.cli("tune", "app/nobody", expect=3).stderr
    assert "not JSON" in node.cli("tune", "app/handler", "--data", "{", expect=2).stderr
    assert "--cpu: 'x'" in node.cli("tune", "app/handler", "--cpu", "1,x", expect=2).stderr
    assert "name one function" in node.cli("tune", "app", expect=2).stderr
    assert "the first call ended with" in node.cli("tune", "app/handler", "--data", '{"mb": 500}', expect=7).stderr
    assert "100 sizes" in node.cli("tune", "app/handler", "--cpu", ",".join(f"0.{n}" for n in range(100, 200)), "--memory", "64Mi", expect=2).stderr


def test_ctrl_c_takes_the_versions_away(node):
    before = versions(node)
    process = subprocess.Popen([BINARY, "tune", "app/handler", "--data", '{"hold": 600}', "--memory", "64Mi", "--cpu", "1"], env=node.environment(),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: "held" in node.cli("logs", "app/handler").stdout, "a call under way")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        eventually(lambda: versions(node) == before, "that nothing of it is left")
    finally:
        process.kill()
        process.wait()
