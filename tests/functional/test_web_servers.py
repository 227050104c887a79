"""Web servers that are programs of their own, unchanged, as `runtime: http`: a binary of Go and a Spring Boot application in a JVM. From
the deployment to calls, errors, lines, usage records, zero and the way back."""

import dataclasses
import json
import shutil

import pytest

import web_servers
from ebb_node import eventually, in_parallel, server_timing

pytestmark = pytest.mark.slow


@dataclasses.dataclass(frozen=True)
class Server:
    command: str
    memory: str
    error: tuple  # the path of a request that fails, the status, and what the answer or the log says of it
    keys: dict = dataclasses.field(default_factory=dict)


SERVERS = {
    "go": Server("exec ./shelf", "64Mi", ("error", 500, "no such book")),
    "spring": Server("exec java -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -jar shelf.jar", "512Mi", ("error-page", 500, "no such book")),
}


@dataclasses.dataclass
class Shelf:
    node: object
    name: str
    server: Server

    @property
    def app(self):
        return f"shelf-{self.name}"

    def deploy(self, app, **keys):
        spec = {"runtime": "http", "command": self.server.command, "memory": self.server.memory, "timeout": "30s", "scale": {"max": 1}, **keys}
        (self.folder / "ebb.yaml").write_text(json.dumps({"app": app, "functions": {"web": spec}}))
        self.node.deploy(self.folder)

    def ask(self, path="", app=None, **options):
        return self.node.call(f"{app or self.app}/web/{path}", **options)

    def record(self, answer):
        record, = self.node.usage(f"{self.app}/web", request=answer.headers["x-ebb-request-id"])
        return record

    def lines(self, answer):
        return [line["text"] for line in self.node.logs(f"{self.app}/web", request=answer.headers["x-ebb-request-id"])]


@pytest.fixture(scope="module", params=SERVERS)
def shelf(node, request, tmp_path_factory):
    if lacking := web_servers.missing(request.param):
        pytest.skip(f"not on this machine: {lacking}")
    one = Shelf(node, request.param, SERVERS[request.param])
    one.folder = tmp_path_factory.mktemp(request.param) / "package"
    shutil.copytree(web_servers.package(request.param), one.folder)
    one.deploy(one.app)
    yield one
    node.cli("rm", one.app, "--yes")


def test_a_call_sees_what_the_client_asked_for(shelf):
    answer = shelf.ask("books/7?of=tea", data=b"pages", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["path"], told["query"], told["body"]) == ("/books/7", "of=tea", "pages")
    assert told["prefix"] == f"/fn/{shelf.app}/web"
    again = shelf.ask("books/8")
    assert again.json()["born"] == told["born"] and server_timing(again)["start"]["desc"] == "idle"


def test_an_answer_that_streams(shelf):
    answer = shelf.ask("stream")
    assert answer.text == "data: 0\n\ndata: 1\n\ndata: 2\n\n" and answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["transfer-encoding"] == "chunked"


def test_an_error_of_its_own_is_its_answer(shelf):
    born = shelf.ask().json()["born"]
    path, status, words = shelf.server.error
    answer = shelf.ask(path)
    assert answer.status_code == status
    eventually(lambda: words in answer.text or any(words in line for line in shelf.lines(answer)), "what went wrong")
    record = shelf.record(answer)
    assert (record["outcome"], record["http_status"], record["billed"]) == ("ok", status, True)
    assert shelf.ask().json()["born"] == born


def test_a_panic_of_a_handler_is_that_calls(shelf):
    if shelf.name != "go":
        pytest.skip("an exception is an answer there: said above")
    born = shelf.ask().json()["born"]
    answer = shelf.ask("panic", data=b"x")
    assert answer.status_code == 502 and "its program closed the connection without an answer" in answer.text, answer.text
    eventually(lambda: any("no shelf" in line for line in shelf.lines(answer)), "the panic in the log")
    assert shelf.ask().json()["born"] == born, "net/http goes on, and so does the instance"


def test_a_full_heap_is_an_error_of_its_own(shelf):
    if shelf.name != "spring":
        pytest.skip("a JVM's heap has a bound of its own")
    born = shelf.ask().json()["born"]
    answer = shelf.ask("fill")
    assert answer.status_code == 500, answer.text
    eventually(lambda: any("OutOfMemoryError" in line for line in shelf.lines(answer)), "the error in the log")
    assert shelf.ask().json()["born"] == born


def test_its_end_is_told_and_another_instance_answers(shelf):
    born = shelf.ask().json()["born"]
    answer = shelf.ask("exit", data=b"x") if shelf.name == "go" else shelf.ask("exit")
    assert answer.status_code == 502 and "its program ended with exit status 3" in answer.text, answer.text
    assert shelf.record(answer)["outcome"] == "crashed"
    assert shelf.ask().json()["born"] != born


def test_what_it_logs_is_of_its_call(shelf):
    answer = shelf.ask("a/line")
    eventually(lambda: any("asked for /a/line" in line for line in shelf.lines(answer)), "the line in the log")


def test_what_it_costs(shelf):
    answer = shelf.ask("?sleep=0.2s")
    record = shelf.record(answer)
    assert (record["state"], record["outcome"], record["http_status"]) == ("closed", "ok", 200)
    assert record["handler_ms"] >= 200 and record["billed_ms"] >= 200 and float(record["cu"]) > 0
    assert 0 < record["memory_peak_bytes"] <= record["memory_limit_bytes"] and record["bytes_out"] == len(answer.content)


def test_it_goes_to_zero_and_comes_back(shelf):
    app = f"{shelf.app}-zero"
    shelf.deploy(app, idle_timeout="0s", concurrency=8)

    def serving():
        instances = shelf.node.functions(app)[f"{app}/web"]["instances"]
        return sum(instances.values()) - instances["spare"]

    born = set()
    for _ in range(2):
        eventually(lambda: serving() == 0, "that none has served")
        answer = shelf.ask(app=app)
        assert answer.status_code == 200 and server_timing(answer)["start"]["desc"] in ("fork", "spare"), answer.text
        born.add(answer.json()["born"])
    assert len(born) == 2
    answers = in_parallel(8, lambda n: shelf.ask("?sleep=0.5s", app=app))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert max(answer.json()["most"] for answer in answers) > 1, "several in one instance"
    eventually(lambda: serving() == 0, "zero")
    if shelf.name == "go":
        eventually(lambda: any(line["text"].endswith("closed") for line in shelf.node.logs(f"{app}/web")), "that it was asked to end, and had the time")
    shelf.node.cli("rm", app, "--yes")
