"""What a function in JavaScript uses of Node is used once before it is loaded: only that, seen by none of its code, and nothing of it left open."""

import json
import shutil

import pytest

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")

# What Node has loaded before the function's own code runs, and what is open then.
SEES = '''
const { readdirSync, readlinkSync } = require('node:fs');
const has = (name) => process.moduleLoadList.includes('NativeModule ' + name);
const links = readdirSync('/proc/self/fd').map((fd) => { try { return readlinkSync('/proc/self/fd/' + fd); } catch { return ''; } });
const seen = {
  http: has('http'), fetch: has('internal/deps/undici/undici'),
  sockets: links.filter((link) => link.startsWith('socket:')).length, resources: process.getActiveResourcesInfo(),
};
'''
PLAIN = SEES + "exports.handler = async () => seen;\n"
SERVES = SEES + '''
const http = require('node:http');
exports.handler = async () => {
  const server = http.createServer((request, response) => response.end('mine'));
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address();
  const told = await new Promise((done) => http.get({ host: '127.0.0.1', port }, (answer) => answer.on('data', (data) => done(String(data)))));
  server.close();
  return { ...seen, told };
};
'''
FETCHES = SEES + "exports.handler = async () => ({ ...seen, told: await (await fetch('data:text/plain,mine')).text() });\n"
WATCHES = '''
const told = [];
for (const name of ['http.client.request.start', 'http.server.request.start', 'undici:request:create']) {
  require('node:diagnostics_channel').subscribe(name, () => told.push(name));
}
require('node:http');
exports.handler = async () => told;
'''
NEVER = "const http = require('node:http');\nexports.handler = () => new Promise(() => {});\n"


@pytest.fixture(scope="module")
def warmed(node):
    sources = {"plain": PLAIN, "serves": SERVES, "fetches": FETCHES, "watches": WATCHES, "options": SERVES, "never": NEVER}
    functions = {name: {"runtime": "node", "handler": f"{name}.handler", "memory": "256Mi", "reuse": "never"} for name in sources}
    functions["options"]["env"] = {"NODE_OPTIONS": "--no-warnings"}
    node.deploy({"ebb.yaml": json.dumps({"app": "warmed", "functions": functions}), **{f"{name}.js": text for name, text in sources.items()}})
    return node


def seen(node, name):
    """By two instances: with a spare, and right behind it."""
    told = [node.call(f"warmed/{name}").json() for _ in range(2)]
    assert told[0] == told[1]
    return told[0]


def test_who_uses_nothing_has_nothing_loaded(warmed):
    told = seen(warmed, "plain")
    assert not told["http"] and not told["fetch"]


@pytest.mark.parametrize("name, uses", [("serves", "http"), ("fetches", "fetch")])
def test_what_is_used_was_used_before(warmed, name, uses):
    plain, told = seen(warmed, "plain"), seen(warmed, name)
    assert told["told"] == "mine"
    assert told["http"] and told["fetch"] == (uses == "fetch")
    assert told["sockets"] == plain["sockets"]
    assert not {"TCPServerWrap", "TCPSocketWrap", "Timeout"} & set(told["resources"]), told["resources"]


def test_code_of_the_users_own_sees_nothing_of_it(warmed):
    assert seen(warmed, "watches") == []


def test_code_that_runs_before_it_by_options_of_nodes_keeps_it_away(warmed):
    assert not seen(warmed, "options")["http"]


def test_an_event_loop_that_has_nothing_to_do_is_seen_to_have_nothing(warmed):
    answer = warmed.call("warmed/never")
    assert answer.status_code == 502 and "NeverSettles" in answer.text, answer.text
