"""From spawning a plain process to its first answer: what a cold start is held against where there is no zygote to fork.

No namespaces, filter, cgroup, daemon or HTTP but the program's own. Each class is one way to be asked; `start` returns
(seconds, answer) and has ended the process and its children when it returns.
"""

import contextlib
import http.server
import os
import queue
import signal
import subprocess
import threading
import time

import cold
from servers import free_port

_PATIENCE_SECONDS = 60
_LOOK_SECONDS = 0.0005  # how often a server is asked whether it listens yet: so exact are their times
_API = "/2018-06-01/runtime/invocation/"


@contextlib.contextmanager
def _spawned(command, environment, folder, **options):
    """A process of a session of its own, killed with all that is in it."""
    process = subprocess.Popen([str(word) for word in command], env={**os.environ, **environment}, cwd=folder, start_new_session=True,
                               stderr=subprocess.DEVNULL, **options)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_PATIENCE_SECONDS)


class Program:
    """It reads the question from its standard input and prints one line."""

    def __init__(self, command, environment, folder, question=b"{}"):
        self._spawn, self._question = (command, environment, folder), question

    def start(self):
        started = time.perf_counter()
        with _spawned(*self._spawn, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            with contextlib.suppress(BrokenPipeError):  # one that needs no question may have ended
                process.stdin.write(self._question)
                process.stdin.close()
            answer = process.stdout.readline()
            taken = time.perf_counter() - started
        if not answer.endswith(b"\n"):
            raise RuntimeError(f"{self._spawn[0]} ended without an answer")
        return taken, answer


class WebServer:
    """It listens on a port, which `command(port)` names and $PORT too."""

    def __init__(self, command, environment, folder):
        self._command, self._environment, self._folder = command, environment, folder

    def start(self):
        port = free_port()
        started = time.perf_counter()
        with _spawned(self._command(port), {**self._environment, "PORT": str(port)}, self._folder, stdin=subprocess.DEVNULL,
                      stdout=subprocess.DEVNULL) as process:
            while True:
                try:
                    connection = cold.Connection(f"http://127.0.0.1:{port}")
                    break
                except ConnectionRefusedError:
                    if process.poll() is not None or time.perf_counter() > started + _PATIENCE_SECONDS:
                        raise RuntimeError(f"{self._command(port)} does not listen") from None
                    time.sleep(_LOOK_SECONDS)
            with contextlib.closing(connection):
                answer = connection.exchange(connection.request_of("/"))[2]
            taken = time.perf_counter() - started
        return taken, answer


class LambdaFunction:
    """It asks a Runtime API of ours for its one event."""

    def __init__(self, command, environment, folder):
        self._spawn = (command, environment, folder)

    def start(self):
        with _runtime_api() as (port, answers):
            command, environment, folder = self._spawn
            started = time.perf_counter()
            with _spawned(command, {**environment, "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}"}, folder, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL):
                answered, answer = answers.get(timeout=_PATIENCE_SECONDS)
        return answered - started, answer


@contextlib.contextmanager
def _runtime_api():
    """(its port, a queue of the answers with their times)"""
    answers, over = queue.SimpleQueue(), threading.Event()

    class Api(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        asked = False

        def _say(self, status, body, headers=()):
            self.send_response(status)
            for name, value in (("Content-Type", "application/json"), ("Content-Length", len(body)), *headers):
                self.send_header(name, str(value))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if Api.asked or self.path != f"{_API}next":
                over.wait(_PATIENCE_SECONDS)
                return
            Api.asked = True
            self._say(200, b"{}", (("Lambda-Runtime-Aws-Request-Id", "plain"), ("Lambda-Runtime-Deadline-Ms", time.time_ns() // 1_000_000 + 60_000),
                                   ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:000000000000:function:plain")))

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == f"{_API}plain/response":
                answers.put((time.perf_counter(), body))
            self._say(202, b"{}")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # the program is killed when it has answered; its connection ends as it may
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1], answers
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
