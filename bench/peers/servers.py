"""The peers: how each is started with the two functions, and which of its processes is called what.

A server is started and ended for each round and runs alone. All listen in the network namespace of the bench, which has
nothing but a loopback: some of them know no address but "every".
"""

import os
import pathlib
import signal
import socket
import subprocess
import time

import cold
import install
import processes
from ebb_node import Node, descendants

PROCESSES = 2
CONNECTIONS = 16
_HERE = pathlib.Path(__file__).resolve().parent
_START_SECONDS = 30


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One peer. Subclasses name it, say how it is installed, and give the commands that make it run."""

    name = ""
    note = ""
    functions = ("hello", "burn")
    connections = CONNECTIONS  # 1 for what cannot serve two requests at a time
    each_from_zero = False     # every request starts a process
    zero = None                # the path of a function whose every call is one from zero

    def __init__(self, out):
        self._out = out
        self.program = self.installed(out)
        self._processes = []
        self._labels = {}
        self.commands = []
        self.port = None

    def installed(self, out):
        raise NotImplementedError

    def launch(self):
        """Starts it by _spawn, on self.port."""
        raise NotImplementedError

    def path(self, function, rounds):
        return f"/{function}" + (f"?rounds={rounds}" if function == "burn" else "")

    def body_of(self, function, rounds):
        return None

    def _spawn(self, label, command, environment=None, **options):
        command = list(map(str, command))
        self.commands.append(" ".join([*(f"{name}={value}" for name, value in (environment or {}).items()), *command]))
        logs = self._out / "peers/logs"
        logs.mkdir(parents=True, exist_ok=True)
        with open(logs / f"{self.name.replace(' ', '-')}-{label}.log", "w") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=_HERE, start_new_session=True,
                                       env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **(environment or {})}, **options)
        self._processes.append(process)
        self._labels[process.pid] = label

    def start(self):
        """Seconds from its first process to the first answer of hello."""
        self.commands, self._labels, self.port = [], {}, free_port()
        started = time.perf_counter()
        self.launch()
        limit = time.monotonic() + _START_SECONDS
        while time.monotonic() < limit:
            try:
                self.call("hello", 0)
                return time.perf_counter() - started
            except (OSError, RuntimeError) as error:
                last = error
            if any(process.poll() is not None for process in self._processes):
                break
            time.sleep(0.001)
        self.stop()
        raise RuntimeError(f"{self.name} did not answer within {_START_SECONDS} s: {last}")

    def call(self, function, rounds):
        connection = cold.Connection(f"http://127.0.0.1:{self.port}")
        try:
            return connection.exchange(connection.request_of(self.path(function, rounds), self.body_of(function, rounds)))
        finally:
            connection.close()

    def pids(self):
        found = {process.pid for process in self._processes if process.poll() is None}
        for process in self._processes:
            found |= descendants(process.pid)
        return found

    def label(self, pid):
        return self._labels.get(pid) or processes.name_of(pid)

    def stop(self):
        """Ends it and everything below it: SIGKILL, since some drain for half a minute."""
        pids = self.pids()
        for process in self._processes:
            process.kill()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in self._processes:
            process.wait(10)
        limit = time.monotonic() + 10
        while any(processes.name_of(pid) != "ended" for pid in pids) and time.monotonic() < limit:
            _reap(pids)
            time.sleep(0.01)
        self._processes = []


def _reap(pids):
    """Orphans become children of the bench (adopt_orphans in ebb_node.py)."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            pass


def gunicorn_command(binary, port, worker="gthread"):
    return [binary, "--preload", "--workers", PROCESSES, "--worker-class", worker, "--keep-alive", 75, "--bind", f"127.0.0.1:{port}",
            "--chdir", _HERE, "wsgi:app"]


class Gunicorn(Server):
    """The better of the two workers differs by machine, so both run."""

    def __init__(self, out, worker):
        self.name, self._worker = f"gunicorn {worker}", worker
        super().__init__(out)

    def installed(self, out):
        return install.gunicorn(out)

    def launch(self):
        self._spawn("gunicorn", gunicorn_command(self.program["command"], self.port, self._worker))


