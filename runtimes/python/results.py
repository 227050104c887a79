"""What a handler returned, as bytes: JSON, and the checked parts of an HTTP response. Errors say where in the value."""

import base64
import binascii
import json
import re
from json import encoder as json_encoder

from . import wire


class Unserialisable(Exception):
    """The value cannot be sent; the text says which part of it, and what to do."""


class TooLarge(Exception):
    """The value is beyond a limit, named with its number."""


_HINTS = {
    "ndarray": "use .tolist()",
    "Tensor": "use .tolist()",
    "DataFrame": "use .to_dict()",
    "Series": "use .to_list()",
    "datetime": "use .isoformat()",
    "date": "use .isoformat()",
    "Decimal": "use float() or str()",
    "UUID": "use str()",
    "bytes": "use base64.b64encode(...).decode(), or return the bytes alone",
    "set": "use sorted()",
    "coroutine": "await it",
    "function": "call it",
}


def _hint(value):
    kind = type(value)
    if kind.__module__ == "numpy" and kind.__name__ != "ndarray":
        return ": use .item()"
    hint = _HINTS.get(kind.__name__)
    return f": {hint}" if hint else ""


def _name(value):
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _refuse(value):
    raise TypeError(f"{_name(value)} is not JSON")


# One encoder for all results, as json.dumps makes one for each. No circularity table: the C encoder then ends in a
# RecursionError, which explain() finds the cause of.
_chunks = json_encoder.c_make_encoder(
    None, _refuse, json_encoder.encode_basestring, None, ":", ",", False, False, False
)


def _find(value, path, parents):
    """(path, reason) of the first part that JSON cannot hold, or None."""
    if value is None or isinstance(value, (str, int)):
        return None
    if isinstance(value, float):
        finite = value == value and value not in (float("inf"), float("-inf"))
        return None if finite else (path, f"{value} is not a number of JSON: use None")
    if not isinstance(value, (dict, list, tuple)):
        return path, f"{_name(value)} cannot be sent as JSON{_hint(value)}"
    if id(value) in parents:
        return path, f"this {type(value).__name__} contains itself"
    if len(parents) > 500:
        return path, "it is nested more than 500 deep"
    parents = parents | {id(value)}
    if isinstance(value, dict):
        for key, part in value.items():
            if key is not None and not isinstance(key, (str, int, float)):
                return path, f"the key {key!r:.100} is of type {_name(key)}: keys are str"
            found = _find(part, f"{path}[{key!r:.100}]", parents)
            if found:
                return found
        return None
    for index, part in enumerate(value):
        found = _find(part, f"{path}[{index}]", parents)
        if found:
            return found
    return None


def explain(value, error, name="the result"):
    """Unserialisable for what the encoder raised, with the place in the value."""
    try:
        found = _find(value, "", frozenset())
    except Exception:  # a user's __repr__ or iteration may raise anything
        found = None
    if found is None:
        return Unserialisable(f"{name} cannot be sent as JSON: {error}")
    path, reason = found
    return Unserialisable(f"{name}{path}: {reason}")


def utf8(text):
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Unserialisable(f"the result has half of a surrogate pair at character {error.start}") from None


def flat(value):
    """Bytes-like as something whose len() is bytes. No copy unless it is a strided view."""
    if type(value) is not memoryview:
        return value
    return value.cast("B") if value.c_contiguous else value.tobytes()


def dump(value, name="the result"):
    """Compact UTF-8 JSON. Errors: Unserialisable."""
    if type(value) is str:
        return utf8(json_encoder.encode_basestring(value))
    try:
        return "".join(_chunks(value, 0)).encode("utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        raise explain(value, error, name) from None


def error_meta(kind, type_name, message, trace_text):
    """What a frame says of a failure (src/wire/frame.h)."""
    told = {"kind": kind, "type": type_name, "message": message, "trace": trace_text}
    # Half of a surrogate pair is a character to Python and to nobody else.
    return dump({key: text.encode("utf-8", "backslashreplace").decode() for key, text in told.items()})


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z").match
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z").match


def _status(value):
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 100 <= value <= 599:
        raise Unserialisable(f"statusCode is {value!r:.100}: a number from 100 to 599 is wanted")
    return value


def _header(name, value):
    if not isinstance(name, str) or not _HEADER_NAME(name):
        raise Unserialisable(f"the response header's name {name!r:.100} is not one: letters, digits and - are")
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, (int, float)):
        value = str(value)
    if not isinstance(value, str):
        raise Unserialisable(f"the response header '{name}' is of type {_name(value)}: a str is wanted")
    if not _HEADER_VALUE(value):
        raise Unserialisable(
            f"the response header '{name}' has a line break or another character that headers cannot hold"
        )
    return [name, value]


