"""Ten times what the node can serve: how much of its peak it still serves, in what time, and what that costs others.

The peak is taken closed loop; then requests come open loop at ten times that rate, from more connections than are served.
Goodput: answers 200 within the flood's time, a second. Who is not served must hear 429 with Retry-After, and the daemon's
memory must not grow with the flood. Two victims of another app at low fixed rates, a warm no-op and a `hello` that is a fork
at every call, are measured alone and beside each flood in turns: of calls that compute (`work`), and of calls that are a fork
each (`fresh`).
"""

import os
import subprocess
import threading
import time

import figures
import neighbour
import warm
from ebb_node import resident_bytes

FUNCTIONS = ("work", "fresh")
TIMES = 10
GOODPUT_AT_LEAST = 0.8
VICTIMS = {"warm": ("/fn/bench/noop", neighbour.RATE), "cold": ("/fn/bench/hello", 10)}
VICTIM_TIMES_AT_MOST = 2
CONNECTIONS = 2000


class Flood:
    """An open-loop load on a function in the background."""

    def __init__(self, node, generator, function, rate, seconds):
        self._daemon = node.daemon_pid  # once: it is found among all connections, which are thousands in a flood
        self._before = resident_bytes(self._daemon)
        self._peak, self._ends = self._before, time.monotonic() + seconds
        port = int(node.url.rsplit(":", 1)[1])
        self._thread = threading.Thread(target=self._run, args=(generator, port, f"/fn/overload/{function}", rate, seconds))
        self._thread.start()

    def _run(self, generator, port, path, rate, seconds):
        try:
            self.answer = warm.at_rate(generator, port, path, rate, seconds, connections=CONNECTIONS)
        except subprocess.CalledProcessError as error:
            self.answer = error

    def watch(self):
        """Until it ends: the daemon's memory."""
        while self._thread.is_alive():
            self._peak = max(self._peak, resident_bytes(self._daemon))
            time.sleep(0.05)

    def end(self):
        self.watch()
        self._thread.join()
        if isinstance(self.answer, Exception):
            raise RuntimeError(f"the flood failed: {self.answer.stderr}")
        return {**self.answer, "daemon_mb_before": self._before / 2**20, "daemon_mb_peak": self._peak / 2**20}


class Victim:
    """What one victim waited, alone and beside a flood, in rounds."""

    def __init__(self, generator, port, out, path, rate):
        self._call = lambda seconds: neighbour.latencies(generator, port, seconds, out / "overload.csv", path, rate)
        self._waited, self._errors = {"alone": [], "beside": []}, 0
        self._call(1)  # warm up

    def take(self, side, seconds):
        waited, errors = self._call(seconds)
        self._waited[side] += waited
        self._errors += errors

    def summary(self):
        sides = {side: figures.summary(waited) for side, waited in self._waited.items()}
        return {**sides, "times": sides["beside"]["p99"] / sides["alone"]["p99"], "errors": self._errors}


def measure(node, generator, out, rounds, seconds):
    port = int(node.url.rsplit(":", 1)[1])
    before = figures.load()
    result = {}
    for function in FUNCTIONS:
        path = f"/fn/overload/{function}"
        warm.peak(port, path, 1)
        victims = {name: Victim(generator, port, out, *victim) for name, victim in VICTIMS.items()}
        floods = []
        for _ in range(rounds):
            peak = warm.peak(port, path, seconds)
            flood = Flood(node, generator, function, TIMES * peak, seconds)
            floods.append({**flood.end(), "peak": peak})
            for victim in victims.values():
                victim.take("alone", seconds)
                flood = Flood(node, generator, function, TIMES * peak, seconds + 2)
                time.sleep(1)
                victim.take("beside", seconds)
                flood.end()
        result[function] = {"floods": floods, "goodput": figures.median([one["ok_per_second"] / one["peak"] for one in floods]),
                            "victims": {name: victim.summary() for name, victim in victims.items()}}
    return {"times": TIMES, "connections": CONNECTIONS, "functions": result, "cores": len(os.sched_getaffinity(0)), "load": [before, figures.load()]}


def report(result):
    rows = []
    for function, one in result["functions"].items():
        for flood in one["floods"]:
            rows.append((function, f"{flood['peak']:.0f}", f"{flood['ok_per_second']:.0f}", flood["n"], flood["refused"], flood["errors"], f"{flood['p50']:.0f}",
                         f"{flood['p99']:.0f}", f"{flood['daemon_mb_before']:.0f}", f"{flood['daemon_mb_peak']:.0f}"))
    head = (f"at {result['times']} x the peak", "peak/s", "served/s", "served", "refused", "errors", "p50 ms", "p99 ms", "daemon MB before", "most")
    text = figures.table(head, rows) + "\n\n"
    rows = [(f"{name}, beside {function}", VICTIMS[name][1], one["alone"]["n"], *(f"{one[side][p]:.2f}" for side in ("alone", "beside") for p in ("p50", "p99")),
             f"{one['times']:.2f}", one["errors"]) for function, flood in result["functions"].items() for name, one in flood["victims"].items()]
    return text + figures.table(("victim of another app, ms", "requests/s", "n", "alone p50", "p99", "beside p50", "p99", "p99 times", "errors"), rows)


def judge(result, bars):
    for function, one in result["functions"].items():
        floods = one["floods"]
        bars.at_least(f"overload of {function}: goodput at {result['times']} x the peak, of it", one["goodput"], GOODPUT_AT_LEAST)
        bars.at_most(f"overload of {function}: answers that are neither 200 nor 429 with Retry-After", sum(flood["errors"] for flood in floods), 0)
        grown = max(flood["daemon_mb_peak"] for flood in floods) - floods[0]["daemon_mb_before"]
        bars.at_most(f"overload of {function}: the daemon's memory grows by", grown, 64, "MB")
        for name, victim in one["victims"].items():
            bars.at_most(f"overload of {function}: p99 of another app's {name} calls, times", victim["times"], VICTIM_TIMES_AT_MOST, "x")
            bars.at_most(f"overload of {function}: errors of another app's {name} calls", victim["errors"], 0)
