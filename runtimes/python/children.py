"""Orphans: an instance is pid 1 of its namespace, so a grandchild whose parent ended becomes its child, and stays a
zombie until somebody waits for it. User code does not know of it; its own children it may still want to wait for.

A zombie is taken away when it has been one for a while and no object of subprocess or multiprocessing stands for it.
Who forks by os.fork() and waits later than that gets ChildProcessError; nobody else notices.
"""

import os
import sys
import time

_GRACE_SECONDS = 30.0
_LOOK_EVERY_SECONDS = 1.0


def _zombies():
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue  # ended meanwhile
        if fields[0] == b"Z" and int(fields[1]) == os.getpid():
            found.append(int(name))
    return found


def _held():
    """Pids for which an object of the user's exists. A walk over all objects: only when a zombie is old."""
    import gc

    kinds = tuple(
        kind
        for module, name in (("subprocess", "Popen"), ("multiprocessing.process", "BaseProcess"))
        if (kind := getattr(sys.modules.get(module), name, None))
    )
    return {getattr(thing, "pid", None) for thing in gc.get_objects() if isinstance(thing, kinds)} if kinds else set()


class Orphans:
    def __init__(self, grace_seconds=_GRACE_SECONDS):
        self._grace_seconds = grace_seconds
        self._since = {}  # pid -> when it was first seen as a zombie
        self._next_look = 0.0

    def look(self):
        """Notes zombies and takes away the old ones. Cheap when it looked less than a second ago."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY_SECONDS
        self._since = {pid: self._since.get(pid, now) for pid in _zombies()}
        old = [pid for pid, since in self._since.items() if now - since >= self._grace_seconds]
        if not old:
            return
        held = _held()
        for pid in old:
            if pid in held:
                continue
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass  # waited for meanwhile
            self._since.pop(pid, None)
