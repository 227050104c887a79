"""WSGI and ASGI applications: how they are told, what they are given, how their answers come out. Without frameworks."""

import json

import pytest
from sandbox import STREAM, Failed, InitFailed

WSGI = """
import json
closed = 0

class Blocks:
    def __init__(self, *blocks):
        self._blocks = iter(blocks)
    def __iter__(self):
        return self
    def __next__(self):
        return next(self._blocks)
    def close(self):
        global closed
        closed += 1

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/environ":
        shown = {name: value for name, value in environ.items() if isinstance(value, (str, bool, tuple))}
        shown["read"] = environ["wsgi.input"].read().decode("latin-1")
        shown["request"] = environ["ebb.context"].request_id
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(shown).encode()]
    if path == "/cookies":
        start_response("302 Found", [("Location", "/x"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        return []
    if path == "/length":
        start_response("200 OK", [("Content-Length", "5")])
        return Blocks(b"", b"exact")
    if path == "/stream":
        start_response("200 OK", [])
        return Blocks(b"a", b"", b"b")
    if path == "/write":
        write = start_response("200 OK", [])
        write(b"written")
        return [b" and returned"]
    if path == "/file":
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open(__file__, "rb"), 1000)
    if path == "/late":
        def blocks():
            start_response("200 OK", [("X-A", "late")])
            yield b"x"
        return blocks()
    if path == "/changed":
        start_response("200 OK", [])
        try:
            raise ValueError
        except ValueError:
            import sys
            start_response("500 Oops", [("X-A", "second")], sys.exc_info())
        return [b"sorry"]
    if path == "/closed":
        start_response("200 OK", [])
        return [str(closed).encode()]
    if path == "/latin":
        start_response("200 OK", [("X-A", "gr\\u00c3\\u00bcn")])
        return [b""]
    if path == "/raises":
        raise KeyError("in the application")
    if path == "/breaks":
        start_response("200 OK", [])
        def blocks():
            yield b"a"
            raise KeyError("in the middle")
        return blocks()
    if path == "/text":
        start_response("200 OK", [])
        return iter(["text"])
    if path == "/twice":
        start_response("200 OK", [])
        start_response("200 OK", [])
    if path == "/status":
        start_response("OK", [])
    if path == "/exit":
        raise SystemExit(3)
    return [b"never started"]
"""


def wsgi(function, **fields):
    return function(WSGI, handler="app.app", **fields)


def test_the_environ(function):
    headers = {"host": "example.test:8443", "content-type": "text/x", "x-own": "gr\u00fcn", "x_own": "spoofed", "transfer-encoding": "chunked"}
    answer = wsgi(function).http(b"\xffbody", headers, method="POST", path="/environ", rawQueryString="a=1&b=%20", cookies=["k=v", "l=w"])
    seen = answer.json()
    assert answer.type == "application/json"
    wanted = {"REQUEST_METHOD": "POST", "SCRIPT_NAME": "/fn/shop/f", "PATH_INFO": "/environ", "QUERY_STRING": "a=1&b=%20",
              "SERVER_NAME": "example.test", "SERVER_PORT": "8443", "SERVER_PROTOCOL": "HTTP/1.1", "REMOTE_ADDR": "192.0.2.7",
              "CONTENT_TYPE": "text/x", "CONTENT_LENGTH": "5", "HTTP_X_OWN": "gr\u00c3\u00bcn", "HTTP_COOKIE": "k=v; l=w",
              "REQUEST_URI": "/fn/shop/f/environ?a=1&b=%20", "wsgi.url_scheme": "http", "wsgi.version": [1, 0],
              "wsgi.run_once": False, "read": "\xffbody", "request": "r-2"}  # fmt: skip
    assert {name: seen.get(name) for name in wanted} == wanted
    assert "HTTP_TRANSFER_ENCODING" not in seen
    assert wsgi(function).http(path="/env%69ron").json()["PATH_INFO"] == "/environ"


def test_answers_that_go_out_whole(function):
    instance = wsgi(function)
    cookies = instance.http(path="/cookies")
    assert (cookies.status, cookies.body, cookies.headers["set-cookie"]) == (302, b"", ["a=1", "b=2"])
    assert instance.http(path="/length").body == b"exact"
    assert instance.http(path="/closed").body == b"1"
    changed = instance.http(path="/changed")
    assert (changed.status, changed.headers["x-a"], changed.body) == (500, ["second"], b"sorry")
    assert instance.http(path="/latin").headers["x-a"] == ["gr\u00fcn"]


def test_answers_block_by_block(function):
    instance = wsgi(function)
    assert instance.stream(path="/stream")[1] == [b"a", b"b"]
    assert instance.http(path="/closed").body == b"1"
    assert instance.stream(path="/write")[1] == [b"written", b" and returned"]
    head, pieces = instance.stream(path="/late")
    assert head.headers["x-a"] == ["late"] and pieces == [b"x"]
    _, pieces = instance.stream(path="/file")
    assert b"".join(pieces).decode().strip() == WSGI.strip() and len(pieces) > 1


