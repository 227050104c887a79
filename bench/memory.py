"""Memory of one more idle instance of the 200 MB function: 50 are held, one call each, then their PSS is read.

(sum of PSS of the function zygote and its instances - PSS of that zygote alone) / 50, from smaps_rollup; the drop of
MemAvailable stands beside it, since PSS knows nothing of page tables, cgroups and sockets.
"""

import concurrent.futures
import pathlib
import re
import time

import figures

INSTANCES = 50
HOLD_SECONDS = 4


def pss_kb(pid):
    text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE).group(1))


def rss_kb(pid):
    try:
        found = re.search(r"^VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found.group(1)) if found else 0


def available_kb():
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text(), re.MULTILINE).group(1))


def steady_available_kb():
    """The middle of a few looks: other processes breathe."""
    looks = []
    for _ in range(11):
        looks.append(available_kb())
        time.sleep(0.1)
    return figures.median(looks)


def await_zygote(node, seconds=60):
    """The one process that holds the array."""
    limit = time.monotonic() + seconds
    while True:
        found = [pid for pid in node.pids() if rss_kb(pid) > 200_000]
        if len(found) == 1:
            return found[0]
        if time.monotonic() > limit:
            raise RuntimeError(f"{len(found)} processes hold 200 MB, one function zygote was expected")
        time.sleep(0.2)


def measure(node):
    load_before = figures.load()
    zygote = await_zygote(node)
    time.sleep(4)  # its memory is being collapsed into huge pages
    alone, everything = pss_kb(zygote), sum(map(pss_kb, node.pids()))
    before_pids, before_available = node.pids(), steady_available_kb()
    with concurrent.futures.ThreadPoolExecutor(INSTANCES) as pool:
        answers = list(pool.map(lambda _: node.call(f"idle/array200?hold={HOLD_SECONDS}"), range(INSTANCES)))
    for answer in answers:
        if answer.status_code != 200:
            raise RuntimeError(f"a call failed: {answer.status_code} {answer.text[:300]}")
    after_available = steady_available_kb()
    instances = node.pids() - before_pids
    if len(instances) != INSTANCES:
        raise RuntimeError(f"{len(instances)} new processes after {INSTANCES} calls at once")
    together = pss_kb(zygote) + sum(map(pss_kb, instances))
    mb = 1024 * INSTANCES
    return {
        "instances": INSTANCES,
        "zygote_alone_pss_mb": round(alone / 1024, 1),
        "per_instance_pss_mb": round((together - alone) / mb, 3),
        "per_instance_node_pss_mb": round((sum(map(pss_kb, node.pids())) - everything) / mb, 3),
        "per_instance_available_mb": round((before_available - after_available) / mb, 3),
        "load": [load_before, figures.load()],
    }


def report(result):
    return figures.table(
        (f"memory per idle instance, MB ({result['instances']} held)", "value"),
        (("PSS of zygote and instances, less the zygote alone", f"{result['per_instance_pss_mb']:.2f}"),
         ("PSS of every process of the node, less before", f"{result['per_instance_node_pss_mb']:.2f}"),
         ("drop of MemAvailable", f"{result['per_instance_available_mb']:.2f}")),
    )


def judge(result, bars):
    bars.below("PSS per idle instance of the 200 MB function", result["per_instance_pss_mb"], 8, "MB")
