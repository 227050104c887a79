"""The walls of an instance, tried from inside by user code."""

import os

import pytest

from ebb_node import in_parallel

PROBE = '''
import ctypes, errno, os, socket, subprocess, sys, time
libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    """"allowed", or the name of the errno of a system call."""
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    return "allowed" if result >= 0 else errno.errorcode[ctypes.get_errno()]

def read(path, count=4096):
    try:
        with open(path, "rb") as file:
            return file.read(count).decode("latin-1")
    except OSError as error:
        return errno.errorcode[error.errno]

def status():
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, value in (line.split(":", 1) for line in file)}

def write(path, text="x"):
    try:
        with open(path, "w") as file:
            file.write(text)
        return "allowed"
    except OSError as error:
        return errno.errorcode[error.errno]

def connect(host, port):
    try:
        socket.create_connection((host, port), 3).close()
        return "allowed"
    except OSError as error:
        return type(error).__name__

def writable_in_proc():
    """What of /proc belongs to no process and opens for writing."""
    found = []
    for folder, folders, files in os.walk("/proc"):
        if folder == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        for path in (os.path.join(folder, name) for name in files):
            try:
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
            if os.fstat(fd).st_rdev != os.makedev(1, 3):  # a mask
                found.append(path)
            os.close(fd)
    return found

def walk(top, depth=2):
    found = []
    for folder, folders, files in os.walk(top):
        found += [os.path.join(folder, name) for name in files]
        if folder.count("/") >= depth:
            folders.clear()
    return found

def probe(event, context):
    return eval(event["body"] if isinstance(event, dict) and "body" in event else event)

fresh = probe
'''
FUNCTIONS = {"probe": {}, "fresh": {"reuse": "never"}}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(PROBE, FUNCTIONS)
    node.deploy({"ebb.yaml": '{"app": "other", "functions": {"f": {"handler": "app.handler", "scale": {"min": 1}}}}',
                 "app.py": "import os\nopen('/tmp/of-other', 'w').close()\ndef handler(e, c):\n    return os.getuid()\n",
                 "secret.txt": "the other app's secret"})


@pytest.fixture
def probe(node):
    def inside(expression, function="probe", status=200):
        response = node.call(f"app/{function}", data=expression.encode(), headers={"Content-Type": "text/plain"})
        assert response.status_code == status, response.text
        return response.json() if response.headers["Content-Type"] == "application/json" else response.text
    return inside


# --- privilege ---


@pytest.mark.sanitized
def test_a04_no_root_no_capability_no_new_privilege(node, probe):
    status = probe("status()")
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
    assert probe("read('/proc/self/setgroups')").strip() == "deny"