def test_head_of_an_application(function):
    instance = wsgi(function)
    head, pieces = instance.stream(method="HEAD", path="/length")
    assert head.headers["content-length"] == ["5"] and pieces == []
    assert instance.stream(method="HEAD", path="/stream")[1] == []
    assert instance.http(path="/closed").body == b"2"


def test_an_application_that_fails(function):
    instance = wsgi(function)
    with pytest.raises(Failed, match="in the application") as failed:
        instance.http(path="/raises")
    assert failed.value.kind == "raised" and "app.py" in failed.value.trace
    instance.send_http(path="/breaks")
    assert instance.receive()[0] == STREAM
    with pytest.raises(Failed, match="in the middle"):
        list(instance.pieces())
    for path, said in (("/text", "bytes are wanted"), ("/twice", "twice"), ("/status", "200 OK"), ("/nowhere", "without calling")):
        with pytest.raises(Failed, match=said):
            instance.http(path=path)
    with pytest.raises(Failed, match="3"):
        instance.http(path="/exit")
    assert instance.ended()


def test_a_direct_call_is_refused(function):
    instance = wsgi(function)
    with pytest.raises(Failed, match="WSGI application.*/fn/shop/f/") as failed:
        instance.call({})
    assert failed.value.kind == "wrong_call"
    assert instance.http(path="/length").body == b"exact"


def test_a_timers_call_is_a_request_to_an_application_and_an_event_to_a_handler(function):
    sent = {"kind": "timer", "method": "POST", "path": "/environ"}
    assert wsgi(function).http(b'{"due": 1}', **sent).json()["read"] == '{"due": 1}'
    handler = function("def handler(event, context):\n    return [event]\n", handler="app.handler")
    assert handler.http(b'{"due": 1}', **sent).json() == [{"due": 1}]


ASGI = """
import asyncio, json
from contextlib import contextmanager
events = []

async def answer(send, *bodies, status=200, headers=()):
    await send({"type": "http.response.start", "status": status, "headers": [(b"x-a", b"1"), *headers]})
    for body in bodies:
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body"})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            events.append(message["type"])
            if message["type"] == "lifespan.startup":
                scope["state"]["made"] = "at the start"
                await send({"type": "lifespan.startup.complete"})
            else:
                print("shut down", flush=True)
                await send({"type": "lifespan.shutdown.complete"})
                return
    path = scope["path"].removeprefix(scope["root_path"])
    if path == "/scope":
        body = (await receive())["body"]
        shown = {name: value for name, value in scope.items() if isinstance(value, (str, dict, tuple)) and name != "extensions"}
        shown |= {"query": scope["query_string"].decode(), "raw": scope["raw_path"].decode(), "body": body.decode(), "events": events,
                  "headers": [[name.decode(), value.decode()] for name, value in scope["headers"]]}
        await send({"type": "http.response.start", "status": 201, "headers": [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]})
        await send({"type": "http.response.body", "body": json.dumps(shown).encode()})
    elif path == "/stream":
        await answer(send, b"a", b"", b"b")
    elif path == "/disconnect":
        await receive()
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        early = waiting.done()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(early).encode()})
        events.append((await waiting)["type"])
    elif path == "/events":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(events).encode()})
    elif path == "/after":
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"own page"})
        raise KeyError("told by the application itself")
    elif path == "/raises":
        raise KeyError("before the answer")
    elif path == "/breaks":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        raise KeyError("in the middle")
    elif path == "/nothing":
        return
    elif path == "/half":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    elif path == "/order":
        await send({"type": "http.response.body", "body": b"x"})
    elif path == "/unknown":
        await send({"type": "websocket.accept"})
    elif path == "/threads":
        result = await asyncio.get_running_loop().run_in_executor(None, lambda: b"from a thread")
        await answer(send, result)
"""


def asgi(function, **fields):
    return function(ASGI, handler="app.app", **fields)


def test_the_scope(function):
    answer = asgi(function).http(b"body", {"host": "[::1]:81", "x-own": "v"}, path="/scope", method="POST",
                                 rawQueryString="a=1", cookies=["k=v", "l=w"])  # fmt: skip
    seen = json.loads(answer.body)
    assert answer.status == 201 and answer.headers["set-cookie"] == ["a=1", "b=2"]
    wanted = {"type": "http", "http_version": "1.1", "method": "POST", "scheme": "http", "path": "/fn/shop/f/scope", "raw": "/fn/shop/f/scope",
              "root_path": "/fn/shop/f", "query": "a=1", "client": ["192.0.2.7", 0], "server": ["[::1]", 81], "body": "body",
              "state": {"made": "at the start"}, "events": ["lifespan.startup"]}  # fmt: skip
    assert {name: seen.get(name) for name in wanted} == wanted
    assert seen["asgi"]["version"] == "3.0"
    assert ["cookie", "k=v; l=w"] in seen["headers"] and ["content-length", "4"] in seen["headers"]


