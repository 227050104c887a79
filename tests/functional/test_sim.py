"""`ebb sim` on the command line: a small day in the form of the Azure Functions 2019 data set, and a calibration from a real node's records."""

import json
import subprocess

import pytest

from ebb_node import BINARY

RUNS = ("HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,percentile_Average_1,percentile_Average_25,"
        "percentile_Average_50,percentile_Average_75,percentile_Average_99,percentile_Average_100\n")
HANDLER = "def handler(event, context):\n    return {}\n"
MANIFEST = "app: sim\nfunctions:\n  f:\n    runtime: python3\n    handler: app.handler\n    memory: 128Mi\n    idle_timeout: 0s\n"


def sim(*arguments, expect=0, stdin=None):
    run = subprocess.run([BINARY, "sim", *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == expect, run.stderr
    return run.stderr if expect else run.stdout


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trace")
    minutes = range(1, 121)
    busy = ",".join("3" for _ in minutes)
    timer = ",".join("1" if minute % 10 == 0 else "0" for minute in minutes)
    header = "HashOwner,HashApp,HashFunction,Trigger," + ",".join(map(str, minutes))
    counts = folder / "invocations_per_function_md.anon.d01.csv"
    counts.write_text(f"{header}\no,a,busy,http,{busy}\no,b,timer,timer,{timer}\n")
    (folder / "function_durations_percentiles.anon.d01.csv").write_text(
        RUNS + "o,a,busy,100,1,1,1,50,50,80,100,120,200,300\no,b,timer,10,1,1,1,5,5,8,10,12,20,30\n")
    (folder / "app_memory_percentiles.anon.d01.csv").write_text(
        "HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1\no,a,9,150,120\no,b,9,100,90\n")
    return counts


def test_every_policy_answers_every_call(trace, tmp_path):
    table = sim(trace, "--chart", tmp_path / "day.svg", "--frontier-chart", tmp_path / "frontier.svg")
    for policy in ("fixed 1 min", "fixed 60 min", "hybrid histogram", "greedy-dual", "ebb", "node, price 0"):
        assert f"\n{policy} " in table
    assert (tmp_path / "day.svg").read_text().count("<polyline") == 9
    assert (tmp_path / "frontier.svg").read_text().rstrip().endswith("</svg>")
    report = json.loads(sim(trace, "--json"))
    assert len(report["policies"]) == 10
    for policy in report["policies"]:
        assert policy["calls"] == policy["answered"] == 3 * 120 + 12
        assert policy["idle"] + policy["fork"] + policy["cold"] == policy["calls"]
        assert len(policy["held_gb_by_minute"]) == report["minutes"] == 120
    held = {policy["policy"]: policy["held_gb_seconds"] for policy in report["policies"]}
    assert held["node"] < held["node, price 0"], "as installed a node lets nothing go while it has memory"
    assert json.loads(sim(trace, "--json", "--price", 0, "--policy", "node"))["policies"][0]["held_gb_seconds"] == held["node, price 0"]
    assert held["ebb"] < held["fixed 60 min"] and held["fixed 1 min"] < held["fixed 60 min"]


def test_spares_are_shown_with_what_they_hold_and_save(trace):
    """Every function starts a program in each instance: the node keeps a spare of those it holds."""
    options = (trace, "--programs", 1, "--price", 1000)
    report = {policy["policy"]: policy for policy in json.loads(sim(*options, "--json"))["policies"]}
    node, without = report["node"], report["node, no spares"]
    for policy in (node, without):
        assert policy["idle"] + policy["fork"] + policy["cold"] + policy["spare"] == policy["calls"] == policy["answered"]
    assert node["spare"] > 0 and node["spare_starts"] >= node["spare"] and without["spare"] == without["spare_starts"] == 0
    assert 0 < node["spares_held_gb_seconds"] < node["held_gb_seconds"]
    assert node["added_ms"]["mean"] < without["added_ms"]["mean"] and node["used_gb_seconds"] == pytest.approx(without["used_gb_seconds"], rel=0.05)
    table = sim(*options)
    assert "\nSPARES " in table and "node, no spares" in table
    assert json.loads(sim(*options, "--max-spares", 0, "--policy", "node", "--json"))["policies"][0]["spare"] == 0
    assert "SPARES" not in sim(trace)


def test_the_same_seed_gives_the_same_run(trace):
    options = (trace, "--functions", 20, "--nodes", 3, "--policy", "ebb", "--spread", "timers")
    assert sim(*options, "--seed", 7) == sim(*options, "--seed", 7)
    assert sim(*options, "--seed", 7) != sim(*options, "--seed", 8)


def test_wrong_input_is_named(trace, tmp_path):
    assert "/nonexistent_inv.csv" in sim("/nonexistent_inv.csv", expect=3)
    assert "--spread" in sim(trace, "--spread", "nowhere", expect=2)
    assert "no policy is named" in sim(trace, "--policy", "ebbb", expect=2)
    lost = tmp_path / "counts.csv"
    lost.write_text(trace.read_text())
    assert "--durations" in sim(lost, expect=2)
    assert "not a JSON object" in sim("calibrate", "-", stdin="hello", expect=2)


def test_a_calibration_comes_from_a_nodes_records(node, trace, tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "app.py").write_text(HANDLER)
    (package / "ebb.yaml").write_text(MANIFEST)
    node.deploy(package)
    for _ in range(5):
        node.cli("invoke", "sim/f", "--data", "{}")
    usage = json.dumps(node.cli_json("usage", "sim/f"))
    calibration = json.loads(sim("calibrate", "--measured-on", "this test", stdin=usage))
    records = [record for record in json.loads(usage)["records"] if record["rung"] == "fork" and record["state"] == "closed"]
    assert records, "every call of a function that keeps nothing idle is a fork"
    longest = max(record["queue_ms"] + record["start_ms"] for record in records)
    assert calibration["fork_ms"][-1] == [1.0, pytest.approx(longest, abs=0.001)]
    assert calibration["measured_on"] == "this test"
    file = tmp_path / "node.json"
    file.write_text(json.dumps(calibration))
    assert "this test" in sim(trace, "--calibration", file, "--policy", "ebb", "--json")
