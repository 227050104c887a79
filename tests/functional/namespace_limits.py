#!/usr/bin/python3
"""Runs a program on a host that forbids user namespaces: in one that maps every id onto itself, below which only N more
may be made. The limit holds there alone; nothing of the real host changes.

    namespace_limits.py N COMMAND...
"""

import ctypes
import os
import sys

CLONE_NEWUSER, CLONE_NEWNS = 0x10000000, 0x00020000
MS_REC, MS_PRIVATE = 0x4000, 0x40000
ALL_IDS = "0 0 4294967295"

libc = ctypes.CDLL(None, use_errno=True)


def must(result, what):
    if result != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def main():
    most, command = int(sys.argv[1]), sys.argv[2:]
    ready, go = os.pipe(), os.pipe()
    target = os.getpid()
    if os.fork() == 0:  # privilege over the new namespace lies outside of it: a child that stays there writes the maps
        os.close(ready[1])
        os.read(ready[0], 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{target}/{name}", "w", encoding="ascii") as file:
                file.write(ALL_IDS)
        os.write(go[1], b"g")
        os._exit(0)
    must(libc.unshare(CLONE_NEWUSER | CLONE_NEWNS), "unshare")
    os.write(ready[1], b"r")
    assert os.read(go[0], 1) == b"g"
    os.wait()
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    must(libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None), "make mounts private")
    with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as file:
        file.write(str(most))
    for descriptor in (*ready, *go):
        os.close(descriptor)
    os.execvp(command[0], command)


main()
