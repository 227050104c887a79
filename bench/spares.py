"""Cold calls of functions that load for long, with the spare ready and on a node that keeps none, sample by sample in turn.

Two nodes of the same binary, the second with `max_spares: 0`; the same functions on both, `reuse: never`, so that no call finds an
idle instance. A sample: from sending a request on an open connection to the last byte of its answer. Before one with a spare it waits
until the spare is there. `hello` is Node and a handler of one line; `fetch` asks a server of its own by fetch; `express` loads Express from npm and is called
through it, as an application would be; without npm it is left out and named as missing.
"""

import json
import pathlib
import shutil
import subprocess
import time

import cold
import figures
from ebb_node import Node

EXPRESS = "5.1.0"
SPARE_SECONDS = 30
SHARE_AT_MOST = 0.2  # of what the call takes without a spare
_HELLO = "exports.handler = async () => ({ hello: 'world' });\n"
_FETCH = """const http = require('node:http');
const server = http.createServer((request, response) => response.end('{"hello":"world"}'));
const listening = new Promise((ready) => server.listen(0, '127.0.0.1', ready));
exports.handler = async () => {
  await listening;
  return (await fetch(`http://127.0.0.1:${server.address().port}/`)).json();
};
"""
_EXPRESS = """const express = require('express');
const app = express();
app.use(express.json());
app.get('/', (request, response) => response.json({ hello: 'world' }));
const http = require('node:http');
const server = http.createServer(app);
const listening = new Promise((ready) => server.listen(0, '127.0.0.1', ready));
exports.handler = async () => {
  await listening;
  return new Promise((resolve, reject) => {
    http.get({ host: '127.0.0.1', port: server.address().port, path: '/' }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece)).on('end', () => resolve(JSON.parse(Buffer.concat(pieces))));
    }).on('error', reject);
  });
};
"""


def packages(out):
    """{function: folder}, and what is missing, in words."""
    made = {}
    for name, source in (("hello", _HELLO), ("fetch", _FETCH), ("express", _EXPRESS)):
        folder = out / "spares" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.js").write_text(source)
        function = {"runtime": "node", "handler": "index.handler", "memory": "256Mi", "reuse": "never"}
        (folder / "ebb.yaml").write_text(json.dumps({"app": f"spares-{name}", "functions": {"f": function}}))
        made[name] = folder
    folder = made["express"]
    if (folder / "node_modules/express").is_dir():
        return made, ""
    if shutil.which("npm") is None:
        del made["express"]
        return made, "express: no npm here"
    done = subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"express@{EXPRESS}"], cwd=folder,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        del made["express"]
        return made, f"express: npm ended with {done.returncode}: {done.stderr.strip()[-300:]}"
    return made, ""


def await_spare(node, app):
    limit = time.monotonic() + SPARE_SECONDS
    while True:
        functions = node.call(f"/api/v1/functions?app={app}").json()["functions"]
        if any(function["instances"]["spare"] == 1 for function in functions):
            return
        if time.monotonic() > limit:
            raise RuntimeError(f"{app} has no spare after {SPARE_SECONDS} s")
        time.sleep(0.02)


def held_mb(node, app):
    """What the spare uses by its own pages and its file pages, in MiB, of all its processes."""
    kib = 0
    for pid in node.pids_in("instances", app):
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def measure(node, out, rounds, seconds_max):
    folders, missing = packages(out)
    without = Node({"max_spares": 0})
    samples = {(name, kind): [] for name in folders for kind in ("spare", "none")}
    rungs = {"spare": set(), "none": set()}
    held = {}
    load_before, stolen = figures.load(), figures.stolen_ms()
    try:
        without.start()
        nodes = {"spare": node, "none": without}
        for name, folder in folders.items():
            for one in nodes.values():
                one.deploy(folder)
            await_spare(node, f"spares-{name}")
            held[name] = held_mb(node, f"spares-{name}")
        connections = {kind: cold.Connection(one.url) for kind, one in nodes.items()}
        end = time.monotonic() + seconds_max
        for number in range(rounds):
            if time.monotonic() > end:
                break
            for name in folders:
                for kind in ("spare", "none") if number % 2 == 0 else ("none", "spare"):
                    if kind == "spare":
                        await_spare(node, f"spares-{name}")
                    time.sleep(cold.REST_SECONDS)
                    taken, head, _ = connections[kind].exchange(connections[kind].request_of(f"/fn/spares-{name}/f"))
                    rungs[kind].add(cold.phases_of(head)[1])
                    samples[name, kind].append(taken * 1000)
    finally:
        try:
            without.set_aside(node)
            without.stop()
        finally:
            without.remove()
    return {"functions": {name: {kind: figures.summary(samples[name, kind]) for kind in ("spare", "none")} | {"held_mb": round(held[name], 1)} for name in folders},
            "rungs": {kind: sorted(seen) for kind, seen in rungs.items()}, "missing": missing, "stolen_ms": figures.stolen_ms() - stolen,
            "load": [load_before, figures.load()]}


def report(result):
    rows = []
    for name, one in result["functions"].items():
        spare, none = one["spare"], one["none"]
        rows.append((name, spare["n"], f"{spare['p50']:.2f}", f"{spare['p99']:.2f}", f"{none['p50']:.1f}", f"{none['p99']:.1f}", f"{spare['p50'] / none['p50']:.3f}", f"{one['held_mb']:g}"))
    head = ("cold call of Node, ms", "n", "spare p50", "p99", "none p50", "p99", "ratio", "spare holds MiB")
    said = f"rungs: {', '.join(result['rungs']['spare'])} and {', '.join(result['rungs']['none'])}; load {result['load'][0]:g} to {result['load'][1]:g}"
    return f"{figures.table(head, rows)}\n{said}" + (f"\nmissing: {result['missing']}" if result["missing"] else "")


def judge(result, bars):
    for name, one in result["functions"].items():
        bars.at_most(f"cold call of Node's {name} that finds a spare / that finds none, p50", one["spare"]["p50"] / one["none"]["p50"], SHARE_AT_MOST)
    bars.at_most("calls after the spare was ready that did not get it", sum(rung != "spare" for rung in result["rungs"]["spare"]), 0)
