"""Images as they are built for other platforms, with a userland of their own (Debian, its Python, packages of PyPI): AWS's Lambda client as
ENTRYPOINT, and Flask under gunicorn. From a registry to calls, errors, lines, usage records, zero and the way back."""

import json

import pytest

import debian_image
import images
from ebb_node import eventually, in_parallel, server_timing
from test_image import registry  # noqa: F401 (a fixture)

MISSING = debian_image.missing() + images.missing_tools("docker-registry")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")]
REQUIREMENTS = ("awslambdaric==4.2.2", "flask==3.1.2", "gunicorn==23.0.0")

WORK = '''
import os, platform, subprocess, sys, uuid
born = uuid.uuid4().hex

def seen():
    """By Python, by its packages' compiled parts and by the programs of the image."""
    words = subprocess.run(["/bin/sh", "-c", "id -u; ls /; stat -c %s /usr/bin/python3.11"], capture_output=True, text=True, check=True).stdout.split()
    return {"born": born, "python": sys.executable, "debian": platform.freedesktop_os_release()["ID"], "uid": words[0], "root": words[1:-1],
            "bytes": int(words[-1]), "home": os.getcwd(), "tmp": open("/tmp/note", "w").write("note")}
'''
HANDLER = '''
import logging, os, time
import runtime_client  # what awslambdaric has in C++
from work import seen

def handler(event, context):
    wish = event.get("wish")
    print("asked for", wish)
    if wish == "error":
        raise ValueError("no such order")
    if wish == "exit":
        os._exit(3)
    time.sleep(event.get("seconds", 0))
    return {**seen(), "event": event, "client": runtime_client.__file__, "memory": context.memory_limit_in_mb, "left": context.get_remaining_time_in_millis()}
'''
SITE = '''
import os, time
from flask import Flask, abort, request
from work import seen

app = Flask(__name__)
at_once = most = 0

@app.before_request
def begin():
    print("asked for", request.path, flush=True)

@app.route("/", methods=["GET", "POST"])
def home():
    global at_once, most
    at_once += 1
    most = max(most, at_once)
    time.sleep(float(request.args.get("seconds", 0)))
    at_once -= 1
    return {**seen(), "args": request.args, "form": request.form, "most": most}

@app.route("/error")
def error():
    raise ValueError("no such order")

@app.route("/gone")
def gone():
    abort(410)

@app.route("/exit")
def end():
    os.kill(os.getppid(), 9)
    time.sleep(60)

@app.route("/stream")
def stream():
    return (f"piece {number};" for number in range(3)), {"Content-Type": "text/plain"}
'''
START = {"lambda": {"entrypoint": ["/usr/bin/python3", "-m", "awslambdaric"], "cmd": ["app.handler"]},
         "http": {"entrypoint": ["gunicorn"], "cmd": ["--threads", "8", "app:app"]}}  # which listens on $PORT by itself


@pytest.fixture(scope="module")
def pushed(registry, tmp_path_factory):
    """{runtime: the image's name}"""
    folder = tmp_path_factory.mktemp("image")
    image, names = debian_image.DebianImage(folder, REQUIREMENTS), {}
    for runtime, source in (("lambda", HANDLER), ("http", SITE)):
        files = folder / runtime
        files.mkdir()
        (files / "work.py").write_text(WORK)
        (files / "app.py").write_text(source)
        names[runtime] = registry.push(image.tag(runtime, files, **START[runtime]), f"team/{runtime}:v1")
    return names


class Deployed:
    def __init__(self, node, runtime, image, app):
        self.node, self.runtime, self.image, self.app = node, runtime, image, app

    def deploy(self, **keys):
        function = {"runtime": self.runtime, "image": self.image, "memory": "256Mi", "timeout": "20s", **keys}
        self.node.deploy({"ebb.yaml": json.dumps({"app": self.app, "functions": {"f": function}})})
        return self

    def ask(self, path="", **options):
        return self.node.call(f"{self.app}/f/{path}", **options)

    def invoke(self, event, expect=0):
        """The answer; the reason where it fails."""
        done = self.node.cli("invoke", f"{self.app}/f", "--data", json.dumps(event), expect=expect)
        return json.loads(done.stdout) if expect == 0 else done.stderr

    def last(self):
        return self.node.usage(f"{self.app}/f")[-1]

    def lines(self, request):
        return [line["text"] for line in self.node.logs(f"{self.app}/f", request=request)]

    def serving(self):
        instances = self.node.functions(self.app)[f"{self.app}/f"]["instances"]
        return sum(instances.values()) - instances["spare"]


@pytest.fixture(scope="module")
def node(pushed, node):  # the registry first: it is no process of the node's
    return node


@pytest.fixture(scope="module")
def orders(node, pushed):
    return Deployed(node, "lambda", pushed["lambda"], "orders").deploy(scale={"max": 1})


@pytest.fixture(scope="module")
def site(node, pushed):
    return Deployed(node, "http", pushed["http"], "site").deploy(scale={"max": 1}, concurrency=8)


