"""Traces: what a collector on the loopback receives of real calls, what functions are told, and calls while the collector fails."""

import collections
import concurrent.futures
import http.server
import json
import subprocess
import threading
import time

import pytest
import requests

from ebb_node import BINARY, PATIENCE, Node, eventually

SOURCE = '''
import json, time

def tells(event, context):
    return {"header": event["headers"].get("traceparent"), "state": event["headers"].get("tracestate"),
            "context": context.traceparent, "context_state": context.tracestate}

def direct(event, context):
    return {"context": context.traceparent, "context_state": context.tracestate}

def fails(event, context):
    raise ValueError("no")

def streams(event, context):
    yield "a"
    time.sleep(0.2)
    yield "b"

def notes(event, context):
    print(context.traceparent, context.tracestate)
    time.sleep(event.get("s", 0))
    if event.get("fails"):
        raise ValueError("no luck")
'''
TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


class Collector:
    """Receives OTLP/HTTP as JSON. `answers`: a function of the number of the request that gives a status, or None to hang."""

    def __init__(self):
        self.bodies, self.headers, self.seen = [], [], 0
        self.answer = lambda number: 200
        self.released = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen += 1
                status = outer.answer(outer.seen)
                if status is None:
                    outer.released.wait(60)
                    return
                if status == 200:
                    outer.headers.append((self.path, dict(self.headers)))
                    outer.bodies.append(body)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def spans(self):
        """Every span, with its resource's attributes under "resource" and all attributes as plain values."""
        found = []
        for body in list(self.bodies):
            for resource in body["resourceSpans"]:
                of_it = plain(resource["resource"]["attributes"])
                for scope in resource["scopeSpans"]:
                    found += [{**span, "resource": of_it, "attributes": plain(span.get("attributes", []))} for span in scope["spans"]]
        return found

    def call(self, request_id):
        """{name: span} of one invocation, once it has come; the whole call's under "call"."""
        def of_it():
            spans = self.spans()
            whole = [span for span in spans if span["attributes"].get("faas.invocation_id") == request_id]
            assert len(whole) <= 1, "told twice"
            return whole and {"call": whole[0], **{s["name"]: s for s in spans if s.get("parentSpanId") == whole[0]["spanId"]}}
        return eventually(of_it, f"the spans of {request_id}", evidence=lambda: self.bodies)


def plain(attributes):
    values = {}
    for one in attributes:
        (kind, value), = one["value"].items()
        values[one["key"]] = int(value) if kind == "intValue" else value
    return values


@pytest.fixture(scope="module")
def collector():
    one = Collector()
    yield one
    one.close()


@pytest.fixture(scope="module")
def traced(collector, tmp_path_factory):
    secret = tmp_path_factory.mktemp("otlp") / "headers"
    secret.write_text("# of the test\nX-Api-Key: open sesame\n")
    secret.chmod(0o644)
    for folder in secret.parents:
        if folder.name.startswith("pytest-"):
            folder.chmod(0o755)  # the daemon's account reads it
    secret.parent.chmod(0o755)
    node = Node({"otlp_traces_endpoint": f"http://127.0.0.1:{collector.port}/v1/traces", "otlp_headers_file": str(secret)})
    try:
        node.start()
        once_more = {"async": {"retries": 1, "retry_after": "1s"}}
        node.deploy_app(SOURCE, {"tells": {}, "direct": {}, "fails": {}, "streams": {}, "notes": once_more})
        yield node
    finally:
        node.stop()
        node.remove()


@pytest.fixture(autouse=True)
def working(collector):
    collector.answer = lambda number: 200


@pytest.fixture
def unbounded(traced):
    yield
    traced.cli("budget", "rm", "app", expect=None)
    traced.cli("quota", "rm", "app", expect=None)


def get(node, name, **headers):
    return requests.get(f"{node.url}/fn/app/{name}/some/path?secret=1", headers=headers, timeout=30)


