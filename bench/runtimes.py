"""Each runtime cold and warm, beside the plain process of the same program, and Node beside node:http and workerd.

Cold: a call to a function whose instances are retired at once (`idle_timeout: 0s`), as in cold.py but with the rung that it took,
in turn with spawning the plain process until its first answer (plain_start.py), with the same packages from the same layer. Warm: two
instances of each beside two processes of the plain servers; wrk with 16 connections, then open_loop at one rate for all, each alone, in
rounds that take turns.
"""

import collections
import contextlib
import csv
import json
import os
import pathlib
import shutil
import subprocess
import time

import cold
import figures
import install
import plain_start
import proxy
import servers
import warm
from ebb_node import ROOT

KINDS = {
    "python": {"handler": "hello.handler"},
    "wsgi": {"handler": "flask_app.app"},
    "asgi": {"handler": "fastapi_app.app"},
    "node": {"runtime": "node", "handler": "hello.handler"},
    "lambda": {"runtime": "lambda", "handler": "hello.handler"},
    "http": {"runtime": "http", "command": "exec node server.mjs"},
    "fc": {"runtime": "http", "contract": "fc", "command": "exec node server.mjs"},
    "image": {"runtime": "http", "image": "oci:image/layout:v1"},
    "native": {"runtime": "native", "handler": "hello_cpp.so"},
    "model": {"model": "digits.onnx"},
}
PLAIN = {"python": "python3", "wsgi": "gunicorn, Flask", "asgi": "uvicorn, FastAPI", "node": "node", "lambda": "awslambdaric", "http": "node:http",
         "fc": "node:http", "image": "busybox httpd", "native": "C++", "model": "python3, onnxruntime"}
PROCESSES = 2
RATE = 300
REST_SECONDS = 0.01
_HERE = pathlib.Path(__file__).resolve().parent / "runtimes"
_MODEL = ROOT / "examples/digits-model"


def package(out):
    """A folder with all programs, built and ready to be deployed."""
    folder = out / "runtimes-package"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(_HERE, folder)
    shutil.copy(_MODEL / "digits.onnx", folder)
    shutil.copytree(ROOT / "examples/image", folder / "image", ignore=shutil.ignore_patterns("layout", "ebb.yaml"))
    (folder / "image/www/index.html").write_text(json.dumps({"message": "hello, world"}))
    subprocess.run(["./make_image.sh"], cwd=folder / "image", check=True, capture_output=True, timeout=120)
    compiler = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-static-libstdc++", "-static-libgcc", f"-I{ROOT / 'sdk/cpp/include'}"]
    for words in (["-fPIC", "-shared", "-o", "hello_cpp.so", "hello_cpp.cc"], ["-o", "plain_cpp", "plain_cpp.cc"]):
        subprocess.run([*compiler, *words], cwd=folder, check=True, timeout=300)
    warm_keys, cold_keys = {"idle_timeout": "10m", "scale": {"min": PROCESSES, "max": PROCESSES}}, {"idle_timeout": "0s"}
    functions = {name: {**keys, "timeout": "30s", **more}
                 for kind, keys in KINDS.items() for name, more in ((kind, warm_keys), (f"{kind}-cold", cold_keys))}
    (folder / "ebb.yaml").write_text(json.dumps({"app": "runtimes", "functions": functions}))
    return folder


