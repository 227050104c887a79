"""Functions in C++ (`runtime: native`), built with the SDK and a real compiler: calls, results, failures, streams, zygote starts,
the walls of their instances, and what is said of libraries that do not load."""

import json
import shutil
import subprocess

import pytest

from ebb_node import ROOT, in_parallel

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler on this machine")

SOURCE = r'''
#include <ebb/function.h>
#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <thread>

namespace {
int calls = 0;
std::string weights;       // made by init, in the zygote
unsigned long long drawn;  // made by started, in each instance

struct StockError : std::runtime_error { using std::runtime_error::runtime_error; };

void init() {
  weights.assign(8 << 20, 'w');
  std::printf("init ran in %d\n", static_cast<int>(getpid()));
  if (std::getenv("FAIL_INIT") != nullptr) throw StockError("no weights");
}
void started() {
  std::random_device device;
  drawn = (static_cast<unsigned long long>(device()) << 32) | device();
}
void pause(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

std::string file(const char* path) {
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

ebb::Response stream(ebb::Context& context) {
  ebb::Stream out = context.stream(202, {{"content-type", "text/event-stream"}});
  for (int i = 0; i < 3 && out.write("data: " + std::to_string(i) + "\n\n"); ++i) pause(50);
  return out.end();
}

ebb::Response handler(const ebb::Event& event, ebb::Context& context) {
  const std::string wish(event.is_http() ? event.path().substr(1) : event.body());
  std::cout << "asked for " << wish << std::endl;
  if (wish == "count") return std::to_string(++calls);
  if (wish == "text") return "plain täxt";
  if (wish == "json") return ebb::Response::json("{\"n\":1}", 201);
  if (wish == "bytes") return ebb::Response::bytes(std::string("\0\xff\n", 3));
  if (wish == "many") return {200, {{"X-Many", "a"}, {"X-Many", "b"}, {"set-cookie", "a=1"}}, ""};
  if (wish == "query") return event.query("name", "nobody") + "|" + event.query("none", "other");
  if (wish == "echo") return ebb::Response::bytes(std::string(event.body()), std::string(event.header("content-type")));
  if (wish == "who") {
    std::string said(event.method());
    for (const std::string_view part : {context.app(), context.function(), context.version(), context.request_id()}) said += "|" + std::string(part);
    const char* stage = std::getenv("STAGE");
    return said + "|" + std::to_string(context.memory_bytes()) + "|" + (context.remaining().count() > 0 ? "left" : "late") + "|" + (stage != nullptr ? stage : "");
  }
  if (wish == "drawn") return std::to_string(drawn) + "|" + std::to_string(weights.size());
  if (wish == "status") return file("/proc/self/status");
  if (wish == "write") {
    std::string said;
    for (const char* path : {"/var/task/x", "/ebb/runtime/python/x", "/usr/x", "/etc/x", "/tmp/x"}) {
      std::FILE* out = std::fopen(path, "w");
      said += std::string(path) + (out != nullptr ? " written\n" : " refused\n");
      if (out != nullptr) std::fclose(out);
    }
    return said;
  }
  if (wish == "throws") throw StockError("no stock");
  if (wish == "named") throw ebb::Error("OutOfStock", "none left");
  if (wish == "int") throw 7;
  if (wish == "code") return {1000, {}, ""};
  if (wish == "header") return {200, {{"X-Bad", "a\r\nb: c"}}, ""};
  if (wish == "twice") { context.stream(); return "again"; }
  if (wish == "unbegun") { ebb::Response response; response.streamed = true; return response; }
  if (wish == "segv") { volatile int* nowhere = nullptr; *nowhere = 1; }
  if (wish == "abort") std::abort();
  if (wish == "exit") std::exit(3);
  if (wish == "spin") for (volatile int i = 0;; i = i + 1) {}
  if (wish == "heap") for (;;) std::memset(std::malloc(1 << 20), 1, 1 << 20);
  if (wish == "stream") return stream(context);
  if (wish == "silent") return context.stream().end();
  if (wish == "large") {
    ebb::Stream out = context.stream();
    const std::string piece(300'000, 'x');
    for (int i = 0; i < 100 && out.write(piece); ++i) {}
    return out.end();
  }
  if (wish == "breaks") { context.stream().write("whole line\n"); throw StockError("broke in the middle"); }
  if (wish == "thread") {
    bool told = true;
    ebb::Stream out = context.stream();
    std::thread other([&] { told = out.write("from another thread"); });
    other.join();
    return out.end();
  }
  return {404, {}, "no such wish"};
}
}  // namespace

EBB_FUNCTION_WITH(handler, init, started)
'''
BUILD = ["g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-static-libstdc++", "-static-libgcc",
         f"-I{ROOT / 'sdk/cpp/include'}"]


def built(folder, source, *flags):
    (folder / "f.cc").write_text(source)
    subprocess.run([*BUILD, *flags, "-o", str(folder / "f.so"), str(folder / "f.cc")], check=True, timeout=300)
    return folder / "f.so"


