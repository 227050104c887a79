"""What keeping the books costs: a record on the request path, and a month of records added up in bounded memory."""

import json
import subprocess
import tempfile

import figures

RECORD_CPU_US_AT_MOST = 2
PEAK_MB_AT_MOST = 256


def measure(program, records):
    before = figures.load()
    with tempfile.TemporaryDirectory(prefix="ebb-ledger-") as folder:
        answer = subprocess.run([program, folder, str(records)], capture_output=True, text=True, check=True, timeout=1200)
    return {**json.loads(answer.stdout), "load": [before, figures.load()]}


def report(result):
    cpu = result["record_cpu_us"]
    rows = [(f"{result['records']:,}", f"{cpu['p50']:.2f}", f"{cpu['p99']:.2f}", f"{result['roll_s']:.1f}", f"{1e6 * result['roll_cpu_s'] / result['records']:.1f}",
             f"{result['verify_s']:.1f}", f"{result['month_ms']:.1f}", f"{result['days_ms']:.0f}", f"{result['peak_kb'] / 1024:.0f}", f"{result['database_kb'] / 1024:.0f}")]
    head = ("records", "record us CPU, p50", "p99 of rounds", "added up in s", "us CPU each", "verified in s", "a bill's month ms", "by day ms", "peak MB", "ledger MB")
    return figures.table(head, rows)


def judge(result, bars):
    bars.at_most("ledger: processor time of a record, p99 of rounds", result["record_cpu_us"]["p99"], RECORD_CPU_US_AT_MOST, "us")
    bars.at_most("ledger: memory to write and add up all records", result["peak_kb"] / 1024, PEAK_MB_AT_MOST, "MB")
    bars.at_most("ledger: damaged", result["damage"], 0)
