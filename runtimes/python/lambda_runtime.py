"""The AWS Lambda Runtime API (2018-06-01) in an instance (`runtime: lambda`): functions as they run on Lambda, unchanged.

The program asks for an event (invocation/next), which waits until there is one, and posts what comes of it (response or
error). One thread serves it all, and only while there is something to wait for: the program's start, or an invocation;
between those its request lies in the socket. Response streaming as well; extensions, telemetry and SnapStart hooks are
not there and answered 404. What is answered to a runtime that does something wrong is what AWS's emulator answers. The lines
START, END and REPORT are the daemon's (src/node/lambda_log.h), whose clock is the one that bills.
"""

import base64
import json
import os
import re
import selectors
import socket
import time

from . import http_requests, loading, program, results, trace, wire

_HOST = "127.0.0.1"
_ROOT = "/2018-06-01/runtime/"
_LOOK_SECONDS = 0.2  # how often the program is looked at while it says nothing
_PRELUDE_TYPE = "application/vnd.awslambda.http-integration-response"
_PRELUDE_END = bytes(8)
_PRELUDE_BYTES = 256 * 1024
_ERROR_TYPE = "lambda-runtime-function-error-type"  # a header of an error, or a trailer of a stream that failed
_ERROR_BODY = "lambda-runtime-function-error-body"  # a trailer beside it, in base64
_MODE = "lambda-runtime-function-response-mode"
_ANSWER = re.compile(_ROOT + r"invocation/(?P<invocation>[^/]+)/(response|error)")


def _reported(headers, body):
    """What the program says of a failure, as trace.Reported."""
    kind = headers.get(_ERROR_TYPE, "")
    message, stack = "", ()
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        told = body.decode("utf-8", "replace")
    if isinstance(told, dict):
        kind = str(told.get("errorType") or kind)
        message = str(told.get("errorMessage") or "")
        stack = told.get("stackTrace") or told.get("trace") or ()
    elif told:
        message = str(told)
    kind = kind or "Runtime.Unknown"
    lines = [str(line).rstrip("\n") for line in stack] if isinstance(stack, list) else [str(stack)]
    return trace.Reported(kind, message, "\n".join((f"{kind}: {message}", *filter(None, lines))) + "\n")


def _failure_in(trailers):
    """What the program says of a stream that failed on the way, as trace.Reported; None where it did not."""
    if not trailers.get(_ERROR_TYPE):
        return None
    try:
        body = base64.b64decode(trailers.get(_ERROR_BODY, ""), validate=True)
    except ValueError:
        body = b""  # its type stands, as on Lambda
    return _reported(trailers, body or b"the program failed in the middle of its stream")


def _trace_header(traceparent):
    """The trace in the form that Lambda's clients read: 00-TRACE-SPAN-FLAGS as X-Ray writes it."""
    if traceparent is None:
        return ()
    _, trace_id, span, flags = traceparent.split("-")[:4]
    sampled = int(flags, 16) & 1
    return (("Lambda-Runtime-Trace-Id", f"Root=1-{trace_id[:8]}-{trace_id[8:]};Parent={span};Sampled={sampled}"),)


class Invocation:
    """One event and what the program has said of it so far."""

    def __init__(self, request_id, payload, headers):
        self.request_id = request_id
        self.payload = payload
        self.headers = headers
        self.given = False  # to the program
        self.done = False
        self.failure = None
        self.streams = False
        self.content_type = ""
        self.body = bytearray()  # of the answer: what nobody has taken yet


class Connection:
    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()
        self.request = None
        self.body = bytearray()
        self.feeds = None  # the invocation whose answer the request's body is
        self.refusal = None  # (status, type, message) of the request at hand: the rest of its body is read and dropped

    def reply(self, status, body, headers=()):
        keep_alive = self.request is None or self.request.keep_alive
        self.request = None
        self.sock.sendall(http_requests.answer(status, body, headers, keep_alive))
        if not keep_alive:
            raise http_requests.BadRequest("the last request on its connection")

    def refuse(self, status, kind, message):
        text = json.dumps({"errorMessage": message, "errorType": kind}).encode()
        self.reply(status, text, (("content-type", "application/json"),))

    def accept(self):
        self.reply("202 Accepted", b'{"status":"OK"}\n', (("content-type", "application/json"),))


