"""What a function printed and what it used: each line and each record belongs to one invocation, all of them are there."""

import fractions
import math
import re
import subprocess
import threading

import pytest

from ebb_node import BINARY, eventually, in_parallel, parse_json

SOURCE = '''
import os, subprocess, sys, time

def says(event, context):
    token = event["rawPath"][1:]
    print("out", token)
    print("err", token, file=sys.stderr)
    os.write(1, b"written " + token.encode() + b"\\n")
    subprocess.run(["/bin/echo", "child", token])
    print("no line end", token, end="")
    return context.request_id

def quiet(event, context):
    return 1

def odd(event, context):
    os.write(1, b"\\xff\\x00bad\\x1b[31m\\r\\n\\n")
    print("x" * 200_000)
    sys.stdout.close()

def much(event, context):
    block = ("y" * 999 + "\\n").encode() * 1_000
    for _ in range(int(event["rawPath"][1:])):
        os.write(1, block)
    os.write(2, b"the end\\n")
    return "done"

def works(event, context):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    held = bytearray(os.urandom(1 << 20) * 30)
    return {"statusCode": 203, "body": "x" * 1000}
'''
FUNCTIONS = {"says": {"scale": {"max": 8}}, "quiet": {}, "odd": {}, "much": {"timeout": "5m"}, "works": {"cpu": 0.5, "memory": "200Mi"}}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, FUNCTIONS)


def expected_lines(token):
    return {("out", f"out {token}"), ("err", f"err {token}"), ("out", f"written {token}"), ("out", f"child {token}"),
            ("out", f"no line end {token}")}


@pytest.mark.sanitized
def test_lines_of_one_invocation(node):
    ids = [node.call(f"app/says/one{n}").text for n in range(3)]
    for number, request in enumerate(ids):
        lines = node.logs("app/says", request=request)
        assert {(line["stream"], line["text"]) for line in lines} == expected_lines(f"one{number}") and len(lines) == 5
        assert all(line["request_id"] == request and line["app"] == "app" and line["function"] == "says" for line in lines)
        ordered = [line["text"].rsplit(" ", 1)[0] for line in lines if line["stream"] == "out"]
        assert ordered == ["out", "written", "child", "no line end"]


def test_lines_stay_with_their_invocation_under_load(node):
    answers = in_parallel(200, lambda n: (f"load{n}", node.call(f"app/says/load{n}").text))
    assert len({request for _, request in answers}) == 200
    lines = {}
    for line in node.logs("app/says"):
        lines.setdefault(line["request_id"], []).append((line["stream"], line["text"]))
    if sum(map(len, lines.values())) >= 1000:  # the default limit: read them one by one
        lines = {}
    for token, request in answers:
        found = lines.get(request) or [(line["stream"], line["text"]) for line in node.logs("app/says", request=request)]
        assert sorted(found) == sorted(expected_lines(token)), token


def test_log_command_shows_and_follows(node):
    request = node.call("app/says/shown").text
    shown = node.cli("logs", "app/says", "--request", request).stdout
    assert f"{request} out out shown\n" in shown and f"{request} err err shown\n" in shown
    assert f"says out out shown\n" in node.cli("logs", "app").stdout  # of a whole app the function is named
    assert len(node.cli("logs", "app/says", "--limit", 3).stdout.splitlines()) == 3
    assert node.logs("app/quiet") == []
    assert "nowhere" in node.cli("logs", "nowhere", expect=3).stderr
    assert node.cli("logs", "app/says", "--request", "junk", expect=2).stderr


def test_follow_prints_lines_as_they_come(node):
    before = node.call("app/says/before").text
    process = subprocess.Popen([str(BINARY), "logs", "-f", "--json", "app/says", "--url", node.url], stdout=subprocess.PIPE, text=True)
    seen = []
    reader = threading.Thread(target=lambda: [seen.append(parse_json(line)) for line in process.stdout])
    reader.start()
    try:
        eventually(lambda: any(line["request_id"] == before for line in seen), "the lines that were there")
        after = [node.call(f"app/says/after{n}").text for n in range(5)]
        eventually(lambda: {line["request_id"] for line in seen} >= set(after), "the new lines")
        eventually(lambda: sum(line["request_id"] == after[-1] for line in seen) == 5, "all of the last")
    finally:
        process.terminate()
        process.wait()
        reader.join()
    for request in [before, *after]:
        assert sum(line["request_id"] == request for line in seen) == 5  # each once
    ids = [line["request_id"] for line in seen]
    assert ids.index(before) < ids.index(after[0]) < ids.index(after[-1])


def test_output_of_any_bytes_is_kept_and_shown_safely(node):
    node.call("app/odd")
    lines = node.logs("app/odd")
    assert "bad" in lines[0]["text"] and lines[1]["text"] == ""
    long = [line["text"] for line in lines if set(line["text"]) == {"x"}]
    assert sum(map(len, long)) == 200_000 and max(map(len, long)) <= 64 * 1024
    assert node.call("app/quiet").status_code == 200


