"""Several calls at a time in one instance of a Node function and of an ASGI application (`concurrency`): how many, who pays for what,
whose words are whose, and what one does to the others. The same orders to both; what they have in common with every other
function is in test_runtime_matrix.py."""

import json
import shutil
import socket
import time

import pytest

from ebb_node import eventually, in_parallel, read_to_end

NODE = r'''
const fs = require("node:fs");
const net = require("node:net");
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));
const born = `${process.hrtime.bigint()}`;
let present = 0, most = 0, left = 0, open;
const gate = new Promise((resolve) => { open = resolve; });

function ports() {
  return fs.readFileSync("/proc/net/tcp", "utf8").split("\n").slice(1).map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === "0A").map((fields) => parseInt(fields[1].split(":")[1], 16));
}
const garbage = (port) => new Promise((done) => {
  const socket = net.connect(port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".repeat(4)));
  socket.on("close", () => done(port)).on("error", () => {});
});

const orders = {
  sleep: pause,
  burn: async (seconds) => {
    const used = () => process.cpuUsage().user + process.cpuUsage().system;
    const end = used() + seconds * 1e6;
    while (used() < end) { for (let i = 0; i < 1e5; ++i); }
  },
  wait: async () => { fs.writeSync(1, "waiting\n"); await gate; },
  open: () => open(),
  crash: () => process.abort(),
  exit: async () => { await pause(0.01); process.exit(3); },
  late: async () => { setTimeout(() => { throw new RangeError("out of band"); }, 5); await pause(20); },
  error: () => { throw new TypeError("no such order"); },
  say: async (what) => {
    for (let i = 0; i < 20; ++i) { console.log(`${what} out ${i}`); await pause(0.002); console.error(`${what} err ${i}`); }
    const bytes = Buffer.from(`${what} without an end`);
    process.stdout.write(bytes);
    bytes.fill(0);
    setTimeout(() => console.log(`${what} afterwards`), 50);
  },
  leave: async (_, context) => {
    fs.writeSync(1, "waiting\n");
    await new Promise((done) => context.signal.addEventListener("abort", done));
    left += 1;
  },
  garbage: async () => Promise.all(ports().map(garbage)),
  drown: async (_, context) => {
    for (let i = 0; i < 100; ++i) console.log("x".repeat(65_000));
    for (let i = 0; i < 4000 && !context.signal.aborted; ++i) { console.log("x".repeat(65_000)); await pause(0.002); }
    if (context.signal.aborted) left += 1;
  },
  flood: async () => { for (let i = 0; i < 40; ++i) { console.log("x".repeat(65_000)); await pause(0); } },
};

exports.handler = async (event, context) => {
  const [order, argument] = event.rawPath ? event.rawPath.slice(1).split("/") : [event.order, event.argument];
  if (order === "echo") return Buffer.from(event.body, event.isBase64Encoded ? "base64" : "utf8");
  if (order === "stream") {
    return (async function* () { try { for (let i = 0; i < 5; ++i) { yield `${argument} ${i}\n`; await pause(0.05); } } finally { left += 1; } })();
  }
  if (order === "chatter") {
    const chatter = setInterval(() => console.log("beside the stream"), 5);
    setTimeout(() => clearInterval(chatter), 2000);
    return (async function* () { yield "all of it\n"; for (let i = 0; i < 400; ++i) console.log("x".repeat(65_000)); })();
  }
  if (order === "endless") {
    return (async function* () { try { for (;;) { yield Buffer.alloc(65536); } } finally { left += 1; } })();
  }
  present += 1;
  most = Math.max(most, present);
  try {
    await orders[order]?.(Number.isNaN(Number(argument)) ? argument : Number(argument), context);
  } finally {
    present -= 1;
  }
  return { born, most, left, id: context.awsRequestId };
};
'''

