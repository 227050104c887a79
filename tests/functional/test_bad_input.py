"""Clients and handlers that do everything wrong: each gets a clear answer, and the next one is served as if nothing had been."""

import json
import os
import signal

import pytest

from ebb_node import eventually, in_parallel, read_response, read_to_end

SOURCE = '''
import ctypes, decimal, json, os, signal, sys, threading, time

def fine(event, context):
    return "fine"

class Sly(str):
    def encode(self, *arguments):
        raise RuntimeError("sly")

def recursive():
    value = []
    value.append(value)
    return value

def deep():
    value = None
    for _ in range(100_000):
        value = [value]
    return value

CRASHES = {
    "abort": os.abort,
    "terminate": lambda: (os.kill(os.getpid(), signal.SIGTERM), time.sleep(600)),
    "wait": lambda: time.sleep(600),
    "segfault": lambda: ctypes.string_at(8),
    "_exit": lambda: os._exit(3),
    "exit-thread": lambda: (threading.Thread(target=lambda: os._exit(4)).start(), time.sleep(600)),
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "close": lambda: (os.close(3), time.sleep(600)),
}
RESULTS = {
    "object": object, "set": lambda: {1}, "nan": lambda: float("nan"), "bytes-inside": lambda: {"a": b"x"},
    "recursive": recursive, "deep": deep, "key": lambda: {(1, 2): 3}, "surrogate": lambda: "\\ud800",
    "decimal": lambda: [decimal.Decimal(1)], "lambda": lambda: {"a": [lambda: 1]},
    "status-text": lambda: {"statusCode": "abc"}, "status-low": lambda: {"statusCode": 99}, "status-high": lambda: {"statusCode": 600},
    "status-100": lambda: {"statusCode": 101}, "status-float": lambda: {"statusCode": 200.5}, "status-none": lambda: {"statusCode": None},
    "header-crlf": lambda: {"statusCode": 200, "headers": {"X-A": "a\\r\\nSet-Cookie: stolen=1"}},
    "header-lf": lambda: {"statusCode": 200, "headers": {"X-A": "a\\nb"}},
    "header-nul": lambda: {"statusCode": 200, "headers": {"X-A": "a\\0b"}},
    "header-name": lambda: {"statusCode": 200, "headers": {"X A": "a"}},
    "header-name-crlf": lambda: {"statusCode": 200, "headers": {"X\\r\\nB": "a"}},
    "header-list": lambda: {"statusCode": 200, "headers": ["a"]}, "header-dict": lambda: {"statusCode": 200, "headers": {"a": {}}},
    "headers-many": lambda: {"statusCode": 200, "headers": {f"X-{n}": "a" for n in range(500)}},
    "headers-large": lambda: {"statusCode": 200, "headers": {"X-A": "a" * 100_000}},
    "cookie-crlf": lambda: {"statusCode": 200, "cookies": ["a=1\\r\\nX-B: c"]},
    "base64": lambda: {"statusCode": 200, "isBase64Encoded": True, "body": "***"},
    "too-large": lambda: "x" * (33 << 20),
}

def crashes(event, context):
    print("about to", event["rawPath"])
    return CRASHES[event["rawPath"][1:]]()

def results(event, context):
    return RESULTS[event["rawPath"][1:]]()

def raises(event, context):
    kind = event["rawPath"][1:]
    if kind == "exit":
        sys.exit(5)
    if kind == "interrupt":
        raise KeyboardInterrupt
    if kind == "recursion":
        return raises({"rawPath": "/recursion"}, context)
    if kind == "unprintable":
        class Bad(Exception):
            def __str__(self):
                raise ValueError("no")
        raise Bad()
    if kind == "bytes":
        raise ValueError("\\ud800 \\x00 \\x1b[31m <script>")

def leaks(event, context):
    held = []
    while True:
        held.append(os.urandom(1 << 20))

def fills_tmp(event, context):
    with open("/tmp/big", "wb") as file:
        while True:
            file.write(os.urandom(1 << 20))

def writes_junk(event, context):
    os.write(3, os.urandom(4096))
    time.sleep(600)

def writes_frame(event, context):
    import struct
    meta = b'{"status":200,"headers":[],"cookies":[]}'
    os.write(3, struct.pack("<HBBIQ16s", 0xEBF1, 1, 2, len(meta), 1 << 60, bytes(16)) + meta)
    time.sleep(600)
'''
FUNCTIONS = {name: {"timeout": "20s"} for name in ("fine", "crashes", "results", "raises", "writes-junk", "writes-frame")}
FUNCTIONS |= {"leaks": {"memory": "64Mi"}, "fills-tmp": {"memory": "64Mi"}}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, FUNCTIONS)


