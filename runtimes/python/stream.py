"""A streamed answer on its way to the daemon: the head with the first piece, then each piece as it comes, then the end.

1. Nothing is sent before there is a piece, so what fails before it is an ordinary error, and a stream without a piece is
   an ordinary answer.
2. A piece is on its way when the call that sends it returns. Where the daemon takes no more, because the client does not,
   the call waits: that is what holds the function up. In a coroutine only that coroutine waits.
3. Where the answer goes out without its body (HEAD, 204, 304) pieces are dropped; `wants_no_more` says so.
"""

from . import results, wire


class Gone(OSError):
    """The daemon has closed the channel: nobody reads the answer any more."""


def parts(data):
    """Bytes-like in pieces that fit a frame."""
    if len(data) <= wire.STREAM_PIECE_BYTES:
        return (data,)
    view = memoryview(data)
    return (view[at : at + wire.STREAM_PIECE_BYTES] for at in range(0, len(view), wire.STREAM_PIECE_BYTES))


class Stream:
    """`head` may be set until the first piece is sent. Used by one invocation."""

    def __init__(self, sock, invocation, head_only, head=None):
        self._sock = sock
        self.invocation = invocation
        self._head_only = head_only
        self._lock = None
        self.head = head
        self.whole = b""  # all of the answer, where it is known before anything was sent
        self.began = False  # something was sent

    @property
    def wants_no_more(self):
        return self._head_only or self.head.status in (204, 304)

    def _next(self, data):
        """The frames for some bytes, the head among them when it has not gone out."""
        for part in parts(data):
            if self.began:
                yield wire.PIECE, b"", part
            else:
                meta = self.head.meta()
                self.began = True
                yield wire.STREAM, meta, part

    def send(self, data):
        """Bytes-like. Errors: Gone; of the head results.Unserialisable, results.TooLarge."""
        if not len(data) or self.wants_no_more:
            return
        for kind, meta, part in self._next(data):
            self._send_frame(kind, meta, part)

    async def send_async(self, data):
        """The same without holding up the event loop."""
        import asyncio

        if not len(data) or self.wants_no_more:
            return
        if self._lock is None:
            self._lock = asyncio.Lock()
        async with self._lock:  # frames of two tasks must not mix
            for kind, meta, part in self._next(data):
                await self._send_frame_async(kind, meta, part)

    def end(self):
        """The answer is complete. Errors: as send."""
        whole = self.whole
        if self.began:
            return self._send_frame(wire.END, b"", b"")
        if self.wants_no_more and self._head_only:
            # Its length is that of an answer to GET, where the head says so; else nobody knows it.
            self._send_frame(wire.STREAM, self.head.meta(), b"")
            return self._send_frame(wire.END, b"", b"")
        if self.wants_no_more:
            whole = b""
        if len(whole) <= wire.FRAME_BODY_BYTES:
            return self._send_frame(wire.RESULT, self.head.meta(), whole)
        self.send(whole)
        return self._send_frame(wire.END, b"", b"")

    def _send_frame(self, kind, meta, body):
        try:
            wire.send_frame(self._sock, kind, self.invocation, meta, body)
        except OSError as error:
            raise Gone(error.errno, "the channel is closed") from None

    async def _send_frame_async(self, kind, meta, body):
        try:
            rest = wire.send_frame_now(self._sock, kind, self.invocation, meta, body)
            while rest:
                await _writable(self._sock)
                rest = wire.send_now(self._sock, rest)
        except OSError as error:
            raise Gone(error.errno, "the channel is closed") from None


async def _writable(sock):
    import asyncio

    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_writer(sock.fileno(), lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(sock.fileno())


def _piece(stream, value, number):
    """One piece as bytes-like; the first says what the stream is, where its head does not."""
    data = results.piece(value, number)
    if not stream.began:
        stream.head.set_type_for(value if len(data) else None)
    return data


def pump(stream, source):
    """Sends what an iterator gives, to its end. Errors: the iterator's; results.Unserialisable; Gone."""
    try:
        for number, value in enumerate(source, 1):
            data = _piece(stream, value, number)
            stream.send(data)
            if len(data) and stream.wants_no_more:
                break
    finally:
        if hasattr(source, "close"):
            source.close()


async def pump_async(stream, source):
    """The same for an async iterator."""
    number = 0
    try:
        async for value in source:
            number += 1
            data = _piece(stream, value, number)
            await stream.send_async(data)
            if len(data) and stream.wants_no_more:
                break
    finally:
        if hasattr(source, "aclose"):
            await source.aclose()
