"""A model alone, with and without batching, beside a FastAPI server around the same ONNX Runtime and beside ONNX Runtime called directly.

The model multiplies a row of 2,048 numbers by two matrices of 2,048 x 2,048 (32 MB of weights): one row has to read all of them, and
so do sixteen. Calls bring a row of 8 KB as it is and want one back: Ebb's behind a head of JSON (binary tensors of the Open Inference
Protocol), FastAPI's bare. One instance, one process of uvicorn (uvloop, httptools), one thread for the model everywhere; batching by the
same rule (16 rows or 2 ms). `direct` is a loop in one process. All use the wheels of the node's own layer. Peak: wrk with one thread and 16
connections, in rounds that take turns. Cold: calls with `idle_timeout: 0s`, each a fork of the zygote that holds the model.
"""

import contextlib
import json
import os
import pathlib
import re
import struct
import subprocess
import tempfile
import time

import cold
import figures
import install
import onnx_models as onnx
import proxy
from servers import free_port

WIDTH = 2048
EXPECTED = (WIDTH * 0.001) ** 2  # of every weight 0.001 and every number 1
BATCH = {"size": 16, "window_ms": 2}
REST_SECONDS = 0.01
_HERE = pathlib.Path(__file__).resolve().parent / "models"

_LUA = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/octet-stream"
wrk.headers["Inference-Header-Content-Length"] = %s
local file = io.open("%s", "rb")
wrk.body = file:read("*a")
"""


def model():
    weights = [onnx.float_tensor(name, [WIDTH, WIDTH], WIDTH * WIDTH * 4, external=("weights.bin", 0)) for name in ("v", "w")]
    nodes = [onnx.node("MatMul", ["x", "v"], ["h"]), onnx.node("Relu", ["h"], ["r"]), onnx.node("MatMul", ["r", "w"], ["y"])]
    return onnx.model(nodes, [onnx.tensor_info("x", onnx.FLOAT, ["n", WIDTH])], [onnx.tensor_info("y", onnx.FLOAT, ["n", WIDTH])], weights)


def head():
    """What precedes the row in a question by the Open Inference Protocol."""
    return json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "parameters": {"binary_data_size": 4 * WIDTH}}],
                       "parameters": {"binary_data_output": True}}).encode()


class Target:
    """One server of the model: where it is asked and how."""

    def __init__(self, port, path, folder, name, question_head=b""):
        self._port, self._url = port, f"http://127.0.0.1:{port}{path}"
        question = question_head + struct.pack("<f", 1.0) * WIDTH
        self._body, self._script = folder / f"{name}.body", folder / f"{name}.lua"
        self._body.write_bytes(question)
        self._script.write_text(_LUA % (f'"{len(question_head)}"' if question_head else "nil", self._body))
        length = b"Inference-Header-Content-Length: %d\r\n" % len(question_head) if question_head else b""
        self.request = (b"POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/octet-stream\r\n%sContent-Length: %d\r\n\r\n%s"
                        % (path.encode(), length, len(question), question))

    def check(self):
        """It answers what the model says."""
        with contextlib.closing(cold.Connection(f"http://127.0.0.1:{self._port}")) as connection:
            values = struct.unpack(f"<{WIDTH}f", connection.exchange(self.request)[2][-4 * WIDTH:])
        if any(abs(value / EXPECTED - 1) > 1e-3 for value in values):
            raise RuntimeError(f"{self._url} answers {values[:4]}, not {EXPECTED}")

    def peak(self, seconds):
        """(answers a second, p50, p99 in milliseconds)"""
        done = subprocess.run(["wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", "-s", str(self._script), self._url], capture_output=True, text=True,
                              check=True).stdout
        if "Non-2xx" in done:
            raise RuntimeError(f"{self._url}: {done}")
        waited = {share: float(value) * {"us": 0.001, "ms": 1, "s": 1000}[unit] for share, value, unit in re.findall(r"^ +(\d+)% +([\d.]+)(us|ms|s)", done, re.MULTILINE)}
        return float(re.search(r"Requests/sec: +([\d.]+)", done)[1]), waited["50"], waited["99"]


def deploy(node, files):
    functions = {
        "alone": {"model": "m.onnx", "scale": {"min": 1, "max": 1}},
        "batch": {"model": "m.onnx", "scale": {"min": 1, "max": 1}, "batch": {"size": BATCH["size"], "window": f"{BATCH['window_ms']}ms"}},
        "cold": {"model": "m.onnx", "scale": {"max": 1}, "idle_timeout": "0s"},
    }
    node.deploy({"ebb.yaml": json.dumps({"app": "models", "functions": functions}), **files})


def fastapi_server(out, folder, layer, batch_size):
    port = free_port()
    variables = {"PYTHONPATH": layer, "MODEL": folder / "m.onnx", "BATCH_SIZE": batch_size, "BATCH_WINDOW": BATCH["window_ms"] / 1000,
                 "PYTHONDONTWRITEBYTECODE": 1}
    words = [install.fastapi(out)["command"], "--no-access-log", "--log-level", "warning", "--port", port, "--app-dir", _HERE, "fastapi_server:app"]
    return proxy.Process(["env", *(f"{name}={value}" for name, value in variables.items()), *words], port)


def direct(folder, layer, rows, seconds):
    done = subprocess.run(["/usr/bin/python3", "-B", _HERE / "direct.py", folder / "m.onnx", str(rows), str(seconds)], env={"PYTHONPATH": str(layer)},
                          capture_output=True, text=True, check=True)
    return float(done.stdout)


def cold_calls(node, target, calls):
    """Milliseconds: of the start of an instance, of the whole call."""
    starts, totals = [], []
    with contextlib.closing(cold.Connection(node.url)) as connection:
        cold.settle(connection, "cold", target.request)
        time.sleep(4)  # the launcher's collapse runs beside the first calls, for 3 s at most
        for _ in range(calls):
            seconds, answer_head, _ = connection.exchange(target.request)
            phases, rung = cold.phases_of(answer_head)
            if rung != "fork":
                raise RuntimeError(f"a cold call took the rung '{rung}'")
            starts.append(phases["start"] + phases["init"])
            totals.append(seconds * 1000)
            time.sleep(REST_SECONDS)
    return {"start": figures.summary(starts), "call": figures.summary(totals)}


def measure(node, out, rounds, seconds, calls):
    load_before = figures.load()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as running:
        folder = pathlib.Path(name)
        files = {"m.onnx": model(), "weights.bin": struct.pack("<f", 0.001) * (WIDTH * WIDTH)}
        for file, data in files.items():
            (folder / file).write_bytes(data)
        deploy(node, files)
        layer = node.data / "layers" / node.functions("models")["models/alone"]["layer"]
        targets, port = {}, int(node.url.rsplit(":", 1)[1])
        for label, size in (("fastapi", 1), ("fastapi, batching", BATCH["size"])):
            server = fastapi_server(out, folder, layer, size)
            running.callback(server.close)
            targets[label] = Target(server.port, "/infer", folder, f"fastapi-{size}")
        for label, function in (("ebb", "alone"), ("ebb, batching", "batch"), ("ebb, cold", "cold")):
            targets[label] = Target(port, f"/fn/models/{function}/v2/models/{function}/infer", folder, function, head())
        for target in targets.values():
            target.check()
        coldly = targets.pop("ebb, cold")
        found = {label: [] for label in targets}
        rows = {1: [], BATCH["size"]: []}
        for target in targets.values():
            target.peak(1)  # warm up
        for number in range(rounds):
            for count, rates in rows.items():
                rates.append(direct(folder, layer, count, seconds / 2))
            turn = number % len(targets)
            for label in list(targets)[turn:] + list(targets)[:turn]:
                found[label].append(targets[label].peak(seconds))
        starts = cold_calls(node, coldly, calls)
    servers = {}
    for label, all_ in found.items():
        peaks, middles, lasts = zip(*all_)
        servers[label] = {"rounds": peaks, **{what: round(figures.median(values), 3) for what, values in (("peak", peaks), ("p50_ms", middles), ("p99_ms", lasts))}}
    return {"direct": {str(count): {"rounds": [round(rate, 1) for rate in rates], "peak": round(figures.median(rates), 1)} for count, rates in rows.items()},
            "servers": servers, "cold_ms": starts, "versions": install.FASTAPI, "load": [load_before, figures.load()],
            "generator": f"one thread, not pinned: it shares all {len(os.sched_getaffinity(0))} cores with the servers, alike for all"}


def report(result):
    def rounds(one):
        return " ".join(f"{rate:.0f}" for rate in one["rounds"])
    rows = [(f"ONNX Runtime called directly, rows a run: {count}", f"{one['peak']:.0f}", rounds(one), "", "") for count, one in result["direct"].items()]
    rows += [(label, f"{one['peak']:.0f}", rounds(one), f"{one['p50_ms']:.1f}", f"{one['p99_ms']:.1f}") for label, one in result["servers"].items()]
    text = figures.table(("a model of 32 MB, rows/s", "median", "rounds", "p50 ms of 16 at a time", "p99"), rows)
    rows = [(what, one["n"], *(f"{one[p]:.1f}" for p in ("p50", "p99", "max"))) for what, one in result["cold_ms"].items()]
    return f"{text}\n\n{figures.table(('cold, ms', 'n', 'p50', 'p99', 'max'), rows)}"


def judge(result, bars):
    """No bar: how much of a model's throughput is left depends on the model. Wrong answers have ended the part."""
