"""WebSockets of a web server, by the library that people use on both sides: it is in the function's layer, and the test
borrows it from there for its client."""

import json
import shutil
import subprocess
import sys

import pytest

from ebb_node import eventually, read_to_end
from test_clock import clocked

SERVER = '''
import os, time
from websockets.sync.server import serve

def talk(connection):
    path = connection.request.path
    for message in connection:
        if message == "bye":
            return
        if message == "flood":
            for number in range(50):
                connection.send(os.urandom(100_000))
        elif message == "die":
            os._exit(4)
        else:
            connection.send(message if isinstance(message, bytes) else f"{path} {message}")

def plain(connection, request):
    if request.path == "/plain":
        return connection.respond(200, "no socket here")

serve(talk, "127.0.0.1", int(os.environ["PORT"]), process_request=plain, max_size=None).serve_forever()
'''

CLIENT = '''
import sys
from websockets.sync.client import connect
from websockets.exceptions import ConnectionClosed
url = sys.argv[1]
with connect(url, max_size=None, close_timeout=5) as socket:
    for wish in sys.argv[2:]:
        if wish == "large":
            socket.send(bytes(3_000_000))
            print(len(socket.recv()))
        elif wish == "flood":
            socket.send(wish)
            print(sum(len(socket.recv()) for _ in range(50)))
        elif wish in ("bye", "die", "wait"):
            if wish != "wait":
                socket.send(wish)
            try:
                socket.recv()
            except ConnectionClosed as closed:
                print(type(closed).__name__)
            break
        else:
            socket.send(wish)
            print(socket.recv())
'''


@pytest.fixture(scope="module")
def talker(node):
    spec = {"runtime": "http", "command": "exec python3 server.py", "memory": "256Mi", "concurrency": 10, "scale": {"max": 1}}
    files = {"server.py": SERVER, "requirements.txt": "websockets==13.1\n"}
    node.deploy({"ebb.yaml": json.dumps({"app": "ws", "functions": {"talk": spec, "short": {**spec, "timeout": "2s"}}}), **files})
    library = next(path for path in node.data.rglob("websockets/__init__.py")).parent.parent

    def client(*wishes, function="talk"):
        url = f"{node.url.replace('http', 'ws', 1)}/fn/ws/{function}/room?x=1"
        done = subprocess.run([sys.executable, "-c", CLIENT, url, *wishes], env={"PYTHONPATH": str(library)}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    node.client = client
    return node


@pytest.mark.sanitized
def test_messages_pass_both_ways(talker):
    assert talker.client("one", "two", "large", "flood", "bye") == ["/room?x=1 one", "/room?x=1 two", "3000000", "5000000", "ConnectionClosedOK"]


def test_its_time_and_bytes_are_in_one_record(talker):
    talker.client("one", "flood", "bye")
    record = talker.usage("ws/talk")[-1]
    assert record["outcome"] == "ok" and record["http_status"] == 101
    assert record["bytes_out"] > 5_000_000 and record["bytes_in"] > 10


@pytest.mark.sanitized
def test_a_server_that_ends_ends_its_sockets(talker):
    assert talker.client("one", "die") == ["/room?x=1 one", "ConnectionClosedError"]
    assert talker.client("one", "bye")[0] == "/room?x=1 one"


def test_the_timeout_is_of_the_whole_conversation(talker):
    assert talker.client("wait", function="short") == ["ConnectionClosedError"]
    assert talker.usage("ws/short")[-1]["outcome"] == "timed_out"


def test_a_client_that_vanishes_is_noticed(talker):
    with talker.connect() as client:
        client.sendall(b"GET /fn/ws/talk/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                       b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = client.recv(4096)
        assert b"101 Switching Protocols" in head and b"\r\nConnection: Upgrade\r\n" in head and b"\r\nUpgrade: websocket\r\n" in head
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        eventually(lambda: talker.functions("ws")["ws/talk"]["instances"]["busy"] == 1, "the conversation")
    eventually(lambda: talker.functions("ws")["ws/talk"]["instances"]["busy"] == 0, "its end")


def test_who_asks_for_no_socket_gets_none(talker):
    assert talker.call("ws/talk/plain").text == "no socket here"
    assert talker.call("ws/talk/room").status_code == 426, "the program's own answer"
    answer = talker.raw(b"GET /fn/ws/talk/plain HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n")
    assert b"HTTP/1.1 200" in answer and b"no socket here" in answer, "it may decline"


def test_nobody_switches_unasked(node):
    server = '''
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    peer, _ = listener.accept()
    if peer.recv(65536):
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: x\\r\\nConnection: Upgrade\\r\\n\\r\\n")
    peer.close()
'''
    spec = {"runtime": "http", "command": "exec python3 server.py", "memory": "128Mi"}
    node.deploy({"ebb.yaml": json.dumps({"app": "liar", "functions": {"f": spec}}), "server.py": server})
    asks = b"GET /fn/liar/f HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: x\r\nContent-Length: 2\r\n\r\nhi"
    assert b"HTTP/1.1 502" in node.raw(asks), "a request with a body does not change protocols"
    answer = node.call("liar/f")
    assert answer.status_code == 502 and "a status that is not between 200 and 599" in answer.text, answer.text


ECHO = '''
import os, socket, threading
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
def talk(peer):
    if peer.recv(65536):
        peer.sendall(b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n")
    while said := peer.recv(65536):
        peer.sendall(said)
    peer.close()
while True:
    threading.Thread(target=talk, args=(listener.accept()[0],), daemon=True).start()
'''


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is needed")
def test_a_socket_on_which_nothing_passes_for_ten_minutes_is_ended():
    with clocked() as (node, clock):
        spec = {"runtime": "http", "command": "exec python3 server.py", "memory": "128Mi", "timeout": "2h", "concurrency": 2}
        node.deploy({"ebb.yaml": json.dumps({"app": "silent", "functions": {"f": spec}}), "server.py": ECHO})
        with node.connect() as client:
            client.sendall(b"GET /fn/silent/f HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(4096)
            assert b"101 Switching Protocols" in head
            for word in (b"one", b"two"):
                clock.pass_time(9 * 60)
                client.sendall(word)
                assert client.recv(4096) == word, "what has passed counts from then on"
            clock.pass_time(11 * 60)
            assert read_to_end(client) == b""
        record, = node.usage("silent/f")
        assert (record["outcome"], record["http_status"], record["bytes_out"]) == ("ok", 101, 6)
