"""Classes of container escapes, each tried by user code: in an instance, and in its zygote while the module loads."""

import ctypes
import hashlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading

import pytest

from ebb_node import BINARY, eventually, in_parallel

SOURCE = '''
import ctypes, errno, os, resource, shutil, socket, stat, subprocess, time
libc = ctypes.CDLL(None, use_errno=True)

def tried(action, *arguments, **more):
    """"allowed", or the name of the errno that stopped it."""
    try:
        action(*arguments, **more)
        return "allowed"
    except OSError as error:
        return errno.errorcode[error.errno]

def call(name, *arguments):
    ctypes.set_errno(0)
    return "allowed" if getattr(libc, name)(*arguments) >= 0 else errno.errorcode[ctypes.get_errno()]

def opened(path, flags):
    return tried(lambda: os.close(os.open(path, flags)))

def walk(top="/"):
    for folder, folders, files in os.walk(top):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in ("/proc", "/usr")]
        yield from (os.path.join(folder, name) for name in files)

def kind(path):
    try:
        return os.lstat(path).st_mode
    except OSError:
        return 0

def pids():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())

def replace_devices():
    """What a mask would be made of, exchanged for something else."""
    return [tried(os.unlink, "/dev/null"), tried(os.rename, "/dev/null", "/dev/x"), tried(os.symlink, "/etc/passwd", "/dev/console"),
            tried(os.rename, "/dev/zero", "/dev/null"), tried(os.rename, "/dev/shm", "/dev/y"), tried(os.mkdir, "/dev/z")]

def own_masks():
    """Something laid over what a fork will write to or mount on."""
    return [call("mount", b"/dev/null", f"/proc/{os.getpid()}/setgroups".encode(), None, 4096, None), call("mount", b"tmpfs", b"/proc", b"tmpfs", 6, None),
            tried(os.symlink, "/tmp", "/proc/x"), tried(os.rmdir, "/var/task")]

def crash(name="ebb-plain", *limits):
    """Whether the end of a child that crashes was a dump. It has tried to set these limits of core dumps before."""
    pid = os.fork()
    if pid == 0:
        libc.prctl(15, name.encode(), 0, 0, 0)
        for limit in limits:
            tried(resource.setrlimit, resource.RLIMIT_CORE, (limit, limit))
            libc.syscall(160, ctypes.c_long(1 << 32 | 4), ctypes.byref((ctypes.c_ulong * 2)(limit, limit)))
        os.kill(os.getpid(), 11)
        os._exit(1)
    status = os.waitpid(pid, 0)[1]
    return os.WCOREDUMP(status) or not os.WIFSIGNALED(status)

def core():
    """A crash, and what it left."""
    os.chdir("/tmp")
    return [crash(), [name for name in os.listdir("/tmp") if "core" in name], resource.getrlimit(resource.RLIMIT_CORE)[1]]

INSTANCE = 0x8000 | 0x10000000 | 0x20000 | 0x8000000 | 0x4000000 | 0x20000000 | 0x200000 | 0x1000000 | 17  # a fork's own word

def mounting_child():
    """What a child in namespaces of its own may mount, by a zygote's wider list; it stays there while it is looked for."""
    read, write = os.pipe()
    tid = ctypes.c_int()
    if libc.syscall(56, ctypes.c_long(INSTANCE), 0, 0, ctypes.byref(tid), 0) == 0:
        said = []
        for name, text in (("setgroups", "deny"), ("uid_map", "1000 1000 1"), ("gid_map", "1000 1000 1")):
            with open("/proc/self/" + name, "w") as file:
                file.write(text)
        said += [call("mount", None, b"/", None, flags, None) for flags in (16384 | 1 << 20, 1 << 20)]  # MS_SHARED: to be seen elsewhere
        said += [call("mount", b"ebb-stray", b"/tmp", b"tmpfs", 6, None), call("mount", b"ebb-stray", b"/dev/shm", b"tmpfs", 6, None)]
        os.write(write, repr(said).encode())
        time.sleep(600)
        os._exit(0)
    os.close(write)
    said = os.read(read, 1000).decode()
    os.close(read)
    return said

def setuid_copy():
    shutil.copy("/usr/bin/id", "/tmp/id")
    os.chmod("/tmp/id", 0o6755)
    return subprocess.run(["/tmp/id", "-u"], capture_output=True, text=True).stdout.strip()

def meet(name, listens):
    with socket.socket(socket.AF_UNIX) as ours:
        if listens:
            ours.bind("\\0" + name)
            ours.listen()
            time.sleep(1.5)
            return "listened"
        time.sleep(0.5)
        return tried(ours.connect, "\\0" + name)

def take_what_leads_out():
    """Descriptors of a folder and a file outside, as some mistake might leave them: what they are good for."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind("/tmp/door")
        door.listen()
        with door.accept()[0] as visitor:
            folder, file = socket.recv_fds(visitor, 1, 2)[1]
    return {"folder": os.path.basename(os.readlink(f"/proc/self/fd/{folder}")), "read": tried(os.open, "secret", os.O_RDONLY, dir_fd=folder),
            "list": tried(os.open, ".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder), "again": tried(os.open, f"/proc/self/fd/{file}", os.O_RDONLY),
            "make": tried(os.open, "open/new", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=folder), "remove": tried(os.unlink, "open/old", dir_fd=folder)}

loading = {
    "exe": {pid: [opened(f"/proc/{pid}/exe", os.O_RDWR), opened(f"/proc/{pid}/exe", os.O_RDONLY), opened(f"/proc/{pid}/environ", os.O_RDONLY)]
            for pid in pids()},
    "pids": pids(), "self": os.getpid(), "devices": replace_devices(), "masks": own_masks(),
}

def handler(event, context):
    return eval(event["body"] if isinstance(event, dict) and "body" in event else event)

probe = handler
'''


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, {"probe": {}})
    node.deploy_app(SOURCE, {"probe": {}}, app="other")


