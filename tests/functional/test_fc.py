"""`contract: fc`: servers written for the custom runtimes and containers of Alibaba Function Compute, on the port they know, asked
what they expect to be asked."""

import json

import pytest

import images
from ebb_node import eventually, in_parallel, server_timing
from images import Umoci

SERVER = '''
import http.server, json, os, sys, time
asked = []  # what came before the request at hand

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, value, *headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, content in (("Content-Length", str(len(body))), *headers):
            self.send_header(name, content)
        self.end_headers()
        self.wfile.write(body)

    def do(self):
        way = self.headers.get("x-fc-control-path")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        print("asked", self.command, self.path, way, self.headers["x-fc-request-id"], flush=True)
        if way in ("/initialize", "/pre-stop"):
            asked.append([self.command, self.path])
            if way == "/initialize":
                time.sleep(float(os.environ.get("INIT_SECONDS", "0")))
            status = int(os.environ.get("INIT_STATUS" if way == "/initialize" else "STOP_STATUS", "200"))
            return self.answer(status, b"no table name" if status > 299 else b"")
        wish = json.loads(body or b"null") if way == "/invoke" else self.path.strip("/")
        if wish == "failed":
            return self.answer(200, b"no such\\norder", ("x-fc-status", "404"), ("X-Own", "1"))
        if wish == "failed-long":
            return self.answer(200, b"x" * 3_000_000, ("x-fc-status", "404"))
        if wish == "failed-chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.send_header("x-fc-status", "404")
            self.end_headers()
            for piece in (b"no such", b" order"):
                self.wfile.write(b"%x\\r\\n%s\\r\\n" % (len(piece), piece))
                time.sleep(0.05)
            return self.wfile.write(b"0\\r\\n\\r\\n")
        if wish == "teapot":
            return self.answer(418, b"short and stout")
        if wish == "told":
            return self.answer(200, b"told", ("x-fc-status", "200"), ("x-fc-error-type", "mine"), ("X-Own", "1"))
        if wish == "crash":
            os._exit(3)
        if wish == "sleep":
            time.sleep(0.3)
        self.answer(200, {"method": self.command, "path": self.path, "body": body.decode(), "asked": asked, "pid": os.getpid(),
                          "headers": {name.lower(): value for name, value in self.headers.items()},
                          "env": {name: value for name, value in os.environ.items() if name.startswith("FC_") or name == "PORT"}})

    do_GET = do_POST = do_PUT = do

port = int(os.environ["FC_SERVER_PORT"]) if sys.argv[1:] == ["read"] else 9000
http.server.ThreadingHTTPServer(("0.0.0.0", port), Handler).serve_forever()
'''


def manifest(app, **spec):
    return json.dumps({"app": app, "functions": {"f": {"runtime": "http", "contract": "fc", "memory": "128Mi", "command": "exec python3 server.py", **spec}}})


def deploy(node, app, expect=0, **spec):
    return node.deploy({"ebb.yaml": manifest(app, **spec), "server.py": SERVER}, expect=expect)


@pytest.fixture(scope="module")
def fc(node):
    deploy(node, "fc", timeout="9500ms", handler="index.take", env={"FC_REGION": "eu-central-1", "FC_ACCOUNT_ID": "17"},
           lifecycle={"initialize": "10s", "pre_stop": "2s"})
    return node


def invoke(node, event, target="fc/f", expect=0):
    return node.cli("invoke", target, "--data", json.dumps(event), expect=expect)


def test_an_event_is_posted_to_invoke(fc):
    event = {"order": [1, "ü"]}
    seen = json.loads(invoke(fc, event).stdout)
    assert (seen["method"], seen["path"], json.loads(seen["body"])) == ("POST", "/invoke", event)
    assert seen["headers"]["content-type"] == "application/octet-stream" and seen["headers"]["content-length"] == str(len(seen["body"].encode()))
    record = fc.usage("fc/f")[-1]
    assert seen["headers"]["x-fc-request-id"] == record["request_id"]
    assert (record["trigger"], record["outcome"], record["http_status"]) == ("direct", "ok", 200)
    assert not [name for name in seen["headers"] if name.startswith("x-forwarded")]
    assert f"asked POST /invoke /invoke {record['request_id']}" in [line["text"] for line in fc.logs("fc/f", request=record["request_id"])]


