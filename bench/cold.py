"""Cold starts through HTTP beside bare forks of the same function, sample by sample in turn, all functions in one round.

A sample of Ebb: from sending a request on an open connection to the last byte of its answer, to a function whose instances
are retired at once (`idle_timeout: 0s`), so that each call is a fork of the function zygote; one that took another rung is
an error. A sample of the bare fork: see bare_fork.py. Both clients are this process. Between samples it waits until the
last process has gone: the bare fork says so, an instance is given REST_SECONDS.

A round in which the host took a processor away (steal time, as the kernel counts it) says nothing about either side's p99. The
bars of the p99 are judged on the other rounds, chosen by the steal time alone; the p99 of all of them stands beside.
"""

import csv
import gc
import os
import pathlib
import re
import socket
import struct
import subprocess
import time

import figures

FUNCTIONS = ("hello", "model10", "array200", "objects200", "model1000")
REST_SECONDS = 0.010
WARM_UP_ROUNDS = 20
_FRAME = struct.Struct("<HBBIQ16s")  # src/wire/frame.h
_HERE = pathlib.Path(__file__).resolve().parent


class Connection:
    """One keep-alive connection to a node; no more of HTTP than needed to find the end of an answer."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self._host = f"{host}:{port}".encode()
        self._sock = socket.create_connection((host, int(port)), timeout=120)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request_of(self, path, body=None):
        if body is None:
            return b"GET %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (path.encode(), self._host)
        return (b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (path.encode(), self._host, len(body), body.encode()))

    def exchange(self, request):
        """(seconds, head, body) of one request."""
        receive = self._sock.recv
        started = time.perf_counter()
        self._sock.sendall(request)
        answer = receive(65536)
        while (end := answer.find(b"\r\n\r\n")) < 0 and answer:
            answer += receive(65536)
        length = re.search(rb"\r\ncontent-length: *(\d+)", answer[:end], re.IGNORECASE)
        missing = end + 4 + int(length.group(1)) - len(answer) if length else 0
        while missing > 0:
            part = receive(65536)
            if not part:
                raise ConnectionError("the node closed the connection within an answer")
            answer += part
            missing -= len(part)
        taken = time.perf_counter() - started
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"a call failed: {answer[:600].decode(errors='replace')}")
        return taken, answer[:end], answer[end + 4:]

    def close(self):
        self._sock.close()


def phases_of(head):
    """{"start": milliseconds, ...} and the rung, from Server-Timing."""
    line = re.search(rb"\r\nserver-timing: *([^\r]*)", head, re.IGNORECASE).group(1).decode()
    durations = {name: float(value) for name, value in re.findall(r"(\w+);dur=([\d.]+)", line)}
    return durations, re.search(r'start;dur=[\d.]+;desc="(\w+)"', line).group(1)


class BareFork:
    """The client of bare_fork.py."""

    def __init__(self, runtime, layer, function, event):
        self._data, data = socket.socketpair()
        self._control, control = socket.socketpair()
        command = ["/usr/bin/python3", "-I", "-S", "-B", str(_HERE / "bare_fork.py"), str(runtime), str(_HERE / "functions"),
                   str(layer), f"{function}.handler", str(data.fileno()), str(control.fileno())]
        self._process = subprocess.Popen(command, pass_fds=(data.fileno(), control.fileno()), stdin=subprocess.DEVNULL)
        data.close()
        control.close()
        if self._control.recv(1) != b"+":
            raise RuntimeError(f"bare_fork.py could not load {function}")
        meta = b'{"kind":"http","request_id":"bare","deadline_ms":%d,"event":%s}' % (time.time_ns() // 1_000_000 + 3_600_000, event)
        self._frame = _FRAME.pack(0xEBF1, 1, 1, len(meta), 0, bytes(16)) + meta

    @property
    def pid(self):
        return self._process.pid

    def exchange(self):
        """(seconds, body) of one fork with its answer; returns when the child has ended."""
        receive = self._data.recv
        started = time.perf_counter()
        self._data.sendall(self._frame)
        self._control.send(b"f")
        answer = receive(65536)
        while len(answer) < _FRAME.size:
            answer += receive(65536)
        _, _, kind, meta_bytes, body_bytes, _ = _FRAME.unpack_from(answer)
        while len(answer) < _FRAME.size + meta_bytes + body_bytes:
            answer += receive(65536)
        taken = time.perf_counter() - started
        if kind != 2:
            raise RuntimeError(f"a bare fork failed: {answer[_FRAME.size:].decode(errors='replace')}")
        self._control.recv(1)
        return taken, answer[_FRAME.size + meta_bytes:]

    def close(self):
        self._control.close()
        self._data.close()
        self._process.wait()


def settle(connection, function, request, seconds=60):
    """Calls until cold starts are forks of the function zygote, and its memory has been collapsed."""
    limit = time.monotonic() + seconds
    while True:
        _, head, _ = connection.exchange(request)
        if phases_of(head)[1] == "fork":
            return
        if time.monotonic() > limit:
            raise RuntimeError(f"{function} has no function zygote after {seconds} s: calls take the rung '{phases_of(head)[1]}'")
        time.sleep(0.2)


class Samples:
    """Milliseconds by round."""

    def __init__(self):
        self._samples = []

    def add(self, number, taken):
        self._samples.append((number, taken * 1000))

    def summary(self, stolen):
        """Of all rounds; "quiet": of those that are not in `stolen`."""
        quiet = [taken for number, taken in self._samples if number not in stolen]
        every = figures.summary([taken for _, taken in self._samples])
        return {**every, "quiet": figures.summary(quiet) if quiet else every}


def measure(node, layer, runtime, out, rounds, seconds_max):
    """Runs `rounds` rounds, fewer if `seconds_max` is over. Returns the result; raw samples go to out/cold.csv."""
    connection = Connection(node.url)
    event = connection.exchange(connection.request_of("/fn/bench/echo"))[2]
    requests = {name: connection.request_of(f"/fn/bench/{name}") for name in FUNCTIONS}
    bare = {name: BareFork(runtime, layer, name, event) for name in FUNCTIONS}
    ebb, forked = {name: Samples() for name in FUNCTIONS}, {name: Samples() for name in FUNCTIONS}
    stolen_ms = {}
    phases_ms = {name: {} for name in FUNCTIONS}
    load_before, rungs = figures.load(), 0
    try:
        for name in FUNCTIONS:
            settle(connection, name, requests[name])
        time.sleep(4)  # the launcher's collapse runs beside the first calls, for 3 s at most
        with open(out / "cold.csv", "w", newline="") as file:
            raw = csv.writer(file)
            raw.writerow(("round", "function", "ebb_ms", "bare_ms", "queue_ms", "start_ms", "init_ms", "handler_ms", "total_ms", "stolen_before_ms"))
            gc.collect()
            gc.disable()
            limit = time.monotonic() + seconds_max
            number = -WARM_UP_ROUNDS
            while number < rounds and time.monotonic() < limit:
                before_ms = figures.stolen_ms()
                for name in FUNCTIONS:
                    taken, head, body = connection.exchange(requests[name])
                    time.sleep(REST_SECONDS)
                    bare_taken, bare_body = bare[name].exchange()
                    time.sleep(REST_SECONDS / 2)
                    if body != bare_body:
                        raise RuntimeError(f"{name} answers {body!r} through Ebb and {bare_body!r} from a bare fork")
                    phases, rung = phases_of(head)
                    if rung != "fork":
                        rungs += 1
                        continue
                    if number < 0:
                        continue
                    ebb[name].add(number, taken)
                    forked[name].add(number, bare_taken)
                    for phase, duration in phases.items():
                        phases_ms[name].setdefault(phase, []).append(duration)
                    raw.writerow((number, name, f"{taken * 1000:.4f}", f"{bare_taken * 1000:.4f}",
                                  *(phases.get(phase, "") for phase in ("queue", "start", "init", "handler", "total")), before_ms))
                if (lost_ms := figures.stolen_ms() - before_ms) > 0:
                    stolen_ms[number] = lost_ms
                number += 1
    finally:
        gc.enable()
        for process in bare.values():
            process.close()
        connection.close()
    functions = {name: {"ebb_ms": ebb[name].summary(stolen_ms), "bare_ms": forked[name].summary(stolen_ms),
                        "phases_p50_ms": {phase: round(figures.median(all_), 3) for phase, all_ in phases_ms[name].items()}}
                 for name in FUNCTIONS}
    return {"functions": functions, "other_rungs": rungs, "stolen_ms": sum(stolen_ms.values()), "rest_ms": REST_SECONDS * 1000, "load": [load_before, figures.load()],
            "client": f"one thread of Python; node, bare forks and client share all {len(os.sched_getaffinity(0))} cores"}


def report(result):
    rows = []
    for name, one in result["functions"].items():
        ebb, bare, phases = one["ebb_ms"], one["bare_ms"], one["phases_p50_ms"]
        quiet, bare_quiet = ebb["quiet"], bare["quiet"]
        rows.append((name, ebb["n"], f"{ebb['p50']:.2f}", f"{ebb['p99']:.2f}", f"{bare['p50']:.2f}", f"{bare['p99']:.2f}", f"{ebb['p50'] / bare['p50']:.2f}",
                     quiet["n"], f"{quiet['p99']:.2f}", f"{bare_quiet['p99']:.2f}", f"{quiet['p99'] / bare['p50']:.2f}",
                     *(f"{phases.get(phase, 0):.2f}" for phase in ("start", "init", "handler", "total"))))
    head = ("cold start, ms", "n", "p50", "p99", "bare p50", "bare p99", "p50/bare", "quiet n", "quiet p99", "bare", "/bare p50",
            "start", "init", "handler", "total")
    return f"{figures.table(head, rows)}\nquiet: the rounds in which the host took no processor away; it took {result['stolen_ms']} ms in the others"


def judge(result, bars):
    functions = result["functions"]
    for name, one in functions.items():
        bare = one["bare_ms"]["p50"]
        bars.at_most(f"cold start of {name}, p50: 2 x bare p50 + 0.3 ms", one["ebb_ms"]["p50"], 2 * bare + 0.3, "ms")
        quiet = one["ebb_ms"]["quiet"]
        bars.at_most(f"cold start of {name}, p99 of {quiet['n']} quiet samples: 5 x bare p50", quiet["p99"], 5 * bare, "ms")
    for name in ("array200", "objects200"):
        bars.at_most(f"bare fork of {name} / of hello, p50", functions[name]["bare_ms"]["p50"] / functions["hello"]["bare_ms"]["p50"], 1.5)
    more = functions["model1000"]["ebb_ms"]["p50"] - functions["model10"]["ebb_ms"]["p50"]
    bars.at_most("cold start of 1 GB more than of 10 MB, p50", more, 1.0, "ms")
    bars.at_most("samples that were no fork of the function zygote", result["other_rungs"], 0)
