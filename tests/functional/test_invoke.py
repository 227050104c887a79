"""Calls of every kind, by URL and by `ebb invoke`: what the handler gets, what comes back, and what is said about it."""

import base64
import hashlib
import json
import os

import pytest

from ebb_node import eventually, read_response, server_timing

SOURCE = '''
import asyncio, base64, hashlib, time

BYTES = bytes(range(256))

def echo(event, context):
    return event

def text(event, context):
    return "gr\\u00fc\\u00dfe"

def data(event, context):
    return BYTES

def nothing(event, context):
    return None

def plain(event, context):
    return [1, 2.5, "three", None, {"four": True}]

def whole(event, context):
    return {"statusCode": 201, "headers": {"X-Thing": "a b", "content-type": "text/html"}, "body": "<p>made",
            "cookies": ["a=1; Path=/", "b=2"]}

def encoded(event, context):
    return {"statusCode": 200, "headers": {"Content-Type": "image/x-made"}, "isBase64Encoded": True,
            "body": base64.b64encode(BYTES).decode()}

calls = 0

async def later(event, context):
    global calls
    calls += 1
    await asyncio.sleep(0)
    return {"calls": calls, "loop": id(asyncio.get_running_loop())}

def raises(event, context):
    raise KeyError("no such fruit")

def about(event, context):
    return {name: getattr(context, name) for name in (
        "request_id", "aws_request_id", "app", "function_name", "function_version", "memory_limit_in_mb", "invoked_function_arn",
        "deadline_ms")} | {"left": context.get_remaining_time_in_millis()}

def bytes_back(event, context):
    body = event if isinstance(event, bytes) else base64.b64decode(event["body"])
    return body

def digest(event, context):
    body = event if isinstance(event, bytes) else base64.b64decode(event["body"])
    return [len(body), hashlib.sha256(body).hexdigest()]

def large(event, context):
    return b"x" * int(event["queryStringParameters"]["n"])

def slow_first(event, context):
    if event["rawPath"] == "/0":
        time.sleep(0.2)
    return event["rawPath"]
'''
FUNCTIONS = ["echo", "text", "data", "nothing", "plain", "whole", "encoded", "later", "raises", "about", "bytes-back", "digest",
             "large", "slow-first"]
BODY_LIMIT = 32 * 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, {name: {} for name in FUNCTIONS} | {"about": {"memory": "96Mi", "timeout": "7s"}})


@pytest.mark.sanitized
def test_event_of_a_request(node):
    response = node.call("app/echo/a%20b/c?x=1&y=a+b&x=%2F", headers={"X-Own": "value", "Cookie": "k=v; l=w", "User-Agent": "tester"})
    assert response.status_code == 200 and response.headers["Content-Type"] == "application/json"
    event = response.json()
    assert event["version"] == "2.0" and event["rawPath"] == "/a%20b/c" and event["rawQueryString"] == "x=1&y=a+b&x=%2F"
    assert event["queryStringParameters"] == {"x": "1,/", "y": "a b"}
    assert event["headers"]["x-own"] == "value" and "cookie" not in event["headers"]
    assert event["cookies"] == ["k=v", "l=w"]
    assert event["isBase64Encoded"] is False and "body" not in event
    http = event["requestContext"]["http"]
    assert (http["method"], http["path"], http["sourceIp"], http["userAgent"]) == ("GET", "/a%20b/c", "127.0.0.1", "tester")
    assert event["requestContext"]["requestId"] == response.headers["X-Ebb-Request-Id"]
    bare = node.call("app/echo").json()
    assert bare["rawPath"] == "/" and bare["rawQueryString"] == "" and "queryStringParameters" not in bare


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_any_method_reaches_the_handler(node, method):
    assert node.call("app/echo", method=method).json()["requestContext"]["http"]["method"] == method


def test_bodies_as_the_event_shows_them(node):
    sent = node.call("app/echo", data='{"a": "ü"}'.encode(), headers={"Content-Type": "application/json"}).json()
    assert (sent["body"], sent["isBase64Encoded"]) == ('{"a": "ü"}', False)
    raw = bytes(range(256))
    sent = node.call("app/echo", data=raw, headers={"Content-Type": "image/png"}).json()
    assert sent["isBase64Encoded"] is True and base64.b64decode(sent["body"]) == raw
    sent = node.call("app/echo", data=b"\xff\xfe", headers={"Content-Type": "text/plain"}).json()
    assert sent["isBase64Encoded"] is True and base64.b64decode(sent["body"]) == b"\xff\xfe"
    chunks = node.call("app/bytes-back", data=iter([b"one", b"\0two", b"x" * 70_000]), headers={"Content-Type": "application/x-parts"})
    assert chunks.content == b"one\0two" + b"x" * 70_000


