"""Functions whose handler is a program of its own: `runtime: http` (a web server) and `runtime: lambda` (the AWS Lambda
Runtime API), with real servers and clients, and what is said of those that do not start or break off."""

import json
import re
import time

import pytest

from ebb_node import described, eventually, in_parallel

SERVER = '''
import http.server, os, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self, status, body, *headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        print("asked for", self.path, flush=True)
        if self.path == "/headers":
            text = "\\n".join(f"{name.lower()}: {value}" for name, value in self.headers.items())
            self._answer(200, text.encode(), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"))
        elif self.path.startswith("/stream"):
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for number in range(3):
                part = f"data: {number}\\n\\n".encode()
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(part), part))
                time.sleep(0.2)
            self.wfile.write(b"0\\r\\n\\r\\n")
        else:
            self._answer(200, self.path.encode())

    def do_POST(self):
        self._answer(201, self.rfile.read(int(self.headers["Content-Length"])))

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''

# A custom runtime as AWS documents it, without any library.
BOOTSTRAP = '''#!/usr/bin/python3
import http.client, json, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
root = "/2018-06-01/runtime/"

def post(path, value, headers={}):
    api.request("POST", root + path, value if isinstance(value, bytes) else json.dumps(value), headers)
    answer = api.getresponse()
    return answer.status, answer.read()

if os.environ.get("FAIL_INIT"):
    post("init/error", {"errorType": "Config.Missing", "errorMessage": "no table name", "stackTrace": []})
    raise SystemExit(1)

