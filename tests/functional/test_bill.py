"""Bills on a real node: what calls of every outcome cost, computed again by a program that shares no code with Ebb."""

import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import time

import pytest

from ebb_node import BINARY, ROOT, Node, eventually, in_parallel, running

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


@pytest.mark.parametrize("by", ["function", "version", "alias", "trigger", "day"])
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
    assert set(lines) - {"(runtimes)"} == set(FUNCTIONS) and bill["open"] == 0
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


HUNGRY = """
def handler(event, context):
    block = bytearray(int(event["rawPath"][1:]) << 20)
    block[::4096] = b"x" * (len(block) // 4096)
    return len(block)
roomy = tight = handler
"""


def test_who_pays_for_a_call_that_ran_out_of_memory():
    """The node's budget is the platform's matter, the function's own limit its own."""
    with running(Node({"memory_budget": "600Mi"})) as node:
        node.deploy_app(HUNGRY, {"roomy": {"memory": "2Gi"}, "tight": {"memory": "100Mi"}})
        failed = node.call("app/roomy/900")
        assert failed.status_code == 502 and "memory_budget" in failed.text and "not billed" in failed.text
        assert node.call("app/tight/300").status_code == 502
        lines = {line["label"]: line for line in node.cli_json("bill")["apps"][0]["lines"]}
        assert lines["roomy"]["outcomes"] == {"platform_fault": 1} and lines["roomy"]["cu"] == "0.000000000"
        assert lines["tight"]["outcomes"] == {"out_of_memory": 1} and float(lines["tight"]["cu"]) > 0
        assert "not billed: 1 platform_fault" in node.cli("bill").stdout
        assert "the platform failed" in node.cli("bill", "explain", "app/roomy").stdout


INIT = """
import pathlib, time
time.sleep(0.4)
if time.time() > float(pathlib.Path(__file__).with_name("deadline").read_text()):
    raise RuntimeError("too late")
def handler(event, context):
    return 1
"""


def test_initialisation_is_never_billed(fresh_node):
    """Neither one that a call waited for, nor one that fails: that call gets no instance and has no record."""
    node = fresh_node
    node.deploy({"ebb.yaml": json.dumps({"app": "app", "functions": {"f": {"handler": "app.handler", "idle_timeout": "0s"}}}),
                 "app.py": INIT, "deadline": str(time.time() + 3600)})
    node.stop()
    node.start()  # makes the zygote anew: the call waits for it
    assert node.call("app/f").status_code == 200
    package = node.cli_json("versions", "app/f")["versions"][0]["package"]
    record = node.usage("app/f")[-1]
    assert record["billed_ms"] <= record["handler_ms"] + 1
    assert record["rung"] == "fork" or record["init_ms"] + record["queue_ms"] >= 100
    node.stop()
    (node.data / "packages" / package / "deadline").write_text("0")  # as if it had passed
    node.start()
    failed = node.call("app/f")
    assert failed.status_code >= 500, failed.text
    assert len(node.usage("app/f")) == 1 and node.cli_json("bill")["apps"][0]["total"]["invocations"] == 1


RECORD_BYTES, SEGMENT_RECORDS = 256, 16384


def early_segment(count):
    """A segment as the first version of Ebb wrote them: no checksums, no trigger, no alias. All records closed, 100 ms at 1 vCPU and 1 GiB."""
    header = struct.pack("<8s4I3q", b"EBBUSAGE", 1, RECORD_BYTES, SEGMENT_RECORDS, 0, 0, 0, 0).ljust(4096, b"\0")
    arrival = int(time.time() * 1e9)
    one = struct.pack("<16sq3Q2I40s40s8s6q5QHB5s12sI", b"i" * 16, arrival, 1, 1, 1 << 30, 1, 1000, b"old", b"f", b"\0" * 8,
                      0, 0, 0, 100_000_000, 100_000_000, 0, 100, 0, 0, 0, 0, 200, 0, b"", b"", 2)
    assert len(one) == RECORD_BYTES
    return header + one * count + bytes(RECORD_BYTES) * (SEGMENT_RECORDS - count)


