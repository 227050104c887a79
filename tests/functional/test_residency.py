"""What stays in memory though nobody calls: runtime zygotes, and what cannot be forked; and that it comes back when it is wanted."""

import contextlib
import os
import re
import signal

import pytest

from ebb_node import eventually, in_parallel, server_timing

SMALL = "import uuid\nprint('imported')\nme = uuid.uuid4().hex\ndef handler(event, context):\n    return me\n"


@pytest.mark.slow  # what is worth so little is held for a minute or two
@pytest.mark.parametrize("fresh_node", [{"keep_alive_price": 1}], indirect=True)
def test_with_a_price_nothing_at_all_is_left_between_calls(fresh_node):
    """Neither the function's zygote nor the runtime zygote beneath it; who calls then boots both, once for all. How long each is held grows with
    what its start took, so a slow machine waits long here."""
    node = fresh_node
    node.deploy_function(SMALL, scale={"max": 20})
    held = lambda: [node.pids_in(kind) for kind in ("instances", "zygotes", "sandboxes")]  # noqa: E731
    assert node.call("app/f").status_code == 200
    assert len(node.pids_in("sandboxes")) > 0
    eventually(lambda: not any(held()), "that all of it is let go", 400)
    eventually(lambda: node.metrics()['ebb_runtime_memory_bytes{app="app"}'] == 0, "that the metrics say so")
    imports = sum(line["text"] == "imported" for line in node.logs("app/f"))
    answers = in_parallel(20, lambda n: node.call("app/f"))
    assert {answer.status_code for answer in answers} == {200}, [answer.text for answer in answers][:2]
    assert "boot" in {server_timing(answer)["start"]["desc"] for answer in answers}
    assert len({answer.text for answer in answers}) == 1, "all are forks of one zygote"
    assert sum(line["text"] == "imported" for line in node.logs("app/f")) == imports + 1
    eventually(lambda: not any(held()), "and let go again", 400)


@pytest.mark.slow  # a version rests after a minute
def test_a_version_that_rests_keeps_one_control_group_ready(node):
    """Each costs the kernel memory, and there may be thousands of functions; one that starts instances has several."""
    node.deploy_function(SMALL, app="rests", idle_timeout="0s")
    groups = lambda: len({name for folder in node.cgroup_directories()  # noqa: E731
                          for name in [folder.partition("/app-rests/")[2]] if re.fullmatch(r"v[\d.]+/i\d+", name)})
    eventually(lambda: groups() == 1, "one before the first call")
    assert node.call("rests/f").status_code == 200
    eventually(lambda: groups() == 4 and not node.pids_in("instances", "rests"), "several for the next")
    eventually(lambda: groups() == 1, "one after a minute without a start", 90)
    assert node.call("rests/f").status_code == 200


MODEL = "MODEL = bytearray(220 << 20)\nMODEL[::4096] = b'x' * (len(MODEL) // 4096)\ndef handler(event, context):\n    return len(MODEL)\n"
APPS = 24


@pytest.mark.parametrize("fresh_node", [{"memory_budget": "500Mi"}], indirect=True)
def test_runtimes_of_idle_apps_give_way_to_a_function_that_is_called(fresh_node):
    """Each idle app holds a runtime zygote; together they leave no room for the model, and go as far as it needs."""
    node = fresh_node
    node.deploy_function(MODEL, app="model", memory="400Mi", idle_timeout="0s")  # from here on it is known what it needs
    for number in range(APPS):
        node.deploy_function(SMALL, app=f"app{number}", idle_timeout="0s")
    answer = node.call("model/f")
    assert answer.text == str(220 << 20), answer.text
    left = sum(bool(node.pids_in("sandboxes", f"app{number}")) for number in range(APPS))
    assert 0 < left < APPS, "some gave way, and no more than had to"
    for number in (0, APPS - 1):
        assert node.call(f"app{number}/f").status_code == 200, "those that went come back"


UNFIT = '''
import threading, time
MODEL = bytearray(60 << 20)
MODEL[::4096] = b"x" * (len(MODEL) // 4096)
threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
print("imported")
def handler(event, context):
    return len(MODEL)
'''


@pytest.mark.parametrize("fresh_node", [{"max_spares": 0}], indirect=True)
def test_what_cannot_be_forked_keeps_no_zygote(fresh_node):
    """It has shown that it cannot be forked: nothing is made of it, so it need not hold its memory."""
    node = fresh_node
    node.deploy_function(UNFIT, app="stiff", idle_timeout="0s")
    imports = lambda: sum(line["text"] == "imported" for line in node.logs("stiff/f"))  # noqa: E731
    assert node.functions("stiff")["stiff/f"]["zygote"] == "unfit"
    eventually(lambda: not node.pids_in("zygotes", "stiff"), "the end of the zygote")
    assert server_timing(node.call("stiff/f"))["start"]["desc"] == "runtime"
    assert imports() == 2, "once for the trial, once in the instance"
    runtimes = node.pids_in("sandboxes", "stiff")
    for pid in runtimes:
        with contextlib.suppress(ProcessLookupError):  # ended with its parent
            os.kill(pid, signal.SIGKILL)
    eventually(lambda: not runtimes & node.pids_in("sandboxes", "stiff"), "the end of the runtime zygote")
    assert eventually(lambda: (got := node.call("stiff/f")).status_code == 200 and got, "an answer").text == str(60 << 20)
    assert imports() == 3, "what is known of it is not tried again"
