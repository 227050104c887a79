"""The same small function for every runtime, for test_runtime_matrix.py: what it is asked for it does.

    fine     answers "fine N" in its Nth call, after a line on each of its streams: "out fine" and "err fine"
    error    fails as its runtime's users let it fail, with the words "no such order"
    crash    ends its process in the middle of the call
    sleep    takes longer than any test waits

A model does the same by its tensors: see `model_request`.
"""

import json
import pathlib
import shutil
import subprocess

import images
import onnx_models as onnx

ROOT = pathlib.Path(__file__).resolve().parents[2]

WISHES = '''
import os, sys, time
calls = 0

def grant(wish):
    global calls
    calls += 1
    print("out", wish, flush=True)
    print("err", wish, file=sys.stderr, flush=True)
    if wish == "error":
        raise ValueError("no such order")
    if wish == "crash":
        os._exit(3)
    if wish == "sleep":
        time.sleep(60)
    return f"{wish} {calls}"
'''

HANDLER = '''
from wishes import grant

def handler(event, context):
    return grant(event["rawPath"][1:])
'''

WSGI = '''
from wishes import grant

def app(environ, start_response):
    text = grant(environ["PATH_INFO"][1:])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [text.encode()]
'''

ASGI = '''
from wishes import grant

async def app(scope, receive, send):
    assert scope["type"] == "http"
    text = grant(scope["path"].rpartition("/")[2])
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": text.encode()})
'''

NODE = '''
let calls = 0;
exports.handler = async (event) => {
  const wish = event.rawPath.slice(1);
  calls += 1;
  console.log("out", wish);
  console.error("err", wish);
  if (wish === "error") throw new Error("no such order");
  if (wish === "crash") process.abort();
  if (wish === "sleep") await new Promise((done) => setTimeout(done, 60_000));
  return `${wish} ${calls}`;
};
'''

