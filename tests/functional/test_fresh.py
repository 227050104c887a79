"""Instances that no zygote forks, on hosts that forbid user namespaces: the same functions, walls and ends, only slower."""

import concurrent.futures
import pathlib
import subprocess
import sys

import pytest

from ebb_node import BINARY, Node, eventually, parse_json, running

LIMITS = pathlib.Path(__file__).parent / "namespace_limits.py"

SOURCE = '''
import os, sys, time
loaded = time.monotonic_ns()

def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError as error:
        return type(error).__name__

def write(path):
    try:
        with open(path, "w") as file:
            file.write("x")
        return "written"
    except OSError as error:
        return type(error).__name__

def handler(event, context):
    what = event.get("do")
    if what == "exit":
        os._exit(3)
    if what == "memory":
        return len(bytearray(b"x" * (event["mb"] << 20)))
    if what == "hold":
        held = b"x" * (event["mb"] << 20)
        print("held", flush=True)
        time.sleep(event["seconds"])
        return len(held)
    if what == "sleep":
        time.sleep(event["seconds"])
    status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines())
    print("hello from", os.getpid())
    sys.stdout.flush()
    return {"loaded": loaded, "uid": os.getuid(), "env": os.environ.get("COLOUR"), "kernel": os.uname().release,
            "capabilities": status["CapEff"].strip(), "filter": status.get("Seccomp", "").strip(),
            "privileges": status.get("NoNewPrivs", "").strip(), "keys": read("/proc/keys"),
            "pids": len([name for name in os.listdir("/proc") if name.isdigit()]), "shadow": read("/etc/shadow"),
            "write": [write(path) for path in ("/usr/x", "/var/task/x", "/proc/sys/kernel/hostname", "/tmp/x", "/dev/shm/x")],
            "host": os.path.exists("/root") or os.path.exists("/home")}
'''


@pytest.fixture(scope="module", params=["none", "for root only"])
def limited_node(request, tmp_path_factory):
    """A node on a host that lets no user namespace be made at all, or none inside another."""
    wrapper = tmp_path_factory.mktemp("limited") / "ebb"
    most = 0 if request.param == "none" else 1
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} {LIMITS} {most} {BINARY} "$@"\n')
    wrapper.chmod(0o755)
    node = Node({"memory_budget": "600Mi", "max_spares": 0})  # every function would have one here, and what runs could grow less
    node.level = request.param
    node.serve_binary = wrapper
    with running(node):
        if most == 1:
            # What the node found out stays: room for one sandbox, none for one inside it. From now on there is room for many.
            subprocess.run(["nsenter", "-t", str(node.launcher_pid), "-U", "sh", "-c", "echo 1000 > /proc/sys/user/max_user_namespaces"], check=True)
        yield node


def answer(node, target):
    return node.cli_json("invoke", target, "--data", "{}")["body"]


def last(node, target="app/f"):
    return node.usage(target)[-1]


def test_a_function_is_deployed_called_and_has_its_walls(limited_node):
    limited_node.deploy_function(SOURCE, env={"COLOUR": "green"})
    seen = answer(limited_node, "app/f")
    assert seen["env"] == "green"
    assert seen["capabilities"] == "0" * 16
    assert seen["filter"] == "2" and seen["privileges"] == "1"
    assert seen["keys"] == "", "/proc is masked"
    assert seen["pids"] == 2, "itself and its init"
    assert seen["shadow"] == "FileNotFoundError" and not seen["host"]
    assert seen["write"][3:] == ["written", "written"]
    assert "written" not in seen["write"][:3]
    # Without a user namespace it is a user of the host, but nobody's.
    assert seen["uid"] == 1000 if limited_node.level != "none" else seen["uid"] >= 1_879_048_192 + 65_536
    assert limited_node.functions()["app/f"]["zygote"] == "unfit"
    assert last(limited_node)["rung"] == "boot"
    eventually(lambda: any("hello from" in line["text"] for line in limited_node.logs("app/f")), "the line it printed")