def test_a_request_to_its_url_comes_as_it_is(fc):
    answer = fc.call("fc/f/a/b?q=1", data=b"text", method="PUT", headers={"X-Mine": "yes"})
    seen = answer.json()
    assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/a/b?q=1", "text")
    headers = seen["headers"]
    assert headers["x-mine"] == "yes" and headers["x-forwarded-prefix"] == "/fn/fc/f"
    assert {name: headers[f"x-fc-{name}"] for name in (
        "request-id", "control-path", "function-name", "function-handler", "function-memory", "function-timeout", "function-initializer",
        "initialization-timeout", "region", "account-id")} == {
        "request-id": answer.headers["X-Ebb-Request-Id"], "control-path": "/http-invoke", "function-name": "f", "function-handler": "index.take",
        "function-memory": "128", "function-timeout": "10", "function-initializer": "initialize", "initialization-timeout": "10",
        "region": "eu-central-1", "account-id": "17"}


def test_its_environment_says_the_same(fc):
    env = fc.call("fc/f/").json()["env"]
    assert env.pop("FC_INSTANCE_ID")
    assert env == {"PORT": "9000", "FC_SERVER_PORT": "9000", "FC_CUSTOM_LISTEN_PORT": "9000", "FC_RUNTIME": "custom", "FC_FUNC_CODE_PATH": "/var/task/",
                   "FC_FUNCTION_NAME": "f", "FC_FUNCTION_HANDLER": "index.take", "FC_FUNCTION_MEMORY_SIZE": "128", "FC_TIMEOUT": "10",
                   "FC_REGION": "eu-central-1", "FC_ACCOUNT_ID": "17", "FC_INITIALIZER_HANDLER": "initialize", "FC_INITIALIZATION_TIMEOUT": "10"}


def test_a_caller_cannot_speak_for_the_platform(fc):
    answer = fc.call("fc/f/initialize", data=b"null", headers={
        "x-fc-control-path": "/initialize", "X-Fc-Request-Id": "forged", "x-fc-access-key-secret": "s", "X-FC-Status": "404"})
    headers = answer.json()["headers"]
    assert headers["x-fc-control-path"] == "/http-invoke" and headers["x-fc-request-id"] == answer.headers["X-Ebb-Request-Id"]
    assert "x-fc-access-key-secret" not in headers and "x-fc-status" not in headers


def test_what_it_says_under_the_platforms_names_stays_inside(fc):
    answer = fc.call("fc/f/told")
    assert answer.text == "told" and answer.headers["X-Own"] == "1"
    assert not [name for name in answer.headers if name.lower().startswith("x-fc-")]


@pytest.mark.parametrize("wish, text", [("failed", "failed (x-fc-status: 404): no such order"), ("failed-chunks", ": no such order"), ("failed-long", "xxxx...")])
def test_a_told_failure_is_one(fc, wish, text):
    before = fc.call("fc/f/").json()["pid"]
    answer = fc.call(f"fc/f/{wish}")
    assert answer.status_code == 502 and "X-Own" not in answer.headers
    error = answer.json()["error"]
    assert error["code"] == "function_failed" and error["message"].startswith("fc/f failed (x-fc-status: 404): ") and text in error["message"]
    assert len(error["message"]) < 1200
    record, = fc.usage(request=error["request_id"])
    assert (record["outcome"], record["http_status"], record["billed"]) == ("function_error", 502, True)
    assert any(text in line["text"] for line in fc.logs("fc/f", request=error["request_id"]) if line["stream"] == "platform")
    direct = invoke(fc, wish, expect=7)
    assert text in direct.stderr
    after = fc.call("fc/f/").json()
    assert after["pid"] == before, "the instance goes on"