def test_asgi_answers(function):
    instance = asgi(function)
    head, pieces = instance.stream(path="/stream")
    assert pieces == [b"a", b"b"] and head.headers["x-a"] == ["1"]
    assert instance.http(path="/disconnect").body == b"False"
    assert instance.http(path="/events").json() == ["lifespan.startup", "http.disconnect"]
    assert instance.stream(path="/threads")[1] == [b"from a thread"]
    assert instance.stream(path="/stream", method="HEAD")[1] == []


def test_an_asgi_application_that_fails(function):
    instance = asgi(function)
    own = instance.http(path="/after")
    assert (own.status, own.body) == (500, b"own page")
    assert "told by the application itself" in instance.control.read_err(1)
    with pytest.raises(Failed, match="before the answer"):
        instance.http(path="/raises")
    instance.send_http(path="/breaks")
    assert instance.receive()[0] == STREAM
    with pytest.raises(Failed, match="in the middle"):
        list(instance.pieces())
    for path, said in (("/nothing", "without completing"), ("/half", "without completing"), ("/order", "before http.response.start"),
                       ("/unknown", "websocket.accept")):  # fmt: skip
        with pytest.raises(Failed, match=said):
            instance.http(path=path)
    assert instance.stream(path="/stream")[1] == [b"a", b"b"]


def test_the_lifespan_is_an_instances_own(sandbox, tmp_path, loads):
    zygote = loads(ASGI, handler="app.app")
    first, second = zygote.fork(), zygote.fork()
    for instance in (first, second):
        assert instance.http(path="/events").json() == ["lifespan.startup"]
    first.channel.shutdown(2)
    assert "shut down" in first.control.read_out(5)
    second.close()
    first.close()


@pytest.mark.parametrize(
    "body",
    ["assert scope['type'] == 'http'", "if scope['type'] != 'http': raise NotImplementedError", "if scope['type'] != 'http': return"],
)
def test_an_application_without_a_lifespan(function, body):
    source = f"async def app(scope, receive, send):\n    {body}\n"
    source += "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
    source += "    await send({'type': 'http.response.body', 'body': b'ok'})\n"
    assert function(source, handler="app.app").http().body == b"ok"


def test_a_lifespan_that_fails(loads):
    source = """
    async def app(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
    """
    zygote = loads(source, handler="app.app")
    instance = zygote.fork(ready=False)
    with pytest.raises(Failed, match="did not start: no database") as failed:
        instance.ready()
    assert failed.value.kind == "init"
    instance.close()


EVENT = "def handler(event, context):\n    return 'event'\n"


@pytest.mark.parametrize(
    "source, interface",
    [
        (EVENT, "event"),
        ("async def handler(event, context): return 'event'\n", "event"),
        ("def handler(environ, start_response):\n    start_response('200 OK', [])\n    return [b'wsgi']\n", "wsgi"),
        ("class App:\n    def __call__(self, environ, start_response):\n        start_response('200 OK', [])\n        return [b'wsgi']\n"
         "handler = App()\n", "wsgi"),
        ("import functools\ndef outer(x, environ, start_response):\n    start_response('200 OK', [])\n    return [b'wsgi']\n"
         "handler = functools.partial(outer, 1)\n", "wsgi"),
        ("async def handler(a, b, c):\n    assert a['type'] == 'http'\n    await c({'type': 'http.response.start', 'status': 200})\n"
         "    await c({'type': 'http.response.body', 'body': b'asgi'})\n", "asgi"),
        ("def handler(event, context, extra=None): return 'event'\n", "event"),
        ("import functools\ndef given(f):\n    @functools.wraps(f)\n    def call(event, context):\n        return f(event, context, 'event')\n"
         "    return call\n@given\ndef handler(event, context, database): return database\n", "event"),
        ("def handler(*anything): return 'event'\n", "event"),
        ("class Handler:\n    def __call__(self, event, context): return 'event'\nhandler = Handler()\n", "event"),
    ],
)  # fmt: skip
def test_the_interface_is_told_by_the_parameters(function, source, interface):
    assert function(source).http().body.decode() == interface


def test_the_interface_can_be_said(function, loads):
    plain = "def handler(one, two):\n    two('200 OK', [])\n    return [b'wsgi']\n"
    assert function(plain, interface="wsgi").http().body == b"wsgi"
    start_response = "def handler(event, start_response):\n    return 'event'\n"
    assert function(start_response, interface="event").http().body == b"event"
    with pytest.raises(InitFailed, match="called as an ASGI application with \\(scope, receive, send\\).*interface in ebb.yaml"):
        loads(EVENT, interface="asgi")
