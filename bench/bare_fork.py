"""The bare fork that a cold start is judged by: a plain process, started with the flags of a zygote, that has loaded the
same function by the same modules from the same layer and forks by os.fork() (glibc, with Python's hooks) on each order.

    /usr/bin/python3 -I -S -B bare_fork.py RUNTIME_DIR CODE_DIR LAYER_DIR HANDLER DATA_FD CONTROL_FD

A child reads one frame with the event from the data socket, runs the handler, answers by one frame and exits: no namespace,
no filter, no launcher, no daemon, no HTTP. On the control socket: an order in, "." out when that child has ended.
The time of a sample is taken by the client (BareFork), from sending the frame to having its answer.
"""

import gc
import json
import os
import socket
import sys

_HUGE_PAGE = 2 << 20
_MADV_COLLAPSE = 25


def _candidates():
    """What the launcher collapses (src/launcher/huge_pages.cc): private, writable, anonymous, no stack, whole huge pages."""
    with open("/proc/self/maps") as maps:
        for line in maps.read().splitlines():
            addresses, permissions, _, _, inode, *name = line.split()
            if permissions[1] != "w" or permissions[3] != "p" or inode != "0" or (name and name[0].startswith("[stack")):
                continue
            begin, end = (int(text, 16) for text in addresses.split("-"))
            yield from range(-(-begin // _HUGE_PAGE) * _HUGE_PAGE, end // _HUGE_PAGE * _HUGE_PAGE, _HUGE_PAGE)


def collapse_memory():
    import ctypes
    import struct

    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    pages = _HUGE_PAGE // 4096
    with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for at in tuple(_candidates()):
            entries = struct.unpack(f"{pages}Q", os.pread(pagemap.fileno(), pages * 8, at // 4096 * 8))
            if sum(entry >> 63 for entry in entries) >= pages // 2:
                madvise(at, _HUGE_PAGE, _MADV_COLLAPSE)


def main():
    runtime, code, layer, handler_name, data_fd, control_fd = sys.argv[1:]
    import types

    package = types.ModuleType("_ebb_runtime")
    package.__path__ = [runtime]
    sys.modules["_ebb_runtime"] = package
    from _ebb_runtime import instance, loading, uniqueness, warm, wire  # noqa: F401

    sys.path += [os.path.join(runtime, "site"), layer]
    uniqueness.watch_random()
    import importlib

    import ebb  # noqa: F401  (what every zygote has)

    warm.imports()
    warm.serve()
    sys.path.insert(0, code)
    os.chdir(code)
    module, _, name = handler_name.rpartition(".")
    handler = getattr(importlib.import_module(module), name)
    function = loading.Function(json.dumps({"app": "bench", "function": module, "version": 1, "handler": handler_name}))
    gc.collect()
    gc.disable()
    gc.freeze()
    collapse_memory()
    data = socket.socket(fileno=int(data_fd))
    control = socket.socket(fileno=int(control_fd))
    control.send(b"+")
    while control.recv(1):
        pid = os.fork()
        if pid == 0:
            gc.enable()
            instance.Instance(data, function, handler).serve(1)
            os._exit(0)
        os.waitpid(pid, 0)
        control.send(b".")


if __name__ == "__main__":
    main()