class RuntimeApi:
    """Listens when constructed."""

    def __init__(self):
        self._listener = socket.create_server((_HOST, 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._waiting = None  # the connection that asks for the next event
        self._initialised = False  # it has asked for one
        self._offered = None  # the invocation that the next event is of
        self.invocation = None  # the last that it was given: what it still says is of that one
        self.init_failure = None

    @property
    def address(self):
        return f"{_HOST}:{self._listener.getsockname()[1]}"

    @property
    def is_ready(self):
        return self._waiting is not None

    def close(self):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    def offer(self, invocation):
        self._offered = invocation
        self._give()

    def _give(self):
        if self._waiting is None or self._offered is None:
            return
        connection, self._waiting = self._waiting, None
        self.invocation, self._offered = self._offered, None
        self.invocation.given = True
        try:
            connection.reply("200 OK", self.invocation.payload, self.invocation.headers)
        except (OSError, http_requests.BadRequest):
            self._forget(connection)

    def turn(self, seconds):
        """Serves what has come, or comes within that time."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listener:
                sock, _ = self._listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._selector.register(sock, selectors.EVENT_READ, Connection(sock))
                continue
            try:
                self._read(key.data)
            except (OSError, http_requests.BadRequest):
                self._forget(key.data)

    def _forget(self, connection):
        if connection is self._waiting:
            self._waiting = None
        if connection.feeds is not None and not connection.feeds.done:
            self._end(connection, trace.Reported("Runtime.TruncatedResponse", "the program broke its answer off"))
        self._selector.unregister(connection.sock)
        connection.sock.close()

    def _read(self, connection):
        data = connection.sock.recv(wire.STREAM_PIECE_BYTES)
        if not data:
            raise http_requests.BadRequest("the end")
        connection.buffer += data
        while connection is not self._waiting:
            if connection.request is None:
                connection.request = http_requests.next_request(connection.buffer)
                if connection.request is None:
                    return
                connection.body = bytearray()
                self._begin(connection)
            self._feed(connection, connection.request.take(connection.buffer))
            if not connection.request.complete:
                return
            self._take(connection)

    def _begin(self, connection):
        request = connection.request
        if request.wants_continue:
            connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._is_answer(request, "response"):
            return
        connection.feeds = self.invocation
        mode = request.headers.get(_MODE, "")
        if mode not in ("", "streaming"):
            connection.refusal = ("400 Bad Request", "InvalidFunctionResponseMode", "Invalid function response mode")
            wrong = f"Lambda-Runtime-Function-Response-Mode is {mode!r:.100}: streaming, or no such header, is wanted"
            self._end(connection, trace.Reported("Runtime.InvalidResponseModeHeader", wrong))
            return
        self.invocation.streams = mode == "streaming"
        self.invocation.content_type = request.headers.get("content-type", "")

    def _is_answer(self, request, kind):
        """Whether it is the program's word on the invocation at hand."""
        current = self.invocation
        return (
            request.method == "POST" and current is not None and not current.done
            and request.path == f"{_ROOT}invocation/{current.request_id}/{kind}"
        )

    def _owes_answer(self):
        return self.invocation is not None and not self.invocation.done

    def _feed(self, connection, data):
        if connection.refusal:
            return
        target = connection.body if connection.feeds is None else connection.feeds.body
        target += data
        streams = connection.feeds is not None and connection.feeds.streams
        if streams or len(target) <= wire.FRAME_BODY_BYTES:
            return
        connection.refusal = ("413 Payload Too Large", "RequestEntityTooLarge", f"the body is longer than {wire.FRAME_BODY_BYTES} bytes")
        target.clear()
        if connection.feeds is not None:
            limit = f"the answer is longer than {wire.FRAME_BODY_BYTES} bytes: stream it"
            self._end(connection, trace.Reported("Function.ResponseSizeTooLarge", limit))

    def _end(self, connection, failure=None):
        invocation, connection.feeds = connection.feeds, None
        invocation.failure = failure
        invocation.done = True

    def _take(self, connection):
        """A request that is complete."""
        request = connection.request
        if connection.refusal:
            refusal, connection.refusal = connection.refusal, None
            connection.refuse(*refusal)
        elif connection.feeds is not None:
            self._end(connection, _failure_in(request.trailers))
            connection.accept()
        elif request.method == "GET" and request.path == _ROOT + "invocation/next":
            self._take_next(connection)
        elif self._is_answer(request, "error"):
            self.invocation.failure = _reported(request.headers, connection.body)
            self.invocation.done = True
            connection.accept()
        elif request.method == "POST" and request.path == _ROOT + "init/error":
            self._take_init_error(connection)
        elif request.method == "GET" and request.path == "/2018-06-01/ping":
            connection.reply("200 OK", b"pong")
        elif request.method == "POST" and (answers := _ANSWER.fullmatch(request.path)):
            self._refuse_answer(connection, answers["invocation"])
        else:
            connection.refuse("404 Not Found", "NotFound", f"{request.method} {request.path} is not served here")

    def _take_next(self, connection):
        self._initialised = True
        if self._owes_answer():  # the same event again, as on Lambda: the answer with it may not have arrived
            connection.reply("200 OK", self.invocation.payload, self.invocation.headers)
        else:
            self._waiting = connection
            self._give()

    def _take_init_error(self, connection):
        if self._initialised:
            connection.refuse("403 Forbidden", "InvalidStateTransition", "the runtime has asked for an event: its init is over")
        else:
            self.init_failure = _reported(connection.request.headers, connection.body)
            connection.accept()

    def _refuse_answer(self, connection, request_id):
        if self.invocation is None or self.invocation.request_id != request_id:
            connection.refuse("400 Bad Request", "InvalidRequestID", "Invalid request ID")
        else:
            connection.refuse("403 Forbidden", "InvalidStateTransition", f"{request_id} has its answer")


class Handler:
    """Called with (event, context) as a Python function is; behind it the program."""

    def __init__(self, function):
        self._function = function
        self._words = program.words_of(function)
        self._command = program.name_of(function) or loading.TASK + "/bootstrap"
        if not self._words:
            program.check_file(self._command)
            self._words = [self._command]
        self._api = None
        self._program = None

    def start(self):
        """Starts the program and waits until it asks for an event. Errors: loading.LoadError."""
        began = time.monotonic()
        self._api = RuntimeApi()
        self._program = program.Program(self._function, self._words, self._env())
        limit = began + program.START_SECONDS
        while not self._api.is_ready:
            self._api.turn(_LOOK_SECONDS)
            if self._api.init_failure is not None:
                failure = self._api.init_failure
                raise loading.LoadError(failure.kind, str(failure), failure.trace)
            self._program.fail_if_ended()
            if time.monotonic() > limit:
                raise loading.LoadError(
                    "NotReady",
                    f"`{self._command}` has not asked for an event after {program.START_SECONDS:.0f} s: a runtime's first step is "
                    f"GET http://$AWS_LAMBDA_RUNTIME_API{_ROOT}invocation/next",
                )

    def stop(self):
        if self._program is not None:
            self._program.stop()
            self._program = None
        if self._api is not None:
            self._api.close()
            self._api = None

    def _env(self):
        function = self._function
        env = {
            "AWS_LAMBDA_RUNTIME_API": self._api.address,
            "_HANDLER": function.handler,
            "LAMBDA_TASK_ROOT": loading.TASK,
            "LAMBDA_RUNTIME_DIR": "/var/runtime",
            "AWS_LAMBDA_FUNCTION_NAME": function.name,
            "AWS_LAMBDA_FUNCTION_VERSION": function.version,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_bytes >> 20),
            "AWS_LAMBDA_LOG_GROUP_NAME": f"/ebb/{function.app}/{function.name}",
            "AWS_LAMBDA_LOG_STREAM_NAME": f"[{function.version}]",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        }
        defaults = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1", "TZ": ":UTC"}
        return {**{name: value for name, value in defaults.items() if name not in os.environ}, **env}

    def __call__(self, event, context):
        """What the program answers, parsed. Errors: trace.Reported, trace.Ended; results.TooLarge."""
        headers = (
            ("content-type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", context.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(context.deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", context.invoked_function_arn),
            *_trace_header(context.traceparent),
        )
        payload = event if isinstance(event, bytes) else results.dump(event, "the event")
        invocation = Invocation(context.request_id, payload, headers)
        self._api.turn(0)  # hears of connections that the program has closed since
        self._api.offer(invocation)
        while not invocation.done and not invocation.streams:
            self._turn(invocation)
        if invocation.streams:
            return self._streamed(invocation)
        if invocation.failure is not None:
            raise invocation.failure
        return _value_of(bytes(invocation.body))

    def _turn(self, invocation):
        if invocation.given or self._program.ended() is None:
            self._api.turn(_LOOK_SECONDS)
        if invocation.done or self._program.ended() is None:
            return
        if invocation.given:
            trace.report("Runtime.ExitError: the runtime exited before it answered\n")
            self._program.end_like_it()
        # It ended after the answer before, as Go's does after a panic: it never saw this event. Lambda starts it anew too.
        try:
            self.stop()
            self.start()
        except loading.LoadError as error:
            raise trace.Ended(error.kind, str(error), error.trace) from None
        self._api.offer(invocation)

    def _streamed(self, invocation):
        """The answer as a result with a stream for a body."""
        result = {"statusCode": 200, "headers": {"content-type": invocation.content_type or "application/octet-stream"}}
        if invocation.content_type.partition(";")[0].strip() == _PRELUDE_TYPE:
            result = self._prelude(invocation)
        return {**result, "body": self._pieces(invocation)}

    def _prelude(self, invocation):
        while (end := invocation.body.find(_PRELUDE_END)) < 0:
            if invocation.done or len(invocation.body) > _PRELUDE_BYTES:
                raise invocation.failure or trace.Reported(
                    "Runtime.InvalidPrelude", "the streamed answer does not begin with JSON and eight NUL bytes"
                )
            self._turn(invocation)
        try:
            prelude = json.loads(bytes(invocation.body[:end]))
            status = prelude.get("statusCode", 200)
        except (ValueError, AttributeError, RecursionError):
            raise trace.Reported("Runtime.InvalidPrelude", "the streamed answer's head is not a JSON object") from None
        del invocation.body[: end + len(_PRELUDE_END)]
        known = ("headers", "multiValueHeaders", "cookies")
        return {"statusCode": status, **{name: prelude[name] for name in known if prelude.get(name) is not None}}

    def _pieces(self, invocation):
        while True:
            if invocation.body:
                piece = bytes(invocation.body)
                invocation.body.clear()
                yield piece
            elif invocation.done:
                break
            else:
                self._turn(invocation)
        if invocation.failure is not None:
            raise invocation.failure


def _value_of(body):
    """JSON, or what it is if it is none."""
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body
