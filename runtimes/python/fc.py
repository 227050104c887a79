"""The contract of Function Compute, as far as it is the instance's (`contract: fc`): where the server listens, what it finds in
its environment, and what it is asked before its first call and before its end. What stands in its calls: src/node/fc_contract.cc.
"""

import http.client
import math
import socket
import time
import uuid

from . import loading, trace

PORT = 9000
_HOST = "127.0.0.1"
_TOLD_CHARACTERS = 1024  # of an answer that says no
_ANSWER_BYTES = 64 * 1024
_REGION = "cn-hangzhou"  # where env has no FC_REGION, as in the calls' headers
_HANDLER = "index.handler"


class Settings:
    """What ebb.yaml says of it. `own_network`: the instance shares its ports with no other."""

    def __init__(self, fields):
        self.initialize_seconds = fields["initialize_ms"] / 1000
        self.pre_stop_seconds = fields["pre_stop_ms"] / 1000
        self.own_network = fields["own_network"]


class _Timed(socket.socket):
    """Whatever is read from it or written to it ends by `limit`. Errors: TimeoutError."""

    limit = 0.0

    def _hurry(self):
        left = self.limit - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.settimeout(left)

    def recv_into(self, *arguments):
        self._hurry()
        return super().recv_into(*arguments)

    def sendall(self, *arguments):
        self._hurry()
        return super().sendall(*arguments)


def environment(function, port):
    """On top of what a server has anyway."""
    env = {
        "FC_SERVER_PORT": str(port),
        "FC_CUSTOM_LISTEN_PORT": str(port),
        "FC_RUNTIME": "custom" if function.image is None else "custom-container",
        "FC_FUNC_CODE_PATH": loading.TASK + "/",
        "FC_FUNCTION_NAME": function.name,
        "FC_FUNCTION_HANDLER": function.handler or _HANDLER,
        "FC_FUNCTION_MEMORY_SIZE": str(function.memory_bytes >> 20),
        "FC_TIMEOUT": str(math.ceil(function.timeout_ms / 1000)),
        "FC_INSTANCE_ID": str(uuid.uuid4()),
    }
    if function.fc.initialize_seconds:
        env["FC_INITIALIZER_HANDLER"] = "initialize"
        env["FC_INITIALIZATION_TIMEOUT"] = str(math.ceil(function.fc.initialize_seconds))
    return env if "FC_REGION" in function.env else {"FC_REGION": _REGION, **env}


def _headers(function, path):
    env = environment(function, 0)
    region = function.env.get("FC_REGION", "")
    headers = {
        "x-fc-request-id": str(uuid.uuid4()),
        "x-fc-control-path": path,
        "x-fc-function-name": function.name,
        "x-fc-function-handler": env["FC_FUNCTION_HANDLER"],
        "x-fc-function-memory": env["FC_FUNCTION_MEMORY_SIZE"],
        "x-fc-function-timeout": env["FC_TIMEOUT"],
        "x-fc-region": region if region and region.isprintable() else _REGION,
        "connection": "close",
    }
    if "FC_INITIALIZATION_TIMEOUT" in env:
        headers["x-fc-function-initializer"] = env["FC_INITIALIZER_HANDLER"]
        headers["x-fc-initialization-timeout"] = env["FC_INITIALIZATION_TIMEOUT"]
    return {name: value.encode() for name, value in headers.items()}


def _ask(function, port, method, path, seconds):
    """An empty text when the server says yes, with 2xx; else what it says, or does instead."""
    connection = http.client.HTTPConnection(_HOST, port)
    sock = _Timed(socket.AF_INET, socket.SOCK_STREAM)
    sock.limit = time.monotonic() + seconds
    connection.sock = sock
    try:
        sock.settimeout(seconds)
        sock.connect((_HOST, port))
        connection.request(method, path, b"" if method == "POST" else None, _headers(function, path))
        answer = connection.getresponse()
        if 200 <= answer.status <= 299 and answer.headers.get("x-fc-status") != "404":
            return ""
        told = answer.read(_ANSWER_BYTES).decode("utf-8", "replace").strip()
        return f"was answered {answer.status}: {trace.cut(told, _TOLD_CHARACTERS) or 'it does not say why'}"
    except TimeoutError:
        return f"was not answered within {seconds:g} s"
    except (http.client.HTTPException, OSError) as error:
        return f"was not answered: {type(error).__name__}: {error}"
    finally:
        connection.close()


def initialize(function, port):
    """Before the first call. Errors: loading.LoadError."""
    seconds = function.fc.initialize_seconds
    if not seconds:
        return
    print("FC Initialize Start", flush=True)
    if wrong := _ask(function, port, "POST", "/initialize", seconds):
        raise loading.LoadError("InitializeFailed", f"POST /initialize {wrong}")
    print("FC Initialize End", flush=True)


def pre_stop(function, port):
    """Before the end, which comes whatever is answered."""
    seconds = function.fc.pre_stop_seconds
    if seconds and (wrong := _ask(function, port, "GET", "/pre-stop", seconds)):
        trace.report(f"GET /pre-stop {wrong}\n")
