"""What is held in memory between calls: counted by version and tier, on the bill, the same after kills, and recomputed to the last digit."""

import decimal
import json
import subprocess
import sys
import time

import pytest

from ebb_node import ROOT, Node, eventually, running

RECOMPUTE = ROOT / "tools/recompute_bill.py"
SOURCE = """
import time

def kept(event, context):
    time.sleep(float(event.get("body") or 0))
    return 1

loose = kept
"""
FUNCTIONS = {"kept": {"memory": "128Mi", "cpu": 0.5, "scale": {"min": 2, "max": 4}}, "loose": {"memory": "64Mi", "idle_timeout": "2m"}}
PRICES = """currency: EUR
prices:
  - cu: {sleeping_vcpu_second: 0.123456, sleeping_gib_second: 0.654321}
    tiers: [{up_to: 1, price: 0.333333333333}, {price: 0.123456789}]
"""


def lines(node, by="version"):
    return {line["label"]: line for app in node.cli_json("bill", "--by", by)["apps"] for line in app["lines"]}


def seconds(node, label, tier):
    line = lines(node).get(label)
    return decimal.Decimal(line["held"][tier]["seconds"]) if line else decimal.Decimal(0)


def recomputed(node, directory, by):
    records, bill = directory / "records.jsonl", directory / "bill.json"
    records.write_text(node.cli("usage", "--export").stdout)
    bill.write_text(node.cli("bill", "--by", by, "--json").stdout)
    return subprocess.run([sys.executable, "-I", RECOMPUTE, records, bill], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def held():
    """A node that has kept two instances ready for some seconds, and after a restart writes no more such records for a while."""
    node = Node({"usage_held_interval": "1s", "freeze_after": "500ms"})
    prices = node.directory / "prices.yaml"
    prices.write_text(PRICES)
    prices.chmod(0o644)
    node.config["price_file"] = str(prices)
    with running(node):
        began = time.monotonic()
        node.deploy_app(SOURCE, FUNCTIONS)
        for body in ("1", "", "", "", ""):
            assert node.call("app/kept", data=body).status_code == 200 and node.call("app/loose", data=body).status_code == 200
        eventually(lambda: seconds(node, "kept:1", "provisioned") > 2, "two seconds of provisioned instances", 30)
        eventually(lambda: seconds(node, "loose:1", "frozen") > 1, "a second of a frozen one", 30)
        node.stop()
        node.passed = time.monotonic() - began
        node.config["usage_held_interval"] = "10m"
        node.start()
        yield node


def test_each_tier_is_counted(held):
    kept, loose = lines(held)["kept:1"], lines(held)["loose:1"]
    for line in (kept, loose):
        assert 0 < decimal.Decimal(line["held"]["zygote"]["seconds"]) <= held.passed
        assert decimal.Decimal(line["held"]["zygote"]["gib_seconds"]) > 0
        assert decimal.Decimal(line["held"]["active"]["seconds"]) >= 1
    assert decimal.Decimal(kept["held"]["provisioned"]["seconds"]) <= 2 * held.passed
    assert decimal.Decimal(kept["held"]["provisioned"]["gib_seconds"]) > 0
    assert decimal.Decimal(loose["held"]["frozen"]["gib_seconds"]) > 0
    assert decimal.Decimal(loose["held"]["provisioned"]["seconds"]) == 0
    assert kept["invocations"] == loose["invocations"] == 5


def test_the_runtime_zygote_that_the_functions_share_is_counted_once_and_billed_to_nobody(held):
    shared = lines(held)["(runtimes)"]
    assert lines(held, "function")["(runtimes)"]["held"] == shared["held"]
    alive = decimal.Decimal(shared["held"]["zygote"]["seconds"])
    # It is there before the zygotes that are its children, and as long as they are.
    assert max(decimal.Decimal(lines(held)[label]["held"]["zygote"]["seconds"]) for label in ("kept:1", "loose:1")) - 1 < alive <= held.passed
    of_it = decimal.Decimal(shared["held"]["zygote"]["gib_seconds"]) / alive * 1024
    assert 1 < of_it < 200, "MiB of an interpreter"
    assert {tier for tier, sum in shared["held"].items() if decimal.Decimal(sum["seconds"]) > 0} == {"zygote"}
    assert shared["cu"] == "0.000000000" and shared["amount"] == "0.000000" and shared["invocations"] == 0
    assert "app/(runtimes)" in held.cli("usage", "--held").stdout
    counted = lambda: held.metrics()['ebb_memory_held_byte_seconds_total{app="app",tier="runtime"}']  # noqa: E731
    eventually(lambda: counted() > 1 << 20, "that the metrics, which are counted now and then, say so")


def test_what_scale_min_kept_is_billed_asleep_and_the_rest_is_not(held):
    kept, loose = lines(held)["kept:1"], lines(held)["loose:1"]
    asleep = decimal.Decimal(kept["held"]["provisioned"]["seconds"])
    expected = asleep * decimal.Decimal("0.5") * decimal.Decimal("0.123456") + asleep / 8 * decimal.Decimal("0.654321")
    assert abs(decimal.Decimal(kept["cu_sleeping"]) - expected) <= decimal.Decimal("0.000000001")
    assert loose["cu_sleeping"] == "0.000000000"
    for line in (kept, loose):
        parts = sum(decimal.Decimal(line[name]) for name in ("cu_cpu", "cu_memory", "cu_calls", "cu_sleeping"))
        assert abs(decimal.Decimal(line["cu"]) - parts) <= decimal.Decimal("0.000000004")


@pytest.mark.parametrize("by", ["function", "version", "alias", "trigger", "day"])
def test_an_independent_program_computes_the_same(held, tmp_path, by):
    done = recomputed(held, tmp_path, by)
    assert done.returncode == 0, done.stdout + done.stderr
    records = (tmp_path / "records.jsonl").read_text().splitlines()
    without = [line for line in records if json.loads(line)["trigger"] != "held"]
    assert len(without) == 10 < len(records)
    (tmp_path / "records.jsonl").write_text("\n".join(without))
    done = subprocess.run([sys.executable, "-I", RECOMPUTE, tmp_path / "records.jsonl", tmp_path / "bill.json"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and "cu_sleeping" in done.stdout


def test_it_is_shown_and_stands_apart_from_invocations(held):
    assert len(held.usage()) == 10 and held.usage_totals()["invocations"] == 10
    shown = held.cli("usage", "--held", "app/kept").stdout
    assert "app/kept:1" in shown and "loose" not in shown and "PROVISIONED" in shown
    assert "held: zygote" in held.cli("bill").stdout and "kept by scale.min: vCPU-s x 0.123456" in held.cli("bill").stdout
    assert lines(held, "trigger")["held"]["billed_invocations"] == 0
    csv = held.cli("bill", "--by", "version", "--csv").stdout.splitlines()
    assert csv[0].endswith("held_frozen,held_active") and len({line.count(",") for line in csv}) == 1
    assert "exclude each other" in held.cli("usage", "--held", "--export", expect=2).stderr
    for wrong in (("--held", "--since", "1h"), ("--export", "--limit", "5"), ("--export", "--request", "01M84JAGT8MGCMXH4DFH25Q989")):
        assert "of a whole month" in held.cli("usage", *wrong, expect=2).stderr
    report = held.cli_json("ledger", "verify")
    assert report["damage"] == [] and report["records"] > 10
    before = held.cli_json("bill")
    assert held.cli_json("ledger", "rebuild")["damage"] == [] and held.cli_json("bill") == before


def test_the_cost_chart_draws_it(held, tmp_path):
    chart = tmp_path / "cost.svg"
    found = json.loads(held.cli("cost", "--live", "--peak-server", "0.05", "--chart", chart, "--json").stdout)
    total = sum(decimal.Decimal(tier["gib_seconds"]) for line in lines(held).values() for tier in line["held"].values())
    assert found["held_gb_hours"] == pytest.approx(float(total) / 3600, rel=1e-6)
    assert 0 < found["active_gb_hours"] < found["held_gb_hours"]
    assert "GB held" in chart.read_text() and found["calls"] == 10


def test_sigkill_loses_at_most_the_last_interval():
    with running(Node({"usage_held_interval": "1s"})) as node:
        began = time.monotonic()
        node.deploy_app(SOURCE, FUNCTIONS)
        eventually(lambda: seconds(node, "kept:1", "provisioned") > 2, "records of provisioned instances", 30)
        before = seconds(node, "kept:1", "provisioned")
        node.kill_daemon()
        eventually(node.is_ready, "the next daemon", 20)
        after = eventually(lambda: seconds(node, "kept:1", "provisioned"), "the bill")
        assert before <= after <= 2 * decimal.Decimal(time.monotonic() - began)
        eventually(lambda: seconds(node, "kept:1", "provisioned") > after, "that it goes on", 30)
        assert node.cli_json("ledger", "verify")["damage"] == []


def test_a_budget_counts_them_and_lets_go_of_them_when_it_is_spent():
    with running(Node({"usage_held_interval": "1s"})) as node:
        node.deploy_app(SOURCE, {"kept": {**FUNCTIONS["kept"], "idle_timeout": "0s"}})
        node.cli("budget", "set", "app", "0.001")  # CU: some hundredths of a second of two instances
        eventually(lambda: node.cli_json("budget", "ls")["budgets"][0]["state"] == "spent", "a budget that nobody's calls used", 20)
        assert node.call("app/kept").status_code == 429
        eventually(lambda: not node.pids_in("instances"), "the end of the instances that were kept", 20)
        eventually(lambda: node.cli_json("bill")["apps"], "a bill")
        node.cli("budget", "set", "app", "1000")
        eventually(lambda: len(node.pids_in("instances")) == 2, "that two are kept again", 20)
        assert node.call("app/kept").status_code == 200
