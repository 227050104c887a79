"""Clients that make every kind of call, many at a time, and remember what they know of each: the other side of test_bill_proof.py.

A handler says by its own clocks how long it took and what it used; a client says by its clock how long it waited.
"""

import dataclasses
import http.client
import json
import random
import re
import threading
import time
import urllib.parse

APP = "proof"
CLIENTS = 8
HANG_MS = 150  # the timeout of `hangs`
BURN_MS = 8
CRASH_MS = 3
RETRIES = 5

SOURCE = f'''
import json, os, time

def clocks(began, cpu):
    return {{"at": began, "ns": time.monotonic_ns() - began, "cpu_ns": time.process_time_ns() - cpu}}

def measured(work):
    def handler(event, context):
        began, cpu = time.monotonic_ns(), time.process_time_ns()
        work()
        return clocks(began, cpu)
    return handler

def burn():
    until = time.process_time_ns() + {BURN_MS} * 1_000_000
    while time.process_time_ns() < until:
        sum(range(500))

quick = fresh = unfit = measured(lambda: None)
sleeps = narrow = measured(lambda: time.sleep(0.004))
burns = measured(burn)

def fails(event, context):
    began, cpu = time.monotonic_ns(), time.process_time_ns()
    time.sleep(0.002)
    raise ValueError("CLOCKS " + json.dumps(clocks(began, cpu)))

def crashes(event, context):
    time.sleep({CRASH_MS} / 1000)
    os._exit(7)

def hangs(event, context):
    time.sleep(60)

def eats(event, context):
    time.sleep(0.002)
    return len(bytes(range(256)) * (1 << 20))

ponders = measured(lambda: time.sleep(0.5))

def streams(event, context):
    began, cpu = time.monotonic_ns(), time.process_time_ns()
    for _ in range(3):
        time.sleep(0.001)
        yield "piece\\n"
    yield json.dumps(clocks(began, cpu))

def leaves(event, context):
    for _ in range(500):
        yield "piece\\n"
        time.sleep(0.01)
'''
UNFIT = '''
import threading, time
threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()  # what cannot be forked: its instances run init themselves
from app import unfit
'''
SERVER = '''
import http.server, json, os, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        at, cpu = time.monotonic_ns(), time.thread_time_ns()
        time.sleep(0.004)
        while time.thread_time_ns() < cpu + 1_000_000:
            sum(range(500))
        body = json.dumps({"at": at, "ns": time.monotonic_ns() - at, "cpu_ns": time.thread_time_ns() - cpu}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
'''
FUNCTIONS = {
    "quick": {"scale": {"max": 4}}, "sleeps": {"memory": "200Mi", "cpu": 0.5, "scale": {"max": 4}}, "burns": {"cpu": 2, "scale": {"max": 4}},
    "fails": {"memory": "77Mi"}, "crashes": {}, "hangs": {"timeout": f"{HANG_MS}ms"}, "streams": {"scale": {"max": 3}}, "leaves": {},
    "ponders": {}, "narrow": {"scale": {"max": 1}, "max_wait": "1ms"},
    "fresh": {"reuse": "never", "scale": {"max": 3}}, "unfit": {"handler": "unfit.unfit", "scale": {"max": 2}}, "eats": {"memory": "64Mi"},
    "web": {"runtime": "http", "handler": None, "command": "exec python3 server.py", "concurrency": 6, "scale": {"max": 2}},
}
# Of a thousand calls. `narrow` has one instance and lets nobody wait; `leaves` and `ponders` lose their callers, the one amid its
# stream, the other before it says a word; `fresh` is forked for every call; several calls share an instance of `web`.
MIX = {"quick": 425, "sleeps": 120, "burns": 140, "fails": 45, "crashes": 10, "hangs": 10, "streams": 70, "leaves": 15, "ponders": 5, "narrow": 40,
       "fresh": 30, "unfit": 15, "eats": 5, "web": 70}
assert sum(MIX.values()) == 1000 and MIX.keys() == FUNCTIONS.keys()


def deploy(node):
    described = {name: {"handler": f"app.{name}", **keys} for name, keys in FUNCTIONS.items()}
    described = {name: {key: value for key, value in keys.items() if value is not None} for name, keys in described.items()}
    node.deploy({"ebb.yaml": json.dumps({"app": APP, "functions": described}), "app.py": SOURCE, "unfit.py": UNFIT, "server.py": SERVER})


@dataclasses.dataclass(slots=True)
class Attempt:
    """One call as its client saw it: a repetition is another."""
    function: str
    began_ns: int = 0  # CLOCK_MONOTONIC, which handlers read too
    client_ns: int = 0  # from before it was sent to its last byte, or to the moment the client went away
    request: str = ""   # its id; "": no answer began
    status: int = 0
    whole: bool = False  # all of the answer came
    handler_at_ns: int = 0
    handler_ns: int = 0  # by the handler's clock; of one that the client left, what is certain
    cpu_ns: int = 0
    told_ms: float = -1  # the handler's time in Server-Timing


