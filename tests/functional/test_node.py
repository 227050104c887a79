"""Functions in JavaScript (`runtime: node`) with a real Node: calls, results, failures, streams, scaling, and what is said of
packages that do not load."""

import json
import shutil

import pytest

from ebb_node import described, eventually, in_parallel, server_timing

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")

SOURCE = r'''
const { Readable } = require("node:stream");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
let calls = 0;

const made = {
  count: () => ({ calls: ++calls, pid: process.pid }),
  text: () => "plain täxt",
  bytes: () => Buffer.from([0, 255, 10]),
  nothing: () => undefined,
  list: () => [1, "two", null],
  whole: () => ({ statusCode: 201, headers: { "X-One": "1", "X-Many": ["a", "b"] }, cookies: ["a=1", "b=2"], body: { n: 1 } }),
  base64: () => ({ statusCode: 200, headers: { "content-type": "image/png" }, isBase64Encoded: true, body: "AP8K" }),
  throws: () => { throw new TypeError("no such order"); },
  rejects: async () => { await pause(5); const error = new Error("no stock"); error.name = "StockError"; throw error; },
  string: async () => { throw "just words"; },
  later: async () => { setTimeout(() => { throw new RangeError("out of band"); }, 5); await pause(10_000); },
  unhandled: async () => { Promise.reject(new Error("nobody catches")); await pause(10_000); },
  exit: async () => { await pause(1); process.exit(3); },
  abort: () => process.abort(),
  never: () => new Promise(() => {}),
  spin: () => { for (;;) {} },
  heap: () => { const all = []; for (;;) all.push(new Array(1000).fill(Math.random())); },
  big: () => "x".repeat(34_000_000),
  circular: () => { const value = {}; value.self = value; return value; },
  bigint: () => ({ value: 10n }),
  function: () => () => 1,
  status: () => ({ statusCode: 1000 }),
  header: () => ({ statusCode: 200, headers: { "X-Bad": "a\r\nb: c" } }),
  stream: async function* () { for (let i = 0; i < 3; ++i) { yield `${i};`; await pause(50); } },
  readable: () => ({ statusCode: 202, headers: { "Content-Type": "text/event-stream" }, body: Readable.from(["data: 1\n\n", "data: 2\n\n"]) }),
  web: () => new ReadableStream({ start(out) { out.enqueue(new Uint8Array([1, 2])); out.enqueue(new Uint8Array([3])); out.close(); } }),
  response: () => new Response("made", { status: 201, headers: [["X-One", "1"], ["Content-Type", "text/x-made"], ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]] }),
  bare: () => new Response(null, { status: 204 }),
  flowing: () => new Response(new ReadableStream({ async pull(out) { out.enqueue(Buffer.from("data: 1\n\n")); await pause(5); out.close(); } })),
  used: async () => { const response = new Response("once"); await response.text(); return response; },
  caused: () => { throw new Error("no answer", { cause: new RangeError("port 70000 is none") }); },
  large: function* () { const piece = Buffer.alloc(300_000, "x"); for (let i = 0; i < 100; ++i) yield piece; },
  breaks: async function* () { yield "whole line\n"; await pause(5); throw new Error("broke in the middle"); },
  early: async function* () { yield ""; throw new Error("broke before"); },
  wrong: async function* () { yield { a: 1 }; },
  silent: async function* () {},
};

exports.handler = async (event, context) => {
  const wish = typeof event?.rawPath === "string" ? event.rawPath.slice(1) : event?.wish;
  console.log("asked for", wish);
  return wish in made ? made[wish]() : { event, id: context.awsRequestId, name: context.functionName, memory: context.memoryLimitInMB,
    arn: context.invokedFunctionArn, left: context.getRemainingTimeInMillis(), env: process.env.STAGE, node: process.version };
};
exports.callback = (event, context, callback) => {
  setTimeout(() => (event.fail ? callback(new Error("told by callback")) : callback(null, { called: event })), 1);
};
exports.value = 7;
'''


def deploy(node, app, files, functions, expect=0):
    described_ = {name: {"runtime": "node", "memory": "256Mi", **keys} for name, keys in functions.items()}
    return node.deploy({"ebb.yaml": json.dumps({"app": app, "functions": described_}), **files}, expect=expect)


@pytest.fixture(scope="module")
def js(node):
    deploy(node, "js", {"index.js": SOURCE}, {
        "f": {"handler": "index.handler", "env": {"STAGE": "test"}, "timeout": "8s"}, "callback": {"handler": "index.callback"},
        "hasty": {"handler": "index.handler", "timeout": "1s"}, "brief": {"handler": "index.handler", "idle_timeout": "0s"},
        "once": {"handler": "index.handler", "reuse": "never"}})
    return node