def print_and_check(node, megabytes):
    response = node.call(f"app/much/{megabytes}", timeout=300)
    assert response.status_code == 200 and response.text == "done"
    request = response.headers["X-Ebb-Request-Id"]
    page = node.cli_json("logs", "app/much", "--request", request, "--limit", 10_000)["lines"]
    out = sum(len(line["text"]) + 1 for line in page if line["stream"] == "out")
    assert (1 << 20) - 1000 <= out <= (1 << 20) + 1000
    said = [line["text"] for line in page if line["stream"] == "platform"]
    dropped = megabytes * 1_000_000 - (1 << 20)
    assert any(str(dropped) in text and "dropped" in text and "1Mi" in text for text in said), said
    assert [line["text"] for line in page if line["stream"] == "err"] == ["the end"]
    assert node.call("app/quiet").status_code == 200
    disk = sum(path.stat().st_size for path in node.data.rglob("*") if path.is_file() and "much" in str(path))
    assert disk < 8 << 20


def test_a_hundred_megabytes_of_output_are_bounded(node):
    print_and_check(node, 100)


@pytest.mark.slow
def test_a_gigabyte_of_output_is_bounded(node):
    print_and_check(node, 1000)


def charge(record):
    """The formula of the documentation, on its own: vCPU-seconds + 0.15 GiB-seconds + 0.0075 a call, rounded up to a millionth."""
    seconds = fractions.Fraction(record["billed_ms"], 1000)
    cu = seconds * fractions.Fraction(record["cpu_millis"], 1000) + fractions.Fraction("0.0075")
    cu += seconds * fractions.Fraction(record["memory_limit_bytes"], 1 << 30) * fractions.Fraction("0.15")
    return math.ceil(cu * 1_000_000)


def test_one_record_per_invocation(node):
    before = node.usage_totals("app/quiet")["invocations"]
    ids = in_parallel(50, lambda n: node.call("app/quiet").headers["X-Ebb-Request-Id"])
    ids += [node.call("app/quiet").headers["X-Ebb-Request-Id"] for _ in range(10)]
    records = [record["request_id"] for record in node.usage("app/quiet")]
    assert len(records) == len(set(records)) == before + 60 and set(ids) <= set(records)
    assert node.usage_totals("app/quiet")["invocations"] == before + 60


def test_charge_can_be_recomputed_and_adds_up(node):
    for _ in range(3):
        node.call("app/works")
        node.call("app/quiet")
    records = node.usage()
    for record in records:
        assert record["billed_ms"] == max(1, math.ceil(round(record["handler_ms"], 6))), record
        assert re.fullmatch(r"\d+\.\d{6}", record["cu"]) and fractions.Fraction(record["cu"]) * 1_000_000 == charge(record), record
    for target in (None, "app", "app/works"):
        of = [r for r in records if target in (None, r["app"], f"{r['app']}/{r['function']}")]
        totals = node.usage_totals(target)
        assert totals["invocations"] == len(of) and totals["billed_ms"] == sum(r["billed_ms"] for r in of)
        assert fractions.Fraction(totals["cu"]) == sum(fractions.Fraction(r["cu"]) for r in of)


def test_record_measures_the_work(node):
    response = node.call("app/works", data=b"12345")
    record, = node.usage(request=response.headers["X-Ebb-Request-Id"])
    assert (record["app"], record["function"], record["version"]) == ("app", "works", 1)
    assert (record["outcome"], record["http_status"], record["state"]) == ("ok", 203, "closed")
    assert (record["memory_limit_bytes"], record["cpu_millis"]) == (200 << 20, 500)
    assert (record["bytes_in"], record["bytes_out"]) == (5, 1000)
    assert 50 <= record["cpu_ms"] < record["handler_ms"] + 100
    assert 30 << 20 <= record["memory_peak_bytes"] <= 200 << 20
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", record["arrival"])


def test_usage_command(node):
    response = node.call("app/works")
    table = node.cli("usage", "app/works").stdout
    assert response.headers["X-Ebb-Request-Id"] in table and " CU" in table.splitlines()[-1]
    since = node.usage(request=response.headers["X-Ebb-Request-Id"])[0]["arrival"]
    later = node.cli_json("usage", "app/works", "--since", since)["records"]
    assert [record["request_id"] for record in later] == [response.headers["X-Ebb-Request-Id"]]
    assert node.cli_json("usage", "app/works", "--until", since)["totals"]["invocations"] == node.usage_totals("app/works")["invocations"] - 1
    assert len(node.cli_json("usage", "--limit", 2)["records"]) == 2
    assert node.cli("usage", "app", "--limit", "0x", expect=2).stderr


def test_metrics_agree_with_the_records(node):
    records = node.usage(limit=10_000)
    metrics = node.metrics()
    for function in FUNCTIONS:
        of = [record for record in records if record["function"] == function]
        labels = f'app="app",function="{function}"'
        counted = {name: value for name, value in metrics.items() if name.startswith("ebb_invocations_total{") and labels in name}
        assert sum(counted.values()) == len(of), function
        if of:
            ok = next(value for name, value in counted.items() if 'outcome="ok"' in name)
            assert ok == sum(record["outcome"] == "ok" for record in of)
            assert metrics[f"ebb_handler_seconds_count{{{labels}}}"] == len(of)
            total = sum(record["handler_ms"] for record in of) / 1000
            assert metrics[f"ebb_handler_seconds_sum{{{labels}}}"] == pytest.approx(total, rel=1e-4, abs=1e-4)
    assert metrics["ebb_usage_records_open"] == 0
