"""An instance: one forked process that serves the invocations of one function until its channel ends: one at a time, or, of
an ASGI application with `concurrency`, several (several.py).

`Instance.serve` is the warm path: one receive, one send, no allocation of size, nothing looked up that could be bound
before. What it costs is measured by tests/bench_fork.py.
"""

import _socket as _socket_module
import json
import os
import sys
import time

from . import _ebb, asgi, children, events, loading, results, stream, trace, uniqueness, web, wire, wsgi
from .context import Context

CHANNEL_FD = 3
_BUFFER_BYTES = 64 * 1024
_NO_INVOCATION = bytes(16)
_PROTOCOL_FAILED = 112

_scan = json.JSONDecoder().scan_once


class Loop:
    """One event loop for all invocations of an instance, made when the first coroutine comes."""

    def __init__(self):
        self._loop = None

    def run(self, awaitable):
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(awaitable)


def flush():
    """What was written so far goes out before the answer, so that it is read as this invocation's."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass  # closed, or replaced, by the handler: its own affair
    return _ebb.settle()


def leave(status):
    """The end of this process, at once: exit handlers of user code do not run, as they do not when it is killed."""
    flush()
    os._exit(status)


class Instance:
    def __init__(self, sock, function, handler):
        self._sock = sock
        self._function = function
        self._handler = handler
        self._pid = os.getpid()
        self._loop = Loop()
        self._orphans = children.Orphans()
        self._web = self._service = self._several = None
        self.take_handler(handler)

    def take_handler(self, handler):
        """Also when the function was loaded in here, not in a zygote."""
        self._handler = handler
        self._web = self._web_of(self._function)
        self._service = handler if self._function.kind == "lambda" else self._web
        if self._function.interface == "asgi" and self._function.concurrency > 1:
            from . import several

            self._service = self._several = several.Server(self._function, self._web, self._loop, leave)

    def _web_of(self, function):
        """What talks to the user's web application or server, or None for a handler of events."""
        if function.interface == "wsgi":
            return wsgi.Application(self._handler)
        if function.interface == "asgi":
            return asgi.Application(self._handler, self._loop)
        if function.interface in ("server", "model", "native"):
            return self._handler
        return None

    def start(self):
        """What a web application, or a program, does before its first request. Errors: loading.LoadError."""
        if self._service is not None:
            self._service.start()

    def stop(self):
        if self._service is not None:
            self._service.stop()

    def become_node(self, began_ns):
        """Does not return. Errors: loading.LoadError."""
        flush()
        self._handler.become(began_ns)

    def send_error(self, invocation, kind, type_name, message, trace_text=""):
        wire.send_frame(self._sock, wire.ERROR, invocation, results.error_meta(kind, type_name, message, trace_text))

    def _fail(self, invocation, error):
        """Answers with what the handler raised. False when the process must end."""
        text = trace.trace_of(error)
        trace.report(text)
        flush()
        goes_on = isinstance(error, Exception)
        self.send_error(invocation, "raised" if goes_on else "ended", trace.type_name(error), trace.message_of(error), text)
        return goes_on

    def _refuse(self, invocation, kind, error):
        trace.report(f"{error}\n")
        flush()
        self.send_error(invocation, kind, type(error).__name__, str(error))

    def ready(self, init_ns):
        meta = b'{"init_ns":%d}' % init_ns
        if self._function.interface == "server":
            meta = b'{"init_ns":%d,"port":%d}' % (init_ns, self._handler.port)
            self._handler.end_with_it()
        elif self._several is not None:
            meta = b'{"init_ns":%d,"port":%d}' % (init_ns, self._several.port)
        wire.send_frame(self._sock, wire.CHANNEL_READY, _NO_INVOCATION, meta)

    def _receive(self, recv_into, buffer, view, have=0):
        """(meta, body, invocation) of the next frame, of which `have` bytes are there; None when the channel has ended."""
        have = have or recv_into(buffer)
        while have < wire.FRAME.size:
            got = recv_into(view[have:]) if have else 0
            if got == 0:
                return None
            have += got
        meta_bytes, body_bytes, invocation = wire.read_frame_header(buffer)
        body_at = wire.FRAME.size + meta_bytes
        total = body_at + body_bytes
        if total <= have:
            if total < have:
                raise wire.ProtocolError("bytes behind a frame on the channel")
            return _scan(str(view[wire.FRAME.size : body_at], "utf-8"), 0)[0], bytes(view[body_at:have]), invocation
        if have >= body_at:
            meta = str(view[wire.FRAME.size : body_at], "utf-8")
            body = _ebb.read_bytes(CHANNEL_FD, view[body_at:have], body_bytes)
        else:
            meta = _ebb.read_bytes(CHANNEL_FD, view[wire.FRAME.size : have], meta_bytes).decode()
            body = _ebb.read_bytes(CHANNEL_FD, b"", body_bytes)
        return _scan(meta, 0)[0], body, invocation

    def _stream(self, answer, run, *arguments):
        """Lets `run` send a stream, and ends it. False when the process must end."""
        try:
            run(answer, *arguments)
            if os.getpid() != self._pid:
                leave(0)
            zombie = flush()
            answer.end()
        except stream.Gone:
            raise
        except results.TooLarge as error:
            self._refuse(answer.invocation, "too_large", error)
            return True
        except results.Unserialisable as error:
            self._refuse(answer.invocation, "unserialisable", error)
            return True
        except BaseException as error:
            if os.getpid() != self._pid:
                trace.report(trace.trace_of(error))
                leave(1)
            return self._fail(answer.invocation, error)
        if zombie:
            self._orphans.look()
        return True

    def _pump(self, answer, source):
        if hasattr(source, "__next__"):
            stream.pump(answer, source)
        else:
            self._loop.run(stream.pump_async(answer, source))

    def _request(self, meta, body, invocation):
        """A call of a web application, or of a library. False when the process must end."""
        context = Context(self._function, meta)
        answer = stream.Stream(self._sock, invocation, "head_only" in meta)
        if self._function.interface == "native":
            return self._stream(answer, self._web.answer, meta, body, context)
        if meta["kind"] == "direct":  # a timer's call has a request too
            self._refuse(invocation, "wrong_call", web.WrongCall(self._function))
            return True
        return self._stream(answer, self._web.answer, web.Request(meta, body), context)

    def _invoke(self, kind, event, context, invocation, head_only):
        """Runs the handler and answers. False when the process must end."""
        try:
            value = self._handler(event, context)
            if hasattr(value, "__await__"):
                value = self._loop.run(value)
        except BaseException as error:
            if os.getpid() != self._pid:
                trace.report(trace.trace_of(error))
                leave(1)
            return self._fail(invocation, error)
        if os.getpid() != self._pid:
            leave(0)  # a worker that the handler forked came back from it: the answer is its parent's
        try:
            meta, body = events.frame_of(kind, value)
        except results.TooLarge as error:
            self._refuse(invocation, "too_large", error)
            return True
        except results.Unserialisable as error:
            self._refuse(invocation, "unserialisable", error)
            return True
        except Exception as error:  # a str or dict of the user's own class may raise anything
            self._refuse(invocation, "unserialisable", results.Unserialisable(f"the result cannot be read: {error}"))
            return True
        if type(meta) is results.Head:
            value = None
            return self._stream(stream.Stream(self._sock, invocation, head_only, meta), self._pump, body)
        zombie = flush()
        wire.send_frame(self._sock, wire.RESULT, invocation, meta, body)
        if zombie:
            self._orphans.look()
        return True

    def _serve_library(self, buffer):
        """What a library can serve by itself. The bytes in `buffer` of a frame that it cannot; 0 at the channel's end; None when the process must end."""
        def stream_of(invocation, head_only):
            return stream.Stream(self._sock, invocation, bool(head_only))

        while True:
            left = self._web.serve(CHANNEL_FD, buffer, stream_of, self._orphans.look)
            if isinstance(left, int):
                return left
            if os.getpid() != self._pid:
                self._leave_worker(left)
            if not self._stream(left.stream, lambda _, answer: answer.finish(), left):
                return None
            left = None  # the next calls need not share their memory with it

    def _leave_worker(self, answer):
        """A process that the handler forked came back from it: the answer is its parent's."""
        try:
            answer.check()
        except BaseException as error:
            trace.report(trace.trace_of(error))
            leave(1)
        leave(0)

    def serve(self, invocations_max=None):
        """Serves until the channel ends (returns 0), or an invocation ended the process (returns 1)."""
        if self._several is not None:
            self._several.serve(self._sock)
            return 0
        buffer = bytearray(_BUFFER_BYTES)
        view = memoryview(buffer)
        recv_into = self._sock.recv_into
        library = self._function.interface == "native" and invocations_max is None
        have = 0
        while invocations_max is None or invocations_max > 0:
            if invocations_max is not None:
                invocations_max -= 1
            try:
                if library:
                    have = self._serve_library(buffer)
                    if not have:
                        return 0 if have == 0 else 1
                frame = self._receive(recv_into, buffer, view, have)
            except (EOFError, OSError):
                return 0
            if frame is None:
                return 0
            meta, body, invocation = frame
            if self._web is not None:
                frame = None
                try:
                    if not self._request(meta, body, invocation):
                        return 1
                except OSError:
                    return 0
                meta = body = None
                continue
            try:
                event = events.event_of(meta, body)
            except events.BadPayload as error:
                self._refuse(invocation, "raised", error)
                continue
            context = Context(self._function, meta)
            kind, head_only = meta["kind"], "head_only" in meta
            frame = meta = body = None  # the handler alone holds a large body
            try:
                if not self._invoke(kind, event, context, invocation, head_only):
                    return 1
            except OSError:
                return 0  # nobody reads the answer any more
            event = context = None
        return 0


