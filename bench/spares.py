"""Cold calls of functions that load for long, with the spare ready and on a node that keeps none, sample by sample in turn.

Two nodes of the same binary, the second with `max_spares: 0`; the same functions on both, whose instances end with their call, so that none
finds an idle one. A sample: from sending a request on an open connection to the last byte of its answer. Before one with a spare it waits
until the spare is there. `hello` is Node and a handler of one line; `fetch` asks a server of its own by fetch; `express` loads Express from npm and is called
through it, as an application would be; `web` is examples/express as it is, a web server (`runtime: http`) that takes twenty requests at a time. Without npm these
two are left out and named as missing.

Then CALLS of each at one moment, before which there is one spare and nothing else: from the moment the first is sent.
"""

import collections
import json
import pathlib
import shutil
import subprocess
import time

import yaml

import burst
import cold
import figures
from ebb_node import ROOT, Node

EXPRESS = "5.1.0"
CALLS = 20
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
    if shutil.which("npm") is None:
        del made["express"]
        return made, "express, web: no npm here"
    made["web"] = out / "spares/web"
    shutil.copytree(ROOT / "examples/express", made["web"], dirs_exist_ok=True)
    function = yaml.safe_load((made["web"] / "ebb.yaml").read_text())["functions"]["web"]
    (made["web"] / "ebb.yaml").write_text(json.dumps({"app": "spares-web", "functions": {"f": {**function, "idle_timeout": "0s"}}}))
    if (folder / "node_modules/express").is_dir():
        return made, ""
    done = subprocess.run(["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", f"express@{EXPRESS}"], cwd=folder,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        del made["express"]
        return made, f"express: npm ended with {done.returncode}: {done.stderr.strip()[-300:]}"
    return made, ""


def await_instances(node, app, spare):
    """Until there are so many spares and nothing else."""
    limit = time.monotonic() + SPARE_SECONDS
    while True:
        function, = node.call(f"/api/v1/functions?app={app}").json()["functions"]
        instances = function["instances"]
        if instances["spare"] == sum(instances.values()) == spare:
            return
        if time.monotonic() > limit:
            raise RuntimeError(f"{app} has {instances} after {SPARE_SECONDS} s, not {spare} spares alone")
        time.sleep(0.02)


def held_mb(node, app):
    """What the spare uses by its own pages and its file pages, in MiB, of all its processes."""
    kib = 0
    for pid in node.pids_in("instances", app):
        lines = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def at_once(nodes, names, rounds):
    """Of each function and kind of node the times from the first sending on, and what its calls took."""
    samples, rungs = collections.defaultdict(list), collections.defaultdict(collections.Counter)
    for number in range(rounds):
        for name in names:
            for kind in ("spare", "none") if number % 2 == 0 else ("none", "spare"):
                await_instances(nodes[kind], f"spares-{name}", int(kind == "spare"))
                calls = burst.at_once(nodes[kind], [f"/fn/spares-{name}/f"] * CALLS)
                first = min(begun for begun, _, _ in calls)
                samples[name, kind] += [(end - first) * 1000 for _, end, _ in calls]
                rungs[name, kind].update(rung or "error" for _, _, rung in calls)
    return [{"function": name, "kind": kind, "ms": figures.summary(taken), "rungs": dict(rungs[name, kind])} for (name, kind), taken in samples.items()]


def measure(node, out, rounds, seconds_max, burst_rounds):
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
            await_instances(node, f"spares-{name}", 1)
            held[name] = held_mb(node, f"spares-{name}")
        connections = {kind: cold.Connection(one.url) for kind, one in nodes.items()}
        end = time.monotonic() + seconds_max
        for number in range(rounds):
            if time.monotonic() > end:
                break
            for name in folders:
                for kind in ("spare", "none") if number % 2 == 0 else ("none", "spare"):
                    await_instances(nodes[kind], f"spares-{name}", int(kind == "spare"))
                    time.sleep(cold.REST_SECONDS)
                    taken, head, _ = connections[kind].exchange(connections[kind].request_of(f"/fn/spares-{name}/f"))
                    rungs[kind].add(cold.phases_of(head)[1])
                    samples[name, kind].append(taken * 1000)
        bursts = at_once(nodes, folders, burst_rounds)
    finally:
        try:
            without.stop()
        finally:
            without.remove()
    return {"functions": {name: {kind: figures.summary(samples[name, kind]) for kind in ("spare", "none")} | {"held_mb": round(held[name], 1)} for name in folders},
            "bursts": bursts, "rungs": {kind: sorted(seen) for kind, seen in rungs.items()}, "missing": missing, "stolen_ms": figures.stolen_ms() - stolen,
            "load": [load_before, figures.load()]}


def report(result):
    alone = []
    for name, one in result["functions"].items():
        spare, none = one["spare"], one["none"]
        alone.append((name, spare["n"], f"{spare['p50']:.2f}", f"{spare['p99']:.2f}", f"{none['p50']:.1f}", f"{none['p99']:.1f}", f"{spare['p50'] / none['p50']:.3f}", f"{one['held_mb']:g}"))
    head = ("cold call of Node, ms", "n", "spare p50", "p99", "none p50", "p99", "ratio", "spare holds MiB")
    said = f"rungs: {', '.join(result['rungs']['spare'])} and {', '.join(result['rungs']['none'])}; load {result['load'][0]:g} to {result['load'][1]:g}"
    rows = [(one["function"], one["kind"], one["ms"]["n"], *(f"{one['ms'][p]:.0f}" for p in ("p50", "p99", "max")), ", ".join(f"{rung} {count}" for rung, count in one["rungs"].items()))
            for one in result["bursts"]]
    at_one_time = figures.table((f"{CALLS} cold calls at once, ms", "node", "n", "p50", "p99", "max", "took"), rows)
    return f"{figures.table(head, alone)}\n{said}\n\n{at_one_time}" + (f"\nmissing: {result['missing']}" if result["missing"] else "")


def judge(result, bars):
    for name, one in result["functions"].items():
        bars.at_most(f"cold call of Node's {name} that finds a spare / that finds none, p50", one["spare"]["p50"] / one["none"]["p50"], SHARE_AT_MOST)
    bars.at_most(f"{CALLS} cold calls of Node at once: errors", sum(one["rungs"].get("error", 0) for one in result["bursts"]), 0)
    bars.at_most("calls after the spare was ready that did not get it", sum(rung != "spare" for rung in result["rungs"]["spare"]), 0)