def invoke(node, target, payload, expect=0):
    return node.cli("invoke", target, "--data", json.dumps(payload), expect=expect)


@pytest.mark.sanitized
def test_a_handler_sees_event_and_context(js):
    answer = js.call("/fn/js/f/path?x=1", data="a=ü".encode(), headers={"Content-Type": "text/plain", "Cookie": "k=v"}).json()
    event = answer["event"]
    assert event["rawPath"] == "/path" and event["queryStringParameters"] == {"x": "1"} and event["cookies"] == ["k=v"]
    assert event["body"] == "a=ü" and event["isBase64Encoded"] is False
    assert answer["name"] == "f" and answer["memory"] == "256" and answer["arn"].startswith("ebb:js:f:") and answer["env"] == "test"
    assert 0 < answer["left"] <= 8000 and answer["id"] == event["requestContext"]["requestId"]
    binary = js.call("/fn/js/f/path", data=b"\0\xff", headers={"Content-Type": "image/png"}).json()["event"]
    assert binary["body"] == "AP8=" and binary["isBase64Encoded"] is True
    assert "body" not in js.call("/fn/js/f/path").json()["event"]


def test_direct_calls_take_and_give_json(js):
    answer = json.loads(invoke(js, "js/f", {"a": [1, None]}).stdout)
    assert answer["event"] == {"a": [1, None]}
    assert json.loads(invoke(js, "js/f", {"wish": "text"}).stdout) == "plain täxt"
    assert json.loads(invoke(js, "js/f", {"wish": "nothing"}).stdout) is None
    assert json.loads(invoke(js, "js/f", {"wish": "whole"}).stdout)["statusCode"] == 201


def test_results_become_answers(js):
    text = js.call("/fn/js/f/text")
    assert text.text == "plain täxt" and text.headers["content-type"] == "text/plain; charset=utf-8"
    assert js.call("/fn/js/f/bytes").content == b"\0\xff\n"
    assert js.call("/fn/js/f/nothing").content == b""
    assert js.call("/fn/js/f/list").json() == [1, "two", None]
    whole = js.call("/fn/js/f/whole")
    assert whole.status_code == 201 and whole.json() == {"n": 1} and whole.headers["content-type"] == "application/json"
    assert whole.headers["x-many"] == "a, b" and whole.cookies.get_dict() == {"a": "1", "b": "2"}
    base64 = js.call("/fn/js/f/base64")
    assert base64.content == b"\0\xff\n" and base64.headers["content-type"] == "image/png"
    assert len(js.call("/fn/js/f/echo", data=b"x" * 3_000_000, headers={"Content-Type": "text/plain"}).json()["event"]["body"]) == 3_000_000


def test_a_response_of_fetch_is_a_whole_answer(js):
    made = js.call("/fn/js/f/response")
    assert made.status_code == 201 and made.text == "made" and made.headers["x-one"] == "1" and made.headers["content-type"] == "text/x-made"
    assert made.cookies.get_dict() == {"a": "1", "b": "2"}
    bare = js.call("/fn/js/f/bare")
    assert bare.status_code == 204 and bare.content == b""
    assert js.call("/fn/js/f/flowing").text == "data: 1\n\n"
    assert invoke(js, "js/f", {"wish": "response"}).stdout == "made"
    assert js.call("/fn/js/f/used").status_code == 502


def test_a_stack_in_the_log_ends_where_the_users_code_does(js):
    answer = js.call("/fn/js/f/throws")
    assert answer.status_code == 502
    lines = [line["text"] for line in js.logs("js/f", answer.headers["X-Ebb-Request-Id"])]
    stack = [line.strip() for line in lines if line.strip().startswith("at ")]
    assert stack and all("/var/task/index.js" in line for line in stack), lines


def test_a_handler_may_answer_by_its_callback(js):
    assert json.loads(invoke(js, "js/callback", {"n": 1}).stdout) == {"called": {"n": 1}}
    assert "told by callback" in invoke(js, "js/callback", {"fail": True}, expect=None).stderr


@pytest.mark.sanitized
@pytest.mark.parametrize("wish, status, texts", [
    ("throws", 502, ["TypeError", "no such order"]), ("rejects", 502, ["StockError", "no stock"]), ("string", 502, ["just words"]),
    ("big", 502, ["34000000 bytes, the limit is"]), ("circular", 502, ["cannot be sent as JSON", "circular"]),
    ("bigint", 502, ["cannot be sent as JSON", "BigInt"]), ("function", 502, ["of type function"]),
    ("status", 502, ["statusCode is 1000"]), ("header", 502, ["'X-Bad' has a character"]),
    ("never", 502, ["NeverSettles", "nothing is under way"]), ("caused", 502, ["no answer: port 70000 is none"]), ("early", 502, ["broke before"]), ("wrong", 502, ["piece 1 of the stream"])])
