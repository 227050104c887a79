"""What the daemon holds of answers until their clients have taken them: an instance that serves many calls at a time, and sends as long an
answer to each as it may, does not fill the daemon's memory, nor stand in the way of others."""

import json
import pathlib
import re
import shutil
import socket

import pytest

from ebb_node import PATIENCE, eventually, read_to_end
from slow_clients import SlowClients

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")

MIB = 1 << 20
PER_APP = 256 * MIB  # limits::kAnswerBytesPerApp
CALLS = 250  # limits::kCallsPerInstance

# One buffer serves for all answers: what is sent costs the instance nothing. Nobody is answered before all are there.
NODE = r'''
const born = `${process.hrtime.bigint()}`;
const big = Buffer.alloc(32 * 1024 * 1024);
let here = 0, left = 0, open;
const gate = new Promise((resolve) => { open = resolve; });
exports.handler = async (event, context) => {
  const [order, argument] = event.rawPath.slice(1).split("/");
  if (order === "small") return "small";
  if (order === "told") return { born, here, left };
  if (order === "part") return big.subarray(0, Number(argument));
  context.signal?.addEventListener("abort", () => { left += 1; });
  here += 1;
  if (here === Number(argument)) open();
  await gate;
  return big;
};
'''


def peak_bytes(pid):
    """Of its resident memory since begin_peak."""
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def begin_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak_bytes(pid)


def held(node):
    return node.metrics()["ebb_answer_bytes"]


def deploy(node, app, **spec):
    spec = {"runtime": "node", "handler": "index.handler", "memory": "256Mi", "timeout": "120s", "scale": {"max": 1}, **spec}
    node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"f": spec}}), "index.js": NODE})


@pytest.fixture
def clients(node):
    """Those of a test, which leave with it."""
    made = SlowClients(lambda: held(node))
    yield made
    made.leave()


def begin(node, path, clients):
    """A call whose client reads nothing yet."""
    connection = node.connect()
    clients.append(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    connection.settimeout(120 * PATIENCE)
    connection.sendall(f"GET /fn/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return connection


def fill(node, function, clients):
    """Slow clients of answers that leave its app less than 1 MiB."""
    for size in (*[32 * MIB] * (PER_APP // (32 * MIB) - 1), 31 * MIB):
        assert begin(node, f"{function}/part/{size}", clients).recv(12, socket.MSG_WAITALL) == b"HTTP/1.1 200"


@pytest.fixture
def hog(node):
    deploy(node, "hog", concurrency=CALLS)
    deploy(node, "modest")
    yield node
    for app in ("hog", "modest"):
        node.cli("rm", app, "--yes")


def test_an_instance_that_answers_all_at_once_does_not_fill_the_daemon(hog, clients):
    born = hog.call("hog/f/told").json()["born"]
    hog.call("modest/f/small")
    before = begin_peak(hog.daemon_pid)
    for _ in range(CALLS):
        begin(hog, f"hog/f/big/{CALLS}", clients)
    starts = [connection.recv(12, socket.MSG_WAITALL) for connection in clients]  # each has been answered, or refused
    served = [connection for connection, start in zip(clients, starts) if start == b"HTTP/1.1 200"]
    refused = [connection for connection, start in zip(clients, starts) if start == b"HTTP/1.1 502"]
    assert len(served) + len(refused) == CALLS and 1 <= len(served) <= PER_APP // (32 * MIB), (len(served), len(refused))
    assert len(served) * 32 * MIB <= held(hog) <= PER_APP
    assert peak_bytes(hog.daemon_pid) - before <= 2 * PER_APP + CALLS * MIB // 4, "its bound, what the allocator keeps of it, and a little for each call"

    answer = read_to_end(refused[0]).decode()
    assert "the answer of hog/f found no room: the node holds as much of the answers of app hog as it may, 256Mi" in answer, answer
    assert hog.call("hog/f/small").text == "small", "a short one finds room"
    assert len(hog.call("modest/f/big/1").content) == 32 * MIB, "other apps have theirs"

    clients.leave()
    assert len(hog.call("hog/f/big/1").content) == 32 * MIB
    assert hog.call("hog/f/told").json()["born"] == born, "the instance goes on"
    outcomes = [record["outcome"] for record in hog.usage("hog/f")]
    assert outcomes.count("function_error") == len(refused)
    assert all(record["billed_ms"] for record in hog.usage("hog/f") if record["outcome"] == "function_error")


def test_calls_whose_clients_have_left_hold_nothing(hog, clients):
    hog.call("hog/f/told")
    before = begin_peak(hog.daemon_pid)
    each = CALLS - 10  # `told` finds room beside them

    def told(what, number):
        eventually(lambda: hog.call("hog/f/told").json()[what] == number, f"{number} of {what}")

    for already in range(0, 3 * each, each):  # more than `concurrency` are in the instance in the end, and none in the daemon
        for _ in range(each):
            begin(hog, f"hog/f/big/{3 * each + 1}", clients)
        told("here", already + each)
        clients.leave()
        told("left", already + each)
    assert len(hog.call(f"hog/f/big/{3 * each + 1}").content) == 32 * MIB, "which lets all of them answer"
    eventually(lambda: held(hog) == 0, "that nothing is held")
    assert peak_bytes(hog.daemon_pid) - before <= 64 * MIB + CALLS * MIB // 4


def test_one_call_at_a_time_is_bound_as_well(node, clients):
    """Answers whose clients are slow to take them, one after the other."""
    deploy(node, "serial")
    fill(node, "serial/f", clients)
    assert PER_APP - MIB <= held(node) <= PER_APP
    answer = node.call("serial/f/big/1")
    assert answer.status_code == 502 and "256Mi" in answer.text, answer.text
    assert node.call("serial/f/small").text == "small"
    clients.leave()
    assert len(node.call(f"serial/f/part/{2 * MIB}").content) == 2 * MIB
    node.cli("rm", "serial", "--yes")


PROGRAM = r'''
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        size = int(self.path[1:])
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        self.wfile.write(bytes(size))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''


def test_a_web_servers_answer_that_finds_no_room_is_streamed(node, clients):
    """In the app of a handler that has taken all there is."""
    functions = {"f": {"runtime": "node", "handler": "index.handler", "memory": "256Mi"},
                 "web": {"runtime": "http", "command": "exec python3 web.py", "concurrency": 4}}
    node.deploy({"ebb.yaml": json.dumps({"app": "mixed", "functions": functions}), "index.js": NODE, "web.py": PROGRAM})
    fill(node, "mixed/f", clients)
    for size in (1000, MIB, 3 * MIB):
        assert len(node.call(f"mixed/web/{size}").content) == size
    assert {record["outcome"] for record in node.usage("mixed/web")} == {"ok"}
    clients.leave()
    node.cli("rm", "mixed", "--yes")
