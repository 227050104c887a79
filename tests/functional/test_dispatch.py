"""What the scheduler does for a warm call allocates nothing: its bench counts, and ends with 1 where anything was."""

import subprocess

import pytest

from ebb_node import BINARY

BENCH = BINARY.parent / "dispatch_bench"


@pytest.mark.skipif(not BENCH.exists(), reason="./dev build release dispatch_bench")
def test_a_warm_call_allocates_nothing():
    done = subprocess.run([BENCH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:6]]
    assert [row[0] for row in rows] == ["1", "10", "100", "1000", "10000"] and all(row[-1] == "0" for row in rows), done.stdout
