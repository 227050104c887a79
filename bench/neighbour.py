"""A victim's latency alone and beside a tenant that floods one thing: processor, memory, fork, disk, log, network.

Open loop: the victim gets requests at a fixed rate, far below what it could serve, and latency counts from when a request was
due. Each flood runs in as many instances as the machine has processors, and one more, of another app. Alone and beside take
turns, round by round, so that what else the machine does falls on both. The bar: the victim's p99 at most doubles.
"""

import os
import pathlib
import threading
import time

import requests

import figures
import warm

FLOODS = ("processor", "memory", "fork", "disk", "log", "network")
RATE = 200
TIMES_AT_MOST = 2
_HERE = pathlib.Path(__file__).resolve().parent


class Flood:
    """So many calls of the hostile app at once, until the time is up."""

    def __init__(self, node, kind, instances, seconds):
        self._node = node
        self._failed = []
        url = f"{node.url}/fn/flood/flood/{kind}/{seconds}"
        self._threads = [threading.Thread(target=self._call, args=(url,)) for _ in range(instances)]
        for thread in self._threads:
            thread.start()

    def _call(self, url):
        answer = requests.get(url, timeout=300)
        if answer.status_code != 200:
            self._failed.append(answer.text[:300])

    def await_busy(self, instances):
        limit = time.monotonic() + 20
        while self._node.functions("flood")["flood/flood"]["instances"]["busy"] < instances:
            if time.monotonic() > limit or self._failed:
                raise RuntimeError(f"the flood did not begin: {self._failed}")
            time.sleep(0.05)

    def end(self):
        for thread in self._threads:
            thread.join()
        if self._failed:
            raise RuntimeError(f"a flood failed: {self._failed[0]}")


def latencies(generator, port, seconds, raw, path="/fn/bench/noop", rate=RATE):
    """Milliseconds of each request, and how many went wrong. The generator never waits for a processor (round robin, real time): it
    stands for callers on other machines, and a flood on this one must not delay them."""
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    try:
        answer = warm.at_rate(generator, port, path, rate, seconds, raw)
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return [float(line) / 1000 for line in raw.read_text().split()], answer["errors"]


def measure(node, generator, out, rounds, seconds):
    port = int(node.url.rsplit(":", 1)[1])
    instances = len(os.sched_getaffinity(0)) + 1
    before = figures.load()
    raw = out / "neighbour.csv"
    latencies(generator, port, 1, raw)  # warm up
    result = {}
    for kind in FLOODS:
        alone, beside, errors = [], [], 0
        for _ in range(rounds):
            part, wrong = latencies(generator, port, seconds, raw)
            alone += part
            errors += wrong
            flood = Flood(node, kind, instances, seconds + 2)
            flood.await_busy(instances)
            part, wrong = latencies(generator, port, seconds, raw)
            beside += part
            errors += wrong
            flood.end()
        result[kind] = {"alone": figures.summary(alone), "beside": figures.summary(beside), "errors": errors}
    return {"rate": RATE, "instances": instances, "rounds": rounds, "seconds": seconds, "floods": result, "load": [before, figures.load()]}


def report(result):
    rows = [(kind, one["alone"]["n"], *(f"{one[side][p]:.2f}" for side in ("alone", "beside") for p in ("p50", "p99", "max")),
             f"{one['beside']['p99'] / one['alone']['p99']:.2f}", one["errors"]) for kind, one in result["floods"].items()]
    head = (f"warm no-op at {result['rate']}/s, ms, beside {result['instances']} instances of", "n", "alone p50", "p99", "max", "beside p50", "p99",
            "max", "p99 times", "errors")
    return figures.table(head, rows)


def judge(result, bars):
    for kind, one in result["floods"].items():
        bars.at_most(f"noisy neighbour, {kind}: the victim's p99, times", one["beside"]["p99"] / one["alone"]["p99"], TIMES_AT_MOST, "x")
        bars.at_most(f"noisy neighbour, {kind}: errors", one["errors"], 0)