def test_an_instance_serves_again_and_two_share_nothing(limited_node):
    limited_node.deploy_function(SOURCE, name="again")
    first = answer(limited_node, "app/again")
    second = answer(limited_node, "app/again")
    assert first["loaded"] == second["loaded"], "init ran once for both calls"
    assert last(limited_node, "app/again")["rung"] == "idle"


def test_dependencies_and_builds_work_without_user_namespaces(limited_node):
    manifest = '{"app": "built", "build": "echo VALUE = 42 > /ebb/out/made.py", "functions": {"f": {"handler": "app.handler"}}}'
    limited_node.deploy({"ebb.yaml": manifest, "app.py": "import made\ndef handler(event, context):\n    return made.VALUE\n"})
    assert answer(limited_node, "built/f") == 42


def test_a_broken_init_fails_the_deployment(limited_node):
    done = limited_node.deploy_function("raise RuntimeError('no model here')\n", name="broken", expect=2)
    assert "no model here" in done.stdout + done.stderr


@pytest.mark.parametrize("end, reason", [("os._exit(4)", "exit status 4"), ("os.abort()", "signal 6"), ("bytearray(b'1') * (512 << 20)", "memory")])
def test_a_deployment_is_told_how_its_trial_ended(limited_node, end, reason):
    """As where there is a zygote: how the process ended, what it printed last, and that this is the function's fault."""
    source = f"import os\nprint('looking for the table', flush=True)\n{end}\ndef handler(event, context):\n    return 1\n"
    done = limited_node.deploy_function(source, name="ends-early", memory="64Mi", expect=2)
    error = parse_json(done.stdout)["error"]
    assert reason in error["message"] and "looking for the table" in error["detail"], error


def test_ends_are_told_as_they_were(limited_node):
    limited_node.deploy_function(SOURCE, name="ends", timeout="1s", memory="96Mi")
    limited_node.cli("invoke", "app/ends", "--data", '{"do": "exit"}', expect=7)
    assert last(limited_node, "app/ends")["outcome"] == "crashed"
    limited_node.cli("invoke", "app/ends", "--data", '{"do": "memory", "mb": 300}', expect=7)
    assert last(limited_node, "app/ends")["outcome"] == "out_of_memory"
    limited_node.cli("invoke", "app/ends", "--data", '{"do": "sleep", "seconds": 30}', expect=9)
    assert last(limited_node, "app/ends")["outcome"] == "timed_out"
    assert answer(limited_node, "app/ends")["pids"] == 2


def test_removal_leaves_no_process(limited_node):
    limited_node.deploy_function(SOURCE, app="gone")
    answer(limited_node, "gone/f")
    assert limited_node.pids_in("instances", "gone")
    limited_node.cli("rm", "gone", "--yes")
    eventually(lambda: not limited_node.pids_in("instances", "gone"), "the end of every process of the app")


def test_the_node_says_so_and_names_the_doctor(limited_node):
    log = limited_node.serve_log()
    assert "no zygotes" in log and "ebb doctor" in log
    assert limited_node.level in log


def test_without_memory_nothing_more_is_started(limited_node):
    limited_node.deploy_app(SOURCE + "hungry = other = handler\n", {"hungry": {"memory": "1Gi"}, "other": {"idle_timeout": "0s"}}, app="full")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(limited_node.cli_json, "invoke", "full/hungry", "--data", '{"do": "hold", "mb": 560, "seconds": 9}')
        eventually(lambda: "held" in limited_node.cli("logs", "full/hungry").stdout, "that its memory is taken")
        done = limited_node.cli("invoke", "full/other", "--data", "{}", expect=None)
        assert done.returncode != 0 and "memory_budget" in done.stderr + done.stdout
        assert call.result()["body"] == 560 << 20
    limited_node.cli("rm", "full", "--yes")