ASGI = r'''
import asyncio, json, logging, os, socket, sys, time

born = None
logging.basicConfig(format="%(message)s")  # keeps the stream that it finds
present = most = left = 0
gate = None

def ports():
    lines = [line.split() for line in open("/proc/net/tcp").read().splitlines()[1:]]
    return [int(fields[1].rpartition(":")[2], 16) for fields in lines if fields[3] == "0A"]

def junk(data):
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            with socket.socket(fileno=os.dup(fd)) as connection:
                if connection.family == socket.AF_INET:
                    connection.getpeername()
                    connection.send(data)
        except OSError:
            pass  # not a connection

async def garbage(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4)
    try:
        await reader.read()
    except ConnectionError:
        pass
    writer.close()

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

async def afterwards(what):
    await asyncio.sleep(0.05)
    print(what, "afterwards")

async def obey(order, argument, receive):
    global gate, left
    if gate is None:
        gate = asyncio.Event()
    if order == "sleep":
        await asyncio.sleep(float(argument))
    elif order == "burn":
        await asyncio.to_thread(burn, float(argument))
    elif order == "wait":
        os.write(1, b"waiting\n")
        await gate.wait()
    elif order == "open":
        gate.set()
    elif order == "crash":
        os.abort()
    elif order == "exit":
        sys.exit(3)
    elif order == "error":
        raise TypeError("no such order")
    elif order == "say":
        for number in range(20):
            print(argument, "out", number)
            await asyncio.sleep(0.002)
            if number % 2:
                await asyncio.to_thread(print, argument, "err", number, file=sys.stderr)
            else:
                logging.getLogger().error("%s err %d", argument, number)
        print(argument, "without an end", end="")
        asyncio.ensure_future(afterwards(argument))
    elif order == "leave":
        os.write(1, b"waiting\n")
        assert (await receive())["type"] == "http.request"
        assert (await receive())["type"] == "http.disconnect"
        left += 1
    elif order == "junk":
        junk({"text": b"junk" * 100, "other": bytes.fromhex("f1eb0103") + bytes(28), "words": bytes.fromhex("f1eb0109000000000100000000000000") + bytes(17)}[argument])
    elif order == "garbage":
        await asyncio.gather(*(garbage(port) for port in ports()))
    elif order == "flood":
        for _ in range(40):
            print("x" * 65_000)
            await asyncio.sleep(0)

async def answer(send, body, kind=b"text/plain"):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})

async def app(scope, receive, send):
    global born, present, most, left
    if scope["type"] == "lifespan":
        born = str(time.monotonic_ns())  # of the instance: the module is loaded in the zygote
        raise RuntimeError("no lifespan")
    order, _, argument = scope["path"].removeprefix(scope["root_path"])[1:].partition("/")
    if order == "echo":
        return await answer(send, (await receive())["body"])
    if order in ("stream", "endless"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            number = 0
            while order == "endless" or number < 5:
                piece = bytes(65536) if order == "endless" else f"{argument} {number}\n".encode()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                await asyncio.sleep(0 if order == "endless" else 0.05)
                number += 1
            return await send({"type": "http.response.body", "body": b""})
        except OSError:
            left += 1
            raise
    present += 1
    most = max(most, present)
    try:
        await obey(order, argument, receive)
    finally:
        present -= 1
    told = {"born": born, "most": most, "left": left, "id": scope["ebb.context"].request_id}
    await answer(send, json.dumps(told).encode(), b"application/json")
'''

SPECS = {
    "node": {"runtime": "node", "handler": "index.handler", "memory": "256Mi"},
    "asgi": {"runtime": "python3", "handler": "app.app", "memory": "128Mi"},
}


@pytest.fixture(params=SPECS)
def kind(request):
    return request.param


@pytest.fixture
def spec():
    """What is special about the function; tests that want something parametrize it."""
    return {}


def deploy(node, app, kind, expect=0, **spec):
    spec = {**SPECS[kind], "concurrency": 8, "scale": {"max": 1}, **spec}
    return node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": {"f": spec}}), "index.js": NODE, "app.py": ASGI}, expect=expect)


@pytest.fixture
def target(node, kind, spec, request):
    """A fresh app of that kind: its function, as call() and logs() want it."""
    if kind == "node" and shutil.which("node") is None:
        pytest.skip("no node on this machine")
    app = f"{kind}-{request.node.originalname.removeprefix('test_').replace('_', '-')}"[:40].rstrip("-")
    deploy(node, app, kind, **spec)
    yield f"{app}/f"
    node.cli("rm", app, "--yes")