def test_an_early_log_a_damaged_segment_and_a_cut_one(fresh_node):
    """Data of the first format is on the bill; what is damaged is not, is named, and calls go on."""
    node = fresh_node
    node.deploy_function("def handler(event, context):\n    return 1\n")
    node.stop()
    usage = node.data / "usage"
    owner = usage.stat()
    for path in usage.iterdir():
        path.unlink()
    (usage / "usage-0000000001.ebb").write_bytes(early_segment(SEGMENT_RECORDS - 3))
    os.chown(usage / "usage-0000000001.ebb", owner.st_uid, owner.st_gid)
    node.start()
    for _ in range(5):
        assert node.call("app/f").status_code == 200
    eventually(lambda: node.cli_json("ledger", "verify")["rolled"] == 1, "the roll-up of the full segment")
    bill = {app["app"]: app["total"] for app in node.cli_json("bill")["apps"]}
    assert bill["old"]["billed_invocations"] == SEGMENT_RECORDS - 3 and bill["app"]["billed_invocations"] == 5
    assert bill["old"]["vcpu_seconds"] == f"{(SEGMENT_RECORDS - 3) / 10:.6f}"
    report = node.cli_json("ledger", "verify")
    assert report["damage"] == [] and report["unchecked"] == 1
    before = node.cli_json("bill")
    assert node.cli_json("ledger", "rebuild")["damage"] == [] and node.cli_json("bill") == before
    node.stop()

    second = usage / "usage-0000000002.ebb"
    damaged = bytearray(second.read_bytes())
    damaged[4096 + 200] ^= 4  # of the first of the two records there
    second.write_bytes(damaged)
    node.start()
    assert node.call("app/f").status_code == 200
    bill = node.cli_json("bill")
    assert {app["app"]: app["total"]["billed_invocations"] for app in bill["apps"]} == {"old": SEGMENT_RECORDS - 3, "app": 5}
    assert len(bill["damage"]) == 1 and str(second) in bill["damage"][0]
    assert node.cli_json("ledger", "verify", expect=1)["damage"] == bill["damage"]
    assert str(second) in node.cli("bill").stdout
    node.stop()

    second.write_bytes(bytes(damaged[:5000]))
    node.start()
    assert node.call("app/f").status_code == 200
    assert "usage_segment_damaged" in node.serve_log() and str(second) in node.serve_log()
    assert any("instead of" in line for line in node.cli_json("bill")["damage"])
    assert second.stat().st_size == 5000


def test_a_full_disk_refuses_calls_until_there_is_room_again(fresh_node):
    node = fresh_node
    node.deploy_function("def handler(event, context):\n    return 1\n")
    node.stop()
    usage = node.data / "usage"
    owner = usage.stat()
    shutil.rmtree(usage)
    usage.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size=6m,mode=0700,uid={owner.st_uid},gid={owner.st_gid}", "tmpfs", usage], check=True)
    try:
        first = usage / "usage-0000000001.ebb"
        first.write_bytes(early_segment(SEGMENT_RECORDS - 3))
        os.chown(first, owner.st_uid, owner.st_gid)
        node.start()  # the early segment is not written on, and there is no room for another
        refused = node.call("app/f")
        assert refused.status_code == 503 and "free some disk space" in refused.text
        assert not node.usage("app/f"), "a call that cannot be metered is not run"
        subprocess.run(["mount", "-o", "remount,size=30m", usage], check=True)
        eventually(lambda: node.call("app/f").status_code == 200, "that it serves again")
        eventually(lambda: node.cli_json("ledger", "verify")["rolled"] == 1, "the roll-up")
        totals = {app["app"]: app["total"]["billed_invocations"] for app in node.cli_json("bill")["apps"]}
        assert totals["old"] == SEGMENT_RECORDS - 3 and totals["app"] == len(node.usage("app/f"))
    finally:
        subprocess.run(["umount", "-l", usage], check=True)
