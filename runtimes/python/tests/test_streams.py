"""Streamed answers as the channel shows them: head, pieces, end; and every way in which they do not come to one."""

import os
import signal
import time

import pytest
from sandbox import ERROR, PIECE, STREAM, Failed

COUNTING = """
import asyncio
closed = 0

def numbers(count):
    global closed
    try:
        for number in range(count):
            yield f"{number},"
    finally:
        closed += 1

def handler(event, context):
    return numbers(4)

def generator(event, context):
    yield "one"
    yield b"two"
    yield ""
    yield bytearray(b"three")

async def async_generator(event, context):
    for number in range(3):
        yield str(number)
        await asyncio.sleep(0)

def whole(event, context):
    return {"statusCode": 201, "headers": {"X-A": "b", "content-type": "text/event-stream"}, "cookies": ["c=d"],
            "body": numbers(2)}

def async_body(event, context):
    async def pieces():
        yield b"\\xff"
        yield "x"
    return {"statusCode": 200, "body": pieces()}

async def async_made(event, context):
    return numbers(2)

def large(event, context):
    yield b"x" * 300_000

def empty(event, context):
    return iter(())

def lists(event, context):
    return [1, 2]

def how_often_closed(event, context):
    return closed
"""


def streamed(function, handler, **event):
    return function(COUNTING, handler=f"app.{handler}").stream(**event)


def test_a_generator(function):
    head, pieces = streamed(function, "generator")
    assert pieces == [b"one", b"two", b"three"]
    assert (head.status, head.type) == (200, "text/plain; charset=utf-8")


def test_an_iterator_returned(function):
    head, pieces = streamed(function, "handler")
    assert pieces == [b"0,", b"1,", b"2,", b"3,"]


def test_async_generators(function):
    assert streamed(function, "async_generator")[1] == [b"0", b"1", b"2"]
    head, pieces = streamed(function, "async_body")
    assert (head.type, pieces) == ("application/octet-stream", [b"\xff", b"x"])
    assert streamed(function, "async_made")[1] == [b"0,", b"1,"]


def test_a_body_keeps_its_head(function):
    head, pieces = streamed(function, "whole")
    assert (head.status, head.type, head.cookies) == (201, "text/event-stream", ["c=d"])
    assert head.headers["x-a"] == ["b"] and pieces == [b"0,", b"1,"]


def test_direct_calls_stream_as_well(function):
    instance = function(COUNTING, handler="app.whole")
    instance.send({"kind": "direct", "request_id": "r", "deadline_ms": 0}, b"{}")
    head, pieces = instance.finish_stream()
    assert (head.status, pieces) == (201, [b"0,", b"1,"])


def test_large_pieces_are_cut(function):
    _, pieces = streamed(function, "large")
    assert [len(piece) for piece in pieces] == [65536] * 4 + [300_000 - 4 * 65536]


def test_a_stream_of_nothing_is_an_ordinary_answer(function):
    result = function(COUNTING, handler="app.empty").http()
    assert (result.status, result.body) == (200, b"")


def test_a_list_is_json(function):
    assert function(COUNTING, handler="app.lists").http().json() == [1, 2]


def test_pieces_come_as_they_are_made(function):
    source = """
    import signal
    def handler(event, context):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
        yield "first"
        signal.sigwait({signal.SIGUSR1})
        yield "second"
    """
    instance = function(source)
    instance.send_http()
    kind, _, first, _ = instance.receive()
    assert (kind, first) == (STREAM, b"first")  # the handler waits for us
    os.kill(instance.pid, signal.SIGUSR1)
    assert list(instance.pieces()) == [b"second"]


def test_an_exception_before_the_first_piece_is_an_ordinary_error(function):
    instance = function("def handler(event, context):\n    yield ''\n    raise KeyError('early')\n")
    with pytest.raises(Failed, match="early") as failed:
        instance.http()
    assert failed.value.kind == "raised" and "app.py" in failed.value.trace


