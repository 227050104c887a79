"""From zero to many at one moment: 500 calls of one function that sleep 100 ms each, one call of each of 50 functions at zero, and 60
calls of one that computes 50 ms.

All are sent at once, by clients that share the machine's cores; the time is that from the first sending to the last answer. Before
each round nothing but zygotes is there; after it everything must go back to zero by itself.
"""

import concurrent.futures
import threading
import time

import cold
import figures
import warm

CALLS = 500
FUNCTIONS = 50
COMPUTING = 60
SECONDS_AT_MOST = 2.5
BACK_TO_ZERO_SECONDS = 30
_SLEEPS = "import time\ndef handler(event, context):\n    time.sleep(0.1)\n    return {}\n"
_COMPUTES = """import time
def handler(event, context):
    until = time.thread_time() + 0.05
    while time.thread_time() < until:
        pass
    return {}
"""
_PACKAGES = [("burst", _SLEEPS, {"sleeps": {"memory": "64Mi", "idle_timeout": "1s", "scale": {"max": CALLS}}}),
             ("many", _SLEEPS, {f"f{number}": {"memory": "64Mi", "idle_timeout": "1s"} for number in range(FUNCTIONS)}),
             ("computing", _COMPUTES, {"computes": {"memory": "64Mi", "idle_timeout": "1s", "scale": {"max": 100}}})]


def deploy(node):
    for app, source, functions in _PACKAGES:
        node.deploy_app(source, {name: {**spec, "handler": "app.handler"} for name, spec in functions.items()}, app=app)


def instances(node):
    return sum(sum(one["instances"].values()) for app, *_ in _PACKAGES for one in node.functions(app).values())


def await_zero(node):
    """Seconds until no instance is left."""
    begun = time.monotonic()
    while instances(node) > 0:
        if time.monotonic() - begun > BACK_TO_ZERO_SECONDS:
            raise RuntimeError(f"{instances(node)} instances are still there after {BACK_TO_ZERO_SECONDS} s")
        time.sleep(0.05)
    return time.monotonic() - begun


class Watcher:
    """The most instances there were, looked at as often as the node answers."""

    def __init__(self, node):
        self._stop, self.most = threading.Event(), 0
        self._thread = threading.Thread(target=self._look, args=(node,))
        self._thread.start()

    def _look(self, node):
        while not self._stop.wait(0.1):
            self.most = max(self.most, instances(node))

    def end(self):
        self._stop.set()
        self._thread.join()
        return self.most


def one_function(node, generator, port, path="/fn/burst/sleeps", calls=CALLS):
    watcher = Watcher(node)
    answer = warm.at_rate(generator, port, path, calls * 1000, 0.001, connections=calls)
    return {"answered": answer["n"], "errors": answer["errors"] + answer["refused"], "p50_ms": answer["p50"], "last_ms": answer["max"], "instances": watcher.end(),
            "zero_after_s": await_zero(node)}


def at_once(node, paths):
    """Calls all of these at one moment, each by a connection of its own: [(begun, ended, rung)], the rung None where the answer is no 200."""
    connections = [cold.Connection(node.url) for _ in paths]
    barrier = threading.Barrier(len(paths))

    def call(connection, path):
        request = connection.request_of(path)
        barrier.wait()
        begun = time.monotonic()
        try:
            _, head, _ = connection.exchange(request)
            return begun, time.monotonic(), cold.phases_of(head)[1]
        except RuntimeError:
            return begun, time.monotonic(), None

    with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
        calls = list(pool.map(call, connections, paths))
    for connection in connections:
        connection.close()
    return calls


def many_functions(node):
    watcher = Watcher(node)
    calls = at_once(node, [f"/fn/many/f{number}" for number in range(FUNCTIONS)])
    first, errors = min(begun for begun, _, _ in calls), sum(rung is None for _, _, rung in calls)
    return {"answered": len(calls) - errors, "errors": errors,
            "p50_ms": figures.median([(end - begun) * 1000 for begun, end, _ in calls]), "last_ms": max(end - first for _, end, _ in calls) * 1000,
            "instances": watcher.end(), "zero_after_s": await_zero(node)}


def measure(node, generator, rounds):
    port = int(node.url.rsplit(":", 1)[1])
    before = figures.load()
    computes = "/fn/computing/computes"
    warm.at_rate(generator, port, computes, 10, 3, connections=4)  # so that the node knows what these calls do
    kinds = {f"{CALLS} calls of one function": lambda: one_function(node, generator, port), f"{FUNCTIONS} functions": lambda: many_functions(node),
             f"{COMPUTING} calls that compute": lambda: one_function(node, generator, port, computes, COMPUTING)}
    result = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, act in kinds.items():
            await_zero(node)
            stolen = figures.stolen_ms()
            result[kind].append({**act(), "stolen_ms": figures.stolen_ms() - stolen})
    return {"kinds": result, "load": [before, figures.load()]}


def report(result):
    rows = [(kind, one["answered"], one["errors"], f"{one['p50_ms']:.0f}", f"{one['last_ms']:.0f}", one["instances"], f"{one['zero_after_s']:.1f}", one["stolen_ms"])
            for kind, rounds in result["kinds"].items() for one in rounds]
    return figures.table(("at zero, called at once", "answered", "errors", "p50 ms", "last answer ms", "instances seen", "at zero after s", "host took ms"), rows)


def judge(result, bars):
    computing = result["kinds"][f"{COMPUTING} calls that compute"]
    bars.at_most("calls that compute at once: instances, of as many calls", figures.median([one["instances"] for one in computing]) / COMPUTING, 0.25)
    for kind, rounds in result["kinds"].items():
        bars.at_most(f"{kind} at once: errors", sum(one["errors"] for one in rounds), 0)
        bars.at_most(f"{kind} at once: the last answer, median of rounds", figures.median([one["last_ms"] for one in rounds]) / 1000, SECONDS_AT_MOST, "s")