def test_a_callers_trace_goes_through_the_platform_into_the_function(traced, collector):
    answer = get(traced, "tells", traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=x")
    spans = collector.call(answer.headers["X-Ebb-Request-Id"])
    call, handler = spans["call"], spans["handler"]
    assert call["traceId"] == TRACE and call["parentSpanId"] == SPAN and call["kind"] == 2
    assert call["traceState"] == "vendor=x"
    told = answer.json()
    assert told == {"header": f"00-{TRACE}-{handler['spanId']}-01", "state": "vendor=x",
                    "context": f"00-{TRACE}-{handler['spanId']}-01", "context_state": "vendor=x"}


def test_spans_say_what_server_timing_says(traced, collector):
    answer = get(traced, "tells")
    spans = collector.call(answer.headers["X-Ebb-Request-Id"])
    attributes = spans["call"]["attributes"]
    assert attributes["faas.trigger"] == "http" and attributes["http.request.method"] == "GET"
    assert attributes["http.route"] == "/fn/app/tells" and attributes["url.path"] == "/fn/app/tells/some/path"
    assert attributes["http.response.status_code"] == 200 and "secret" not in json.dumps(spans)
    assert spans["call"]["resource"]["faas.name"] == "app/tells" and spans["call"]["resource"]["faas.version"] == "1"
    timing = dict(part.strip().split(";", 1) for part in answer.headers["Server-Timing"].split(","))
    handler_ms = float(timing["handler"].removeprefix("dur="))
    took = int(spans["handler"]["endTimeUnixNano"]) - int(spans["handler"]["startTimeUnixNano"])
    assert took // 1000 == round(handler_ms * 1000)
    for name, span in spans.items():
        assert int(spans["call"]["startTimeUnixNano"]) <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]), name
        assert int(span["endTimeUnixNano"]) <= int(spans["call"]["endTimeUnixNano"]), name
    usage = traced.usage("app/tells", request=answer.headers["X-Ebb-Request-Id"])[0]
    assert attributes["ebb.rung"] == usage["rung"]
    assert attributes["faas.coldstart"] == (usage["rung"] in ("fork", "runtime", "boot"))


def test_the_sampled_flag_is_honoured(traced, collector):
    told = get(traced, "tells", traceparent=f"00-{TRACE}-{SPAN}-00").json()
    assert told["context"] == f"00-{TRACE}-{SPAN}-00"
    last = get(traced, "tells").headers["X-Ebb-Request-Id"]
    collector.call(last)  # spans arrive in order: the other's would have come
    assert SPAN + "-00" not in json.dumps(collector.bodies)
    assert all(span.get("parentSpanId") != SPAN or span["flags"] & 1 for span in collector.spans())


def test_a_malformed_traceparent_begins_a_new_trace(traced, collector):
    answer = get(traced, "tells", traceparent=f"00-{TRACE.upper()}-{SPAN}-01", tracestate="vendor=x")
    call = collector.call(answer.headers["X-Ebb-Request-Id"])["call"]
    assert call["traceId"] != TRACE and "parentSpanId" not in call and "traceState" not in call
    assert answer.json()["header"].startswith(f"00-{call['traceId']}-") and answer.json()["state"] is None


def test_direct_calls_failures_refusals_and_streams(traced, collector):
    direct = requests.post(f"{traced.url}/api/v1/apps/app/functions/direct/invocations", json={}, timeout=30,
                           headers={"Authorization": f"Bearer {traced.key}", "traceparent": f"00-{TRACE}-{SPAN}-01"})
    spans = collector.call(direct.headers["X-Ebb-Request-Id"])
    assert spans["call"]["attributes"]["faas.trigger"] == "other" and spans["call"]["parentSpanId"] == SPAN
    assert direct.json()["context"] == f"00-{TRACE}-{spans['handler']['spanId']}-01"

    failed = collector.call(get(traced, "fails").headers["X-Ebb-Request-Id"])["call"]
    assert failed["status"]["code"] == 2 and failed["attributes"]["error.type"] == "function_failed"
    missing = get(traced, "missing")
    refused = collector.call(missing.headers["X-Ebb-Request-Id"])
    assert missing.status_code == 404 and list(refused) == ["call"]
    assert refused["call"]["attributes"]["http.response.status_code"] == 404

    stream = get(traced, "streams")
    assert stream.text == "ab"
    spans = collector.call(stream.headers["X-Ebb-Request-Id"])
    took = int(spans["handler"]["endTimeUnixNano"]) - int(spans["handler"]["startTimeUnixNano"])
    assert took >= 200_000_000, "the handler's span ends with the stream"


