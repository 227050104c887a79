"""Functions in Go, Rust, JavaScript and Python with AWS's own clients, unchanged, and AWS's runtime interface emulator as an oracle: the same
program is run by both, and what it sees and what its caller gets is the same where the two should agree."""

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess

import pytest
import requests

import lambda_clients
from ebb_node import eventually
from test_lambda_api import ANSWERS, BEFORE, FAILURES, told
from test_streaming import Streaming

pytestmark = pytest.mark.slow

COMMANDS = {
    "go": ["./bootstrap"], "rust": ["./bootstrap"], "node": ["node_modules/.bin/aws-lambda-ric", "{handler}"],
    "python": ["python3", "-m", "awslambdaric", "{handler}"], "bare": ["python3", "bootstrap"]}
EVENTS = [{}, {"a": [1, 2.5, None, "täxt"]}, {"deep": {"x": {"y": "z" * 10_000}}}]
# What the two should say of a program that ends in the middle of a call is not the same text.
ENDS_IT = {"node", "python"}
# The handlers of those that stream.
STREAMS = {"rust": "index.take", "node": "index.stream"}
# Who reports a start that failed; the others end.
REPORT_INIT = {"node", "python"}


def package_of(language):
    if language == "bare":
        return lambda_clients.SOURCES / "bare"
    if lacking := lambda_clients.missing(language):
        pytest.skip(f"not on this machine: {lacking}")
    return lambda_clients.package(language)


def command(language, handler):
    return [word.format(handler=handler) for word in COMMANDS[language]]


def function(language, handler="index.take", **keys):
    return {"runtime": "lambda", "handler": handler, "memory": "256Mi", "timeout": "5s", "command": "exec " + " ".join(command(language, handler)), **keys}


def folder_of(language, functions, folder, app):
    """A package to deploy: the function's, with an ebb.yaml."""
    shutil.copytree(package_of(language), folder, symlinks=True)
    (folder / "ebb.yaml").write_text(json.dumps({"app": app, "functions": functions}))
    (folder / ".ebbignore").write_text("!node_modules\n")
    return folder


@pytest.fixture(scope="module", params=["go", "rust", "node", "python"])
def language(request):
    package_of(request.param)
    return request.param


@pytest.fixture(scope="module")
def orders(node, language, tmp_path_factory):
    functions = {"take": function(language), "short": function(language, timeout="1s")}
    if language in STREAMS:
        functions["stream"] = function(language, STREAMS[language], timeout="120s")
    node.deploy(folder_of(language, functions, tmp_path_factory.mktemp(language) / "package", f"orders-{language}"))
    return node


def invoke(node, language, event, name="take", **options):
    return node.cli("invoke", f"orders-{language}/{name}", "--data", json.dumps(event), **options)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


class Emulated:
    """The function under the emulator."""

    def __init__(self, door, output):
        self._door = door
        self._output = output

    def __call__(self, event):
        return requests.post(f"http://127.0.0.1:{self._door}/2015-03-31/functions/function/invocations", data=json.dumps(event), timeout=30)

    def output(self):
        return self._output.read_text()

    def lines(self):
        """What it has printed itself: START and the like."""
        return re.findall(r"^(?:START|END|REPORT) .*$", self.output(), re.MULTILINE)


@contextlib.contextmanager
def emulated(language, emulator, output, handler="index.take", **env):
    door, api = free_port(), free_port()
    folder = package_of(language)
    env = {**os.environ, "_HANDLER": handler, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_TIMEOUT": "5",
           "LAMBDA_TASK_ROOT": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **env}
    with open(output, "w") as file:
        process = subprocess.Popen([str(emulator), "--runtime-interface-emulator-address", f"127.0.0.1:{door}", "--runtime-api-address",
                                    f"127.0.0.1:{api}", *command(language, handler)], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                                   stdout=file, stderr=subprocess.DEVNULL)

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", door), 1):
            return True
        return False

    try:
        eventually(listens, "the emulator's port", 30)
        yield Emulated(door, output)
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(scope="module")
def emulator():
    """Built once, in build/."""
    if lambda_clients.program("go") is None:
        pytest.skip("not on this machine: go, which builds the emulator")
    path = lambda_clients.BUILT / lambda_clients.EMULATOR.rpartition("@")[2] / "aws-lambda-rie"
    if not path.exists():
        lambda_clients.run(lambda_clients.program("go"), "install", lambda_clients.EMULATOR, env={**os.environ, "GOBIN": str(path.parent), "CGO_ENABLED": "0"})
    return path


