"""The AWS Lambda Runtime API, route by route and header by header, as a runtime without any client speaks it; what callers and the log are
told of it; and that a streamed answer is on its way piece by piece. test_lambda_clients.py asks AWS's emulator the same."""

import base64
import json
import math
import re
import time
import urllib.parse

import pytest

import lambda_clients
from ebb_node import eventually
from test_streaming import Streaming

NEXT = "/2018-06-01/runtime/invocation/next"
RESPONSE = "/2018-06-01/runtime/invocation/{id}/response"
ERROR = "/2018-06-01/runtime/invocation/{id}/error"
INIT_ERROR = "/2018-06-01/runtime/init/error"
MODE = "Lambda-Runtime-Function-Response-Mode"
STREAMING = {MODE: "streaming", "Content-Type": "text/plain"}
OK = (202, {"status": "OK"})

# What a runtime is told before it has answered: a request, the status, and the body or its errorType.
BEFORE = {
    "ping": (["GET", "/2018-06-01/ping"], 200, "pong"),
    "the same event again before the answer": (["GET", NEXT], 200, {"before": [["GET", NEXT]]}),
    "an answer to another invocation": (["POST", RESPONSE.replace("{id}", "another"), {}, "{}"], 400, "InvalidRequestID"),
    "an error of another invocation": (["POST", ERROR.replace("{id}", "another"), {}, "{}"], 400, "InvalidRequestID"),
    "an init error after init": (["POST", INIT_ERROR, {}, "{}"], 403, "InvalidStateTransition"),
}
# Of what docs/tasks/programs.md says that it is not there.
ABSENT = {
    "the end of a snapshot": ["GET", "/2018-06-01/runtime/restore/next"],
    "an error of a snapshot": ["POST", "/2018-06-01/runtime/restore/error", {}, "{}"],
    "an extension": ["POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": "x"}, '{"events": []}'],
    "telemetry": ["PUT", "/2022-07-01/telemetry", {}, "{}"],
    "logs": ["PUT", "/2020-08-15/logs", {}, "{}"],
}
# Requests that answer, and what the runtime is told.
ANSWERS = {
    "a response": ([["POST", RESPONSE, {}, '"one"']], [OK]),
    "two responses": ([["POST", RESPONSE, {}, '"one"'], ["POST", RESPONSE, {}, '"two"']], [OK, (403, "InvalidStateTransition")]),
    "an error after its response": ([["POST", RESPONSE, {}, '"one"'], ["POST", ERROR, {}, "{}"]], [OK, (403, "InvalidStateTransition")]),
    "a stream": ([["POST", RESPONSE, STREAMING, ["on", "e"]]], [OK]),
}
# The same where the invocation fails, and what its caller is told.
FAILURES = {
    "an error": ([["POST", ERROR, {}, '{"errorType": "Order.Empty", "errorMessage": "nothing ordered"}']], [OK], "Order.Empty: nothing ordered"),
    "an error by its header": ([["POST", ERROR, {"Lambda-Runtime-Function-Error-Type": "Order.Odd"}, '{"errorMessage": "odd"}']], [OK], "Order.Odd: odd"),
    "an error with a cause": ([["POST", ERROR, {"Lambda-Runtime-Function-XRay-Error-Cause": '{"exceptions": []}'}, '{"errorType": "A", "errorMessage": "b"}']],
                              [OK], "A: b"),
    "a response after its error": ([["POST", ERROR, {}, '{"errorType": "A", "errorMessage": "b"}'], ["POST", RESPONSE, {}, '"one"']],
                                   [OK, (403, "InvalidStateTransition")], "A: b"),
    "an unknown response mode": ([["POST", RESPONSE, {MODE: "chunky"}, '"one"']], [(400, "InvalidFunctionResponseMode")],
                                 "Runtime.InvalidResponseModeHeader"),
    "a mode in capitals": ([["POST", RESPONSE, {MODE: "Streaming"}, ["one"]]], [(400, "InvalidFunctionResponseMode")], "Runtime.InvalidResponseModeHeader"),
    "a response that is too large": ([["POST", RESPONSE, {}, 34_000_000]], [(413, "RequestEntityTooLarge")], "Function.ResponseSizeTooLarge"),
}