def test_an_exception_in_the_middle(function):
    source = "def handler(event, context):\n    yield 'a'\n    raise KeyError('late')\n"
    instance = function(source)
    for _ in range(2):  # the instance serves on
        instance.send_http()
        assert instance.receive()[0] == STREAM
        with pytest.raises(Failed, match="late"):
            list(instance.pieces())


@pytest.mark.parametrize("piece, said", [("7", "int"), ("None", "NoneType"), ("{'a': 1}", "dict"), ("'\\udc80'", "surrogate")])
def test_a_piece_of_the_wrong_type(function, piece, said):
    source = f"""
    closed = []
    def pieces():
        try:
            yield "a"
            yield {piece}
        finally:
            closed.append(1)
    def handler(event, context):
        return closed if event["rawPath"] == "/closed" else pieces()
    """
    instance = function(source)
    instance.send_http()
    assert instance.receive()[0] == STREAM
    kind, meta, _, _ = instance.receive()
    assert kind == ERROR and meta["kind"] == "unserialisable" and said in meta["message"]
    assert instance.http(path="/closed").json() == [1]  # the generator was closed


def test_bad_heads_are_refused_before_anything_is_sent(function):
    source = """
    def handler(event, context):
        return {"statusCode": 200, "headers": {"a b": "c"}, "body": iter(["x"])}
    def encoded(event, context):
        return {"statusCode": 200, "isBase64Encoded": True, "body": iter(["x"])}
    """
    with pytest.raises(Failed, match="header"):
        function(source).http()
    with pytest.raises(Failed, match="isBase64Encoded"):
        function(source, handler="app.encoded").http()


def test_head_gets_no_pieces_and_closes_the_generator(function):
    instance = function(COUNTING.replace("def handler", "def other") + """
def handler(event, context):
    return closed if event["rawPath"] == "/closed" else numbers(1000)
""")
    head, pieces = instance.stream(method="HEAD")
    assert (head.type, pieces) == ("text/plain; charset=utf-8", [])
    assert instance.http(path="/closed").json() == 1


def test_a_status_without_body(function):
    source = "def handler(event, context):\n    return {'statusCode': 204, 'body': iter(['x', 'y'])}\n"
    result = function(source).http()
    assert (result.status, result.body) == (204, b"")


def test_a_slow_reader_holds_the_generator_up(function):
    source = """
    import os
    made = 0
    def pieces():
        global made
        for made in range(1, 1001):
            open("/tmp/made", "w").write(str(made))
            yield b"x" * 65536
    def handler(event, context):
        return made if event["rawPath"] == "/made" else pieces()
    """
    instance = function(source)
    instance.send_http()
    instance.receive()
    time.sleep(0.3)  # room for a generator that does not wait
    with open(f"/proc/{instance.pid}/root/tmp/made") as file:
        assert int(file.read()) < 20
    assert sum(map(len, instance.pieces())) == 999 * 65536  # all of it, once it is read
    assert instance.http(path="/made").json() == 1000


def test_a_slow_reader_does_not_hold_up_other_tasks(function):
    source = """
    import asyncio
    ticks = 0
    async def tick():
        global ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.001)
    async def handler(event, context):
        task = asyncio.ensure_future(tick())
        for _ in range(40):
            yield b"x" * 65536
        before = ticks
        task.cancel()
        yield f"ticks {before > 20}"
    """
    instance = function(source)
    instance.send_http()
    instance.receive()
    time.sleep(0.3)  # nobody reads meanwhile: the other task goes on
    assert list(instance.pieces())[-1] == b"ticks True"


def test_a_forked_child_does_not_answer(function):
    source = """
    import os
    def handler(event, context):
        yield "a"
        if os.fork() == 0:
            yield "child"
            return
        os.wait()
        yield "b"
    """
    instance = function(source)
    assert instance.stream()[1] == [b"a", b"b"]
    assert instance.stream()[1] == [b"a", b"b"]


def test_a_reader_that_goes_away_ends_the_instance(function):
    instance = function("def handler(event, context):\n    while True:\n        yield 'x' * 1000\n")
    instance.send_http()
    assert instance.receive()[0] == STREAM and instance.receive()[0] == PIECE
    instance.channel.close()
