"""A node whose wall clock is set forward by a month, back, and right again while calls run: every call has its record, each month its bill and its
budget, and what goes by durations notices nothing."""

import contextlib
import datetime
import decimal
import json
import shutil
import struct
import subprocess
import sys
import threading
import time

import pytest

from ebb_node import BINARY, PATIENCE, ROOT, Node, as_list, eventually, removed_after
from test_traces import Collector

RECOMPUTE = ROOT / "tools/recompute_bill.py"
SOURCE = """
import time

def works(event, context):
    print("at work")
    time.sleep(float(event.get("body") or 0))
    return "done"

kept = works
"""
NOON = datetime.datetime(2026, 11, 15, 12, tzinfo=datetime.timezone.utc)
DAY = 86_400
MONTH = 31 * DAY
CALL = decimal.Decimal("0.0075")

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is needed")


class Clock:
    """The clocks of a node's launcher and daemon. Sandboxes keep the machine's."""

    def __init__(self, node):
        library = node.directory / "set_clock.so"
        subprocess.run(["gcc", "-O1", "-fPIC", "-shared", "-o", library, ROOT / "tests/functional/set_clock.c", "-ldl"], check=True, timeout=120)
        self._file = node.directory / "clock"
        self._file.write_bytes(bytes(16))
        self._file.chmod(0o644)
        self.set(0)
        node.serve_binary = node.directory / "ebb"
        node.serve_binary.write_text(f'#!/bin/sh\nexec env LD_PRELOAD={library} EBB_TEST_CLOCK={self._file} '
                                     f'ASAN_OPTIONS=verify_asan_link_order=0 {BINARY} "$@"\n')
        node.serve_binary.chmod(0o755)

    def set(self, seconds):
        """So far ahead of a Sunday in the middle of November."""
        self.set_to(NOON + datetime.timedelta(seconds=seconds))

    def set_to(self, moment):
        """In place, for the file is mapped."""
        with open(self._file, "r+b") as file:
            file.write(struct.pack("<q", int((moment.timestamp() - time.time()) * 1e9)))

    def pass_time(self, seconds):
        """So much goes by at once, on both clocks."""
        with open(self._file, "r+b") as file:
            ahead = struct.unpack("<2q", file.read(16))
            file.seek(0)
            file.write(struct.pack("<2q", *(one + int(seconds * 1e9) for one in ahead)))

    def ahead(self):
        """Seconds that the wall clock is ahead of the machine's."""
        return struct.unpack("<q", self._file.read_bytes()[:8])[0] / 1e9

    @staticmethod
    def month(ahead=0):
        return (NOON + datetime.timedelta(seconds=ahead)).strftime("%Y-%m")


@contextlib.contextmanager
def clocked(**config):
    node = Node({"usage_held_interval": "1s", **config})
    with removed_after(node):
        clock = Clock(node)
        prices = node.directory / "prices.yaml"
        prices.write_text("currency: EUR\nprices:\n  - free: 1\n    tiers: [{up_to: 1, price: 0.333333333333}, {price: 0.123456789}]\n")
        prices.chmod(0o644)
        node.config["price_file"] = str(prices)
        node.start()
        yield node, clock
        node.stop()


def budget(node):
    return node.cli_json("budget", "ls")["budgets"][0]


def turned_to(node, month):
    eventually(lambda: budget(node)["month"] == month, f"the budgets of {month}")


