"""A function in C++ (runtime: native): a shared library of the package, loaded into the zygote, called by the instances.

The library is user code as a Python module is: everything around it (walls, forks, the channel, logs, limits) is that of a
Python function. _native calls it; what it tells comes back to an Answer. What a hook or a handler throws is a Reported.
"""

import os
import struct
import sys

from . import machines, results, trace, web

_ABI = 1
_SHARED = 3  # ET_DYN
_HEAD_BYTES = 64  # Elf64_Ehdr


def _text(data):
    return data.decode("utf-8", "replace")


class Answer:
    """What the library says of one call, or of a hook (without a stream)."""

    __slots__ = ("stream", "_said", "failure", "raised")

    def __init__(self, stream=None):
        self.stream = stream
        self._said = False  # a whole answer
        self.failure = None
        self.raised = None  # by what the library called, where _native.serve has called the library

    def _head(self, status, headers):
        if self.stream is None or self.stream.head is not None:
            self.twice()
        given = [results._header(_text(name), web.header_text(value)) for name, value in headers]
        self.stream.head = results.Head(results._status(status), given)

    def twice(self):
        raise results.Unserialisable("the handler answered twice: a stream is ended by returning its end()")

    def begin(self, status, headers):
        self._head(status, headers)
        return self.stream.wants_no_more

    def piece(self, data):
        if self._said:
            self.twice()
        if self.stream is None or self.stream.head is None:
            raise results.Unserialisable("a piece of a stream that was not begun")
        if not self.stream.began:
            self.stream.head.set_type_for(data)
        self.stream.send(data)
        return self.stream.wants_no_more

    def whole(self, status, headers, body):
        self._head(status, headers)
        self.stream.whole = body
        self._said = True
        return False

    def failed(self, kind, message):
        self.failure = trace.Reported(_text(kind)[:256], trace.cut(_text(message), trace.MESSAGE_CHARACTERS))
        return False

    def check(self):
        """Errors: trace.Reported."""
        error, self.raised, self.failure = self.raised or self.failure, None, None
        try:
            if error is not None:
                raise error
        finally:
            del error  # its traceback holds this frame

    def finish(self):
        """When the handler has returned. Errors: what a callback raised; trace.Reported; results.Unserialisable."""
        self.check()
        if self.stream.head is None:
            raise results.Unserialisable("the handler gave no answer: end() of a stream was returned that was not begun")


def _ends_beyond(file, head):
    """Whether a 64-bit little-endian file is shorter than its segments: of such a one the loader dies by SIGBUS."""
    table, entry, count = *struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54)
    size = os.fstat(file.fileno()).st_size
    if head[4:6] != b"\2\1" or entry < 56:
        return False
    if table + entry * count > size:
        return True
    file.seek(table)
    segments = file.read(entry * count)
    places = (struct.unpack_from("<Q16xQ", segments, at + 8) for at in range(0, entry * count, entry))
    return any(offset + stored > size for offset, stored in places)


def misfit(path):
    """Why a file cannot be a library of this machine, or an empty text. What the loader says of it is hard to read."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD_BYTES)
            cut_short = len(head) == _HEAD_BYTES and _ends_beyond(file, head)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if len(head) < _HEAD_BYTES or head[:4] != b"\x7fELF":
        return "is no ELF file: build a shared library with ebb_add_function"
    if wrong := machines.misfit(head):
        return wrong
    if int.from_bytes(head[16:18], sys.byteorder) != _SHARED:
        return "is no shared library: build it with -shared, or by ebb_add_function"
    return "is cut short: build it, or copy it, again" if cut_short else ""


class Handler:
    """Has what instance.py wants of a web application, and takes direct calls too."""

    def __init__(self, function, number):
        self._function = function
        self._number = number

    def start(self):
        """The hook of every instance. Errors: LoadError."""
        from . import _native, loading

        answer = Answer()
        try:
            _native.started(self._number, answer)
            answer.check()
        except trace.Reported as error:
            raise loading.LoadError(error.kind, f"the started hook: {error}") from None

    def stop(self):
        pass

    def answer(self, stream, meta, body, context):
        """Errors: trace.Reported; those of stream.Stream."""
        from . import _native

        function = self._function
        answer = Answer(stream)
        headers = []
        method, path, query = "", b"", ""
        is_http = meta["kind"] == "http"
        if is_http:
            request = web.Request(meta, body)
            method, path, query, headers = request.method, request.path, request.query, list(request.headers.items())
        elif meta.get("content_type"):
            headers = [("content-type", meta["content_type"])]
        _native.call(self._number, answer, is_http, method, path, query, headers, body, context.request_id, function.app,
                     function.name, function.version, context.deadline_ms, function.memory_bytes)
        answer.finish()

    def serve(self, sock_fd, buffer, stream_of, look):
        """Calls that need no Python, one after the other. 0 at the channel's end; else the bytes of a frame in `buffer` that does, or the Answer
        of a call whose handler has returned. stream_of(invocation, head_only) -> Stream. Errors: OSError when the daemon has gone."""
        from . import _native

        function = self._function
        return _native.serve(self._number, sock_fd, buffer, lambda *call: Answer(stream_of(*call)), look, function.app, function.name,
                             function.version, function.memory_bytes)


def load(function):
    """The handler, its library loaded and its init run. Errors: loading.LoadError."""
    from . import _native, loading

    function.interface = "native"
    name = os.path.normpath(function.handler)
    path = os.path.join(loading.TASK, name)
    if not os.path.isfile(path):
        present = sorted(entry for entry in os.listdir(loading.TASK) if entry.endswith(".so"))
        listing = ", ".join(present[:8]) or "no .so file"
        raise loading.LoadError("FileNotFoundError", f"the package has no file '{name}': its top has {listing}; build it before ebb deploy")
    if why := misfit(path):
        raise loading.LoadError("ImportError", f"{name} {why}")
    try:
        number, abi = _native.load(path)
    except LookupError:
        raise loading.LoadError("ImportError", f"{name} has no EBB_FUNCTION: write EBB_FUNCTION(handler) in one of its sources") from None
    except OSError as error:
        raise loading.LoadError("ImportError", f"{name} does not load: {error}") from None
    if abi != _ABI:
        raise loading.LoadError("ImportError", f"{name} is built for version {abi} of the interface, this Ebb has {_ABI}: build it anew")
    answer = Answer()
    try:
        _native.init(number, answer)
        answer.check()
    except trace.Reported as error:
        raise loading.LoadError(error.kind, f"{name}: init: {error}") from None
    return Handler(function, number)
