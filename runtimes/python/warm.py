"""What a runtime zygote does before it is ready, so that no child has to: imports, and a few turns of the warm path.

The turns are not for speed alone: CPython 3.11 rewrites bytecode when it has seen it run. Pages rewritten here are
shared by all children; rewritten in a child they would be copied in each.
"""

import importlib
import socket

from . import instance, loading, wire

# Small, pure, and wanted by nearly every function. Nothing here opens a thread or a descriptor.
_IMPORTS = (
    "abc",
    "argparse",
    "ast",
    "base64",
    "bisect",
    "collections.abc",
    "contextlib",
    "copy",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "email.message",
    "enum",
    "functools",
    "hashlib",
    "heapq",
    "hmac",
    "importlib.metadata",
    "inspect",
    "io",
    "itertools",
    "json",
    "locale",
    "logging",
    "math",
    "numbers",
    "operator",
    "os.path",
    "pathlib",
    "pickle",
    "platform",
    "queue",
    "random",
    "re",
    "secrets",
    "selectors",
    "shutil",
    "signal",
    "statistics",
    "string",
    "struct",
    "subprocess",
    "tempfile",
    "textwrap",
    "threading",
    "time",
    "traceback",
    "types",
    "typing",
    "urllib.parse",
    "uuid",
    "warnings",
    "weakref",
    "zipfile",
    "zlib",
)
_TURNS = 24


def imports():
    for name in _IMPORTS:
        importlib.import_module(name)


def serve():
    """Runs the serve loop over a socket pair with a handler of ours."""
    ours, theirs = socket.socketpair()
    http = b'{"kind":"http","event":{"headers":{"content-type":"text/plain"}},"request_id":"","deadline_ms":0}'
    direct = b'{"kind":"direct","request_id":"","deadline_ms":0}'
    answers = ({"statusCode": 200, "headers": {"a": "b"}, "body": "x"}, {"a": [1]}, "text", None)
    turn = iter(range(_TURNS))
    nobody = loading.Function('{"app":"","function":"","version":0,"handler":""}')
    loop = instance.Instance(theirs, nobody, lambda event, context: answers[next(turn) % len(answers)])
    for number in range(_TURNS):
        meta = http if number % 2 else direct
        header = wire.FRAME.pack(wire.FRAME_MAGIC, wire.FRAME_VERSION, wire.INVOKE, len(meta), 2, bytes(16))
        ours.sendall(header + meta + b"{}")
        loop.serve(1)
        ours.recv(65536)
    ours.close()
    theirs.close()