@pytest.fixture
def probe(node):
    def inside(expression, app="app"):
        response = node.call(f"{app}/probe", data=expression.encode(), headers={"Content-Type": "text/plain"})
        assert response.status_code == 200, response.text
        return response.json() if response.headers["Content-Type"] == "application/json" else response.text
    return inside


def test_a04_setuid_gives_nothing(probe):
    assert probe("setuid_copy()") == "1000"
    options = {line.split()[4]: line.split()[5].split(",") for line in probe("open('/proc/self/mountinfo').read()").splitlines()}
    assert [point for point, flags in options.items() if "nosuid" not in flags] == []


def test_a06_processes_of_the_host_and_of_others(node, probe):
    probe("1", app="other")
    theirs = [node.launcher_pid, node.daemon_pid, *node.pids_in("instances", "other"), *node.pids_in("zygotes", "other")]
    assert len(theirs) > 3
    for pid in theirs:
        assert probe(f"[opened('/proc/{pid}/' + name, os.O_RDONLY) for name in ('environ', 'maps', 'mem', 'status')]") == ["ENOENT"] * 4
        assert probe(f"tried(os.kill, {pid}, 0)") == "ESRCH"


def test_a08_the_working_directory_leads_nowhere(probe):
    assert probe("os.getcwd()") == "/var/task"
    assert probe("os.path.samefile('/proc/self/cwd/' + '../' * 20, '/')") is True
    assert probe("[os.path.samefile(f'/proc/self/fd/{fd}/..', '/') for fd in os.listdir('/proc/self/fd') if os.path.isdir(f'/proc/self/fd/{fd}')"
                 " and not os.readlink(f'/proc/self/fd/{fd}').startswith('/proc')]") == []


