"""What the walls of an instance cost: forks with all of them beside bare forks of the same function, and beside what others
take to start the same program.

Walls: the built runtime, driven as the launcher drives it (runtimes/python/tests/sandbox.py): all namespaces, id maps, /proc
and its masks, scratch places, capabilities, filters, and the moves into the cgroups of memory, cpu and pids. Bare: os.fork() of
a process with the same modules and the same frames over a socket pair. Neither has HTTP or a daemon. Both are timed from the
order to the first answer, in turn.
Peers: `true`, and Python that prints a line, from the start of the program to its end: by posix_spawn without walls, bubblewrap,
crun, runsc. They run in a mount namespace without the v2 tree of a hybrid host, which crun refuses.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "runtimes/python/tests")]

import figures  # noqa: E402

REST_SECONDS = 0.010
WARM_UP = 20
CONTROLLERS = ("memory", "cpu", "cpuacct", "pids")
PROGRAMS = {"true": ["/usr/bin/true"], "python": ["/usr/bin/python3", "-I", "-S", "-c", "print('hello')"]}


class Cgroups:
    """One group for the instances in each hierarchy, its doors open, as the launcher keeps them."""

    def __init__(self):
        places, self._folders = set(), []
        for line in pathlib.Path("/proc/self/mounts").read_text().splitlines():
            _, point, kind, options = line.split()[:4]
            if kind == "cgroup" and set(options.split(",")) & set(CONTROLLERS):
                places.add(os.path.realpath(point))
            elif kind == "cgroup2" and "memory" in (pathlib.Path(point) / "cgroup.controllers").read_text().split():
                places.add(point)
        for place in sorted(places):
            folder = pathlib.Path(place) / f"bench-walls-{os.getpid()}"
            folder.mkdir()
            self._folders.append(folder)
        self._doors = [os.open(folder / "cgroup.procs", os.O_WRONLY) for folder in self._folders]

    def admit(self, pid):
        text = b"%d" % pid
        for door in self._doors:
            os.write(door, text)

    def close(self):
        for door in self._doors:
            os.close(door)
        for folder in self._folders:
            limit = time.monotonic() + 5
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > limit:
                        raise
                    time.sleep(0.01)


def children(pid):
    return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def apart(pids):
    """Holds this process on one processor and `pids` on another: where the two ends of a channel sit decides more than the walls."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        os.sched_setaffinity(0, cpus[:1])
        for pid in pids:
            os.sched_setaffinity(pid, cpus[1:2])


def forks(rounds, seconds_max):
    """(walls, bare, warm walls, warm bare): milliseconds of the samples."""
    import bench_fork
    import sandbox

    class Caged(sandbox.Zygote):
        """A function zygote whose instances are moved to their cgroups at birth."""

        def _order(self, kind, payload, fds, control, go=True):
            self.control.send(kind, payload, fds)
            control.given()
            control.expect(sandbox.BORN)
            cgroups.admit(control.pid)
            control.send(sandbox.GO)
            _, error, pid = sandbox.struct.unpack("<QII", self.control.expect(sandbox.FORKED))
            return error, pid

    package = sandbox.package(bench_fork.HELLO)
    runtime = sandbox.Sandbox()
    function = runtime.fork_function(package)
    if not function.forkable:
        raise RuntimeError(f"the function cannot be forked: {function.reason}")
    cgroups = Cgroups()
    caged = Caged(function.control)
    bare = bench_fork.BareZygote(package, None)
    samples = ([], [], [], [])
    cpus = os.sched_getaffinity(0)

    def rested(make):
        taken = bench_fork.timed(make)
        time.sleep(REST_SECONDS)
        return taken

    try:
        limit = time.monotonic() + seconds_max
        for number in range(-WARM_UP, rounds):
            pair = rested(caged.fork), rested(bare.start)
            if number >= 0:
                samples[0].append(pair[0])
                samples[1].append(pair[1])
            if time.monotonic() > limit:
                break
        pair = caged.fork(), bare.start()
        apart((pair[0].pid, *children(bare.pid)))
        for number in range(-WARM_UP, rounds):
            for which, instance in enumerate(pair):
                started = time.perf_counter()
                instance.call({})
                if number >= 0:
                    samples[2 + which].append((time.perf_counter() - started) * 1000)
        for instance in pair:
            instance.close()
    finally:
        os.sched_setaffinity(0, cpus)
        bare.close()
        caged.close()
        runtime.close()
        cgroups.close()
    return samples


# --- peers, in a process of their own ---


