"""What a start costs: from the order to fork to the first answer, with walls and bare; and the rate of warm calls.

    EBB_RUNTIME_DIR=build/release/runtime /usr/bin/python3 runtimes/python/tests/bench_fork.py [--layer DIR] [--count N]

Bare: os.fork() of a process with the same modules, the same function and the same frames over a socket pair, without
namespaces, filter or launcher. Samples of the two are interleaved; both ends run on this machine's cores.
"""

import argparse
import array
import os
import socket
import statistics
import struct
import sys
import time
import types

import sandbox

HELLO = "def handler(event, context):\n    return {'hello': 'world'}\n"
ARRAY = "import numpy\nweights = numpy.ones(25_000_000)\n" + HELLO
OBJECTS = "objects = [(n, str(n)) for n in range(1_400_000)]\n" + HELLO


class BareZygote:
    """A process outside any sandbox with the function loaded, that forks on a byte."""

    def __init__(self, package, layer):
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.pid = os.fork()
        if self.pid == 0:
            self.sock.close()
            os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])
            self._serve(theirs, package, layer)
        theirs.close()
        self.sock.recv(1)

    def _serve(self, sock, package, layer):
        import gc

        runtime = types.ModuleType("_ebb_runtime")
        runtime.__path__ = [os.path.join(sandbox.RUNTIME, "python")]
        sys.modules["_ebb_runtime"] = runtime
        from _ebb_runtime import events, instance, loading, warm  # noqa: F401

        warm.imports()
        warm.serve()
        sys.path[:0] = [package] + ([layer] if layer else [])
        import app

        function = loading.Function(sandbox.config("app.handler"))
        gc.collect()
        gc.disable()
        gc.freeze()
        sock.send(b"+")
        while True:
            data, ancillary, _, _ = sock.recvmsg(64, 256)
            if not data:
                os._exit(0)
            channel = struct.unpack("i", ancillary[0][2])[0]
            pid = os.fork()
            if pid == 0:
                os.sched_setaffinity(0, range(os.cpu_count()))
                os.dup2(channel, 3)
                served = instance.Instance(instance._socket(), function, app.handler)
                served.ready(0)
                served.serve()
                os._exit(0)
            os.close(channel)
            os.waitpid(-1, os.WNOHANG)

    def start(self):
        ours, theirs = socket.socketpair()
        self.sock.sendmsg([b"f"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs.fileno()]))])
        theirs.close()
        control = types.SimpleNamespace(pid=0, close=lambda: None, read_err=lambda seconds: "")
        return sandbox.Instance(control, ours, 0).ready()

    def close(self):
        self.sock.close()
        os.waitpid(self.pid, 0)


def timed(make):
    started = time.perf_counter()
    instance = make()
    instance.call({})
    taken = time.perf_counter() - started
    instance.close()
    return taken * 1000


def line(name, samples):
    samples = sorted(samples)
    p99 = samples[min(len(samples) - 1, int(len(samples) * 0.99))]
    print(f"{name:24} n {len(samples):5}  p50 {statistics.median(samples):6.2f} ms  p99 {p99:6.2f} ms", flush=True)


def starts(name, zygote, package, layer, count):
    bare = BareZygote(package, layer)
    function = zygote.fork_function(package)
    assert function.forkable, function.reason
    walls, forks = [], []
    for number in range(count + 10):
        pair = timed(function.fork), timed(bare.start)
        if number >= 10:
            walls.append(pair[0])
            forks.append(pair[1])
    line(f"{name}: walls", walls)
    line(f"{name}: bare fork", forks)
    bare.close()
    function.close()


def warm_rate(zygote, package, seconds=3.0):
    function = zygote.fork_function(package)
    instance = function.fork()
    meta = b'{"kind":"direct","request_id":"r","deadline_ms":0}'
    frame = sandbox.FRAME.pack(0xEBF1, 1, sandbox.INVOKE, len(meta), 2, bytes(16)) + meta + b"{}"
    channel, calls, end = instance.channel, 0, time.perf_counter() + seconds
    with open(f"/proc/{instance.pid}/schedstat") as stat:
        before = int(stat.read().split()[0])
    started = time.perf_counter()
    while time.perf_counter() < end:
        for _ in range(100):
            channel.sendall(frame)
            channel.recv(4096)
        calls += 100
    taken = time.perf_counter() - started
    with open(f"/proc/{instance.pid}/schedstat") as stat:
        used = (int(stat.read().split()[0]) - before) / 1e9
    print(f"warm no-op: {calls / taken:.0f}/s by one caller; {used / calls * 1e6:.1f} us of cpu each in the instance")
    instance.close()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--layer", help="folder with numpy; without it the array is not measured")
    arguments.add_argument("--count", type=int, default=400)
    options = arguments.parse_args()
    zygote = sandbox.Sandbox(layer=options.layer)
    hello = sandbox.package(HELLO)
    warm_rate(zygote, hello)
    starts("hello", zygote, hello, None, options.count)
    if options.layer:
        starts("200 MB array", zygote, sandbox.package(ARRAY), options.layer, options.count)
    starts("200 MB of objects", zygote, sandbox.package(OBJECTS), None, options.count)
    zygote.close()


if __name__ == "__main__":
    main()
