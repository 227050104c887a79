"""Several calls of an ASGI application at a time (`concurrency` above 1): each comes over a connection of its own to a port on
the instance's loopback, with the same frames as on the channel. All of them run on one event loop. A connection that ends
before its call is answered says that the client has left.

1. What a call prints, from whatever task or thread it started that has its context, goes over its own connection, so that
   the log knows whose it is. All else (C libraries, other processes, what is printed after the answer) goes to the streams
   as ever.
2. Who connects is the daemon, or code of the same function: what is no frame closes its connection and nothing else.
"""

import asyncio
import contextvars
import io
import json
import os
import socket
import sys
import threading

from . import results, stream, trace, web, wire
from .context import Context

_HOST = "127.0.0.1"
_ACCEPTS_WAITING = 256

_present = contextvars.ContextVar("ebb_call")  # the _Call that the running code belongs to


class _Output(io.TextIOWrapper):
    """sys.stdout, or sys.stderr, that knows whose words they are."""

    def __init__(self, kind, stream):
        super().__init__(stream.detach(), encoding="utf-8", errors="backslashreplace", line_buffering=True)
        self._kind = kind

    def write(self, text):
        call = _present.get(None)
        if call is None or not call.open or not isinstance(text, str):
            return super().write(text)
        call.say(self._kind, text)
        return len(text)

    def flush(self):
        call = _present.get(None)
        if call is not None and call.open:
            call.say(self._kind, "", whole=True)
        super().flush()


def share_output():
    """Before user code is imported: what logs keeps the stream that it finds."""
    sys.stdout = sys.__stdout__ = _Output(wire.OUT, sys.stdout)
    sys.stderr = sys.__stderr__ = _Output(wire.ERR, sys.stderr)


class _Answer(stream.Stream):
    """On a connection of the event loop's."""

    def __init__(self, connection, invocation, head_only):
        super().__init__(None, invocation, head_only)
        self._connection = connection

    def _send_frame(self, kind, meta, body):
        self._connection.send(kind, self.invocation, meta, body)

    async def _send_frame_async(self, kind, meta, body):
        self._connection.send(kind, self.invocation, meta, body)
        await self._connection.drained()


class _Call:
    def __init__(self, server, connection, invocation):
        self._server = server
        self._connection = connection
        self.invocation = invocation
        self.open = True  # somebody waits for its answer
        self.over = asyncio.Event()  # answered, or left by its client
        self._partial = {wire.OUT: "", wire.ERR: ""}

    def say(self, kind, text, whole=False):
        """What it prints: line by line, or, where it is whole so far, at once. From any thread."""
        if threading.get_ident() == self._server.thread:
            self._say(kind, text, whole)
        else:
            self._server.loop.call_soon_threadsafe(self._say, kind, text, whole)

    def _say(self, kind, text, whole):
        if not self.open:  # a thread's words, overtaken by the answer
            (sys.stdout if kind == wire.OUT else sys.stderr).write(text)
            return
        lines, newline, rest = (self._partial[kind] + text).rpartition("\n")
        if whole:
            newline, rest = newline + rest, ""
        self._partial[kind] = rest
        try:
            for part in stream.parts((lines + newline).encode("utf-8", "backslashreplace")):
                if part:
                    self._connection.send(kind, self.invocation, b"", part)
        except stream.Gone:
            pass

    def close(self):
        """Its words are out; what it prints from here on is nobody's."""
        for kind in self._partial:
            self._say(kind, "", True)
        self.open = False

    def fail(self, kind, type_name, message, trace_text=""):
        if self.open:
            trace.report(trace_text or f"{message}\n")
            self.close()
            self._connection.send(wire.ERROR, self.invocation, results.error_meta(kind, type_name, message, trace_text), b"")

    def leave(self):
        """Its client has gone."""
        self.open = False
        self.over.set()