def test_a09_no_program_of_the_host_is_overwritten(probe):
    before = hashlib.sha256(BINARY.read_bytes()).hexdigest()
    assert probe("opened('/proc/self/exe', os.O_RDWR)") in ("EROFS", "EACCES", "ETXTBSY")
    assert probe("opened(os.path.realpath('/proc/self/exe'), os.O_RDWR)") in ("EROFS", "EACCES", "ETXTBSY")
    loading = probe("loading")
    for pid, (write, read, environ) in loading["exe"].items():
        assert write != "allowed", pid
        if int(pid) == 1:  # init is a copy of the launcher: neither its program nor its memory is to be had
            assert read == environ == "EACCES"
    assert "1" in loading["exe"] and loading["self"] != 1
    assert hashlib.sha256(BINARY.read_bytes()).hexdigest() == before


def test_a10_devices_cannot_be_exchanged(probe):
    for results in (probe("loading")["devices"], probe("replace_devices()")):
        assert set(results) <= {"EROFS", "EACCES", "EPERM", "EBUSY", "EXDEV"}, results
    assert probe("stat.S_ISCHR(kind('/dev/null')) and os.lstat('/dev/null').st_rdev == os.makedev(1, 3)") is True
    assert probe("[name for name in ('keys', 'kallsyms', 'interrupts', 'cmdline') if os.path.exists('/proc/' + name) and os.access('/proc/' + name, os.R_OK)"
                 " and os.stat('/proc/' + name).st_rdev != os.makedev(1, 3)]") == []


def test_a11_a_zygote_lays_nothing_over_proc(probe):
    assert set(probe("loading")["masks"]) <= {"EPERM", "ENOSYS", "ENOENT", "EROFS", "EACCES", "EBUSY"}
    assert probe("open('/proc/self/uid_map').read().split()") == ["1000", "1000", "1"]  # so the fork's writes came through


def test_a12_links_of_a_build_make_nothing_outside(node):
    """What a build leaves is given another owner and mode: never what its links lead to."""
    victim = node.directory / "victim"
    victim.write_text("x")
    os.chmod(victim, 0o600)
    build = f"ln -s {victim} link; ln -s {node.directory} folder; ln -s /etc/passwd passwd; ln -s ../../../../../../../.. up; echo x > real"
    node.deploy({"ebb.yaml": f'{{"app": "links", "build": "{build}", "functions": {{"f": {{"handler": "app.handler"}}}}}}',
                 "app.py": "import os\ndef handler(e, c):\n    return [os.path.exists('link'), os.path.exists('folder'), os.path.exists('up/home')]\n"},
                expect=None)
    seen = os.lstat(victim)
    assert (seen.st_mode & 0o777, seen.st_uid, victim.read_text()) == (0o600, 0, "x")
    assert os.stat("/etc/passwd").st_uid == 0 and os.stat("/etc/passwd").st_mode & 0o022 == 0
    if "links/f" in node.functions():
        assert node.call("links/f").json() == [False, False, False]


def test_a13_no_cgroup_file_system(probe):
    kinds = [line.split(" - ")[1].split()[0] for line in probe("open('/proc/self/mountinfo').read()").splitlines()]
    assert not {"cgroup", "cgroup2", "sysfs", "securityfs", "debugfs", "tracefs", "bpf", "devpts"} & set(kinds), kinds
    assert probe("[path for path in walk() if path.endswith(('cgroup.procs', 'release_agent', 'notify_on_release', 'devices.allow'))]") == []


def test_a14_no_way_out_of_the_root(probe):
    assert probe("tried(os.chroot, '/tmp')") == "EPERM"
    assert probe("os.path.samefile('/..', '/') and os.path.samefile('/' + '../' * 30, '/')") is True
    lines = probe("open('/proc/self/mountinfo').read()").splitlines()
    shared = [line for line in lines if re.search(r" (shared|master|propagate_from|unbindable):?\d* ", line.split(" - ")[0] + " ")]
    assert shared == []


