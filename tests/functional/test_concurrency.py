"""Several calls at a time in one instance of a web server: how many, who pays for what, and what one does to the others."""

import json
import time

import pytest

from ebb_node import eventually, in_parallel, read_to_end

SERVER = '''
import http.server, json, os, threading, time

lock, present, most = threading.Lock(), 0, 0
gate = threading.Event()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global present, most
        with lock:
            present += 1
            most = max(most, present)
        path, _, seconds = self.path[1:].partition("/")
        if path == "sleep":
            time.sleep(float(seconds))
        elif path == "burn":
            end = time.thread_time() + float(seconds)
            while time.thread_time() < end:
                pass
        elif path == "crash":
            os._exit(3)
        elif path == "wait":
            os.write(1, b"waiting\\n")  # in one piece, whoever else writes
            gate.wait(20)
        elif path == "open":
            gate.set()
        with lock:
            present -= 1
        body = json.dumps({"pid": os.getpid(), "born": BORN, "most": most}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        print(self.path, flush=True)

BORN = time.time_ns()
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def deploy(node, app, expect=0, **spec):
    spec = {"runtime": "http", "command": "exec python3 server.py", "memory": "128Mi", **spec}
    return node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"web": spec}}), "server.py": SERVER}, expect=expect)


@pytest.mark.sanitized
def test_one_instance_serves_as_many_as_it_may(node):
    deploy(node, "many", concurrency=8, scale={"max": 1})
    node.call("many/web/")
    answers = in_parallel(8, lambda n: node.call("many/web/sleep/0.5"))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["born"] for answer in answers}) == 1
    assert max(answer.json()["most"] for answer in answers) == 8, "all of them at one time"


def test_never_more_at_a_time_than_it_may_and_then_another_instance(node):
    deploy(node, "bounded", concurrency=3, scale={"max": 2})
    node.call("bounded/web/")
    answers = in_parallel(18, lambda n: node.call("bounded/web/sleep/0.2"))
    assert [answer.status_code for answer in answers] == [200] * 18
    assert max(answer.json()["most"] for answer in answers) == 3
    assert len({answer.json()["born"] for answer in answers}) <= 2


@pytest.mark.sanitized
def test_calls_at_one_time_share_what_they_cost(node):
    deploy(node, "shared", concurrency=8, scale={"max": 1})
    node.call("shared/web/")
    before = time.monotonic()
    in_parallel(8, lambda n: node.call("shared/web/sleep/0.5"))
    elapsed_ms = (time.monotonic() - before) * 1000
    records = [record for record in node.usage("shared/web")][-8:]
    billed = sum(record["billed_ms"] for record in records)
    assert 500 <= billed <= elapsed_ms + 8, "the time in which it was at work, each call's part rounded up"
    assert all(record["handler_ms"] >= 500 for record in records), "how long each took is said as it was"
    in_parallel(4, lambda n: node.call("shared/web/burn/0.1"))
    cpu = sum(record["cpu_ms"] for record in node.usage("shared/web")[-4:])
    assert 400 <= cpu <= 700, "what the four have burnt, once"


def test_a_call_that_times_out_takes_nobody_along(node):
    deploy(node, "late", concurrency=8, scale={"max": 1}, timeout="2s")
    born = node.call("late/web/").json()["born"]
    wishes = ["sleep/30", *["sleep/0.9"] * 4]
    answers = in_parallel(5, lambda n: node.call(f"late/web/{wishes[n]}"))
    assert answers[0].status_code == 504 and "within its timeout of 2s" in answers[0].text, answers[0].text
    assert [answer.status_code for answer in answers[1:]] == [200] * 4
    assert {answer.json()["born"] for answer in answers[1:]} == {born}
    assert node.call("late/web/").json()["born"] != born, "what hangs in it ends with the instance"
    assert [record["outcome"] for record in node.usage("late/web")].count("timed_out") == 1


def test_a_client_that_leaves_takes_nobody_along(node):
    deploy(node, "left", concurrency=8, scale={"max": 1})
    born = node.call("left/web/").json()["born"]
    leaving = node.connect()
    leaving.sendall(b"GET /fn/left/web/wait HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: node.functions("left")["left/web"]["instances"]["busy"] == 1, "the call")
    leaving.close()
    eventually(lambda: node.usage("left/web")[-1]["outcome"] == "cancelled", "its record")
    assert node.call("left/web/open").json()["born"] == born
    assert node.call("left/web/").json()["born"] == born


@pytest.mark.sanitized
def test_a_crash_is_told_to_all_who_were_there(node):
    deploy(node, "crash", concurrency=8, scale={"max": 1})
    node.call("crash/web/")
    waiting = [node.connect() for _ in range(4)]
    for connection in waiting:
        connection.sendall(b"GET /fn/crash/web/wait HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    eventually(lambda: sum(entry["text"] == "waiting" for entry in node.logs("crash/web")) == 4, "all are in it")
    answers = [node.call("crash/web/crash").text, *(read_to_end(connection).decode() for connection in waiting)]
    for answer in answers:
        assert "its program ended with exit status 3" in answer, answer
    assert node.call("crash/web/").status_code == 200
    assert {record["outcome"] for record in node.usage("crash/web")[1:6]} == {"crashed"}


def test_lines_of_several_at_a_time_are_nobodys(node):
    deploy(node, "lines", concurrency=2)
    node.call("lines/web/sleep/0")
    eventually(lambda: any("/sleep/0" in entry["text"] for entry in node.logs("lines/web")), "the line")


@pytest.mark.parametrize("spec, text", [
    ({"concurrency": 251}, "from 1 to 250"),
    ({"concurrency": 2, "isolation": "gvisor"}, "with isolation: gvisor an instance serves 1"),
    ({"concurrency": 2, "reuse": "never"}, "with reuse: never an instance serves 1"),
    ({"concurrency": 2, "runtime": "lambda", "handler": "a.b", "command": "./x"}, "runtime lambda runs 1 invocation at a time"),
])
def test_what_cannot_serve_several_is_refused(node, spec, text):
    done = deploy(node, "refused", expect=None, **spec)
    assert done.returncode != 0 and text in done.stderr, done.stderr