def told(answer):
    """(status, errorType of an error, else the body)"""
    status, _, body = answer
    return status, body["errorType"] if status >= 400 and isinstance(body, dict) else body


@pytest.fixture(scope="module")
def bare(node):
    program = (lambda_clients.SOURCES / "bare/bootstrap").read_text()
    spec = {"runtime": "lambda", "command": "exec python3 bootstrap", "memory": "128Mi", "handler": "any.text", "scale": {"max": 1}}
    functions = {"f": spec, "brief": {**spec, "timeout": "1s"}, "stream": {**spec, "timeout": "120s"}}
    node.deploy({"ebb.yaml": json.dumps({"app": "bare", "functions": functions}), "bootstrap": program})
    return node


def invoke(node, event, name="f", **headers):
    return node.call(f"/api/v1/apps/bare/functions/{name}/invocations", data=json.dumps(event), headers={"Authorization": f"Bearer {node.key}", **headers})


def remembered(node):
    """What the requests of the last answer were told."""
    return [told(one) for one in invoke(node, {}).json()["remembered"]]


@pytest.mark.parametrize("what", BEFORE)
def test_a_request_before_the_answer(bare, what):
    request, status, body = BEFORE[what]
    assert told(invoke(bare, {"before": [request]}).json()["before"][0]) == (status, body)


@pytest.mark.parametrize("what", ABSENT)
def test_what_is_not_there_is_not_found(bare, what):
    answer, = invoke(bare, {"before": [ABSENT[what]]}).json()["before"]
    assert told(answer) == (404, "NotFound")


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer(bare, what):
    requests, expected = ANSWERS[what]
    answer = invoke(bare, {"answer": requests})
    assert answer.status_code == 200 and answer.text.strip('"') == "one"
    assert remembered(bare) == expected


@pytest.mark.parametrize("what", FAILURES)
def test_a_failure(bare, what):
    requests, expected, text = FAILURES[what]
    answer = invoke(bare, {"answer": requests})
    assert answer.status_code == 502 and text in answer.json()["error"]["message"], answer.text
    assert bare.usage(request=answer.headers["X-Ebb-Request-Id"])[0]["outcome"] == "function_error"
    assert remembered(bare) == expected


def test_the_headers_of_an_event(bare):
    answer = invoke(bare, {}, traceparent="00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01")
    seen = answer.json()["headers"]
    assert {name for name in seen if name.startswith("lambda-runtime-")} == {
        "lambda-runtime-aws-request-id", "lambda-runtime-deadline-ms", "lambda-runtime-invoked-function-arn", "lambda-runtime-trace-id"}
    assert seen["content-type"] == "application/json"
    assert seen["lambda-runtime-aws-request-id"] == answer.headers["X-Ebb-Request-Id"]
    assert seen["lambda-runtime-invoked-function-arn"].startswith("ebb:bare:f:")
    assert 0 < int(seen["lambda-runtime-deadline-ms"]) - time.time() * 1000 <= 30_000
    assert re.fullmatch(r"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=[0-9a-f]{16};Sampled=1", seen["lambda-runtime-trace-id"])


def test_the_variables_of_a_runtime(bare):
    env = invoke(bare, {}).json()["env"]
    expected = {
        "_HANDLER": "any.text", "LAMBDA_TASK_ROOT": "/var/task", "LAMBDA_RUNTIME_DIR": "/var/runtime", "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_LOG_GROUP_NAME": "/ebb/bare/f",
        "AWS_LAMBDA_LOG_STREAM_NAME": "[1]", "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_REGION": "us-east-1", "TZ": ":UTC"}
    assert {name: env.get(name) for name in expected} == expected
    assert re.fullmatch(r"127\.0\.0\.1:\d+", env["AWS_LAMBDA_RUNTIME_API"])


def test_an_init_error_by_its_header(node):
    program = (lambda_clients.SOURCES / "bare/bootstrap").read_text()
    request = ["POST", INIT_ERROR, {"Lambda-Runtime-Function-Error-Type": "Config.Missing"}, '{"errorMessage": "no table name"}']
    spec = {"runtime": "lambda", "command": "exec python3 bootstrap", "memory": "128Mi", "env": {"AT_INIT": json.dumps([request])}}
    done = node.deploy({"ebb.yaml": json.dumps({"app": "barren", "functions": {"f": spec}}), "bootstrap": program}, expect=None)
    assert done.returncode != 0 and "Config.Missing" in done.stderr and "no table name" in done.stderr, done.stderr