while True:
    api.request("GET", root + "invocation/next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    headers = answer.headers
    request = headers["Lambda-Runtime-Aws-Request-Id"]
    wish = event.get("wish") if isinstance(event, dict) else None
    print("handling", wish, flush=True)
    if wish == "error":
        post(f"invocation/{request}/error", {"errorType": "Order.Empty", "errorMessage": "nothing ordered", "stackTrace": ["line 7"]})
    elif wish == "panic":
        post(f"invocation/{request}/error", {"errorType": "Panic", "errorMessage": "no stock"})
        os._exit(2)
    elif wish == "last":
        post(f"invocation/{request}/response", "done")
        os._exit(0)
    elif wish == "exit":
        os._exit(5)
    elif wish == "large":
        post(f"invocation/{request}/response", b'"' + b"x" * 34_000_000 + b'"')
    elif wish == "stream":
        def pieces():
            yield b'{"statusCode": 202, "headers": {"Content-Type": "text/plain", "X-Kind": "streamed"}, "cookies": ["a=1"]}' + bytes(8)
            for number in range(3):
                yield f"{number};".encode()
        api.request("POST", root + f"invocation/{request}/response", pieces(), {
            "Lambda-Runtime-Function-Response-Mode": "streaming",
            "Content-Type": "application/vnd.awslambda.http-integration-response",
            "Transfer-Encoding": "chunked"}, encode_chunked=True)
        api.getresponse().read()
    else:
        post(f"invocation/{request}/response", {
            "event": event, "handler": os.environ["_HANDLER"], "memory": os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"],
            "deadline": int(headers["Lambda-Runtime-Deadline-Ms"]), "arn": headers["Lambda-Runtime-Invoked-Function-Arn"]})
'''



def deploy(node, app, name, files, expect=0, **spec):
    return node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {name: spec}}), **files}, expect=expect)


def executable(folder, text):
    """A package whose bootstrap may be executed."""
    folder.mkdir(exist_ok=True)
    path = folder / "bootstrap"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o755)
    return folder


def deploy_bootstrap(node, folder, text, app, expect=0, **spec):
    executable(folder, text)
    (folder / "ebb.yaml").write_text(json.dumps({"app": app, "functions": {"f": {"runtime": "lambda", "memory": "256Mi", **spec}}}))
    return node.deploy(folder, expect=expect)


@pytest.fixture(scope="module")
def server(node):
    deploy(node, "programs", "web", {"server.py": SERVER}, runtime="http", command="exec python3 server.py", timeout="5s", memory="128Mi")
    return node


@pytest.fixture(scope="module")
def custom(node, tmp_path_factory):
    deploy_bootstrap(node, tmp_path_factory.mktemp("package") / "p", BOOTSTRAP, "lambdas", handler="orders.take", timeout="10s")
    return node


def test_a_server_sees_the_request_and_its_answer_comes_back(server):
    assert server.call("/fn/programs/web/a/b?q=1&r=%20").text == "/a/b?q=1&r=%20"
    answer = server.call("/fn/programs/web/headers", headers={
        "X-Mine": "yes", "X-Hop": "1", "Connection": "keep-alive, x-hop", "X-Forwarded-For": "10.9.8.7", "X-Forwarded-Host": "elsewhere"})
    assert answer.headers["set-cookie"] == "a=1, b=2"
    seen = dict(line.split(": ", 1) for line in answer.text.splitlines())
    assert seen["x-forwarded-prefix"] == "/fn/programs/web" and seen["x-forwarded-for"] == "10.9.8.7, 127.0.0.1"
    assert "x-hop" not in seen and seen["x-forwarded-host"] == seen["host"]
    assert seen["x-forwarded-proto"] == "http" and seen["host"] in server.url and seen["x-mine"] == "yes"
    posted = server.call("/fn/programs/web/", data=b"x" * 1_000_000)
    assert posted.status_code == 201 and len(posted.content) == 1_000_000


def test_a_server_may_see_the_whole_path(server):
    deploy(server, "based", "web", {"server.py": SERVER}, runtime="http", command="exec python3 server.py", memory="128Mi", prefix="keep")
    for path in ("", "/", "/a%20b?q=1"):
        assert server.call("/fn/based/web" + path).text == "/fn/based/web" + path
    assert server.call("/fn/based/web:1/a").text == "/fn/based/web/a", "one base path, whichever version"
    server.cli("rm", "based", "--yes")


def test_what_a_server_is_told_of_its_prefix_when_it_sees_it(server):
    files = {"server.py": SERVER.replace('self.path == "/headers"', 'self.path.endswith("/headers")')}
    deploy(server, "told", "web", files, runtime="http", command="exec python3 server.py", memory="128Mi", prefix="keep")
    seen = server.call("/fn/told/web/headers", headers={"X-Forwarded-Prefix": "/mine"}).text
    assert "x-forwarded-host" in seen and "x-forwarded-prefix" not in seen, "nothing was taken away"
    server.cli("rm", "told", "--yes")


def test_a_server_is_started_once_and_serves_many(server):
    answers = in_parallel(8, lambda number: server.call(f"/fn/programs/web/{number}").text)
    assert sorted(answers) == [f"/{number}" for number in range(8)]
    assert "asked for /3" in "\n".join(entry["text"] for entry in server.logs("programs/web"))


def test_a_server_streams(server):
    with server.session().get(server.url + "/fn/programs/web/stream", stream=True, timeout=20) as answer:
        assert answer.headers["content-type"] == "text/event-stream" and "content-length" not in answer.headers
        pieces = list(answer.iter_content(None))
    assert pieces == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


@pytest.mark.parametrize("command, text", [
    ("exec python3 missing.py", "ended with exit status 2"),
    ("not-a-program --port $PORT", "the command was not found"),
    ("exec python3 -c 'raise SystemExit(4)'", "ended with exit status 4"),
])
def test_a_server_that_does_not_start_is_not_deployed(server, command, text):
    done = deploy(server, "programs", "web", {"server.py": SERVER}, expect=None, runtime="http", command=command, memory="128Mi")
    assert done.returncode != 0 and text in done.stderr, done.stderr
    assert server.call("/fn/programs/web/still").text == "/still"


@pytest.mark.parametrize("spec, text", [
    ({"runtime": "http"}, "command: is missing"),
    ({"runtime": "http", "command": "x", "handler": "app.handler"}, "handler: is not for the runtime http"),
    ({"runtime": "python3", "handler": "app.handler", "command": "x"}, "command: is for the runtimes http and lambda"),
    ({"runtime": "lambda", "interface": "wsgi"}, "interface: is for the runtime python3"),
    ({"runtime": "python3", "handler": "app.handler", "prefix": "keep"}, "prefix: is keep, which is for the runtime http"),
    ({"runtime": "http", "command": "x", "prefix": "kept"}, "prefix: is 'kept', expected strip or keep"),
    ({"runtime": "htpp", "command": "x"}, "the runtimes are python3, node, native, http, lambda and model"),
])
def test_a_manifest_that_does_not_fit_its_runtime(node, spec, text):
    done = deploy(node, "wrong", "f", {"app.py": ""}, expect=None, **spec)
    assert done.returncode != 0 and text in done.stderr, done.stderr


def test_a_custom_runtime_gets_events_and_answers(custom):
    answer = custom.call("/fn/lambdas/f/path?x=1", data=b'{"n": 1}', headers={"Content-Type": "application/json"}).json()
    assert answer["event"]["rawPath"] == "/path" and json.loads(answer["event"]["body"]) == {"n": 1}
    assert answer["handler"] == "orders.take" and answer["memory"] == "256" and answer["arn"].startswith("ebb:lambdas:f:")
    assert time.time() * 1000 < answer["deadline"] < time.time() * 1000 + 10_000
    direct = json.loads(custom.cli("invoke", "lambdas/f", "--data", '{"a": [1, 2]}').stdout)
    assert direct["event"] == {"a": [1, 2]}


def test_a_custom_runtime_logs_as_on_lambda(custom):
    custom.cli("invoke", "lambdas/f", "--data", '{"wish": "log"}')
    request = custom.usage("lambdas/f")[-1]["request_id"]
    lines = [entry["text"].partition(" RequestId: ")[0] for entry in custom.logs("lambdas/f", request)]
    assert lines == ["START", "handling log", "END", "REPORT"]


@pytest.mark.parametrize("wish, text", [
    ("error", "Order.Empty: nothing ordered"), ("exit", "ended with exit status 5"), ("large", "Function.ResponseSizeTooLarge")])
def test_what_a_custom_runtime_reports(custom, wish, text):
    done = custom.cli("invoke", "lambdas/f", "--data", json.dumps({"wish": wish}), expect=None)
    assert done.returncode != 0 and text in done.stderr, done.stderr
    assert json.loads(custom.cli("invoke", "lambdas/f", "--data", "{}").stdout)["event"] == {}


@pytest.mark.parametrize("wish", ["panic", "last"])
def test_a_custom_runtime_that_ends_after_its_answer_is_started_anew(custom, wish):
    """As on Lambda: Go's runtime client ends its program after a panic that it has reported."""
    for _ in range(5):
        done = custom.cli("invoke", "lambdas/f", "--data", json.dumps({"wish": wish}), expect=None)
        assert ("Panic: no stock" in done.stderr) if wish == "panic" else (json.loads(done.stdout) == "done"), done.stderr
        assert json.loads(custom.cli("invoke", "lambdas/f", "--data", "{}").stdout)["event"] == {}


def test_a_custom_runtime_streams(custom):
    done = custom.cli("invoke", "lambdas/f", "--data", '{"wish": "stream"}')
    assert done.stdout == "0;1;2;"


def test_a_bootstrap_that_cannot_start_is_not_deployed(node, tmp_path):
    folder = tmp_path / "p"
    for text, spec, told in ((BOOTSTRAP, {"env": {"FAIL_INIT": "1"}}, "no table name"),
                             (b"\x7fELF\x02\x01" + bytes(12) + b"\xb7\x00" + bytes(40), {}, "built for arm64"),
                             ("exit 0", {}, "neither a Linux program nor a script"),
                             ("#!/bin/sh\nexit 7", {}, "ended with exit status 7")):
        done = deploy_bootstrap(node, folder, text, "broken", expect=None, **spec)
        assert done.returncode != 0 and told in done.stderr, done.stderr
    (folder / "bootstrap").chmod(0o644)
    assert "chmod +x bootstrap" in node.deploy(folder, expect=None).stderr
    (folder / "bootstrap").unlink()
    assert "no file 'bootstrap'" in node.deploy(folder, expect=None).stderr


def test_a_function_of_lambda_runs_unchanged_with_its_own_client(node, tmp_path):
    """AWS's own runtime interface client for Python, from PyPI, with a handler that knows nothing of Ebb."""
    source = "def handler(event, context):\n    return {'id': context.aws_request_id, 'left': context.get_remaining_time_in_millis(), 'got': event}\n"
    deploy(node, "ric", "f", {"app.py": source, "requirements.txt": "awslambdaric==2.2.1\n"}, runtime="lambda", handler="app.handler",
           command="exec python3 -m awslambdaric app.handler", memory="256Mi", timeout="9s")
    answer = json.loads(node.cli("invoke", "ric/f", "--data", '{"k": "v"}').stdout)
    assert answer["got"] == {"k": "v"} and 0 < answer["left"] <= 9000 and answer["id"]


def test_gunicorn_serves_an_unchanged_flask_application(node):
    source = "import flask\napp = flask.Flask(__name__)\n@app.get('/hello/<name>')\ndef hello(name):\n    return {'hello': name}\n"
    deploy(node, "wsgi", "f", {"app.py": source, "requirements.txt": "flask==3.1.0\ngunicorn==23.0.0\n"}, runtime="http",
           command="exec gunicorn -b 127.0.0.1:$PORT app:app", memory="256Mi")
    assert node.call("/fn/wsgi/f/hello/Ada").json() == {"hello": "Ada"}


def test_uvicorn_serves_an_unchanged_fastapi_application(node):
    source = "import asyncio, fastapi, fastapi.responses\napp = fastapi.FastAPI()\nhere, both = 0, asyncio.Event()\n" \
             "@app.get('/hello/{name}')\nasync def hello(name: str):\n    return {'hello': name}\n" \
             "@app.get('/meet')\nasync def meet():\n    global here\n    here += 1\n    if here == 2:\n        both.set()\n    await both.wait()\n    return here\n" \
             "async def tokens():\n    for number in range(3):\n        yield f'data: {number}\\n\\n'\n        await asyncio.sleep(0.1)\n" \
             "@app.get('/chat')\nasync def chat():\n    return fastapi.responses.StreamingResponse(tokens(), media_type='text/event-stream')\n"
    deploy(node, "asgi", "f", {"app.py": source, "requirements.txt": "fastapi==0.165.0\nuvicorn==0.54.0\n"}, runtime="http", concurrency=8, scale={"max": 1},
           command="exec python3 -m uvicorn --host 127.0.0.1 --port $PORT app:app", memory="256Mi")
    assert node.call("/fn/asgi/f/hello/Ada").json() == {"hello": "Ada"}
    assert in_parallel(2, lambda _: node.call("/fn/asgi/f/meet").json()) == [2, 2], "both in one instance at a time"
    with node.session().get(node.url + "/fn/asgi/f/chat", stream=True, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream") and answer.headers["Transfer-Encoding"] == "chunked"
        assert [line for line in answer.iter_lines() if line] == [b"data: 0", b"data: 1", b"data: 2"]


def test_programs_end_with_their_instances(server):
    server.call("/fn/programs/web/")
    runs = lambda: any("server.py" in described(pid) for pid in server.pids())  # noqa: E731
    assert runs()
    server.cli("rm", "programs/web", "--yes", expect=None)
    eventually(lambda: not runs(), "the end of the program")


POLITE = '''
import http.server, os, signal, sys, time
def leave(*_):
    os.write(1, b"goodbye\\n")
    if sys.argv[1] == "polite":
        os._exit(0)
signal.signal(signal.SIGTERM, leave)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_a_server_that_is_not_needed_is_told_to_end(node, manner):
    """Also one that was frozen meanwhile, and one that does not listen to it."""
    deploy(node, manner, "web", {"server.py": POLITE}, runtime="http", command=f"exec python3 server.py {manner}",
           memory="128Mi", idle_timeout="1s")
    assert node.call(f"{manner}/web").status_code == 200
    eventually(lambda: any(entry["text"] == "goodbye" for entry in node.logs(f"{manner}/web")), "its last words")
    eventually(lambda: node.functions(manner)[f"{manner}/web"]["instances"]["idle"] == 0, "its end", seconds=20)
    served = node.usage(f"{manner}/web")[-1]["instance"]
    eventually(lambda: not any(re.search(rf"/i{served}$", group) for group in node.groups().values()), "its processes' end", seconds=20)


def test_programs_of_its_own_node_modules_are_found(node, tmp_path):
    """Before the machine's: `python3` stands for a Node that the package brings."""
    own = tmp_path / "node_modules/.bin/python3"
    own.parent.mkdir(parents=True)
    own.write_text('#!/bin/sh\nexport OWN=yes\nexec /usr/bin/python3 "$@"\n')
    own.chmod(0o755)
    (tmp_path / ".ebbignore").write_text("!node_modules\n")
    (tmp_path / "server.py").write_text(SERVER.replace("self.path.encode())", 'os.environ.get("OWN", "no").encode())'))
    (tmp_path / "ebb.yaml").write_text(json.dumps({"app": "brings", "functions": {"web": {"runtime": "http", "command": "exec python3 server.py"}}}))
    node.deploy(tmp_path)
    assert node.call("brings/web").text == "yes"
