"""Section B of the hardening checklist: every way to take more than one's share, tried from inside by user code. The number in a
test's name is the line of the checklist; docs/internals/hardening.md lists which test stands for which line."""

import errno
import os
import pathlib
import re
import signal
import threading
import time

import pytest

from ebb_node import await_frozen, eventually, in_parallel, is_alive, processor_time, server_timing

SOURCE = '''
import ctypes, mmap, os, resource, signal, socket, subprocess, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
count = 0

def burn(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

# --- idle instances ---

def spinner():
    global count
    while True:
        count += 1

def begin_spinning():
    for _ in range(2):
        threading.Thread(target=spinner, daemon=True).start()
    subprocess.Popen([sys.executable, "-c", "while True: pass"])

# --- processes ---

def bomb(how):
    """As many children as it can, all kept; how many. They leave their group, their session, their parent."""
    made = 0
    while True:
        try:
            pid = os.fork()
        except OSError:
            return made
        if pid == 0:
            if how == "setsid":
                os.setsid()
            if how == "orphan" and (os.fork() if made % 2 == 0 else 0):
                os._exit(0)
            for number in range(1, 32):
                if number not in (9, 19):
                    signal.signal(number, signal.SIG_IGN)
            while True:
                time.sleep(600)
        made += 1

def bomb_without_end():
    while True:
        try:
            if os.fork() == 0:
                os.setsid()
        except OSError:
            time.sleep(0.001)

def threads():
    made = []
    try:
        while True:
            made.append(threading.Thread(target=time.sleep, args=(600,), daemon=True))
            made[-1].start()
    except RuntimeError:
        return len(made)

# --- memory ---

held = []

def add(megabytes):
    block = mmap.mmap(-1, megabytes << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for offset in range(0, megabytes << 20, 4096):
        block[offset] = 1
    held.append(block)
    return megabytes

def fill(path, megabytes):
    block = b"x" * (1 << 20)
    with open(path, "wb") as file:
        for _ in range(megabytes):
            file.write(block)
    return os.path.getsize(path) >> 20

def fill_sockets(kind):
    """Megabytes that wait in sockets nobody reads."""
    waiting = 0
    if kind == "tcp":
        server = socket.create_server(("127.0.0.1", 0), backlog=1000)
    while waiting < 400 << 20 and len(held) < 1500:
        try:
            if kind == "unix":
                pair = socket.socketpair()
            else:
                pair = (socket.create_connection(server.getsockname()), server.accept()[0])
        except OSError:
            break
        held.extend(pair)
        pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8 << 20)
        pair[1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        pair[0].settimeout(0.05)
        try:
            while True:
                waiting += pair[0].send(b"x" * (1 << 20))
        except OSError:
            pass
    return waiting >> 20

def map_and_lock(megabytes):
    block = mmap.mmap(-1, megabytes << 20)
    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    held.append(block)
    return libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(megabytes << 20))

def child_adds(megabytes):
    return subprocess.run([sys.executable, "-c", f"x = b'1' * ({megabytes} << 20)"]).returncode

# --- files ---

def errno_of(action):
    try:
        return action()
    except OSError as error:
        return error.strerror

def make_files():
    made = 0
    try:
        while made < 200_000:
            os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
            made += 1
    except OSError as error:
        return [made, error.strerror]
    return [made, "none"]

def open_files():
    made = []
    try:
        while len(made) < 1_000_000:
            made.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as error:
        count = len(made)
        for fd in made:
            os.close(fd)
        return [count, error.strerror]

def sparse():
    with open("/tmp/sparse", "wb") as file:
        file.truncate(1 << 40)
    return os.stat("/tmp/sparse").st_blocks

# --- what does not want to end ---

def deaf():
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    while True:
        try:
            time.sleep(600)
        except BaseException:
            pass

def in_vfork():
    """Waits in the kernel, where only SIGKILL reaches it, for a child that never calls execve."""
    CLONE_VM, CLONE_VFORK = 0x100, 0x4000
    if libc.syscall(56, CLONE_VM | CLONE_VFORK | 17, 0, 0, 0, 0) == 0:
        while True:
            libc.pause()

def stopped_children():
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)

def probe(event, context):
    return eval(event["body"])

BALLAST = b"1" * (40 << 20)  # what the zygote shares with every instance
busy = crowd = small = half = large = slow = plain = brief = probe
'''
SMALL = 128  # MiB of `small`
FUNCTIONS = {
    "busy": {"scale": {"max": 1}, "cpu": 0.5, "idle_timeout": "10m"},
    "plain": {"idle_timeout": "10m", "scale": {"max": 4}},
    "brief": {"idle_timeout": "2s", "scale": {"max": 1}},
    "small": {"memory": f"{SMALL}Mi", "scale": {"max": 2}},
    "large": {"memory": "1Gi", "scale": {"max": 1}, "timeout": "50s"},
    "crowd": {"memory": "2Gi", "scale": {"max": 1}},
    "half": {"cpu": 0.5, "scale": {"max": 1}},
    "slow": {"timeout": "2s", "scale": {"max": 2}},
}


