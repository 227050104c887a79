"""Bodies of requests to a web server (`runtime: http`) pass as they come, of any length, in memory that does not grow; what client
and program do in the middle of one is told to the other, and to nobody else."""

import hashlib
import json
import socket

import pytest

from ebb_node import PATIENCE, eventually, read_response, read_to_end, resident_bytes

# Speaks HTTP by hand: it has to answer before it has read, to read slowly, and to see how a body ended.
SERVER = r'''
import hashlib, os, socket, threading, time

def head_of(stream):
    line = stream.readline().split()
    headers = {}
    while (text := stream.readline().strip()):
        name, value = text.decode().split(":", 1)
        headers[name.lower()] = value.strip()
    return (line[1].decode() if line else ""), headers

def pieces(stream, headers):
    """The body, a piece at a time; raises EOFError when it is not whole."""
    if headers.get("transfer-encoding") == "chunked":
        while True:
            line = stream.readline()
            if not line:
                raise EOFError
            left = int(line, 16)
            if left == 0:
                stream.readline()
                return
            while left:
                piece = stream.read1(left)
                if not piece:
                    raise EOFError
                left -= len(piece)
                yield piece
            stream.readline()
    left = int(headers.get("content-length", 0))
    while left:
        piece = stream.read1(min(left, 1 << 16))
        if not piece:
            raise EOFError
        left -= len(piece)
        yield piece

def answer(connection, status, body):
    connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))

def serve(connection):
    stream = connection.makefile("rb")
    while True:
        path, headers = head_of(stream)
        if not path:
            return
        if path == "/sum":
            digest, count = hashlib.sha256(), 0
            try:
                for piece in pieces(stream, headers):
                    digest.update(piece)
                    count += len(piece)
            except EOFError:
                print(f"broke off after {count}", flush=True)
                return
            how = headers.get("transfer-encoding") or headers.get("content-length")
            answer(connection, 200, f"{count} {digest.hexdigest()} {how}".encode())
        elif path == "/echo":
            connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
            for piece in pieces(stream, headers):
                connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")
        elif path == "/refuse":
            answer(connection, 403, b"not you")
            return
        elif path == "/early":
            answer(connection, 200, b"enough")
            time.sleep(600)
        elif path == "/never":
            time.sleep(600)
        elif path.startswith("/down/"):
            size = int(path.rpartition("/")[2])
            connection.sendall(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
            block = bytes(1 << 20)
            while size:
                count = min(size, len(block))
                connection.sendall(b"%x\r\n" % count + block[:count] + b"\r\n")
                size -= count
            connection.sendall(b"0\r\n\r\n")
        else:
            answer(connection, 200, b"here")

listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
'''
MANIFEST = {"app": "up", "functions": {
    name: {"runtime": "http", "command": "exec python3 server.py", "memory": "128Mi", "concurrency": 8, "timeout": timeout}
    for name, timeout in (("web", "120s"), ("brief", "2s"))}}
MIB = 1 << 20


@pytest.fixture(scope="module")
def web(node):
    node.deploy({"ebb.yaml": json.dumps(MANIFEST), "server.py": SERVER})
    return node


def blocks(mib):
    return (bytes([number % 251]) * MIB for number in range(mib))


def digest_of(mib):
    digest = hashlib.sha256()
    for block in blocks(mib):
        digest.update(block)
    return digest.hexdigest()


def begin(node, path, *lines):
    """A connection on which the head of a POST is sent."""
    connection = node.connect()
    connection.sendall("\r\n".join([f"POST /fn/up/{path} HTTP/1.1", "Host: x", *lines, "", ""]).encode())
    return connection


def test_a_body_in_chunks_arrives_in_chunks(web):
    answer = web.call("/fn/up/web/sum", data=blocks(3))
    assert answer.text == f"{3 * MIB} {digest_of(3)} chunked", answer.text
    assert web.usage("up/web", request=answer.headers["x-ebb-request-id"])[0]["bytes_in"] == 3 * MIB


def test_a_body_of_known_length_keeps_it(web):
    body = b"".join(blocks(2))
    answer = web.call("/fn/up/web/sum", data=body)
    assert answer.text == f"{2 * MIB} {digest_of(2)} {2 * MIB}", answer.text
    assert web.usage("up/web", request=answer.headers["x-ebb-request-id"])[0]["bytes_in"] == 2 * MIB
    empty = web.call("/fn/up/web/sum", data=iter(()))
    assert empty.text.startswith("0 ") and empty.text.endswith(" chunked")


def test_the_connection_serves_the_next_request_after_a_whole_body(web):
    with web.connect() as connection, connection.makefile("rb") as stream:
        for _ in range(3):
            connection.sendall(b"POST /fn/up/web/sum HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n" + bytes(200_000))
            status, headers, body = read_response(stream)
            assert status == 200 and body.startswith(b"200000 ") and headers.get("connection") != "close"


def test_the_answer_comes_while_the_body_is_sent(web):
    """Order, not time: each piece is sent only when the one before has come back."""
    with begin(web, "web/echo", "Transfer-Encoding: chunked") as connection, connection.makefile("rb") as stream:
        connection.sendall(b"5\r\nfirst\r\n")
        assert stream.readline().split()[1] == b"200"
        while stream.readline().strip():
            pass
        assert stream.readline() == b"5\r\n" and stream.readline() == b"first\r\n"
        connection.sendall(b"6\r\nsecond\r\n")
        assert stream.readline() == b"6\r\n" and stream.readline() == b"second\r\n"
        connection.sendall(b"0\r\n\r\n")
        assert stream.readline() == b"0\r\n"