class _Connection(asyncio.Protocol):
    def __init__(self, server):
        self._server = server
        self._came = bytearray()
        self._transport = self._call = None
        self._room = None  # a future, while the kernel takes no more

    def connection_made(self, transport):
        self._transport = transport

    def connection_lost(self, error):
        self._transport = None
        self.resume_writing()
        if self._call is not None:
            self._call.leave()

    def pause_writing(self):
        self._room = self._server.loop.create_future()

    def resume_writing(self):
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def drained(self):
        """Errors: stream.Gone."""
        while self._room is not None:
            await asyncio.shield(self._room)
        if self._transport is None:
            raise stream.Gone("the client has left")

    def send(self, kind, invocation, meta, body):
        """Errors: stream.Gone."""
        if self._transport is None or self._transport.is_closing():
            raise stream.Gone("the client has left")
        header = wire.FRAME.pack(wire.FRAME_MAGIC, wire.FRAME_VERSION, kind, len(meta), len(body), invocation)
        self._transport.writelines((header, meta, body))

    def data_received(self, data):
        self._came += data
        try:
            self._read()
        except (wire.ProtocolError, ValueError):
            self._transport.abort()

    def _read(self):
        if len(self._came) < wire.FRAME.size:
            return
        meta_bytes, body_bytes, invocation = wire.read_frame_header(self._came)
        body_at = wire.FRAME.size + meta_bytes
        total = body_at + body_bytes
        if len(self._came) < total:
            return
        if len(self._came) > total or (self._call is not None and self._call.open):
            raise wire.ProtocolError("bytes behind a frame")
        meta = json.loads(self._came[wire.FRAME.size : body_at])
        body = bytes(memoryview(self._came)[body_at:])
        self._came = bytearray()
        self._call = _Call(self._server, self, invocation)
        answer = _Answer(self, invocation, "head_only" in meta)
        self._server.run(self._call, answer, meta, body)


class Server:
    """`application`: an asgi.Application, whose calls run on `event_loop`; `end`: ends the process."""

    def __init__(self, function, application, event_loop, end):
        self._function = function
        self._application = application
        self._event_loop = event_loop
        self._end = end
        self._pid = os.getpid()
        self._tasks = set()
        self._listener = None
        self.loop = self.thread = None

    def start(self):
        """As those of services. Errors: loading.LoadError."""
        self._application.start()
        self._listener = socket.create_server((_HOST, 0), backlog=_ACCEPTS_WAITING)

    @property
    def port(self):
        return self._listener.getsockname()[1]

    def stop(self):
        self._application.stop()

    def serve(self, channel):
        """Until the channel ends."""
        self.thread = threading.get_ident()
        self._event_loop.run(self._serve(channel))

    async def _serve(self, channel):
        self.loop = asyncio.get_running_loop()
        await self.loop.create_server(lambda: _Connection(self), sock=self._listener, backlog=_ACCEPTS_WAITING)
        ended = self.loop.create_future()
        self.loop.add_reader(channel.fileno(), lambda: ended.done() or ended.set_result(None))  # nothing else comes on it
        await ended
        self.loop.remove_reader(channel.fileno())

    def run(self, call, answer, meta, body):
        task = self.loop.create_task(self._run(call, answer, meta, body))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, call, answer, meta, body):
        _present.set(call)
        try:
            await self._answer(call, answer, meta, body)
        except stream.Gone:
            pass
        except results.TooLarge as error:
            call.fail("too_large", type(error).__name__, str(error))
        except results.Unserialisable as error:
            call.fail("unserialisable", type(error).__name__, str(error))
        except BaseException as error:
            if os.getpid() != self._pid:  # a worker that the application forked
                os._exit(1)
            ends = not isinstance(error, (Exception, asyncio.CancelledError))
            call.fail("ended" if ends else "raised", trace.type_name(error), trace.message_of(error), trace.trace_of(error))
            if ends:
                self._end(1)

    async def _answer(self, call, answer, meta, body):
        if meta["kind"] == "direct":
            refusal = web.WrongCall(self._function)
            call.fail("wrong_call", type(refusal).__name__, str(refusal))
            return
        await self._application.exchange(answer, web.Request(meta, body), Context(self._function, meta), call.over)
        if os.getpid() != self._pid:
            os._exit(0)
        if call.open:
            call.close()
            answer.end()