@pytest.fixture(autouse=True)
def unharmed(node):
    """After each test the node answers, and only idle instances are left."""
    yield
    assert node.call("app/fine").text == "fine"
    eventually(lambda: all(one["instances"]["busy"] == 0 for one in node.functions("app").values()), "the end of busy instances")
    eventually(lambda: len(node.pids_in("instances")) == sum(one["instances"]["idle"] for one in node.functions("app").values()),
               "that every process in an instance's cgroup is an instance")


def failed(node, path, status=502, code="function_failed"):
    """The error's message of a call that must fail so, and its usage record."""
    response = node.call(path)
    assert response.status_code == status, response.text[:300]
    assert response.headers["Content-Type"] == "application/json"
    error = response.json()["error"]
    assert error["code"] == code and error["request_id"] == response.headers["X-Ebb-Request-Id"]
    record, = node.usage(request=error["request_id"])
    assert record["http_status"] == status and record["billed_ms"] >= 1
    assert record["billed"] is True and record["billed_because"].startswith("the handler ran")
    return error["message"], record


# --- handlers ---


@pytest.mark.sanitized
@pytest.mark.parametrize("how, word", [("abort", "killed by signal"), ("terminate", "exit status 143"), ("segfault", "signal 11"), ("_exit", "exit status 3"),
                                       ("exit-thread", "exit status 4"), ("exec", "exit status 0"), ("close", "app/crashes")])
def test_crash(node, how, word):
    message, record = failed(node, f"app/crashes/{how}")
    assert word in message and record["outcome"] == "crashed"
    lines = [line["text"] for line in node.logs("app/crashes", request=record["request_id"])]
    assert f"about to /{how}" in lines and any(word in line for line in lines)


def test_killed_from_outside(node):
    with node.connect() as connection, connection.makefile("rb") as stream:
        before = node.pids_in("instances")
        connection.sendall(b"GET /fn/app/crashes/wait HTTP/1.1\r\nHost: x\r\n\r\n")
        started = lambda: node.functions("app")["app/crashes"]["instances"]["busy"] == 1 and node.pids_in("instances") - before  # noqa: E731
        for pid in eventually(started, "the instance"):
            os.kill(pid, signal.SIGKILL)
        status, headers, body = read_response(stream)
    assert status == 502 and "signal 9" in json.loads(body)["error"]["message"]
    record, = node.usage(request=headers["x-ebb-request-id"])
    assert record["outcome"] == "crashed"


@pytest.mark.parametrize("what", ["object", "set", "nan", "bytes-inside", "recursive", "deep", "key", "surrogate", "decimal", "lambda",
                                  "status-text", "status-low", "status-high", "status-100", "status-float", "status-none", "header-crlf",
                                  "header-lf", "header-nul", "header-name", "header-name-crlf", "header-list", "header-dict",
                                  "headers-many", "headers-large", "cookie-crlf", "base64", "too-large"])
def test_result_that_cannot_be_sent(node, what):
    message, record = failed(node, f"app/results/{what}")
    assert record["outcome"] == "function_error" and len(message) > 30
    again = node.call(f"app/results/{what}")
    assert again.status_code == 502 and "Set-Cookie" not in again.headers and "X-B" not in again.headers
    assert 'desc="idle"' in again.headers["Server-Timing"]  # the instance was not to blame


@pytest.mark.parametrize("how, word", [("exit", "SystemExit"), ("interrupt", "KeyboardInterrupt"), ("recursion", "RecursionError"),
                                       ("unprintable", "Bad"), ("bytes", "ValueError")])
def test_raise(node, how, word):
    message, record = failed(node, f"app/raises/{how}")
    assert word in message and record["outcome"] == "function_error"


def test_memory_beyond_the_limit(node):
    others = in_parallel(4, lambda n: node.call("app/leaks" if n == 0 else "app/fine"))
    assert [response.status_code for response in others] == [502, 200, 200, 200]
    message, record = failed(node, "app/leaks")
    assert "out of memory" in message and "64Mi" in message and record["outcome"] == "out_of_memory"
    assert 32 << 20 <= record["memory_peak_bytes"] <= 65 << 20


def test_files_in_tmp_count_as_memory(node):
    message, record = failed(node, "app/fills-tmp")
    assert "out of memory" in message and record["outcome"] == "out_of_memory"


@pytest.mark.parametrize("function", ["writes-junk", "writes-frame"])
def test_junk_on_the_channel(node, function):
    message, _ = failed(node, f"app/{function}")
    assert f"app/{function}" in message


