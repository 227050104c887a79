"""`ebb replay`: a recorded stretch against a real node, its report held against the calls, and nothing left afterwards."""

import json
import signal
import subprocess
import xml.etree.ElementTree

import pytest

from ebb_node import BINARY, PATIENCE, eventually
from test_sim import RUNS

MINUTES = 4


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    """Three functions: two calls in three seconds, one call a minute, none at all in the first four minutes."""
    folder = tmp_path_factory.mktemp("trace")
    minutes = range(1, 7)
    busy = ",".join("40" for _ in minutes)
    timer = ",".join("1" for _ in minutes)
    late = "0,0,0,0,9,9"
    header = "HashOwner,HashApp,HashFunction,Trigger," + ",".join(map(str, minutes))
    counts = folder / "day_inv.csv"
    counts.write_text(f"{header}\no,a,busy,http,{busy}\no,b,timer,timer,{timer}\no,b,late,http,{late}\n")
    (folder / "day_run.csv").write_text(
        RUNS + "o,a,busy,500,9,1,900,50,60,300,500,700,800,900\no,b,timer,9,9,9,9,9,9,9,9,9,9,9\no,b,late,9,9,9,9,9,9,9,9,9,9,9\n")
    (folder / "day_mem.csv").write_text(
        "HashOwner,HashApp,SampleCount,AverageAllocatedMb,AverageAllocatedMb_pct1\no,a,9,90,60\no,b,9,60,50\n")
    return counts


def replay(node, trace, *options, expect=0):
    done = node.cli("replay", trace, *options, expect=expect)
    return done.stderr if expect else done.stdout


def start(node, trace, errors, *options):
    """A replay in the background; what it says goes to the file `errors`."""
    with errors.open("w") as sink:
        return subprocess.Popen([str(BINARY), "replay", str(trace), *map(str, options)], env=node.environment(), stdout=subprocess.DEVNULL, stderr=sink)


def sandboxes(node):
    return node.pids_in("sandboxes", app="replay")


def apps(node):
    return {function["app"] for function in node.cli_json("ls")["functions"]}


@pytest.mark.sanitized
def test_every_call_is_made_answered_and_accounted_for(node, trace, tmp_path):
    chart = tmp_path / "replay.svg"
    report = json.loads(replay(node, trace, "--minutes", MINUTES, "--speed", 20, "--json", "--chart", chart))
    calls = MINUTES * (40 + 1)
    assert report["functions"] == report["functions_called"] == 2, "the one that is not called in the stretch is left out"
    live, predicted = report["live"], report["predicted"]
    assert live["calls"] == live["answered"] == predicted["calls"] == calls
    assert live["errors"] == 0
    assert report["records"] == {"matched": calls, "missing": 0, "beyond": 0, "equal_calls": True}
    assert live["idle"] + live["fork"] + live["cold"] == calls
    # The busy function: 60 MB of it are always there. Both sides hold that for the 12 s of the replay.
    for side in (live, predicted):
        assert len(side["held_gb_by_minute"]) == MINUTES
        assert 12 * 60 / 1024 < side["held_gb_seconds"] < 12 * 600 / 1024
        assert 0 < side["used_gb_seconds"] < side["held_gb_seconds"]
    assert xml.etree.ElementTree.parse(chart).getroot().tag.endswith("svg")
    assert apps(node) == set(), "the apps of a replay are removed"


def test_the_table_says_what_was_scaled(node, trace):
    table = replay(node, trace, "--minutes", 2, "--speed", 40)
    assert "minutes 0 to 2 at 40 x speed in 3 s: 2 of 2 functions, 82 calls" in table
    assert "LIVE" in table and "PREDICTED" in table
    assert "usage records: 82 of 82 calls answered, none beyond" in table


def test_an_app_of_that_name_is_not_touched(node, trace):
    node.deploy_app("def handler(event, context):\n    return 1\n", {"handler": {}}, app="replay")
    try:
        error = replay(node, trace, "--minutes", 2, expect=5)
        assert "there is an app replay already" in error and "--app" in error
        assert node.cli("invoke", "replay/handler", "--data", "{}").stdout.strip() == "1"
    finally:
        node.cli("rm", "replay", "--yes")


@pytest.mark.parametrize("after", ["deploying", "replaying"])
def test_ctrl_c_removes_what_was_deployed(node, trace, after, tmp_path):
    errors = tmp_path / "errors"
    eventually(lambda: not sandboxes(node), "the end of those before", 30)
    process = start(node, trace, errors, "--minutes", MINUTES, "--speed", 2)
    begun = {"deploying": lambda: sandboxes(node), "replaying": lambda: "replaying" in errors.read_text()}[after]
    eventually(lambda: begun() or process.poll() is not None, after, 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(60 * PATIENCE) == 130, errors.read_text()
    assert "stopped, removing what was deployed" in errors.read_text()
    assert apps(node) == set()


def test_keep_leaves_the_apps(node, trace):
    replay(node, trace, "--minutes", 1, "--speed", 60, "--app", "kept", "--keep")
    assert apps(node) == {"kept"}
    node.cli("rm", "kept", "--yes")


def test_calls_that_fail_are_counted_and_told(node, trace, tmp_path):
    errors = tmp_path / "errors"
    process = start(node, trace, errors, "--minutes", MINUTES, "--speed", 20)
    eventually(lambda: "replaying" in errors.read_text() or process.poll() is not None, "the first call", 60)
    node.cli("rm", "replay", "--yes")
    assert process.wait(120 * PATIENCE) == 7, errors.read_text()


@pytest.mark.parametrize("options, said", [
    (("--from", "0:05", "--minutes", "5"), "which has 6 minutes"),
    (("--from", "25h"), "--from is '25h'"),
    (("--speed", "0"), "--speed"),
    (("--app", "Not A Name"), "Not A Name"),
    (("--calibration", "/nonexistent.json"), "/nonexistent.json"),
])
def test_wrong_input_is_named(node, trace, options, said):
    done = node.cli("replay", trace, *options, expect=None)
    assert done.returncode in (2, 3) and said in done.stderr, done
    assert apps(node) == set()


def test_no_node_is_said_with_the_remedy(node, trace):
    assert "is ebb serve running?" in replay(node, trace, "--url", "http://127.0.0.1:1", expect=8)