def test_a14_mounts_show_on_neither_side(node):
    """Neither what a zygote's own child mounts in its namespace, nor what the host mounts later where a sandbox looks."""
    node.deploy_function(SOURCE + "stray = mounting_child()\n", app="stray", handler="app.probe")
    ask = lambda expression: node.call("stray/f", data=expression.encode(), headers={"Content-Type": "text/plain"})  # noqa: E731
    assert ask("stray").text == str(["ENOSYS", "ENOSYS", "allowed", "allowed"])
    tables = {pid: pathlib.Path(f"/proc/{pid}/mountinfo").read_text() for pid in ["self", *node.pids()]}
    assert [pid for pid, table in tables.items() if "ebb-stray" in table] == [pid for pid in tables if pid in strays(node)] != []
    place = pathlib.Path("/usr/src")
    subprocess.run(["mount", "-t", "tmpfs", "ebb-later", str(place)], check=True)
    try:
        (place / "later").touch()
        assert ask("os.path.exists('/usr/src/later') or 'ebb-later' in open('/proc/self/mountinfo').read()").json() is False
    finally:
        subprocess.run(["umount", str(place)], check=True)
    node.cli("rm", "stray", "--yes")


def strays(node):
    """The zygote's own child: of its processes the one that is the first of a pid namespace."""
    return {pid for pid in node.pids_in("zygotes", "stray")
            if re.search(r"NSpid:.*\t1$", pathlib.Path(f"/proc/{pid}/status").read_text(), re.M)}


def test_a16_instances_of_one_version_do_not_meet(node, probe):
    if ctypes.CDLL(None).syscall(444, None, 0, 1) < 6:  # landlock_create_ruleset: its version
        pytest.skip("the kernel's landlock has no scopes: SECURITY.md says what that leaves open")
    bodies = ["meet('here', True)", "meet('here', False)"]
    answers = in_parallel(2, lambda n: node.call("app/probe", data=bodies[n].encode(), headers={"Content-Type": "text/plain"}).text)
    assert answers == ["listened", "EPERM"]


def test_a16_a_descriptor_that_leads_out_opens_nothing(node):
    if ctypes.CDLL(None).syscall(444, None, 0, 1) < 1:
        pytest.skip("no landlock in this kernel: SECURITY.md says what that leaves open")
    node.deploy_function(SOURCE, app="door", handler="app.probe")
    outside = node.directory / "outside"
    (outside / "open").mkdir(parents=True)
    (outside / "open").chmod(0o777)  # only landlock is between
    (outside / "secret").write_text("of the host")
    (outside / "open/old").write_text("x")
    answers = []
    ask = threading.Thread(target=lambda: answers.append(node.call("door/f", data=b"take_what_leads_out()", headers={"Content-Type": "text/plain"})))
    ask.start()
    doors = lambda: [door for pid in node.pids_in("instances", "door") if (door := f"/proc/{pid}/root/tmp/door") and os.path.exists(door)]  # noqa: E731
    door, = eventually(doors, "its door")
    with socket.socket(socket.AF_UNIX) as visitor:
        visitor.connect(door)
        given = [os.open(outside, os.O_PATH), os.open(outside / "secret", os.O_RDONLY)]
        socket.send_fds(visitor, [b"x"], given)
        ask.join()
    for fd in given:
        os.close(fd)
    told = answers[0].json()
    assert told.pop("folder") == "outside"
    assert told == dict.fromkeys(("read", "list", "again", "make", "remove"), "EACCES")
    node.cli("rm", "door", "--yes")


def test_a18_no_socket_of_the_host(probe):
    assert probe("[path for path in walk() if stat.S_ISSOCK(kind(path))]") == []
    for path in ("/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/dbus/system_bus_socket", "/run/systemd/private",
                 "/run/crio/crio.sock", "/run/podman/podman.sock", "/dev/log", "/run/systemd/journal/socket"):
        assert probe(f"tried(socket.socket(socket.AF_UNIX).connect, {path!r})") in ("ENOENT", "EACCES"), path


