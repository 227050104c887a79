"""Between frames and what a handler sees: events in, results out, both as `json` and AWS function URLs know them.

In. kind "http": the event (payload version 2.0) with "body" and "isBase64Encoded" added: text types, and valid UTF-8 of
no stated type, as str; all else in base64; no "body" key when there is none. kind "direct": the payload's JSON when its
type ("content_type") is JSON, or not stated and it is JSON; None when there is none; else bytes. kind "timer": the same,
and the request that a web application gets instead.

Out. {"statusCode": ...} is a whole HTTP response (application/json unless it says otherwise, as in AWS). Any other
value is the body: str as text/plain (AWS says application/json for every string), bytes as application/octet-stream,
None as an empty body, the rest as JSON. For a direct call the value is JSON, or bytes as they are; nothing in it is
interpreted.

An iterator or async iterator (a generator, say), alone or as the body of {"statusCode": ...}, is a stream: it is sent
piece by piece as it gives them, by instance.py and stream.py; the same for both kinds.
"""

import base64
import json

from . import results, wire

_decode = json.JSONDecoder().decode

_TEXT_TYPES = frozenset(
    (
        "application/json",
        "application/xml",
        "application/javascript",
        "application/x-javascript",
        "application/x-www-form-urlencoded",
        "application/x-ndjson",
        "application/yaml",
        "application/graphql",
    )
)


class BadPayload(Exception):
    """The payload says it is JSON and is not."""


def _media_type(headers):
    value = headers.get("content-type") if headers else None
    return value.partition(";")[0].strip().lower() if value else ""


def _is_text(media_type):
    return media_type in _TEXT_TYPES or media_type.startswith("text/") or media_type.endswith(("+json", "+xml"))


def _http_event(event, body):
    if not body:
        event["isBase64Encoded"] = False
        return event
    media_type = _media_type(event.get("headers"))
    if not media_type or _is_text(media_type):
        try:
            event["body"] = body.decode("utf-8")
            event["isBase64Encoded"] = False
            return event
        except UnicodeDecodeError:
            pass  # text in another encoding arrives as it is
    event["body"] = base64.b64encode(body).decode("ascii")
    event["isBase64Encoded"] = True
    return event


def _direct_event(meta, body):
    media_type = (meta.get("content_type") or "").partition(";")[0].strip().lower()
    stated = media_type == "application/json" or media_type.endswith("+json")
    if not body:
        if stated:
            raise BadPayload("the payload is empty, its type is JSON: send {} or no content type")
        return None
    if media_type and not stated:
        return body
    try:
        return _decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        if stated:
            raise BadPayload("the payload is not UTF-8, its type is JSON") from None
    except (ValueError, RecursionError) as error:
        if stated:
            raise BadPayload(f"the payload is not JSON, though its type says so: {error}") from None
    return body


def event_of(meta, body):
    """The event of a kInvoke frame. `body` is bytes. Errors: BadPayload."""
    if meta["kind"] == "http":
        return _http_event(meta["event"], body)
    return _direct_event(meta, body)


_META_JSON = b'{"status":200,"headers":[["content-type","application/json"]],"cookies":[]}'
_META_TEXT = b'{"status":200,"headers":[["content-type","text/plain; charset=utf-8"]],"cookies":[]}'
_META_BYTES = b'{"status":200,"headers":[["content-type","application/octet-stream"]],"cookies":[]}'
_META_EMPTY = b'{"status":200,"headers":[],"cookies":[]}'


def frame_of(kind, value):
    """(meta, body) of a kResult frame; of a stream (results.Head, iterator).
    Errors: results.Unserialisable, results.TooLarge."""
    if kind == "http":
        if type(value) is dict and "statusCode" in value:
            meta, body = results.response(value)
            if type(meta) is results.Head:
                return meta, body
        elif type(value) is str:
            meta, body = _META_TEXT, results.utf8(value)
        elif isinstance(value, (bytes, bytearray, memoryview)):
            meta, body = _META_BYTES, results.flat(value)
        elif value is None:
            meta, body = _META_EMPTY, b""
        elif results.is_stream(value):
            return results.Head(), value
        else:
            meta, body = _META_JSON, results.dump(value)
    elif isinstance(value, (bytes, bytearray, memoryview)):
        meta, body = _META_BYTES, results.flat(value)
    elif results.is_stream(value):
        return results.Head(), value
    elif type(value) is dict and "statusCode" in value and results.is_stream(value.get("body")):
        return results.response(value)  # no JSON could hold it
    else:
        meta, body = _META_JSON, results.dump(value)
    if len(body) > wire.FRAME_BODY_BYTES:
        raise results.TooLarge(
            f"the result is {len(body)} bytes, the limit is {wire.FRAME_BODY_BYTES}: "
            "put it into object storage and return where it is"
        )
    return meta, body
