"""Streams: how long a piece is on its way from the handler to the client, and what a long body does to the daemon's memory.

Each piece says when it was made (CLOCK_MONOTONIC, one for the whole machine: sandboxes have no time of their own) and the client
notes when the read returned that brought it. Of each stream the first piece, which waits for the head too, and one 5 ms later, while the
connection is quiet. All kinds in turns, one stream at a time. A stream during which the host took a processor away is left out of what is judged.

A body of 1 GB: from a handler and from a web server to a client that reads as it can but takes nothing for a second at each quarter, and from a
client to a web server. The daemon's memory is its peak (VmHWM, set back before) less what it had in memory before.
"""

import csv
import http.client
import pathlib
import re
import shutil
import socket
import subprocess
import time

import cold
import figures
from ebb_node import ROOT, resident_bytes

KINDS = ("python", "wsgi", "asgi", "node", "native", "lambda", "http")
P99_MS_AT_MOST = 5
GROWN_MB_BELOW = 16
REST_SECONDS = 0.002
PIECE_BYTES = 65536
_PIECES = 2  # of a stream, as in stream/
_MADE = re.compile(rb"(?<![0-9a-f])(\d{10,})\n")


def package(out):
    """A folder with all programs, built and ready to be deployed."""
    folder = out / "stream-package"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(pathlib.Path(__file__).resolve().parent / "stream", folder)
    subprocess.run(["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-static-libstdc++", "-static-libgcc", f"-I{ROOT / 'sdk/cpp/include'}",
                    "-fPIC", "-shared", "-o", "pieces_cpp.so", "pieces_cpp.cc"], cwd=folder, check=True, timeout=300)
    return folder


class Client:
    """One connection; reads streams of pieces that say when they were made."""

    def __init__(self, node):
        self._host, port = node.url.removeprefix("http://").rsplit(":", 1)
        self._sock = socket.create_connection((self._host, int(port)), timeout=60)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def stream(self, kind):
        """Seconds that each piece was on its way."""
        self._sock.sendall(b"GET /fn/stream/%s HTTP/1.1\r\nHost: %s\r\n\r\n" % (kind.encode(), self._host.encode()))
        got, on_the_way = b"", []
        while not got.endswith(b"\r\n0\r\n\r\n"):
            part = self._sock.recv(65536)
            now = time.monotonic_ns()
            got += part
            made = [int(text) for text in _MADE.findall(got)]
            on_the_way += [(now - one) / 1e9 for one in made[len(on_the_way):]]
            if not part or len(got) > 65536:
                break
        if not got.startswith(b"HTTP/1.1 200") or len(on_the_way) != _PIECES:
            raise RuntimeError(f"a stream of {kind} failed: {got[:600].decode(errors='replace')}")
        return on_the_way

    def close(self):
        self._sock.close()


def pieces(node, out, rounds, seconds_max):
    """{kind: {"first", "later"}} in milliseconds; raw samples go to out/stream.csv."""
    samples = {kind: {"first": cold.Samples(), "later": cold.Samples()} for kind in KINDS}
    client, stolen = Client(node), {}
    try:
        for kind in KINDS:
            for _ in range(20):  # warm up
                client.stream(kind)
        with open(out / "stream.csv", "w", newline="") as file:
            raw = csv.writer(file)
            raw.writerow(("round", "kind", "first_ms", "later_ms"))
            limit = time.monotonic() + seconds_max
            for number in range(rounds):
                before_ms = figures.stolen_ms()
                for kind in KINDS:
                    first, later = client.stream(kind)
                    samples[kind]["first"].add(number, first)
                    samples[kind]["later"].add(number, later)
                    raw.writerow((number, kind, f"{first * 1000:.4f}", f"{later * 1000:.4f}"))
                    time.sleep(REST_SECONDS)
                if (lost_ms := figures.stolen_ms() - before_ms) > 0:
                    stolen[number] = lost_ms
                if time.monotonic() > limit:
                    break
    finally:
        client.close()
    return {kind: {which: one.summary(stolen) for which, one in by_piece.items()} for kind, by_piece in samples.items()}


def peak_bytes(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def read_slowly(response, expected):
    """Takes nothing for a second at each quarter."""
    buffer, got, pause_at = bytearray(1 << 20), 0, expected // 4
    while count := response.readinto(buffer):
        got += count
        if got >= pause_at:
            time.sleep(1)
            pause_at += expected // 4
    return got


def one_body(node, direction, function, length):
    """What a body of so many bytes does to the daemon."""
    pid = node.daemon_pid
    host, port = node.url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=120)
    count = length // PIECE_BYTES
    before = resident_bytes(pid)
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")  # VmHWM begins anew
    started = time.monotonic()
    try:
        if direction == "down":
            connection.request("GET", f"/fn/stream/{function}?pieces={count}")
            passed = read_slowly(connection.getresponse(), length)
        else:
            connection.request("POST", f"/fn/stream/{function}", body=(b"x" * PIECE_BYTES for _ in range(count)), encode_chunked=True,
                               headers={"Transfer-Encoding": "chunked"})
            passed = int(connection.getresponse().read())
    finally:
        connection.close()
    if passed != length:
        raise RuntimeError(f"{passed} bytes of {length} passed {direction} {function}")
    return {"direction": direction, "function": function, "mb": length >> 20, "seconds": round(time.monotonic() - started, 1), "before_mb": round(before / 2**20, 1),
            "peak_mb": round(peak_bytes(pid) / 2**20, 1)}


def measure(node, out, rounds, seconds_max, body_mb):
    load_before = figures.load()
    on_the_way = pieces(node, out, rounds, seconds_max)
    bodies = [one_body(node, direction, function, body_mb << 20) for direction, function in (("down", "large"), ("down", "http"), ("up", "http"))]
    return {"pieces": on_the_way, "bodies": bodies, "load": [load_before, figures.load()]}


def report(result):
    rows = [(kind, which, one["n"], *(f"{one[p]:.2f}" for p in ("p50", "p99", "max")), one["quiet"]["n"], f"{one['quiet']['p99']:.2f}")
            for kind, by_piece in result["pieces"].items() for which, one in by_piece.items()]
    text = figures.table(("a piece on its way, ms", "piece", "n", "p50", "p99", "max", "quiet n", "quiet p99"), rows) + "\n\n"
    rows = [(f"{one['mb']} MB {one['direction']}, {one['function']}", one["seconds"], one["before_mb"], one["peak_mb"], f"{one['peak_mb'] - one['before_mb']:.1f}")
            for one in result["bodies"]]
    return text + figures.table(("a long body", "seconds", "the daemon's MB before", "at most", "grown by"), rows)


def judge(result, bars):
    for kind, by_piece in result["pieces"].items():
        for which, one in by_piece.items():
            bars.at_most(f"stream of {kind}: the {which} piece on its way, p99 of {one['quiet']['n']} quiet ones", one["quiet"]["p99"], P99_MS_AT_MOST, "ms")
    for one in result["bodies"]:
        bars.below(f"{one['mb']} MB {one['direction']}, {one['function']}: the daemon's memory grows by", one["peak_mb"] - one["before_mb"], GROWN_MB_BELOW, "MB")
