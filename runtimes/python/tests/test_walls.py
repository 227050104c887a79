"""The walls of an instance as code inside meets them, and of a function zygote; and what a fork leaves behind."""

import os
import subprocess

import pytest

LIBC = "import ctypes, os, socket, subprocess\nlibc = ctypes.CDLL(None, use_errno=True)\n"

PROBE = LIBC + """
def refused(number, *arguments):
    ctypes.set_errno(0)
    rc = libc.syscall(number, *arguments)
    return os.strerror(ctypes.get_errno()) if rc < 0 else f"allowed: {rc}"

def status():
    with open("/proc/self/status") as file:
        return dict(line.rstrip().split(":", 1) for line in file)

def readable(path):
    try:
        with open(path, "rb") as file:
            return len(file.read(4096))
    except OSError as error:
        return error.strerror

at_load = {
    "status": status(), "uid_map": open("/proc/self/uid_map").read().split(),
    "mount": refused(165, b"none", b"/tmp", b"tmpfs", 0, 0),
    "namespaces": {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")},
}

def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, close_fds=False).stdout.split()

def talk():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), 5) as peer:
        return peer.getpeername()[0]

def handler(event, context):
    return eval(event)
"""


@pytest.fixture(params=["zygote", "runtime"])
def probe(request, sandbox, loads, tmp_path):
    """An instance by either way."""
    if request.param == "zygote":
        instance = loads(PROBE).fork()
    else:
        from sandbox import package

        tmp_path.chmod(0o755)
        instance = sandbox.fork(package(PROBE, str(tmp_path)))
    yield lambda expression: instance.call(expression).json()
    instance.close()


def test_no_capability_no_privilege(probe):
    status = probe("status()")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"].strip() == "1" and status["Seccomp"].strip() == "2"
    assert status["Uid"].split() == ["1000"] * 4 and status["Gid"].split() == ["1000"] * 4
    assert probe("open('/proc/self/uid_map').read().split()") == ["1000", "1000", "1"]
    assert probe("open('/proc/self/setgroups').read()") == "deny\n"


def test_no_new_namespace_or_mount(probe):
    operation = "Operation not permitted"
    assert probe("refused(165, b'none', b'/tmp', b'tmpfs', 0, 0)") == operation  # mount
    assert probe("refused(166, b'/tmp', 0)") == operation  # umount2
    assert probe("refused(430, b'tmpfs', 0)") == operation  # fsopen
    assert probe("refused(428, -100, b'/', 1)") == operation  # open_tree
    assert probe("refused(429, 0, b'', 0, b'', 0)") == operation  # move_mount
    assert probe("refused(155, b'/', b'/')") == operation  # pivot_root
    assert probe("refused(161, b'/')") == operation  # chroot
    for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x8000000, 0x4000000, 0x2000000):
        assert probe(f"refused(272, {flag})") == operation  # unshare
        assert probe(f"refused(56, {flag} | 17, 0, 0, 0, 0)") == operation  # clone
    assert probe("refused(308, os.open('/proc/self/ns/user', 0), 0)") == operation  # setns
    assert probe("refused(435, ctypes.create_string_buffer(88), 88)") == "Function not implemented"  # clone3


def test_own_processes_only(probe):
    assert probe("os.getpid()") == 1
    assert probe("sorted(int(n) for n in os.listdir('/proc') if n.isdigit())") == [1]
    assert probe("output('/bin/sh', '-c', 'echo $$')") != ["1"]


def test_masked_proc(probe):
    for name in (
        "keys",
        "kallsyms",
        "interrupts",
        "cmdline",
        "softirqs",
        "modules",
        "config.gz",
        "key-users",
        "timer_list",
    ):
        seen = probe(f"readable('/proc/{name}')")
        assert seen in (0, "Permission denied", "No such file or directory"), (name, seen)
    assert probe("os.listdir('/proc/pressure') if os.path.exists('/proc/pressure') else []") == []
    assert probe("readable('/proc/meminfo')") > 100 and probe("readable('/proc/cpuinfo')") > 100
    for name in ("sysrq-trigger", "sys/kernel/ns_last_pid", "sys/kernel/core_pattern"):
        assert probe(f"os.access('/proc/{name}', os.W_OK) and os.stat('/proc/{name}').st_rdev == 0") is False, name