class Plain:
    """The plain processes, with what the functions have installed."""

    def __init__(self, node, folder):
        layers = {name: node.data / "layers" / one["layer"] for name, one in node.functions("runtimes").items() if one.get("layer")}
        self._folder = folder
        self._environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{layers['runtimes/asgi']}:{folder}", "PYTHONDONTWRITEBYTECODE": "1"}
        self._model = {**self._environment, "PYTHONPATH": str(layers["runtimes/model"])}

    def _python(self, *words):
        return ["/usr/bin/python3", *words]

    def _gunicorn(self, port, processes):
        return self._python("-m", "gunicorn", "--workers", processes, "--worker-class", "gthread", "--keep-alive", 75, "--bind", f"127.0.0.1:{port}", "flask_app:app")

    def _uvicorn(self, port, processes):
        return self._python("-m", "uvicorn", "--workers", processes, "--no-access-log", "--log-level", "warning", "--port", port, "fastapi_app:app")

    def starts(self, question):
        """{kind: what starts it}"""
        at = (self._environment, self._folder)
        node_http = plain_start.WebServer(lambda port: ["node", "server.mjs"], *at)
        return {
            "python": plain_start.Program(self._python("plain.py"), *at),
            "wsgi": plain_start.WebServer(lambda port: self._gunicorn(port, 1), *at),
            "asgi": plain_start.WebServer(lambda port: self._uvicorn(port, 1), *at),
            "node": plain_start.Program(["node", "plain.mjs"], *at),
            "lambda": plain_start.LambdaFunction(["./bootstrap"], {**self._environment, "_HANDLER": "hello.handler"}, self._folder),
            "http": node_http,
            "fc": node_http,
            "image": plain_start.WebServer(lambda port: ["busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", "image/www"], *at),
            "native": plain_start.Program(["./plain_cpp", "./hello_cpp.so"], *at),
            "model": plain_start.Program(self._python("plain_model.py", "digits.onnx"), self._model, self._folder, question),
        }

    @contextlib.contextmanager
    def servers(self, out):
        """({name: (port, path)} of running servers of two processes each, {name: why it is missing})"""
        running, missing = contextlib.ExitStack(), {}
        with running:
            found = {}
            for kind, command in (("wsgi", self._gunicorn), ("asgi", self._uvicorn), ("http", lambda port, processes: ["node", "server.mjs"])):
                port = servers.free_port()
                variables = {**self._environment, "PORT": port, "PROCESSES": PROCESSES}
                words = ["env", "-C", self._folder, *(f"{name}={value}" for name, value in variables.items()), *command(port, PROCESSES)]
                running.callback(proxy.Process(words, port).close)
                found[f"{PLAIN[kind]}, plain"] = (port, "/")
            try:
                workerd = servers.Workerd(out, PROCESSES)
                workerd.start()
                running.callback(workerd.stop)
                found[workerd.name] = (workerd.port, "/hello")
            except install.Missing as reason:
                missing["workerd"] = str(reason)
            yield found, missing


def answer_of(body):
    """What is compared: the same program says the same, whatever stands around it."""
    answer = json.loads(body)
    return answer["outputs"][0]["data"] if "outputs" in answer else answer


def from_zero(node, starts, question, out, rounds, seconds_max):
    """{kind: {"rungs", "ebb_ms", "plain_ms"}}; raw samples go to out/runtimes-cold.csv."""
    connection = cold.Connection(node.url)
    requests = {kind: connection.request_of(*_target(f"{kind}-cold", question)) for kind in KINDS}
    ebb, plain = {kind: cold.Samples() for kind in KINDS}, {kind: cold.Samples() for kind in KINDS}
    rungs, stolen = {kind: collections.Counter() for kind in KINDS}, {}
    try:
        for kind, request in requests.items():
            for _ in range(5):  # until what can be a zygote is one
                connection.exchange(request)
                time.sleep(0.2)
        time.sleep(4)  # the launcher's collapse runs beside the first calls, for 3 s at most
        with open(out / "runtimes-cold.csv", "w", newline="") as file:
            raw = csv.writer(file)
            raw.writerow(("round", "kind", "rung", "ebb_ms", "plain_ms", "queue_ms", "start_ms", "init_ms", "handler_ms", "total_ms"))
            limit = time.monotonic() + seconds_max
            for number in range(rounds):
                before_ms = figures.stolen_ms()
                for kind, request in requests.items():
                    taken, head, body = connection.exchange(request)
                    time.sleep(REST_SECONDS)
                    plain_taken, plain_body = starts[kind].start()
                    time.sleep(REST_SECONDS)
                    if answer_of(body) != answer_of(plain_body):
                        raise RuntimeError(f"{kind} answers {body!r} through Ebb and {plain_body!r} as a plain process")
                    phases, rung = cold.phases_of(head)
                    rungs[kind][rung] += 1
                    ebb[kind].add(number, taken)
                    plain[kind].add(number, plain_taken)
                    raw.writerow((number, kind, rung, f"{taken * 1000:.4f}", f"{plain_taken * 1000:.4f}",
                                  *(phases.get(phase, "") for phase in ("queue", "start", "init", "handler", "total"))))
                if (lost_ms := figures.stolen_ms() - before_ms) > 0:
                    stolen[number] = lost_ms
                if time.monotonic() > limit:
                    break
    finally:
        connection.close()
    return {kind: {"rungs": dict(rungs[kind]), "ebb_ms": ebb[kind].summary(stolen), "plain_ms": plain[kind].summary(stolen)} for kind in KINDS}


