"""Plays launcher and daemon to the real runtime: a sandbox like the launcher's, and both ends of every socket.

The runtime under test is the built one (EBB_RUNTIME_DIR/python). A sandbox has its own pid, mount, ipc, uts and network
namespace, a root of read-only binds, an init that reaps, and a zygote with uid 1000, no capabilities and a high pid.
What is missing beside the real one: cgroups, the launcher's own seccomp list, and the outer user namespace.
"""

import array
import atexit
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import struct
import tempfile
import textwrap
import time

RUNTIME = os.path.abspath(os.environ.get("EBB_RUNTIME_DIR", "build/dev/runtime"))
DEADLINE = 20.0  # of any single wait

_libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MESSAGE = struct.Struct("<IHHIIQ")
FRAME = struct.Struct("<HBBIQ16s")
FORK_FUNCTION, FORK_INSTANCE, GO, BORN, READY, INIT_FAILED, FORKED = 1, 2, 3, 16, 17, 18, 19
INVOKE, RESULT, ERROR, CHANNEL_READY, STREAM, PIECE, END = 1, 2, 3, 4, 6, 7, 8


def _check(rc, what):
    if rc < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")
    return rc


def mount(source, target, kind=None, flags=0, data=None):
    encode = lambda text: None if text is None else text.encode()  # noqa: E731
    rc = _libc.mount(encode(source), encode(target), encode(kind), ctypes.c_ulong(flags), encode(data))
    _check(rc, f"mount {target}")


def detached_tree(path):
    """A read-only detached mount of a folder, as the launcher passes packages."""
    fd = _check(_libc.syscall(428, -100, path.encode(), 1 | 0o2000000), "open_tree")
    attributes = struct.pack("<QQQQ", 0x1 | 0x2 | 0x4, 0, 0, 0)  # rdonly, nosuid, nodev
    _check(_libc.syscall(442, fd, b"", 0x1000, attributes, len(attributes)), "mount_setattr")
    return fd