def left(node, event, **headers):
    """An asynchronous call's id."""
    answer = node.call("/api/v1/apps/app/functions/notes/invocations?async=true", json=event,
                       headers={"Authorization": f"Bearer {node.key}", **headers})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def spans_of(collector, call, count):
    """The acceptance and the attempts of an asynchronous call, in that order, once there are so many."""
    def of_it():
        found = [span for span in collector.spans() if span["attributes"].get("faas.invocation_id") == call]
        assert len(found) <= count, found
        return len(found) == count and sorted(found, key=lambda span: int(span["startTimeUnixNano"]))
    return eventually(of_it, f"the spans of {call}", 30, evidence=lambda: collector.bodies)


def children_of(collector, span):
    return {one["name"]: one for one in collector.spans() if one.get("parentSpanId") == span["spanId"]}


def test_each_attempt_of_an_asynchronous_call_continues_from_its_acceptance(traced, collector):
    call = left(traced, {"fails": True}, traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="vendor=x")
    send, *attempts = spans_of(collector, call, 3)
    assert (send["name"], send["kind"], send["parentSpanId"]) == ("send app/notes", 4, SPAN)
    assert send["attributes"]["http.response.status_code"] == 202 and "links" not in send
    assert [attempt["attributes"]["ebb.attempt"] for attempt in attempts] == [1, 2]
    told = [line["text"] for line in traced.logs("app/notes", request=call) if line["stream"] == "out"]
    for attempt, words in zip(attempts, told, strict=True):
        assert (attempt["name"], attempt["kind"], attempt["traceId"], attempt["traceState"]) == ("process app/notes", 5, TRACE, "vendor=x")
        assert attempt["parentSpanId"] == send["spanId"]
        assert attempt["links"] == [{"traceId": TRACE, "spanId": send["spanId"]}]
        attributes = attempt["attributes"]
        assert attributes["faas.trigger"] == "pubsub" and attributes["messaging.message.id"] == call
        assert attributes["error.type"] == "function_failed" and "http.response.status_code" not in attributes
        phases = children_of(collector, attempt)
        assert "handler" in phases and set(phases) <= {"queue", "start", "init", "handler"}
        assert words == f"00-{TRACE}-{phases['handler']['spanId']}-01 vendor=x"
    traced.cli("calls", "rm", call)


def test_the_trace_of_an_accepted_call_outlives_the_node(traced, collector, unbounded):
    traced.cli("budget", "set", "app", "0")
    call = left(traced, {})
    send, = spans_of(collector, call, 1)
    assert "parentSpanId" not in send
    traced.kill_daemon()
    eventually(traced.is_ready, "the next daemon", 30)
    traced.cli("budget", "rm", "app")
    _, attempt = spans_of(collector, call, 2)
    assert (attempt["traceId"], attempt["parentSpanId"]) == (send["traceId"], send["spanId"])


def test_an_asynchronous_call_that_is_not_sampled_has_no_spans(traced, collector):
    call = left(traced, {}, traceparent=f"00-{TRACE}-{SPAN}-00")
    words = eventually(lambda: [line["text"] for line in traced.logs("app/notes", request=call)], "its attempt")
    assert f"00-{TRACE}-{SPAN}-00 None" in words
    collector.call(get(traced, "tells").headers["X-Ebb-Request-Id"])  # spans arrive in order: its own would have come
    assert call not in json.dumps(collector.bodies)


def test_a_try_that_found_no_room_is_no_attempt_and_has_no_span(traced, collector, unbounded):
    traced.cli("quota", "set", "app", "--calls-at-once", "1")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        direct = pool.submit(traced.call, "/api/v1/apps/app/functions/notes/invocations", json={"s": 2})
        eventually(lambda: traced.functions()["app/notes"]["instances"]["busy"], "that the one place is taken")
        call = left(traced, {})
        eventually(lambda: "at once" in traced.cli_json("calls", "show", call)["waits_because"], "that it is refused",
                   evidence=lambda: traced.cli_json("calls", "show", call))
        assert direct.result().status_code == 200
    spans_of(collector, call, 2)
    collector.call(get(traced, "tells").headers["X-Ebb-Request-Id"])
    spans_of(collector, call, 2)


def test_the_headers_of_the_file_go_along_and_are_shown_nowhere(traced, collector):
    collector.call(get(traced, "tells").headers["X-Ebb-Request-Id"])
    path, headers = collector.headers[-1]
    assert path == "/v1/traces" and headers["X-Api-Key"] == "open sesame" and headers["Content-Type"] == "application/json"
    assert "open sesame" not in traced.serve_log()