class Load:
    """`calls` calls and their repetitions, by CLIENTS threads, from a seed."""

    def __init__(self, node, calls, seed):
        self._node = node
        self._key = node.key
        self._left = calls
        self._lock = threading.Lock()
        self._error = None
        self.attempts = []
        self._kinds = random.Random(seed).choices(list(MIX), list(MIX.values()), k=calls)
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def left(self):
        """Calls not begun yet. Raises what went wrong in a client."""
        if self._error:
            raise self._error
        return self._left

    def end(self):
        for thread in self._threads:
            thread.join()
        self.left()

    def _run(self, number):
        client = _Client(self._node, self._key, random.Random(number))
        try:
            while True:
                with self._lock:
                    if self._left == 0 or self._error:
                        return
                    self._left -= 1
                    kind, direct = self._kinds[self._left], self._left % 50 == 0
                for attempt in client.calls(kind, direct and kind == "quick"):
                    with self._lock:
                        self.attempts.append(attempt)
        except Exception as error:  # noqa: BLE001
            self._error = error


class _Client:
    """One connection after the other."""

    def __init__(self, node, key, chance):
        self._node = node
        self._key = key
        self._chance = chance
        self._connection = None

    def calls(self, function, direct):
        """The attempts it takes until one is answered by the function, at most 1 + RETRIES of them."""
        for _ in range(1 + RETRIES):
            self._connect()
            attempt = self._leave(function) if function in ("leaves", "ponders") else self._call(function, direct)
            yield attempt
            if attempt.request and attempt.status not in (429, 503) or function == "ponders":
                return
            time.sleep(0.002)

    def _connect(self):
        """To whatever daemon there is; a while without one is nobody's call."""
        limit = time.monotonic() + 60
        while self._connection is None:
            address = urllib.parse.urlsplit(self._node.url)
            connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
            try:
                connection.connect()
                self._connection = connection
            except OSError:
                if time.monotonic() > limit:
                    raise
                time.sleep(0.02)

    def _drop(self):
        self._connection.close()
        self._connection = None

    def _send(self, function, direct=False):
        if direct:
            path = f"/api/v1/apps/{APP}/functions/{function}/invocations"
            self._connection.request("POST", path, b"{}", {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"})
        else:
            self._connection.request("GET", f"/fn/{APP}/{function}")

    def _call(self, function, direct):
        attempt = Attempt(function, began_ns=time.monotonic_ns())
        try:
            self._send(function, direct)
            response = self._connection.getresponse()
            attempt.request, attempt.status = response.getheader("X-Ebb-Request-Id"), response.status
            body = response.read()
            attempt.whole = True
        except (OSError, http.client.HTTPException):
            self._drop()
            return attempt
        attempt.client_ns = time.monotonic_ns() - attempt.began_ns
        if found := re.search(r"handler;dur=([\d.]+)", response.getheader("Server-Timing", "")):
            attempt.told_ms = float(found[1])
        attempt.handler_at_ns, attempt.handler_ns, attempt.cpu_ns = _clocks(function, attempt.status, body)
        if response.will_close:
            self._drop()
        return attempt

    def _leave(self, function):
        attempt = Attempt(function, began_ns=time.monotonic_ns())
        stay = self._chance.uniform(0, 0.04)
        try:
            self._send(function)
            if function == "leaves":
                response = self._connection.getresponse()
                attempt.request, attempt.status = response.getheader("X-Ebb-Request-Id"), response.status
                first = response.read(1)
                there = time.monotonic_ns()
                time.sleep(stay)
                if first and attempt.status == 200:  # the handler was in there from before `there` to now
                    attempt.handler_ns = time.monotonic_ns() - there
                response.close()
            else:
                time.sleep(stay)
        except (OSError, http.client.HTTPException):
            pass
        attempt.client_ns = time.monotonic_ns() - attempt.began_ns
        self._drop()
        return attempt


def _clocks(function, status, body):
    """What the handler said: (when it began, ns, CPU ns); zeros when it could say nothing."""
    if status == 200:
        said = json.loads(body.splitlines()[-1])
    elif function == "fails" and (found := re.search(r"CLOCKS (\{[^}]*\})", body.decode())):
        said = json.loads(found[1].replace("\\", ""))
    else:
        return 0, {"crashes": CRASH_MS, "hangs": HANG_MS}.get(function, 0) * 1_000_000 if status in (502, 504) else 0, 0
    return said["at"], said["ns"], said["cpu_ns"]
