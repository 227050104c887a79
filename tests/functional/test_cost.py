"""`ebb cost`: of a recorded day, and of what the node has recorded."""

import json

import pytest


@pytest.fixture
def day(tmp_path):
    """Two hours of one function: a call a minute of 60 s, and twenty in the busiest minute."""
    minutes = [1] * 120
    minutes[90] = 20
    (tmp_path / "day_inv.csv").write_text("HashOwner,HashApp,HashFunction," + ",".join(str(n) for n in range(1, 121)) + "\no,a,f," + ",".join(map(str, minutes)) + "\n")
    quantiles = (0, 1, 25, 50, 75, 99, 100)
    (tmp_path / "day_run.csv").write_text("HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum," + ",".join(f"percentile_Average_{q}" for q in quantiles)
                                          + "\no,a,f,60000,139,60000,60000," + ",".join(["60000"] * len(quantiles)) + "\n")
    pcts = (1, 5, 25, 50, 75, 95, 99, 100)
    (tmp_path / "day_mem.csv").write_text("HashOwner,HashApp,SampleCount,AverageAllocatedMb," + ",".join(f"AverageAllocatedMb_pct{q}" for q in pcts)
                                          + "\no,a,10,819.2," + ",".join(["819.2"] * len(pcts)) + "\n")
    return tmp_path / "day_inv.csv"


def test_of_a_recorded_day(node, day, tmp_path):
    words = ("cost", day, "--peak-server", "0.1", "--cu-price", "0.001", "--server", "4x64")
    found = json.loads(node.cli(*words, "--json").stdout)
    assert (found["calls"], found["hours"], found["servers"]) == (139, 2, 5)  # twenty vCPUs at once
    assert found["cu"] == pytest.approx(139 * (60 + 0.15 * 60 + 0.0075), rel=1e-6)  # 1 vCPU, 1 GB, a minute
    assert found["servers_cost"] == pytest.approx(1.0) and found["used_cost"] == pytest.approx(found["cu"] * 0.001)
    assert found["correlation_calls"] == pytest.approx(1) and found["correlation_work"] == pytest.approx(1)
    assert found["cost_per_1000_calls_least"] == pytest.approx(found["cost_per_1000_calls_most"])
    chart = tmp_path / "cost.svg"
    text = node.cli(*words, "--chart", chart).stdout
    assert "139 calls in 2.0 hours" in text and "break-even" in text and chart.read_text().startswith("<svg")


def test_of_what_the_node_recorded(node):
    node.deploy_function("def handler(event, context):\n    return 1\n", app="costly", memory="128Mi")
    try:
        for _ in range(5):
            assert node.call("costly/f").status_code == 200
        records = node.usage("costly/f")
        found = json.loads(node.cli("cost", "--live", "--app", "costly", "--peak-server", "0.05", "--json").stdout)
        assert found["calls"] == 5 and found["servers"] == 1
        assert found["cu"] == pytest.approx(sum(float(record["cu"]) for record in records))
        assert "by use costs" in node.cli("cost", "--live", "--peak-server", "0.05").stdout
    finally:
        node.cli("rm", "costly", "--yes")


def test_what_is_wrong_is_said(node, day):
    assert "--live" in node.cli("cost", "--peak-server", "1", expect=2).stderr
    assert "--peak-server" in node.cli("cost", day, expect=2).stderr
    assert "write its vCPUs and GB as 2x4" in node.cli("cost", day, "--peak-server", "1", "--server", "big", expect=2).stderr
    assert "--month are of --live" in node.cli("cost", day, "--peak-server", "1", "--month", "2026-11", expect=2).stderr
    assert "no usage records" in node.cli("cost", "--live", "--month", "2001-01", "--peak-server", "1", expect=3).stderr
    assert "cannot read" in node.cli("cost", "nowhere_inv.csv", "--peak-server", "1", expect=3).stderr
