"""What answers the calls of a model alone: `Application`, one call at a time over the channel, or, where calls are to be
put together, `Server`, which listens on a port of the instance's own loopback as a web server of the user's would.

The server is one thread with one selector. While the model runs it reads nothing: what comes meanwhile waits in the
sockets and is together then. Answers go out as the daemon takes them; a slow reader holds up nobody else.
"""

import _thread
import os
import selectors
import socket
import time
from http.client import responses

from . import batching, http_requests, oip, results, trace
from .model import Model, RunFailed

_HOST = "127.0.0.1"
_READ_BYTES = 256 * 1024
_ACCEPTS_WAITING = 256


def service_of(function):
    """What stands for the handler; sets the function's interface. Errors: loading.LoadError."""
    model = Model(function.model)
    protocol = oip.Protocol(model, function.name, function.version, function.platform)
    if function.batch_size > 1:
        batching.check(model)
        function.interface = "server"
        return Server(model, protocol, function)
    function.interface = "model"
    return Application(model, protocol)


def _failed(failed):
    if failed.by_input:
        return oip.Refusal(400, f"the model does not take this input: {failed}").answer()
    return oip.Refusal(500, f"the model failed: {failed}").answer()


def answer_of(inference, outputs, headers=()):
    """An oip.Answer. `outputs` may be why there are none."""
    if isinstance(outputs, RunFailed):
        return _failed(outputs)
    try:
        return inference.answer(outputs, headers)
    except oip.Refusal as refusal:
        return refusal.answer()


class Application:
    """As wsgi.Application is to instance.Instance."""

    def __init__(self, model, protocol):
        self._model = model
        self._protocol = protocol

    def start(self):
        pass

    def stop(self):
        pass

    def _respond(self, request):
        try:
            asked = self._protocol.read(request.method, request.raw_path, request.headers, request.body)
            if isinstance(asked, oip.Answer):
                return asked
            return asked.answer(self._model.run(asked.feeds, asked.names))
        except oip.Refusal as refusal:
            return refusal.answer()
        except RunFailed as failed:
            return _failed(failed)

    def answer(self, answer, request, context):
        """Errors: those of stream.Stream."""
        made = self._respond(request)
        answer.head = results.Head(made.status, made.headers)
        answer.whole = made.body


class _Connection:
    """One to the daemon: one request at a time."""

    def __init__(self, sock):
        self.sock = sock
        self.came = bytearray()
        self.to_go = memoryview(b"")
        self.request = None  # its head is here
        self.body = bytearray()
        self.asked = None  # its question waits for a run
        self.ends = False  # with the answer that goes out

    @property
    def events(self):
        return selectors.EVENT_WRITE if self.to_go else selectors.EVENT_READ


class Server:
    def __init__(self, model, protocol, function):
        self._model = model
        self._protocol = protocol
        self._gatherer = batching.Gatherer(function.batch_size, function.batch_window_ms / 1000)
        self._listener = self._selector = None
        self._waiting = {}  # Inference -> _Connection

    def start(self):
        self._listener = socket.create_server((_HOST, 0), backlog=_ACCEPTS_WAITING)
        self._listener.setblocking(False)

    @property
    def port(self):
        return self._listener.getsockname()[1]

    def end_with_it(self):
        """From here on it serves, and this process ends when it does not."""
        _thread.start_new_thread(self._serve, ())

    def stop(self):
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _serve(self):
        try:
            self._selector = selectors.DefaultSelector()
            self._selector.register(self._listener, selectors.EVENT_READ)
            while True:
                self._turn()
        except BaseException as error:
            trace.report(trace.trace_of(error) or f"{error!r}\n")
            os._exit(1)

    def _turn(self):
        for key, _ in self._selector.select(self._gatherer.seconds_left(time.monotonic())):
            if key.fileobj is self._listener:
                self._accept()
                continue
            try:
                self._go_on(key.data)
            except (OSError, http_requests.BadRequest):
                self._close(key.data)
        while items := self._gatherer.take(time.monotonic()):
            rows = sum(batching.rows_of(item.feeds) or 0 for item in items)
            for item, outputs, together in batching.run(self._model, items):
                told = f"calls={together}, rows={rows if together > 1 else batching.rows_of(item.feeds) or 0}"
                self._answer(self._waiting.pop(item), answer_of(item, outputs, [["ebb-batch", told]]))

    def _accept(self):
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return  # it has left again
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._selector.register(sock, selectors.EVENT_READ, _Connection(sock))

    def _close(self, connection):
        if connection.asked is not None and self._waiting.pop(connection.asked, None):
            self._gatherer.remove(connection.asked)
        self._selector.unregister(connection.sock)
        connection.sock.close()

    def _go_on(self, connection):
        """Errors: OSError, BadRequest: the connection is of no more use."""
        if connection.to_go:
            self._send(connection)
            return
        part = connection.sock.recv(_READ_BYTES)
        if not part or connection.asked is not None:
            raise ConnectionResetError  # it gave up, or does not wait for the answer
        connection.came += part
        self._read(connection)

    def _read(self, connection):
        if connection.request is None:
            connection.request = http_requests.next_request(connection.came)
            connection.body = bytearray()
        request = connection.request
        if request is None:
            return
        connection.body += request.take(connection.came)
        if len(connection.body) > oip.BODY_BYTES:
            raise http_requests.BadRequest("a body larger than any that the daemon passes on")
        if request.complete:
            self._ask(connection, request)

    def _ask(self, connection, request):
        try:
            asked = self._protocol.read(request.method, request.path.partition("?")[0], request.headers, bytes(connection.body))
        except oip.Refusal as refusal:
            asked = refusal.answer()
        connection.body = bytearray()
        if isinstance(asked, oip.Answer):
            self._answer(connection, asked)
            return
        connection.asked = asked
        self._waiting[asked] = connection
        self._gatherer.add(asked, time.monotonic())

    def _answer(self, connection, made):
        request, connection.request, connection.asked = connection.request, None, None
        connection.ends = not request.keep_alive
        line = f"{made.status} {responses.get(made.status, '')}"
        body = made.body
        data = http_requests.answer(line, body, made.headers, request.keep_alive)
        connection.to_go = memoryview(data[: len(data) - len(body)] if request.method == "HEAD" else data)
        try:
            self._send(connection)
        except OSError:
            self._close(connection)

    def _send(self, connection):
        try:
            sent = connection.sock.send(connection.to_go)
        except BlockingIOError:
            sent = 0
        connection.to_go = connection.to_go[sent:]
        if not connection.to_go and connection.ends:
            raise ConnectionResetError
        self._selector.modify(connection.sock, connection.events, connection)
