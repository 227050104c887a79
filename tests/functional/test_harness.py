"""What the tests' own `Node` says of a node that ends: all that is left of it, and nothing of another one's."""

from ebb_node import Node, eventually, running

SOURCE = "def handler(event, context):\n    return 1\n"


def test_what_another_node_started_meanwhile_is_not_left_of_this_one():
    with running(Node()) as first, running(Node()) as second:
        for node in (second, first):
            node.deploy_app(SOURCE, {"handler": {"scale": {"min": 1}}})
            eventually(lambda: node.pids_in("instances"), "an instance of each")
        assert not second.pids() & first.pids()
        second.stop()
        assert first.call("app/handler").json() == 1