def _target(name, question):
    """(path, body) of a function; None as the body of a GET."""
    if name.startswith("model"):
        return f"/fn/runtimes/{name}/v2/models/{name}/infer", question.decode()
    return f"/fn/runtimes/{name}/", None


def at_work(targets, generator, out, rounds, peak_seconds, rate_seconds):
    """Peaks, then latencies at RATE, of {name: (port, path, body)}; raw samples of the last round go to out/runtimes-NAME.csv."""
    for port, path, body in targets.values():
        warm.peak(port, path, 1, body)  # warm up
    peaks, stolen = warm.quiet_peaks(targets, rounds, peak_seconds)
    waited, errors = {name: [] for name in targets}, dict.fromkeys(targets, 0)
    for number in range(rounds):
        turn = number % len(targets)
        for name in list(targets)[turn:] + list(targets)[:turn]:
            port, path, body = targets[name]
            raw = out / f"runtimes-{name.replace(', ', '-').replace(':', '-').replace(' ', '-')}.csv"
            errors[name] += warm.at_rate(generator, port, path, RATE, rate_seconds, raw, body=body)["errors"]
            waited[name] += [float(line) / 1000 for line in raw.read_text().split()]
    return {name: {"peak": figures.median(peaks[name]), "peak_rounds": peaks[name], "stolen_rounds": stolen[name], "errors": errors[name],
                   "latency_ms": figures.summary(waited[name])} for name in targets}


def measure(node, generator, out, cold_rounds, cold_seconds, rounds, peak_seconds, rate_seconds):
    if not shutil.which("wrk"):
        raise RuntimeError("wrk is not installed: ./dev bench installs it, or apt-get install wrk")
    folder, load_before = package(out), figures.load()
    node.deploy(folder)
    question = (_MODEL / "sample.json").read_bytes()
    plain = Plain(node, folder)
    from_zero_all = from_zero(node, plain.starts(question), question, out, cold_rounds, cold_seconds)
    port = int(node.url.rsplit(":", 1)[1])
    with plain.servers(out) as (others, missing):
        targets = {**{f"ebb {kind}": (port, *_target(kind, question)) for kind in KINDS}, **{name: (*target, None) for name, target in others.items()}}
        work = at_work(targets, generator, out, rounds, peak_seconds, rate_seconds)
    return {"from_zero": from_zero_all, "work": work, "missing": missing, "rate": RATE, "processes": PROCESSES, "load": [load_before, figures.load()],
            "generator": f"one thread, not pinned: it shares all {len(os.sched_getaffinity(0))} cores with the servers, alike for all"}


def report(result):
    rows = []
    for kind, one in result["from_zero"].items():
        ebb, plain = one["ebb_ms"], one["plain_ms"]
        rungs = ", ".join(f"{rung} {count}" for rung, count in one["rungs"].items())
        rows.append((kind, rungs, ebb["n"], f"{ebb['p50']:.1f}", f"{ebb['p99']:.1f}", f"{ebb['quiet']['p99']:.1f}", PLAIN[kind], f"{plain['p50']:.1f}",
                     f"{plain['p99']:.1f}", f"{plain['quiet']['p99']:.1f}", f"{plain['p50'] / ebb['p50']:.1f}"))
    head = ("from zero, ms", "rung", "n", "p50", "p99", "quiet p99", "plain process", "p50", "p99", "quiet p99", "plain / ebb, p50")
    text = [figures.table(head, rows)]
    rows = [(name, f"{one['peak']:.0f}", " ".join(f"{rate:.0f}" for rate in one["peak_rounds"]), one["latency_ms"]["n"], one["errors"],
             *(f"{one['latency_ms'][p]:.2f}" for p in ("p50", "p99", "max"))) for name, one in result["work"].items()]
    head = (f"warm, {result['processes']} processes each", "requests/s at peak", "rounds", f"n at {result['rate']}/s", "errors", "p50 ms", "p99", "max")
    text.append(figures.table(head, rows))
    if result["missing"]:
        text.append("\n".join(f"missing: {name}: {reason}" for name, reason in result["missing"].items()))
    return "\n\n".join(text)


def judge(result, bars):
    errors = sum(one["errors"] for name, one in result["work"].items() if name.startswith("ebb"))
    bars.at_most("runtimes: errors of Ebb at a fixed rate", errors, 0)
