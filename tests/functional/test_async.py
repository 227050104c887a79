"""Asynchronous calls: kept before they are answered, delivered at least once, tried again, and waiting where others are refused."""

import concurrent.futures
import shutil
import time

import pytest
import requests

from ebb_node import eventually, in_parallel
from test_clock import MONTH, clocked

SOURCE = """
import os
import time

def note(event, context):
    print("had", event["n"])
    return event["n"]

def slow(event, context):
    time.sleep(event["s"])

def pieces(event, context):
    yield b"one"
    yield b"two"

def fails(event, context):
    raise ValueError("no luck with it")

def crashes(event, context):
    os._exit(3)

def hangs(event, context):
    time.sleep(600)
"""
ONCE_MORE = {"async": {"retries": 1, "retry_after": "1s"}}
SERVER = "import http.server, os\nhttp.server.test(http.server.SimpleHTTPRequestHandler, port=int(os.environ['PORT']))\n"


@pytest.fixture(scope="module", autouse=True)
def apps(node):
    functions = {"note": {}, "pieces": {}, "fails": ONCE_MORE, "crashes": ONCE_MORE, "hangs": {"timeout": "500ms", **ONCE_MORE},
                 "slow": {"scale": {"max": 2}}}
    node.deploy_app(SOURCE, functions, app="left")
    node.deploy_app(SOURCE, {"note": {}}, app="other")
    yield


@pytest.fixture(autouse=True)
def unbounded(node):
    yield
    node.cli("budget", "rm", "left", expect=None)
    node.cli("quota", "rm", "left", expect=None)


def leave(node, target, event, key=None, more=""):
    app, function = target.split("/")
    headers = {"Authorization": f"Bearer {key}"} if key else None
    return node.call(f"/api/v1/apps/{app}/functions/{function}/invocations?async=true{more}", json=event, headers=headers)


def left(node, target, event, **options):
    """The call's id."""
    answer = leave(node, target, event, **options)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def calls(node, *words):
    return node.cli_json("calls", "ls", *words)["calls"]


def is_done(node, call):
    answer = node.call(f"/api/v1/calls/{call}")
    assert answer.status_code in (200, 404), answer.text
    if answer.status_code == 200:
        assert answer.json()["state"] != "failed", answer.text
    return answer.status_code == 404


def wait_done(node, call, seconds=30):
    eventually(lambda: is_done(node, call), f"the end of call {call}", seconds, evidence=lambda: node.call(f"/api/v1/calls/{call}").text)


def wait_failed(node, call, seconds=30):
    def look():
        return node.cli_json("calls", "show", call)
    eventually(lambda: look()["state"] == "failed", f"the failure of call {call}", seconds, evidence=look)
    return look()


def spend(node, app="left"):
    node.cli("budget", "set", app, "0")


@pytest.mark.sanitized
def test_it_is_answered_at_once_and_then_runs(node):
    answer = leave(node, "left/note", {"n": "one"})
    assert answer.status_code == 202
    call = answer.json()["id"]
    assert answer.headers["X-Ebb-Request-Id"] == call and answer.headers["Location"] == f"/api/v1/calls/{call}"
    assert answer.json()["waits_because"] == ""
    wait_done(node, call)
    assert [line["text"] for line in node.logs("left/note", request=call)] == ["had one"]
    record, = node.usage(request=call)
    assert (record["trigger"], record["outcome"], record["attempt"], record["billed"]) == ("async", "ok", 1, True)
    assert "it is done" in node.cli("calls", "show", call, expect=3).stderr
    lines = node.cli_json("bill", "--app", "left", "--by", "trigger")["apps"][0]["lines"]
    assert next(line for line in lines if line["label"] == "async")["invocations"] >= 1


