"""Streamed answers as a client, the command line and the usage record see them; and everything that can go wrong on the way."""

import re
import signal
import socket
import subprocess
import time

import pytest

from ebb_node import BINARY, PATIENCE, eventually, read_response, resident_bytes, server_timing

SOURCE = '''
import asyncio, os, time

def tokens(event, context):
    for word in ("one", "two", "three"):
        yield f"data: {word}\\n\\n"

def sse(event, context):
    return {"statusCode": 200, "headers": {"Content-Type": "text/event-stream"}, "body": tokens(event, context)}

async def later(event, context):
    for number in range(3):
        await asyncio.sleep(0.01)
        yield f"{number};"

def paused(event, context):
    yield "first\\n"
    time.sleep(60)
    yield "second\\n"

def slow(event, context):
    for number in range(3):
        yield f"{number}\\n"
        time.sleep(0.3)

def large(event, context):
    piece = b"x" * 65536
    for _ in range(int(event["queryStringParameters"]["pieces"])):
        yield piece

def endless(event, context):
    while True:
        yield b"x" * 65536

def silent(event, context):
    yield "a"
    while True:
        yield ""

def breaks(event, context):
    print("about to break")
    yield "whole line\\n"
    raise ValueError("broke in the middle")

def early(event, context):
    yield ""
    raise ValueError("broke before the first piece")

def wrong(event, context):
    yield "a"
    yield 7

def dies(event, context):
    yield "a"
    os._exit(3)

def sized(event, context):
    said, given = event["rawPath"].strip("/").split("-")
    return {"statusCode": 200, "headers": {"Content-Length": said}, "body": iter([b"x"] * int(given))}

def empty(event, context):
    return iter(())

def nothing(event, context):
    return {"statusCode": 204, "body": iter(["a", "b"])}
'''
FUNCTIONS = {name: {} for name in ("tokens", "sse", "later", "slow", "large", "breaks", "early", "wrong", "dies", "sized", "empty",
                                   "nothing")}
FUNCTIONS |= {"paused": {"timeout": "120s"}, "large": {"timeout": "300s"}, "endless": {"timeout": "120s", "scale": {"max": 4}}, "silent": {"timeout": "1s"}}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, FUNCTIONS)


