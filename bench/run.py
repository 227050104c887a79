#!/usr/bin/python3
"""./dev bench: what the platform costs, as ratios to what stands beside it in the same run.

    ./dev bench [--check] [--quick] [--json FILE] [--only NAME,...] [cold|warm|runtimes|models|stream|proxy|memory|burst|overload|neighbour|walls|ledger|spares|peers ...]

Starts a node of its own on a free port (the release binary, or $EBB_BIN), deploys bench/functions and bench/idle, measures,
prints tables, and writes build/bench/result.json beside the raw samples. --check judges the bars and exits with 1 if one is
missed. --quick: few samples, to see that it works; its numbers are worth little.
Needs root, for the node and for other processes' smaps.

All but peers run unless parts are named. peers runs last: it installs other platforms' programs (workerd, gunicorn, nginx,
Knative's queue-proxy and aws-lambda-rie; of-watchdog from $PATH) into build/bench/peers, and runs each with the same two
functions, alone, in rounds, in a network namespace with only a loopback. What cannot be had here is named as missing.
--only picks some of them: ./dev bench --check --only ebb-python,ebb-native,workerd,workerd-x2 peers
"""

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
HERE = ROOT / "bench"
sys.path[:0] = [str(HERE), str(HERE / "peers"), str(HERE / "peers/functions"), str(ROOT / "tests/functional")]
sys.dont_write_bytecode = True

import burst  # noqa: E402
import cold  # noqa: E402
import figures  # noqa: E402
import ledger  # noqa: E402
import memory  # noqa: E402
import models  # noqa: E402
import neighbour  # noqa: E402
import overload  # noqa: E402
import peers  # noqa: E402
import proxy  # noqa: E402
import runtimes  # noqa: E402
import servers  # noqa: E402
import stream  # noqa: E402
import spares  # noqa: E402
import walls  # noqa: E402
import warm  # noqa: E402
from ebb_node import BINARY, Node, adopt_orphans  # noqa: E402

OUT = ROOT / "build/bench"
PARTS = ("memory", "cold", "warm", "runtimes", "models", "stream", "proxy", "burst", "overload", "neighbour", "walls", "ledger", "spares")
ALL_PARTS = (*PARTS, "peers")
FULL = {"cold_rounds": 2000, "cold_seconds": 900, "warm_rounds": 5, "peak_seconds": 4, "rate_seconds": 8, "proxy_draws": 5, "proxy_seconds": 2,
        "runtimes_cold": 200, "runtimes_seconds": 900, "runtimes_rounds": 3, "runtimes_rate_seconds": 3, "models_rounds": 5, "models_cold": 300, "stream_rounds": 2000, "stream_seconds": 180,
        "body_mb": 1024, "neighbour_rounds": 3, "neighbour_seconds": 8,
        "overload_rounds": 3, "overload_seconds": 8, "burst_rounds": 5,
        "walls_rounds": 2000, "walls_seconds": 400, "peer_rounds": 200, "peer_seconds": 300, "peers_rounds": 5, "ledger_records": 10_000_000,
        "spares_rounds": 300, "spares_seconds": 400}
QUICK = {"cold_rounds": 60, "cold_seconds": 8, "warm_rounds": 1, "peak_seconds": 1, "rate_seconds": 1, "proxy_draws": 1, "proxy_seconds": 1,
         "runtimes_cold": 5, "runtimes_seconds": 30, "runtimes_rounds": 1, "runtimes_rate_seconds": 1, "models_rounds": 1, "models_cold": 20, "stream_rounds": 60, "stream_seconds": 10,
         "body_mb": 64, "neighbour_rounds": 1, "neighbour_seconds": 3,
         "overload_rounds": 1, "overload_seconds": 3, "burst_rounds": 2,
         "walls_rounds": 60, "walls_seconds": 10, "peer_rounds": 3, "peer_seconds": 10, "peers_rounds": 1, "ledger_records": 500_000,
         "spares_rounds": 10, "spares_seconds": 15}


def arguments():
    words = [servers.word_of(name) for name in servers.MAKERS]
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     epilog="the servers of peers:\n  " + "\n  ".join(words))
    parser.add_argument("--check", action="store_true", help="judge the bars; exit 1 if one is missed")
    parser.add_argument("--quick", action="store_true", help="few samples")
    parser.add_argument("--json", type=pathlib.Path, default=OUT / "result.json", metavar="FILE", help="where the result goes")
    parser.add_argument("--only", metavar="NAME,...", help="of peers only these servers")
    parser.add_argument("parts", nargs="*", metavar="PART", help="default: all but peers")
    options = parser.parse_args()
    unknown = [part for part in options.parts if part not in ALL_PARTS]
    if unknown:
        parser.error(f"there is no part '{unknown[0]}': the parts are {', '.join(ALL_PARTS)}")
    options.only = options.only.split(",") if options.only is not None else None
    unknown = [word for word in options.only or () if word not in words]
    if unknown:
        parser.error(f"there is no server '{unknown[0]}': --only knows {', '.join(words)}")
    if options.only and "peers" not in options.parts:
        parser.error("--only is for peers: ./dev bench --only ebb-python,workerd peers")
    return options


