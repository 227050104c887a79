"""Web servers behind Ebb and behind nginx: the same gunicorn (gthread), by the same clients, in turns.

Behind Ebb, a node of its own with as many core threads as nginx has workers (`io_cores`), each is a function (`runtime: http`, one
instance, 16 calls at a time) in all walls, each call metered; behind nginx a plain process, with 16 connections kept, which gets
the same headers: each costs gunicorn as much as the proxy. `direct` is that process without a proxy.
Peak: wrk, one thread, 16 connections. Latency: open_loop at half of the slowest peak. Rounds take turns, and those in which the host
took processors away are run again. Bars: at least 0.9 of nginx's throughput, at most 1.2 of its p99.

`one` is a process of sixteen threads, which is short of Python's lock and not of processors; `two` are of eight threads each, and with
the proxy and the generator short of processors. Much is chance: which of the two processes, and which of a proxy's threads, a kept
connection belongs to is decided when it is made, and the same two take 210 or 380 us a request at half load, behind either proxy, for
as long as the connections last. So the lots are drawn several times: servers, proxies and connections are made anew, the connections
a few at a time, which spreads them, and the answers of all draws are counted together.
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
WORKERS = 2  # of nginx
SERVERS = {"one": (1, 16), "two": (2, 8)}  # processes of gunicorn's, threads of each
ROUNDS = 2  # of each draw
RAMP = (2, 6, 16)  # connections
FORWARDED = ("Host $http_host", "X-Forwarded-For $proxy_add_x_forwarded_for", "X-Forwarded-Host $http_host", "X-Forwarded-Prefix /fn/proxy/one",
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


def gunicorn(out, processes, threads):
    port = free_port()
    command = [install.gunicorn(out)["command"], "--workers", processes, "--worker-class", "gthread", "--threads", threads, "--keep-alive", 75,
               "--bind", f"127.0.0.1:{port}", "--chdir", _HERE / "proxy", "server:app"]
    return Process(command, port)


def nginx(out, server):
    port = free_port()
    folder = out / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    text = (_HERE / "peers/nginx.conf").read_text()
    action = " ".join(f"proxy_set_header {header};" for header in ('Connection ""', *FORWARDED)) + " proxy_pass http://trivial; proxy_http_version 1.1;"
    for word, value in (("DIRECTORY", folder), ("ROLE", "proxy"), ("PROCESSES", WORKERS), ("SERVER_PORT", server), ("LISTEN_PORT", port), ("ACTION", action)):
        text = text.replace(word, str(value))
    (folder / "proxy.conf").write_text(text)
    return Process([install.nginx(out)["command"], "-e", "stderr", "-p", folder, "-c", folder / "proxy.conf"], port)


def spread_connections(port, path):
    """Has a proxy make its connections to the server few at a time, when all of the server's processes wait for one."""
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


def draw(node, folder, generator, out, name, peak_seconds, rate):
    """One gunicorn anew: as the node's function of that name, behind an nginx started for it, and alone. Rounds of peaks, then of latencies at
    `rate` a second, or at half of the slowest peak where none is given."""
    running = []
    try:
        node.deploy(folder)
        running.append(gunicorn(out, *SERVERS[name]))
        running.append(nginx(out, running[0].port))
        servers = {"ebb": (int(node.url.rsplit(":", 1)[1]), f"/fn/proxy/{name}/"), "nginx": (running[1].port, "/"), "direct": (running[0].port, "/")}
        for port, path in servers.values():
            spread_connections(port, path)
        peaks, stolen = warm.quiet_peaks(servers, ROUNDS, peak_seconds)
        rate = rate or round(min(figures.median(all_) for all_ in peaks.values()) / 2)

        def at_rate(proxy):
            raw = out / "proxy.csv"
            errors = warm.at_rate(generator, *servers[proxy], rate, 2 * peak_seconds, raw)["errors"]
            return errors, [float(line) / 1000 for line in raw.read_text().split()]

        answers, _ = warm.quiet_rounds(list(servers), ROUNDS, 2 * peak_seconds, at_rate)
        outside = descendants(running[0].pid)
        processes = {"ebb": ([node.daemon_pid], node.pids_in("instances", "proxy")), "nginx": (descendants(running[1].pid), outside), "direct": ((), outside)}
        cost = {proxy: costs(*servers[proxy], peak_seconds, *map(list, processes[proxy])) for proxy in servers}
    finally:
        for process in reversed(running):
            process.close()
    return {"peaks": peaks, "stolen": stolen, "rate": rate, "cost": cost, "errors": {proxy: sum(failed for failed, _ in all_) for proxy, all_ in answers.items()},
            "ms": {proxy: [ms for _, round_ in all_ for ms in round_] for proxy, all_ in answers.items()}}