class Workerd(Server):
    """One isolate a process, one thread each. It takes a listening socket, so that two can share a port."""

    def __init__(self, out, count):
        self.name, self._count = "workerd" if count == 1 else f"workerd x{count}", count
        super().__init__(out)

    def installed(self, out):
        return install.workerd(out)

    def launch(self):
        for _ in range(self._count):
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                listener.bind(("127.0.0.1", self.port))
                listener.listen(512)
                self._spawn("workerd", [self.program["command"], "serve", "workerd/serve.capnp", f"--socket-fd=http={listener.fileno()}"],
                            pass_fds=(listener.fileno(),))


class WatchdogHttp(Server):
    name = "of-watchdog http"
    note = "in front of gunicorn gthread"

    def installed(self, out):
        return {**install.from_path("of-watchdog", "fwatchdog"), "python": install.gunicorn(out)["command"]}

    def launch(self):
        upstream = free_port()
        words = " ".join(map(str, gunicorn_command(self.program["python"], upstream)))
        self._spawn("of-watchdog", [self.program["command"]], {"mode": "http", "port": str(self.port), "fprocess": words,
                                                               "upstream_url": f"http://127.0.0.1:{upstream}"})


class WatchdogFork(Server):
    name = "of-watchdog fork"
    note = "a python3 process a request"
    each_from_zero = True
    zero = "/hello"

    def installed(self, out):
        return install.from_path("of-watchdog", "fwatchdog")

    def launch(self):
        self._spawn("of-watchdog", [self.program["command"]], {"mode": "serializing", "port": str(self.port),
                                                               "fprocess": f"/usr/bin/python3 -I -S -B {_HERE}/one_shot.py"})


class LambdaRie(Server):
    """One call at a time: it refuses a second one. The function's name is in its command line, so burn is a process of its own."""

    name = "aws-lambda-rie"
    note = "one call at a time, by POST"
    connections = 1

    def installed(self, out):
        return {**install.lambda_rie(out), "python": install.python_package(out, "awslambdaric", install.AWSLAMBDARIC) / "python3"}

    def launch(self):
        self._spawn("rie", [self.program["command"], "--log-level", "error", "--runtime-interface-emulator-address", f"127.0.0.1:{self.port}",
                            "--runtime-api-address", f"127.0.0.1:{free_port()}", self.program["python"], "-m", "awslambdaric", "lambda_face.handler"])

    def path(self, function, rounds):
        return "/2015-03-31/functions/function/invocations"

    def body_of(self, function, rounds):
        return '{"rawPath":"/%s","rawQueryString":"%s"}' % (function, f"rounds={rounds}" if function == "burn" else "")


class QueueProxy(Server):
    name = "knative queue-proxy"
    note = "in front of gunicorn gthread"

    def installed(self, out):
        return {**install.queue_proxy(out), "python": install.gunicorn(out)["command"]}

    def launch(self):
        user = free_port()
        self._spawn("gunicorn", gunicorn_command(self.program["python"], user))
        self._spawn("queue-proxy", [self.program["command"]], {
            "CONTAINER_CONCURRENCY": "0", "QUEUE_SERVING_PORT": str(self.port), "QUEUE_SERVING_TLS_PORT": str(free_port()),
            "USER_PORT": str(user), "REVISION_TIMEOUT_SECONDS": "300", "SERVING_LOGGING_CONFIG": "", "SERVING_LOGGING_LEVEL": "error",
            "SERVING_NAMESPACE": "bench", "SERVING_CONFIGURATION": "hello", "SERVING_REVISION": "hello-1", "SERVING_POD": "hello-1-pod",
            "SERVING_POD_IP": "127.0.0.1", "TRACING_CONFIG_BACKEND": "none"})