def _make_root(root, layer):
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    for name in ("usr", "bin", "sbin", "lib", "lib64", "etc"):
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{root}/{name}")
        elif os.path.isdir(f"/{name}"):
            os.mkdir(f"{root}/{name}")
            mount(f"/{name}", f"{root}/{name}", None, MS_BIND | MS_REC)
            mount(None, f"{root}/{name}", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    for name in ("ebb/runtime", "ebb/layer", "var/task", "tmp", "dev", "proc", "old"):
        os.makedirs(f"{root}/{name}")
    mount(RUNTIME, f"{root}/ebb/runtime", None, MS_BIND)
    mount(None, f"{root}/ebb/runtime", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
    if layer:
        mount(layer, f"{root}/ebb/layer", None, MS_BIND)
    mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    mount("tmpfs", f"{root}/dev", "tmpfs", MS_NOSUID, "mode=0755")
    for name in ("null", "zero", "full", "random", "urandom"):
        os.close(os.open(f"{root}/dev/{name}", os.O_CREAT | os.O_WRONLY))
        mount(f"/dev/{name}", f"{root}/dev/{name}", None, MS_BIND)
    os.mkdir(f"{root}/dev/shm")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | 8)
    _check(_libc.syscall(155, root.encode(), f"{root}/old".encode()), "pivot_root")
    os.chdir("/")
    _check(_libc.umount2(b"/old", 2), "umount")
    os.rmdir("/old")
    mount(None, "/", None, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _exec_zygote(control, out, err, env):
    os.dup2(os.open("/dev/null", os.O_RDWR), 0)
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.dup2(control, 3)
    os.closerange(4, 1024)
    os.setgroups([])
    os.setresgid(1000, 1000, 1000)
    os.setresuid(1000, 1000, 1000)
    _check(_libc.prctl(38, 1, 0, 0, 0), "no_new_privs")
    os.sched_setaffinity(0, [sorted(os.sched_getaffinity(0))[0]])
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8",
        "LD_PRELOAD": "/ebb/runtime/python/libebb_atfork.so",
    }  # fmt: skip
    environment.update(
        {name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE") if name in os.environ}
    )
    environment.update(env)
    argv = ["/usr/bin/python3", "-I", "-S", "-B", "/ebb/runtime/python/zygote.py"]
    os.execve(argv[0], argv, environment)


def wait_readable(fd, what, seconds=DEADLINE):
    if not select.select([fd], [], [], seconds)[0]:
        raise TimeoutError(f"no {what} within {seconds} s")


class Control:
    """The launcher's end of a control socket, and the read ends of the child's output."""

    def __init__(self):
        self.sock, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.pid = None
        self.out, self.out_w = os.pipe()
        self.err, self.err_w = os.pipe()

    def given(self):
        """The child has its ends: ours of them go."""
        self.theirs.close()
        os.close(self.out_w)
        os.close(self.err_w)

    def receive(self):
        wait_readable(self.sock, "message on a control socket")
        data, ancillary, _, _ = self.sock.recvmsg(65536, 256)
        if not data:
            return None, b""
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, 2):
                self.pid = struct.unpack("iII", value)[0]
        magic, version, kind, size, _, _ = _MESSAGE.unpack_from(data)
        assert (magic, version, size) == (0x31424245, 1, len(data) - _MESSAGE.size)
        return kind, data[_MESSAGE.size :]

    def expect(self, wanted):
        kind, payload = self.receive()
        assert kind == wanted, f"{kind} instead of {wanted}; stderr: {self.read_err(0.5)}"
        return payload

    def send(self, kind, payload=b"", fds=()):
        message = _MESSAGE.pack(0x31424245, 1, kind, len(payload), 0, 0) + payload
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([message], rights)

    def _read(self, fd, seconds):
        """All that is in the pipe; waits for the first byte at most so long."""
        got = b""
        while select.select([fd], [], [], 0 if got else seconds)[0]:
            part = os.read(fd, 65536)
            if not part:
                break
            got += part
        return got.decode("utf-8", "replace")

    def read_out(self, seconds=0.0):
        return self._read(self.out, seconds)

    def read_err(self, seconds=0.0):
        return self._read(self.err, seconds)

    def close(self):
        self.sock.close()
        for fd in (self.out, self.err):
            os.close(fd)


def _texts(payload, at):
    texts = []
    while at < len(payload):
        size = struct.unpack_from("<I", payload, at)[0]
        texts.append(payload[at + 4 : at + 4 + size].decode())
        at += 4 + size
    return texts


class InitFailed(Exception):
    def __init__(self, kind, message, trace):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, trace


class Failed(Exception):
    """A kError frame."""

    def __init__(self, meta):
        super().__init__(meta["message"])
        self.meta = meta
        self.kind, self.type, self.message, self.trace = meta["kind"], meta["type"], meta["message"], meta["trace"]


class Died(Exception):
    pass


class Result:
    def __init__(self, meta, body):
        self.status, self.cookies, self.body = meta["status"], meta["cookies"], body
        self.headers = {}
        for name, value in meta["headers"]:
            self.headers.setdefault(name.lower(), []).append(value)

    @property
    def type(self):
        return self.headers.get("content-type", [None])[0]

    def json(self):
        return json.loads(self.body)


class Instance:
    def __init__(self, control, channel, inner_pid):
        self.control, self.channel, self.inner_pid = control, channel, inner_pid
        self.pid = control.pid
        self.init_ns = None

    def ready(self):
        kind, meta, _, _ = self.receive()
        if kind == ERROR:
            raise Failed(meta)
        assert kind == CHANNEL_READY
        self.init_ns = meta["init_ns"]
        return self

    def _exactly(self, size):
        got = bytearray()
        while len(got) < size:
            wait_readable(self.channel, "frame")
            part = self.channel.recv(size - len(got))
            if not part:
                raise Died(self.control.read_err(0.5))
            got += part
        return bytes(got)

    def receive(self):
        magic, version, kind, meta_bytes, body_bytes, invocation = FRAME.unpack(self._exactly(FRAME.size))
        assert (magic, version) == (0xEBF1, 1)
        meta = self._exactly(meta_bytes)
        return kind, json.loads(meta) if meta else None, self._exactly(body_bytes), invocation

    def send(self, meta, body=b"", invocation=bytes(range(16))):
        text = json.dumps(meta).encode()
        self.channel.sendall(FRAME.pack(0xEBF1, 1, INVOKE, len(text), len(body), invocation) + text + body)

    def finish(self):
        kind, meta, body, invocation = self.receive()
        assert invocation == bytes(range(16))
        if kind == ERROR:
            raise Failed(meta)
        assert kind == RESULT
        return Result(meta, body)

    def call(self, payload=None, content_type=None, raw=None, deadline_ms=None):
        """A direct call."""
        meta = {"kind": "direct", "request_id": "r-1", "deadline_ms": deadline_ms or int(time.time() * 1000) + 5000}
        if content_type:
            meta["content_type"] = content_type
        self.send(meta, raw if raw is not None else json.dumps(payload).encode())
        return self.finish()

    def send_http(self, body=b"", headers=None, method="GET", path="/", kind="http", **event):
        meta = {"kind": kind, "request_id": "r-2", "deadline_ms": int(time.time() * 1000) + 5000}
        meta |= {"scheme": "http", "prefix": "/fn/shop/f"} | ({"head_only": True} if method == "HEAD" else {})
        http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.7", "userAgent": ""}
        meta["event"] = {"version": "2.0", "rawPath": path, "rawQueryString": "", "headers": headers or {},
                         "requestContext": {"http": http}, **event}  # fmt: skip
        self.send(meta, body)

    def http(self, body=b"", headers=None, **event):
        self.send_http(body, headers, **event)
        return self.finish()

    def stream(self, body=b"", headers=None, **event):
        """A request whose answer is a stream: (head, [piece, ...])."""
        self.send_http(body, headers, **event)
        return self.finish_stream()

    def finish_stream(self):
        kind, meta, first, _ = self.receive()
        if kind == ERROR:
            raise Failed(meta)
        assert kind == STREAM, kind
        return Result(meta, b""), list(self.pieces(first))

    def pieces(self, first=b""):
        """The pieces of a stream that has begun, as they come. Raises Failed when it breaks off."""
        if first:
            yield first
        while True:
            kind, meta, body, invocation = self.receive()
            assert invocation == bytes(range(16))
            if kind == ERROR:
                raise Failed(meta)
            if kind == END:
                assert meta is None and body == b""
                return
            assert kind == PIECE and meta is None and body
            yield body

    def ended(self):
        """Whether the channel has ended."""
        wait_readable(self.channel, "end of the channel")
        return self.channel.recv(1) == b""

    def close(self):
        self.channel.close()
        self.control.close()


class Zygote:
    """A runtime zygote or a function zygote."""

    def __init__(self, control):
        self.control = control
        self.init_ns, self.forkable, self.reason = None, None, None
        self.tokens = 0

    @property
    def pid(self):
        return self.control.pid

    def ready(self):
        kind, payload = self.control.receive()
        if kind == INIT_FAILED:
            raise InitFailed(*_texts(payload, 0))
        if kind is None:
            raise Died(self.control.read_err(0.5))
        assert kind == READY
        self.init_ns, forkable = struct.unpack_from("<QB", payload)
        self.forkable, self.reason = bool(forkable), _texts(payload, 9)[0]
        return self

    def _order(self, kind, payload, fds, control, go=True):
        self.control.send(kind, payload, fds)
        control.given()
        if go:
            control.expect(BORN)
            control.send(GO)
        forked = struct.unpack("<QII", self.control.expect(FORKED))
        assert forked[0] == self.tokens
        return forked[1], forked[2]

    def _token(self):
        self.tokens += 1
        return struct.pack("<Q", self.tokens)

    def fork_function(self, package, handler="app.handler", **fields):
        control = Control()
        text = config(handler, **fields)
        tree = detached_tree(package)
        fds = [control.theirs.fileno(), control.out_w, control.err_w, tree]
        error, _ = self._order(FORK_FUNCTION, self._token() + struct.pack("<I", len(text)) + text, fds, control)
        os.close(tree)
        assert error == 0
        zygote = Zygote(control)
        return zygote.ready()

    def fork(self, package=None, handler="app.handler", ready=True, **fields):
        """An instance; with a package it is made from a runtime zygote, and loads it."""
        control = Control()
        ours, theirs = socket.socketpair()
        fds = [control.theirs.fileno(), theirs.fileno(), control.out_w, control.err_w]
        text = b""
        if package:
            text = config(handler, **fields)
            fds.append(detached_tree(package))
        payload = self._token() + bytes([bool(package)]) + struct.pack("<I", len(text)) + text
        error, pid = self._order(FORK_INSTANCE, payload, fds, control)
        if package:
            os.close(fds[-1])
        theirs.close()
        assert error == 0, os.strerror(error)
        instance = Instance(control, ours, pid)
        return instance.ready() if ready else instance

    def fork_refused(self):
        """errno of a fork that is to be refused."""
        control = Control()
        ours, theirs = socket.socketpair()
        fds = [control.theirs.fileno(), theirs.fileno(), control.out_w, control.err_w]
        error, pid = self._order(FORK_INSTANCE, self._token() + b"\0" + struct.pack("<I", 0), fds, control, go=False)
        theirs.close()
        ours.close()
        control.close()
        assert pid == 0
        return error

    def close(self):
        self.control.close()


def config(handler, env=None, memory_bytes=256 << 20, timeout_ms=5000, interface="auto"):
    fields = {"interface": interface, "app": "shop", "function": "f", "version": 7, "handler": handler, "env": env or {}, "kind": "python3"}
    return json.dumps({**fields, "memory_bytes": memory_bytes, "timeout_ms": timeout_ms}).encode()


def package(source, directory=None, name="app.py", **files):
    """A package folder with one module, and files more; readable by all, as the store leaves it."""
    path = directory
    if path is None:
        path = tempfile.mkdtemp(prefix="ebb-package-")
        atexit.register(shutil.rmtree, path, ignore_errors=True)
    os.chmod(path, 0o755)
    for file, text in {name: source, **files}.items():
        with open(os.path.join(path, file), "w") as out:
            out.write(textwrap.dedent(text))
    return path


class Sandbox(Zygote):
    """Its runtime zygote, ready. `close()` ends every process in it."""

    def __init__(self, layer=None, env=None):
        super().__init__(Control())
        self._root = root = tempfile.mkdtemp(prefix="ebb-root-")
        watch, self._watch = os.pipe()
        outer = os.fork()
        if outer == 0:
            try:
                self._be_outer(root, layer, env or {}, watch)
            except BaseException as error:
                os.write(2, f"sandbox: {error!r}\n".encode())
            os._exit(1)
        self._outer = outer
        os.close(watch)
        self.control.given()
        self.control.expect(BORN)
        self.control.send(GO)
        self.ready()

    def _be_outer(self, root, layer, env, watch):
        os.setsid()
        os.close(self._watch)
        _check(_libc.unshare(NEWNS | NEWPID | NEWIPC | NEWUTS | NEWNET), "unshare")
        init = os.fork()
        if init == 0:
            _check(_libc.prctl(1, signal.SIGKILL, 0, 0, 0), "pdeathsig")
            _make_root(root, layer)
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write("20000")
            zygote = os.fork()
            if zygote == 0:
                _exec_zygote(self.control.theirs.fileno(), self.control.out_w, self.control.err_w, env)
            os.closerange(3, 1024)
            while True:
                os.waitpid(-1, 0)
        for fd in range(3, 1024):
            if fd != watch:
                try:
                    os.close(fd)
                except OSError:
                    pass
        os.read(watch, 1)  # ends with the test, however it ends
        os.kill(init, signal.SIGKILL)
        os.waitpid(init, 0)
        os._exit(0)

    def close(self):
        super().close()
        os.close(self._watch)
        os.waitpid(self._outer, 0)
        os.rmdir(self._root)
