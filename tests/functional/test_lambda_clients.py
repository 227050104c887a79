"""Functions in Go, Rust and JavaScript with AWS's own clients, unchanged, and AWS's runtime interface emulator as an oracle: the same
program is run by both, and what it sees and what its caller gets is the same where the two should agree."""

import contextlib
import json
import os
import shutil
import socket
import subprocess

import pytest
import requests

import lambda_clients
from ebb_node import eventually

pytestmark = pytest.mark.slow

COMMANDS = {"go": ["./bootstrap"], "rust": ["./bootstrap"], "node": ["node_modules/.bin/aws-lambda-ric", "index.take"]}
EVENTS = [{}, {"a": [1, 2.5, None, "täxt"]}, {"deep": {"x": {"y": "z" * 10_000}}}]
# What the two should say of a program that ends in the middle of a call is not the same text.
ENDS_IT = {"node"}


def package_of(language):
    if lacking := lambda_clients.missing(language):
        pytest.skip(f"not on this machine: {lacking}")
    return lambda_clients.package(language)


def function(language, handler="index.take", **keys):
    command = {"command": f"exec node_modules/.bin/aws-lambda-ric {handler}"} if language == "node" else {}
    return {"runtime": "lambda", "handler": handler, "memory": "256Mi", "timeout": "5s", **command, **keys}


@pytest.fixture(scope="module", params=["go", "rust", "node"])
def language(request):
    package_of(request.param)
    return request.param


@pytest.fixture(scope="module")
def orders(node, language, tmp_path_factory):
    folder = tmp_path_factory.mktemp(language) / "package"
    shutil.copytree(package_of(language), folder, symlinks=True)
    functions = {"take": function(language), "short": function(language, timeout="1s")}
    if language == "node":
        functions["stream"] = function(language, "index.stream")
    (folder / "ebb.yaml").write_text(json.dumps({"app": f"orders-{language}", "functions": functions}))
    (folder / ".ebbignore").write_text("!node_modules\n")
    node.deploy(folder)
    return node


def invoke(node, language, event, name="take", **options):
    return node.cli("invoke", f"orders-{language}/{name}", "--data", json.dumps(event), **options)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextlib.contextmanager
def emulated(language, emulator):
    """The function under the emulator; gives a function that invokes it."""
    door, api = free_port(), free_port()
    folder = package_of(language)
    env = {**os.environ, "_HANDLER": "index.take", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256", "AWS_LAMBDA_FUNCTION_TIMEOUT": "5",
           "LAMBDA_TASK_ROOT": str(folder)}
    process = subprocess.Popen([str(emulator), "--runtime-interface-emulator-address", f"127.0.0.1:{door}", "--runtime-api-address",
                                f"127.0.0.1:{api}", *COMMANDS[language]], env=env, cwd=folder, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", door), 1):
            return True
        return False

    try:
        eventually(listens, "the emulator's port", 30)
        yield lambda event: requests.post(f"http://127.0.0.1:{door}/2015-03-31/functions/function/invocations",
                                          data=json.dumps(event), timeout=30).json()
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
def oracle(language, emulator):
    with emulated(language, emulator) as one:
        yield one


@pytest.mark.parametrize("event", EVENTS, ids=range(len(EVENTS)))
def test_a_function_sees_and_says_the_same_as_under_the_emulator(orders, oracle, language, event):
    ours, theirs = json.loads(invoke(orders, language, event).stdout), oracle(event)
    assert ours.pop("task") == "/var/task" and theirs.pop("task")
    assert ours["event"] == event and ours["bounded"] and ours["arn"] and ours["id"] and ours["memory"] == 256
    assert ours == theirs


@pytest.mark.parametrize("wish, ending", [("error", "nothing ordered"), ("panic", "no stock")])
def test_an_error_has_the_type_and_message_that_the_emulator_gives(orders, oracle, language, wish, ending):
    if wish == "panic" and language in ENDS_IT:
        done = invoke(orders, language, {"wish": wish}, expect=7)
        assert "ended with exit status 3" in done.stderr, done.stderr
    else:
        theirs = oracle({"wish": wish})
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


def test_a_streamed_answer(orders, language):
    """Chunked, with a head before it, as AWS's clients in Rust and JavaScript send it."""
    if language == "go":
        pytest.skip("AWS's module for Go streams only what its lambdaurl wraps")
    path = f"orders-{language}/" + ("stream" if language == "node" else "take/stream")
    for _ in range(2):  # the connection to the API is kept
        answer = orders.call(path)
        assert answer.status_code == 202 and answer.text == "one;two;three" and answer.headers["set-cookie"] == "a=1"
        assert answer.headers["transfer-encoding"] == "chunked"


def test_what_it_writes_is_in_the_log_of_its_call(orders, language):
    if language != "node":
        pytest.skip("said once: the other clients leave output alone")
    invoke(orders, language, {"wish": "log"})
    request = orders.usage("orders-node/take")[-1]["request_id"]
    eventually(lambda: any("ordered { of: 'tea' }" in line["text"] for line in orders.logs("orders-node/take", request)), "the line in the log")