def test_a_status_is_an_answer_to_a_caller_and_a_failure_of_an_event(fc):
    answer = fc.call("fc/f/teapot")
    assert (answer.status_code, answer.text) == (418, "short and stout")
    assert "failed (status 418): short and stout" in invoke(fc, "teapot", expect=7).stderr
    assert fc.usage("fc/f")[-1]["outcome"] == "function_error"


def test_each_instance_is_initialized_once_and_has_the_port_for_itself(node):
    deploy(node, "many", lifecycle={"initialize": "20s"}, env={"INIT_SECONDS": "0.2"}, scale={"max": 3})
    answers = in_parallel(3, lambda number: node.call("many/f/sleep"))
    assert [answer.status_code for answer in answers] == [200] * 3, answers[0].text
    seen = [answer.json() for answer in answers]
    assert all(one["asked"] == [["POST", "/initialize"]] and one["env"]["PORT"] == "9000" for one in seen), seen
    records = [node.usage(request=answer.headers["X-Ebb-Request-Id"])[0] for answer in answers]
    assert len({record["instance"] for record in records}) > 1
    first = next(record for record in records if record["rung"] == "fork")
    assert first["init_ms"] >= 200, "its time is that of the start"
    again = node.call("many/f/")
    assert again.json()["asked"] == [["POST", "/initialize"]] and server_timing(again)["start"]["desc"] == "idle"


def test_it_is_asked_nothing_that_ebb_yaml_does_not_say(node):
    deploy(node, "plain")
    seen = node.call("plain/f/").json()
    assert seen["asked"] == [] and "x-fc-function-initializer" not in seen["headers"] and "FC_INITIALIZER_HANDLER" not in seen["env"]
    assert seen["headers"]["x-fc-region"] == seen["env"]["FC_REGION"] == "cn-hangzhou" and seen["headers"]["x-fc-function-handler"] == "index.handler"
    assert "x-fc-account-id" not in seen["headers"]


@pytest.mark.parametrize("env, lifecycle, text", [
    ({"INIT_STATUS": "500"}, {"initialize": "20s"}, "POST /initialize was answered 500: no table name"),
    ({"INIT_SECONDS": "30"}, {"initialize": "300ms"}, "POST /initialize was not answered within 0.3 s")])
def test_a_server_that_cannot_be_initialized_is_not_deployed(node, env, lifecycle, text):
    done = deploy(node, "unready", expect=None, env=env, lifecycle=lifecycle)
    assert done.returncode != 0 and text in done.stderr, done.stderr


@pytest.mark.parametrize("fresh_node", [{"max_spares": 0}], indirect=True)  # a spare would be one more
def test_an_instance_that_cannot_be_initialized_fails_the_call(fresh_node):
    """At the deployment it could."""
    node = fresh_node
    source = SERVER.replace('status = int(os.environ.get("INIT_STATUS" if way', 'status = 200 if way == "/pre-stop" or os.path.exists("good") else '
                            'int(os.environ.get("INIT_STATUS" if way')
    node.deploy({"ebb.yaml": manifest("later", env={"INIT_STATUS": "500"}, lifecycle={"initialize": "20s"}, idle_timeout="0s"),
                 "server.py": source, "good": "as long as this is here"})
    package = node.cli_json("versions", "later/f")["versions"][0]["package"]
    (node.data / "packages" / package / "good").unlink()
    answer = node.call("later/f/")
    assert answer.status_code == 502 and "init of later/f failed: InitializeFailed: POST /initialize was answered 500: no table name" in answer.text, answer.text
    eventually(lambda: not node.pids_in("instances", "later"), "the end of what did not start")


