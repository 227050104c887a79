"""Programs and packages that cannot work: for another processor, listening nowhere or elsewhere, speaking no HTTP or no Runtime
API, breaking off in the middle. Each is told what is wrong, and the next call is served as if nothing had been.

What else is bad input stands in docs/internals/bad-input.md, with the test that holds it.
"""

import json
import os
import struct

import pytest

from ebb_node import in_parallel

MACHINE = {"x86_64": 62, "aarch64": 183}.get(os.uname().machine, 0)
FOREIGN = 183 if MACHINE != 183 else 62
NAMES = {62: ("x86-64", "x64"), 183: ("arm64", "arm64")}


def foreign_elf():
    """A shared library, or program, for a processor that this machine has not."""
    return b"\x7fELF\2\1\1" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, FOREIGN, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0) + bytes(64)


def deploy(node, app, files, expect=0, **spec):
    return node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"f": {"memory": "128Mi", **spec}}}), **files}, expect=expect)


def refused(node, files, *texts, app="broken", **spec):
    done = deploy(node, app, files, expect=None, **spec)
    assert done.returncode != 0 and all(text in done.stderr for text in texts), done.stderr


# --- what does not start ---


def test_an_extension_for_another_processor_is_named(node):
    name = NAMES[FOREIGN][0]
    refused(node, {"app.py": "import fast\ndef handler(event, context):\n    return 1\n", "fast.so": foreign_elf()},
            "app.py line 1", f"fast.so is built for {name}, this node is", handler="app.handler")


def test_an_addon_for_another_processor_is_named(node):
    name = NAMES[FOREIGN][1]
    refused(node, {"index.js": "require('./fast.node');\nexports.handler = () => 1;", "fast.node": foreign_elf()},
            f"fast.node is built for {name}, this node is", runtime="node", handler="index.handler", memory="256Mi")


def test_a_server_for_another_processor_is_said(node, tmp_path):
    (tmp_path / "server").write_bytes(foreign_elf())
    (tmp_path / "server").chmod(0o755)
    (tmp_path / "ebb.yaml").write_text(json.dumps({"app": "broken", "functions": {"f": {"runtime": "http", "command": "exec ./server"}}}))
    done = node.deploy(tmp_path, expect=None)
    assert done.returncode != 0 and "built for another processor" in done.stderr, done.stderr


NOWHERE = '''
import os, socket, sys, time
port = int(os.environ["PORT"])
if sys.argv[1] == "port":
    kept = socket.create_server(("127.0.0.1", 5000))
if sys.argv[1] == "address":
    kept = socket.create_server(("::1", port), family=socket.AF_INET6)
time.sleep(600)
'''


@pytest.mark.slow  # a server has a minute to listen
def test_a_server_that_listens_nowhere_or_elsewhere_is_not_deployed(node):
    cases = [("nothing", "does not accept connections on port"), ("port", "it listens on 127.0.0.1:5000"), ("address", "it listens on [::1]:")]

    def refused_one(number):
        how, text = cases[number]
        refused(node, {"server.py": NOWHERE}, text, "let it listen on 127.0.0.1 or 0.0.0.0, port $PORT", app=f"nowhere-{how}",
                runtime="http", command=f"exec python3 server.py {how}")

    in_parallel(len(cases), refused_one)


@pytest.mark.slow
def test_a_server_may_take_longer_than_a_fork_to_listen(node):
    """As long in an instance as when it was tried out."""
    source = "import http.server, os, time\ntime.sleep(12)\nclass Fine(http.server.BaseHTTPRequestHandler):\n    def do_GET(self):\n" \
             "        self.send_response(204)\n        self.end_headers()\n" \
             "http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Fine).serve_forever()\n"
    deploy(node, "late", {"server.py": source}, runtime="http", command="exec python3 server.py")
    assert node.call("late/f").status_code == 204


# --- a server that does not speak HTTP/1.1 ---