SERVER = '''
import http.server, json, os
from wishes import grant

FC = "FC_SERVER_PORT" in os.environ  # then failures are told by a header, and events come by POST

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, wish):
        status, told = 200, "200"
        try:
            text = grant(wish)
        except ValueError as error:
            status, told, text = 200 if FC else 500, "404", str(error)
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        if FC:
            self.send_header("x-fc-status", told)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(self.path[1:])

    def do_POST(self):
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["rawPath"][1:])

http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''

BOOTSTRAP = '''#!/usr/bin/python3
import http.client, json, os
from wishes import grant
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
root = "/2018-06-01/runtime/invocation/"
while True:
    api.request("GET", root + "next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    kind = "response"
    try:
        value = grant(event["rawPath"][1:])
    except ValueError as error:
        kind, value = "error", {"errorType": "Order.Unknown", "errorMessage": str(error)}
    api.request("POST", root + answer.headers["Lambda-Runtime-Aws-Request-Id"] + "/" + kind, json.dumps(value))
    api.getresponse().read()
'''

NATIVE = r'''
#include <ebb/function.h>
#include <unistd.h>
#include <iostream>
#include <stdexcept>

ebb::Response handler(const ebb::Event& event, ebb::Context&) {
  static int calls = 0;
  const std::string asked(event.is_http() ? event.path() : event.body());
  const auto is = [&](const char* wish) { return asked.find(wish) != std::string::npos; };
  const std::string wish = is("error") ? "error" : is("crash") ? "crash" : is("sleep") ? "sleep" : "fine";
  ++calls;
  std::cout << "out " << wish << std::endl;
  std::cerr << "err " << wish << std::endl;
  if (wish == "error") throw std::runtime_error("no such order");
  if (wish == "crash") _exit(3);
  if (wish == "sleep") sleep(60);
  return wish + " " + std::to_string(calls);
}
EBB_FUNCTION(handler)
'''


def bare(_folder, files):
    return files


def with_bootstrap(folder, files):
    """A folder, for the bits of a file that may be executed."""
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "bootstrap").chmod(0o755)
    return folder


def compiled(folder, files):
    (folder / "f.cc").write_text(files["f.cc"])
    subprocess.run(["g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-static-libstdc++", "-static-libgcc",
                    f"-I{ROOT / 'sdk/cpp/include'}", "-o", folder / "f.so", folder / "f.cc"], check=True, timeout=300)
    (folder / "f.cc").unlink()
    return folder


def with_image(folder, _files):
    """An image with nothing in it but the static program of images.py."""
    program = images.compile_program(folder.parent)
    images.Umoci(folder / "image", "v1").insert(program, "/program").config(entrypoint=["/program"])
    return folder


def with_lambda_image(folder, _files):
    program = images.compile_program(folder.parent)
    images.Umoci(folder / "image", "v1").insert(program, "/program").config(entrypoint=["/program"], cmd=["lambda"])
    return folder


def loop_model():
    """y = x with `more` behind it, `trips` times."""
    body = onnx.graph([onnx.node("Identity", ["go"], ["goes"]), onnx.node("Concat", ["have", "more"], ["has"], [onnx.int_attribute("axis", 0)])],
                      [onnx.tensor_info("trip", onnx.INT64, []), onnx.tensor_info("go", onnx.BOOL, []), onnx.tensor_info("have", onnx.FLOAT, ["a"])],
                      [onnx.tensor_info("goes", onnx.BOOL, []), onnx.tensor_info("has", onnx.FLOAT, ["b"])])
    return onnx.model([onnx.node("Loop", ["trips", "", "x"], ["y"], [onnx.graph_attribute("body", body)])],
                      [onnx.tensor_info("x", onnx.FLOAT, ["n"]), onnx.tensor_info("more", onnx.FLOAT, ["m"]), onnx.tensor_info("trips", onnx.INT64, [1])],
                      [onnx.tensor_info("y", onnx.FLOAT, None)])


def model_request(wish):
    """fine: a short loop. error: a tensor of another shape than the model's. crash: it grows beyond any memory. sleep: it has no end."""
    trips, more = {"fine": (2, [7]), "error": (1, [7]), "crash": (1 << 40, [0] * 1_000_000), "sleep": (1 << 40, [])}[wish]
    shape = [1, 1] if wish == "error" else [1]
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": shape, "data": [1]},
                       {"name": "more", "datatype": "FP32", "shape": [len(more)], "data": more},
                       {"name": "trips", "datatype": "INT64", "shape": [1], "data": [trips]}]}


class Runtime:
    """One row of the matrix.

    `files` and `package(folder, files)` make the package, `spec` its function in ebb.yaml. The rest is what to expect:
    `direct`: whether it takes direct calls. `error`: HTTP status, outcome and words when the code fails; `crash`: outcome
    and words. `logs`: whether it has a way to print.
    """

    def __init__(self, spec, files, error, package=bare, direct=True, crash=("crashed", "exit status 3"), logs=True, paths=None, needs=()):
        self.spec, self.files, self.package = spec, files, package
        self.direct, self.error, self.crash, self.logs = direct, error, crash, logs
        self.paths = paths or {}
        self.missing = [name for name in needs if shutil.which(name) is None]

    @property
    def is_model(self):
        return "model" in self.spec

    def ask(self, node, function, wish, app):
        if self.is_model:
            return node.call(f"{app}/{function}/v2/models/{function}/infer", json=model_request(wish))
        return node.call(f"{app}/{function}/{self.paths.get(wish, wish)}")

    def deploy(self, node, folder, app, functions, expect=0):
        """`functions`: {name: what is special about it}."""
        package = self.package(folder, self.files)
        manifest = json.dumps({"app": app, "functions": {name: {"memory": "128Mi", **self.spec, **keys} for name, keys in functions.items()}})
        if isinstance(package, dict):
            return node.deploy({**package, "ebb.yaml": manifest}, expect=expect)
        (package / "ebb.yaml").write_text(manifest)
        return node.deploy(package, expect=expect)


_RAISED = (502, "function_error", "no such order")
_PYTHON = {"wishes.py": WISHES}

RUNTIMES = {
    "python3": Runtime({"runtime": "python3", "handler": "app.handler"}, {**_PYTHON, "app.py": HANDLER}, _RAISED),
    "python3, WSGI": Runtime({"runtime": "python3", "handler": "app.app"}, {**_PYTHON, "app.py": WSGI}, _RAISED, direct=False),
    "python3, ASGI": Runtime({"runtime": "python3", "handler": "app.app"}, {**_PYTHON, "app.py": ASGI}, _RAISED, direct=False),
    "python3, ASGI, concurrency": Runtime({"runtime": "python3", "handler": "app.app", "concurrency": 8}, {**_PYTHON, "app.py": ASGI}, _RAISED, direct=False),
    "node": Runtime({"runtime": "node", "handler": "index.handler", "memory": "256Mi"}, {"index.js": NODE}, _RAISED,
                    crash=("crashed", "killed by signal"), needs=["node"]),
    "node, concurrency": Runtime({"runtime": "node", "handler": "index.handler", "memory": "256Mi", "concurrency": 8}, {"index.js": NODE}, _RAISED,
                                 crash=("crashed", "killed by signal"), needs=["node"]),
    "native": Runtime({"runtime": "native", "handler": "./f.so"}, {"f.cc": NATIVE}, _RAISED, compiled, needs=["g++"]),
    "lambda": Runtime({"runtime": "lambda"}, {**_PYTHON, "bootstrap": BOOTSTRAP}, _RAISED, with_bootstrap),
    "http": Runtime({"runtime": "http", "command": "exec python3 server.py"}, {**_PYTHON, "server.py": SERVER},
                    (500, "ok", "no such order"), direct=False),
    "http, contract fc": Runtime({"runtime": "http", "contract": "fc", "command": "exec python3 server.py"},
                                 {**_PYTHON, "server.py": SERVER}, _RAISED),
    "http, image": Runtime({"runtime": "http", "image": "oci:image"}, {}, (404, "ok", "No such file"), with_image, direct=False,
                           paths={"fine": "say/fine", "error": "file/nowhere", "crash": "exit/3", "sleep": "sleep/60"},
                           needs=["skopeo", "umoci", "gcc"]),
    "lambda, image": Runtime({"runtime": "lambda", "image": "oci:image"}, {}, (502, "function_error", "No such file"), with_lambda_image,
                             paths={"fine": "say/fine", "error": "file/nowhere", "crash": "exit/3", "sleep": "sleep/60"},
                             needs=["skopeo", "umoci", "gcc"]),
    "model": Runtime({"model": "f.onnx", "memory": "256Mi"}, {"f.onnx": loop_model()}, (400, "ok", "the model wants [-1]"), direct=False,
                     crash=("out_of_memory", "out of memory"), logs=False),
}