class Streaming:
    """A client on a bare connection that reads chunk by chunk."""

    def __init__(self, node, path, method="GET", version="1.1", receive_buffer=0, app="app"):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        host, port = node.url.removeprefix("http://").rsplit(":", 1)
        self.socket.settimeout(60 * PATIENCE)
        self.socket.connect((host, int(port)))
        self.file = self.socket.makefile("rb")
        self.socket.sendall(f"{method} /fn/{app}/{path} HTTP/{version}\r\nHost: x\r\n\r\n".encode())

    def head(self):
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while (line := self.file.readline().strip()):
            name, value = line.decode().split(":", 1)
            self.headers[name.lower()] = value.strip()
        return self

    @property
    def id(self):
        return self.headers["x-ebb-request-id"]

    def chunk(self):
        """The next chunk; b"" is the last one, None an end without it."""
        size = self.file.readline()
        if not size.endswith(b"\r\n"):
            return None
        data = self.file.read(int(size, 16))
        assert self.file.read(2) == b"\r\n"
        return data

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.mark.sanitized
def test_pieces_arrive_as_chunks(node):
    with Streaming(node, "sse") as client:
        client.head()
        assert (client.status, client.headers["content-type"]) == (200, "text/event-stream")
        assert client.headers["transfer-encoding"] == "chunked" and "content-length" not in client.headers
        assert [client.chunk() for _ in range(4)] == [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n", b""]
        client.socket.sendall(b"GET /fn/app/empty HTTP/1.1\r\nHost: x\r\n\r\n")  # the connection serves on
        status, headers, body = read_response(client.file)
        assert (status, headers["content-length"], body) == (200, "0", b"")
    bare = node.call("app/tokens")
    assert bare.headers["Content-Type"] == "text/plain; charset=utf-8" and bare.text.count("data:") == 3
    assert node.call("app/later").text == "0;1;2;"
    record, = node.usage(request=client.id)
    assert (record["outcome"], record["http_status"], record["bytes_out"]) == ("ok", 200, 35)


def test_the_first_piece_does_not_wait_for_the_second(node):
    with Streaming(node, "paused") as client:
        assert client.head().chunk() == b"first\n"
        record, = node.usage("app/paused", settled=False, request=client.id)
        assert record["state"] == "open"
        busy = node.functions("app")["app/paused"]["instances"]
        assert (busy["busy"], busy["idle"]) == (1, 0)  # it is not given to anybody else
    eventually(lambda: node.usage(request=client.id, settled=False)[0]["state"] == "closed", "the end of an abandoned stream")


@pytest.mark.sanitized
def test_the_record_is_closed_before_the_last_chunk(node):
    with Streaming(node, "slow") as client:
        client.head()
        while client.chunk():
            pass
        record, = node.usage(settled=False, request=client.id)
    assert record["state"] == "closed" and record["outcome"] == "ok" and record["bytes_out"] == 6
    assert record["handler_ms"] >= 900 and record["billed_ms"] >= 900  # to the last piece, though the head came at once


@pytest.mark.sanitized
def test_http_1_0_gets_a_stream_that_the_end_of_the_connection_ends(node):
    answer = node.raw(b"GET /fn/app/sse HTTP/1.0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"chunked" not in head and b"Content-Length" not in head
    assert body == b"data: one\n\ndata: two\n\ndata: three\n\n"
    with Streaming(node, "breaks", version="1.0") as client:
        client.head()
        with pytest.raises(ConnectionResetError):  # what else could say that this was not all
            while client.file.read(1):
                pass


@pytest.mark.sanitized
def test_an_exception_in_the_middle_cuts_the_answer(node):
    with Streaming(node, "breaks") as client:
        assert client.head().status == 200
        assert (client.chunk(), client.chunk()) == (b"whole line\n", None)
    record, = node.usage(request=client.id)
    assert (record["outcome"], record["http_status"], record["bytes_out"]) == ("function_error", 200, 11)
    lines = [line["text"] for line in node.logs("app/breaks", request=client.id)]
    assert "about to break" in lines and any("app/breaks raised ValueError: broke in the middle" in line for line in lines)
    assert server_timing(node.call("app/early"))["start"]["desc"] in ("fork", "idle")
    with Streaming(node, "breaks") as client:
        assert server_timing_of(client.head()) == "idle"  # the instance serves on


def server_timing_of(client):
    return re.search(r'desc="(\w+)"', client.headers["server-timing"])[1]


def test_an_exception_before_the_first_piece_is_an_ordinary_error(node):
    response = node.call("app/early")
    assert response.status_code == 502 and "broke before the first piece" in response.json()["error"]["message"]
    assert node.usage(request=response.headers["X-Ebb-Request-Id"])[0]["http_status"] == 502


def test_a_piece_of_the_wrong_type_cuts_the_answer(node):
    with Streaming(node, "wrong") as client:
        assert (client.head().chunk(), client.chunk()) == (b"a", None)
    record, = node.usage(request=client.id)
    assert record["outcome"] == "function_error"
    assert any("piece 2 of the stream is of type int" in line["text"] for line in node.logs("app/wrong", request=client.id))


@pytest.mark.sanitized
def test_a_crash_in_the_middle_cuts_the_answer(node):
    with Streaming(node, "dies") as client:
        assert (client.head().chunk(), client.chunk()) == (b"a", None)
    record, = node.usage(request=client.id)
    assert (record["outcome"], record["http_status"]) == ("crashed", 200)


@pytest.mark.sanitized
def test_the_timeout_ends_a_stream_whatever_it_does(node):
    with Streaming(node, "silent") as client:  # endless empty pieces are nothing
        assert (client.head().chunk(), client.chunk()) == (b"a", None)
    record, = node.usage(request=client.id)
    assert (record["outcome"], record["bytes_out"]) == ("timed_out", 1)
    node.deploy_function("def handler(event, context):\n    while True:\n        yield b'x' * 65536\n", app="brief", timeout="1s")
    with Streaming(node, "f", receive_buffer=4096, app="brief") as client:  # does not read: the write to it ends as well
        client.head()
        eventually(lambda: node.usage(request=client.id, settled=False)[0]["state"] == "closed", "the timeout of a stream nobody reads", 5)
        assert node.usage(request=client.id)[0]["outcome"] == "timed_out"


@pytest.mark.sanitized
def test_a_client_that_goes_away_cancels_the_invocation(node):
    for function in ("paused", "endless"):
        with Streaming(node, function) as client:
            assert client.head().chunk()
            before = node.pids_in("instances")
        record, = node.usage(request=client.id)
        assert record["outcome"] == "cancelled", function
        eventually(lambda: before - node.pids_in("instances"), "the end of its instance")


@pytest.mark.sanitized
def test_a_slow_client_holds_the_function_up_and_nothing_grows(node):
    daemon = node.daemon_pid
    with Streaming(node, "large?pieces=4000", receive_buffer=65536) as client:  # 250 MiB
        client.head()
        assert len(client.chunk()) == 65536
        before = resident_bytes(daemon)
        time.sleep(0.5)  # room for a function, or a daemon, that does not wait
        assert node.usage(request=client.id, settled=False)[0]["state"] == "open"
        total = 65536
        most = 0
        while (piece := client.chunk()):
            total += len(piece)
            most = max(most, resident_bytes(daemon) if total % (8 << 20) < 65536 else 0)
    assert total == 4000 * 65536
    assert most - before < 32 << 20
    record, = node.usage(request=client.id)
    assert (record["outcome"], record["bytes_out"]) == ("ok", total)


def test_streams_beside_one_another(node):
    clients = [Streaming(node, "endless", receive_buffer=4096) for _ in range(4)]
    try:
        for client in clients:
            assert len(client.head().chunk()) == 65536
        assert node.call("app/sse").status_code == 200
    finally:
        for client in clients:
            client.close()
    assert {record["outcome"] for record in node.usage("app/endless")} == {"cancelled"}


def test_an_announced_length_is_kept(node):
    good = node.call("app/sized/3-3")
    assert good.headers["Content-Length"] == "3" and "Transfer-Encoding" not in good.headers and good.content == b"xxx"
    for path in ("5-3", "2-3"):  # too few, too many
        with Streaming(node, f"sized/{path}") as client:
            client.head()
            got = client.file.read()
        assert len(got) < int(client.headers["content-length"]), path
        assert node.usage(request=client.id)[0]["outcome"] == "function_error", path
    assert node.call("app/sized/x-1").status_code == 502


def test_head_and_statuses_without_a_body(node):
    with Streaming(node, "sse", method="HEAD") as client:
        assert client.head().headers["content-type"] == "text/event-stream"
        assert node.usage(request=client.id, settled=False)[0]["outcome"] == "ok"
        client.socket.sendall(b"GET /fn/app/nothing HTTP/1.1\r\nHost: x\r\n\r\nHEAD /fn/app/sized/7-7 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.head().status == 204 and "transfer-encoding" not in client.headers
        assert client.head().headers["content-length"] == "7"
        client.socket.sendall(b"GET /fn/app/empty HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_response(client.file)[0] == 200


def test_the_command_line_prints_while_it_comes(node):
    with subprocess.Popen([str(BINARY), "invoke", "app/paused"], env=node.environment(), stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"first\n"  # the function sleeps now
        process.send_signal(signal.SIGINT)
    eventually(lambda: all(record["state"] == "closed" for record in node.usage("app/paused", settled=False)), "the end of its call")
    assert node.cli("invoke", "app/sse").stdout == "data: one\n\ndata: two\n\ndata: three\n\n"
    whole = node.cli_json("invoke", "app/sse")
    assert whole["status"] == 200 and whole["body"].endswith("three\n\n")


def test_the_command_line_says_that_an_answer_broke_off(node):
    failed = node.cli("invoke", "app/breaks", expect=7)
    assert failed.stdout.startswith("whole line\n") and "broke off after 11 bytes" in failed.stderr
    assert "ebb logs app/breaks --request " in failed.stderr
    assert "ValueError" in node.cli("invoke", "app/early", expect=7).stderr
