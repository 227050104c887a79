"""Functions whose handler is a program of its own: `runtime: http` (a web server) and `runtime: lambda` (the AWS Lambda
Runtime API), with real servers and clients, and what is said of those that do not start or break off."""

import json
import pathlib
import shutil
import subprocess
import time

import pytest

from ebb_node import eventually, in_parallel

SERVER = '''
import http.server, os, sys, time

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
        elif self.path == "/crash":
            os._exit(3)
        elif self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "5000000")
            self.end_headers()
            self.wfile.write(b"x" * 100)
            self.close_connection = True
        elif self.path == "/garbage":
            self.wfile.write(b"this is not HTTP\\r\\n\\r\\n")
            self.close_connection = True
        elif self.path == "/sleep":
            time.sleep(60)
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

if len(sys.argv) > 1 and sys.argv[1] == "deaf":
    time.sleep(600)
port = 5000 if len(sys.argv) > 1 and sys.argv[1] == "elsewhere" else int(os.environ["PORT"])
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
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
    elif wish == "exit":
        os._exit(5)
    elif wish == "wrong":
        status, text = post("invocation/somebody-else/response", {})
        post(f"invocation/{request}/response", {"status": status, "told": json.loads(text)["errorType"]})
    elif wish == "large":
        post(f"invocation/{request}/response", b'"' + b"x" * 33_000_000 + b'"')
        api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
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


@pytest.fixture(scope="module")
def server(node):
    node.deploy_function(None, name="web", app="programs", files={"server.py": SERVER}, runtime="http", handler=None,
                         command="exec python3 server.py", timeout="5s", memory="128Mi")
    return node


@pytest.fixture(scope="module")
def custom(node):
    node.deploy_function(None, name="custom", app="lambdas", files={"bootstrap": BOOTSTRAP}, runtime="lambda", handler="orders.take",
                         memory="128Mi", timeout="10s")
    return node