def test_on_the_command_line(node):
    done = node.cli("invoke", "left/note", "--async", "--data", '{"n": 2}')
    call = done.stdout.strip()
    assert len(call) == 26 and "accepted" in done.stderr
    wait_done(node, call)
    assert node.cli_json("invoke", "left/note:1", "--async", "--data", '{"n": 3}')["waits_because"] == ""
    assert "no function" in node.cli("invoke", "left/nothing", "--async", expect=3).stderr


def test_a_stream_is_run_to_its_end(node):
    call = left(node, "left/pieces", {})
    wait_done(node, call)
    record, = node.usage(request=call)
    assert (record["outcome"], record["bytes_out"]) == ("ok", 6)


def test_each_of_many_runs_once(node):
    ids = in_parallel(200, lambda number: left(node, "left/note", {"n": f"many-{number}"}))
    eventually(lambda: not calls(node, "left/note"), "the end of all", 60, evidence=lambda: calls(node, "left/note"))
    records = [record for record in node.usage("left/note") if record["request_id"] in set(ids)]
    assert sorted(record["request_id"] for record in records) == sorted(ids)
    assert {record["outcome"] for record in records} == {"ok"}


@pytest.mark.parametrize("function,outcome,why", [
    ("fails", "function_error", "no luck with it"), ("crashes", "crashed", "exit status 3"), ("hangs", "timed_out", "within its timeout")])
def test_what_fails_is_tried_again_and_then_kept(node, function, outcome, why):
    call = left(node, f"left/{function}", {"n": 1})
    failed = wait_failed(node, call)
    assert failed["attempts"] == 2 and why in failed["error"], failed
    records = node.usage(request=call)
    assert [(record["outcome"], record["trigger"], record["attempt"]) for record in records] == [(outcome, "async", 1), (outcome, "async", 2)]
    assert call in [one["id"] for one in calls(node, f"left/{function}", "--state", "failed")]
    assert node.cli("calls", "show", call, "--event").stdout == '{"n": 1}'
    node.cli("calls", "retry", call)
    eventually(lambda: len(node.usage(request=call)) == 4, "two more attempts", 30)
    assert wait_failed(node, call)["attempts"] == 2
    assert "removed" in node.cli("calls", "rm", call).stdout
    node.cli("calls", "show", call, expect=3)


def test_a_function_that_was_mended_takes_what_had_failed(node):
    node.deploy_function("def handler(event, context):\n    return 1 / 0\n", app="mended", **{"async": {"retries": 0}})
    call = left(node, "mended/f", {})
    wait_failed(node, call)
    node.deploy_function("def handler(event, context):\n    return 1\n", app="mended")
    node.cli("calls", "retry", call)
    wait_done(node, call)
    assert [(record["outcome"], record["version"]) for record in node.usage(request=call)] == [("function_error", 1), ("ok", 2)]
    node.cli("rm", "mended", "--yes")


@pytest.mark.sanitized
def test_no_call_is_lost_when_the_node_is_killed(fresh_node):
    node = fresh_node
    node.deploy_app(SOURCE, {"slow": {"scale": {"max": 2}}}, app="left")
    accepted = []

    def leave_some(number):
        try:
            accepted.append(left(node, "left/slow", {"s": 0.05}))
        except (requests.RequestException, AssertionError):
            pass  # killed before it answered: nothing was promised

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        begun = [pool.submit(leave_some, number) for number in range(120)]
        eventually(lambda: len(accepted) > 40, "the first answers")
        node.kill_daemon()
        for one in begun:
            one.result()
    eventually(node.is_ready, "the next daemon", seconds=30)
    assert calls(node, "left"), "there is something left to do"
    node.stop(kill=True)  # the launcher
    node.start()
    more = [left(node, "left/slow", {"s": 0.05}) for _ in range(10)]
    node.stop()  # and in peace
    node.start()
    eventually(lambda: not calls(node, "left"), "the end of all", 60, evidence=lambda: calls(node, "left"))
    done = {record["request_id"] for record in node.usage("left/slow") if record["outcome"] == "ok"}
    lost = set(accepted + more) - done
    assert not lost, f"{len(lost)} of {len(accepted)}"