def layer_of(node):
    """The folder of the installed requirements: the bare forks import numpy from the same files."""
    for path in node.data.rglob("numpy/__init__.py"):
        return path.parent.parent
    raise RuntimeError(f"no layer with numpy below {node.data}")


def runtime_directory():
    """The modules that run inside sandboxes, as built beside the binary."""
    path = BINARY.parent / "runtime/python"
    if not (path / "zygote.py").exists():
        raise RuntimeError(f"no runtime at {path}: ./dev build release")
    return path


def costly_moves():
    """What `ebb doctor` says of moves between cgroups, with the remedy, where they are dear; else nothing."""
    answer = subprocess.run([BINARY, "doctor", "--json"], capture_output=True, text=True, timeout=60)
    for check in json.loads(answer.stdout)["checks"]:
        if check["id"] == "favordynmods" and check["verdict"] != "ok":
            return f"{check['found']}; {check['remedy']}"
    return ""


def measure(node, part, size):
    if part == "walls":
        return walls.measure(runtime_directory(), size["walls_rounds"], size["walls_seconds"], size["peer_rounds"], size["peer_seconds"])
    if part == "ledger":
        return ledger.measure(BINARY.parent / "ledger_bench", size["ledger_records"])
    if part == "spares":
        return spares.measure(node, OUT, size["spares_rounds"], size["spares_seconds"], size["burst_rounds"])
    if part == "memory":
        node.deploy(HERE / "idle")
        return memory.measure(node)
    generator = BINARY.parent / "open_loop"
    if part == "runtimes":
        return runtimes.measure(node, generator, OUT, size["runtimes_cold"], size["runtimes_seconds"], size["runtimes_rounds"], size["peak_seconds"],
                                size["runtimes_rate_seconds"])
    if part == "models":
        return models.measure(node, OUT, size["models_rounds"], size["peak_seconds"], size["models_cold"])
    if part == "stream":
        node.deploy(stream.package(OUT))
        return stream.measure(node, OUT, size["stream_rounds"], size["stream_seconds"], size["body_mb"])
    node.deploy(HERE / "functions")
    if part == "cold":
        return cold.measure(node, layer_of(node), runtime_directory(), OUT, size["cold_rounds"], size["cold_seconds"])
    if part == "neighbour":
        node.deploy(HERE / "neighbour")
        return neighbour.measure(node, generator, OUT, size["neighbour_rounds"], size["neighbour_seconds"])
    if part == "proxy":
        return proxy.measure(generator, OUT, size["proxy_draws"], size["proxy_seconds"])
    if part == "burst":
        burst.deploy(node)
        return burst.measure(node, generator, size["burst_rounds"])
    if part == "overload":
        node.deploy(HERE / "overload")
        return overload.measure(node, generator, OUT, size["overload_rounds"], size["overload_seconds"])
    return warm.measure(node, generator, OUT, size["warm_rounds"], size["peak_seconds"], size["rate_seconds"])


def main():
    options = arguments()
    if os.geteuid() != 0:
        sys.exit("bench: needs root, for the node and for other processes' memory: sudo ./dev bench")
    for needed in (BINARY, BINARY.parent / "open_loop"):
        if not needed.exists():
            sys.exit(f"bench: no {needed}: ./dev build release")
    size = QUICK if options.quick else FULL
    parts = [part for part in PARTS if not options.parts or part in options.parts]
    modules = {"cold": cold, "warm": warm, "runtimes": runtimes, "models": models, "stream": stream, "proxy": proxy, "memory": memory, "burst": burst,
               "overload": overload, "neighbour": neighbour, "walls": walls, "ledger": ledger, "spares": spares, "peers": peers}
    OUT.mkdir(parents=True, exist_ok=True)
    machine = figures.machine()
    print(f"{machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}, {machine['memory_mb']} MB; load {figures.load():g}", flush=True)
    if figures.load() > 0.5:
        print("the machine is not quiet: other work makes these numbers worse, and the ratios less certain", flush=True)
    slow_moves = costly_moves()
    if slow_moves:
        print(f"{slow_moves}: every start that moves into its cgroup may wait for that", flush=True)
    result = {"at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"), "machine": machine, "quick": options.quick, "doctor": slow_moves}
    bars = figures.Bars()
    adopt_orphans()

    def keep(part, measured):
        result[part] = measured
        modules[part].judge(measured, bars)
        result["bars"] = bars.all
        options.json.write_text(json.dumps(result, indent=1) + "\n")  # what is measured stays if a later part fails
        print(f"\n{modules[part].report(measured)}", flush=True)

    if parts:
        node = Node()
        try:
            node.start()
            for part in parts:
                keep(part, measure(node, part, size))
        finally:
            try:
                node.stop()
            finally:
                node.remove()
    if "peers" in options.parts:
        keep("peers", peers.measure(BINARY, BINARY.parent / "open_loop", OUT, size["peers_rounds"], size["peak_seconds"], size["rate_seconds"],
                                    options.only))
    print(f"\n{bars.text()}\n\nresult: {options.json}; raw samples: {OUT}", flush=True)
    if options.check and bars.missed:
        print("missed: " + "; ".join(bar["bar"] for bar in bars.missed), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
