"""A model alone, with and without batching, beside ONNX Runtime called directly: run by hand, `/usr/bin/python3 bench/models.py`.

The model multiplies a row of 2,048 numbers by two matrices of 2,048 x 2,048 (32 MB of weights): one row has to read all of them, and
so do sixteen. Calls bring a binary tensor of 8 KB and want one back. `direct`: a loop in one process of the node's own layer, one
row a run. Behind Ebb one instance, wrk with one thread and 16 connections, in rounds that take turns. Cold: calls with
`idle_timeout: 0s`, each a fork of the zygote that holds the model.
"""

import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/functional"))
import onnx_models as onnx  # noqa: E402  (the path had to be there first)
from ebb_node import Node, running, server_timing  # noqa: E402

WIDTH = 2048
ROUNDS = 5
SECONDS = 4
COLD_CALLS = 300

DIRECT = """
import sys, time, numpy as np, onnxruntime as ort
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = ort.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
rows = int(sys.argv[2])
x = np.ones((rows, 2048), np.float32)
session.run(None, {"x": x})
began, count = time.monotonic(), 0
while time.monotonic() - began < 3:
    session.run(None, {"x": x})
    count += rows
print(count / (time.monotonic() - began))
"""

LUA = """
wrk.method = "POST"
wrk.headers["Inference-Header-Content-Length"] = "%d"
wrk.headers["Content-Type"] = "application/octet-stream"
local file = io.open("%s", "rb")
wrk.body = file:read("*a")
"""


def model():
    weights = [onnx.float_tensor(name, [WIDTH, WIDTH], WIDTH * WIDTH * 4, external=("weights.bin", 0)) for name in ("v", "w")]
    nodes = [onnx.node("MatMul", ["x", "v"], ["h"]), onnx.node("Relu", ["h"], ["r"]), onnx.node("MatMul", ["r", "w"], ["y"])]
    return onnx.model(nodes, [onnx.tensor_info("x", onnx.FLOAT, ["n", WIDTH])], [onnx.tensor_info("y", onnx.FLOAT, ["n", WIDTH])], weights)


def question():
    """(the length of its JSON, all of it)"""
    text = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, WIDTH], "parameters": {"binary_data_size": 4 * WIDTH}}],
                       "parameters": {"binary_data_output": True}}).encode()
    return len(text), text + struct.pack("<f", 1.0) * WIDTH


def peak(node, name, script):
    """(answers a second, median milliseconds)"""
    done = subprocess.run(["wrk", "-t1", "-c16", f"-d{SECONDS}s", "--latency", "-s", script, f"{node.url}/fn/bench/{name}/v2/models/{name}/infer"],
                          capture_output=True, text=True, check=True)
    words = done.stdout.split()
    if "Non-2xx" in words:
        raise RuntimeError(done.stdout)
    text = words[words.index("50%") + 1]
    unit = 1e-3 if text.endswith("us") else 1 if text.endswith("ms") else 1e3
    return float(words[words.index("Requests/sec:") + 1]), float(text.rstrip("mus")) * unit


def main():
    functions = {
        "alone": {"model": "m.onnx", "scale": {"max": 1}},
        "batch": {"model": "m.onnx", "scale": {"max": 1}, "batch": {"size": 16, "window": "2ms"}},
        "cold": {"model": "m.onnx", "scale": {"max": 1}, "idle_timeout": "0s"},
    }
    length, body = question()
    with running(Node()) as node, tempfile.TemporaryDirectory() as folder:
        files = {"m.onnx": model(), "weights.bin": struct.pack("<f", 0.001) * (WIDTH * WIDTH)}
        node.deploy({"ebb.yaml": json.dumps({"app": "bench", "functions": functions}), **files})
        place = pathlib.Path(folder)
        (place / "body").write_bytes(body)
        (place / "post.lua").write_text(LUA % (length, place / "body"))
        for name, data in files.items():
            (place / name).write_bytes(data)
        layer = node.data / "layers" / node.functions()["bench/alone"]["layer"]

        def direct(rows):
            done = subprocess.run([sys.executable, "-c", DIRECT, str(place / "m.onnx"), str(rows)], env={"PYTHONPATH": str(layer)}, capture_output=True,
                                  text=True, check=True)
            return float(done.stdout)

        print("load", os.getloadavg())
        print(f"direct, rows/s: {direct(1):.0f} with one row a run, {direct(16):.0f} with sixteen")
        results = {"alone": [], "batch": []}
        for _ in range(ROUNDS):
            for name, found in results.items():
                found.append(peak(node, name, place / "post.lua"))
        for name, found in results.items():
            rates = sorted(rate for rate, _ in found)
            print(f"{name}: {statistics.median(rates):.0f} answers/s ({rates[0]:.0f} to {rates[-1]:.0f}), median {statistics.median(time for _, time in found):.1f} ms")
        starts, totals = [], []
        for _ in range(COLD_CALLS):
            began = time.monotonic()
            answer = node.call("bench/cold/v2/models/cold/infer", data=body, headers={"Inference-Header-Content-Length": str(length)})
            totals.append(1000 * (time.monotonic() - began))
            timing = server_timing(answer)
            assert answer.status_code == 200 and timing["start"]["desc"] == "fork", (answer.status_code, timing)
            starts.append(timing["start"]["dur"] + timing["init"]["dur"])
            time.sleep(0.01)
        for what, times in (("start of an instance", starts), ("a cold call", totals)):
            times.sort()
            print(f"{what}: p50 {times[len(times) // 2]:.1f} ms, p99 {times[len(times) * 99 // 100]:.1f} ms")
        print("load", os.getloadavg())


if __name__ == "__main__":
    main()