def test_a_spent_budget_keeps_calls_and_a_larger_one_lets_them_go(node):
    spend(node)
    assert node.call("left/note", data="{}").status_code == 429
    answer = leave(node, "left/note", {"n": "later"})
    assert answer.status_code == 202 and "app left has used its budget" in answer.json()["waits_because"]
    call = answer.json()["id"]
    said = node.cli("invoke", "left/note", "--async", "--data", '{"n": 1}')
    assert "it waits: app left has used its budget" in said.stderr
    wait_done(node, left(node, "other/note", {"n": "at once"}))
    shown = node.cli_json("calls", "show", call)
    assert shown["state"] == "waiting" and shown["attempts"] == 0 and "has used its budget" in shown["waits_because"]
    assert "has used its budget" in node.cli("calls", "ls", "left").stdout
    metrics = node.metrics()
    assert metrics['ebb_async_calls{app="left",state="waiting"}'] == 2 and metrics['ebb_async_oldest_seconds{app="left"}'] >= 0
    assert not node.usage(request=call)
    before = metrics["ebb_async_delivered_total"]
    node.cli("budget", "set", "left", "1000000")
    wait_done(node, call)
    wait_done(node, said.stdout.strip())
    assert node.metrics()["ebb_async_delivered_total"] == before + 2


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is needed")
def test_a_new_month_lets_them_go():
    with clocked() as (node, clock):
        node.deploy_app(SOURCE, {"note": {}}, app="left")
        node.cli("budget", "set", "left", "0.01")
        eventually(lambda: node.call("/api/v1/apps/left/functions/note/invocations", json={"n": 1}).status_code == 429, "the budget's end")
        call = left(node, "left/note", {"n": "next month"})
        assert "has used its budget" in node.cli_json("calls", "show", call)["waits_because"]
        clock.set(MONTH)
        wait_done(node, call)
        record, = node.usage(request=call)
        assert record["arrival"].startswith(clock.month(MONTH)), "it is charged to the month in which it ran"


def test_what_waits_longer_than_max_age_has_failed(node):
    node.deploy_app(SOURCE, {"note": {"async": {"max_age": "2s"}}}, app="aging")
    spend(node, "aging")
    call = left(node, "aging/note", {"n": 1})
    failed = wait_failed(node, call)
    assert "max_age" in failed["error"] and "has used its budget" in failed["error"] and failed["attempts"] == 0
    node.cli("budget", "rm", "aging")
    node.cli("calls", "retry", call)
    wait_done(node, call)
    node.cli("rm", "aging", "--yes")


def test_a_rate_is_waited_for(node):
    node.cli("quota", "set", "left", "--calls-per-second", "3")
    ids = [left(node, "left/note", {"n": number}) for number in range(12)]
    eventually(lambda: not calls(node, "left/note"), "the end of all", 60, evidence=lambda: calls(node, "left/note"))
    assert all([record["outcome"] for record in node.usage(request=call)] == ["ok"] for call in ids)


def test_calls_at_once_are_waited_for(node):
    node.cli("quota", "set", "left", "--calls-at-once", "1")
    ids = [left(node, "left/slow", {"s": 0.2}) for _ in range(4)]
    for call in ids:
        wait_done(node, call)
        assert [record["attempt"] for record in node.usage(request=call)] == [1]


@pytest.mark.sanitized
def test_a_backlog_holds_up_nobody_else(node):
    for _ in range(20):
        left(node, "left/slow", {"s": 1})
    wait_done(node, left(node, "other/note", {"n": "another app"}))
    wait_done(node, left(node, "left/note", {"n": "another function"}))
    direct = node.call("/api/v1/apps/left/functions/slow/invocations", json={"s": 0})
    assert direct.status_code == 200, "callers who wait have half of the places"
    running = calls(node, "left/slow", "--state", "running")
    assert len(running) == 1, "half of two instances"
    assert len(calls(node, "left/slow")) > 5, "all of that was before the end of the backlog"
    for word in ("rm", "retry"):  # each may end between the look and the word
        eventually(lambda: any("runs at this moment" in node.cli("calls", word, one["id"], expect=None).stderr  # noqa: B023
                               for one in calls(node, "left/slow", "--state", "running")), f"that {word} is refused while it runs")
    for one in calls(node, "left/slow", "--state", "waiting"):
        node.cli("calls", "rm", one["id"], expect=None)
    eventually(lambda: not calls(node, "left/slow"), "the last one that ran", 30)