def test_a20_nothing_of_the_kernels_log_and_the_hosts_name(probe):
    assert probe("call('klogctl', 3, ctypes.create_string_buffer(100), 100)") == "EPERM"
    assert probe("[opened(path, os.O_RDONLY) for path in ('/dev/kmsg', '/proc/kmsg', '/var/log/dmesg')]") != ["allowed"] * 3
    assert probe("os.uname().nodename") == "ebb" and probe("open('/proc/sys/kernel/hostname').read().strip()") == "ebb"
    assert socket.gethostname() not in probe("open('/etc/hosts').read().split()")


def test_a21_shared_memory_and_queues_are_ones_own(node, probe):
    key = 0x45424201
    assert probe(f"call('shmget', {key}, 4096, 0o1666), call('semget', {key}, 1, 0o1666), call('msgget', {key}, 0o1666)") == ["allowed"] * 3
    assert probe(f"[call('shmget', {key}, 0, 0), call('semget', {key}, 0, 0), call('msgget', {key}, 0)]", app="other") == ["ENOENT"] * 3
    probe("call('mq_open', b'/ebb', os.O_CREAT | os.O_RDWR, 0o666, None)")  # landlock refuses even that
    assert probe("call('mq_open', b'/ebb', os.O_RDWR)", app="other") in ("ENOENT", "EACCES")
    # Another instance of the same function, while the first is busy.
    bodies = [f"(call('shmget', {key + 1}, 4096, 0o1666), time.sleep(1)) and 1", f"time.sleep(0.5) or call('shmget', {key + 1}, 0, 0)"]
    answers = in_parallel(2, lambda n: node.call("app/probe", headers={"Content-Type": "text/plain"}, data=bodies[n].encode()).text)
    assert answers[1] == "ENOENT"
    assert probe("call('syscall', 250, 0, -3, 0)") == "EPERM"  # keyctl: keyrings are not in any namespace


def test_a22_no_core_dump_and_no_tracing(probe):
    assert probe("core()") == [False, [], 1]
    assert probe("call('ptrace', 16, 1, 0, 0)") == "EPERM"


@pytest.fixture
def crash_reader():
    """A program of the host that reads what crashes, as systemd-coredump and apport do, and the names of those it was started for."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="ebb-core-", dir="/tmp"))
    reader, told = folder / "reader", folder / "told"
    reader.write_text(f"#!/bin/sh\necho $1 >> {told}\ncat > /dev/null\n")
    reader.chmod(0o755)
    before = pattern.read_text()
    pattern.write_text(f"|{reader} %e")
    try:
        yield lambda: told.read_text().split() if told.exists() else []
    finally:
        pattern.write_text(before)
        shutil.rmtree(folder)


def crash_outside():
    code = "import ctypes, os, resource; ctypes.CDLL(None).prctl(15, b'ebb-outside', 0, 0, 0); resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); os.abort()"
    assert subprocess.run([sys.executable, "-I", "-c", code], check=False).returncode == -signal.SIGABRT


def test_a22_a_crash_starts_no_program_of_the_host(node, probe, crash_reader):
    """The kernel would start it as root of the host, with the memory of whoever crashed to read, even where no dump is permitted."""
    crash_outside()
    if "ebb-outside" not in crash_reader():
        pytest.skip("the kernel looks for such programs in another mount namespace than this one")
    assert probe("[crash('ebb-plain'), crash('ebb-none', 0), crash('ebb-two', 2), crash('ebb-most', resource.RLIM_INFINITY)]") == [False] * 4
    node.deploy_function(SOURCE + "dumped = [crash('ebb-zygote'), crash('ebb-lowered', 0)]\n", app="crashes", handler="app.probe")
    assert node.call("crashes/f", data=b"dumped", headers={"Content-Type": "text/plain"}).json() == [False] * 2
    node.cli("rm", "crashes", "--yes")
    os.kill(node.daemon_pid, signal.SIGSEGV)  # it holds secrets: nor is it read
    eventually(lambda: "daemon died" in node.serve_log() and node.is_ready(), "the next daemon")
    crash_outside()
    assert [name for name in crash_reader() if name.startswith("ebb")] == ["ebb-outside"] * 2