def moment(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_every_call_is_on_the_bill_of_the_month_that_the_clock_said(tmp_path):
    collector = Collector()
    with clocked(otlp_traces_endpoint=f"http://127.0.0.1:{collector.port}/v1/traces", freeze_after="300ms") as (node, clock):
        began = time.monotonic()
        node.deploy_app(SOURCE, {"works": {"scale": {"max": 4}}, "kept": {"memory": "64Mi", "scale": {"min": 1}}})
        node.cli("quota", "set", "app", "--calls-per-second", "10000", "--calls-at-once", "100")
        ended, answers, stop = [], [], threading.Event()

        def call():
            while not stop.is_set():
                answer = node.call("app/works", data="0.02")
                answers.append(answer.headers["X-Ebb-Request-Id"])
                ended.append(answer.status_code)

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for ahead in (MONTH, 2 * MONTH, 0, -MONTH, MONTH, 0):
            more, told = len(ended) + 40, node.serve_log().count("clock_set")
            clock.set(ahead)
            eventually(lambda: len(ended) >= more, "forty more answers", 30)
            eventually(lambda: node.serve_log().count("clock_set") > told, "the line that says so")
            seen = as_list(node.cli_json("logs", "app/works", "--since", "1h"))
            assert seen and all(moment(line["time"]) > NOON.timestamp() + ahead - 3600 for line in seen)
        stop.set()
        for caller in callers:
            caller.join()
        assert set(ended) == {200}
        took_ms = (time.monotonic() - began) * 1000

        eventually(lambda: len([span for span in collector.spans() if span["name"] == "app/works"]) == len(answers), "the spans of every call", 30)

        # From here on nothing is written while it is compared.
        node.stop()
        node.config["usage_held_interval"] = "10m"
        node.start()

        months = {clock.month(ahead) for ahead in (0, MONTH, 2 * MONTH, -MONTH)}
        assert len(months) == 4
        calls, sums = {}, 0
        for month in months:
            records, bill = tmp_path / f"{month}.jsonl", tmp_path / f"{month}.json"
            records.write_text(node.cli("usage", "--export", "--month", month).stdout)
            bill.write_text(node.cli("bill", "--month", month, "--json").stdout)
            done = subprocess.run([sys.executable, "-I", RECOMPUTE, records, bill], capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            total = json.loads(bill.read_text())["apps"][0]["total"]
            assert total["billed_invocations"] > 0
            sums += total["billed_invocations"]
            for record in map(json.loads, records.read_text().splitlines()):
                assert record["arrival"].startswith(month)
                if record["trigger"] == "held":
                    assert 0 < record["held_for_ms"] <= took_ms and sum(record["held_ms"].values()) <= 6 * took_ms
                    continue
                assert record["request_id"] not in calls
                calls[record["request_id"]] = record
                assert 20 <= record["handler_ms"] <= record["total_ms"] <= took_ms and 20 <= record["billed_ms"] <= took_ms
        assert set(calls) == set(answers) and len(answers) == len(set(answers)) == sums
        assert node.cli_json("ledger", "verify")["damage"] == []

        for span in collector.spans():
            start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            assert 0 <= end - start <= took_ms * 1e6
            if span["name"] == "app/works":
                off = abs(start / 1e9 - moment(calls[span["attributes"]["faas.invocation_id"]]["arrival"]))
                assert off < took_ms / 1000 or off > 27 * DAY, "as the record says, unless the clock was set within the call"
    collector.close()


def spend_budget(node):
    """Four calls, and then a budget of three."""
    node.deploy_app(SOURCE, {"works": {"memory": "128Mi", "cpu": 0.1}})
    for _ in range(4):
        assert node.call("app/works").status_code == 200
    node.cli("budget", "set", "app", f"{3 * CALL:f}")


def test_budgets_are_each_months_own_wherever_the_clock_goes():
    with clocked() as (node, clock):
        spend_budget(node)
        assert node.call("app/works").status_code == 429

        clock.set(MONTH)
        turned_to(node, clock.month(MONTH))
        assert node.call("app/works").status_code == 200
        used = eventually(lambda: decimal.Decimal(budget(node)["cu_used"]), "what it used there")
        assert CALL <= used < 2 * CALL

        clock.set(0)
        turned_to(node, clock.month())
        refused = node.call("app/works")
        assert refused.status_code == 429
        assert 0 < int(refused.headers["Retry-After"]) <= MONTH and clock.month() in refused.text
        this_month = decimal.Decimal(budget(node)["cu_used"])
        assert this_month >= 4 * CALL

        # Killed while the clock is a month ahead, it finds both months as they were.
        clock.set(MONTH)
        node.kill_daemon()
        eventually(node.is_ready, "the next daemon", 30)
        assert decimal.Decimal(budget(node)["cu_used"]) >= used and budget(node)["month"] == clock.month(MONTH)
        assert node.call("app/works").status_code == 200
        clock.set(0)
        turned_to(node, clock.month())
        assert node.call("app/works").status_code == 429, "after the kill, too"
        assert abs(decimal.Decimal(budget(node)["cu_used"]) - this_month) < decimal.Decimal("0.000001")
        bill = node.cli_json("bill", "--month", clock.month())["apps"][0]["total"]["cu"]
        assert abs(decimal.Decimal(bill) - this_month) < decimal.Decimal("0.000001")


def test_a_node_that_started_before_its_clock_was_right_knows_what_the_month_has_used():
    with clocked() as (node, clock):
        spend_budget(node)
        node.stop()
        clock.set_to(datetime.datetime(1970, 1, 1, 0, 1, tzinfo=datetime.timezone.utc))  # a machine without a battery
        node.start()
        assert node.call("app/works").status_code == 200
        assert budget(node)["month"] == "1970-01"
        clock.set(0)
        turned_to(node, clock.month())
        assert node.call("app/works").status_code == 429, "the month's budget is spent"
        assert decimal.Decimal(budget(node)["cu_used"]) >= 4 * CALL
        bill = {month: node.cli_json("bill", "--month", month)["apps"][0]["total"]["invocations"] for month in ("1970-01", clock.month())}
        assert bill == {"1970-01": 1, clock.month(): 4}


def test_quotas_keys_and_what_is_kept_ready_go_by_durations():
    with clocked() as (node, clock):
        node.deploy_app(SOURCE, {"works": {"idle_timeout": "2m"}, "kept": {"scale": {"min": 2}}})
        node.cli("quota", "set", "app", "--calls-per-second", "20")
        key = node.cli_json("key", "create", "--role", "read", "--app", "app")["key"]
        instances = eventually(lambda: len(node.pids_in("instances")) == 2 and node.pids_in("instances"), "two kept instances")
        for ahead in (-10 * 365 * DAY, DAY, 0):
            clock.set(ahead)
            began, answers = time.monotonic(), []
            while answers.count(200) < 40 and time.monotonic() - began < 30 * PATIENCE:
                answers.append(node.call("app/works").status_code)
            took = time.monotonic() - began
            assert set(answers) <= {200, 429}
            assert 40 <= answers.count(200) <= 20 * (took + 1) + 1, "a second's worth and the rate since"
            assert node.call("/api/v1/functions", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert instances <= node.pids_in("instances"), "the clock ended none"