class Nginx(Server):
    name = "nginx proxy"
    note = "in front of an nginx that returns the answer; runs no function"
    functions = ("hello",)

    def installed(self, out):
        return install.nginx(out)

    def launch(self):
        server = free_port()
        actions = {"proxy": (self.port, PROCESSES, 'proxy_pass http://trivial; proxy_http_version 1.1; proxy_set_header Connection "";'),
                   "server": (server, 1, "default_type application/json; return 200 '{\"message\": \"hello, world\"}';")}
        folder = self._out / "peers/nginx-run"
        folder.mkdir(parents=True, exist_ok=True)
        for role, (port, count, action) in actions.items():
            text = (_HERE / "nginx.conf").read_text()
            for word, value in (("DIRECTORY", folder), ("ROLE", role), ("PROCESSES", count), ("SERVER_PORT", server),
                                ("LISTEN_PORT", port), ("ACTION", action)):
                text = text.replace(word, str(value))
            (folder / f"{role}.conf").write_text(text)
            self._spawn(role, [self.program["command"], "-e", "stderr", "-p", folder, "-c", folder / f"{role}.conf"])

    def label(self, pid):
        return next((f"{self._labels[parent]}" for parent in self._labels if pid in {parent} | descendants(parent)), "nginx")


class Ebb(Server):
    """A node of its own for each round. `zero` is hello with its instances retired at once."""

    name = "ebb python"
    zero = "/fn/peers/zero"

    def __init__(self, out, version):
        self._version = version
        super().__init__(out)
        self._package = self.package()
        self._node = None

    def installed(self, out):
        return {"command": "ebb serve; ebb deploy bench/peers/functions", "version": self._version}

    def package(self):
        """The folder that is deployed."""
        return _HERE / "functions"

    def path(self, function, rounds):
        return f"/fn/peers{super().path(function, rounds)}"

    def start(self):
        """None: a node is not started for a function. What a function's start takes is measured by calls to `zero`."""
        self.commands = [str(self.program["command"])]
        self._node = Node()
        try:
            self._node.start()
            self._node.deploy(self._package)
            self._labels = {self._node.launcher_pid: "launcher", self._node.daemon_pid: "daemon"}
            self.port = int(self._node.url.rsplit(":", 1)[1])
            connection = cold.Connection(self._node.url)
            cold.settle(connection, "zero", connection.request_of(self.zero))
            connection.close()
        except BaseException:
            self.stop()
            raise
        return None

    def pids(self):
        return self._node.pids()

    def label(self, pid):
        return self._labels.get(pid, "sandboxes")

    def stop(self):
        try:
            self._node.stop()
        finally:
            self._node.remove()


class EbbNative(Ebb):
    """The same node with the two functions in C++."""

    name = "ebb native"

    def installed(self, out):
        return {"command": "ebb serve; ebb deploy bench/peers/native", "version": f"{self._version}, {install.compiler()}"}

    def package(self):
        return install.native_functions(self._out)


MAKERS = {
    "ebb python": Ebb, "ebb native": EbbNative, "workerd": lambda out, _: Workerd(out, 1), "workerd x2": lambda out, _: Workerd(out, 2),
    "gunicorn sync": lambda out, _: Gunicorn(out, "sync"), "gunicorn gthread": lambda out, _: Gunicorn(out, "gthread"),
    "of-watchdog http": lambda out, _: WatchdogHttp(out), "of-watchdog fork": lambda out, _: WatchdogFork(out),
    "aws-lambda-rie": lambda out, _: LambdaRie(out), "knative queue-proxy": lambda out, _: QueueProxy(out), "nginx proxy": lambda out, _: Nginx(out)}


def word_of(name):
    """A server's name as the command line takes it."""
    return name.replace(" ", "-")


def every(out, version, only=None):
    """([server], {name: why it is missing}); `only`: words of those wanted, all else."""
    servers, missing = [], {}
    for name, make in MAKERS.items():
        if only and word_of(name) not in only:
            continue
        try:
            servers.append(make(out, version))
        except install.Missing as reason:
            missing[name] = str(reason)
    return servers, missing