def test_what_is_no_event_is_refused(node):
    path = "/api/v1/apps/left/functions/note/invocations?async=true"
    large = node.call(path, data=b"x" * (1024 * 1024 + 1), headers={"Content-Type": "application/octet-stream"})
    assert large.status_code == 413 and "1048576" in large.json()["error"]["message"]
    typed = node.call(path, data=b"{}", headers={"Content-Type": "application/json; x=" + "y" * 300})
    assert typed.status_code == 400 and "content type" in typed.json()["error"]["message"], typed.text
    assert leave(node, "left/nothing", {}).status_code == 404
    assert leave(node, "left/note", {}, more="&version=99").status_code == 404
    node.deploy({"ebb.yaml": "app: web\nfunctions: {f: {runtime: http, command: python3 server.py}}\n", "server.py": SERVER})
    refused = leave(node, "web/f", {})
    assert refused.status_code == 400 and "takes requests at its URL" in refused.json()["error"]["message"]
    node.cli("rm", "web", "--yes")
    assert not calls(node, "web")


def test_a_named_version_that_is_gone_by_then(node):
    node.deploy_function("def handler(event, context):\n    return 1\n", app="moving")
    node.deploy_function("def handler(event, context):\n    return 2\n", app="moving")
    spend(node, "moving")
    old, gone = left(node, "moving/f", {}, more="&version=1"), left(node, "moving/f", {}, more="&version=2")
    node.deploy_function("def handler(event, context):\n    return 3\n", app="moving")
    current = left(node, "moving/f", {})
    node.cli("rm", "moving/f:2", "--yes")
    assert node.cli_json("calls", "show", old)["version"] == "1"
    node.cli("budget", "rm", "moving")
    wait_done(node, old)
    wait_done(node, current)
    assert [node.usage(request=call)[0]["version"] for call in (old, current)] == [1, 3]
    failed = wait_failed(node, gone)
    assert failed["attempts"] == 0 and "2" in failed["error"] and "moving/f" in failed["error"], failed
    node.cli("rm", "moving", "--yes")


def test_an_alias_stands_for_what_it_does_at_the_delivery(node):
    for number in (1, 2):
        node.deploy_function(f"def handler(event, context):\n    return {number}\n", app="moving")
    node.cli("alias", "set", "moving/f", "live", "2")
    spend(node, "moving")
    call = left(node, "moving/f", {}, more="&version=live")
    assert node.cli_json("calls", "show", call)["version"] == "live"
    node.cli("alias", "set", "moving/f", "live", "1")
    node.cli("budget", "rm", "moving")
    wait_done(node, call)
    record, = node.usage(request=call)
    assert (record["version"], record["alias"]) == (1, "live")
    node.cli("rm", "moving", "--yes")


def test_a_node_that_stops_in_peace_waits_for_attempts(fresh_node):
    node = fresh_node
    node.deploy_app("import time\n\ndef long(event, context):\n    yield b'begun'\n    time.sleep(2)\n    yield b'done'\n", {"long": {}}, app="left")
    call = left(node, "left/long", {})
    eventually(lambda: [one["state"] for one in calls(node, "left")] == ["running"], "its attempt")
    time.sleep(0.5)  # its first piece is out
    node.stop()
    node.start()
    assert not calls(node, "left")
    assert [(record["outcome"], record["bytes_out"]) for record in node.usage(request=call)] == [("ok", 9)]