def test_results_of_every_kind_by_url(node):
    text = node.call("app/text")
    assert text.headers["Content-Type"] == "text/plain; charset=utf-8" and text.content == "grüße".encode()
    data = node.call("app/data")
    assert data.headers["Content-Type"] == "application/octet-stream" and data.content == bytes(range(256))
    assert node.call("app/plain").json() == [1, 2.5, "three", None, {"four": True}]
    nothing = node.call("app/nothing")
    assert nothing.status_code == 200 and nothing.content == b""
    whole = node.call("app/whole")
    assert whole.status_code == 201 and whole.text == "<p>made" and whole.headers["Content-Type"] == "text/html"
    assert whole.headers["X-Thing"] == "a b"
    assert whole.raw.headers.getlist("Set-Cookie") == ["a=1; Path=/", "b=2"]
    encoded = node.call("app/encoded")
    assert encoded.content == bytes(range(256)) and encoded.headers["Content-Type"] == "image/x-made"


def test_async_handlers_share_one_loop(node):
    first, second = node.call("app/later").json(), node.call("app/later").json()
    assert [first["calls"], second["calls"]] == [1, 2] and first["loop"] == second["loop"]


def test_an_exception_is_502_and_the_instance_goes_on(node):
    response = node.call("app/raises")
    assert response.status_code == 502
    error = response.json()["error"]
    assert error["code"] == "function_failed" and "KeyError" in error["message"] and "no such fruit" in error["message"]
    assert error["request_id"] == response.headers["X-Ebb-Request-Id"]
    again = node.call("app/raises")
    assert server_timing(again)["start"]["desc"] == "idle"
    record, = node.usage(request=error["request_id"])
    assert (record["outcome"], record["http_status"]) == ("function_error", 502)
    lines = [line["text"] for line in node.logs("app/raises", request=error["request_id"])]
    assert any("no such fruit" in line for line in lines) and any("app.py" in line for line in lines)


def test_context(node):
    response = node.call("app/about")
    about = response.json()
    assert about["request_id"] == about["aws_request_id"] == response.headers["X-Ebb-Request-Id"]
    assert (about["app"], about["function_name"], about["function_version"]) == ("app", "about", "1")
    assert about["memory_limit_in_mb"] == 96 and about["invoked_function_arn"] == "ebb:app:about:1"
    assert 0 < about["left"] <= 7000


def test_invoke_by_command_line(node):
    assert node.cli("invoke", "app/echo", "--data", '{"a": [1, "ü"]}').stdout == '{"a":[1,"ü"]}'
    assert node.cli("invoke", "app/echo").stdout == "{}"
    assert node.cli("invoke", "app/echo", "--data-file", "-", stdin=b'"from stdin"').stdout == '"from stdin"'
    assert node.cli("invoke", "app/text").stdout == '"grüße"'  # a direct call's answer is JSON
    assert node.cli("invoke", "app/nothing").stdout == "null"
    assert json.loads(node.cli("invoke", "app/whole").stdout)["statusCode"] == 201  # and not interpreted
    raw = node.cli_json("invoke", "app/bytes-back", "--raw", "--data-file", "-", stdin=bytes(range(256)))
    assert base64.b64decode(raw["body_base64"]) == bytes(range(256)) and raw["status"] == 200
    shown = node.cli("invoke", "-v", "app/about").stderr
    assert "X-Ebb-Request-Id: " in shown and "X-Ebb-Version: 1" in shown and "Server-Timing: queue;dur=" in shown


def test_invoke_says_what_went_wrong(node):
    failed = node.cli("invoke", "app/raises", expect=7)
    assert "KeyError" in failed.stderr and "ebb logs app/raises --request " in failed.stderr
    assert "not JSON" in node.cli("invoke", "app/echo", "--data", "{a: 1}", expect=2).stderr
    assert "nowhere" in node.cli("invoke", "app/nowhere", expect=3).stderr
    assert "version" in node.cli("invoke", "app/echo:99", expect=3).stderr


def test_direct_calls_by_the_content_type(node):
    url = "/api/v1/apps/app/functions/echo/invocations"
    assert node.call(url, data=b'{"a": 1}', headers={"Content-Type": "application/json"}).json() == {"a": 1}
    assert node.call(url, data=b"", method="POST").json() is None
    broken = node.call(url, data=b"{", headers={"Content-Type": "application/json"})
    assert broken.status_code == 502 and "JSON" in broken.json()["error"]["message"]
    back = node.call("/api/v1/apps/app/functions/bytes-back/invocations", data=b"\0\xff", headers={"Content-Type": "image/png"})
    assert back.content == b"\0\xff" and back.headers["Content-Type"] == "application/octet-stream"


