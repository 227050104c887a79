"""A real `ebb serve` for tests: started as root on a free port with a data directory of its own, driven through the command line
and plain HTTP as a user would, and examined after its end: no process, cgroup or mount may be left.

Nothing here is faked. `Node` is used through the fixtures of conftest.py; a test that kills parts of a node uses its
`launcher_pid`, `daemon_pid`, `start` and `stop` itself.
"""

import concurrent.futures
import contextlib
import ctypes
import importlib.util
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import weakref

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("EBB_BIN", ROOT / "build/release/ebb"))
# Sanitizers are slower; every deadline of the fixtures is stretched by this, no assertion depends on it.
PATIENCE = float(os.environ.get("EBB_TEST_PATIENCE", "4" if "asan" in str(BINARY) else "1"))

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """What outlives its parent becomes a child of the test process: that is how a leak is found, however deep it was."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def eventually(condition, what, seconds=10.0, evidence=None):
    """Awaits a condition and returns its true value; fails with `what`, and what `evidence()` returns, after the limit."""
    limit = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > limit:
            seen = f": {evidence()}" if evidence else ""
            raise AssertionError(f"{what} did not happen within {seconds * PATIENCE:g} s{seen}")
        time.sleep(0.02)


def _stat(pid):
    """(parent, state) of a process, or None."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[1]), fields[0]
    except OSError:
        return None


def is_alive(pid):
    """Neither gone nor a zombie."""
    stat = _stat(pid)
    return stat is not None and stat[1] not in "ZX"