def test_an_app_goes_with_its_calls(node):
    node.deploy_app(SOURCE, {"note": {}, "slow": {}}, app="going")
    spend(node, "going")
    ids = [left(node, f"going/{function}", {"n": 1, "s": 0}) for function in ("note", "note", "slow")]
    assert "and 1 asynchronous call of it" in node.cli("rm", "going/slow", "--yes").stdout
    assert node.cli_json("rm", "going", "--yes")["calls_removed"] == 2
    assert not calls(node, "going")
    node.cli("budget", "rm", "going")
    node.deploy_app(SOURCE, {"note": {}}, app="going")
    wait_done(node, left(node, "going/note", {"n": 2}))
    assert not any(node.usage(request=call) for call in ids), "they do not come back with the app"
    assert "calls" not in node.cli("rm", "going", "--yes").stdout


def test_calls_of_others_are_not_there(node):
    node.cli("org", "create", "async-org")
    node.deploy_app(SOURCE, {"note": {}}, app="theirs")
    node.cli("org", "move", "theirs", "async-org")
    spend(node)
    spend(node, "theirs")
    ours, theirs = left(node, "left/note", {"n": 1}), left(node, "theirs/note", {"n": 1})
    made = {"app": node.cli_json("key", "create", "--role", "deploy", "--app", "left"),
            "org": node.cli_json("key", "create", "--role", "deploy", "--org", "async-org")}
    keys = {who: one["key"] for who, one in made.items()}

    def ask(who, method, path):
        return node.call(path, method=method, headers={"Authorization": f"Bearer {keys[who]}"})

    for who, own, other in (("app", ours, theirs), ("org", theirs, ours)):
        listed = [one["id"] for one in ask(who, "GET", "/api/v1/calls").json()["calls"]]
        assert own in listed and other not in listed
        assert ask(who, "GET", f"/api/v1/calls/{own}").status_code == 200
        for method, path in (("GET", ""), ("GET", "/event"), ("POST", "/retry"), ("DELETE", "")):
            assert ask(who, method, f"/api/v1/calls/{other}{path}").status_code == 404, (who, method, path)
    assert ask("app", "GET", "/api/v1/calls?app=theirs").status_code == 403
    assert ask("org", "GET", "/api/v1/calls?app=left").status_code == 404
    assert ask("org", "DELETE", f"/api/v1/calls/{theirs}").status_code == 204
    node.cli("rm", "theirs", "--yes")
    node.cli("budget", "rm", "theirs")
    for one in made.values():
        node.cli("key", "rm", one["id"])
    node.cli("org", "rm", "async-org")


def test_events_are_in_no_log_and_for_nobody_else_on_the_disk(node):
    secret = "kept-to-oneself-4711"
    call = left(node, "left/fails", {"n": secret})
    wait_failed(node, call)
    node.cli("calls", "rm", call)
    log = node.serve_log()
    assert "async_call_failed" in log and secret not in log
    assert (node.data / "calls.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_an_app_that_is_full_is_refused_and_others_are_not(node):
    spend(node)
    count = len(calls(node, "left", "--limit", "1000"))
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda number: leave(node, "left/note", {"n": number}).status_code, range(10_000 - count + 50)))
    assert codes.count(429) >= 50 and codes.count(202) <= 10_000
    assert set(codes) == {202, 429}
    refused = leave(node, "left/note", {"n": 0})
    assert refused.status_code == 429 and "app left has as many asynchronous calls" in refused.json()["error"]["message"]
    assert int(refused.headers["Retry-After"]) >= 1
    wait_done(node, left(node, "other/note", {"n": 1}))
    began = time.monotonic()
    node.kill_daemon()
    eventually(node.is_ready, "the next daemon", seconds=60)
    assert leave(node, "left/note", {"n": 0}).status_code == 429, f"{time.monotonic() - began:.1f} s later they are still there"
    node.cli("budget", "rm", "left")
    eventually(lambda: not calls(node, "left/note"), "the end of all", 300)
