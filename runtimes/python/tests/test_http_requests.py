"""What a program sends to its Runtime API, byte by byte and malformed."""

import importlib.util
import os

import pytest

_spec = importlib.util.spec_from_file_location("http_requests", os.path.join(os.path.dirname(__file__), "..", "http_requests.py"))
http_requests = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(http_requests)


def read(data, step):
    """(request, body) of one request that comes in pieces of that many bytes."""
    buffer, request, body = bytearray(), None, b""
    for at in range(0, len(data), step):
        buffer += data[at : at + step]
        if request is None:
            request = http_requests.next_request(buffer)
        if request is not None:
            body += request.take(buffer)
    return request, body, bytes(buffer)


CHUNKED = b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: Why\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nWhy: Broken\r\n\r\nGET"


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_chunks_and_trailers_however_they_come(step):
    request, body, rest = read(CHUNKED, step)
    assert (request.method, request.path, body, rest) == ("POST", "/x", b"hello!", b"GET")
    assert request.complete and request.trailers == {"why": "Broken"}


@pytest.mark.parametrize("step", [1, 5, 1000])
def test_a_length_and_what_follows(step):
    request, body, rest = read(b"POST /y HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabcGET", step)
    assert (body, rest, request.complete, request.wants_continue) == (b"abc", b"GET", True, True)


def test_connections_that_close():
    assert read(b"GET / HTTP/1.1\r\n\r\n", 100)[0].keep_alive
    assert not read(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 100)[0].keep_alive
    assert not read(b"GET / HTTP/1.0\r\n\r\n", 100)[0].keep_alive


@pytest.mark.parametrize("data", [
    b"GET /\r\n\r\n",
    b"GET / SPDY/3\r\n\r\n",
    b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 1e9\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000 + b"\r\n",
])
def test_what_is_no_request(data):
    with pytest.raises(http_requests.BadRequest):
        read(data, 100_000)
