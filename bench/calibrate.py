#!/usr/bin/python3
"""./dev bench calibrate: what starts take on this machine, in the form that `ebb sim --calibration` reads.

A node of its own; eight functions of Python, two without imports, four with modules of the standard library, two with numpy, and three
that start a program in each instance (Node, a loop on the Lambda Runtime API, Python's http.server), which load nothing of a user's. In
rounds each is called once for every rung: its instances gone (a fork), its zygote killed (a fork of the runtime), its runtime too (a
boot). From the node's own usage records `ebb sim calibrate` makes the curves; the built-in ones (src/sim/default_calibration.cc) are
such a run's, which prints them.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "tests/functional")]
sys.dont_write_bytecode = True

import figures  # noqa: E402
from ebb_node import BINARY, Node, adopt_orphans, eventually  # noqa: E402

ROUNDS = 40
FORKS = 5  # a round and function
FUNCTION = {"memory": "256Mi", "idle_timeout": "0s"}
IMPORTS = {"bare0": "", "bare1": "", "std0": "import json, re, uuid", "std1": "import http.client, ssl", "std2": "import asyncio, sqlite3",
           "std3": "import email.message, decimal, xml.etree.ElementTree", "numpy0": "import numpy", "numpy1": "import numpy, json, logging"}
HANDLER = "def handler(event, context):\n    return 1\n"
BOOTSTRAP = """import os, urllib.request
base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/"
while True:
    event = urllib.request.urlopen(base + "next")
    urllib.request.urlopen(base + event.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", b"1")
"""
PROGRAMS = {"node": ({"runtime": "node", "handler": "index.handler"}, {"index.js": "exports.handler = async () => 1;\n"}),
            "lambda": ({"runtime": "lambda", "command": "exec python3 bootstrap"}, {"bootstrap": BOOTSTRAP}),
            "server": ({"runtime": "http", "command": "exec python3 -m http.server --bind 127.0.0.1 $PORT"}, {"index.html": "1"})}


def call(node, app):
    response = node.call(f"{app}/f")
    if response.status_code != 200:
        raise RuntimeError(f"{app}: {response.status_code} {response.text}")
    eventually(lambda: not node.pids_in("instances", app), f"the end of {app}'s instance")


def kill(node, app, *kinds):
    for kind in kinds:
        for pid in node.pids_in(kind, app):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    eventually(lambda: node.functions()[f"{app}/f"]["zygote"] == "absent" and not any(node.pids_in(kind, app) for kind in kinds), f"the end of {app}'s zygote")


def main():
    if os.geteuid() != 0:
        sys.exit("bench calibrate: needs root, for the node: sudo ./dev bench calibrate")
    adopt_orphans()
    machine, load = figures.machine(), figures.load()
    node = Node({"max_spares": 0})
    try:
        node.start()
        numpy = (ROOT / "bench/functions/requirements.txt").read_text()
        for app, imports in IMPORTS.items():
            node.deploy_function(f"{imports}\n{HANDLER}", app=app, requirements=numpy if "numpy" in imports else None, **FUNCTION)
        for app, (program, files) in PROGRAMS.items():
            node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"f": {**program, **FUNCTION}}}), **files})
        for number in range(ROUNDS):
            print(f"\rround {number + 1} of {ROUNDS}", end="", file=sys.stderr, flush=True)
            for app in IMPORTS:
                kill(node, app, "zygotes")
                call(node, app)
                kill(node, app, "zygotes", "sandboxes")
                call(node, app)
            for app in [*IMPORTS, *PROGRAMS]:
                for _ in range(FORKS):
                    call(node, app)
                    time.sleep(0.02)
        print(file=sys.stderr)
        usage = node.cli("usage", "--limit", 10_000, "--json").stdout
        node.stop()
    finally:
        node.remove()
    where = f"{machine['cores']} vCPU ({machine['cpu']}) at load {load:.1f}, Linux {machine['kernel']}"
    subprocess.run([BINARY, "sim", "calibrate", "--measured-on", where], input=usage, text=True, check=True)


if __name__ == "__main__":
    main()