def deploy(node, folder, functions, app="cpp", expect=0):
    """Deploys a folder that holds f.so."""
    described = {name: {"runtime": "native", "handler": "./f.so", "memory": "96Mi", **keys} for name, keys in functions.items()}
    (folder / "ebb.yaml").write_text(json.dumps({"app": app, "functions": described}))
    return node.deploy(folder, expect=expect)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpp")
    built(folder, SOURCE)
    return folder


@pytest.fixture(scope="module")
def cpp(node, package):
    deploy(node, package, {"f": {"env": {"STAGE": "test"}, "timeout": "20s"}, "hasty": {"timeout": "1s"},
                           "brief": {"idle_timeout": "0s"}, "once": {"reuse": "never"}})
    return node


@pytest.mark.sanitized
def test_a_handler_sees_event_and_context(cpp):
    method, app, name, version, request, memory, left, stage = cpp.call("/fn/cpp/f/who", data=b"x").text.split("|")
    assert (method, app, name, memory, left, stage) == ("POST", "cpp", "f", str(96 << 20), "left", "test") and int(version) >= 1
    assert cpp.usage("cpp/f", request=request)[0]["state"] == "closed"
    assert cpp.call("/fn/cpp/f/query?x=&name=A%20d+%C3%A4").text == "A d ä|other"
    echo = cpp.call("/fn/cpp/f/echo", data=b"\0\xff" * 1_000_000, headers={"Content-Type": "image/png"})
    assert echo.content == b"\0\xff" * 1_000_000 and echo.headers["content-type"] == "image/png"


@pytest.mark.sanitized
def test_results_become_answers(cpp):
    text = cpp.call("/fn/cpp/f/text")
    assert text.text == "plain täxt" and text.headers["content-type"] == "text/plain; charset=utf-8"
    made = cpp.call("/fn/cpp/f/json")
    assert made.status_code == 201 and made.json() == {"n": 1} and made.headers["content-type"] == "application/json"
    assert cpp.call("/fn/cpp/f/bytes").content == b"\0\xff\n"
    many = cpp.call("/fn/cpp/f/many")
    assert many.headers["x-many"] == "a, b" and many.cookies.get_dict() == {"a": "1"} and many.content == b""
    assert cpp.cli("invoke", "cpp/f", "--data", "text", "--raw").stdout == "plain täxt"
    assert cpp.call("/fn/cpp/f/nonsense").status_code == 404


def test_each_answer_has_its_own_head(cpp):
    """Heads that stay the same are made once: whoever came between, each call is answered with its own."""
    wanted = {"text": (200, "text/plain; charset=utf-8"), "json": (201, "application/json"), "bytes": (200, "application/octet-stream"),
              "many": (200, None), "stream": (202, "text/event-stream"), "header": (502, "application/json")}
    for wish in ("text", "text", "json", "text", "header", "text", "stream", "text", "many", "bytes", "bytes", "json", "header", "json", "json"):
        for method in ("get", "head"):
            answer = cpp.session().request(method, f"{cpp.url}/fn/cpp/f/{wish}", timeout=20)
            assert (answer.status_code, answer.headers.get("content-type")) == wanted[wish], (wish, method)
            assert (answer.headers.get("x-many") == "a, b") == (wish == "many"), (wish, method)


@pytest.mark.sanitized
@pytest.mark.parametrize("wish, texts", [
    ("throws", ["StockError", "no stock"]), ("named", ["OutOfStock", "none left"]), ("int", ["unknown", "no std::exception"]),
    ("code", ["statusCode is 1000"]), ("header", ["'X-Bad' has a line break"]), ("twice", ["answered twice"]), ("unbegun", ["gave no answer"])])
def test_a_failure_is_told_and_the_instance_goes_on(cpp, wish, texts):
    before = int(cpp.call("/fn/cpp/f/count").text)
    answer = cpp.call(f"/fn/cpp/f/{wish}")
    assert answer.status_code == 502 and all(text in answer.text for text in texts), answer.text
    assert int(cpp.call("/fn/cpp/f/count").text) == before + 1, "another instance answered"


@pytest.mark.parametrize("wish", ["segv", "abort", "exit", "heap"])
def test_an_instance_that_ends_is_told_and_another_one_answers(cpp, wish):
    cpp.call("/fn/cpp/f/count")
    answer = cpp.call(f"/fn/cpp/f/{wish}", timeout=60)
    assert answer.status_code == 502, answer.text
    assert cpp.call("/fn/cpp/f/count").text == "1"


def test_a_timeout_ends_a_loop(cpp):
    answer = cpp.call("/fn/cpp/hasty/spin")
    assert answer.status_code == 504 and "within its timeout of 1s" in answer.text, answer.text
    assert cpp.call("/fn/cpp/hasty/text").text == "plain täxt"