@pytest.fixture(scope="module")
def oracle(language, emulator, tmp_path_factory):
    with emulated(language, emulator, tmp_path_factory.mktemp("oracle") / "output") as one:
        yield one


@pytest.mark.parametrize("event", EVENTS, ids=range(len(EVENTS)))
def test_a_function_sees_and_says_the_same_as_under_the_emulator(orders, oracle, language, event):
    ours, theirs = json.loads(invoke(orders, language, event).stdout), oracle(event).json()
    assert ours.pop("task") == "/var/task" and theirs.pop("task")
    assert ours["event"] == event and ours["bounded"] and ours["arn"] and ours["id"] and ours["memory"] == 256
    assert ours == theirs


@pytest.mark.parametrize("wish, ending", [("error", "nothing ordered"), ("panic", "no stock")])
def test_an_error_has_the_type_and_message_that_the_emulator_gives(orders, oracle, language, wish, ending):
    if wish == "panic" and language in ENDS_IT:
        done = invoke(orders, language, {"wish": wish}, expect=7)
        assert "ended with exit status 3" in done.stderr, done.stderr
    else:
        theirs = oracle({"wish": wish}).json()
        assert ending in theirs["errorMessage"]
        done = invoke(orders, language, {"wish": wish}, expect=7)
        assert f"{theirs['errorType']}: {theirs['errorMessage']}" in done.stderr, done.stderr
    for _ in range(3):  # after a panic Go's module reports it and ends the program
        assert json.loads(invoke(orders, language, {}).stdout)["event"] == {}


def test_one_that_does_not_answer_is_ended_by_its_timeout(orders, language):
    done = invoke(orders, language, {"wish": "sleep"}, name="short", expect=None)
    assert done.returncode != 0 and "did not answer within its timeout of 1s" in done.stderr, done.stderr
    assert json.loads(invoke(orders, language, {}, name="short").stdout)["event"] == {}
    assert [record["outcome"] for record in orders.usage(f"orders-{language}/short")] == ["timed_out", "ok"]


def test_an_event_of_a_url_and_the_answer_to_it(orders, language):
    answer = orders.call(f"orders-{language}/take/shelf?of=tea", data=b'{"n": 1}', headers={"Content-Type": "application/json"})
    event = answer.json()["event"]
    assert event["rawPath"] == "/shelf" and event["rawQueryString"] == "of=tea" and json.loads(event["body"]) == {"n": 1}


def test_a_start_that_fails(node, language, emulator, tmp_path):
    folder = folder_of(language, {"take": function(language, env={"FAIL_INIT": "1"})}, tmp_path / "package", f"barren-{language}")
    ours = node.deploy(folder, expect=None, json_output=False)
    assert ours.returncode != 0 and "no table name" in ours.stderr, ours.stderr
    with emulated(language, emulator, tmp_path / "output", FAIL_INIT="1") as invoke_theirs:
        theirs = invoke_theirs({})
    if language in REPORT_INIT:
        error = theirs.json()
        assert error["errorType"] in ours.stderr and error["errorMessage"] in ours.stderr, (error, ours.stderr)
    else:
        assert theirs.status_code == 502 and "ended with exit status" in ours.stderr, (theirs.content, ours.stderr)


def form(line):
    """A line of the log without what differs: the id, the version, and the numbers."""
    line = re.sub(r"RequestId: \S+", "RequestId: ID", re.sub(r"Version: \S+", "Version: N", line))
    return re.sub(r"\b\d+(\.\d+)?\b", lambda number: "N.NN" if number[1] else "N", line).strip()