def metric(node, name):
    text = requests.get(node.url + "/metrics", headers={"Authorization": f"Bearer {node.key}"}, timeout=10).text
    return int(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


def test_a_collector_that_asks_for_patience_gets_the_batch_again(traced, collector):
    first = collector.seen + 1
    collector.answer = lambda number: 503 if number <= first + 1 else 200
    answer = get(traced, "tells")
    collector.call(answer.headers["X-Ebb-Request-Id"])
    assert collector.seen >= first + 2
    # The collector has the batch before the daemon has its answer, and the daemon says so after that.
    eventually(lambda: "traces_exported_again" in traced.serve_log(), "the log line", evidence=traced.serve_log)


@pytest.mark.parametrize("status", [302, 400, 500])
def test_what_the_collector_refuses_is_dropped_and_counted(traced, collector, status):
    before = metric(traced, 'ebb_traces_dropped_total{reason="undelivered"}')
    seen = collector.seen
    collector.answer = lambda number: status
    assert get(traced, "tells").status_code == 200
    eventually(lambda: metric(traced, 'ebb_traces_dropped_total{reason="undelivered"}') == before + 1, "the count of the dropped call")
    assert collector.seen == seen + 1, "neither sent again nor redirected"


def test_calls_go_on_while_the_collector_hangs_and_the_daemon_ends_in_time(collector):
    hanging = Collector()
    hanging.answer = lambda number: None
    node = Node({"otlp_traces_endpoint": f"http://127.0.0.1:{hanging.port}/v1/traces"})
    try:
        node.start()
        node.deploy_app(SOURCE, {"tells": {}})
        get(node, "tells")
        eventually(lambda: hanging.seen > 0, "a request to the collector")
        statuses = collections.Counter(get(node, "tells").status_code for _ in range(50))
        assert statuses == {200: 50}
        began = time.monotonic()
        node.stop()
        assert time.monotonic() - began < 15
    finally:
        hanging.close()
        node.stop()
        node.remove()


def test_without_an_endpoint_a_functions_own_tracing_still_gets_the_callers_context(fresh_node):
    node = fresh_node  # gone before `traced` looks whether it has left anything
    node.deploy_app(SOURCE, {"tells": {}}, app="untraced")
    sent = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=x"}
    told = requests.get(f"{node.url}/fn/untraced/tells", headers=sent, timeout=30).json()
    assert told == {"header": sent["traceparent"], "state": "vendor=x", "context": sent["traceparent"], "context_state": "vendor=x"}
    assert requests.get(f"{node.url}/fn/untraced/tells", timeout=30).json() == dict.fromkeys(told)
    assert "ebb_traces" not in requests.get(node.url + "/metrics", headers={"Authorization": f"Bearer {node.key}"}, timeout=10).text


@pytest.mark.parametrize("config, said", [
    ({"otlp_traces_endpoint": "127.0.0.1:4318"}, "otlp_traces_endpoint: must be the whole URL"),
    ({"otlp_traces_endpoint": "http://127.0.0.1:4318"}, "otlp_traces_endpoint: must be the whole URL"),
    ({"otlp_traces_endpoint": "http://127.0.0.1:0/v1/traces"}, "otlp_traces_endpoint: "),
    ({"otlp_headers_file": "headers"}, "otlp_headers_file: must be an absolute path"),
    ({"otlp_traces_endpoint": "http://127.0.0.1:4318/v1/traces", "otlp_headers_file": "/nowhere"}, "otlp_headers_file /nowhere"),
    ({"trace_sample_ratio": 1.5}, "trace_sample_ratio: must be a number from 0 to 1"),
    ({"trace_sample_ratio": "nan"}, "trace_sample_ratio: must be a number from 0 to 1"),
])
def test_mistakes_in_the_configuration_are_named(config, said, tmp_path):
    file = tmp_path / "ebb.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in {"data_dir": "/tmp/never-made", "listen": "127.0.0.1:0", **config}.items()))
    done = subprocess.run([str(BINARY), "serve", "--config", str(file)], capture_output=True, text=True, timeout=30 * PATIENCE, check=False)
    assert done.returncode in (2, 3)  # malformed, not there
    assert said in done.stderr