@pytest.mark.sanitized
def test_streams_come_piece_by_piece(cpp):
    with cpp.session().get(cpp.url + "/fn/cpp/f/stream", stream=True, timeout=20) as answer:
        assert answer.status_code == 202 and answer.headers["content-type"] == "text/event-stream" and "content-length" not in answer.headers
        assert list(answer.iter_content(None)) == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]
    assert cpp.call("/fn/cpp/f/silent").content == b""
    assert cpp.call("/fn/cpp/f/large").content == b"x" * 30_000_000
    assert cpp.session().head(cpp.url + "/fn/cpp/f/stream", timeout=20).status_code == 202
    broken = cpp.raw(b"GET /fn/cpp/f/breaks HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"whole line" in broken and not broken.endswith(b"0\r\n\r\n")
    assert cpp.call("/fn/cpp/f/thread").content == b"", "another thread than the handler's may not write"


def test_instances_are_forks_that_differ(cpp):
    answer = cpp.call("/fn/cpp/brief/count")
    assert answer.text == "1" and 'desc="fork"' in answer.headers["server-timing"]
    assert [cpp.call("/fn/cpp/once/count").text for _ in range(3)] == ["1", "1", "1"]
    said = [cpp.call("/fn/cpp/once/drawn").text.split("|") for _ in range(4)]
    assert {size for _, size in said} == {str(8 << 20)} and len({number for number, _ in said}) == 4
    assert len({answer for answer in in_parallel(4, lambda _: cpp.call("/fn/cpp/f/stream").text)}) == 1


def test_its_walls_are_those_of_a_python_instance(cpp):
    cpp.deploy_function("def handler(event, context):\n    return open('/proc/self/status').read()\n", name="py", app="cppwalls")
    def fields(text):
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    native, python = fields(cpp.call("/fn/cpp/f/status").text), fields(cpp.call("cppwalls/py").text)
    assert native["Seccomp"] == "2" and native["NoNewPrivs"] == "1" and int(native["CapEff"], 16) == 0 and native["Pid"] == "1"
    for name in ("Seccomp", "Seccomp_filters", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Threads"):
        assert native.get(name) == python.get(name), name
    assert "0" not in native["Uid"].split()
    assert [line for line in cpp.call("/fn/cpp/f/write").text.splitlines() if "written" in line] == ["/tmp/x written"]


EMPTY = "#include <ebb/function.h>\nebb::Response handler(const ebb::Event&, ebb::Context&) { return 1 > 2 ? \"\" : \"x\"; }\n"


def test_what_does_not_load_is_not_deployed(node, tmp_path):
    def refused(text, app="broken", **keys):
        done = deploy(node, tmp_path, {"f": keys}, app=app, expect=None)
        assert done.returncode != 0 and text in done.stderr, done.stderr

    refused("has no file 'f.so'")
    (tmp_path / "f.so").write_text("#!/bin/sh\n")
    refused("is no ELF file")
    library = built(tmp_path, EMPTY)
    refused("has no EBB_FUNCTION")
    whole = library.read_bytes()
    library.write_bytes(whole[:18] + (183 if whole[18] != 183 else 62).to_bytes(2, "little") + whole[20:])
    refused("this node is")
    library.write_bytes(whole[: len(whole) // 3])
    refused("is cut short")
    built(tmp_path, EMPTY + "int absent();\nint use = absent();\nEBB_FUNCTION(handler)\n")
    refused("undefined symbol")
    built(tmp_path, EMPTY + "void init() { throw ebb::Error(\"NoWeights\", \"weights.bin is missing\"); }\nvoid nothing() {}\n"
          "EBB_FUNCTION_WITH(handler, init, nothing)\n")
    refused("weights.bin is missing")
    built(tmp_path, EMPTY + "struct Early { Early() { __builtin_trap(); } } early;\nEBB_FUNCTION(handler)\n")
    refused("ended by signal")
    for keys, text in (({"handler": ""}, "handler: is missing"), ({"handler": "../f.so"}, "write the path of a file"),
                       ({"command": "x"}, "native calls the handler"), ({"concurrency": 2}, "runs 1 invocation"), ({"interface": "event"}, "python3")):
        refused(text, **keys)


def test_the_example_is_built_by_cmake(node, tmp_path):
    if shutil.which("cmake") is None:
        pytest.skip("no cmake on this machine")
    def run(*arguments):
        subprocess.run(arguments, check=True, timeout=300, stdout=subprocess.DEVNULL)
    example = tmp_path / "hello-cpp"
    shutil.copytree(ROOT / "examples/hello-cpp", example, ignore=shutil.ignore_patterns("*.so"))
    run("cmake", "-S", str(ROOT / "sdk/cpp"), "-B", str(tmp_path / "sdk"))
    run("cmake", "--install", str(tmp_path / "sdk"), "--prefix", str(tmp_path / "installed"))
    run("cmake", "-S", str(example), "-B", str(tmp_path / "build"), f"-DCMAKE_PREFIX_PATH={tmp_path / 'installed'}", "-DCMAKE_BUILD_TYPE=Release")
    run("cmake", "--build", str(tmp_path / "build"))
    node.deploy(example)
    assert node.call("hello-cpp/hello?name=Ada").text == "hello, Ada\n"
    assert node.call("/fn/hello-cpp/hello/count").text == "1\n2\n3\n4\n5\n"
