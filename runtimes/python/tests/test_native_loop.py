"""A library's calls without Python (native_loop.c, native_request.c) beside the same calls through native.py: two processes, one that serves as
an instance does and one that may not, are sent the same frames and have to answer alike, whatever stands in them."""

import json
import os
import random
import shutil
import socket
import subprocess

import pytest

import sandbox as sandboxes

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler on this machine")

# The first letter of the body, or of the path, says what it does.
LIBRARY = r"""
#include <ebb/function.h>
#include <unistd.h>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

static std::string told(const ebb_call* call) {
  std::string out;
  if (call->body.size > 0 && (reinterpret_cast<std::uintptr_t>(call->body.data) % 16 != 0 || call->body.data[call->body.size] != 0)) out += "BODY\n";
  for (const ebb_text one : {call->method, call->path, call->query, call->request_id}) if (one.data[one.size] != 0) out += "TEXT\n";
  for (size_t i = 0; i < call->header_count; ++i) if (call->headers[i].value.data[call->headers[i].value.size] != 0) out += "VALUE\n";
  const auto add = [&out](const char* name, ebb_text text) {
    out += std::string(name) + "=" + std::to_string(text.size) + ":" + std::string(text.data, text.size) + "\n";
  };
  out += "http=" + std::to_string(call->is_http) + " deadline=" + std::to_string(call->deadline_ms) + " memory=" +
         std::to_string(call->memory_bytes) + "\n";
  add("method", call->method), add("path", call->path), add("query", call->query), add("body", call->body);
  add("id", call->request_id), add("app", call->app), add("function", call->function), add("version", call->version);
  for (size_t i = 0; i < call->header_count; ++i) add("name", call->headers[i].name), add("value", call->headers[i].value);
  return out;
}

static ebb_text text(const std::string& given) { return {given.data(), given.size()}; }

static void handle(const ebb_call* call) {
  const ebb_host& host = call->host;
  const auto whole = [&host](int status, const std::string& body, const std::string& name = "x-a", const std::string& value = "b") {
    const ebb_field field{text(name), text(value)};
    return host.whole(host.self, status, &field, 1, text(body));
  };
  const char wish = call->body.size > 0 ? call->body.data[0] : call->path.size > 1 ? call->path.data[1] : 'e';
  std::printf("call %c\n", wish);
  switch (wish) {
    case 's':
      host.begin(host.self, 202, nullptr, 0);
      host.piece(host.self, text("one"));
      host.piece(host.self, text("two"));
      return;
    case 'f': return host.failed(host.self, text("Oops"), text("said \"so\""));
    case '2': whole(200, "first"), whole(200, "second"); return;
    case '3': whole(200, "first"), host.begin(host.self, 200, nullptr, 0); return;
    case 'w': whole(200, "first"); return host.failed(host.self, text("Late"), text("after all"));
    case 'n': return;
    case 'o': whole(200, std::string(70'000, 'o')), host.piece(host.self, text("more")); return;
    case '5': whole(200, "small"), host.piece(host.self, text("more")); return;
    case 'p': host.piece(host.self, text("lost")); return;
    case 'k': if (fork() == 0) { whole(200, "of a worker"); return; } whole(200, "of the parent"); return;
    case 'b': whole(200, std::string(70'000, 'b')); return;
    case 'h': whole(200, "odd", "x-odd", "caf\xc3\xa9 \xe9"); return;
    case 'q': whole(200, "quoted", "x-quoted", "a \"b\" \\ c"); return;
    case 'l': whole(200, "long", "x-long", std::string(9'000, 'l')); return;
    case 'i': whole(200, "bad", "x bad", "v"); return;
    case 'j': whole(200, "bad", "x-bad", "line\nbreak"); return;
    case 'v': whole(99, "no status"); return;
    case '4': whole(204, "none"); return;
    default: whole(200, told(call)); return;
  }
}
static void nothing(const ebb_host*) {}

extern "C" __attribute__((visibility("default"))) const ebb_function* ebb_function_v1(void) {
  static const ebb_function function = {EBB_FUNCTION_ABI, nothing, nothing, handle};
  return &function;
}
"""

