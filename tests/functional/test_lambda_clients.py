"""A function in Go with AWS's own module, unchanged, and AWS's runtime interface emulator as an oracle: the same program is run by
both, and what it sees and what its caller gets is the same where the two should agree."""

import contextlib
import json
import os
import shutil
import socket
import subprocess

import pytest
import requests

from ebb_node import eventually

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("go") is None, reason="no go on this machine")]

EMULATOR = "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d"
GO_MOD = "module example/orders\n\ngo 1.26\n\nrequire github.com/aws/aws-lambda-go v1.55.1\n"
GO_SUM = """github.com/aws/aws-lambda-go v1.55.1 h1:We2cCp4BwqqH/JW+bEEo1FhgG71rslvjfi4y7KmlrR0=
github.com/aws/aws-lambda-go v1.55.1/go.mod h1:V+NzkHNR6vBC8C1PDloqSLE+7jYWFiPvJJFiCiTm8nE=
"""
SOURCE = """package main

import (
	"context"
	"errors"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func handle(ctx context.Context, event map[string]any) (map[string]any, error) {
	switch event["wish"] {
	case "error":
		return nil, errors.New("nothing ordered")
	case "panic":
		panic("no stock")
	}
	told, _ := lambdacontext.FromContext(ctx)
	_, bounded := ctx.Deadline()
	return map[string]any{"event": event, "bounded": bounded, "id": told.AwsRequestID != "", "arn": told.InvokedFunctionArn != "",
		"memory": lambdacontext.MemoryLimitInMB, "handler": os.Getenv("_HANDLER"), "task": os.Getenv("LAMBDA_TASK_ROOT")}, nil
}

func main() { lambda.Start(handle) }
"""
EVENTS = [{}, {"a": [1, 2.5, None, "täxt"]}, {"deep": {"x": {"y": "z" * 10_000}}}]


def run(*words, **options):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, timeout=500, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orders")
    source = folder / "source"
    source.mkdir()
    for name, text in (("go.mod", GO_MOD), ("go.sum", GO_SUM), ("main.go", SOURCE)):
        (source / name).write_text(text)
    (folder / "package").mkdir()
    run("go", "build", "-trimpath", "-ldflags=-s", "-o", folder / "package/bootstrap", ".", cwd=source,
        env={**os.environ, "CGO_ENABLED": "0"})
    manifest = {"app": "orders", "functions": {"take": {"runtime": "lambda", "handler": "orders.take", "memory": "128Mi", "timeout": "5s"}}}
    (folder / "package/ebb.yaml").write_text(json.dumps(manifest))
    return folder / "package"


@pytest.fixture(scope="module")
def orders(node, package):
    node.deploy(package)
    return node


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


@contextlib.contextmanager
def emulated(package, emulator):
    """The function under the emulator; gives a function that invokes it."""
    door, api = free_port(), free_port()
    env = {**os.environ, "_HANDLER": "orders.take", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "AWS_LAMBDA_FUNCTION_TIMEOUT": "5",
           "LAMBDA_TASK_ROOT": "/var/task"}
    process = subprocess.Popen([str(emulator), "--runtime-interface-emulator-address", f"127.0.0.1:{door}", "--runtime-api-address",
                                f"127.0.0.1:{api}", str(package / "bootstrap")], env=env, stdin=subprocess.DEVNULL,
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
def oracle(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("emulator")
    run("go", "install", EMULATOR, env={**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"})
    with emulated(package, folder / "aws-lambda-rie") as invoke:
        yield invoke


@pytest.mark.parametrize("event", EVENTS, ids=range(len(EVENTS)))
def test_a_go_function_sees_and_says_the_same_as_under_the_emulator(orders, oracle, event):
    ours = json.loads(orders.cli("invoke", "orders/take", "--data", json.dumps(event)).stdout)
    theirs = oracle(event)
    assert ours["event"] == event and ours["bounded"] and ours["arn"] and ours["id"]
    assert ours == theirs


@pytest.mark.parametrize("wish, ending", [("error", "nothing ordered"), ("panic", "no stock")])
def test_an_error_has_the_type_and_message_that_the_emulator_gives(orders, oracle, wish, ending):
    theirs = oracle({"wish": wish})
    assert theirs["errorMessage"] == ending
    done = orders.cli("invoke", "orders/take", "--data", json.dumps({"wish": wish}), expect=7)
    assert f"{theirs['errorType']}: {ending}" in done.stderr, done.stderr
    for _ in range(3):  # after a panic the module reports it and ends the program
        assert json.loads(orders.cli("invoke", "orders/take", "--data", "{}").stdout)["event"] == {}