RAW = '''
import os, socket, threading
ANSWERS = {answers!r}
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    connection, _ = listener.accept()
    head = b""
    while b"\\r\\n\\r\\n" not in head and (part := connection.recv(65536)):
        head += part
    if head:
        path = head.split()[1].decode()
        print("asked for", path, flush=True)
        connection.sendall(ANSWERS[path[1:]])
    connection.close()
'''
OK = b"HTTP/1.1 200 OK\r\n"
ANSWERS = {
    "fine": OK + b"Content-Length: 4\r\n\r\nfine",
    "status-low": b"HTTP/1.1 099 Low\r\nContent-Length: 0\r\n\r\n",
    "status-high": b"HTTP/1.1 600 High\r\nContent-Length: 0\r\n\r\n",
    "status-word": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "unasked-upgrade": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    "two-lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "length-and-chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "length-negative": OK + b"Content-Length: -1\r\n\r\n",
    "coding": OK + b"Transfer-Encoding: gzip\r\n\r\nx",
    "header-nul": OK + b"X-A: a\0b\r\nContent-Length: 0\r\n\r\n",
    "header-folded": OK + b"X-A: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "header-space": OK + b"X-A : a\r\nContent-Length: 0\r\n\r\n",
    "head-large": OK + b"X-A: " + b"x" * 20_000 + b"\r\n\r\n",
    "heads-many": OK + b"".join(b"X-%d: a\r\n" % n for n in range(300)) + b"\r\n",
    "interim-endless": b"HTTP/1.1 100 Continue\r\n\r\n" * 100,
    "garbage": b"this is not HTTP\r\n\r\n",
    "head-cut": OK + b"Content-Le",
    "nothing": b"",
}
# The head is out when these show: the client is told by the end of its connection.
BROKEN_OFF = {
    "cut-length": OK + b"Content-Length: 3000000\r\n\r\n" + b"x" * 100,
    "cut-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\nff\r\nxx",
    "cut-between": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n",
    "chunk-junk": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\nzz\r\n",
    "chunk-long": OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nwholexx\r\n0\r\n\r\n",
}


@pytest.fixture(scope="module")
def raw(node):
    deploy(node, "raw", {"server.py": RAW.format(answers={**ANSWERS, **BROKEN_OFF})}, runtime="http", command="exec python3 server.py", timeout="20s")
    return node


def settled(node, request, outcome):
    record, = node.usage(request=request)
    assert record["outcome"] == outcome and record["billed"] is True, record
    assert node.call("raw/f/fine").text == "fine"
    return record


@pytest.mark.parametrize("what", [name for name in ANSWERS if name != "fine"])
def test_an_answer_that_is_no_http_is_said(raw, what):
    answer = raw.call(f"raw/f/{what}")
    assert answer.status_code == 502, answer.text
    error = answer.json()["error"]
    assert error["code"] == "function_failed" and error["message"].startswith("raw/f") and len(error["message"]) > 30
    assert not [name for name in answer.headers if name.startswith("X-A")]
    settled(raw, error["request_id"], "function_error")


