"""`isolation: gvisor`: a kernel of its own in user space between function and host. Needs runsc, which is no part of Ebb."""

import os
import shutil

import pytest

from ebb_node import eventually
from test_fresh import SOURCE, answer, last

needs_runsc = pytest.mark.skipif(shutil.which("runsc") is None, reason="runsc is not installed (apt-get install runsc)")


@needs_runsc
def test_a_function_runs_on_another_kernel(node):
    node.deploy_function(SOURCE, isolation="gvisor", env={"COLOUR": "green"}, memory="256Mi")
    seen = answer(node, "app/f")
    assert seen["kernel"] != os.uname().release
    assert seen["env"] == "green" and seen["uid"] == 1000 and seen["capabilities"] == "0" * 16
    assert seen["pids"] == 1 and seen["shadow"] == "FileNotFoundError" and not seen["host"]
    assert seen["write"][3:] == ["written", "written"] and "written" not in seen["write"][:3]
    assert last(node)["rung"] == "boot"
    again = answer(node, "app/f")
    assert again["loaded"] == seen["loaded"]
    eventually(lambda: any("hello from" in line["text"] for line in node.logs("app/f")), "the line it printed")


@needs_runsc
def test_it_stands_beside_functions_with_zygotes(node):
    node.deploy_app("import os\ndef quick(event, context):\n    return os.uname().release\ndef safe(event, context):\n    return os.uname().release\n",
                    {"quick": {}, "safe": {"isolation": "gvisor"}}, app="both")
    assert answer(node, "both/quick") == os.uname().release
    assert answer(node, "both/safe") != os.uname().release
    assert node.functions()["both/quick"]["zygote"] == "ready"
    assert "gvisor" in node.functions()["both/safe"]["zygote_note"]


@needs_runsc
def test_ends_are_told_and_nothing_stays(node):
    node.deploy_function(SOURCE, app="ends", name="ends", isolation="gvisor", timeout="2s")
    node.cli("invoke", "ends/ends", "--data", '{"do": "exit"}', expect=7)
    assert last(node, "ends/ends")["outcome"] == "crashed"
    node.cli("invoke", "ends/ends", "--data", '{"do": "sleep", "seconds": 60}', expect=9)
    assert last(node, "ends/ends")["outcome"] == "timed_out"
    node.cli("rm", "ends/ends", "--yes")
    eventually(lambda: not node.pids_in("instances", "ends"), "the end of every process of it")


@needs_runsc
def test_a_broken_init_fails_the_deployment(node):
    done = node.deploy_function("raise RuntimeError('no model here')\n", name="broken", isolation="gvisor", expect=2)
    assert "no model here" in done.stdout + done.stderr


@pytest.mark.parametrize("fresh_node", [{"runsc": "/no/such/runsc"}], indirect=True)
def test_without_runsc_it_is_refused_with_the_remedy(fresh_node):
    done = fresh_node.deploy_function("def handler(event, context):\n    return 1\n", isolation="gvisor", expect=2)
    said = done.stdout + done.stderr
    assert "runsc" in said and "gvisor.dev" in said