def test_the_lines_around_a_call_have_the_form_that_the_emulator_gives(orders, oracle, language):
    before = len(oracle.lines())
    oracle({}), oracle({})
    theirs = [form(line) for line in oracle.lines()][before + 3:]
    invoke(orders, language, {}), invoke(orders, language, {})
    request = orders.usage(f"orders-{language}/take")[-1]["request_id"]
    ours = [form(line["text"]) for line in orders.logs(f"orders-{language}/take", request)]
    assert ours == theirs and len(ours) == 3


@pytest.fixture
def streams(language):
    if language not in STREAMS:
        pytest.skip("AWS's module for Go streams only what its lambdaurl wraps, its client for Python nothing")


def test_a_streamed_answer(orders, language, streams):
    """Chunked, with a head before it, as AWS's clients in Rust and JavaScript send it."""
    for _ in range(2):  # the connection to the API is kept
        answer = orders.call(f"orders-{language}/stream/stream")
        assert answer.status_code == 202 and answer.text == "one;two;three" and answer.headers["set-cookie"] == "a=1"
        assert answer.headers["transfer-encoding"] == "chunked"


def test_a_streamed_answer_is_what_the_emulator_passes_on(orders, language, streams, emulator, tmp_path):
    with emulated(language, emulator, tmp_path / "output", STREAMS[language]) as invoke_theirs:
        head, body = invoke_theirs({"wish": "/stream"}).content.split(bytes(8))
    theirs, ours = json.loads(head), orders.call(f"orders-{language}/stream/stream")
    assert (ours.status_code, ours.content, [ours.headers["set-cookie"]]) == (theirs["statusCode"], body, theirs["cookies"])
    assert {name.lower() for name in theirs["headers"]} <= {name.lower() for name in ours.headers}


def test_a_piece_of_a_streamed_answer_does_not_wait_for_the_next(orders, language, streams):
    with Streaming(orders, "stream/slow", app=f"orders-{language}") as client:
        assert (client.head().status, client.chunk()) == (202, b"one;")
        assert orders.usage(settled=False, request=client.id)[0]["state"] == "open", "the function waits, and has not made the second"


def test_a_stream_that_fails_is_cut_off_and_the_log_says_why(orders, language):
    if language != "node":
        pytest.skip("AWS's crate for Rust writes what should be trailers into the body")
    with Streaming(orders, "stream/broken", app="orders-node") as client:
        assert (client.head().status, client.chunk(), client.chunk()) == (202, b"one;", None)
    assert orders.usage(request=client.id)[0]["outcome"] == "function_error"
    assert any("RangeError: nothing left" in line["text"] for line in orders.logs("orders-node/stream", client.id))


def test_what_it_writes_is_in_the_log_of_its_call(orders, language):
    if language != "node":
        pytest.skip("said once: the other clients leave output alone")
    invoke(orders, language, {"wish": "log"})
    request = orders.usage("orders-node/take")[-1]["request_id"]
    eventually(lambda: any("ordered { of: 'tea' }" in line["text"] for line in orders.logs("orders-node/take", request)), "the line in the log")


@pytest.mark.parametrize("what", [*BEFORE, *ANSWERS, *FAILURES])
def test_what_a_runtime_is_told_is_what_the_emulator_tells_it(emulator, tmp_path, what):
    """The tables of test_lambda_api.py."""
    with emulated("bare", emulator, tmp_path / "output") as invoke_theirs:
        if what in BEFORE:
            request, *expected = BEFORE[what]
            assert [told(one) for one in invoke_theirs({"before": [request]}).json()["before"]] == [tuple(expected)]
        else:
            requests_, expected, *_ = {**ANSWERS, **FAILURES}[what]
            invoke_theirs({"answer": requests_, "print": True})
            printed = eventually(lambda: re.search(r"^told (.*)$", invoke_theirs.output(), re.MULTILINE), "the runtime's word on what it was told")
            assert [told(one) for one in json.loads(printed[1])] == expected