@pytest.mark.parametrize("what", BROKEN_OFF)
def test_an_answer_that_breaks_off_is_broken_off(raw, what):
    answer = raw.raw(b"GET /fn/raw/f/%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" % what.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 502"):  # seen before the head was out
        request = json.loads(body)["error"]["request_id"]
    else:
        assert head.startswith(b"HTTP/1.1 200") and not body.endswith(b"0\r\n\r\n") and len(body) < 3_000_000
        request = next(line.split(b": ")[1].decode() for line in head.split(b"\r\n") if line.lower().startswith(b"x-ebb-request-id"))
    settled(raw, request, "function_error")
    lines = [line["text"] for line in raw.logs("raw/f", request=request) if line["stream"] == "platform"]
    assert any("broke its answer off" in text or "no HTTP/1.1" in text for text in lines), lines


# --- a program that does not keep to the Runtime API ---

RUNTIME = '''#!/usr/bin/python3
import http.client, json, os, socket
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
api = http.client.HTTPConnection(host, int(port))
root = "/2018-06-01/runtime/"

def ask(method, path, body=None):
    other = http.client.HTTPConnection(host, int(port))
    other.request(method, root + path, body)
    answer = other.getresponse()
    told = answer.read()
    return [answer.status, json.loads(told).get("errorType") if told.startswith(b"{") else told.decode()]

def send(data):
    """Bytes on a connection of their own, which is closed after them."""
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(data)

while True:
    api.request("GET", root + "invocation/next")
    answer = api.getresponse()
    wish = json.loads(answer.read())
    request = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    mine = root + f"invocation/{request}/response"
    value, answered = None, False
    if wish == "next before the answer":
        value = ask("GET", "invocation/next")
    elif wish == "twice":
        ask("POST", f"invocation/{request}/response", '"first"')
        value = ask("POST", f"invocation/{request}/response", '"second"')
        print("the second was told", value, flush=True)
        answered = True
    elif wish == "unknown path":
        value = [ask("GET", "invocation/after"), ask("POST", "nothing", "{}"), ask("DELETE", "invocation/next")]
    elif wish == "no HTTP":
        for junk in (b"\\x16\\x03\\x01\\r\\n\\r\\n", b"GET\\r\\n\\r\\n", b"x" * 100_000, b"POST " + mine.encode() + b" HTTP/1.1\\r\\nContent-Length: -1\\r\\n\\r\\n"):
            try:
                send(junk)
            except OSError:
                pass
        value = "fine"
    elif wish == "answer cut":
        send(b"POST " + mine.encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 100\\r\\n\\r\\nten bytes.")
        answered = True
    elif wish == "stream cut":
        send(b"POST " + mine.encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nLambda-Runtime-Function-Response-Mode: streaming\\r\\n"
             b"Transfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nwhole\\r\\n")
        answered = True
    elif wish == "stream failed":
        send(b"POST " + mine.encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nLambda-Runtime-Function-Response-Mode: streaming\\r\\n"
             b"Transfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nwhole\\r\\n0\\r\\nLambda-Runtime-Function-Error-Type: Stock.Gone\\r\\n\\r\\n")
        answered = True
    elif wish == "no prelude":
        send(b"POST " + mine.encode() + b" HTTP/1.1\\r\\nHost: x\\r\\nLambda-Runtime-Function-Response-Mode: streaming\\r\\n"
             b"Content-Type: application/vnd.awslambda.http-integration-response\\r\\nContent-Length: 3\\r\\n\\r\\n{]}")
        answered = True
    else:
        value = "fine"
    if not answered:
        api.request("POST", mine, json.dumps(value))
        api.getresponse().read()
'''


@pytest.fixture(scope="module")
def runtime(node, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runtime")
    (folder / "bootstrap").write_text(RUNTIME)
    (folder / "bootstrap").chmod(0o755)
    (folder / "ebb.yaml").write_text(json.dumps({"app": "odd", "functions": {"f": {"runtime": "lambda", "memory": "128Mi", "timeout": "20s"}}}))
    node.deploy(folder)
    return node


def invoke(node, wish, expect=0):
    return node.cli("invoke", "odd/f", "--data", json.dumps(wish), expect=expect)


@pytest.mark.parametrize("wish, value", [
    ("next before the answer", [200, '"next before the answer"']), ("twice", "first"), ("no HTTP", "fine"),
    ("unknown path", [[404, "NotFound"], [404, "NotFound"], [404, "NotFound"]])])
def test_a_runtime_is_told_what_it_may_not_do(runtime, wish, value):
    assert json.loads(invoke(runtime, wish).stdout) == value
    assert json.loads(invoke(runtime, "plain").stdout) == "fine"


@pytest.mark.parametrize("wish, text", [
    ("answer cut", "broke its answer off"), ("stream cut", "broke off after 5 bytes"), ("stream failed", "broke off after 5 bytes"),
    ("no prelude", "does not begin with JSON")])
def test_an_answer_of_a_runtime_that_is_cut_is_told(runtime, wish, text):
    done = invoke(runtime, wish, expect=7)
    assert text in done.stderr, done.stderr
    record = runtime.usage("odd/f")[-1]
    assert (record["outcome"], record["billed"]) == ("function_error", True)
    said = [line["text"] for line in runtime.logs("odd/f", request=record["request_id"]) if line["stream"] == "platform"]
    assert said, "what it was is in the log"
    if wish == "stream failed":
        assert any("Stock.Gone" in line for line in said), said
    assert json.loads(invoke(runtime, "plain").stdout) == "fine"


# --- the channel, where user code shares the process with it ---


@pytest.mark.parametrize("files, spec", [
    ({"app.py": "import os\ndef handler(event, context):\n    if event['rawPath'] == '/junk':\n        os.write(3, os.urandom(100))\n    return 'fine'\n"},
     {"handler": "app.handler"}),
    ({"app.py": "import os\ndef app(environ, start_response):\n    if environ['PATH_INFO'] == '/junk':\n        os.write(3, os.urandom(100))\n"
                "    start_response('200 OK', [])\n    return [b'fine']\n"}, {"handler": "app.app"}),
    ({"index.js": "exports.handler = (event) => {\n  if (event.rawPath === '/junk') require('node:fs').writeSync(3, Buffer.alloc(100, 'x'));\n  return 'fine';\n};"},
     {"runtime": "node", "handler": "index.handler", "memory": "256Mi"}),
], ids=["python3", "wsgi", "node"])
def test_junk_on_the_channel_ends_the_instance(node, files, spec):
    deploy(node, "junk", files, **spec)
    answer = node.call("junk/f/junk")
    assert answer.status_code == 502 and "junk/f" in answer.json()["error"]["message"], answer.text
    record, = node.usage(request=answer.headers["X-Ebb-Request-Id"])
    assert record["outcome"] == "function_error"
    after = node.call("junk/f/fine")
    assert after.text.strip('"') == "fine"
    assert node.usage(request=after.headers["X-Ebb-Request-Id"])[0]["instance"] != record["instance"]