def test_descriptors(probe):
    assert probe("[n for n in sorted(os.listdir('/proc/self/fd')) if n in '0123']") == ["0", "1", "2", "3"]
    assert len(probe("os.listdir('/proc/self/fd')")) == 5  # and the one that lists them
    assert probe("os.readlink('/proc/self/fd/0')") == "/dev/null"
    # A program does not inherit the channel: its descriptor 3 is the folder it lists.
    assert probe("output('/bin/ls', '/proc/self/fd')") == ["0", "1", "2", "3"]


def test_places_to_write(probe):
    assert probe("open('/tmp/x', 'w').write('a'), open('/dev/shm/x', 'w').write('b')") == [1, 1]


def test_package_is_read_only(loads):
    source = """
        import os
        def handler(event, context):
            said = []
            for path in ("/x", "/var/task/x", "/ebb/runtime/x", "/usr/x", "/etc/x", "/proc/x"):
                try:
                    open(path, "w").close()
                    said.append(path)
                except OSError:
                    pass
            return [said, os.statvfs("/var/task").f_flag & os.ST_RDONLY, os.statvfs("/var/task").f_flag & os.ST_NOSUID]
    """
    instance = loads(source).fork()
    assert instance.call().json() == [[], 1, 2]
    instance.close()


def test_every_cpu(probe):
    assert probe("len(os.sched_getaffinity(0))") == len(os.sched_getaffinity(0))


def test_zygotes_of_one_runtime_load_on_different_cpus(loads):
    source = "import os\nat_load = sorted(os.sched_getaffinity(0))\ndef handler(event, context):\n    return at_load\n"
    instances = [loads(source).fork() for _ in range(4)]
    at_load = [tuple(instance.call().json()) for instance in instances]
    assert all(len(cpus) == 1 for cpus in at_load), at_load
    assert len(set(at_load)) > 1 or os.cpu_count() == 1, at_load
    for instance in instances:
        instance.close()


def test_loopback_is_up(probe):
    assert probe("talk()") == "127.0.0.1"
    assert probe("[line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]") == ["lo"]


def test_private_tmp(loads):
    zygote = loads(
        "import os\ndef handler(e, c):\n    open(f'/tmp/{e}', 'w').close()\n    return sorted(os.listdir('/tmp'))\n"
    )
    first, second = zygote.fork(), zygote.fork()
    assert first.call("a").json() == ["a"]
    assert second.call("b").json() == ["b"]
    first.close()
    second.close()


def test_tmp_of_the_load_is_seen_by_all_and_changed_by_none(loads):
    source = """
        import os
        os.mkdir("/tmp/cache")
        open("/tmp/cache/model", "w").write("weights")
        def handler(event, context):
            with open("/tmp/cache/model", "a") as file:
                file.write(event)
            open(f"/tmp/{event}", "w").close()
            return [open("/tmp/cache/model").read(), sorted(os.listdir("/tmp")), oct(os.stat("/tmp").st_mode)]
    """
    zygote = loads(source)
    first, second = zygote.fork(), zygote.fork()
    assert first.call("+").json() == ["weights+", ["+", "cache"], "0o41777"]
    assert second.call("-").json() == ["weights-", ["-", "cache"], "0o41777"]
    third = zygote.fork()
    assert third.call("x").json() == ["weightsx", ["cache", "x"], "0o41777"]
    for instance in (first, second, third):
        instance.close()


def test_function_zygote(sandbox, loads):
    instance = loads(PROBE).fork()
    seen = instance.call("at_load").json()
    now = instance.call("{name: os.readlink(f'/proc/self/ns/{name}') for name in os.listdir('/proc/self/ns')}").json()
    instance.close()
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(seen["status"][name], 16) == 0, name
    assert seen["status"]["NoNewPrivs"].strip() == "1"
    assert seen["uid_map"] == ["1000", "1000", "1"] and seen["mount"] == "Operation not permitted"
    for name in ("user", "mnt", "ipc", "uts", "pid"):
        assert now[name] != seen["namespaces"][name], name
    assert now["net"] == seen["namespaces"]["net"]
    assert seen["namespaces"]["net"] != os.readlink(f"/proc/{sandbox.pid}/ns/net")