@pytest.fixture(scope="module", autouse=True)
def app(node):
    node.deploy_app(SOURCE, FUNCTIONS)


def run(node, function, code, status=200):
    response = node.call(f"app/{function}", data=code.encode(), headers={"Content-Type": "text/plain"})
    assert response.status_code == status, response.text
    return response


def instances(node, function):
    return sum(node.functions("app")[f"app/{function}"]["instances"].values())


# --- 30: frozen when idle ---


def uses_nothing(node, seconds):
    begun = run(node, "busy", "[begin_spinning(), os.getpid()][1]")
    pids = node.pids_in("instances")
    assert len(pids) == 2 and begun.json() == 1, pids
    busy = processor_time(pids)
    eventually(lambda: processor_time(pids) > busy, "work in the background")
    await_frozen(pids)
    before = processor_time(pids)
    time.sleep(seconds)
    assert processor_time(pids) == before, f"an idle instance used the processor within {seconds} s"
    answer = run(node, "busy", "[count, time.time()]")
    assert server_timing(answer)["start"]["desc"] == "frozen"
    counted, wall = answer.json()
    assert abs(wall - time.time()) < 5
    assert node.usage(request=answer.headers["X-Ebb-Request-Id"])[0]["rung"] == "frozen"
    eventually(lambda: run(node, "busy", "count").json() > counted, "that the threads go on after the thaw")
    assert node.pids_in("instances") == pids
    return pids


def await_daemon(node):
    """Until the daemon counts as many instances as there are: its next call would go to one that has just died."""
    left = lambda: len({group for group in node.groups().values() if re.search(r"/i\d+$", group)})  # noqa: E731
    counted = lambda: sum(sum(one["instances"].values()) for one in node.functions().values())  # noqa: E731
    eventually(lambda: counted() == left(), "that the daemon knows which instances are left")


