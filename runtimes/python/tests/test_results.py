"""What goes into a handler and what comes out of it, for every kind of event and result."""

import base64
import json

import pytest
from sandbox import Failed

ECHO = "def handler(event, context):\n    return event\n"


def returning(expression, prelude=""):
    return f"{prelude}\ndef handler(event, context):\n    return {expression}\n"


@pytest.mark.parametrize(
    "content_type, body, seen, encoded",
    [
        ("text/plain", b"caf\xc3\xa9", "café", False),
        ("application/json; charset=utf-8", b'{"a":1}', '{"a":1}', False),
        ("application/vnd.x+json", b"1", "1", False),
        ("image/svg+xml", b"<svg/>", "<svg/>", False),
        ("application/x-www-form-urlencoded", b"a=1&b=2", "a=1&b=2", False),
        (None, b"plain", "plain", False),
        (None, b"\xff\xfe", "//4=", True),
        ("text/plain", b"caf\xe9", base64.b64encode(b"caf\xe9").decode(), True),
        ("image/png", b"plain", "cGxhaW4=", True),
    ],
)
def test_http_body(function, content_type, body, seen, encoded):
    event = function(ECHO).http(body, {"content-type": content_type} if content_type else {}).json()
    assert (event["body"], event["isBase64Encoded"]) == (seen, encoded)
    assert event["version"] == "2.0"


def test_http_without_body(function):
    event = function(ECHO).http(b"").json()
    assert "body" not in event and event["isBase64Encoded"] is False


@pytest.mark.parametrize(
    "payload, content_type, seen",
    [
        (b'{"a":[1,2.5,null,true]}', None, {"a": [1, 2.5, None, True]}),
        (b" 7 ", "application/json", 7),
        (b"not json", None, "bytes: not json"),
        (b"[1]", "text/plain", "bytes: [1]"),
        (b"", None, None),
    ],
)
def test_direct_payload(function, payload, content_type, seen):
    source = "def handler(e, c):\n    return f'bytes: {e.decode()}' if isinstance(e, bytes) else e\n"
    assert function(source).call(raw=payload, content_type=content_type).json() == seen


@pytest.mark.parametrize("payload", [b"{", b"", b"\xff", b"[" * 100_000], ids=["cut", "empty", "utf8", "deep"])
def test_direct_payload_that_lies(function, payload):
    instance = function(ECHO)
    with pytest.raises(Failed, match="payload.* JSON"):
        instance.call(raw=payload, content_type="application/json")
    assert instance.call({"after": 1}).json() == {"after": 1}


@pytest.mark.parametrize(
    "value, content_type, body",
    [
        ("{'a': [1, None]}", "application/json", b'{"a":[1,null]}'),
        ("[1, 2]", "application/json", b"[1,2]"),
        ("3.5", "application/json", b"3.5"),
        ("True", "application/json", b"true"),
        ("'é'", "text/plain; charset=utf-8", "é".encode()),
        ("b'\\x00\\xff'", "application/octet-stream", b"\x00\xff"),
        ("bytearray(b'ab')", "application/octet-stream", b"ab"),
        ("memoryview(b'abcdef')[::2]", "application/octet-stream", b"ace"),
        ("None", None, b""),
    ],
)
def test_http_value(function, value, content_type, body):
    result = function(returning(value)).http()
    assert (result.status, result.type, result.body) == (200, content_type, body)


def test_http_response(function):
    result = function(
        returning(
            "{'statusCode': 418, 'headers': {'X-A': 'b', 'x-n': 7}, 'multiValueHeaders': {'x-m': ['1', '2']},"
            " 'cookies': ['a=b; Path=/', 'c=d'], 'body': 'tea'}"
        )
    ).http()
    assert result.status == 418 and result.body == b"tea"
    assert result.headers == {"x-a": ["b"], "x-n": ["7"], "x-m": ["1", "2"], "content-type": ["application/json"]}
    assert result.cookies == ["a=b; Path=/", "c=d"]


