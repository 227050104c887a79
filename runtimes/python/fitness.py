"""Whether this process may be forked: what a copy could not have, or would share with its siblings, is named.

A zygote is fit with one thread, and with no socket, pipe, epoll, eventfd or the like, writable or locked file, writable
shared map, child process or timer but Ebb's own. Everything not known to be harmless counts as unfit: the function then
starts the slower way, which is always right.
"""

import os
import signal
import stat
import sys
import time

OWN_FDS = (0, 1, 2, 3)  # /dev/null, two pipes, the control socket
_ENDING_SECONDS = 0.1
_HARMLESS_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
# Libraries that open threads of their own, as they are found in the maps.
_THREADED = (
    "libgomp",
    "libiomp5",
    "libomp",
    "openblas",
    "mkl_",
    "libtorch",
    "onnxruntime",
    "libtensorflow",
    "cygrpc",
    "libtbb",
    "libarrow",
    "libray",
    "libcuda",
    "polars",
)


def _mapped_libraries():
    names = []
    with open("/proc/self/maps") as maps:
        for line in maps:
            name = os.path.basename(line.rstrip("\n").partition("/")[2])
            if name and ".so" in name and name not in names:
                names.append(name)
    return names


def _tasks():
    """The ids of all threads. One that was joined is still there for a moment, until the kernel has taken it down."""
    threading = sys.modules.get("threading")
    running = threading.active_count() if threading else 1
    end = time.monotonic() + _ENDING_SECONDS
    while True:
        tasks = os.listdir("/proc/self/task")
        if len(tasks) == running or time.monotonic() > end:
            return tasks
        time.sleep(0.002)


def _threads():
    tasks = _tasks()
    if len(tasks) == 1:
        return None
    threading = sys.modules.get("threading")
    own = [t for t in threading.enumerate() if t is not threading.main_thread()] if threading else []
    named = [f"'{thread.name}'" for thread in own[:4]]
    known = {str(thread.native_id) for thread in own}
    foreign = [task for task in tasks if int(task) != os.getpid() and task not in known]
    if foreign:
        libraries = [name for name in _mapped_libraries() if any(word in name for word in _THREADED)]
        comms = []
        for task in foreign[:4]:
            try:
                with open(f"/proc/self/task/{task}/comm") as comm:
                    comms.append(comm.read().strip())
            except OSError:
                pass  # ended meanwhile
        by = f"started by {', '.join(libraries[:4])}" if libraries else f"named {', '.join(sorted(set(comms)))}"
        named.append(f"{len(foreign)} {by}")
    return f"{len(tasks)} threads ({'; '.join(named)}): start them in an after_restore hook"


def _flags(fd):
    """(open flags, whether a lock is held)"""
    flags, locked = 0, False
    with open(f"/proc/self/fdinfo/{fd}") as info:
        for line in info:
            if line.startswith("flags:"):
                flags = int(line.split()[1], 8)
            elif line.startswith("lock:"):
                locked = True
    return flags, locked


def _descriptor(fd):
    """(what makes it unfit or None, whether it is to be kept)"""
    target = os.readlink(f"/proc/self/fd/{fd}")
    if target.startswith("socket:"):
        return f"descriptor {fd} is a socket", False
    if target.startswith("pipe:"):
        return f"descriptor {fd} is a pipe", False
    if target.startswith("anon_inode:"):
        kind = target[len("anon_inode:") :].strip("[]")
        hint = ": an event loop made at import? make it in the handler" if kind == "eventpoll" else ""
        return f"descriptor {fd} is an {kind}{hint}", False
    mode = os.fstat(fd).st_mode
    if stat.S_ISCHR(mode):
        return (None, True) if target in _HARMLESS_DEVICES else (f"descriptor {fd} is the device {target}", False)
    if stat.S_ISDIR(mode):
        return None, True
    if not stat.S_ISREG(mode):
        return f"descriptor {fd} is {target}", False
    flags, locked = _flags(fd)
    if locked:
        return f"{target} is locked (descriptor {fd})", False
    if flags & os.O_ACCMODE != os.O_RDONLY:
        return f"{target} is open for writing (descriptor {fd}): close it, or open it in the handler", False
    return None, True


def _descriptors():
    """(what makes one of them unfit or None, those a copy keeps in rising order)"""
    kept = []
    for fd in sorted(int(name) for name in os.listdir("/proc/self/fd")):
        if fd in OWN_FDS:
            continue
        try:
            unfit, keep = _descriptor(fd)
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
        if unfit:
            return unfit, ()
        if keep:
            kept.append(fd)
    return None, tuple(kept)


def _shared_maps():
    with open("/proc/self/maps") as maps:
        for line in maps:
            fields = line.split(None, 5)
            name = fields[5].strip() if len(fields) > 5 else "memory"
            if name.startswith("/dev/nvidia"):
                return f"{name} is mapped: use the GPU in an after_restore hook"
            if fields[1][1] == "w" and fields[1][3] == "s":
                return f"{name} is mapped writable and shared: copies of the process would share it"
    return None


def _children():
    try:
        # A zygote of ours is never our child: it is born as the child of the sandbox's init.
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    names = []
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as children:
            for pid in children.read().split()[:4]:
                with open(f"/proc/{pid}/comm") as comm:
                    names.append(f"{comm.read().strip()} (pid {pid})")
    except OSError:
        pass  # no such file in this kernel, or it ended meanwhile
    return f"a child process is left: {', '.join(names) or 'its name cannot be read'}"


def _timers():
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"):
        if signal.getitimer(getattr(signal, name))[0] > 0:
            return f"a timer is running ({name}): a copy of the process would not have it"
    try:
        with open("/proc/self/timers") as timers:
            if timers.read(1):
                return "a POSIX timer is armed: a copy of the process would not have it"
    except OSError:
        pass  # a kernel without the file
    return None


def check():
    """(reason, descriptors): an empty reason means fit, with the descriptors that instances keep."""
    unfit, kept = _descriptors()
    reason = unfit or _threads() or _children() or _shared_maps() or _timers()
    return reason or "", () if reason else kept