ATFORK = """
#include <pthread.h>
#include <string.h>
static char order[64];
static void add(char c) { order[strlen(order)] = c; }
static void prepare1(void) { add('p'); } static void parent1(void) { add('a'); } static void child1(void) { add('c'); }
static void prepare2(void) { add('P'); } static void parent2(void) { add('A'); } static void child2(void) { add('C'); }
__attribute__((constructor)) static void set(void) {
  pthread_atfork(prepare1, parent1, child1);
  pthread_atfork(prepare2, parent2, child2);
}
const char* seen(void) { return order; }
"""


def test_c_handlers_run_around_the_fork(sandbox, tmp_path):
    (tmp_path / "order.c").write_text(ATFORK)
    tmp_path.chmod(0o755)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "liborder.so", tmp_path / "order.c"], check=True)
    source = """
        import ctypes, os
        order = ctypes.CDLL("/var/task/liborder.so")
        order.seen.restype = ctypes.c_char_p
        def handler(event, context):
            if event:
                read, write = os.pipe()
                if os.fork() == 0:
                    os.write(write, order.seen())
                    os._exit(0)
                return os.read(read, 64).decode()
            return order.seen().decode()
    """
    from sandbox import package

    zygote = sandbox.fork_function(package(source, str(tmp_path)))
    first = zygote.fork()
    assert first.call(0).json() == "PpcC"  # newest prepares first, oldest child first
    assert first.call(1).json() == "PpcCPpcC"  # glibc's own fork still runs them, once
    second = zygote.fork()
    assert second.call(0).json() == "PpaAPpcC"  # the parent's have run in the zygote
    for thing in (first, second, zygote):
        thing.close()


def test_a_thousand_forks_leave_nothing(sandbox, loads):
    zygote = loads("def handler(e, c):\n    return 1\n")
    fds = lambda pid: sorted(os.listdir(f"/proc/{pid}/fd"))  # noqa: E731
    memory = lambda: int(
        next(line for line in open(f"/proc/{zygote.pid}/status") if line.startswith("RssAnon")).split()[1]
    )  # noqa: E731
    before, mounts = fds(zygote.pid), open(f"/proc/{zygote.pid}/mounts").read()
    for number in range(1000):
        instance = zygote.fork()
        if number == 100:
            warm = memory()
        instance.close()
    assert fds(zygote.pid) == before and open(f"/proc/{zygote.pid}/mounts").read() == mounts
    assert memory() - warm < 1024  # KiB
    assert fds(sandbox.pid) == ["0", "1", "2", "3"]


def test_a_fork_without_go_runs_nothing(loads):
    import socket
    import struct

    from sandbox import BORN, FORK_INSTANCE, Control

    zygote = loads(
        "import ebb\n@ebb.after_restore\ndef f():\n    print('user code')\ndef handler(e, c):\n    return 1\n"
    )
    control = Control()
    ours, theirs = socket.socketpair()
    fds = [control.theirs.fileno(), theirs.fileno(), control.out_w, control.err_w]
    zygote.tokens += 1
    payload = struct.pack("<Q", zygote.tokens) + b"\0" + struct.pack("<I", 0)
    zygote._order(FORK_INSTANCE, payload, fds, control, go=False)
    theirs.close()
    control.expect(BORN)
    control.sock.shutdown(2)  # the launcher goes away instead
    assert ours.recv(1) == b""
    assert "wait for the launcher's go" not in control.read_out()
    assert "receive the launcher's go" in control.read_err(5)
    ours.close()


def test_orphans_are_taken_away_and_children_are_not(tmp_path, sandbox):
    source = """
        import os, subprocess, sys
        children = sys.modules["_ebb_runtime.children"]
        kept = []
        def handler(event, context):
            if event == "start":
                subprocess.run(["/bin/sh", "-c", "(exec /bin/true) & (exec /bin/true) & exit 0"])
                kept.append(subprocess.Popen(["/bin/sh", "-c", "exit 5"]))
                return None
            if event == "look":
                orphans.look()
                orphans._next_look = 0
                return len(children._zombies())
            return kept[0].wait()
        orphans = children.Orphans(grace_seconds=0.0)
    """
    from sandbox import package

    tmp_path.chmod(0o755)
    instance = sandbox.fork(package(source, str(tmp_path)))
    instance.call("start")
    import time

    end = time.monotonic() + 10
    while instance.call("look").json() != 1:
        assert time.monotonic() < end
    assert instance.call("wait").json() == 5
    instance.close()