def test_a_failure_is_told_and_the_instance_goes_on(js, wish, status, texts):
    before = js.call("/fn/js/f/count").json()
    answer = js.call(f"/fn/js/f/{wish}")
    assert answer.status_code == status and all(text in answer.text for text in texts), answer.text
    after = js.call("/fn/js/f/count").json()
    assert after["calls"] == before["calls"] + 1, "another instance answered"


@pytest.mark.parametrize("wish, texts", [
    ("later", ["RangeError", "out of band"]), ("unhandled", ["nobody catches"]), ("exit", ["process.exit(3) was called"]), ("abort", []), ("heap", [])])
def test_an_instance_that_ends_is_told_and_another_one_answers(js, wish, texts):
    js.call("/fn/js/f/count")
    answer = js.call(f"/fn/js/f/{wish}", timeout=60)
    assert answer.status_code == 502 and all(text in answer.text for text in texts), answer.text
    assert js.call("/fn/js/f/count").json()["calls"] == 1


def test_a_timeout_ends_a_loop(js):
    answer = js.call("/fn/js/hasty/spin")
    assert answer.status_code == 504 and "within its timeout of 1s" in answer.text, answer.text
    assert js.call("/fn/js/hasty/list").json() == [1, "two", None]


def test_logs_and_usage_are_of_the_call(js):
    answer = js.call("/fn/js/f/rejects")
    request = answer.headers["x-ebb-request-id"]
    text = "\n".join(entry["text"] for entry in js.logs("js/f", request=request))
    assert "asked for rejects" in text and "StockError: no stock" in text and "index.js:" in text and "/ebb/runtime" not in text, text
    record, = js.usage("js/f", request=request)
    assert record["state"] == "closed"


def test_streams_come_piece_by_piece(js):
    with js.session().get(js.url + "/fn/js/f/stream", stream=True, timeout=20) as answer:
        assert answer.headers["content-type"] == "text/plain; charset=utf-8" and "content-length" not in answer.headers
        assert list(answer.iter_content(None)) == [b"0;", b"1;", b"2;"]
    readable = js.call("/fn/js/f/readable")
    assert readable.status_code == 202 and readable.text == "data: 1\n\ndata: 2\n\n" and readable.headers["content-type"] == "text/event-stream"
    web = js.call("/fn/js/f/web")
    assert web.content == b"\1\2\3" and web.headers["content-type"] == "application/octet-stream"
    assert js.call("/fn/js/f/silent").content == b""
    assert invoke(js, "js/f", {"wish": "stream"}).stdout == "0;1;2;"
    assert js.call("/fn/js/f/large").content == b"x" * 30_000_000
    assert js.session().head(js.url + "/fn/js/f/stream", timeout=20).status_code == 200


