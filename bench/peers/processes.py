"""What a tree of processes costs: CPU seconds from /proc/PID/stat, memory as PSS."""

import os
import pathlib
import re

_TICK = 1 / os.sysconf("SC_CLK_TCK")


def cpu(pids):
    """{pid: (user, system)} seconds, ended children that it has waited for included."""
    found = {}
    for pid in pids:
        try:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        user, system, children_user, children_system = (int(field) * _TICK for field in fields[11:15])
        found[pid] = (user + children_user, system + children_system)
    return found


def cpu_between(before, after, label):
    """{label: {"user", "system"}} seconds that went by between two looks; a process that is new counts from its beginning."""
    spent = {}
    for pid, now in after.items():
        user, system = (late - early for late, early in zip(now, before.get(pid, (0, 0))))
        one = spent.setdefault(label(pid), {"user": 0.0, "system": 0.0})
        one["user"] += user
        one["system"] += system
    return spent


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "ended"


def pss_mb(pids):
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE).group(1))
    return total / 1024