def bundle(folder, words):
    """An OCI bundle: /usr and /etc of the host read-only, every namespace that forked instances have too."""
    root = folder / "root"
    for name in ("usr", "etc", "proc", "tmp", "dev"):
        (root / name).mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    mounts = [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
              {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=64m"]}]
    mounts += [{"destination": path, "type": "bind", "source": path, "options": ["ro", "rbind"]} for path in ("/usr", "/etc")]
    ids = [{"containerID": 0, "hostID": 1_900_000_000 // 65536 * 65536, "size": 65536}]
    process = {"user": {"uid": 1000, "gid": 1000}, "args": words, "env": ["PATH=/usr/bin:/bin"], "cwd": "/", "noNewPrivileges": True, "capabilities": {}}
    linux = {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "user")], "uidMappings": ids, "gidMappings": ids}
    (folder / "config.json").write_text(json.dumps({"ociVersion": "1.0.2", "process": process, "root": {"path": str(root), "readonly": True},
                                                    "hostname": "bench", "mounts": mounts, "linux": linux}))
    return str(folder)


def peer_commands(folder, program, words):
    """{peer: how it starts the program, given a number}, of those that are installed."""
    place = bundle(folder / program, words)
    bubblewrap = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc",
                  "--symlink", "usr/bin", "/bin", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc",
                  "--dev", "/dev", "--tmpfs", "/tmp", "--"]
    state = str(folder / "state")
    commands = {"no walls (posix_spawn)": lambda number: words,
                "bubblewrap": lambda number: bubblewrap + words,
                "crun": lambda number: ["crun", "--root", f"{state}-crun", "run", "--bundle", place, f"b{number}"],
                "runsc (gVisor)": lambda number: ["runsc", "--root", f"{state}-runsc", "--ignore-cgroups", "--network=none", "run", "--bundle", place,
                                                  f"b{number}"]}
    return {peer: command for peer, command in commands.items() if shutil.which(command(0)[0])}


def leave_unified_tree():
    """In a mount namespace of our own: crun takes a host for v1 only when it sees no v2 tree beside it."""
    lines = [line.split() for line in pathlib.Path("/proc/self/mounts").read_text().splitlines()]
    if any(words[2] == "cgroup" for words in lines):
        for words in lines:
            if words[2] == "cgroup2":
                subprocess.run(["umount", words[1]], check=True)


def peers_main(rounds, seconds_max):
    leave_unified_tree()
    result = {}
    with tempfile.TemporaryDirectory(prefix="ebb-bench-") as folder:
        os.chmod(folder, 0o755)  # container runtimes enter it as the container's root
        commands = {(program, peer): command for program, words in PROGRAMS.items()
                    for peer, command in peer_commands(pathlib.Path(folder), program, words).items()}
        samples = {key: [] for key in commands}
        limit, number = time.monotonic() + seconds_max, 0
        while number < rounds + 2 and (time.monotonic() < limit or number < 4):
            number += 1
            for key in tuple(commands):
                started = time.perf_counter()
                done = subprocess.run(commands[key](number), capture_output=True, check=False)
                taken = (time.perf_counter() - started) * 1000
                if done.returncode != 0 or done.stdout != (b"hello\n" if key[0] == "python" else b""):
                    result[" ".join(key)] = {"program": key[0], "peer": key[1], "failed": done.stderr.decode(errors="replace")[-300:]}
                    del commands[key]
                elif number > 2:
                    samples[key].append(taken)
                time.sleep(REST_SECONDS / 2)
        for key in commands:
            result[" ".join(key)] = {"program": key[0], "peer": key[1], "ms": figures.summary(samples[key])}
    print(json.dumps(list(result.values())))


def versions():
    found = {}
    for program in ("bwrap", "crun", "runsc"):
        if shutil.which(program):
            found[program] = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.split("\n")[0]
    return found


def measure(runtime, rounds, seconds_max, peer_rounds, peer_seconds):
    os.environ["EBB_RUNTIME_DIR"] = str(runtime.parent)
    load_before = figures.load()
    walls, bare, warm_walls, warm_bare = forks(rounds, seconds_max)
    child = subprocess.run(["unshare", "--mount", "--propagation", "private", sys.executable, __file__, str(peer_rounds), str(peer_seconds)],
                           capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise RuntimeError(f"the peers could not be measured: {child.stderr}")
    return {"walls_ms": figures.summary(walls), "bare_ms": figures.summary(bare), "warm_walls_ms": figures.summary(warm_walls),
            "warm_bare_ms": figures.summary(warm_bare), "peers": json.loads(child.stdout), "versions": versions(),
            "load": [load_before, figures.load()]}


def report(result):
    def row(name, what, ms):
        return (name, what, ms["n"], f"{ms['p50']:.2f}", f"{ms['p99']:.2f}")

    rows = [row("Ebb, fork with all walls", "python", result["walls_ms"]), row("bare fork", "python", result["bare_ms"])]
    for peer in result["peers"]:
        rows.append(row(peer["peer"], peer["program"], peer["ms"]) if "ms" in peer else (peer["peer"], peer["program"], "failed", "", ""))
    lines = [figures.table(("start, ms", "program", "n", "p50", "p99"), rows)]
    lines += [f"{peer['peer']}: {peer['failed']}" for peer in result["peers"] if "failed" in peer]
    warm = [row("in all walls", "python", result["warm_walls_ms"]), row("bare", "python", result["warm_bare_ms"])]
    lines += ["", figures.table(("warm call over its channel, ms", "program", "n", "p50", "p99"), [(*one[:3], *one[3:]) for one in warm])]
    lines += [f"peers: {', '.join(result['versions'].values()) or 'none installed (./dev deps --bench)'}"]
    return "\n".join(lines)


def judge(result, bars):
    walls, bare = result["walls_ms"], result["bare_ms"]
    bars.at_most("all walls over a bare fork, p50", walls["p50"] - bare["p50"], 1.0, "ms")
    bars.at_most("all walls over a bare fork, p99", walls["p99"] - bare["p99"], 3.0, "ms")
    bars.at_most("warm call in all walls / bare, p50", result["warm_walls_ms"]["p50"] / result["warm_bare_ms"]["p50"], 1.1)


if __name__ == "__main__":
    peers_main(int(sys.argv[1]), float(sys.argv[2]))
