"""A web server behind Ebb and behind nginx: the same gunicorn (two processes of eight threads, gthread), by the same clients, in turns.

Behind Ebb, a node of its own with as many core threads as nginx has workers (`io_cores`), it is a function (`runtime: http`, one
instance, 16 calls at a time) in all walls, each call metered; behind nginx a plain process, with 16 connections kept, which gets
the same headers: each costs gunicorn as much as the proxy. `plain_nginx` adds none. `direct` is that process without a proxy.
Peak: wrk, one thread, 16 connections. Latency: open_loop at half of the slowest peak, in rounds that take turns. Bars: at least
0.9 of nginx's throughput, at most 1.2 of its p99.

Which of gunicorn's processes a kept connection belongs to is decided when it is made, and one process with most of them computes with
less strife over caches and Python's lock than two: so each proxy's connections are made a few at a time, which spreads them, and how
they lie is in the result.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import time

import figures
import install
import warm
from ebb_node import Node, descendants
from processes import cpu, cpu_between
from servers import free_port

THROUGHPUT_AT_LEAST = 0.9
P99_AT_MOST = 1.2
WORKERS = 2
RAMP = (1, 2, 4, 8, 12, 16)  # connections
FORWARDED = ("Host $http_host", "X-Forwarded-For $proxy_add_x_forwarded_for", "X-Forwarded-Host $http_host", "X-Forwarded-Prefix /fn/proxy/web",
             "X-Forwarded-Proto $scheme")
_HERE = pathlib.Path(__file__).resolve().parent


def accepts(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """Started when constructed, awaited until its port accepts, ended with its children."""

    def __init__(self, command, port):
        self._log = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen([str(word) for word in command], stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)
        self.port = port
        self.pid = self._process.pid
        limit = time.monotonic() + 20
        while not accepts(port):
            if time.monotonic() > limit or self._process.poll() is not None:
                self._log.seek(0)
                raise RuntimeError(f"{command[0]} did not start:\n{self._log.read()[-2000:]}")
            time.sleep(0.02)

    def close(self):
        self._process.terminate()
        self._process.wait(30)
        self._log.close()


def gunicorn(out):
    port = free_port()
    command = [install.gunicorn(out)["command"], "--workers", WORKERS, "--worker-class", "gthread", "--threads", 8, "--keep-alive", 75,
               "--bind", f"127.0.0.1:{port}", "--chdir", _HERE / "proxy", "server:app"]
    return Process(command, port)


def nginx(out, server, name, headers=()):
    port = free_port()
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    text = (_HERE / "peers/nginx.conf").read_text()
    action = " ".join(f"proxy_set_header {header};" for header in ('Connection ""', *headers)) + " proxy_pass http://trivial; proxy_http_version 1.1;"
    for word, value in (("DIRECTORY", folder), ("ROLE", "proxy"), ("PROCESSES", WORKERS), ("SERVER_PORT", server), ("LISTEN_PORT", port), ("ACTION", action)):
        text = text.replace(word, str(value))
    (folder / "proxy.conf").write_text(text)
    return Process([install.nginx(out)["command"], "-e", "stderr", "-p", folder, "-c", folder / "proxy.conf"], port)


def spread_connections(port, path):
    """Has a proxy make its connections to the server few at a time, when both of the server's processes wait for one."""
    for connections in RAMP:
        warm.wrk(port, path, 1, connections)


def costs(port, path, seconds, proxies, servers):
    """Microseconds of processor time a request at the peak, of a proxy's and of the server's processes, and the share of the busiest of these."""
    before = cpu([*proxies, *servers])
    answered, _ = warm.wrk(port, path, seconds)
    spent = cpu_between(before, cpu([*proxies, *servers]), lambda pid: pid)
    each = {pid: one["user"] + one["system"] for pid, one in spent.items()}
    serving = [each[pid] for pid in servers]
    return {"proxy_us": round(1e6 * sum(each[pid] for pid in proxies) / answered, 1), "server_us": round(1e6 * sum(serving) / answered, 1),
            "busiest_share": round(max(serving) / max(sum(serving), 1e-9), 2)}


def measure(other, generator, out, rounds, peak_seconds, rate_seconds):
    if not shutil.which("wrk"):
        raise RuntimeError("wrk is not installed: ./dev bench installs it, or apt-get install wrk")
    load_before = figures.load()
    node = Node({"io_cores": WORKERS})
    running = []
    try:
        node.start()
        node.deploy(_HERE / "proxy")
        running.append(gunicorn(out))
        running.append(nginx(out, running[0].port, "nginx", FORWARDED))
        running.append(nginx(out, running[0].port, "plain-nginx"))
        servers = {"ebb": (int(node.url.rsplit(":", 1)[1]), "/fn/proxy/web/"), "nginx": (running[1].port, "/"),
                   "plain_nginx": (running[2].port, "/"), "direct": (running[0].port, "/")}
        for port, path in servers.values():
            spread_connections(port, path)
        peaks, stolen = warm.quiet_peaks(servers, rounds, peak_seconds)
        medians = {name: figures.median(all_) for name, all_ in peaks.items()}
        rate = round(min(medians.values()) / 2)
        samples, errors = {name: [] for name in servers}, dict.fromkeys(servers, 0)
        for number in range(rounds):
            for name in list(servers)[number % len(servers):] + list(servers)[:number % len(servers)]:
                raw = out / f"proxy-{name}.csv"
                answer = warm.at_rate(generator, *servers[name], rate, rate_seconds, raw)
                samples[name] += [float(line) / 1000 for line in raw.read_text().split()]
                errors[name] += answer["errors"]
        outside = descendants(running[0].pid)
        processes = {"ebb": ([node.daemon_pid], node.pids_in("instances", "proxy")), "nginx": (descendants(running[1].pid), outside),
                     "plain_nginx": (descendants(running[2].pid), outside), "direct": ((), outside)}
        cost = {name: costs(*servers[name], peak_seconds, *map(list, processes[name])) for name in servers}
    finally:
        for process in reversed(running):
            process.close()
        try:
            node.set_aside(other)
            node.stop()
        finally:
            node.remove()
    return {"peak_rounds": peaks, "stolen_rounds": stolen, "peak": medians, "rate": rate, "errors": errors, "cost": cost,
            "latency_ms": {name: figures.summary(all_) for name, all_ in samples.items()}, "load": [load_before, figures.load()],
            "generator": f"one thread, not pinned: it shares all {len(os.sched_getaffinity(0))} cores with the servers, alike for all"}


def report(result):
    rows = [(name, f"{result['peak'][name]:.0f}", " ".join(f"{one:.0f}" for one in result["peak_rounds"][name]), one["n"], result["errors"][name],
             *(f"{one[p]:.2f}" for p in ("p50", "p99", "max")), *result["cost"][name].values()) for name, one in result["latency_ms"].items()]
    head = ("a web server behind", "requests/s at peak", "rounds", f"n at {result['rate']}/s", "errors", "p50 ms", "p99", "max",
            "proxy us a request", "server us", "of it the busier process")
    return figures.table(head, rows)


def judge(result, bars):
    bars.above("a web server behind ebb, requests/s: 0.9 of nginx's", result["peak"]["ebb"], THROUGHPUT_AT_LEAST * result["peak"]["nginx"], "/s")
    p99 = {name: one["p99"] for name, one in result["latency_ms"].items()}
    bars.at_most("a web server behind ebb, p99: times nginx's", p99["ebb"] / p99["nginx"], P99_AT_MOST, "x")
    bars.at_most("a web server behind ebb: errors", result["errors"]["ebb"], 0)
