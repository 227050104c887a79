"""A WSGI application (PEP 3333) in an instance: Flask, Django and the like, without a server.

An answer that is known whole goes out whole: a list, what Django calls not streaming, or a first block as long as the
Content-Length. Any other is sent block by block. close() runs before the answer's end, so what an application does
there belongs to the invocation.
"""

import io
import sys

from . import results, web

_VERSION = (1, 0)


class FileWrapper:
    """wsgi.file_wrapper: a file in blocks."""

    def __init__(self, file, block_bytes=64 * 1024):
        self._file = file
        self._block_bytes = block_bytes
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self):
        return self

    def __next__(self):
        block = self._file.read(self._block_bytes)
        if not block:
            raise StopIteration
        return block


def environ_of(request, context):
    name, port = request.server()
    headers = request.headers
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": request.prefix,
        "PATH_INFO": request.path.decode("latin-1"),
        "QUERY_STRING": request.query,
        "REQUEST_URI": request.prefix + request.target,
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/" + request.http_version,
        "REMOTE_ADDR": request.client,
        "wsgi.version": _VERSION,
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": FileWrapper,
        "ebb.context": context,
    }
    for header, value in headers.items():
        if "_" in header:
            continue  # it could pass for another: X_Forwarded and X-Forwarded are one here
        key = header.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key] = value.encode().decode("latin-1")
    return environ


def head_of(status, headers):
    """Errors: results.Unserialisable, TypeError."""
    code = status[:3]
    if not (code.isascii() and code.isdigit() and (len(status) == 3 or status[3] == " ")):
        raise results.Unserialisable(f"start_response was called with status {status!r:.100}: '200 OK' is the form")
    given = [[name, web.header_text(value.encode("latin-1", "replace"))] for name, value in headers]
    return results.Head(int(code), given)


class Application:
    def __init__(self, application):
        self._application = application

    def start(self):
        pass

    def stop(self):
        pass

    def answer(self, answer, request, context):
        """Errors: what the application raises; those of stream.Stream."""

        def write(data):
            answer.send(data)

        def start_response(status, headers, exc_info=None):
            if exc_info is not None:
                try:
                    if answer.began:
                        raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None
            elif answer.head is not None:
                raise AssertionError("start_response was called twice without exc_info")
            answer.head = head_of(status, headers)
            return write

        blocks = self._application(environ_of(request, context), start_response)
        try:
            self._send(answer, blocks)
        finally:
            if hasattr(blocks, "close"):
                blocks.close()

    def _send(self, answer, blocks):
        if type(blocks) in (list, tuple) or getattr(blocks, "streaming", None) is False:
            blocks = [b"".join(blocks)]
        for block in blocks:
            if not isinstance(block, (bytes, bytearray, memoryview)):
                raise results.Unserialisable(f"the application gave a block of type {type(block).__name__}: bytes are wanted")
            if not block:
                continue
            self._check_started(answer)
            if answer.wants_no_more:
                return
            if not answer.began and (type(blocks) is list or answer.head.header("content-length") == str(len(block))):
                answer.whole = block
                return
            answer.send(block)
        self._check_started(answer)

    @staticmethod
    def _check_started(answer):
        if answer.head is None:
            raise AssertionError("the application gave its answer without calling start_response")
