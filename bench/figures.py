"""Percentiles, the machine's description, tables, and the bars that --check judges."""

import os
import pathlib
import platform


def percentile(samples, share):
    """The smallest sample that at least this share of all samples does not exceed."""
    ordered = sorted(samples)
    return ordered[max(0, -(-len(ordered) * share // 100) - 1)]


def summary(samples):
    """{"n", "p50", "p90", "p99", "max"} in the unit of the samples, to three decimals."""
    return {"n": len(samples), **{f"p{p}": round(percentile(samples, p), 3) for p in (50, 90, 99)}, "max": round(max(samples), 3)}


def median(samples):
    return percentile(samples, 50)


def machine():
    """What the numbers depend on."""
    cpu = next((line.split(":", 1)[1].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), "unknown")
    return {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
            "huge_pages": pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text().strip()}


def load():
    """The load average of the last minute: what else ran here."""
    return float(pathlib.Path("/proc/loadavg").read_text().split()[0])


def stolen_ms():
    """Milliseconds that the host of a virtual machine has taken from its processors since boot, as the kernel counts them, in tens."""
    first = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0]
    return int(first.split()[8]) * 1000 // os.sysconf("SC_CLK_TCK")


def table(head, rows):
    """Lines of text: the first column to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for row in cells:
        first, *rest = (cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(zip(row, widths)))
        lines.append("  ".join((first, *rest)))
    return "\n".join(lines)


class Bars:
    """What must hold. Each bar is a sentence, the measured value, the limit, and whether it was met."""

    def __init__(self):
        self.all = []

    def at_most(self, what, value, limit, unit=""):
        self._add(what, value, "<=", limit, unit, value <= limit)

    def at_least(self, what, value, limit, unit=""):
        self._add(what, value, ">=", limit, unit, value >= limit)

    def below(self, what, value, limit, unit=""):
        self._add(what, value, "<", limit, unit, value < limit)

    def above(self, what, value, limit, unit=""):
        self._add(what, value, ">", limit, unit, value > limit)

    def _add(self, what, value, relation, limit, unit, met):
        self.all.append({"bar": what, "value": round(value, 3), "relation": relation, "limit": round(limit, 3), "unit": unit, "met": met})

    @property
    def missed(self):
        return [bar for bar in self.all if not bar["met"]]

    def text(self):
        rows = [(bar["bar"], f"{bar['value']:g}", bar["relation"], f"{bar['limit']:g}", bar["unit"], "met" if bar["met"] else "MISSED")
                for bar in self.all]
        return table(("bar", "value", "", "limit", "", ""), rows)