def test_a05_ids_on_the_host_are_a_range_of_the_app(node, probe):
    probe("1")
    assert node.call("other/f").status_code == 200
    owners = {}
    for app in ("app", "other"):
        for pid in node.pids_in("instances", app) | node.pids_in("zygotes", app) | node.pids_in("sandboxes", app):
            for name in ("Uid", "Gid"):
                line = next(line for line in open(f"/proc/{pid}/status") if line.startswith(name))
                owners.setdefault(app, set()).update(int(word) for word in line.split()[1:])
    base = 1_879_048_192
    ranges = {app: {(owner - base) // 65536 for owner in ids} for app, ids in owners.items()}
    assert all(owner >= base for ids in owners.values() for owner in ids), owners
    assert len(ranges["app"]) == len(ranges["other"]) == 1 and ranges["app"] != ranges["other"]


def test_a05_nobody_in_a_sandbox_is_root(node, probe):
    probe("1")
    for pid, group in node.groups().items():
        uid = int(next(line for line in open(f"/proc/{pid}/status") if line.startswith("Uid")).split()[2])
        assert uid >= 1_879_048_192, (pid, group)
    daemon = dict(line.rstrip().split(":", 1) for line in open(f"/proc/{node.daemon_pid}/status"))
    assert int(daemon["CapEff"], 16) == 0 and daemon["Uid"].split()[1] != "0"


REFUSED = {
    "mount": "call(165, b'none', b'/tmp', b'tmpfs', 0, 0)", "umount": "call(166, b'/tmp', 2)", "pivot_root": "call(155, b'/', b'/')",
    "chroot": "call(161, b'/')", "fsopen": "call(430, b'tmpfs', 0)", "open_tree": "call(428, -100, b'/', 1)",
    "mount_setattr": "call(442, -100, b'/', 0, ctypes.create_string_buffer(32), 32)",
    "unshare-user": "call(272, 0x10000000)", "unshare-mount": "call(272, 0x20000)", "unshare-net": "call(272, 0x40000000)",
    "clone-user": "call(56, 0x10000000 | 17, 0, 0, 0, 0)", "clone-pid": "call(56, 0x20000000 | 17, 0, 0, 0, 0)",
    "setns": "(lambda fd: (call(308, fd, 0), os.close(fd))[0])(os.open('/proc/self/ns/net', 0))", "ptrace": "call(101, 0, 0, 0, 0)", "ptrace-attach": "call(101, 16, 1, 0, 0)",
    "process_vm_readv": "call(310, 2, 0, 0, 0, 0, 0)", "bpf": "call(321, 0, ctypes.create_string_buffer(128), 128)",
    "keyctl": "call(250, 0, -3, 0)", "add_key": "call(248, b'user', b'a', b'b', 1, -3)", "request_key": "call(249, b'user', b'a', 0, -3)",
    "perf_event_open": "call(298, ctypes.create_string_buffer(128), 0, -1, -1, 0)", "userfaultfd": "call(323, 0)",
    "io_uring": "call(425, 8, ctypes.create_string_buffer(256))", "init_module": "call(175, 0, 0, b'')",
    "finit_module": "call(313, 0, b'', 0)", "kexec": "call(246, 0, 0, 0, 0)", "reboot": "call(169, 0xfee1dead, 672274793, 0x1234567, 0)",
    "swapon": "call(167, b'/tmp/x', 0)", "settimeofday": "call(164, ctypes.create_string_buffer(16), 0)",
    "clock_settime": "call(227, 0, ctypes.create_string_buffer(16))", "sethostname": "call(170, b'x', 1)", "syslog": "call(103, 3, 0, 0)",
    "mknod": "call(133, b'/tmp/null', 0o020666, 0x103)", "open_by_handle_at": "call(304, 3, 0, 0)", "quotactl": "call(179, 0, 0, 0, 0)",
    "acct": "call(163, 0)", "setuid": "call(105, 0)", "setgid": "call(106, 0)", "iopl": "call(172, 3)",
    "personality": "call(135, 0x0400000)", "setpriority-up": "call(141, 0, 0, ctypes.c_long(-20))",
    "real-time": "call(144, 0, 2, ctypes.byref(ctypes.c_int(1)))",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a02_system_call_is_refused(probe, name):
    # EINVAL of setuid and setgid: root is not mapped, so there is no such user to become.
    assert probe(REFUSED[name]) in ("EPERM", "ENOSYS", "EACCES") + (("EINVAL",) if name in ("setuid", "setgid") else ()), name


def test_a02_clone3_says_that_it_is_not_there(probe):
    """So that libraries fall back to clone, whose flags can be judged."""
    assert probe("call(435, ctypes.create_string_buffer(88), 88)") == "ENOSYS"


# --- what it sees ---


def test_a06_sees_only_its_own_processes(probe):
    assert probe("[os.getpid(), sorted(int(n) for n in os.listdir('/proc') if n.isdigit())]") == [1, [1]]
    assert probe("call(62, 2, 0)") == "ESRCH"  # kill


def test_a16_private_tmp(node):
    results = in_parallel(4, lambda n: node.call("app/fresh", headers={"Content-Type": "text/plain"}, data=(
        f"(time.sleep(0.3), write('/tmp/mine{n}'), write('/dev/shm/mine{n}'), [os.listdir('/tmp'), os.listdir('/dev/shm')])[-1]").encode()).json())
    for number, (tmp, shm) in enumerate(results):
        assert tmp == shm == [f"mine{number}"], results
    assert not any(name.startswith("mine") for name in os.listdir("/tmp"))


def test_a07_root_is_read_only(probe):
    for path in ("/x", "/etc/x", "/usr/x", "/usr/bin/python3", "/var/task/app.py", "/var/task/x", "/ebb/x", "/proc/x", "/dev/x", "/srv/x", "/root/x"):
        assert probe(f"write({path!r})") in ("EROFS", "EACCES", "EPERM", "ENOENT"), path
    assert probe("write('/proc/sys/kernel/core_pattern')") != "allowed" and probe("write('/proc/sysrq-trigger')") != "allowed"
    assert probe("write('/proc/1/oom_score_adj', '-1000')") != "allowed"
    assert probe("write('/tmp/x')") == "allowed"


def test_a07_nothing_of_proc_is_written_but_ones_own(probe):
    assert probe("writable_in_proc()") == []


def test_a14_no_path_of_the_host_is_visible(node, probe):
    top = set(probe("os.listdir('/')"))
    assert top <= {"bin", "dev", "ebb", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "sbin", "tmp", "usr", "var", "sys", "root", "home", "run"}, top
    for path in ("/root", "/home", "/sys", "/run"):
        assert probe(f"os.listdir({path!r}) if os.path.isdir({path!r}) else []") == [], path
    assert probe(f"os.path.exists({str(node.directory)!r})") is False
    assert set(probe("os.listdir('/var')")) <= {"task", "run", "tmp", "node_modules"}
    assert probe("[os.readlink('/var/node_modules'), os.path.exists('/var/node_modules')]") == ["/ebb/layer/node_modules", False]
    assert probe("os.listdir('/var/run') if os.path.isdir('/var/run') else []") == []
    assert probe("os.path.realpath('/var/tmp') in ('/tmp', '/var/tmp') and os.listdir('/var/tmp') == os.listdir('/tmp')") is True
    mounts = probe("open('/proc/self/mountinfo').read()")
    assert str(node.data) not in "".join(line.split()[4] for line in mounts.splitlines())
    assert probe("read('/etc/shadow')") in ("ENOENT", "EACCES")


def test_a16_code_of_another_app_is_out_of_reach(node, probe):
    assert probe("sorted(os.listdir('/var/task'))") == ["__pycache__", "app.py", "ebb.yaml"]
    secret = next(path for path in (node.data / "packages").rglob("secret.txt"))
    assert probe(f"read({str(secret)!r})") == "ENOENT"
    assert probe("[p for p in walk('/', 3) if p.endswith('secret.txt') or p.endswith('of-other')]") == []


def test_a07_masked_files_of_proc(probe):
    for name in ("kcore", "keys", "kallsyms", "sysrq-trigger", "timer_list", "sched_debug", "interrupts", "key-users", "kmsg"):
        seen = probe(f"read('/proc/{name}')")
        assert seen in ("", "EACCES", "EPERM", "ENOENT"), (name, seen[:50])
    for name in ("acpi", "scsi", "asound", "bus", "fs", "irq"):
        path = f"/proc/{name}"
        assert probe(f"os.listdir({path!r}) if os.path.isdir({path!r}) and os.access({path!r}, os.R_OK) else []") == [] or \
            probe(f"write('{path}/x')") != "allowed", name


def test_a08_open_files(probe):
    links = probe("{fd: os.readlink('/proc/self/fd/' + fd) for fd in os.listdir('/proc/self/fd') if fd in ('0', '1', '2', '3')}")
    assert links["0"] == "/dev/null" and links["1"].startswith("pipe:") and links["2"].startswith("pipe:") and links["3"].startswith("socket:")
    assert len(probe("os.listdir('/proc/self/fd')")) == 5  # and the one that lists them
    assert probe("subprocess.run(['/bin/ls', '/proc/self/fd'], capture_output=True, text=True, close_fds=False).stdout.split()") == ["0", "1", "2", "3"]


def test_a19_devices(probe):
    kept = {"null", "zero", "full", "random", "urandom", "tty"}
    nodes = probe("[n for n in os.listdir('/dev') if (os.lstat('/dev/' + n).st_mode & 0o170000) in (0o020000, 0o060000)]")
    assert set(nodes) <= kept and {"null", "zero", "random", "urandom"} <= set(nodes)
    assert set(probe("os.listdir('/dev')")) <= kept | {"shm", "fd", "stdin", "stdout", "stderr", "pts", "ptmx", "mqueue"}


def test_a20_environment_tells_nothing_of_the_host(probe):
    environment = probe("dict(os.environ)")
    assert not set(environment) & {"SSH_AUTH_SOCK", "SUDO_USER", "EBB_URL", "LD_PRELOAD", "PYTEST_CURRENT_TEST", "HOSTNAME"}, environment
    assert probe("os.uname().nodename") != os.uname().nodename


# --- network ---


def test_a17_no_network_but_its_own_loopback(node, probe):
    assert probe("[line.split(':')[0].strip() for line in open('/proc/net/dev').readlines()[2:]]") == ["lo"]
    port = int(node.url.rsplit(":", 1)[1])
    assert probe(f"connect('127.0.0.1', {port})") == "ConnectionRefusedError"
    assert node.call("/healthz").status_code == 200  # somebody does listen there
    assert probe("connect('192.0.2.1', 80)") != "allowed"
    assert probe("[line.split()[1] for line in open('/proc/net/route').readlines()[1:] if line.split()[1] == '00000000']") == []
    assert probe("open('/proc/net/unix').read().count(chr(10))") < 20  # of the host's sockets none
    assert probe("type(socket.socket(socket.AF_INET, socket.SOCK_STREAM)).__name__") == "socket"


@pytest.mark.parametrize("kind", ["AF_PACKET, socket.SOCK_RAW", "AF_INET, socket.SOCK_RAW", "AF_VSOCK, socket.SOCK_STREAM",
                                  "AF_ALG, socket.SOCK_SEQPACKET", "AF_TIPC, socket.SOCK_STREAM"])
def test_a02_sockets_that_reach_the_kernel_are_refused(node, kind):
    response = node.call("app/probe", data=f"socket.socket(socket.{kind})".encode(), headers={"Content-Type": "text/plain"})
    assert response.status_code == 502, kind
    words = ("PermissionError", "not supported", "not permitted", "not implemented")
    assert any(word in response.text for word in words), response.text