def _socket():
    # The bare class: Python's own around it costs a tenth of a millisecond of page faults in a fresh copy.
    return _socket_module.socket(_socket_module.AF_UNIX, _socket_module.SOCK_STREAM, 0, CHANNEL_FD)


def run(function, handler, hooks, numpy_generators, kept_files, init_ns=0):
    """The life of an instance after its walls are up. Never returns."""
    sock = _socket()
    # A worker process has no business with the channel: it would keep it open, or answer on it.
    os.register_at_fork(after_in_child=sock.close)
    started = time.monotonic_ns()
    instance = Instance(sock, function, handler)
    status = 1
    try:
        uniqueness.renew(numpy_generators)
        uniqueness.renew_files(kept_files)
        try:
            if handler is None:
                instance.take_handler(loading.load(function))
            loading.run_hooks(hooks, "after_restore")
            if function.kind == "node":
                instance.become_node(started - init_ns)
            instance.start()
        except loading.LoadError as error:
            trace.report(error.trace or f"{error.kind}: {error.message}\n")
            flush()
            instance.send_error(_NO_INVOCATION, "init", error.kind, error.message, error.trace)
            leave(1)
        instance.ready(init_ns + time.monotonic_ns() - started)
        status = instance.serve()
        instance.stop()
    except wire.ProtocolError as error:
        trace.report(f"ebb: instance: {error}\n")
        status = _PROTOCOL_FAILED
    except OSError:
        status = 0  # the daemon has closed the channel
    except BaseException as error:
        trace.report(trace.trace_of(error))
    leave(status)