def lines_of(node, name, request):
    return [line["text"] for line in node.logs(f"bare/{name}", request=request)]


@pytest.mark.parametrize("body, text", [
    (base64.b64encode(b'{"errorType": "Stock.Gone", "errorMessage": "sold out", "trace": ["line 7"]}').decode(), "Stock.Gone: sold out"),
    ("not base64!", "Stock.Odd: the program failed in the middle of its stream"), (None, "Stock.Odd: the program failed in the middle of its stream")])
def test_the_trailers_of_a_stream_say_how_it_failed(bare, body, text):
    trailers = {"Lambda-Runtime-Function-Error-Type": "Stock.Odd", **({"Lambda-Runtime-Function-Error-Body": body} if body else {})}
    with Streaming(bare, "stream?wish=" + wish([["POST", RESPONSE, STREAMING, ["whole"], trailers]]), app="bare") as client:
        assert client.head().status == 200
        assert (client.chunk(), client.chunk()) == (b"whole", None)
    assert bare.usage(request=client.id)[0]["outcome"] == "function_error"
    assert any(text in line for line in lines_of(bare, "stream", client.id))


def wish(requests):
    return urllib.parse.quote(json.dumps({"answer": requests}))


def test_a_piece_does_not_wait_for_the_next(bare):
    pieces = ["first", 0.3, "second", 60, "third"]
    with Streaming(bare, "stream?wish=" + wish([["POST", RESPONSE, STREAMING, pieces]]), app="bare") as client:
        assert client.head().headers["content-type"] == "text/plain"
        assert (client.chunk(), client.chunk()) == (b"first", b"second")
        assert bare.usage(settled=False, request=client.id)[0]["state"] == "open", "the function waits, and has not made the third"
    eventually(lambda: bare.usage(settled=False, request=client.id)[0]["state"] == "closed", "the end of an abandoned stream")


def report(node, name, request):
    """The numbers and words of a call's REPORT, and the lines before it."""
    lines = eventually(lambda: lines_of(node, name, request), "its log")
    *before, last = lines
    head, *fields = last.split("\t")
    assert head == f"REPORT RequestId: {request}"
    return dict(field.split(": ") for field in fields), before


# A request that answers, the outcome, and what REPORT says of it.
ENDS = {
    "an answer": ([["POST", RESPONSE, {}, "{}"]], "ok", {}),
    "a stream": ([["POST", RESPONSE, STREAMING, ["a", 0.05, "b"]]], "ok", {}),
    "an error": ([["POST", ERROR, {}, "{}"]], "function_error", {}),
    "no answer": ([["POST", "/nowhere", {}, [3]]], "timed_out", {"Status": "timeout"}),
}


@pytest.mark.parametrize("what", ENDS)
def test_the_log_reports_what_the_usage_record_bills(bare, what):
    requests, outcome, words = ENDS[what]
    for _ in range(3):
        answer = invoke(bare, {"answer": requests}, name="brief")
        record, = bare.usage(request=answer.headers["X-Ebb-Request-Id"])
        said, before = report(bare, "brief", record["request_id"])
        said.pop("Init Duration", None)
        assert record["outcome"] == outcome
        assert said == {"Duration": f"{record['handler_ms']:.2f} ms", "Billed Duration": f"{record['billed_ms']} ms", "Memory Size": "128 MB",
                        "Max Memory Used": f"{math.ceil(record['memory_peak_bytes'] / 2**20)} MB", **words}
        assert before[0] == f"START RequestId: {record['request_id']} Version: {record['version']}"
        assert before[-1] == f"END RequestId: {record['request_id']}"
        assert any(line.endswith(f"Z {record['request_id']} Task timed out after 1.00 seconds") for line in before) == (outcome == "timed_out")


def test_the_first_report_of_an_instance_says_how_long_its_start_took(bare):
    invoke(bare, {"answer": ENDS["no answer"][0]}, name="brief")  # ends the instance
    ids = [invoke(bare, {}, name="brief").headers["X-Ebb-Request-Id"] for _ in range(2)]
    first, second = (report(bare, "brief", one)[0] for one in ids)
    assert float(first["Init Duration"].removesuffix(" ms")) > 1 and "Init Duration" not in second