def test_largest_bodies_each_way_byte_for_byte(node):
    body = os.urandom(BODY_LIMIT)
    digest = hashlib.sha256(body).hexdigest()
    octets = {"Content-Type": "application/octet-stream"}
    direct = "/api/v1/apps/app/functions/"
    back = node.call(direct + "bytes-back/invocations", data=body, headers=octets)
    assert back.status_code == 200 and hashlib.sha256(back.content).hexdigest() == digest
    assert node.call("app/digest", data=body, headers=octets).json() == [BODY_LIMIT, digest]
    record, = node.usage(request=back.headers["X-Ebb-Request-Id"])
    assert (record["bytes_in"], record["bytes_out"]) == (BODY_LIMIT, BODY_LIMIT)


def test_one_byte_too_many_is_refused(node):
    response = node.call("app/digest", data=b"x" * (BODY_LIMIT + 1), headers={"Content-Type": "application/octet-stream"})
    assert response.status_code == 413 and response.json()["error"]["code"] == "too_large"
    assert "32" in response.json()["error"]["message"]
    chunked = node.call("app/digest", data=iter([b"x" * (1 << 20)] * 33))
    assert chunked.status_code == 413
    assert node.call(f"app/large?n={BODY_LIMIT}").content == b"x" * BODY_LIMIT
    result = node.call(f"app/large?n={BODY_LIMIT + 1}")
    assert result.status_code == 502 and str(BODY_LIMIT) in result.json()["error"]["message"]
    assert node.call("app/large?n=3").content == b"xxx"


def test_head_has_no_body_and_keeps_the_connection(node):
    with node.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"HEAD /fn/app/text HTTP/1.1\r\nHost: x\r\n\r\nGET /fn/app/text HTTP/1.1\r\nHost: x\r\n\r\n")
        status, headers, _ = read_response(stream, head=True)
        assert status == 200 and headers["content-length"] == "7"
        status, _, body = read_response(stream)
        assert status == 200 and body == "grüße".encode()


def test_pipelined_requests_are_answered_in_order(node):
    with node.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"".join(b"GET /fn/app/slow-first/%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(8)))
        seen = [read_response(stream) for _ in range(8)]
        assert [body for _, _, body in seen] == [b"/%d" % n for n in range(8)]
        assert len({headers["x-ebb-request-id"] for _, headers, _ in seen}) == 8
        connection.sendall(b"GET /fn/app/slow-first/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        status, headers, body = read_response(stream)
        assert body == b"/last" and headers["connection"] == "close" and stream.read() == b""


def test_http_1_0_is_closed_after_its_answer(node):
    answer = node.raw(b"GET /fn/app/text HTTP/1.0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.") and answer.endswith("grüße".encode())


def test_server_timing_agrees_with_the_usage_record(node):
    node.deploy_function("def handler(event, context):\n    return 1\n", app="timing")
    for rung in ("fork", "idle"):
        response = node.call("timing/f")
        timing = server_timing(response)
        assert list(timing) == ["queue", "start", "init", "handler", "total"]
        assert timing["start"]["desc"] == rung
        parts = sum(timing[name]["dur"] for name in ("queue", "start", "init", "handler"))
        assert 0 < timing["handler"]["dur"] <= parts <= timing["total"]["dur"] + 0.01
        assert (timing["start"]["dur"] > 0) == (rung == "fork")
        record, = node.usage(request=response.headers["X-Ebb-Request-Id"])
        assert record["rung"] == rung and record["outcome"] == "ok"
        for name in ("queue", "start", "init", "handler"):
            assert record[f"{name}_ms"] == pytest.approx(timing[name]["dur"], abs=0.002), name
        assert parts - 0.01 <= record["total_ms"] <= timing["total"]["dur"] + 0.01
        assert record["billed_ms"] == max(1, -int(-record["handler_ms"] // 1))


def test_versions_by_number(node):
    for number in (1, 2):
        node.deploy_function(f"def handler(event, context):\n    return {number}\n", app="numbered")
    current = node.call("numbered/f")
    assert current.json() == 2 and current.headers["X-Ebb-Version"] == "2"
    eventually(lambda: node.call("numbered/f:1").status_code == 200, "version 1 by its number")
    old = node.call("numbered/f:1/sub")
    assert old.json() == 1 and old.headers["X-Ebb-Version"] == "1"
    assert node.call("numbered/f:2").json() == 2
    assert node.cli("invoke", "numbered/f:1").stdout == "1"
    for missing in ("3", "0", "x", "-1", "1x", ""):
        response = node.call(f"numbered/f:{missing}")
        assert response.status_code == 404 and response.json()["error"]["code"] == "not_found", missing
    assert node.call("numbered/f").json() == 2