def is_of_the_image(told):
    assert told["python"] == "/usr/bin/python3" and told["debian"] == "debian" and told["uid"] == "1000" and told["home"] == "/app"
    assert {"app", "usr", "etc", "lib", "tmp"} <= set(told["root"]) and told["bytes"] > 1 << 20
    return told


def test_a_function_of_lambda_is_called(orders):
    told = is_of_the_image(orders.invoke({"n": [1, "zwei ✓"]}))
    assert told["event"] == {"n": [1, "zwei ✓"]} and told["memory"] == "256" and 0 < told["left"] <= 20_000
    assert told["client"].startswith(debian_image.PACKAGES_OF_PYTHON)
    assert orders.invoke({})["born"] == told["born"], "the instance is kept"
    event = orders.ask("shelf?of=tea", data=b"pages", headers={"Content-Type": "text/plain"}).json()["event"]
    assert (event["rawPath"], event["rawQueryString"], event["body"]) == ("/shelf", "of=tea", "pages")


def test_its_error_is_told_and_the_instance_goes_on(orders):
    born = orders.invoke({})["born"]
    assert "ValueError: no such order" in orders.invoke({"wish": "error"}, expect=7)
    record = orders.last()
    assert (record["outcome"], record["billed"]) == ("function_error", True)
    eventually(lambda: any("no such order" in line for line in orders.lines(record["request_id"])), "the error in the log")
    assert orders.invoke({})["born"] == born


def test_its_end_is_told_and_another_instance_answers(orders):
    born = orders.invoke({})["born"]
    assert "ended with exit status 3" in orders.invoke({"wish": "exit"}, expect=7)
    assert orders.last()["outcome"] == "crashed"
    assert orders.invoke({})["born"] != born


def test_what_it_prints_and_costs_is_of_its_call(orders):
    orders.invoke({"wish": "tea", "seconds": 0.2})
    record = orders.last()
    eventually(lambda: "asked for tea" in orders.lines(record["request_id"]), "the line in the log")
    assert any(line.startswith("REPORT RequestId") for line in orders.lines(record["request_id"]))
    orders.invoke({"wish": "milk"})
    assert "asked for tea" not in orders.lines(orders.last()["request_id"])
    assert (record["state"], record["outcome"]) == ("closed", "ok") and record["handler_ms"] >= 200 and record["billed_ms"] >= 200
    assert 5 << 20 < record["memory_peak_bytes"] <= record["memory_limit_bytes"] == 256 << 20 and float(record["cu"]) > 0


def test_a_flask_application_is_called(site):
    told = is_of_the_image(site.ask("?of=tea", data={"n": "1"}).json())
    assert told["args"] == {"of": "tea"} and told["form"] == {"n": "1"}
    assert site.ask().json()["born"] == told["born"]
    answer = site.ask("stream")
    assert answer.text == "piece 0;piece 1;piece 2;" and answer.headers["transfer-encoding"] == "chunked"


def test_errors_of_its_own_are_its_answers(site):
    born = site.ask().json()["born"]
    for path, status in (("error", 500), ("gone", 410), ("nothing", 404)):
        answer = site.ask(path)
        assert answer.status_code == status
        record, = site.node.usage("site/f", request=answer.headers["x-ebb-request-id"])
        assert (record["outcome"], record["http_status"], record["billed"]) == ("ok", status, True)
    eventually(lambda: any("ValueError: no such order" in line["text"] for line in site.node.logs("site/f")), "the error in the log")
    assert site.ask().json()["born"] == born


def test_its_end_is_told_and_another_one_answers(site):
    born = site.ask().json()["born"]
    answer = site.ask("exit")
    assert answer.status_code == 502 and "its program was killed by signal 9" in answer.text, answer.text
    assert site.ask().json()["born"] != born


def test_what_it_serves_at_once_and_what_that_costs(site):
    answers = in_parallel(8, lambda _: site.ask("?seconds=0.5"))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["born"] for answer in answers}) == 1 and max(answer.json()["most"] for answer in answers) > 1
    for answer in answers:
        record, = site.node.usage("site/f", request=answer.headers["x-ebb-request-id"])
        assert record["state"] == "closed" and record["handler_ms"] >= 500 and record["bytes_out"] == len(answer.content)
    eventually(lambda: any("asked for /" in line["text"] for line in site.node.logs("site/f")), "its lines in the log")


@pytest.mark.parametrize("runtime", ["lambda", "http"])
def test_it_goes_to_zero_and_comes_back(node, pushed, runtime):
    app = f"zero-{runtime}"
    one = Deployed(node, runtime, pushed[runtime], app).deploy(idle_timeout="0s")
    born = set()
    for _ in range(3):
        eventually(lambda: one.serving() == 0, "that none has served")
        answer = one.ask()
        assert answer.status_code == 200 and server_timing(answer)["start"]["desc"] in ("fork", "spare"), answer.text
        born.add(answer.json()["born"])
    assert len(born) == 3
    eventually(lambda: one.serving() == 0, "zero")
    node.cli("rm", app, "--yes")
    eventually(lambda: not node.pids_in("instances", app), "the end of every process")