def descendants(root_pid):
    """Pids of all living (not zombie) processes below a process."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (stat := _stat(entry)):
            children.setdefault(stat[0], []).append((int(entry), stat[1]))
    found, todo = set(), [root_pid]
    while todo:
        for pid, state in children.get(todo.pop(), []):
            todo.append(pid)
            if state not in "ZX":
                found.add(pid)
    return found


def described(pid):
    try:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return f"{pid} ({words or pathlib.Path(f'/proc/{pid}/comm').read_text().strip()})"
    except OSError:
        return f"{pid} (just gone)"


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024


def processor_time(pids):
    """Ticks that the processes have used."""
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total


def await_frozen(pids):
    """Frozen: the busy processes in it use no more processor."""
    def still():
        before = processor_time(pids)
        time.sleep(0.2)
        return processor_time(pids) == before
    eventually(still, "that the idle instance stands still")


def cgroups_of(pids):
    """Every cgroup directory whose path has a component ebb-*, down to that component, that holds one of the processes."""
    mounts = {}  # "memory" or "" for v2 -> mount point
    for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options = line.split()[:4]
        if kind == "cgroup2":
            mounts[""] = point
        elif kind == "cgroup":
            for option in options.split(","):
                mounts[option] = point
    found = set()
    for pid in pids:
        try:
            lines = pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except OSError:
            continue
        for line in lines:
            _, controllers, path = line.split(":", 2)
            point = mounts.get(controllers.split(",")[0])  # "name=systemd" is spelt like that in the mount options too
            inside = re.match(r"(.*?/ebb-[^/]*)", path)
            if point and inside:
                found.add(point + inside.group(1))
    return found


class CliError(AssertionError):
    """The command line ended with another code than expected."""


class Node:
    """One running Ebb. Errors of set-up raise; what a test wants to see fail is asked for with `expect`."""

    _all = weakref.WeakSet()  # of this process; what one runs is none of the others'

    def __init__(self, config=None, directory=None, inherit=()):
        self.inherit = inherit  # descriptors that `ebb serve` is started with
        self.serve_binary = BINARY  # what `ebb serve` is started as: a test may put a wrapper around it
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="ebb-test-", dir="/tmp"))
        self.directory.chmod(0o755)  # the daemon's account has to reach its data
        (self.directory / "data").mkdir(exist_ok=True)
        self.config = {"data_dir": str(self.directory / "data"), "listen": "127.0.0.1:0", **(config or {})}
        self.data = pathlib.Path(self.config["data_dir"])
        self.log_path = self.directory / "serve.log"
        self.process = None
        self.url = None
        self.verify = True  # whose certificates are believed: requests' `verify`
        self._before = set()
        self._cgroups = set()
        self._http = threading.local()
        Node._all.add(self)

    # Life.

    def start(self, ready_within=20.0):
        """Starts `ebb serve` and waits until it says that it listens and /readyz agrees."""
        assert self.process is None, "already started"
        file = self.directory / "ebb.yaml"
        file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in self.config.items()))
        self._before = descendants(os.getpid())
        log = open(self.log_path, "ab")
        with log:
            self.process = subprocess.Popen([str(self.serve_binary), "serve", "--config", str(file)], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, start_new_session=True, pass_fds=self.inherit)
        self._listening = threading.Event()
        threading.Thread(target=self._read_stdout, args=(self.process.stdout,), daemon=True).start()
        eventually(lambda: self._listening.is_set() or self.process.poll() is not None, "'listening on' in serve's output", ready_within)
        if self.process.poll() is not None:
            raise AssertionError(f"ebb serve ended with {self.process.returncode}:\n{self.serve_log()}")
        eventually(self.is_ready, "/readyz", ready_within)
        return self

    def _read_stdout(self, stream):
        # Read to the end: a full pipe would stop the daemon. After a restart of the daemon the line comes again.
        for line in stream:
            with open(self.log_path, "ab") as log:
                log.write(line)
            found = re.search(rb"listening on (https?://\S+)", line)
            if found:
                self.url = found.group(1).decode()
                self._listening.set()

    def is_ready(self):
        try:
            return requests.get(self.url + "/readyz", timeout=2, verify=self.verify).status_code == 200
        except requests.RequestException:
            return False

    def stop(self, kill=False):
        """Ends it and asserts that nothing is left. `kill`: SIGKILL to the launcher instead of SIGTERM."""
        if self.process is None:
            return
        self._cgroups |= cgroups_of(self.pids())
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self.process.wait(30 * PATIENCE)
            except subprocess.TimeoutExpired:
                self._end_the_rest()
                raise AssertionError(f"ebb serve did not end within {30 * PATIENCE:g} s of SIGTERM:\n{self.serve_log()[-3000:]}") from None
        status, self.process = self.process.returncode, None
        if kill:
            # What a killed launcher leaves is swept by the next start, which does not come: test_kill.py sees to that part.
            eventually(lambda: not self.pids(), "the end of every process after the launcher's")
            self._remove_cgroups()
        problems = self.leftovers()
        if not kill and status not in (0, -signal.SIGTERM):
            problems.append(f"ebb serve ended with {status}")
        if problems:
            self._end_the_rest()
            raise AssertionError("\n".join(problems) + "\n" + self.serve_log()[-3000:])

    def remove(self):
        """Deletes the data. For the end, after stop."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def pids(self):
        """All living processes of the node: launcher, daemon, sandboxes."""
        mine = descendants(os.getpid()) - self._before
        others = self._other_pids()
        return mine.difference(others, *map(descendants, others))

    def _other_pids(self):
        return [other.process.pid for other in Node._all if other is not self and other.process is not None]

    def platform_pids(self):
        """What is in no sandbox: launcher, daemon, and the process that starts runsc, where that is installed."""
        def name(pid):
            try:
                return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
            except OSError:
                return ""
        return {self.launcher_pid, self.daemon_pid} | {pid for pid in self.pids() if name(pid) == "ebb-gvisor"}

    def leftovers(self, seconds=5.0):
        """What is still there after the end, in words; awaited for a moment, since exits are asynchronous."""
        def found():
            self._reap()
            left = [f"process left: {described(pid)}" for pid in self.pids()]
            left += [f"cgroup left: {path}" for path in sorted(self._cgroups) if os.path.isdir(path)]
            mounts = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
            left += [f"mount left: {line.split()[4]}" for line in mounts if str(self.directory) in line]
            return left
        try:
            eventually(lambda: not found(), "a clean end", seconds)
            return []
        except AssertionError:
            return found()

    def _remove_cgroups(self):
        for top in self._cgroups:
            for folder, _, _ in os.walk(top, topdown=False):
                os.rmdir(folder)

    def _reap(self):
        """Adopted orphans that have ended: their zombies are ours to collect. Popen children are not touched."""
        for entry in os.listdir("/proc"):
            if entry.isdigit() and int(entry) not in self._before and (stat := _stat(entry)) and stat == (os.getpid(), "Z"):
                if int(entry) not in self._other_pids() and (self.process is None or int(entry) != self.process.pid):
                    try:
                        os.waitpid(int(entry), os.WNOHANG)
                    except ChildProcessError:
                        pass

    def _end_the_rest(self):
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process = None

    # Its processes, for fault tests.

    def groups(self):
        """{pid: the cgroup path below the node's own} of every process in a sandbox: app-NAME/s1 holds a runtime, app-NAME/v1.1/z1
        a function zygote, app-NAME/v1.1/i1 an instance."""
        found = {}
        for pid in self.pids():
            try:
                text = pathlib.Path(f"/proc/{pid}/cgroup").read_text()
            except OSError:
                continue
            inside = re.search(r"/ebb-[^/\n]*/(app-[^\n]*)", text)
            if inside:
                found[pid] = inside.group(1)
        return found

    def kill_daemon(self):
        """Returns when it has ended; the launcher starts another."""
        daemon = self.daemon_pid
        os.kill(daemon, signal.SIGKILL)
        eventually(lambda: not is_alive(daemon), "the daemon's end")

    def pids_in(self, kind, app="app"):
        """Pids of an app's "instances", "zygotes" or "sandboxes"; children of user code included."""
        pattern = {"instances": r"v[\d.]+/i\d+", "zygotes": r"v[\d.]+/z\d+", "sandboxes": r"s\d+"}[kind]
        return {pid for pid, group in self.groups().items() if re.fullmatch(f"app-{app}/{pattern}", group)}

    def cgroup_directories(self):
        """Every cgroup directory of the node, with what it made below its own, and which are empty too."""
        self._cgroups |= cgroups_of(self.pids())
        return {folder for top in self._cgroups for folder, _, _ in os.walk(top)}

    def mounts(self):
        """What launcher and daemon have mounted, each as they see it."""
        return [line.split()[4] for pid in (self.launcher_pid, self.daemon_pid)
                for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]

    def namespaces(self):
        """All namespaces that the node's processes are in or hold open."""
        found = set()
        for pid in self.pids():
            for folder in ("ns", "fd"):
                try:
                    for name in os.listdir(f"/proc/{pid}/{folder}"):
                        target = os.readlink(f"/proc/{pid}/{folder}/{name}")
                        if re.fullmatch(r"(mnt|net|pid|user|ipc|uts|cgroup|time):\[\d+\]", target):
                            found.add(target)
                except OSError:
                    continue
        return found

    def open_files(self):
        """How many descriptors launcher and daemon hold."""
        return [len(os.listdir(f"/proc/{pid}/fd")) for pid in (self.launcher_pid, self.daemon_pid)]

    @property
    def launcher_pid(self):
        return self.process.pid

    @property
    def daemon_pid(self):
        """The launcher's child that holds the listening socket."""
        port = int(self.url.rsplit(":", 1)[1])
        inodes = set()
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
        for pid in sorted(descendants(self.process.pid)):
            try:
                for fd in os.listdir(f"/proc/{pid}/fd"):
                    if os.readlink(f"/proc/{pid}/fd/{fd}") in inodes:
                        return pid
            except OSError:
                continue
        raise AssertionError(f"nobody below the launcher listens on port {port}")

    def serve_log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def key(self):
        """The node's own admin key."""
        return (self.data / "admin.key").read_text().strip()

    # The command line.

    def environment(self, changes=None):
        """Of the command line. It finds the admin key by itself, as root on this machine; no key of the outer world reaches it."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith("EBB_KEY")}
        return {**plain, "EBB_URL": self.url, "HOME": str(self.directory), **(changes or {})}

    def cli(self, *arguments, expect=0, stdin=None, timeout=300, env=None):
        """Runs `ebb ARGUMENTS` against this node. `expect`: the exit code, or None for any."""
        done = subprocess.run([str(BINARY), *map(str, arguments)], env=self.environment(env), input=stdin,
                              capture_output=True, timeout=timeout * PATIENCE, check=False)
        done.stdout, done.stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if expect is not None and done.returncode != expect:
            raise CliError(f"ebb {' '.join(map(str, arguments))} ended with {done.returncode}, not {expect}\n{done.stdout}\n{done.stderr}\n"
                           f"{self.serve_log()[-2000:]}")
        return done

    def cli_json(self, *arguments, **options):
        return parse_json(self.cli(*arguments, "--json", **options).stdout)

    def deploy(self, package, expect=0, json_output=True):
        """Deploys a folder, or files given as {path: text or bytes}. Returns the finished command."""
        if isinstance(package, dict):
            folder = tempfile.mkdtemp(prefix="package-", dir=self.directory)
            for name, content in package.items():
                path = pathlib.Path(folder) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            package = folder
        return self.cli("deploy", package, *(["--json"] if json_output else []), expect=expect, timeout=600)

    def deploy_function(self, source, name="f", app="app", requirements=None, expect=0, **spec):
        """One Python function from its source: `handler` in app.py. `spec` holds further keys of ebb.yaml, e.g. timeout="1s"."""
        manifest = {"app": app, "functions": {name: {"runtime": "python3", "handler": "app.handler", **spec}}}
        files = {"ebb.yaml": json.dumps(manifest), "app.py": source}  # JSON is YAML
        if requirements:
            files["requirements.txt"] = requirements
        return self.deploy(files, expect=expect)

    def deploy_app(self, source, functions, app="app", requirements=None, files=None, expect=0, **top):
        """Several functions of one app.py: {name: further keys of ebb.yaml}; the handler of "a-b" is `a_b`."""
        described = {name: {"handler": f"app.{name.replace('-', '_')}", **keys} for name, keys in functions.items()}
        package = {"ebb.yaml": json.dumps({"app": app, "functions": described, **top}), "app.py": source, **(files or {})}
        if requirements:
            package["requirements.txt"] = requirements
        return self.deploy(package, expect=expect)

    def functions(self, app=None):
        """{"app/function": as `ebb ls --json` shows its current version}."""
        listed = self.cli_json("ls", *([app] if app else []))["functions"]
        listed.sort(key=lambda one: one["version"])
        return {f"{one['app']}/{one['function']}": one for one in listed}

    def usage(self, target=None, settled=True, limit=1000, request=None, since=None):
        """The newest usage records, oldest first, as dictionaries. `settled`: waits until none is open."""
        records = []
        words = [target] if target else []
        words += ["--request", request] if request else []
        words += ["--since", since] if since else []

        def read():
            nonlocal records
            records = self.cli_json("usage", *words, "--limit", limit)["records"]
            return not settled or all(record["state"] == "closed" for record in records)

        eventually(read, "the end of every open usage record")
        return records

    def usage_totals(self, target=None):
        """{"invocations", "billed_ms", "cu"} over all records."""
        return self.cli_json("usage", *([target] if target else []), "--limit", 1)["totals"]

    def exported(self):
        """All usage records of this month, as `ebb usage --export` has them."""
        return [json.loads(line) for line in self.cli("usage", "--export").stdout.splitlines()]

    def logs(self, target, request=None):
        """Log lines of a function as dictionaries."""
        return as_list(self.cli_json("logs", target, *(["--request", request] if request else [])))

    # HTTP.

    def session(self):
        """One keep-alive session per thread."""
        if not hasattr(self._http, "session"):
            self._http.session = requests.Session()
            self._http.session.trust_env = False
            self._http.session.verify = self.verify
        return self._http.session

    def call(self, path, data=None, method=None, headers=None, timeout=60, **options):
        """A request to a function, e.g. call("app/f/sub?x=1"), or to any path that begins with a slash. The control plane is shown
        the admin key unless `headers` says who calls."""
        if path.startswith(("/api/", "/metrics")):
            headers = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        url = self.url + (path if path.startswith("/") else f"/fn/{path}")
        return self.session().request(method or ("GET" if data is None and "json" not in options else "POST"), url, data=data,
                                      headers=headers, timeout=timeout * PATIENCE, **options)

    def connect(self):
        """A bare TCP connection, for what no client library would send."""
        host, port = self.url.removeprefix("http://").rsplit(":", 1)
        return socket.create_connection((host, int(port)), 60 * PATIENCE)

    def raw(self, request):
        """Sends bytes as they are and reads to the end. For requests after which the connection closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return read_to_end(connection)

    def metrics(self):
        """{'name{labels}': value} of /metrics."""
        text = self.call("/metrics").text
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}