@pytest.mark.parametrize(
    "value, content_type, body",
    [
        ("{'statusCode': '201', 'body': {'a': 1}}", "application/json", b'{"a":1}'),
        ("{'statusCode': 200, 'body': b'\\x01'}", "application/octet-stream", b"\x01"),
        ("{'statusCode': 200, 'body': 'AQI=', 'isBase64Encoded': True}", "application/octet-stream", b"\x01\x02"),
        ("{'statusCode': 200, 'headers': {'Content-Type': 'text/html'}, 'body': 'x'}", "text/html", b"x"),
        ("{'statusCode': 204}", None, b""),
    ],
)
def test_http_response_bodies(function, value, content_type, body):
    result = function(returning(value)).http()
    assert (result.type, result.body) == (content_type, body)


@pytest.mark.parametrize(
    "value, says",
    [
        ("{'statusCode': 99}", "statusCode is 99"),
        ("{'statusCode': 'ok'}", "statusCode is 'ok'"),
        ("{'statusCode': True}", "statusCode is True"),
        ("{'statusCode': 200, 'headers': {'a': 'x\\r\\nb: c'}}", "'a' has a line break"),
        ("{'statusCode': 200, 'headers': {'a b': 'x'}}", "'a b'"),
        ("{'statusCode': 200, 'headers': {'a': {}}}", "'a' is of type dict"),
        ("{'statusCode': 200, 'headers': [1]}", "headers is of type list"),
        ("{'statusCode': 200, 'cookies': 'a=b'}", "cookies is of type str"),
        ("{'statusCode': 200, 'body': '!', 'isBase64Encoded': True}", "not base64"),
        ("{'statusCode': 200, 'body': {'a': {1, 2}}}", "['body']['a']: set"),
        ("{'a': [{'b': object()}]}", "the result['a'][0]['b']: object"),
        ("[float('nan')]", "the result[0]: nan"),
        ("{(1, 2): 3}", "the key (1, 2) is of type tuple"),
        ("(lambda d: d.update(d=d) or d)({})", "contains itself"),
        ("{'when': __import__('datetime').date(2026, 1, 1)}", "use .isoformat()"),
    ],
)
def test_unserialisable(function, value, says):
    instance = function(returning(value))
    with pytest.raises(Failed) as error:
        instance.http()
    assert error.value.kind == "unserialisable" and says in error.value.message
    with pytest.raises(Failed):  # and the instance goes on
        instance.http()


def test_numpy_results_get_a_hint(layered, function):
    instance = function(returning("{'x': numpy.float32(1)} if event else [numpy.ones(2)]", "import numpy"), layered)
    with pytest.raises(Failed, match=r"the result\['x'\]: numpy.float32 .*\.item\(\)"):
        instance.call(1)
    with pytest.raises(Failed, match=r"the result\[0\]: numpy.ndarray .*\.tolist\(\)"):
        instance.call(0)


def test_direct_results(function):
    instance = function(
        "def handler(e, c):\n    return {'n': None, 'b': b'\\x00', 's': 'x', 'r': {'statusCode': 7}}[e]\n"
    )
    assert instance.call("n").body == b"null"
    assert (instance.call("b").type, instance.call("b").body) == ("application/octet-stream", b"\x00")
    assert instance.call("s").body == b'"x"'
    assert instance.call("r").json() == {"statusCode": 7}  # nothing is interpreted


