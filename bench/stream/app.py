"""Streams whose pieces say when they were made, and one that is long. `wsgi_app` and `asgi_app` are applications
without a framework."""

import asyncio
import time

PIECES = 2
PAUSE_SECONDS = 0.005
_LARGE = b"x" * 65536


def pieces(event, context):
    for number in range(PIECES):
        if number > 0:
            time.sleep(PAUSE_SECONDS)
        yield f"{time.monotonic_ns()}\n"


def large(event, context):
    for _ in range(int(event["queryStringParameters"]["pieces"])):
        yield _LARGE


def wsgi_app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return (piece.encode() for piece in pieces(None, None))


async def asgi_app(scope, receive, send):
    if scope["type"] != "http":
        raise ValueError("nothing to do at start and end")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for number in range(PIECES):
        if number > 0:
            await asyncio.sleep(PAUSE_SECONDS)
        await send({"type": "http.response.body", "body": b"%d\n" % time.monotonic_ns(), "more_body": True})
    await send({"type": "http.response.body", "body": b""})