def ask(node, target, order=""):
    answer = node.call(f"{target}/{order}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def begin(node, target, order):
    """A connection on which a call is under way."""
    connection = node.connect()
    connection.sendall(f"GET /fn/{target}/{order} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return connection


def waiting(node, target):
    return sum(line["text"] == "waiting" for line in node.logs(target))


@pytest.mark.sanitized
def test_one_instance_serves_as_many_as_it_may(node, target):
    ask(node, target)
    answers = in_parallel(8, lambda n: ask(node, target, "sleep/0.5"))
    assert len({answer["born"] for answer in answers}) == 1
    assert max(answer["most"] for answer in answers) == 8, "all of them at one time"
    assert len({answer["id"] for answer in answers}) == 8, "each was told an id of its own"


@pytest.mark.parametrize("spec", [dict(concurrency=3, scale={"max": 2})])
def test_never_more_at_a_time_than_it_may(node, target):
    ask(node, target)
    answers = in_parallel(18, lambda n: ask(node, target, "sleep/0.2"))
    assert max(answer["most"] for answer in answers) == 3
    assert len({answer["born"] for answer in answers}) <= 2


@pytest.mark.sanitized
def test_they_share_what_they_cost(node, target):
    ask(node, target)
    before = time.monotonic()
    in_parallel(8, lambda n: ask(node, target, "sleep/0.5"))
    elapsed_ms = (time.monotonic() - before) * 1000
    records = node.usage(target)[-8:]
    assert len({record["request_id"] for record in records}) == 8, "each has its record"
    assert 500 <= sum(record["billed_ms"] for record in records) <= elapsed_ms + 8, "the time in which it was at work, each call's part rounded up"
    assert all(record["handler_ms"] >= 500 for record in records), "how long each took is said as it was"
    in_parallel(4, lambda n: ask(node, target, "burn/0.1"))
    cpu = sum(record["cpu_ms"] for record in node.usage(target)[-4:])
    assert 100 <= cpu <= 1000, "what they have burnt, once"


@pytest.mark.parametrize("spec", [dict(timeout="2s")])
def test_a_timeout_takes_nobody_along(node, target):
    born = ask(node, target)["born"]
    wishes = ["sleep/30", *["sleep/0.9"] * 4]
    answers = in_parallel(5, lambda n: node.call(f"{target}/{wishes[n]}"))
    assert answers[0].status_code == 504 and "within its timeout of 2s" in answers[0].text, answers[0].text
    assert [answer.status_code for answer in answers[1:]] == [200] * 4
    assert {answer.json()["born"] for answer in answers[1:]} == {born}
    assert ask(node, target)["born"] != born, "what hangs in it ends with the instance"
    assert [record["outcome"] for record in node.usage(target)].count("timed_out") == 1


@pytest.mark.sanitized
def test_a_client_that_leaves_takes_nobody_along_and_the_call_hears_of_it(node, target):
    born = ask(node, target)["born"]
    with begin(node, target, "wait") as other:
        leaving = begin(node, target, "leave")
        eventually(lambda: waiting(node, target) == 2, "both are in it")
        leaving.close()
        eventually(lambda: ask(node, target)["left"] == 1, "that the call hears of it")
        assert ask(node, target, "open")["born"] == born
        assert read_to_end(other).startswith(b"HTTP/1.1 200")
    assert "cancelled" in {record["outcome"] for record in node.usage(target)}
    assert ask(node, target)["born"] == born


def test_a_crash_is_told_to_all_who_were_there(node, target):
    ask(node, target)
    there = [begin(node, target, "wait") for _ in range(3)]
    eventually(lambda: waiting(node, target) == 3, "all are in it")
    answers = [node.call(f"{target}/crash").text, *(read_to_end(connection).decode() for connection in there)]
    for answer in answers:
        assert "killed by signal" in answer, answer
    assert {record["outcome"] for record in node.usage(target)[-4:]} == {"crashed"}
    ask(node, target)


def test_who_ends_the_process_is_told_so_and_the_others_that_it_ended(node, target):
    ask(node, target)
    with begin(node, target, "wait") as other:
        eventually(lambda: waiting(node, target) == 1, "it is in it")
        answer = node.call(f"{target}/exit")
        assert answer.status_code == 502 and ("process.exit(3) was called" in answer.text or "SystemExit: 3" in answer.text), answer.text
        assert "ended its process" in read_to_end(other).decode()
    ask(node, target)


def test_an_error_is_the_calls_own(node, target):
    born = ask(node, target)["born"]
    wishes = ["error", *["sleep/0.3"] * 4]
    answers = in_parallel(5, lambda n: node.call(f"{target}/{wishes[n]}"))
    assert answers[0].status_code == 502 and "TypeError: no such order" in answers[0].text, answers[0].text
    assert {answer.json()["born"] for answer in answers[1:]} == {born}
    assert ask(node, target)["born"] == born
    request = answers[0].headers["x-ebb-request-id"]
    assert any("no such order" in line["text"] for line in node.logs(target, request=request)), "its trace is in its log"


@pytest.mark.sanitized
def test_words_are_of_the_call_that_printed_them(node, target):
    ask(node, target)
    answers = in_parallel(6, lambda n: node.call(f"{target}/say/call{n}"))
    for number, answer in enumerate(answers):
        assert answer.status_code == 200, answer.text
        lines = node.logs(target, request=answer.headers["x-ebb-request-id"])
        out = [line["text"] for line in lines if line["stream"] == "out"]
        err = [line["text"] for line in lines if line["stream"] == "err"]
        assert out == [*(f"call{number} out {i}" for i in range(20)), f"call{number} without an end"]
        assert err == [f"call{number} err {i}" for i in range(20)]
    eventually(lambda: sum(line["text"].endswith("afterwards") for line in node.logs(target)) == 6, "what comes after the answers")
    after, = [line for line in node.logs(target) if line["text"] == "call0 afterwards"]
    assert not after.get("request"), "it is nobody's"


def test_a_flood_of_words_is_bounded_and_told(node, target):
    flood = node.call(f"{target}/flood")
    assert flood.status_code == 200, flood.text
    lines = node.logs(target, request=flood.headers["x-ebb-request-id"])
    assert sum(len(line["text"]) for line in lines if line["stream"] == "out") <= 1 << 20
    assert any(line["stream"] == "platform" and "bytes of output dropped" in line["text"] for line in lines)


@pytest.mark.parametrize("kind", ["node"])
def test_a_client_that_leaves_in_a_flood_of_words_is_heard_of(node, target):
    born = ask(node, target)["born"]
    leaving = [begin(node, target, "drown") for _ in range(3)]
    eventually(lambda: len(node.logs(target)) >= 3 * 16, "as many words of each as are kept")
    for connection in leaving:
        connection.close()
    eventually(lambda: ask(node, target)["left"] == 3, "that each call hears of it")
    assert [record["outcome"] for record in node.usage(target)].count("cancelled") == 3
    assert ask(node, target)["born"] == born


@pytest.mark.parametrize("kind", ["node"])
def test_words_beside_the_end_of_a_stream_do_not_follow_it(node, target):
    born = ask(node, target)["born"]
    assert node.call(f"{target}/chatter").text == "all of it\n", "the end waits behind words that are read slowly, and others come meanwhile"
    assert node.usage(target)[-1]["outcome"] == "ok"
    assert ask(node, target)["born"] == born


def test_streams_pass_beside_each_other(node, target):
    ask(node, target)
    before = time.monotonic()
    answers = in_parallel(6, lambda n: node.call(f"{target}/stream/s{n}"))
    assert time.monotonic() - before < 6 * 0.25, "not one after the other"
    assert [answer.text for answer in answers] == ["".join(f"s{n} {i}\n" for i in range(5)) for n in range(6)]


def test_a_client_that_reads_slowly_holds_up_nobody_and_one_that_leaves_ends_its_stream(node, target):
    born = ask(node, target)["born"]
    slow = begin(node, target, "endless")
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    assert slow.recv(1000).startswith(b"HTTP/1.1 200")
    assert ask(node, target)["born"] == born
    assert ask(node, target)["left"] == 0
    slow.close()
    eventually(lambda: ask(node, target)["left"] == 1, "the end of its stream")
    assert ask(node, target)["born"] == born
    assert [record["outcome"] for record in node.usage(target)].count("cancelled") == 1


def test_large_bodies_pass_both_ways(node, target):
    bodies = [bytes([65 + n]) * 9_000_000 for n in range(3)]
    answers = in_parallel(3, lambda n: node.call(f"{target}/echo", data=bodies[n], headers={"Content-Type": "application/octet-stream"}).content)
    assert answers == bodies


def test_what_is_no_frame_closes_its_connection_and_nothing_else(node, target):
    born = ask(node, target)["born"]
    with begin(node, target, "wait") as other:
        eventually(lambda: waiting(node, target) == 1, "it is in it")
        assert ask(node, target, "garbage")["born"] == born
        ask(node, target, "open")
        assert read_to_end(other).startswith(b"HTTP/1.1 200")


@pytest.mark.sanitized
@pytest.mark.parametrize("kind", ["asgi"])
@pytest.mark.parametrize("sent, text", [("text", "broke the protocol"), ("other", "answered another request than it was given"), ("words", "answered another request")])
def test_code_that_speaks_on_its_connections_is_told_and_its_instance_ends(node, target, sent, text):
    born = ask(node, target)["born"]
    answer = node.call(f"{target}/junk/{sent}")
    assert answer.status_code == 502 and text in answer.text, answer.text
    eventually(lambda: ask(node, target)["born"] != born, "another instance")


@pytest.mark.parametrize("kind", ["node"])
def test_an_error_that_nobody_catches_is_told_to_the_call_it_came_from(node, target):
    ask(node, target)
    with begin(node, target, "wait") as other:
        eventually(lambda: waiting(node, target) == 1, "it is in it")
        answer = node.call(f"{target}/late")
        assert answer.status_code == 502 and "RangeError: out of band" in answer.text, answer.text
        assert "ended its process" in read_to_end(other).decode()


@pytest.mark.parametrize("kind", ["node"])
def test_direct_calls_share_an_instance_too(node, target):
    ask(node, target)
    answers = in_parallel(4, lambda n: json.loads(node.cli("invoke", target, "--data", '{"order": "sleep", "argument": 3}').stdout))
    assert max(answer["most"] for answer in answers) > 1 and len({answer["born"] for answer in answers}) == 1


@pytest.mark.parametrize("kind", ["asgi"])
def test_a_direct_call_of_an_application_is_refused(node, target):
    done = node.cli("invoke", target, "--data", "{}", expect=None)
    assert done.returncode == 2 and "is an ASGI application" in done.stderr, done.stderr


@pytest.mark.parametrize("spec", [dict(idle_timeout="0s")])
def test_it_goes_to_zero_only_when_the_last_has_gone(node, target):
    with begin(node, target, "wait") as long:
        eventually(lambda: waiting(node, target) == 1, "it is in it")
        ask(node, target)
        assert node.functions(target.partition("/")[0])[target]["instances"]["busy"] == 1
        ask(node, target, "open")
        assert read_to_end(long).startswith(b"HTTP/1.1 200")
    eventually(lambda: not node.functions(target.partition("/")[0])[target]["instances"]["idle"], "that it is retired")


HANDLERS = '''
def handler(event, context):
    return 1
async def later(event, context):
    return 1
def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [b""]
'''


@pytest.mark.parametrize("spec, text", [
    ({"handler": "app.handler"}, "concurrency is 2, and handler 'app.handler' is an event handler, which runs 1 call at a time"),
    ({"handler": "app.later"}, "is an event handler, which runs 1 call at a time"),
    ({"handler": "app.wsgi"}, "is a WSGI application, which runs 1 call at a time"),
    ({"handler": "app.wsgi", "interface": "wsgi"}, "with interface: wsgi an instance runs 1 call at a time"),
    ({"handler": "app.handler", "isolation": "gvisor"}, "with isolation: gvisor an instance serves 1"),
    ({"handler": "app.handler", "reuse": "never"}, "with reuse: never an instance serves 1")])
def test_what_runs_one_call_at_a_time_is_refused(node, spec, text):
    manifest = {"app": "refused", "functions": {"f": {"runtime": "python3", "concurrency": 2, **spec}}}
    done = node.deploy({"ebb.yaml": json.dumps(manifest), "app.py": HANDLERS}, expect=None)
    assert done.returncode != 0 and text in done.stderr, done.stderr