def test_a_client_that_waits_to_be_told_is_told(web):
    with begin(web, "web/sum", "Content-Length: 100000", "Expect: 100-continue") as connection, connection.makefile("rb") as stream:
        assert stream.readline() == b"HTTP/1.1 100 Continue\r\n" and stream.readline() == b"\r\n"
        connection.sendall(bytes(100_000))
        assert read_response(stream)[2].startswith(b"100000 ")


@pytest.mark.parametrize("path, status, text", [("refuse", 403, b"not you"), ("early", 200, b"enough")])
def test_a_program_may_answer_before_it_has_read(web, path, status, text):
    with begin(web, f"web/{path}", "Transfer-Encoding: chunked") as connection, connection.makefile("rb") as stream:
        connection.sendall(b"5\r\nfirst\r\n")
        answered, headers, body = read_response(stream)
        assert answered == status and body == text and headers["connection"] == "close"
        assert stream.read() == b""  # nothing behind it, and no reset
    assert web.call("/fn/up/web/after").text == "here"


def test_a_program_that_never_reads_holds_its_client_up_until_the_timeout(web):
    connection = begin(web, "brief/never", "Transfer-Encoding: chunked")
    with connection, connection.makefile("rb") as stream:
        connection.settimeout(0.2)
        block = b"100000\r\n" + bytes(MIB) + b"\r\n"
        sent = 0
        with pytest.raises(OSError):  # the buffers are full long before
            while sent < 200 * MIB:
                sent += connection.send(block)
        connection.settimeout(30 * PATIENCE)
        status, _, body = read_response(stream)
        assert status == 504 and b"within its timeout of 2s" in body
    assert web.call("/fn/up/brief/after").text == "here"


@pytest.mark.parametrize("lines, first", [(["Transfer-Encoding: chunked"], b"5\r\nfirst\r\n"), (["Content-Length: 900000"], b"first")])
def test_a_client_that_goes_away_breaks_the_body_off(web, lines, first):
    before = len(web.usage("up/web"))
    with begin(web, "web/sum", *lines) as connection:
        connection.sendall(first)
        eventually(lambda: web.cli_json("usage", "up/web", "--limit", 1)["records"][0]["state"] != "closed", "the call under way")
    eventually(lambda: len(web.usage("up/web")) > before, "the record of the call")
    assert web.usage("up/web")[-1]["outcome"] == "cancelled"
    eventually(lambda: "broke off after" in "\n".join(line["text"] for line in web.logs("up/web")), "the program's word")
    assert web.call("/fn/up/web/after").text == "here"


@pytest.mark.parametrize("wrong", [b"xyz\r\n", b"-1\r\n", b"fffffffffffffffff\r\n", b"3\r\nabcd\r\n"])
def test_a_body_that_is_none_is_refused(web, wrong):
    connection = begin(web, "web/sum", "Transfer-Encoding: chunked")
    with connection:
        connection.sendall(b"5\r\nfirst\r\n" + wrong)
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert web.call("/fn/up/web/after").text == "here"


def test_who_is_no_web_server_gets_it_whole_and_no_more_than_the_limit(web):
    web.deploy_function("def handler(event, context):\n    return str(len(event['body']))\n", app="whole")
    body = (b"x" * MIB for _ in range(3))
    assert web.call("/fn/whole/f", data=body, headers={"Content-Type": "text/plain"}).text == str(3 * MIB)
    with web.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"POST /fn/whole/f HTTP/1.1\r\nHost: x\r\nContent-Length: 33554433\r\nExpect: 100-continue\r\n\r\n")
        status, _, text = read_response(stream)
        assert status == 413 and b"33554432" in text
    with web.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"POST /fn/whole/nobody HTTP/1.1\r\nHost: x\r\nContent-Length: 33554433\r\nExpect: 100-continue\r\n\r\n")
        assert read_response(stream)[0] == 404  # before a byte was sent


def flat(node, mib):
    """Sends and takes so much, and gives by how many bytes the daemon has grown while it did."""
    node.call("/fn/up/web/sum", data=blocks(8))
    node.call("/fn/up/web/down/8388608")
    before = most = resident_bytes(node.daemon_pid)

    def watched():
        nonlocal most
        for number, block in enumerate(blocks(mib)):
            if number % 8 == 0:
                most = max(most, resident_bytes(node.daemon_pid))
            yield block

    answer = node.call("/fn/up/web/sum", data=watched(), timeout=120)
    assert answer.text.split()[:2] == [str(mib * MIB), digest_of(mib)]
    taken = 0
    with node.session().get(f"{node.url}/fn/up/web/down/{mib * MIB}", stream=True, timeout=120) as down:
        for number, block in enumerate(down.iter_content(1 << 20)):
            taken += len(block)
            if number % 8 == 0:
                most = max(most, resident_bytes(node.daemon_pid))
    assert taken == mib * MIB
    return most - before


def test_memory_does_not_depend_on_the_length(web):
    assert flat(web, 96) < 8 * MIB  # what is beyond the 32 MiB that others may send at most


@pytest.mark.slow
def test_a_gigabyte_each_way(web):
    grown = flat(web, 1024)
    assert grown < 8 * MIB, f"{grown} bytes"


def test_a_slow_upload_is_given_up(web):
    """The stall limit is long; a unit test has it short (http/server_test.cc). Here: the deadline of the call ends it."""
    connection = begin(web, "brief/sum", "Content-Length: 900000")
    with connection, connection.makefile("rb") as stream:
        connection.sendall(b"first")
        connection.settimeout(30 * PATIENCE)
        status, _, body = read_response(stream)
        assert status == 504 and b"within its timeout of 2s" in body
        connection.shutdown(socket.SHUT_RDWR)