SERVER = """
import os, sys
runtime, library, most = sys.argv[1:]
sys.path.insert(0, runtime)
from python import _native, instance, loading, native
function = loading.Function('{"app": "a", "function": "f\\u00e9", "version": 7, "kind": "native", "handler": "x", "memory_bytes": 1048576}')
function.interface = "native"
if most == "None":  # what is not ordinary goes through it too, but that is not much
    native.Handler.answer, whole = lambda *call: (os.write(2, b"through Python\\n"), whole(*call))[1], native.Handler.answer
handler = native.Handler(function, _native.load(library)[0])
served = instance.Instance(instance._socket(), function, handler)
instance.leave(served.serve(eval(most)))
"""

FRAME = sandboxes.FRAME


class Served:
    """A process that serves the library on its descriptor 3."""

    def __init__(self, library, most):
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        here.settimeout(sandboxes.DEADLINE)
        self.sock = here
        command = ["/usr/bin/python3", "-I", "-B", "-c", "import os, sys; os.dup2(int(sys.argv.pop(1)), 3); " + SERVER.strip(), str(there.fileno()),
                   sandboxes.RUNTIME, library, str(most)]
        self.process = subprocess.Popen(command, pass_fds=(there.fileno(),), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        there.close()

    def send(self, meta, body=b"", step=None):
        meta = meta.encode()
        frame = FRAME.pack(0xEBF1, 1, sandboxes.INVOKE, len(meta), len(body), b"i" * 16) + meta + body
        for at in range(0, len(frame), step or len(frame)):
            self.sock.sendall(frame[at : at + (step or len(frame))])

    def exactly(self, size):
        data = b""
        while len(data) < size:
            got = self.sock.recv(size - len(data))
            assert got, "the process has ended: " + self.ended()[1]
            data += got
        return data

    def answer(self):
        """[(type, meta, body)] of one call's frames."""
        frames = []
        while not frames or frames[-1][0] in (sandboxes.STREAM, sandboxes.PIECE):
            _, _, kind, meta_bytes, body_bytes, invocation = FRAME.unpack(self.exactly(FRAME.size))
            assert invocation == b"i" * 16
            meta = json.loads(self.exactly(meta_bytes) or b"{}")
            meta.pop("trace", None)  # names what stands around it here
            frames.append((kind, meta, self.exactly(body_bytes)))
        return frames

    def ended(self):
        """(stdout, stderr) once it has ended by itself."""
        self.sock.close()
        out, err = self.process.communicate(timeout=sandboxes.DEADLINE)
        return out.decode(), err.decode()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    (folder / "f.cc").write_text(LIBRARY)
    include = os.path.join(os.path.dirname(__file__), "../../../sdk/cpp/include")
    subprocess.run(["g++", "-std=c++17", "-O1", "-shared", "-fPIC", f"-I{include}", "-o", folder / "f.so", folder / "f.cc"], check=True, timeout=120)
    return str(folder / "f.so")


@pytest.fixture
def both(library):
    pair = Served(library, None), Served(library, 10**9)
    yield pair
    for one in pair:
        one.sock.close()
        one.process.kill()
        one.process.communicate(timeout=sandboxes.DEADLINE)


def http_meta(path="/", headers=None, **more):
    event = {"version": "2.0", "rawPath": path, "rawQueryString": more.pop("query", ""), "headers": headers or {},
             "requestContext": {"accountId": "anonymous", "http": {"method": more.pop("method", "GET"), "path": path, "protocol": "HTTP/1.1", "sourceIp": "::1"},
                                "timeEpoch": 1}}
    cookies = more.pop("cookies", None)
    if cookies is not None:
        event["cookies"] = cookies
    return {"kind": "http", "request_id": "01M8", "deadline_ms": 1764480000123, "scheme": "http", "prefix": "/fn/a/f", **more, "event": event}


def alike(both, meta, body=b"", ascii=True, **sent):
    """The answer of both, which is the same."""
    text = meta if isinstance(meta, str) else json.dumps(meta, ensure_ascii=ascii)
    for one in both:
        one.send(text, body, **sent)
    fast, slow = (one.answer() for one in both)
    assert fast == slow
    return fast


WORDS = ["", "a", "/x/y", "%41%2f%zz%", "caf\u00e9", "\u65e5\u672c", "\U0001f600 \U00010000", 'quote " and \\ and /', "tab\tline\nnul\0end", "\x7f\x1f\ufffd\uffff", "%e3%81%82+%20", "z" * 3000]


def test_any_texts(both):
    draw = random.Random(20261130)
    for number in range(400):
        def word():
            return "".join(draw.choice(WORDS) for _ in range(draw.randrange(3)))
        names = ["accept", "content-length", "transfer-encoding", "cookie", "x-" + word()[:20]]
        meta = http_meta("/e" + word(), {name: word() for name in draw.sample(names, draw.randrange(len(names)))}, query=word(), method=draw.choice(["GET", "POST", "\u00dc"]))
        if draw.random() < 0.5:
            meta["event"]["cookies"] = [word() for _ in range(draw.randrange(4))]
        if draw.random() < 0.3:
            meta["event"]["queryStringParameters"] = {word(): word(), "nested": "}]\"{["}
        if draw.random() < 0.3:
            meta["traceparent"] = word()
        body = b"" if draw.random() < 0.5 else b"e" + draw.randbytes(draw.choice([1, 10, 5000]))
        (kind, head, answer), = alike(both, meta, body, ascii=draw.random() < 0.5)
        assert kind == sandboxes.RESULT and head["status"] == 200 and answer.startswith(b"http=1 deadline=1764480000123 memory=1048576\n"), number
    assert "through Python" not in both[0].ended()[1]


def test_direct_calls(both):
    for kind in ("application/json", "", "text/\u00e9"):
        (_, _, answer), = alike(both, {"kind": "direct", "request_id": "01", "deadline_ms": 5, "content_type": kind}, b"e\0\xff")
        assert answer.startswith(b"http=0 deadline=5 memory=1048576\nmethod=0:\n") and b"body=3:e\0\xff\n" in answer
    assert "through Python" not in both[0].ended()[1]


@pytest.mark.parametrize("wish", "sf23wnpbhqlijv4o5")
def test_whatever_the_library_does(both, wish):
    first = alike(both, http_meta("/" + wish))
    assert alike(both, http_meta("/e")) == alike(both, http_meta("/e"))  # and goes on
    head_only = alike(both, http_meta("/" + wish, head_only=True))
    expected = {"s": sandboxes.STREAM, "f": sandboxes.ERROR, "2": sandboxes.ERROR, "3": sandboxes.ERROR, "w": sandboxes.ERROR, "n": sandboxes.ERROR,
                "p": sandboxes.ERROR, "o": sandboxes.ERROR, "5": sandboxes.ERROR, "i": sandboxes.ERROR, "j": sandboxes.ERROR, "v": sandboxes.ERROR}
    assert first[0][0] == expected.get(wish, sandboxes.RESULT), first
    assert head_only[-1][0] in (sandboxes.ERROR, sandboxes.END, sandboxes.RESULT)
    out, slow_out = both[0].ended()[0], both[1].ended()[0]
    assert out == slow_out and out.count(f"call {wish}\n") == 2


def test_a_worker_does_not_answer(both):
    assert alike(both, http_meta("/k"))[0][2] == b"of the parent"
    assert alike(both, http_meta("/e"))[0][0] == sandboxes.RESULT


def test_frames_however_they_come(both):
    for step in (1, 31, 32, 33, 700):
        (_, head, answer), = alike(both, http_meta("/e", {"a": "b" * 200}), b"e" * 500, step=step)
        assert head["status"] == 200 and b"body=500:" in answer
    for size in (60_000, 65_536, 70_000, 3_000_000):  # what fits the buffer, and what does not
        (_, _, answer), *_ = alike(both, http_meta("/e"), b"f" * size)
        assert answer == b""  # it failed, as the letter asks
    for headers in (1, 1023):
        assert alike(both, http_meta("/e", {f"n{i}": "v" for i in range(headers)}))[0][0] == sandboxes.RESULT


def test_what_is_no_utf_8_is_pythons_affair(both):
    """Half a surrogate pair: an error in both, and neither process is lost."""
    for bad in (r"\ud800", r"\udc00x", r"\ud800\u0041"):
        text = json.dumps(http_meta("/e")).replace('"rawQueryString": ""', f'"rawQueryString": "{bad}"')
        assert alike(both, text)[0][0] == sandboxes.ERROR
    assert alike(both, http_meta("/e"))[0][0] == sandboxes.RESULT


def test_a_cut_frame_ends_it(both):
    for one in both:
        one.sock.sendall(FRAME.pack(0xEBF1, 1, sandboxes.INVOKE, 100, 0, b"i" * 16) + b"{")
        one.sock.shutdown(socket.SHUT_WR)
        one.process.wait(sandboxes.DEADLINE)
    assert both[0].process.returncode == both[1].process.returncode == 0
