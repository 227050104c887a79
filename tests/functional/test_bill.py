"""Bills on a real node: what calls of every outcome cost, computed again by a program that shares no code with Ebb."""

import json
import pathlib
import subprocess
import sys

import pytest

from ebb_node import BINARY, ROOT, Node, in_parallel, running

RECOMPUTE = ROOT / "tools/recompute_bill.py"

SOURCE = '''
import os, time

def works(event, context):
    time.sleep(0.01)
    return "ok"

def fails(event, context):
    raise ValueError("no")

def slow(event, context):
    time.sleep(60)

def dies(event, context):
    os._exit(3)

def streams(event, context):
    for n in range(5):
        time.sleep(0.01)
        yield f"{n}\\n"
'''
FUNCTIONS = {"works": {"cpu": 0.5, "memory": "200Mi", "scale": {"max": 4}}, "fails": {"memory": "77Mi"}, "slow": {"timeout": "100ms"},
             "dies": {}, "streams": {"cpu": 2}}
PRICES = """currency: EUR
prices:
  - from: 2026-01-01
    free: 0
    tiers: [{up_to: 1, price: 0.333333333333}, {price: 0.123456789}]
"""


@pytest.fixture(scope="module")
def billed():
    """A node with a price file, on which every kind of call was made."""
    node = Node()
    prices = node.directory / "prices.yaml"
    prices.write_text(PRICES)
    prices.chmod(0o644)
    node.config["price_file"] = str(prices)
    with running(node):
        node.deploy_app(SOURCE, FUNCTIONS)
        in_parallel(8, lambda _: [node.call("app/works") for _ in range(25)])
        for name, status in (("fails", 502), ("slow", 504), ("dies", 502), ("streams", 200)):
            for _ in range(3):
                assert node.call(f"app/{name}").status_code == status
        node.cli("invoke", "app/works")
        assert len(node.usage()) == 213
        yield node


def recomputed(node, directory, *options):
    records, bill = directory / "records.jsonl", directory / "bill.json"
    records.write_text(node.cli("usage", "--export").stdout)
    bill.write_text(node.cli("bill", *options, "--json").stdout)
    return subprocess.run([sys.executable, "-I", RECOMPUTE, records, bill], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("by", ["function", "version", "trigger", "day"])
def test_an_independent_program_computes_the_same_bill(billed, tmp_path, by):
    done = recomputed(billed, tmp_path, "--by", by)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "213 records" in done.stdout and "0.000000 EUR" not in done.stdout


def test_the_independent_program_sees_a_difference(billed, tmp_path):
    assert recomputed(billed, tmp_path).returncode == 0
    bill = json.loads((tmp_path / "bill.json").read_text())
    line = bill["apps"][0]["lines"][0]
    line["amount"] = line["amount"][:-1] + str((int(line["amount"][-1]) + 1) % 10)
    (tmp_path / "bill.json").write_text(json.dumps(bill))
    done = subprocess.run([sys.executable, RECOMPUTE, tmp_path / "records.jsonl", tmp_path / "bill.json"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and "amount" in done.stdout
    lines = (tmp_path / "records.jsonl").read_text().splitlines()
    (tmp_path / "records.jsonl").write_text("\n".join(lines[1:]))  # one record lost
    done = subprocess.run([sys.executable, RECOMPUTE, tmp_path / "records.jsonl", tmp_path / "bill.json"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 1 and "invocations" in done.stdout


def test_lines_triggers_and_the_way_to_them(billed):
    bill = billed.cli_json("bill", "--app", "app")
    lines = {line["label"]: line for line in bill["apps"][0]["lines"]}
    assert set(lines) == set(FUNCTIONS) and bill["open"] == 0
    assert lines["works"]["billed_invocations"] == 201 and lines["works"]["outcomes"] == {"ok": 201}
    assert lines["fails"]["outcomes"] == {"function_error": 3} and lines["slow"]["outcomes"] == {"timed_out": 3}
    assert lines["dies"]["outcomes"] == {"crashed": 3} and lines["slow"]["billed_ms"] >= 300
    by_trigger = {line["label"]: line for line in billed.cli_json("bill", "--by", "trigger")["apps"][0]["lines"]}
    assert by_trigger["direct"]["invocations"] == 1 and by_trigger["http"]["invocations"] == 212
    record = billed.usage("app/works")[-1]
    story = billed.cli("bill", "explain", "app/works", "--request", record["request_id"]).stdout
    assert f"0.5 vCPU x {record['billed_ms']} ms" in story and "line works of" in story and "tier: 1.000000000 CU" in story
    page = billed.directory / "bill.html"
    billed.cli("bill", "--html", page)
    assert f"Amount: {bill['amount']} EUR" in page.read_text()
    assert billed.cli("bill", "--month", "2020-01").stdout.count("nothing was used") == 1


def test_a_wrong_price_file_fails_bills_and_nothing_else(billed):
    path = pathlib.Path(billed.config["price_file"])
    try:
        path.write_text(PRICES.replace("0.333333333333", "-1"))
        failed = billed.cli("bill", expect=None)
        assert failed.returncode == 2 and "must not be negative" in failed.stderr and "line 5" in failed.stderr
        assert billed.call("app/works").status_code == 200
    finally:
        path.write_text(PRICES)
    assert billed.cli_json("bill")["currency"] == "EUR"


def test_a_wrong_price_file_keeps_a_node_from_starting(tmp_path):
    prices, config = tmp_path / "prices.yaml", tmp_path / "ebb.yaml"
    prices.write_text(PRICES.replace("up_to: 1, ", ""))
    config.write_text(json.dumps({"data_dir": str(tmp_path / "data"), "price_file": str(prices)}))
    done = subprocess.run([BINARY, "serve", "--config", config], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2 and "only the last tier has no end" in done.stderr and str(prices) in done.stderr
