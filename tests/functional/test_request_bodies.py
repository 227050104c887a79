"""What the daemon holds of callers' bodies: those of one app cannot take all of it, by whatever door they come, and what is over is given back."""

import json

import pytest

from ebb_node import PATIENCE, eventually, read_response
from slow_clients import SlowClients

MIB = 1 << 20
LARGEST = 32 * MIB  # limits::kHttpBodyBytes
PER_APP = 256 * MIB  # limits::kRequestBytesPerApp

SOURCE = '''
import time
def size(event, context):
    return len(event if isinstance(event, bytes) else event["body"])
def slow(event, context):
    time.sleep(2)
    return "done"
'''
WEB = '''
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        text = str(len(self.rfile.read(int(self.headers["Content-Length"])))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def held(node):
    return node.metrics()["ebb_request_bytes"]


@pytest.fixture
def apps(node):
    functions = {"size": {}, "slow": {}}
    node.deploy_app(SOURCE, functions, app="hog")
    node.deploy_app(SOURCE, functions, app="modest")
    yield node
    for app in ("hog", "modest"):
        node.cli("rm", app, "--yes")


@pytest.fixture
def senders(node):
    """Slow ones, which leave with their test."""
    made = SlowClients(lambda: held(node))
    yield made
    made.leave()


def begin(node, path, senders, size=LARGEST):
    """A call of whose body only the last byte is missing."""
    connection = node.connect()
    senders.append(connection)
    connection.settimeout(60 * PATIENCE)
    key = f"Authorization: Bearer {node.key}\r\n" if path.startswith("/api/") else ""
    connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\n{key}Content-Type: text/plain\r\nContent-Length: {size}\r\n\r\n".encode())
    connection.sendall(b"x" * (size - 1))
    return connection


def fill(node, senders, paths):
    for number in range(PER_APP // LARGEST):
        begin(node, paths[number % len(paths)], senders)
    eventually(lambda: held(node) >= PER_APP - MIB, "that the app's part is full", evidence=lambda: held(node))


def refused(answer):
    error = answer.json()["error"]
    assert answer.status_code == 429 and error["code"] == "resource_exhausted" and int(answer.headers["Retry-After"]) >= 1, answer.text
    assert "request bodies of app hog as it may, 256Mi" in error["message"], answer.text


DIRECT = "/api/v1/apps/{}/functions/size/invocations"
OCTETS = {"Content-Type": "application/octet-stream"}


def test_callers_of_one_app_leave_room_for_others(apps, senders):
    fill(apps, senders, ["/fn/hog/size", DIRECT.format("hog")])
    assert held(apps) <= PER_APP
    for function in ("size", "slow"):
        refused(apps.call(f"hog/{function}", data=b"x" * MIB))
    refused(apps.call(DIRECT.format("hog"), data=b"x" * MIB, headers=OCTETS))
    refused(apps.call(DIRECT.format("hog") + "?async=true", data=b"x" * (MIB // 2), headers=OCTETS))
    refused(apps.call("hog/size", data=iter([b"x" * 70_000] * 2)))  # in chunks
    assert apps.call("hog/size", data=b"x" * 1000, headers={"Content-Type": "text/plain"}).text == "1000", "a short one finds room"
    assert apps.call("modest/size", data=b"x" * LARGEST, headers={"Content-Type": "text/plain"}).text == str(LARGEST)
    assert apps.call(DIRECT.format("modest"), data=b"x" * LARGEST, headers=OCTETS).json() == LARGEST

    with senders[0].makefile("rb") as stream:  # who had begun is served
        senders[0].sendall(b"x")
        assert read_response(stream)[0] == 200
    senders.leave()
    assert apps.call("hog/size", data=b"x" * LARGEST, headers={"Content-Type": "text/plain"}).text == str(LARGEST)


def test_a_body_counts_until_its_call_has_ended(apps, senders):
    connection = begin(apps, "/fn/hog/slow", senders, 2 * MIB)
    connection.sendall(b"x")
    eventually(lambda: any(record["state"] != "closed" for record in apps.cli_json("usage", "hog/slow", "--limit", 1)["records"]), "the call under way")
    assert held(apps) >= 2 * MIB
    with connection.makefile("rb") as stream:
        assert read_response(stream)[0] == 200
    eventually(lambda: held(apps) == 0, "that the body is given back")


def test_a_web_server_gets_its_bodies_as_they_come(apps, senders):
    """In an app whose other callers have taken all there is: what is passed on is not held."""
    manifest = {"app": "hog", "functions": {"size": {"handler": "app.size"}, "slow": {"handler": "app.slow"},
                                            "web": {"runtime": "http", "command": "exec python3 web.py", "concurrency": 4}}}
    apps.deploy({"ebb.yaml": json.dumps(manifest), "app.py": SOURCE, "web.py": WEB})
    fill(apps, senders, ["/fn/hog/size"])
    assert apps.call("hog/web/", data=b"x" * LARGEST).text == str(LARGEST)
    assert held(apps) <= PER_APP


def test_a_path_that_ends_like_a_calls_has_its_body(apps):
    """In chunks, which calls are left to read themselves."""
    answer = apps.call("/api/v1/apps/hog/secrets/invocations", method="PUT", data=iter([b'{"value": ', b'"x"}']))
    assert answer.status_code == 204, answer.text


def test_a_key_that_may_not_deploy_uploads_nothing(apps):
    key = apps.cli("key", "create", "--role", "invoke", "--app", "hog").stdout.strip()
    with apps.connect() as connection, connection.makefile("rb") as stream:
        connection.settimeout(60 * PATIENCE)
        connection.sendall(f"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nX-Ebb-Key: {key}\r\nContent-Length: {200 * MIB}\r\n\r\n".encode())
        assert read_response(stream)[0] == 403, "before any of it was sent"
    assert held(apps) == 0


HARD_OF_HEARING = r'''
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"5\r\nfirst\r\n")
        time.sleep(3)
        self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True
http.server.ThreadingHTTPServer(("0.0.0.0", 9000), Handler).serve_forever()
'''


def test_a_body_that_its_program_does_not_read_counts_for_as_long(node):
    """It has been read whole, and waits in the daemon while the answer is already on its way."""
    manifest = {"app": "deaf", "functions": {"f": {"runtime": "http", "contract": "fc", "command": "exec python3 server.py"}}}
    node.deploy({"ebb.yaml": json.dumps(manifest), "server.py": HARD_OF_HEARING})
    with node.call(DIRECT.format("deaf").replace("/size/", "/f/"), data=b"x" * LARGEST, headers=OCTETS, stream=True) as answer:
        assert next(answer.iter_content(5)) == b"first"
        assert held(node) >= LARGEST
    eventually(lambda: held(node) == 0, "that it is given back with the connection")
    node.cli("rm", "deaf", "--yes")