# --- addresses ---


@pytest.mark.parametrize("path", ["app/nothing", "nowhere/fine", "APP/fine", "app/Fine", "app/" + "x" * 300, "app/..%2Ffine"])
def test_unknown_function(node, path):
    response = node.call(path)
    assert response.status_code == 404 and response.json()["error"]["code"] == "not_found"
    assert response.json()["error"]["request_id"]


@pytest.mark.parametrize("method, path, allow", [("DELETE", "/api/v1/functions", "GET"), ("GET", "/api/v1/apps/app", "DELETE"),
                                                 ("POST", "/metrics", "GET"), ("PUT", "/api/v1/deployments", "POST"),
                                                 ("GET", "/api/v1/apps/app/functions/fine/invocations", "POST")])
def test_wrong_method(node, method, path, allow):
    response = node.call(path, method=method)
    assert response.status_code == 405 and allow in response.headers["Allow"]
    assert response.json()["error"]["code"] == "method_not_allowed"


def test_unknown_routes_and_parameters(node):
    assert node.call("/api/v1/nothing").status_code == 404
    assert node.call("/fn/app").status_code == 404
    for path, word in (("/api/v1/usage?limt=3", "limit"), ("/api/v1/usage?limit=x", "limit"), ("/api/v1/usage?since=yesterday", "since"),
                       ("/api/v1/logs", "app"), ("/api/v1/logs?app=app&request=zz", "request"), ("/api/v1/functions?app=A%20B", "app"),
                       ("/api/v1/logs?app=app&limit=1&limit=2", "limit")):
        response = node.call(path)
        assert response.status_code == 400 and word in response.json()["error"]["message"], (path, response.text)
    assert node.call("/api/v1/deployments/999999").status_code == 404
    assert node.call("/api/v1/deployments/x").status_code == 400


def test_page_of_another_site_changes_nothing(node):
    response = node.call("/api/v1/apps/app", method="DELETE", headers={"Origin": "http://evil.example"})
    assert response.status_code == 403 and response.json()["error"]["code"] == "permission_denied"


# --- HTTP ---

MALFORMED = {
    "no-request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
    "no-version": b"GET /fn/app/fine\r\n\r\n",
    "spaces": b"GET  /fn/app/fine  HTTP/1.1\r\nHost: x\r\n\r\n",
    "no-host": b"GET /fn/app/fine HTTP/1.1\r\n\r\n",
    "two-hosts": b"GET /fn/app/fine HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "header-without-colon": b"GET /fn/app/fine HTTP/1.1\r\nHost: x\r\njunk\r\n\r\n",
    "header-folded": b"GET /fn/app/fine HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    "header-space": b"GET /fn/app/fine HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    "header-nul": b"GET /fn/app/fine HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
    "length-junk": b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\nx",
    "length-negative": b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nx",
    "lengths-differ": b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "smuggling": b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk-junk": b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "target-escape": b"GET /fn/app/fine\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_http(node, name):
    answer = node.raw(MALFORMED[name] + b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert json.loads(body)["error"]["code"] == "invalid_argument"  # and it is the only answer: what follows is not trusted


@pytest.mark.parametrize("request_, status", [
    (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 20_000 + b"\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(200)) + b"\r\n", 431),
    (b"GET /" + b"x" * 12_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (b"GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    (b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    (b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
    (b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nExpect: something\r\nContent-Length: 1\r\n\r\nx", 417),
], ids=["header", "headers", "target", "version", "encoding", "body", "expect"])
def test_http_beyond_a_limit(node, request_, status):
    answer = node.raw(request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.slow
def test_slow_clients_are_told_and_hold_nobody_up(node):
    """Headers that never end, and a body that stops: both within their time limits, while others are served."""
    with node.connect() as header, node.connect() as body:
        header.sendall(b"GET /fn/app/fine HTTP/1.1\r\nHost: x\r\nA: ")
        body.sendall(b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nten bytes.")
        in_parallel(8, lambda n: node.call("app/fine"))
        assert read_to_end(header).startswith(b"HTTP/1.1 408 ")
        assert read_to_end(body).startswith(b"HTTP/1.1 408 ")
    assert not [record for record in node.usage(settled=False) if record["state"] == "open"]


def test_clients_that_leave_in_the_middle(node):
    before = len(node.usage())
    for part in (b"GET /fn/app/fi", b"POST /fn/app/fine HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nten bytes.", b""):
        for _ in range(20):
            with node.connect() as connection:
                connection.sendall(part)
    assert node.call("app/fine").text == "fine"
    assert len(node.usage()) == before + 1  # what was never complete was never run