def _headers(value):
    out = []
    single, multi = value.get("headers"), value.get("multiValueHeaders")
    for field, given in (("headers", single), ("multiValueHeaders", multi)):
        if given is not None and not isinstance(given, dict):
            raise Unserialisable(f"{field} is of type {_name(given)}: a dict is wanted")
    multi_names = {name.lower() for name in multi or () if isinstance(name, str)}
    for name, given in (single or {}).items():
        # What stands in both is taken from multiValueHeaders, as API Gateway does.
        if isinstance(name, str) and name.lower() in multi_names:
            continue
        for part in given if isinstance(given, (list, tuple)) else (given,):
            out.append(_header(name, part))
    for name, given in (multi or {}).items():
        for part in given if isinstance(given, (list, tuple)) else (given,):
            out.append(_header(name, part))
    return out


def _cookies(value):
    if value is None:
        return []
    if not isinstance(value, (list, tuple)):
        raise Unserialisable(f"cookies is of type {_name(value)}: a list of str is wanted")
    return [_header("set-cookie", cookie)[1] for cookie in value]


def is_stream(value):
    """Whether it is sent piece by piece: an iterator or an async iterator. A list is not one, it is JSON."""
    return hasattr(value, "__next__") or hasattr(value, "__aiter__")


class Head:
    """Status and headers of an answer whose body comes piece by piece. `headers` is a list of [name, value]."""

    __slots__ = ("status", "headers", "cookies")

    def __init__(self, status=200, headers=None, cookies=()):
        self.status = status
        self.headers = [] if headers is None else headers
        self.cookies = cookies

    def header(self, wanted):
        """The first value of a header by its lower-case name, or None."""
        return next((value for name, value in self.headers if name.lower() == wanted), None)

    def set_type_for(self, first):
        """A stream that does not say what it is, is what its first piece is."""
        if first is not None and self.header("content-type") is None:
            kind = "text/plain; charset=utf-8" if isinstance(first, str) else "application/octet-stream"
            self.headers.append(["content-type", kind])

    def meta(self):
        """Of a kStream or kResult frame. Errors: TooLarge, Unserialisable."""
        meta = dump({"status": self.status, "headers": self.headers, "cookies": list(self.cookies)})
        if len(meta) > wire.FRAME_META_BYTES:
            raise TooLarge(
                f"headers and cookies of the result are {len(meta)} bytes, the limit is {wire.FRAME_META_BYTES}"
            )
        return meta


def piece(value, number):
    """One piece of a stream as bytes-like. Errors: Unserialisable."""
    if isinstance(value, str):
        return utf8(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return flat(value)
    raise Unserialisable(f"piece {number} of the stream is of type {_name(value)}: str or bytes are wanted")


def _body(value):
    """(bytes, content type when none was given)"""
    body = value.get("body")
    if value.get("isBase64Encoded"):
        if not isinstance(body, (str, bytes, bytearray)):
            raise Unserialisable(f"isBase64Encoded is true, but body is of type {_name(body)}")
        try:
            return base64.b64decode(body, validate=True), "application/octet-stream"
        except (binascii.Error, ValueError) as error:
            raise Unserialisable(f"isBase64Encoded is true, but body is not base64: {error}") from None
    if body is None:
        return b"", None
    if isinstance(body, str):
        return utf8(body), "application/json"
    if isinstance(body, (bytes, bytearray, memoryview)):
        return flat(body), "application/octet-stream"
    return dump(body, "the result['body']"), "application/json"


def response(value):
    """(meta, body) of a result with "statusCode"; of one whose body is a stream (Head, iterator). Errors: Unserialisable,
    TooLarge."""
    status = _status(value["statusCode"])
    headers = _headers(value)
    if is_stream(value.get("body")):
        if value.get("isBase64Encoded"):
            raise Unserialisable("isBase64Encoded is true, but body is a stream: let it give bytes")
        return Head(status, headers, _cookies(value.get("cookies"))), value["body"]
    body, content_type = _body(value)
    if content_type and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(["content-type", content_type])
    return Head(status, headers, _cookies(value.get("cookies"))).meta(), body