def end_instances(node, pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    eventually(lambda: not node.pids_in("instances") & pids, "their end")
    await_daemon(node)


def test_b30_an_idle_instance_uses_no_processor(node):
    end_instances(node, uses_nothing(node, 1))


@pytest.mark.slow
def test_b30_ten_seconds_of_an_idle_instance_cost_nothing(node):
    end_instances(node, uses_nothing(node, 10))


def test_b30_frozen_and_thawed_again_and_again_it_answers_right(node):
    pids = set()
    for turn in range(4):
        answer = run(node, "busy", f"[begin_spinning() if {turn} == 0 else None, threading.active_count(), {turn}]")
        assert answer.json()[1:] == [3, turn]
        pids |= node.pids_in("instances")
        await_frozen(pids)
        if turn:
            assert server_timing(answer)["start"]["desc"] == "frozen"
    assert len(pids) == 2  # one instance and its child all the time
    end_instances(node, pids)


def test_b30_an_instance_in_use_is_never_frozen(node):
    run(node, "brief", "1")
    until = time.monotonic() + 2.5
    rungs = set()
    while time.monotonic() < until:
        rungs.add(server_timing(run(node, "brief", "time.sleep(0.02)"))["start"]["desc"])
    assert rungs == {"idle"}


def test_b30_a_frozen_instance_is_retired_and_may_be_killed(node):
    run(node, "brief", "begin_spinning()")
    pids = node.pids_in("instances")
    eventually(lambda: instances(node, "brief") == 0, "the end of its idle time")
    eventually(lambda: not pids & node.pids_in("instances"), "the end of all its processes")
    run(node, "brief", "begin_spinning()")
    pids = node.pids_in("instances")
    await_frozen(pids)
    node.deploy_app(SOURCE + "\n# another version\n", FUNCTIONS)
    node.cli("rm", "app", "--yes")
    eventually(lambda: not node.groups(), "the end of everything, frozen or not")
    node.deploy_app(SOURCE, FUNCTIONS)


@pytest.mark.parametrize("victim", ["zygotes", "sandboxes"])
def test_b30_a_frozen_instance_dies_with_its_zygote(node, victim):
    run(node, "plain", "begin_spinning()")
    pids = node.pids_in("instances")
    await_frozen(pids)
    for pid in node.pids_in(victim):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:  # init took it along
            pass
    eventually(lambda: not pids & node.pids_in("instances"), "the end of the frozen instance")
    await_daemon(node)
    assert run(node, "plain", "1").json() == 1

# --- 23: processes ---


@pytest.mark.parametrize("how", ["plain", "setsid", "orphan"])
def test_b23_fork_bomb_is_bounded_and_swept(node, how):
    made = run(node, "crowd", f"bomb({how!r})").json()
    assert 50 < made < 512
    assert run(node, "small", "1").json() == 1  # the others do not notice
    bombed = node.pids_in("instances")
    assert len(bombed) > 50
    main = largest_instance(node)
    os.kill(main, signal.SIGKILL)
    eventually(lambda: not alive(bombed) - main_processes(node), "the end of every child, however it hid")
    assert run(node, "crowd", "1").json() == 1


def test_b23_fork_bomb_without_end_dies_at_its_deadline(node):
    response = run(node, "slow", "bomb_without_end()", status=504)
    assert "2s" in response.json()["error"]["message"]
    # Hundreds of processes that are killed still have to run to their ends, on a machine that may be busy.
    eventually(lambda: len(node.pids_in("instances")) == len(main_processes(node)), "the end of the bomb", seconds=30)
    assert run(node, "slow", "1").json() == 1


def test_b23_threads_count_too(node):
    made = run(node, "crowd", "threads()").json()
    assert 50 < made <= 512
    end_instances(node, node.pids_in("instances"))


LEAVES_CHILDREN = '''
import os, time
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(1)
raise ImportError("and so they are nobody's")
'''


def test_b23_what_a_failed_load_started_is_swept(node):
    """The zygote ends; its children, whom the sandbox's init then has, must not stay with the app's other functions."""
    node.deploy_app("def f(event, context):\n    return 1\n", {"f": {"idle_timeout": "10m"}}, app="leaves")
    assert node.call("leaves/f").json() == 1
    there = node.pids_in("zygotes", "leaves")
    sandboxes = node.pids_in("sandboxes", "leaves")
    failed = node.deploy_app(LEAVES_CHILDREN, {"f": {"idle_timeout": "10m"}}, app="leaves", expect=None)
    assert failed.returncode != 0 and "nobody's" in failed.stdout + failed.stderr
    eventually(lambda: not node.pids_in("zygotes", "leaves") - there, "the end of what it started")
    assert there <= node.pids_in("zygotes", "leaves") and sandboxes <= node.pids_in("sandboxes", "leaves")
    assert node.call("leaves/f").json() == 1
    node.cli("rm", "leaves", "--yes")


def largest_instance(node):
    """The first process of the instance that has the most."""
    groups = {}
    for pid, group in node.groups().items():
        if "/i" in group:
            groups.setdefault(group, []).append(pid)
    largest = max(groups, key=lambda group: len(groups[group]))
    return min(groups[largest], key=started)


def started(pid):
    """When a process was started, to order those of one instance."""
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return float("inf")  # it ended this moment


def main_processes(node):
    """The first process of each instance: what is left of it when nothing of the user's runs."""
    groups = {}
    for pid, group in node.groups().items():
        if "/i" in group:
            groups.setdefault(group, []).append(pid)
    return {min(pids, key=started) for pids in groups.values()}


def alive(pids):
    return {pid for pid in pids if is_alive(pid)}


# --- 24: memory ---


def record_of(node, response):
    record, = node.usage(request=response.headers["X-Ebb-Request-Id"])
    return record


def test_b24_memory_up_to_the_limit_and_not_beyond(node):
    assert run(node, "small", f"add({SMALL - 16 - 8})").json() == SMALL - 24  # 8: what an instance itself needs
    end_instances(node, node.pids_in("instances"))
    response = run(node, "small", f"add({SMALL + 16})", status=502)
    message, record = response.json()["error"]["message"], record_of(node, response)
    assert "out of memory" in message and f"{SMALL}Mi" in message and str(record["memory_peak_bytes"]) in message
    assert record["outcome"] == "out_of_memory" and record["billed_ms"] >= 1 and float(record["cu"]) > 0
    assert SMALL - 2 <= record["memory_peak_bytes"] / (1 << 20) <= SMALL + 1


def test_b24_out_of_memory_ends_that_instance_only(node):
    in_parallel(2, lambda n: run(node, "small", "time.sleep(0.3)"))
    before = main_processes(node)
    run(node, "small", f"add({SMALL * 2})", status=502)
    eventually(lambda: len(before - main_processes(node)) == 1, "the end of one instance")
    assert run(node, "small", "1").json() == 1


def test_b24_out_of_memory_in_a_child_ends_the_whole_instance(node):
    response = run(node, "small", f"child_adds({SMALL * 2})", status=502)
    assert "out of memory" in response.json()["error"]["message"]
    assert record_of(node, response)["outcome"] == "out_of_memory"
    eventually(lambda: len(node.pids_in("instances")) == len(main_processes(node)), "that no child is left")


@pytest.mark.parametrize("where", ["/tmp/x", "/dev/shm/x"])
def test_b24_files_in_memory_count(node, where):
    response = run(node, "small", f"fill({where!r}, {SMALL + 32})", status=502)
    assert "out of memory" in response.json()["error"]["message"]
    assert record_of(node, response)["memory_peak_bytes"] <= (SMALL + 1) << 20


def test_b24_cached_files_count_and_give_way(node):
    """A file of /tmp read through maps is counted once; the cache of read-only files is dropped before anybody is killed."""
    assert run(node, "small", "sum(len(open(os.path.join(d, f), 'rb').read()) for d, _, fs in os.walk('/usr/lib/python3') for f in fs[:50]) > 0").json() is True


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_b24_what_waits_in_sockets_counts(node, kind):
    response = node.call("app/small", data=f"fill_sockets({kind!r})".encode(), headers={"Content-Type": "text/plain"})
    if response.status_code == 502:
        assert "out of memory" in response.json()["error"]["message"]
    else:
        assert response.status_code == 200 and response.json() <= SMALL + 32, response.text
    end_instances(node, node.pids_in("instances"))


def test_b24_locked_memory_counts(node):
    response = node.call("app/small", data=f"map_and_lock({SMALL * 2})".encode(), headers={"Content-Type": "text/plain"})
    assert response.status_code == 502 or response.json() == -1, response.text
    end_instances(node, node.pids_in("instances"))


# --- 26: disk ---


def test_b26_tmp_is_bounded(node):
    assert run(node, "large", "errno_of(lambda: fill('/tmp/x', 600))").text == "No space left on device"
    assert run(node, "large", "os.path.getsize('/tmp/x') >> 20").json() == 512
    end_instances(node, node.pids_in("instances"))


def test_b26_files_are_counted(node):
    made, why = run(node, "large", "make_files()").json()
    assert 60_000 < made < 65_536 and why == "No space left on device"
    end_instances(node, node.pids_in("instances"))


def test_b26_a_sparse_file_takes_nothing_and_gives_nothing(node):
    assert run(node, "large", "sparse()").json() == 0
    assert run(node, "large", "errno_of(lambda: os.posix_fallocate(os.open('/tmp/y', os.O_CREAT | os.O_RDWR), 0, 1 << 40))").text \
        == "No space left on device"
    end_instances(node, node.pids_in("instances"))


def test_b26_a_flood_of_output_is_bounded_on_disk(node):
    """test_logs_usage.py sends a gigabyte; here many calls flood one function's log."""
    for _ in range(8):
        run(node, "plain", "[sys.stdout.write('x' * 1023 + chr(10)) for _ in range(3000)] and 1")
    disk = sum(path.stat().st_size for path in (node.data / "logs").rglob("*") if path.is_file())
    assert disk < 80 << 20


# --- 27: descriptors, limits, sizes; what HTTP bounds is in functional/test_bad_input.py ---


def test_b27_descriptors_are_bounded(node):
    made, why = run(node, "plain", "open_files()").json()
    assert 500 < made <= 65_536 and why == "Too many open files"


@pytest.mark.parametrize("what", ["NOFILE", "CORE", "MEMLOCK", "NPROC", "NICE", "RTPRIO"])
def test_b27_limits_cannot_be_raised(node, what):
    code = f"errno_of(lambda: resource.setrlimit(resource.RLIMIT_{what}, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))"
    before = run(node, "plain", f"resource.getrlimit(resource.RLIMIT_{what})").json()
    if before[1] == -1:
        pytest.skip("it has no limit of this kind: the cgroup bounds it")
    answer = node.call("app/plain", data=code.encode(), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 502 or answer.text == "Function not implemented", answer.text
    assert run(node, "plain", f"resource.getrlimit(resource.RLIMIT_{what})").json() == before


def test_b27_what_the_host_has_one_number_of_is_left_to_it(node):
    """Contexts of asynchronous input and output: all together at most fs.aio-max-nr."""
    in_use = lambda: pathlib.Path("/proc/sys/fs/aio-nr").read_text()  # noqa: E731
    before = in_use()
    code = "[libc.syscall(206, 60000, ctypes.byref(ctypes.c_ulong(0))), ctypes.get_errno(), open('/proc/sys/fs/aio-nr').read()]"
    assert run(node, "plain", code).json() == [-1, errno.ENOSYS, before]
    assert in_use() == before


def test_b27_six_megabytes_of_payload(node):
    response = run(node, "plain", "len(event['body'])" + " " * (6 << 20))
    assert response.json() >= 6 << 20


def test_b27_environment_and_arguments_are_bounded(node):
    failed = node.deploy_function("def handler(e, c):\n    return 1\n", app="env", env={"A": "x" * 17_000}, expect=None)
    assert failed.returncode != 0 and "16384" in failed.stderr + failed.stdout


# --- 28: what does not want to end ---


@pytest.mark.parametrize("how", ["deaf()", "burn(600)", "in_vfork()", "stopped_children()", "time.sleep(600)"])
def test_b28_everything_is_dead_after_the_deadline(node, how):
    response = run(node, "slow", how, status=504)
    record = record_of(node, response)
    assert record["outcome"] == "timed_out" and record["billed_ms"] >= 2000
    eventually(lambda: len(node.pids_in("instances")) == len(main_processes(node)), "the end of all it started")
    assert run(node, "slow", "1").json() == 1


def test_b28_stopped_from_outside_it_dies_too(node):
    run(node, "slow", "1")
    with node.connect() as connection:
        connection.sendall(b"POST /fn/app/slow HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 15\r\n\r\ntime.sleep(600)")
        eventually(lambda: node.functions("app")["app/slow"]["instances"]["busy"] == 1, "the call")
        victims = node.pids_in("instances")
        for pid in victims:
            os.kill(pid, signal.SIGSTOP)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 504 ")
    end_instances(node, victims)


# --- 29: zygotes ---


def memory_of(group):
    for pattern in ("memory/{}/memory.usage_in_bytes", "{}/memory.current"):
        for path in pathlib.Path("/sys/fs/cgroup").glob(pattern.format(f"ebb-*/{group}")):
            return int(path.read_text())
    raise AssertionError(f"no memory group {group}")


def test_b29_a_zygotes_memory_is_counted_once(node):
    pids = in_parallel(3, lambda n: run(node, "plain", "[time.sleep(0.3), BALLAST.count(b'1')]"))
    assert all(answer.json() == [None, 40 << 20] for answer in pids)
    groups = node.groups()
    version = {group.split("/")[1] for pid, group in groups.items() if "/i" in group and pid in main_processes(node)}
    zygotes = {group for group in groups.values() if "/z" in group and group.split("/")[1] in version}
    assert any(memory_of(group) > 40 << 20 for group in zygotes)
    for group in {group for group in groups.values() if "/i" in group}:
        assert memory_of(group) < 32 << 20, group


def test_b29_calls_in_flight_when_a_zygote_is_killed(node):
    """Answered 502, unbilled, and the next call finds everything made anew."""
    answers = []
    caller = threading.Thread(target=lambda: answers.append(node.call("app/plain", data=b"time.sleep(20)", headers={"Content-Type": "text/plain"})))
    caller.start()
    eventually(lambda: node.functions("app")["app/plain"]["instances"]["busy"] == 1, "the call")
    for pid in node.pids_in("zygotes"):
        os.kill(pid, signal.SIGKILL)
    caller.join()
    answer, = answers
    assert answer.status_code == 502 and "zygote" in answer.json()["error"]["message"], answer.text
    record = record_of(node, answer)
    assert (record["outcome"], record["billed_ms"], record["cu"]) == ("platform_fault", 0, "0.000000")
    assert (record["billed"], record["billed_because"]) == (False, "the platform failed, not the function")
    assert eventually(lambda: (got := node.call("app/plain", data=b"1", headers={"Content-Type": "text/plain"})).status_code == 200 and got, "an answer")


def test_b29_a_zygote_that_cannot_be_forked_uses_no_processor(node):
    source = "import threading\ndef spin():\n    while True:\n        pass\nthreading.Thread(target=spin, daemon=True).start()\n" \
             "def handler(e, c):\n    return 1\n"
    node.deploy_function(source, app="unfit", cpu=0.5)
    assert node.functions("unfit")["unfit/f"]["zygote"] == "unfit"
    eventually(lambda: not node.pids_in("zygotes", "unfit"), "its end: nothing is forked from it")
    assert node.call("unfit/f").json() == 1
    node.cli("rm", "unfit", "--yes")


def test_b29_a_zygote_that_forks_no_more_hurts_only_its_function(node):
    """User code in it can stop it for good. It counts as broken when an order has waited too long; its neighbours in the sandbox live on."""
    app = "stuck"
    source = ("import os, sys, time\ncount = 0\nif os.environ.get('ILL'):\n    for module in list(sys.modules.values()):\n"
              "        if hasattr(module, 'read_fork_instance'):\n            module.read_fork_instance = lambda *_: time.sleep(1000)\n"
              "def well(e, c):\n    global count\n    count += 1\n    return count\nill = well\n")
    node.deploy_app(source, {"well": {}, "ill": {"env": {"ILL": "1"}, "timeout": "60s"}}, app=app)
    assert node.call(f"{app}/well").json() == 1
    zygotes = node.pids_in("zygotes", app)
    assert len(zygotes) == 2
    caller = threading.Thread(target=lambda: node.call(f"{app}/ill"))
    caller.start()
    eventually(lambda: len(node.pids_in("zygotes", app) & zygotes) == 1, "that the broken one has ended", 40)
    assert node.call(f"{app}/well").json() == 2
    node.cli("rm", app, "--yes")
    caller.join()


def test_b29_a_call_that_waits_for_a_fork_when_its_zygote_ends_is_served_by_the_next(node):
    node.deploy_function("import time\ndef handler(e, c):\n    time.sleep(0.3)\n    return 1\n", app="heir", scale={"max": 40})
    zygote, = node.pids_in("zygotes", "heir")
    os.kill(zygote, signal.SIGSTOP)
    answers = []
    callers = [threading.Thread(target=lambda: answers.append(node.call("heir/f"))) for _ in range(40)]
    for caller in callers:
        caller.start()
    eventually(lambda: node.functions("heir")["heir/f"]["instances"]["starting"] > 0, "the fork")
    os.kill(zygote, signal.SIGKILL)
    for caller in callers:
        caller.join()
    assert [answer.status_code for answer in answers] == [200] * 40, answers[0].text
    eventually(lambda: len(node.pids_in("zygotes", "heir")) == 1, "that there is one zygote, and none beside it")
    node.cli("rm", "heir", "--yes")
