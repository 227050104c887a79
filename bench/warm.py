"""The warm path: a no-op handler behind Ebb and behind gunicorn --preload, two processes each, in turns within one run.

Peak: wrk, one thread, 16 connections. Latency: open_loop at 25, 50 and 75 % of the slowest peak, the same rates for all, and
Ebb also at 75 % of its own. gunicorn is measured with both workers that suit one call at a time: sync (its default, which
closes each connection) and gthread (which keeps them); the better one is what Ebb is judged by. A round in which the host took more
than STOLEN_MOST of the processors away is run again, up to TRIES times in all; the median is of those that are left.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import cold
import figures
import install

PROCESSES = 2
CONNECTIONS = 16
STOLEN_MOST = 0.01
TRIES = 3  # times the rounds
_HERE = pathlib.Path(__file__).resolve().parent


class Gunicorn:
    """A running gunicorn on a free port."""

    def __init__(self, binary, worker, out):
        self._log = tempfile.TemporaryFile("w+")
        command = [str(binary), "--preload", "--workers", str(PROCESSES), "--worker-class", worker, "--bind", "127.0.0.1:0",
                   "--keep-alive", "75", "--chdir", str(_HERE), "gunicorn_app:app"]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL, env=environment)
        self.port = self._await_port()

    def _await_port(self):
        limit = time.monotonic() + 20
        while time.monotonic() < limit and self._process.poll() is None:
            self._log.seek(0)
            text = self._log.read()
            if text.count("Booting worker") == PROCESSES:
                return int(re.search(r"Listening at: http://127.0.0.1:(\d+)", text).group(1))
            time.sleep(0.05)
        self._log.seek(0)
        raise RuntimeError(f"gunicorn did not start:\n{self._log.read()[-2000:]}")

    def close(self):
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


def wrk(port, path, seconds, connections=CONNECTIONS, body=None):
    """(requests answered, requests per second)."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if body is not None:
            script.write(f'wrk.method = "POST"\nwrk.body = [[{body}]]\nwrk.headers["Content-Type"] = "application/json"\n')
            script.flush()
        done = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *(["-s", script.name] if body is not None else []),
                               f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    if re.search(r"Non-2xx", done):
        raise RuntimeError(f"wrk saw errors on {path}:\n{done}")
    return int(re.search(r"(\d+) requests in", done).group(1)), float(re.search(r"Requests/sec:\s+([\d.]+)", done).group(1))


def peak(port, path, seconds, body=None):
    """Requests per second by wrk."""
    return wrk(port, path, seconds, body=body)[1]


def at_rate(generator, port, path, rate, seconds, raw=None, connections=CONNECTIONS, body=None):
    """Latencies in milliseconds at a fixed rate."""
    command = [str(generator), str(port), path, str(rate), str(seconds), str(connections), str(raw or "-"), *([body] if body is not None else [])]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def quiet_rounds(names, rounds, seconds, run):
    """Per name what run(name), which takes so many seconds, gave in rounds in which the host left the processors alone, and in the others;
    where too few of any are quiet, all of all are taken."""
    quiet, stolen = {name: [] for name in names}, {name: [] for name in names}
    for number in range(rounds * TRIES):
        wanted = [name for name in names if len(quiet[name]) < rounds]
        for name in wanted[number % max(1, len(wanted)):] + wanted[:number % max(1, len(wanted))]:
            before_ms = figures.stolen_ms()
            result = run(name)
            lost = (figures.stolen_ms() - before_ms) / (seconds * 1000 * len(os.sched_getaffinity(0)))
            (quiet if lost <= STOLEN_MOST else stolen)[name].append(result)
    if any(len(all_) < min(3, rounds) for all_ in quiet.values()):
        return {name: quiet[name] + stolen[name] for name in names}, {name: [] for name in names}
    return quiet, stolen


def quiet_peaks(servers, rounds, seconds):
    """quiet_rounds of peaks; a server is (port, path) or (port, path, body)."""
    def one(name):
        port, path, *body = servers[name]
        return round(peak(port, path, seconds, *body), 1)
    return quiet_rounds(list(servers), rounds, seconds, one)


def measure(node, generator, out, rounds, peak_seconds, rate_seconds):
    if not shutil.which("wrk"):
        raise RuntimeError("wrk is not installed: ./dev bench installs it, or apt-get install wrk")
    binary = install.gunicorn(out)["command"]
    load_before = figures.load()
    servers = {"ebb": (int(node.url.rsplit(":", 1)[1]), "/fn/bench/noop")}
    peers = {}
    try:
        for worker in ("sync", "gthread"):
            peers[f"gunicorn {worker}"] = Gunicorn(binary, worker, out)
            servers[f"gunicorn {worker}"] = (peers[f"gunicorn {worker}"].port, "/")
        answers = set()
        for port, path in servers.values():
            connection = cold.Connection(f"http://127.0.0.1:{port}")
            answers.add(json.dumps(json.loads(connection.exchange(connection.request_of(path))[2])))
            connection.close()
        if len(answers) != 1:
            raise RuntimeError(f"the servers answer differently: {answers}")
        for port, path in servers.values():
            peak(port, path, 1)  # warm up
        peaks, stolen = quiet_peaks(servers, rounds, peak_seconds)
        medians = {name: figures.median(all_) for name, all_ in peaks.items()}
        lowest = min(medians.values())
        rates = [(f"{share} %", round(lowest * share / 100)) for share in (25, 50, 75)]
        latency = {}
        for label, rate in rates:
            for name, (port, path) in servers.items():
                raw = out / f"warm-{name.replace(' ', '-')}-{label.split()[0]}.csv"
                latency.setdefault(name, {})[label] = {"rate": rate, **at_rate(generator, port, path, rate, rate_seconds, raw)}
        rate = round(medians["ebb"] * 0.75)
        latency["ebb"]["75 % of its own"] = {"rate": rate, **at_rate(generator, *servers["ebb"], rate, rate_seconds)}
    finally:
        for peer in peers.values():
            peer.close()
    return {"processes": PROCESSES, "connections": CONNECTIONS, "peak_rounds": peaks, "stolen_rounds": stolen, "peak": medians, "latency_ms": latency,
            "generator": f"one thread, not pinned: it shares all {len(os.sched_getaffinity(0))} cores with the server, alike for all",
            "load": [load_before, figures.load()]}


def report(result):
    rows = [(name, f"{rate:.0f}", *(" ".join(f"{one:.0f}" for one in result[kind][name]) for kind in ("peak_rounds", "stolen_rounds")))
            for name, rate in result["peak"].items()]
    text = figures.table(("warm no-op, requests/s at peak", "median", "rounds", "left out: the host took processors away"), rows) + "\n\n"
    rows = [(name, label, one["rate"], one["n"], one["errors"], *(f"{one[p]:.2f}" for p in ("p50", "p90", "p99", "p999", "max")))
            for name, by_rate in result["latency_ms"].items() for label, one in by_rate.items()]
    head = ("warm no-op, ms at a fixed rate", "of slowest peak", "requests/s", "n", "errors", "p50", "p90", "p99", "p99.9", "max")
    return text + figures.table(head, rows)


def judge(result, bars):
    peers = {name: rate for name, rate in result["peak"].items() if name != "ebb"}
    best = max(peers, key=peers.get)
    bars.above(f"warm no-op, requests/s: more than {best}", result["peak"]["ebb"], peers[best], "/s")
    errors = sum(one["errors"] for one in result["latency_ms"]["ebb"].values())
    bars.at_most("warm no-op, errors at fixed rates", errors, 0)
