"""The walls of an instance that has become Node: the same as those of a Python instance, seen from JavaScript."""

import json
import shutil

import pytest

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")

PROBE = r'''
const fs = require("node:fs");
const net = require("node:net");
const { spawnSync } = require("node:child_process");

const tried = (body) => { try { return body() ?? "allowed"; } catch (error) { return error.code ?? String(error); } };
const status = (text) => Object.fromEntries(text.trim().split("\n").map((line) => line.split(/:\s*/, 2)));
const connect = (host, port) => new Promise((done) => {
  const socket = net.connect({ host, port }, () => { socket.destroy(); done("allowed"); });
  socket.on("error", (error) => done(error.code));
});

exports.probe = async (event) => ({
  status: status(fs.readFileSync("/proc/self/status", "utf8")),
  child: status(spawnSync("/bin/cat", ["/proc/self/status"], { encoding: "utf8" }).stdout),
  writes: Object.fromEntries(["/var/task/x", "/ebb/runtime/node/x", "/usr/x", "/etc/x", "/x", "/proc/sys/kernel/hostname"]
    .map((path) => [path, tried(() => fs.writeFileSync(path, "x"))])),
  tmp: tried(() => fs.writeFileSync("/tmp/x", "x")),
  daemon: await connect("127.0.0.1", event.port),
  interfaces: fs.readFileSync("/proc/net/dev", "utf8").split("\n").slice(2).map((line) => line.split(":")[0].trim()).filter(Boolean),
  processes: fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name)),
  root: fs.readdirSync("/"),
  sockets: fs.readdirSync("/proc/self/fd").filter((fd) => tried(() => fs.readlinkSync(`/proc/self/fd/${fd}`)).startsWith("socket:")),
  inChild: spawnSync("/bin/ls", ["/proc/self/fd"], { encoding: "utf8" }).stdout.split(/\s+/).filter(Boolean),
  rootAgain: tried(() => process.setuid(0)),
  debugger: Boolean(require("node:inspector").url()),
});
'''
PYTHON = '''
def probe(event, context):
    with open("/proc/self/status") as file:
        return {name: value.strip() for name, value in (line.split(":", 1) for line in file)}
'''
WALLS = ("Seccomp", "Seccomp_filters", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "Uid", "Gid", "Groups")


@pytest.fixture(scope="module")
def seen(node):
    node.deploy({"ebb.yaml": json.dumps({"app": "walls", "functions": {
        "js": {"runtime": "node", "handler": "probe.probe"}, "py": {"handler": "app.probe"}}}), "probe.js": PROBE, "app.py": PYTHON})
    port = int(node.url.rsplit(":", 1)[1])
    return (json.loads(node.cli("invoke", "walls/js", "--data", json.dumps({"port": port})).stdout),
            json.loads(node.cli("invoke", "walls/py", "--data", "{}").stdout))


def test_privileges_and_filters_are_those_of_a_python_instance(seen):
    js, py = seen
    assert js["status"]["Seccomp"] == "2" and js["status"]["NoNewPrivs"] == "1" and int(js["status"]["CapEff"], 16) == 0
    for name in WALLS:
        assert js["status"].get(name, "").split() == py.get(name, "").split(), name
        assert js["child"].get(name, "").split() == py.get(name, "").split(), f"{name} of a child"
    assert js["rootAgain"] in ("EPERM", "EINVAL") and js["debugger"] is False


def test_nothing_but_its_own_folders_can_be_written(seen):
    js, _ = seen
    assert js["tmp"] == "allowed"
    assert all(told in ("EROFS", "EACCES", "EPERM") for told in js["writes"].values()), js["writes"]


def test_it_sees_no_network_and_no_other_process(seen):
    js, _ = seen
    assert js["daemon"] == "ECONNREFUSED" and js["interfaces"] == ["lo"]
    assert js["processes"] == ["1"] and js["status"]["Pid"] == "1"
    assert not {"home", "root", "boot", "srv"} & set(js["root"])


def test_the_channel_is_its_only_socket_and_no_child_has_it(seen):
    js, _ = seen
    assert js["sockets"] == ["3"]
    assert js["inChild"] == ["0", "1", "2", "3"]  # the last is the folder that ls reads