def read_to_end(connection):
    parts = []
    while True:
        try:
            part = connection.recv(1 << 16)
        except ConnectionResetError:
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def read_response(stream, head=False):
    """(status, headers with lower-case names, body) of the next response on a connection's makefile("rb")."""
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline().strip()):
        name, value = line.decode("latin-1").split(":", 1)
        headers[name.lower()] = value.strip()
    return status, headers, b"" if head else stream.read(int(headers["content-length"]))


def in_parallel(count, work):
    """[work(0), work(1), ...], each on a thread of its own, all let go at the same moment; the first exception is raised."""
    barrier = threading.Barrier(count)

    def run(number):
        barrier.wait()
        return work(number)

    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def server_timing(response):
    """{'start': {'dur': 1.2, 'desc': 'fork'}, ...} of a response."""
    phases = {}
    for part in filter(None, (p.strip() for p in response.headers.get("Server-Timing", "").split(","))):
        name, *parameters = (word.strip() for word in part.split(";"))
        values = dict(word.split("=", 1) for word in parameters)
        phases[name] = {key: float(value) if key == "dur" else value.strip('"') for key, value in values.items()}
    return phases


def module_at(path):
    """A script of the tree, such as runtimes/npm/install.py, as a module: what it is without a node."""
    path = ROOT / path
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parse_json(text):
    """One JSON value, or one value a line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def as_list(value):
    """A list as it is; of an object that wraps one list, that list; of one record, a list of it."""
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        return lists[0] if len(lists) == 1 else [value]
    return value


@contextlib.contextmanager
def removed_after(node):
    """Whatever happened to a node: ended by force if it is still there, and its data removed."""
    adopt_orphans()
    try:
        yield node
    finally:
        try:
            if node.process is not None:
                node.stop(kill=True)
        finally:
            node.remove()


@contextlib.contextmanager
def running(node):
    """Starts a node and ends it: with the check that nothing is left, or by force after an error. Its data goes either way."""
    with removed_after(node):
        node.start()
        yield node
        node.stop()
