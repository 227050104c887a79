"""HTTP/1.1 requests as a server on loopback reads them: what came so far goes in, heads and pieces of bodies come out."""

HEAD_BYTES = 64 * 1024


class BadRequest(Exception):
    """The peer does not speak HTTP/1.1 as it should; its connection is of no more use."""


class _Sized:
    def __init__(self, left):
        self._left = left
        self.trailers = {}

    @property
    def done(self):
        return self._left == 0

    def take(self, buffer):
        """Removes from the buffer what belongs to the body, and returns the content."""
        part = bytes(buffer[: self._left])
        del buffer[: len(part)]
        self._left -= len(part)
        return part


class _Chunked:
    def __init__(self):
        self._left = 0  # of the chunk at hand, with its line end
        self._in_trailers = False
        self.trailers = {}
        self.done = False

    def take(self, buffer):
        content = bytearray()
        while not self.done and self._step(buffer, content):
            pass
        return bytes(content)

    def _step(self, buffer, content):
        """False when more has to come first."""
        if self._left > 2:
            part = buffer[: self._left - 2]
            content += part
            del buffer[: len(part)]
            self._left -= len(part)
            return bool(part)
        if self._left:
            if len(buffer) < 2:
                return False
            if buffer[:2] != b"\r\n":
                raise BadRequest("a chunk does not end where its length says")
            del buffer[:2]
            self._left = 0
            return True
        line = _line(buffer)
        if line is None:
            return False
        if self._in_trailers:
            self._trailer(line)
        else:
            self._size(line)
        return True

    def _trailer(self, line):
        if line:
            self.trailers.update((_field(line),))
        else:
            self.done = True

    def _size(self, line):
        digits = line.partition(b";")[0].strip()
        if not digits or digits.strip(b"0123456789abcdefABCDEF") or len(digits) > 10:
            raise BadRequest(f"{line[:40]!r} is not a chunk's length")
        size = int(digits, 16)
        if size:
            self._left = size + 2
        else:
            self._in_trailers = True


def _line(buffer):
    end = buffer.find(b"\r\n", 0, HEAD_BYTES)
    if end < 0:
        if len(buffer) > HEAD_BYTES:
            raise BadRequest("a line without an end")
        return None
    line = bytes(buffer[:end])
    del buffer[: end + 2]
    return line


def _field(line):
    name, colon, value = line.decode("latin-1").partition(":")
    if not colon or not name or name != name.strip():
        raise BadRequest(f"{line[:80]!r} is not a header")
    return name.lower(), value.strip()


class Request:
    def __init__(self, head):
        lines = head.split(b"\r\n")
        words = lines[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(f"{lines[0][:80]!r} is not the first line of a request")
        self.method, self.path, version = words
        self.headers = dict(_field(line) for line in lines[1:] if line)
        wish = self.headers.get("connection", "").lower()
        self.keep_alive = "close" not in wish and (version == "HTTP/1.1" or "keep-alive" in wish)
        self.wants_continue = self.headers.get("expect", "").lower() == "100-continue"
        self._body = self._body_of(self.headers)

    @staticmethod
    def _body_of(headers):
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return _Chunked()
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            raise BadRequest(f"{length!r:.40} is not a Content-Length")
        return _Sized(int(length))

    @property
    def trailers(self):
        return self._body.trailers

    @property
    def complete(self):
        return self._body.done

    def take(self, buffer):
        return self._body.take(buffer)


def next_request(buffer):
    """Removes a head from the buffer; None when it is not whole yet. Errors: BadRequest."""
    end = buffer.find(b"\r\n\r\n", 0, HEAD_BYTES)
    if end < 0:
        if len(buffer) >= HEAD_BYTES:
            raise BadRequest("headers longer than 64 KiB")
        return None
    head = bytes(buffer[:end])
    del buffer[: end + 4]
    return Request(head)


def answer(status, body, headers=(), keep_alive=True):
    """The bytes of an answer. `headers` are (name, value)."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    if not keep_alive:
        lines.append("connection: close")
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n\r\n" + body
