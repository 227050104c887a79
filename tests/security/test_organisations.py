"""Organisations: a key of one sees and touches nothing of another. Real processes; asked by the command line and over HTTP."""

import json
import re

import pytest
import requests
from ebb_node import Node, eventually, running

SOURCE = "def handler(event, context):\n    print('a line of the log')\n    return {'who': '%s'}\n"


@pytest.fixture(scope="module")
def tenants(node):
    """Two organisations with an app each, `ours` and `theirs`; the key of an administrator of each, and files with them."""
    found = {}
    for name, app in (("acme", "ours"), ("globex", "theirs")):
        node.cli("org", "create", name)
        key = node.cli_json("key", "create", "--role", "admin", "--org", name)["key"]
        file = node.directory / f"{name}.key"
        file.touch(0o600)
        file.write_text(key)
        found[name] = {"key": key, "env": {"EBB_KEY_FILE": str(file)}}
        deploy(node, app, found[name]["env"])
        assert call(node, app, key).status_code == 200
    yield found
    for app in ("ours", "theirs"):
        node.cli("rm", app, "--yes")


def deploy(node, app, env, expect=0, options=()):
    folder = node.directory / f"package-{app}"
    folder.mkdir(exist_ok=True)
    (folder / "ebb.yaml").write_text(json.dumps({"app": app, "functions": {"f": {"handler": "app.handler", "auth": "key"}}}))
    (folder / "app.py").write_text(SOURCE % app)
    return node.cli("deploy", folder, *options, env=env, expect=expect)


def ask(node, method, path, key, **options):
    return requests.request(method, node.url + path, headers={"Authorization": f"Bearer {key}"}, timeout=60, **options)


def call(node, app, key):
    return ask(node, "GET", f"/fn/{app}/f", key)


def test_lists_hold_only_ones_own(node, tenants):
    acme, globex = tenants["acme"], tenants["globex"]
    assert call(node, "ours", globex["key"]).status_code == 403 and call(node, "theirs", acme["key"]).status_code == 403
    assert [one["app"] for one in node.cli_json("ls", env=acme["env"])["functions"]] == ["ours"]
    eventually(lambda: node.usage("ours") and node.usage("theirs"), "a record of each")
    records = node.cli_json("usage", env=acme["env"])
    assert {one["app"] for one in records["records"]} == {"ours"}
    assert records["totals"]["invocations"] == len(records["records"])
    exported = [json.loads(line)["app"] for line in node.cli("usage", "--export", env=acme["env"]).stdout.splitlines()]
    assert set(exported) == {"ours"}
    own = node.cli_json("bill", env=acme["env"])
    assert [one["app"] for one in own["apps"]] == ["ours"] and own["organisation"] == "acme"
    assert own["apps"] == node.cli_json("bill", "--org", "acme")["apps"]
    assert {"ours", "theirs"} <= {one["app"] for one in node.cli_json("bill")["apps"]}
    assert [one["name"] for one in node.cli_json("org", "ls", env=globex["env"])["organisations"]] == ["globex"]
    shown = node.cli_json("org", "show", "acme")
    assert shown["apps"] == ["ours"] and shown["reserved"] == []


@pytest.mark.parametrize("arguments", [("ls", "{}"), ("logs", "{}"), ("usage", "{}"), ("bill", "--app", "{}"), ("bill", "explain", "{}/f"),
                                       ("invoke", "{}/f"), ("rm", "{}", "--yes"), ("rm", "{}/f", "--yes"), ("secret", "ls", "{}")])
def test_anothers_app_is_as_if_it_were_not_there(node, tenants, arguments):
    env = tenants["acme"]["env"]
    theirs = node.cli(*(one.format("theirs") for one in arguments), expect=3, env=env)
    nobodys = node.cli(*(one.format("nobodys") for one in arguments), expect=3, env=env)
    said = [re.sub(r"\(request \w+\)", "", done.stderr) for done in (theirs, nobodys)]
    assert theirs.stdout == nobodys.stdout and said[0] == said[1].replace("nobodys", "theirs")
    assert call(node, "theirs", tenants["globex"]["key"]).json() == {"who": "theirs"}


def test_a_name_is_not_taken_over(node, tenants):
    before = node.functions()["theirs/f"]["version"]
    refused = deploy(node, "theirs", tenants["acme"]["env"], expect=5)
    assert "the name theirs is taken" in refused.stderr and "globex" not in refused.stderr
    assert node.functions()["theirs/f"]["version"] == before
    # A removed app's records stay with its organisation: so does the name.
    deploy(node, "brief", tenants["globex"]["env"])
    node.cli("rm", "brief", "--yes", env=tenants["globex"]["env"])
    deploy(node, "brief", tenants["acme"]["env"], expect=5)
    node.cli("org", "move", "brief", "acme")
    deploy(node, "brief", tenants["acme"]["env"])
    node.cli("rm", "brief", "--yes", env=tenants["acme"]["env"])


def test_what_is_the_nodes_is_refused(node, tenants):
    key = tenants["acme"]["key"]
    for method, path in (("PUT", "/api/v1/organisations/more"), ("DELETE", "/api/v1/organisations/globex"), ("PUT", "/api/v1/apps/ours/organisation"),
                         ("PUT", "/api/v1/apps/ours/quota"), ("PUT", "/api/v1/apps/ours/budget"), ("GET", "/api/v1/ledger"), ("GET", "/metrics")):
        assert ask(node, method, path, key, json={}).status_code == 403, path
    assert node.cli("key", "create", "--role", "read", "--org", "globex", expect=3, env=tenants["acme"]["env"]).stdout == ""
    assert node.cli("key", "create", "--role", "read", "--app", "theirs", expect=5, env=tenants["acme"]["env"]).stdout == ""


def test_a_moved_app_is_the_others_at_once(node, tenants):
    acme, globex = tenants["acme"], tenants["globex"]
    node.cli("org", "move", "ours", "globex")
    try:
        assert call(node, "ours", acme["key"]).status_code == 403
        assert call(node, "ours", globex["key"]).status_code == 200
        node.cli("logs", "ours", env=acme["env"], expect=3)
        node.cli("org", "rm", "globex", expect=5)
    finally:
        node.cli("org", "move", "ours", "acme")
    assert call(node, "ours", acme["key"]).status_code == 200


def test_they_outlive_the_node():
    with running(Node()) as node:
        node.cli("org", "create", "acme")
        key = node.cli_json("key", "create", "--role", "read", "--org", "acme")["key"]
        deploy(node, "ours", {}, options=("--org", "acme"))
        deploy(node, "plain", {})
        node.stop()
        node.start()
        assert [one["app"] for one in ask(node, "GET", "/api/v1/functions", key).json()["functions"]] == ["ours"]
        apps = {one["name"]: one["apps"] for one in node.cli_json("org", "ls")["organisations"]}
        assert apps == {"acme": ["ours"], "default": ["plain"]}