@pytest.mark.parametrize("status", ["200", "500"])
@pytest.mark.parametrize("fresh_node", [{"max_spares": 0}], indirect=True)  # a spare would be one more
def test_an_instance_that_ends_is_told_before(fresh_node, status):
    node = fresh_node
    app = f"ends-{status}"
    deploy(node, app, lifecycle={"pre_stop": "5s"}, env={"STOP_STATUS": status}, idle_timeout="0s")
    assert node.call(f"{app}/f/").status_code == 200
    said = lambda: [line["text"] for line in node.logs(f"{app}/f") if "GET /pre-stop" in line["text"]]  # noqa: E731
    eventually(lambda: len([text for text in said() if text.startswith("asked")]) == 2, "the end of the one that was tried and the one that served", 20)
    eventually(lambda: not node.pids_in("instances", app), "its end", 20)
    assert any("was answered 500: no table name" in text for text in said()) == (status == "500")


def test_with_a_way_out_it_reads_its_port(node):
    deploy(node, "out", network="egress", command="exec python3 server.py read", scale={"max": 2})
    answers = in_parallel(2, lambda number: node.call("out/f/sleep"))
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert all(answer.json()["env"]["PORT"] == answer.json()["env"]["FC_SERVER_PORT"] != "9000" for answer in answers)


def test_a_bootstrap_needs_no_command(node, tmp_path):
    (tmp_path / "bootstrap").write_text("#!/bin/sh\nexec python3 /var/task/server.py\n")
    (tmp_path / "server.py").write_text(SERVER)
    spec = json.loads(manifest("boot"))
    del spec["functions"]["f"]["command"]
    (tmp_path / "ebb.yaml").write_text(json.dumps(spec))
    assert "chmod +x bootstrap" in node.deploy(tmp_path, expect=None).stderr
    (tmp_path / "bootstrap").chmod(0o755)
    node.deploy(tmp_path)
    assert json.loads(invoke(node, {}, "boot/f").stdout)["path"] == "/invoke"


def test_a_crash_is_told_and_the_next_call_served(fc):
    assert "ended with exit status 3" in invoke(fc, "crash", expect=7).stderr
    assert fc.usage("fc/f")[-1]["outcome"] == "crashed"
    assert invoke(fc, {}).returncode == 0


@pytest.mark.skipif(bool(images.missing_tools("skopeo", "umoci", "gcc")), reason="skopeo, umoci and gcc are needed")
def test_a_custom_container(node, tmp_path):
    program = images.compile_program(tmp_path)
    package = tmp_path / "package"
    package.mkdir()
    Umoci(package / "image", "v1").insert(program, "/program").config(entrypoint=["/program"])
    spec = json.loads(manifest("container", image="oci:image", handler="a.b"))
    del spec["functions"]["f"]["command"]
    (package / "ebb.yaml").write_text(json.dumps(spec))
    node.deploy(package)
    env = dict(line.split("=", 1) for line in node.call("container/f/env").text.splitlines())
    assert env["FC_SERVER_PORT"] == "9000" and env["FC_RUNTIME"] == "custom-container" and env["FC_FUNCTION_HANDLER"] == "a.b"
    assert node.cli("invoke", "container/f", "--data", "{}").stdout.endswith("/program"), "it answers POST /invoke like any path"


@pytest.mark.parametrize("spec, text", [
    ({"contract": "fcc"}, "is 'fcc', expected plain or fc"), ({"contract": "plain", "lifecycle": {"initialize": "1s"}}, "is for contract: fc"),
    ({"lifecycle": {"initialize": "10m"}}, "lifecycle.initialize: is 10m, it must be from 0 to 40s"), ({"lifecycle": {"pre_stopp": "1s"}}, "did you mean pre_stop?"),
    ({"isolation": "gvisor"}, "where there is no contract: fc"), ({"runtime": "lambda"}, "contract: is fc, which is for the runtime http")])
def test_what_ebb_yaml_may_not_say(node, spec, text):
    done = deploy(node, "wrong", expect=None, **spec)
    assert done.returncode != 0 and text in done.stderr, done.stderr