def test_large_bodies(function):
    instance = function("def handler(e, c):\n    return e if isinstance(e, bytes) else b'x' * e\n")
    limit = 32 << 20
    body = bytes(range(256)) * (limit // 256)
    assert instance.call(raw=body, content_type="application/octet-stream").body == body
    for size in (65536 - 200, 65536, 65537, 200_000):
        assert instance.call(raw=body[:size], content_type="application/octet-stream").body == body[:size]
    assert len(instance.call(limit).body) == limit
    with pytest.raises(Failed, match=f"{limit + 1} bytes, the limit is {limit}") as error:
        instance.call(limit + 1)
    assert error.value.kind == "too_large"
    assert instance.call(1).body == b"x"


def test_large_meta(function):
    event = function(ECHO).http(b"b" * 70_000, {"x": "h" * 100_000, "content-type": "text/plain"}).json()
    assert len(event["headers"]["x"]) == 100_000 and len(event["body"]) == 70_000


def test_too_many_headers(function):
    instance = function(returning("{'statusCode': 200, 'headers': {f'h{n}': 'v' * 1000 for n in range(300)}}"))
    with pytest.raises(Failed, match="headers and cookies") as error:
        instance.http()
    assert error.value.kind == "too_large"


def test_context(function):
    source = """
        def handler(event, context):
            left = context.get_remaining_time_in_millis()
            return [context.aws_request_id, context.request_id, context.function_name,
                    context.function_version, context.app,
                    context.memory_limit_in_mb, context.invoked_function_arn, 0 < left <= event, context.deadline_ms]
    """
    result = function(source, memory_bytes=512 << 20).call(10_000_000_000_000, deadline_ms=9_000_000_000_000).json()
    assert result == ["r-1", "r-1", "f", "7", "shop", 512, "ebb:shop:f:7", True, 9_000_000_000_000]


def test_deadline_passed_is_zero(function):
    source = "def handler(e, c):\n    return c.get_remaining_time_in_millis()\n"
    assert function(source).call(deadline_ms=1).json() == 0


def test_async_handler_keeps_its_loop(function):
    source = """
        import asyncio
        loops = set()
        async def handler(event, context):
            await asyncio.sleep(0)
            loops.add(id(asyncio.get_running_loop()))
            return {"event": event, "loops": len(loops)}
    """
    instance = function(source)
    assert instance.call(1).json() == {"event": 1, "loops": 1}
    assert instance.call(2).json() == {"event": 2, "loops": 1}


def test_handler_forms(function):
    source = """
        import functools
        class Object:
            async def __call__(self, event, context):
                return ["object", event]
        def two(prefix, event, context):
            return [prefix, event]
        handler = Object()
        partial = functools.partial(two, "partial")
    """
    assert function(source).call(1).json() == ["object", 1]
    assert function(source, handler="app.partial").call(2).json() == ["partial", 2]


def test_output_belongs_to_its_invocation(function):
    source = """
        import ctypes, os, sys
        print("loading")
        def handler(event, context):
            print("out", event, end="")
            print("err", event, file=sys.stderr, end="")
            ctypes.CDLL(None).printf(b" c %d", event)
            return json.loads(open("/proc/self/stat").read().split()[0])
        import json
    """
    instance = function(source)
    assert instance.control.read_out() == ""
    for number in (1, 2):
        instance.call(number)
        # The answer has arrived, so all output must be in the pipes.
        assert instance.control.read_out() == f"out {number} c {number}"
        assert instance.control.read_err() == f"err {number}"


def test_env_and_surroundings(function):
    source = """
        import os, sys
        at_import = os.environ["MODE"]
        def handler(event, context):
            return {"mode": at_import, "cwd": os.getcwd(), "preload": os.environ.get("LD_PRELOAD"), "path": sys.path[0],
                    "stdin": sys.stdin.read(),
                    "names": sorted(n for n in sys.modules if n in ("events", "instance", "wire")),
                    "data": open("data.txt").read() if os.path.exists("data.txt") else None}
    """
    seen = function(source, env={"MODE": "test"}).call().json()
    assert seen == {
        "mode": "test", "cwd": "/var/task", "preload": None, "path": "/var/task", "stdin": "",
        "names": [], "data": None,
    }  # fmt: skip


def test_modules_named_like_ours(loads):
    files = {"events.py": "VALUE = 'theirs'\n", "wire.py": "VALUE = 'wire'\n"}
    zygote = loads("import events, wire\ndef handler(e, c):\n    return [events.VALUE, wire.VALUE]\n", files=files)
    instance = zygote.fork()
    assert json.loads(instance.call().body) == ["theirs", "wire"]
    instance.close()
