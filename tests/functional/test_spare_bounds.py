"""Spares on nodes of their own: how many there may be, who gives way to whom, and the end of a node that keeps some.

Apart from test_spares.py because a node is held to leave no process of this one's children behind: another node's new spare is one.
"""

import time

import pytest

from ebb_node import eventually, in_parallel
from test_spares import NODE, QUICK, SLOW, await_spare, deploy_node, needs_node, rung, spares


@needs_node
@pytest.mark.parametrize("fresh_node", [{"freeze_after": "100ms"}], indirect=True)
def test_one_that_was_frozen_serves_as_well(fresh_node):
    deploy_node(fresh_node, "js", "setInterval(() => { for (const end = Date.now() + 5; Date.now() < end;); }, 10);\n" + NODE, idle_timeout="0s")
    await_spare(fresh_node, "js")
    used = lambda: sum(int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11]) for pid in fresh_node.pids_in("instances", "js"))  # noqa: E731

    def still():
        before = used()
        time.sleep(0.3)
        return used() == before
    eventually(still, "that the spare stands still")
    answer = fresh_node.call("js/f")
    assert rung(answer) == "spare" and answer.json() == {"calls": 1}


@pytest.mark.parametrize("fresh_node", [{"keep_alive_price": 1}], indirect=True)
def test_with_a_price_it_is_held_as_long_as_it_is_worth_its_memory(fresh_node):
    """By a plan of its own, however long its zygote stays; calls bring it back."""
    node = fresh_node
    node.deploy_function("held = bytearray(60 << 20)\nheld[::4096] = b'x' * (len(held) // 4096)\n" + SLOW)
    for _ in range(2):
        await_spare(node)
        eventually(lambda: spares(node) == 0 and not node.pids_in("instances"), "that the spare is let go", 60)
        assert rung(node.call("app/f")) in ("runtime", "boot")


@pytest.mark.parametrize("fresh_node", [{"max_instances": 2}], indirect=True)
def test_a_full_node_gives_a_spare_for_a_call(fresh_node):
    node = fresh_node
    for app in ("a", "b"):
        node.deploy_function(SLOW, app=app)
        await_spare(node, app)
    node.deploy_function(QUICK, app="quick", idle_timeout="0s")
    assert node.call("quick/f").text == "quick"
    assert spares(node, "a") + spares(node, "b") == 1


@pytest.mark.parametrize("fresh_node", [{"max_spares": 1}, {"max_spares": 0}], indirect=True)
def test_a_node_keeps_no_more_than_it_may(fresh_node):
    node, most = fresh_node, fresh_node.config["max_spares"]
    for app in ("a", "b"):
        node.deploy_function(SLOW, app=app)
    for _ in range(2):
        assert [node.call(f"{app}/f").status_code for app in ("a", "b")] == [200, 200]
        eventually(lambda: spares(node, "a") + spares(node, "b") == most, "as many as it may keep")


def test_a_spare_takes_nothing_of_a_quota_of_memory(fresh_node):
    node, keys = fresh_node, {"memory": "128Mi", "idle_timeout": "0s"}
    node.deploy_app(SLOW + "\nother = handler\n", {"f": {**keys, "handler": "app.handler"}, "g": {**keys, "handler": "app.other"}}, app="bound")
    for function in ("f", "g"):
        await_spare(node, "bound", function)
    node.cli("quota", "set", "bound", "--memory", "128Mi")
    used = lambda: node.cli_json("quota", "ls")["quotas"][0]["memory_now"]  # noqa: E731
    for function in ("f", "g"):
        eventually(lambda: used() == "0", "that nobody uses of the quota")  # the node hears later than the kernel that an instance ended
        assert rung(node.call(f"bound/{function}")) != "spare"
    node.deploy_function(SLOW, app="other")
    await_spare(node, "other")
    others = node.pids_in("instances", "other")
    answers = []
    in_parallel(2, lambda n: answers.append(node.call(["bound/f/2", "bound/g/2"][n]).status_code))
    assert sorted(answers) == [200, 429]
    assert node.pids_in("instances", "other") == others, "another app's spare went for nothing"
    node.cli("quota", "rm", "bound")
    await_spare(node, "bound")


@needs_node
@pytest.mark.parametrize("fresh_node", [{"memory_budget": "1000Mi"}], indirect=True)
def test_it_is_the_first_to_give_way_when_memory_is_short(fresh_node):
    """900 MiB can be given away: the spare's 200 and the 700 at work leave no room for the other function's zygote."""
    node = fresh_node
    deploy_node(node, "js", "const held = Buffer.alloc(160 << 20, 1);\n" + NODE.replace("++calls", "held.length"))
    await_spare(node, "js")
    hungry = '''
import time
def handler(event, context):
    block = bytearray(700 << 20)
    block[::4096] = b"x" * (len(block) // 4096)
    print("held", flush=True)
    time.sleep(6)
    return len(block)
'''
    node.deploy_function(hungry, app="hungry", memory="900Mi", idle_timeout="0s")
    node.deploy_function(QUICK, app="quick", idle_timeout="0s")
    at_work = []
    in_parallel(2, lambda n: at_work.append(node.call("hungry/f")) if n == 0 else eat(node))
    assert at_work[0].text == str(700 << 20)
    assert node.functions("js")["js/f"]["zygote"] == "ready"


def eat(node):
    eventually(lambda: any("held" in line["text"] for line in node.logs("hungry/f")), "that its memory is taken", 20)
    answer = node.call("quick/f")
    assert answer.status_code == 200, answer.text
    assert spares(node, "js") == 0


def test_spares_end_with_the_node(fresh_node):
    fresh_node.deploy_function(SLOW)
    await_spare(fresh_node)
    fresh_node.stop()  # which asserts that nothing is left
