"""The check that a function zygote may be forked: every kind of culprit is named, and what is harmless passes."""

import errno

import pytest

HANDLER = "\ndef handler(event, context):\n    return 1\n"


@pytest.mark.parametrize(
    "source, says",
    [
        (
            "import threading, time\nthreading.Thread(None, time.sleep, 'ticker', (60,), daemon=True).start()",
            "2 threads ('ticker')",
        ),
        ("import socket\ns = socket.socket()", "is a socket"),
        ("import asyncio\nloop = asyncio.new_event_loop()", "eventpoll: an event loop made at import?"),
        ("import ctypes\nfd = ctypes.CDLL(None).eventfd(0, 0)", "is an eventfd"),
        ("import ctypes\nfd = ctypes.CDLL(None).timerfd_create(1, 0)", "is an timerfd"),
        ("import ctypes\nfd = ctypes.CDLL(None).inotify_init()", "is an inotify"),
        ("import ctypes, select\ne = select.epoll()", "is an eventpoll"),
        ("import os\np = os.pipe()", "is a pipe"),
        ("import os\np = os.pidfd_open(os.getpid())", "is an pidfd"),
        ("import os\nm = os.memfd_create('scratch')", "memfd:scratch"),
        ("f = open('/tmp/out.txt', 'w')", "/tmp/out.txt is open for writing"),
        ("f = open('/tmp/both', 'w+b')", "/tmp/both is open for writing"),
        ("import fcntl\nf = open('/var/task/app.py')\nfcntl.flock(f, fcntl.LOCK_SH)", "/var/task/app.py is locked"),
        ("import mmap\nm = mmap.mmap(-1, 4096)", "is mapped writable and shared"),
        ("import multiprocessing\nv = multiprocessing.Value('i')", "/dev/shm/pym-"),
        (
            "import subprocess\np = subprocess.Popen(['/bin/sh', '-c', 'echo; sleep 60'], stdout=subprocess.PIPE)\n"
            "p.stdout.readline()\np.stdout.close()",
            "a child process is left: sh (pid 2",
        ),
        ("import subprocess\np = subprocess.Popen(['/bin/true'])", "a child process is left"),
        ("import os, time\nif os.fork() == 0:\n    os._exit(0)", "a child process is left"),
        ("import signal\nsignal.setitimer(signal.ITIMER_REAL, 1000)", "ITIMER_REAL"),
        ("import signal\nsignal.alarm(1000)", "ITIMER_REAL"),
        (
            "import ctypes\nt = ctypes.c_long()\nctypes.CDLL('librt.so.1').timer_create(1, None, ctypes.byref(t))",
            "POSIX timer",
        ),
    ],
)
def test_unfit(loads, source, says):
    zygote = loads(source + HANDLER)
    assert not zygote.forkable and says in zygote.reason
    assert zygote.fork_refused() == errno.EBUSY


def test_unfit_functions_start_the_slower_way(sandbox, tmp_path):
    from sandbox import package

    source = "import threading, socket\ns = socket.socket()\n"
    source += "threading.Thread(target=threading.Event().wait, daemon=True).start()"
    tmp_path.chmod(0o755)
    instance = sandbox.fork(package(source + HANDLER, str(tmp_path)))
    assert instance.call().json() == 1 and instance.init_ns > 0
    instance.close()


@pytest.mark.parametrize(
    "source",
    [
        "f = open('/var/task/app.py')",
        "import mmap\nf = open('/var/task/app.py', 'rb')\nm = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)",
        "open('/tmp/done.txt', 'w').close()",
        "import subprocess\nsubprocess.run(['/bin/true'], check=True)",
        "import threading\nt = threading.Thread(target=int)\nt.start()\nt.join()",
        "import asyncio\nasyncio.run(asyncio.sleep(0))",
        "import os\nd = os.open('/var/task', os.O_RDONLY)",
        "r = open('/dev/urandom', 'rb')",
    ],
)
def test_fit(loads, source):
    zygote = loads(source + HANDLER)
    assert zygote.forkable, zygote.reason
    instance = zygote.fork()
    assert instance.call().json() == 1
    instance.close()


def test_numpy_opens_no_thread_in_a_zygote(layered, loads):
    source = "import numpy\na = numpy.ones((500, 500))\nb = a @ a" + HANDLER
    zygote = loads(source, layered)
    assert zygote.forkable, zygote.reason


def test_threads_of_openblas_are_named(layered, loads):
    source = """
import ctypes, os
os.sched_setaffinity(0, range(os.cpu_count()))
os.environ["OPENBLAS_NUM_THREADS"] = "2"
import numpy
a = numpy.ones((500, 500))
b = a @ a
"""
    zygote = loads(source + HANDLER, layered)
    assert not zygote.forkable
    assert "2 threads (1 started by libscipy_openblas" in zygote.reason or "openblas" in zygote.reason


def test_kept_files_have_a_position_of_their_own(loads):
    source = """
        file = open("/var/task/data.txt")
        file.readline()
        def handler(event, context):
            return file.readline() if event else [file.fileno() > 3, file.tell()]
    """
    lines = "".join(f"line {n}\n" for n in range(20_000))
    zygote = loads(source, files={"data.txt": lines})
    assert zygote.forkable
    instances = [zygote.fork() for _ in range(3)]
    for number in range(1, 3000):
        assert {instance.call(True).json() for instance in instances} == {f"line {number}\n"}
    for instance in instances:
        instance.close()
