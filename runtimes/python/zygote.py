"""The runtime zygote, and the function zygotes and instances forked from it.

    /usr/bin/python3 -I -S -B /ebb/runtime/python/zygote.py        descriptor 3: its control socket

1. It says kBorn, waits for kGo, imports what every function needs, and says kReady.
2. kForkFunction makes a function zygote: a child with walls of its own, which loads the user's module, checks that it
   may be forked and says kReady on its own control socket; it then takes orders itself.
3. kForkInstance makes an instance, from a function zygote or, with code, from the runtime zygote.
It has one thread and holds nothing but its descriptors 0 to 3. Its modules live in a package of their own,
`_ebb_runtime`, so that no name of theirs hides one of the user's.
"""

import os
import sys
import types

_HERE = os.path.dirname(os.path.abspath(__file__))
_package = types.ModuleType("_ebb_runtime")
_package.__path__ = [_HERE]
sys.modules["_ebb_runtime"] = _package

import errno  # noqa: E402  (the package had to exist first)
import gc  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402

from _ebb_runtime import _ebb, fitness, instance, loading, surroundings, trace, uniqueness, warm, wire  # noqa: E402

CONTROL_FD = 3
_GO_TIMEOUT_S = 10.0
_PROTOCOL_FAILED = 112


def control_socket():
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, fileno=CONTROL_FD)


def refuse(sock, token, fds, os_errno):
    for fd in fds:
        os.close(fd)
    wire.send(sock, wire.FORKED, wire.forked(token, os_errno, 0))


def answer(sock, token, pid):
    wire.send(sock, wire.FORKED, wire.forked(token, -pid if pid < 0 else 0, max(pid, 0)))


class RuntimeZygote:
    """Nothing of a user's is loaded."""

    def __init__(self, sock):
        self._sock = sock

    def take(self, kind, payload, fds):
        """Performs an order. In a child: what the child goes on with. In the zygote: None."""
        if kind == wire.FORK_FUNCTION and len(fds) == 4:
            token, config = wire.read_fork_function(payload)
            gc.freeze()
            pid = _ebb.fork_function(*fds)
            if pid == 0:
                self._sock.detach()
                gc.enable()
                return lambda: load_function(config)
        elif kind == wire.FORK_INSTANCE and len(fds) == 5:
            token, with_code, config = wire.read_fork_instance(payload)
            if not with_code:
                return refuse(self._sock, token, fds, errno.EINVAL)
            control, channel, out, err, tree = fds
            gc.freeze()
            pid = _ebb.fork_instance(control, channel, out, err, tree, True, False, ())
            if pid == 0:
                self._sock.detach()
                gc.enable()
                return lambda: instance.run(loading.Function(config), None, surroundings.user_hooks().run_after_restore, (), ())
        else:
            raise wire.ProtocolError(f"order {kind} with {len(fds)} descriptors to a runtime zygote")
        return answer(self._sock, token, pid)


class FunctionZygote:
    """The user's module is loaded. `unfit` is why it may not be forked, or empty."""

    def __init__(self, sock, function, handler, unfit, kept_files, numpy_generators, collects):
        self._sock = sock
        self._function = function
        self._handler = handler
        self._unfit = unfit
        self._kept_files = kept_files
        self._numpy_generators = numpy_generators
        self._collects = collects  # whether the user's module left the cyclic collector on
        self._inherit_tmp = bool(os.listdir("/tmp"))

    def take(self, kind, payload, fds):
        if kind != wire.FORK_INSTANCE or len(fds) != 4:
            raise wire.ProtocolError(f"order {kind} with {len(fds)} descriptors to a function zygote")
        token, with_code, _ = wire.read_fork_instance(payload)
        if with_code or self._unfit:
            return refuse(self._sock, token, fds, errno.EBUSY if self._unfit else errno.EINVAL)
        control, channel, out, err = fds
        own_network = self._function.fc is not None and self._function.fc.own_network
        pid = _ebb.fork_instance(control, channel, out, err, -1, own_network, self._inherit_tmp, self._kept_files)
        if pid != 0:
            return answer(self._sock, token, pid)
        self._sock.detach()
        if self._collects:
            gc.enable()
        return lambda: instance.run(
            self._function, self._handler, surroundings.user_hooks().run_after_restore, self._numpy_generators, self._kept_files
        )


def try_out(service):
    """Starts a program once and ends it, so that the deployment hears of it if it does not start. Errors: LoadError."""
    try:
        service.start()
    finally:
        service.stop()


def load_function(config):
    """In a fresh function zygote: loads the function and says how it went. Returns what takes its orders."""
    sock = control_socket()
    started = time.monotonic_ns()
    function = loading.Function(config)
    try:
        handler = loading.load(function)
        if function.kind not in ("python3", "native"):
            try_out(handler)
        loading.run_hooks(surroundings.user_hooks().run_before_snapshot, "before_snapshot")
        if function.interface == "asgi" or loading.is_async(handler):
            import asyncio  # noqa: F401  (30 ms that every instance would pay)
    except loading.LoadError as error:
        trace.report(error.trace or f"{error.kind}: {error.message}\n")
        instance.flush()
        wire.send(sock, wire.INIT_FAILED, wire.init_failed(error.kind, error.message, error.trace))
        os._exit(1)
    instance.flush()
    init_ns = time.monotonic_ns() - started
    gc.collect()
    generators = uniqueness.find_numpy_generators()
    # Once here, so that OpenSSL and numpy do not set up in every copy what they set up at first use (5 ms).
    uniqueness.renew(generators)
    unfit, kept = fitness.check()
    collects = gc.isenabled()
    gc.disable()
    gc.freeze()
    zygote = FunctionZygote(sock, function, handler, unfit, kept, generators, collects)
    wire.send(sock, wire.READY, wire.ready(init_ns, unfit))
    return lambda: obey(sock, zygote)


def obey(sock, zygote):
    """Takes orders until the launcher closes the socket. In a child: returns what the child goes on with."""
    while True:
        kind, payload, fds = wire.receive(sock)
        if kind is None:
            os._exit(0)
        following = zygote.take(kind, payload, fds)
        if following is not None:
            return following


def main():
    started = time.monotonic_ns()
    sock = control_socket()
    wire.send(sock, wire.BORN)
    sock.settimeout(_GO_TIMEOUT_S)
    kind, _, _ = wire.receive(sock)
    if kind != wire.GO:
        raise wire.ProtocolError(f"message {kind} instead of go")
    sock.settimeout(None)
    # Children of user code load no library of ours; whoever forks the usual way has glibc's own handlers.
    os.environ.pop("LD_PRELOAD", None)
    surroundings.add_site()
    surroundings.add_layer()
    surroundings.prepare_output()
    uniqueness.watch_random()
    surroundings.user_hooks()
    warm.imports()
    warm.serve()
    _ebb.survey()
    gc.collect()
    gc.disable()
    gc.freeze()
    wire.send(sock, wire.READY, wire.ready(time.monotonic_ns() - started, ""))
    return lambda: obey(sock, RuntimeZygote(sock))


if __name__ == "__main__":
    try:
        _next = main
        while True:
            _next = _next()
    except wire.ProtocolError as _error:
        print(f"ebb: zygote: {_error}", file=sys.stderr, flush=True)
        os._exit(_PROTOCOL_FAILED)
    except OSError as _error:
        print(f"ebb: zygote: control socket: {_error}", file=sys.stderr, flush=True)
        os._exit(_PROTOCOL_FAILED)
    except BaseException as _error:
        print(trace.trace_of(_error) or repr(_error), file=sys.stderr, flush=True)
        os._exit(1)