def test_a_stream_that_breaks_is_broken_off(js):
    answer = js.raw(b"GET /fn/js/f/breaks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"whole line" in answer and not answer.endswith(b"0\r\n\r\n")
    assert js.call("/fn/js/f/text").text == "plain täxt"


def runs_node(node, app="js"):
    return [pid for pid in node.pids_in("instances", app) if "runtime/node" in described(pid)]


def test_from_zero_and_to_zero(js):
    first = js.call("/fn/js/brief/count")
    assert first.json() == {"calls": 1, "pid": 1} and server_timing(first)["start"]["desc"] in ("fork", "spare")
    eventually(lambda: js.call("/fn/js/brief/count").json()["calls"] == 1, "a fresh instance")
    assert [js.call("/fn/js/once/count").json()["calls"] for _ in range(3)] == [1, 1, 1]
    answers = in_parallel(4, lambda _: js.call("/fn/js/f/stream").text)
    assert answers == ["0;1;2;"] * 4
    for name in ("f", "callback", "hasty", "brief", "once"):
        js.cli("rm", f"js/{name}", "--yes")
    eventually(lambda: not runs_node(js), "the end of every instance")


@pytest.mark.parametrize("files, handler", [
    ({"index.mjs": "export const handler = async () => 'esm ' + typeof import.meta.url;"}, "index.handler"),
    ({"package.json": '{"type": "module"}', "src/app.js": "import { word } from './word.js';\nexport function run() { return 'esm ' + word; }",
      "src/word.js": "export const word = 'string';"}, "src/app.run"),
    ({"index.mjs": "const word = await Promise.resolve('string');\nexport default { handler: () => 'esm ' + word };"}, "index.handler"),
    ({"package.json": '{"type": "module"}', "index.cjs": "module.exports = { handler: () => 'esm ' + typeof __filename };"}, "index.handler"),
    ({"index.js": "exports.handler = () => require('words').esm;", "node_modules/words/package.json": '{"name": "words", "main": "w.js"}',
      "node_modules/words/w.js": "exports.esm = 'esm string';"}, "index.handler"),
])
def test_modules_of_both_kinds(node, files, handler):
    deploy(node, "kinds", files, {"f": {"handler": handler}})
    assert node.call("kinds/f").text == "esm string"


@pytest.mark.parametrize("source, texts", [
    ("exports.handler = 7;", ["of type number, not a function"]),
    ("exports.handel = () => 1;", ["index.js does not export 'handler', but handel"]),
    ("throw new Error('no table name');", ["index.js line 1: no table name"]),
    ("exports.handler = (;", ["index.js", "Unexpected token"]),
    ("require('express');", ["Cannot find module 'express'", "run npm install"]),
    ("process.exit(4);", ["process.exit(4) was called while the module was being loaded"]),
    ("setTimeout(() => {}, 1);process.abort();", ["killed by signal 6"]),
])
def test_what_does_not_load_is_not_deployed(node, source, texts):
    done = deploy(node, "broken", {"index.js": source}, {"f": {"handler": "index.handler"}}, expect=None)
    assert done.returncode != 0 and all(text in done.stderr for text in texts), done.stderr


@pytest.mark.parametrize("files, text", [
    ({"index.mjs": "export const handler = () => {\n  retrn {a: 1};\n};\n"}, "index.mjs line 2: Unexpected token '{'"),
    ({"index.mjs": "import { a } from './src/a.mjs';\nexport const handler = () => a;\n", "src/a.mjs": "export const a = (;\n"}, "src/a.mjs line 1: Unexpected token ';'"),
    ({"index.mjs": "import { b } from './a.mjs';\nexport const handler = () => b;\n", "a.mjs": "export const a = 1;\n"}, "index.mjs line 1: "),
    ({"index.mjs": "console.log('ran');\nJSON.parse('{');\nexport const handler = () => 1;\n"}, "index.mjs line 2: ")])
def test_a_module_that_does_not_parse_is_told_with_its_line(node, files, text):
    done = deploy(node, "unparsed", files, {"f": {"handler": "index.handler"}}, expect=None)
    assert done.returncode != 0 and f"SyntaxError: {text}" in done.stderr, done.stderr


def test_why_it_does_not_load_is_in_the_log_once(node):
    deploy(node, "told", {"index.js": "exports.handler = () => 1;"}, {"f": {"handler": "index.handler"}})
    for source, text in (("exports.other = 1;", "does not export 'handler'"), ("console.error('said');\nthrow new Error('no table');", "Error: no table")):
        done = deploy(node, "told", {"index.js": source}, {"f": {"handler": "index.handler"}}, expect=None)
        assert done.returncode != 0
        # What the platform says of the failure comes behind all that the function wrote.
        eventually(lambda: any(line["stream"] == "platform" and text.removeprefix("Error: ") in line["text"] for line in node.logs("told/f")), f"'{text}' in the log")
        assert sum(text in line["text"] for line in node.logs("told/f") if line["stream"] == "err") == 1


def test_more_that_does_not_load(node):
    done = deploy(node, "broken", {"index.ts": "export const handler = 1"}, {"f": {"handler": "index.handler"}}, expect=None)
    assert "build it to JavaScript" in done.stderr
    done = deploy(node, "broken", {"main.mjs": ""}, {"f": {"handler": "index.handler"}}, expect=None)
    assert "its top has main.mjs" in done.stderr
    done = deploy(node, "broken", {"index.mjs": "await new Promise(() => {});\nexport const handler = 1;"}, {"f": {"handler": "index.handler"}}, expect=None)
    assert "never finishes loading" in done.stderr, done.stderr
    for keys, text in (({}, "handler: is missing"), ({"handler": "../index.handler"}, "write it as file.function"),
                       ({"handler": "index.handler", "command": "x"}, "node calls the handler"), ({"handler": "index.handler", "concurrency": 2, "reuse": "never"}, "with reuse: never an instance serves 1")):
        done = deploy(node, "broken", {"index.js": ""}, {"f": keys}, expect=None)
        assert done.returncode != 0 and text in done.stderr, done.stderr