def measure_one(node, generator, out, name, draws, peak_seconds):
    drawn, rate = [], None  # the first draw's, for all
    for number in range(draws):
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(_HERE / "proxy", folder, dirs_exist_ok=True)
            pathlib.Path(folder, "draw").write_text(f"{name} {number}")  # so that it is a version of its own, with an instance of its own
            drawn.append(draw(node, folder, generator, out, name, peak_seconds, rate))
        rate = drawn[0]["rate"]
    proxies = list(drawn[0]["peaks"])
    peaks = {proxy: [peak for one in drawn for peak in one["peaks"][proxy]] for proxy in proxies}
    samples = {proxy: [ms for one in drawn for ms in one["ms"][proxy]] for proxy in proxies}
    for proxy, all_ in samples.items():
        (out / f"proxy-{name}-{proxy}.csv").write_text("".join(f"{ms * 1000:.0f}\n" for ms in all_))
    return {"peak_rounds": peaks, "stolen_rounds": [one["stolen"] for one in drawn], "peak": {proxy: figures.median(all_) for proxy, all_ in peaks.items()},
            "rate": rate, "latency_ms": {proxy: figures.summary(all_) for proxy, all_ in samples.items()},
            "p99_of_draws": {proxy: [figures.percentile(one["ms"][proxy], 99) for one in drawn] for proxy in proxies},
            "errors": {proxy: sum(one["errors"][proxy] for one in drawn) for proxy in proxies},
            "cost": {proxy: {key: figures.median([one["cost"][proxy][key] for one in drawn]) for key in drawn[0]["cost"][proxy]} for proxy in proxies}}


def measure(generator, out, draws, peak_seconds):
    if not shutil.which("wrk"):
        raise RuntimeError("wrk is not installed: ./dev bench installs it, or apt-get install wrk")
    load_before = figures.load()
    node = Node({"io_cores": WORKERS})
    try:
        node.start()
        servers = {name: measure_one(node, generator, out, name, draws, peak_seconds) for name in SERVERS}
    finally:
        try:
            node.stop()
        finally:
            node.remove()
    return {"servers": servers, "load": [load_before, figures.load()],
            "generator": f"one thread, not pinned: it shares all {len(os.sched_getaffinity(0))} cores with the servers, alike for all"}


def report(result):
    def row(name, server, proxy):
        one = server["latency_ms"][proxy]
        return (f"{name}, {proxy}", f"{server['peak'][proxy]:.0f}", " ".join(f"{peak:.0f}" for peak in sorted(server["peak_rounds"][proxy])),
                server["rate"], one["n"], server["errors"][proxy], *(f"{one[p]:.2f}" for p in ("p50", "p99")),
                " ".join(f"{p99:.1f}" for p99 in server["p99_of_draws"][proxy]), *server["cost"][proxy].values())

    head = ("gunicorn, behind", "requests/s at peak", "rounds", "at a rate of", "n", "errors", "p50 ms", "p99", "of each draw", "proxy us a request", "server us", "busier process")
    return figures.table(head, [row(name, server, proxy) for name, server in result["servers"].items() for proxy in server["latency_ms"]])


def judge(result, bars):
    for name, server in result["servers"].items():
        bars.above(f"gunicorn ({name}) behind ebb, requests/s: 0.9 of nginx's", server["peak"]["ebb"], THROUGHPUT_AT_LEAST * server["peak"]["nginx"], "/s")
        p99 = {proxy: one["p99"] for proxy, one in server["latency_ms"].items()}
        bars.at_most(f"gunicorn ({name}) behind ebb, p99: times nginx's", p99["ebb"] / p99["nginx"], P99_AT_MOST, "x")
        bars.at_most(f"gunicorn ({name}) behind ebb: errors", server["errors"]["ebb"], 0)
