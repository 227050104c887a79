"""Timers: functions that are called by themselves, once for each due time, over kills, deployments and full queues, and found loaded."""

import contextlib
import json
import shutil
import sqlite3
import time

import pytest

from ebb_node import eventually
from test_clock import clocked, moment

TELL = "import json\n\ndef tell(event, context):\n    print(json.dumps(event))\n\nother = tell\n"
ONE_PLACE = {"scale": {"max": 1}}  # attempts one after the other: in the order of their due times

SERVER = """
import http.server, json, os

class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(self.path, "|", self.headers["X-Ebb-Timer"], "|", self.headers["X-Ebb-Timer-Due"], "|", self.headers["Content-Type"], "|", body, "|", json.dumps(self.headers.keys()), flush=True)
        self.send_response(500 if "fails" in self.path else 204)
        self.send_header("Content-Length", "0")
        self.end_headers()

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""

WSGI = """
def application(environ, start_response):
    body = environ["wsgi.input"].read().decode()
    print(environ["REQUEST_METHOD"], environ["SCRIPT_NAME"], environ["PATH_INFO"], environ["QUERY_STRING"], "|", environ.get("HTTP_X_EBB_TIMER"), "|", body)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
"""


def told(node, target):
    """[(call's id, event)] of what it printed, in order."""
    return [(line["request_id"], json.loads(line["text"])) for line in node.logs(target) if line["text"].startswith("{")]


def wait_told(node, target, count):
    return eventually(lambda: (seen := told(node, target)) and len(seen) >= count and seen, f"{count} calls by the timer", 30 + 2 * count,
                      evidence=lambda: node.logs(target))


def listed(node, target):
    return [(one["timer"], one["next"]) for one in node.functions(target.split("/")[0])[target]["timers"]]


def platform_lines(node, target):
    return [line["text"] for line in node.logs(target) if line["stream"] == "platform"]


@contextlib.contextmanager
def calls_db(node):
    """Of a node that is stopped."""
    with contextlib.closing(sqlite3.connect(node.data / "calls.db")) as database, database:
        yield database


def handled(node, seconds_ago):
    with calls_db(node) as database:
        database.execute("UPDATE timers SET handled_ns = ?", (time.time_ns() - int(seconds_ago * 1e9),))


@pytest.mark.sanitized
def test_each_due_time_is_one_call_over_a_kill_of_the_node(fresh_node):
    node = fresh_node
    node.deploy_app(TELL, {"tell": {"timers": [{"every": "1s", "event": {"kind": "beat", "n": 5}}], **ONE_PLACE}}, app="beats")
    before = wait_told(node, "beats/tell", 3)
    assert {key: value for key, value in before[0][1].items() if key != "due"} == {"source": "ebb.timer", "timer": "every 1s", "event": {"kind": "beat", "n": 5}}
    (name, due), = listed(node, "beats/tell")
    assert name == "every 1s" and moment(due) >= moment(before[-1][1]["due"])
    assert "beats/tell: every 1s, next at 2" in node.cli("ls", "beats").stdout
    node.kill_daemon()
    eventually(node.is_ready, "the next daemon", 30)
    count = len(told(node, "beats/tell"))
    after = wait_told(node, "beats/tell", count + 3)
    calls = {}
    for call, event in after:
        calls.setdefault(event["due"], set()).add(call)  # an attempt that was killed is told twice, as the same call
    assert all(len(ids) == 1 for ids in calls.values()), calls
    firsts = {}
    for call, event in after:  # as it may run again beside the next ones
        firsts.setdefault(call, moment(event["due"]))
    assert list(firsts.values()) == sorted(firsts.values())
    new = sorted(moment(due) for due in calls)
    assert all(due == int(due) for due in new)
    gaps = [late - early for early, late in zip(new, new[1:])]
    assert sum(gap > 1 for gap in gaps) <= 1, f"{gaps}: what came while the node was down, and nothing else, is missed"
    record = node.usage(request=after[-1][0])[0]
    assert (record["trigger"], record["outcome"]) == ("timer", "ok")
    assert any(line["label"] == "timer" for line in node.cli_json("bill", "--app", "beats", "--by", "trigger")["apps"][0]["lines"])


def test_the_version_of_the_plain_name_has_its_timers_in_force(node):
    beat = lambda n: {"timers": [{"every": "1s", "event": n}], **ONE_PLACE}  # noqa: E731
    target = "moves/tell"
    node.deploy_app(TELL, {"tell": beat(1)}, app="moves")
    wait_told(node, target, 2)
    node.deploy_app(TELL, {"tell": beat(2)}, app="moves")
    node.cli("alias", "set", target, "old", "1")
    eventually(lambda: [event["event"] for _, event in told(node, target)][-2:] == [2, 2], "calls of the second version", 30)
    node.cli("rollback", target)
    eventually(lambda: [event["event"] for _, event in told(node, target)][-2:] == [1, 1], "calls of the first again", 30)
    versions = {event["event"]: {record["version"] for record in node.usage(request=call)} for call, event in told(node, target)}
    assert 1 in versions[1] and 2 in versions[2], versions  # what was queued when the name moved went to the next
    dues = [event["due"] for _, event in told(node, target)]
    assert len(set(dues)) == len(dues), "no due time of both"
    node.deploy_app(TELL, {"tell": ONE_PLACE, "other": {"timers": [{"every": "1s"}]}}, app="moves")
    assert listed(node, target) == []
    calls = lambda: [record for record in node.usage(target) if record["trigger"] == "timer"]  # noqa: E731
    eventually(lambda: not node.cli_json("calls", "ls", target)["calls"], "the end of what was queued", 30)
    ended = len(calls())
    wait_told(node, "moves/other", 3)
    assert len(calls()) == ended
    node.cli("rm", "moves/other", "--yes")
    assert not node.cli_json("calls", "ls", "moves")["calls"]
    beats = node.metrics()["ebb_timer_calls_total"]
    node.deploy_app(TELL, {"tell": beat(3)}, app="clock")
    wait_told(node, "clock/tell", 3)
    node.deploy_app(TELL, {"tell": ONE_PLACE}, app="clock")
    eventually(lambda: not node.cli_json("calls", "ls", "clock")["calls"], "the end of what was queued", 30)
    more = node.metrics()["ebb_timer_calls_total"] - beats
    own = lambda: {record["request_id"] for record in node.usage("clock/tell") if record["trigger"] == "timer"}  # noqa: E731
    eventually(lambda: len(own()) >= more, "a record of each", 30)
    assert len(own()) == more, "the clock's own are all there are"
    for app in ("moves", "clock"):
        node.cli("rm", app, "--yes")


def test_a_web_server_gets_a_request(node):
    timers = [{"every": "1s", "event": [1], "path": "/jobs/one?x=1"}, {"every": "24h", "path": "/never"}]
    spec = {"runtime": "http", "command": "exec python3 server.py", "timers": timers}
    failing = {**spec, "timers": [{"every": "2s", "path": "/fails"}], "async": {"retries": 0}}
    kept = {**spec, "prefix": "keep"}
    manifest = {"app": "served", "functions": {"f": spec, "fails": failing, "kept": kept}}
    node.deploy({"ebb.yaml": json.dumps(manifest), "server.py": SERVER})

    def requests_to(function):
        return [line["text"].split(" | ") for line in node.logs(f"served/{function}") if " | " in line["text"]]
    path, timer, due, kind, body, _ = eventually(lambda: requests_to("f"), "a request", 30)[0]
    assert (path, timer, kind) == ("/jobs/one?x=1", "every 1s", "application/json")
    assert json.loads(body) == {"source": "ebb.timer", "timer": "every 1s", "due": due, "event": [1], "path": "/jobs/one?x=1"}
    assert eventually(lambda: requests_to("kept"), "a request", 30)[0][0] == "/fn/served/kept/jobs/one?x=1"
    failed = eventually(lambda: node.cli_json("calls", "ls", "served/fails", "--state", "failed")["calls"], "a failed call", 30)[-1]
    assert failed["error"] == "it answered with status 500" and failed["attempts"] == 1
    forged = node.call("served/f/forged", data="{}", headers={"X-Ebb-Timer": "every 1s", "X_Ebb_Timer": "every 1s", "X-Ebb-Timer-Due": due})
    assert forged.status_code == 204
    seen = eventually(lambda: [one for one in requests_to("f") if one[0] == "/forged"], "its line in the log", 30)
    assert [one[1:3] for one in seen] == [["None", "None"]], "no caller passes for a timer"
    assert not [name for one in seen for name in json.loads(one[5]) if "timer" in name.lower()], "nor for CGI, where _ is -"
    forged = node.call("/api/v1/apps/served/functions/f/invocations?async=true", data="{}", headers={"Content-Type": "application/vnd.ebb.timer+json"})
    assert forged.status_code == 400 and "of timers" in forged.json()["error"]["message"]
    node.cli("rm", "served", "--yes")


def test_an_application_in_a_runtime_gets_a_request_too(node):
    manifest = {"app": "applied", "functions": {"f": {"handler": "app.application", "timers": [{"every": "1s", "event": "x", "path": "/jobs?x=1"}]}}}
    node.deploy({"ebb.yaml": json.dumps(manifest), "app.py": WSGI})
    line = eventually(lambda: [line["text"] for line in node.logs("applied/f") if " | " in line["text"]], "a request", 30)[0]
    head, timer, body = line.split(" | ")
    assert (head, timer) == ("POST /fn/applied/f /jobs x=1", "every 1s")
    assert json.loads(body)["event"] == "x"
    node.cli("rm", "applied", "--yes")


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is needed")
def test_a_handler_of_node_gets_the_event(node):
    source = "exports.handler = async (event) => { console.log(JSON.stringify(event)) }\n"
    manifest = {"app": "noded", "functions": {"f": {"runtime": "node", "handler": "app.handler", "timers": [{"every": "1s", "event": {"a": [1]}}]}}}
    node.deploy({"ebb.yaml": json.dumps(manifest), "app.js": source})
    assert wait_told(node, "noded/f", 1)[0][1]["event"] == {"a": [1]}
    node.cli("rm", "noded", "--yes")


def test_what_is_wrong_is_told_and_nothing_deployed(node):
    for timers, words in (([{"cron": "61 * * * *"}], "functions.f.timers[0].cron"), ([{"evry": "1m"}], "did you mean every?"),
                          ([{"every": "1m", "cron": "@daily"}], "stands beside cron"), ([{"every": "1m"}] * 2, "is written twice"),
                          ([{"cron": "@daily", "zone": "Europe/Berln"}], "Europe/Berln"), ([{"every": "1m", "event": "x" * 5000}], "the limit is 4096")):
        refused = node.deploy_function("def handler(event, context):\n    pass\n", app="wrong", timers=timers, expect=2)
        assert words in refused.stdout + refused.stderr, words
    assert "wrong/f" not in node.functions()


def test_of_what_was_missed_the_latest_is_made_up_for(fresh_node):
    node = fresh_node
    node.deploy_app(TELL, {"tell": {"timers": [{"cron": "* * * * *", "zone": "Europe/Berlin"}]},
                           "other": {"timers": [{"every": "24h"}]}}, app="missed")
    node.stop()
    handled(node, 1800)
    stopped = time.time()
    node.start()
    made_up = eventually(lambda: [line for line in platform_lines(node, "missed/tell") if "were missed" in line], "a word of what was missed", 30)[-1]
    due = made_up.partition("the latest one, ")[2].partition(",")[0]
    assert made_up.endswith("is called now") and moment(due) > stopped - 61
    event = eventually(lambda: [event for _, event in told(node, "missed/tell") if event["due"] == due], "its call", 30)[-1]
    assert event["timer"] == "* * * * * Europe/Berlin"
    before = len(told(node, "missed/tell"))
    node.stop()
    handled(node, 100 * 86_400)
    node.start()
    eventually(lambda: len(told(node, "missed/tell")) > before, "a call of the minute that was missed", 30)
    assert not [line for line in told(node, "missed/other") if moment(line[1]["due"]) < stopped - 3660], "what is older than an hour is not"


def test_a_node_that_has_lost_a_zone_starts_and_says_that_its_timers_are_never_due(fresh_node):
    node = fresh_node
    window = {"from": "0 0 * * *", "for": "24h", "min": 1, "zone": "Europe/Berlin"}
    node.deploy_app(TELL, {"tell": {"timers": [{"cron": "* * * * *", "zone": "Europe/Berlin"}], "scale": {"windows": [window]}}}, app="lost")
    node.stop()
    with contextlib.closing(sqlite3.connect(node.data / "metadata.db")) as database, database:
        assert database.execute("UPDATE versions SET spec = replace(spec, 'Europe/Berlin', 'No/Such')").rowcount == 1
    node.start()
    assert "never: this node does not know its zone" in node.cli("ls", "lost").stdout
    assert node.call("lost/tell", data="{}").ok
    node.deploy_app(TELL, {"tell": {"timers": [{"every": "1s"}]}}, app="lost")
    wait_told(node, "lost/tell", 2)


def test_a_call_that_finds_no_room_is_skipped_and_that_is_told(fresh_node):
    node = fresh_node
    row = ("INSERT INTO calls (id, app, function, version, content_type, traceparent, tracestate, retries, retry_after_ns, max_age_ns, state, "
           "accepted_ns, due_ns, deadline_ns, attempts, error, event_bytes, event) "
           "VALUES (?, 'full', 'tell', '', '', '', '', 2, 60000000000, 21600000000000, 0, ?, ?, ?, 0, '', 2, x'7b7d')")
    node.deploy_app(TELL, {"tell": {"timers": [{"every": "2s"}]}}, app="full")
    node.cli("budget", "set", "full", "0")
    node.stop()
    now = time.time_ns()
    with calls_db(node) as database:
        database.execute("DELETE FROM calls")
        database.executemany(row, [(f"01{number:024}", now, now + 3600 * 10**9, now + 7200 * 10**9) for number in range(10_000)])
    node.start()
    line = eventually(lambda: [line for line in platform_lines(node, "full/tell") if "was skipped" in line], "a word of it", 60)[0]
    assert line.startswith("timer every 2s: the call due at 2") and "app full has as many asynchronous calls" in line
    assert node.metrics()["ebb_timer_skipped_total"] >= 1
    node.cli("rm", "full", "--yes")


SLOW = "import time\ntime.sleep(1)\nprint('imported')\ndef tell(event, context):\n    print('called')\n"


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is needed")
def test_what_a_timer_calls_is_loaded_just_before_and_let_go_between():
    """The node's clocks pass the hours. Nobody calls but the timer; with so low a price nothing is held in between."""
    with clocked(keep_alive_price=1) as (node, clock):
        timers = [{"cron": "0 * * * *"}]
        node.deploy_app(SLOW, {"tell": {"timers": timers, "idle_timeout": "0s"}}, app="hourly")
        held = lambda: [kind for kind in ("instances", "zygotes", "sandboxes") if node.pids_in(kind, "hourly")]  # noqa: E731
        said = lambda text: sum(line["text"] == text for line in node.logs("hourly/tell"))  # noqa: E731
        due = lambda: moment(listed(node, "hourly/tell")[0][1])  # noqa: E731
        for turn in range(1, 3):
            def left():
                return due() - (time.time() + clock.ahead())
            while left() > 600:
                clock.pass_time(300)
                eventually(lambda: not held(), "that all of it is let go", 60, evidence=held)
            clock.pass_time(left() - 60)
            eventually(lambda: not held(), "that nothing is held a minute before", 60, evidence=held)
            imports, called_at = said("imported"), due()
            clock.pass_time(left() - 15)
            eventually(lambda: said("called") == turn, "its call", 60)
            record = node.usage("hourly/tell")[-1]
            assert (record["trigger"], record["rung"] in ("fork", "spare", "idle")) == ("timer", True), record
            assert said("imported") == imports + 1
            assert called_at - 15 < moment([line["time"] for line in node.logs("hourly/tell") if line["text"] == "imported"][-1]) < called_at
