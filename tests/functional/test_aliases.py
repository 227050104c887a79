"""Versions, aliases and rollback against a real node: who serves a call, what a record and a bill say of it, what is kept, and that
no call fails while names move."""

import concurrent.futures
import json
import math
import sqlite3
import subprocess
import sys
import threading
import time

import pytest
import requests
from ebb_node import ROOT, eventually, in_parallel

SOURCE = "import time\n\ndef handler(event, context):\n    time.sleep(%s)\n    return {'serves': %d}\n"


def deploy(node, number, app="app", sleep=0, **spec):
    node.deploy_function(SOURCE % (sleep, number), app=app, **spec)


def serves(node, target="app/f"):
    """The number that the code of the version that answers has, by its own word and by its header."""
    answer = node.call(target)
    assert answer.status_code == 200, answer.text
    return answer.json()["serves"], int(answer.headers["X-Ebb-Version"])


def alias(node, name, app="app"):
    return next((one for one in node.cli_json("alias", "ls", app)["aliases"] if one["name"] == name), None)


@pytest.fixture(scope="module")
def three(node):
    """app/f in three versions, of which the third is the current one."""
    for number in (1, 2, 3):
        deploy(node, number)
    return node


def test_an_alias_is_set_called_moved_and_removed(three):
    node = three
    shown = node.cli("alias", "set", "app/f", "live", "1").stdout
    assert "app/f:live is version 1" in shown and "/fn/app/f:live/" in shown
    assert serves(node, "app/f:live") == (1, 1) and serves(node, "app/f:live/deeper?x=1") == (1, 1) and serves(node) == (3, 3)
    assert json.loads(node.cli("invoke", "app/f:live").stdout) == {"serves": 1}
    assert node.call("/api/v1/apps/app/functions/f/invocations?version=live", data="{}").json() == {"serves": 1}
    assert serves(node, "app/f:current") == (3, 3) and serves(node, "app/f:2") == (2, 2)
    node.cli("alias", "set", "app/f", "live", "2")
    assert serves(node, "app/f:live") == (2, 2)
    assert alias(node, "live")["version"] == 2 and alias(node, "live")["weight"] is None
    table = node.cli("versions", "app/f").stdout.splitlines()
    assert [line.split()[0] for line in table[1:4]] == ["3", "2", "1"] and "yes" in table[1] and "live" in table[2]
    listed = node.cli_json("versions", "app/f")["versions"]
    assert [(one["version"], one["current"], one["aliases"]) for one in listed] == [
        (3, True, []), (2, False, [{"name": "live", "percent": 100}]), (1, False, [])]
    assert all(one["bytes"] > 0 and one["created"] for one in listed)
    node.cli("alias", "rm", "app/f", "live")
    assert node.call("app/f:live").status_code == 404 and alias(node, "live") is None
    node.cli("alias", "rm", "app/f", "live", expect=3)


def test_what_is_wrong_is_refused_with_the_remedy(three):
    node = three
    node.cli("alias", "set", "app/f", "live", "1")
    missed = node.call("app/f:liev")
    assert missed.status_code == 404 and "did you mean live?" in missed.json()["error"]["message"]
    assert "ebb alias ls app/f" in node.call("app/f:something-else").json()["error"]["message"]
    assert node.call("app/f:Live").status_code == 404 and node.call("app/f:0").status_code == 404
    for words, code, said in ((("alias", "set", "app/f", "live", "9"), 3, "no version 9"), (("alias", "set", "app/none", "live", "1"), 3, "app/none"),
                              (("alias", "set", "app/f", "7", "1"), 2, "a number is a version"), (("alias", "set", "app/f", "current", "1"), 2, "ebb rollback"),
                              (("alias", "set", "app/f", "live", "one"), 2, "no version number"), (("alias", "set", "app", "live", "1"), 2, "name APP/FUNCTION"),
                              (("alias", "set", "app/f", "live", "1", "--weight", "1=10"), 2, "twice"),
                              (("alias", "set", "app/f", "live", "1", "--weight", "2=100"), 2, "1 to 99"),
                              (("rm", "app/f:1", "--yes"), 5, "alias live stands for app/f:1"), (("rm", "app/f:3", "--yes"), 5, "current version"),
                              (("rollback", "app/f", "9"), 3, "no version 9"), (("versions", "app/none"), 3, "app/none"), (("alias", "ls", "none"), 3, "none")):
        refused = node.cli(*words, expect=code)
        assert said in refused.stderr, refused.stderr
    path = "/api/v1/apps/app/functions/f/aliases/"
    for name, body in (("x", {}), ("x", {"version": 1}), ("x", {"version": "1", "more": "x"}), ("X", {"version": "1"}), ("5", {"version": "1"})):
        assert node.call(path + name, method="PUT", json=body).status_code == 400, (name, body)
    assert alias(node, "live")["version"] == 1 and len(node.cli_json("alias", "ls", "app/f")["aliases"]) == 1
    node.cli("alias", "rm", "app/f", "live")


CALLS, PERCENT = 4000, 10
# Bernstein's inequality: further from the mean than t with a probability of at most 2 exp(-t^2 / (2 (variance + t / 3))).
DEVIATION = math.sqrt(CALLS * PERCENT / 100 * (1 - PERCENT / 100))
BOUND = 7.1 * DEVIATION
assert 2 * math.exp(-(BOUND ** 2) / (2 * (DEVIATION ** 2 + BOUND / 3))) < 1e-9


def test_weights_share_the_calls(three):
    node = three
    node.cli("alias", "set", "app/f", "gray", "1", "--weight", f"2={PERCENT}")
    assert alias(node, "gray")["weight"] == {"version": 2, "percent": PERCENT}
    assert "1 (90 %), 2 (10 %)" in node.cli("alias", "ls", "app/f").stdout
    served = sum(in_parallel(8, lambda _: [serves(node, "app/f:gray") for _ in range(CALLS // 8)]), [])
    assert all(said == header for said, header in served)
    second = sum(said == 2 for said, _ in served)
    assert {said for said, _ in served} == {1, 2}
    assert abs(second - CALLS * PERCENT / 100) <= BOUND, f"{second} of {CALLS}"
    node.cli("rm", "app/f:2", "--yes", expect=5)
    node.cli("alias", "rm", "app/f", "gray")


def test_records_and_bills_say_by_which_alias(three, tmp_path):
    node = three
    node.cli("alias", "set", "app/f", "billed", "1", "--weight", "2=50")
    before = {line["label"]: line["invocations"] for app in node.cli_json("bill", "--by", "alias")["apps"] for line in app["lines"]}
    ids = [node.call("app/f:billed").headers["X-Ebb-Request-Id"] for _ in range(40)]
    plain = node.call("app/f").headers["X-Ebb-Request-Id"]
    eventually(lambda: all(one["state"] == "closed" for one in node.usage("app/f", limit=100)), "all records closed")
    records = {one["request_id"]: one for one in node.exported() if one["trigger"] != "held"}
    assert {records[one]["alias"] for one in ids} == {"billed"} and {records[one]["version"] for one in ids} == {1, 2}
    assert records[plain]["alias"] == "" and records[plain]["version"] == 3 and records[plain]["attempt"] == 1
    lines = {line["label"]: line for line in node.cli_json("bill", "--by", "alias")["apps"][0]["lines"]}
    assert lines["f:billed"]["invocations"] == 40 and lines["f"]["invocations"] == before.get("f", 0) + 1
    assert any(line.split()[3:5] in (["1", "billed"], ["2", "billed"]) for line in node.cli("usage", "app/f").stdout.splitlines())
    export, bill = tmp_path / "records.jsonl", tmp_path / "bill.json"
    export.write_text(node.cli("usage", "--export").stdout)
    bill.write_text(node.cli("bill", "--by", "alias", "--json").stdout)
    done = subprocess.run([sys.executable, "-I", ROOT / "tools/recompute_bill.py", export, bill], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    node.cli("alias", "rm", "app/f", "billed")
    assert {one["alias"] for one in node.exported() if one.get("request_id") in ids} == {"billed"}, "the record outlives the alias"


def test_rollback_goes_back_step_by_step_and_forward_by_number(fresh_node):
    node = fresh_node
    for number in (1, 2, 3):
        deploy(node, number)
    assert "version 2 of app/f is the current one" in node.cli("rollback", "app/f").stdout
    assert serves(node) == (2, 2) and serves(node, "app/f:3") == (3, 3)
    assert node.cli_json("rollback", "app/f")["version"] == 1 and serves(node) == (1, 1)
    assert "no version before" in node.cli("rollback", "app/f", expect=3).stderr
    node.cli("rollback", "app/f", "3")
    node.cli("rollback", "app/f", "3")  # it is already
    assert serves(node) == (3, 3)
    # What `ebb tune` makes was never current: one goes past it.
    made = node.call("/api/v1/apps/app/functions/f/versions", method="POST", json={"memory": "96Mi"}).json()["version"]
    deploy(node, 5)
    assert made == 4 and node.cli_json("rollback", "app/f")["version"] == 3
    deploy(node, 5)
    assert serves(node) == (5, 6), "the next deployment has the next number"
    node.cli("rollback", "app/f", "1")
    node.stop()
    node.start()
    assert serves(node) == (1, 1) and node.functions()["app/f"]["version"] == 1


def test_no_call_fails_while_versions_and_aliases_move(fresh_node):
    node = fresh_node
    for number in (1, 2):
        deploy(node, number, sleep=0.01, scale={"max": 4})
    node.cli("alias", "set", "app/f", "live", "1")
    over = threading.Event()
    seen = {"app/f": set(), "app/f:live": set()}
    wrong = []

    def call_on(target):
        while not over.is_set():
            try:
                seen[target].add(serves(node, target))
            except Exception as error:  # any kind is a failed call
                wrong.append(f"{target}: {error!r}")
                return

    callers = [threading.Thread(target=call_on, args=(target,)) for target in seen for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        for round_number in range(6):
            node.cli("rollback", "app/f", 1 + round_number % 2)
            node.cli("alias", "set", "app/f", "live", 2 - round_number % 2)
            node.cli("alias", "set", "app/f", "live", 1, "--weight", "2=50")
        deploy(node, 3, sleep=0.01, scale={"max": 4})
        node.cli("rollback", "app/f")
        time.sleep(0.3)
    finally:
        over.set()
        for caller in callers:
            caller.join()
    assert not wrong, wrong[:3]
    assert {(1, 1), (2, 2)} <= seen["app/f"] <= {(1, 1), (2, 2), (3, 3)} and seen["app/f:live"] == {(1, 1), (2, 2)}
    assert serves(node) == (2, 2)


def test_a_call_under_way_finishes_on_its_version(fresh_node):
    node = fresh_node
    deploy(node, 1)
    deploy(node, 2, sleep=1.5)
    answers = []
    caller = threading.Thread(target=lambda: answers.append(serves(node)))
    caller.start()
    eventually(lambda: node.functions()["app/f"]["instances"]["busy"] == 1, "the call")
    node.cli("rollback", "app/f")
    assert serves(node) == (1, 1) and not answers, "the slow one is still at work"
    caller.join()
    assert answers == [(2, 2)]


def test_what_does_not_start_gets_no_name(fresh_node):
    node = fresh_node
    deadline = str(time.time() + 3600)
    broken = "import os, time\nif time.time() > float(open('/var/task/deadline').read()):\n    raise RuntimeError('too late')\n\ndef handler(event, context):\n    return {'serves': 1}\n"
    manifest = json.dumps({"app": "app", "functions": {"f": {"handler": "app.handler"}}})
    node.deploy({"ebb.yaml": manifest, "app.py": broken, "deadline": deadline})
    deploy(node, 2)
    node.stop()
    # The version is as it was; what it finds is not: as a database that has gone.
    for path in (node.data / "packages").glob("*/deadline"):
        path.chmod(0o644)
        path.write_text("0")
    node.start()
    for words in (("rollback", "app/f", "1"), ("alias", "set", "app/f", "live", "1"), ("alias", "set", "app/f", "live", "2", "--weight", "1=1")):
        for _ in range(2):
            refused = node.cli(*words, expect=5)
            assert "app/f:1 does not start" in refused.stderr and "too late" in refused.stderr, refused.stderr
    assert serves(node) == (2, 2) and not node.cli_json("alias", "ls")["aliases"]


def test_a_change_that_fails_takes_no_version_that_was_there(fresh_node):
    """A secret's new value is a deployment: of the functions that use it. It leaves the others as they are."""
    node = fresh_node
    source = "import os, time\nif os.environ.get('TOKEN') == 'bad':\n    time.sleep(5)\n    raise ValueError('bad')\n\n" \
             "def f(event, context):\n    return {'serves': int(os.environ['N'])}\n\ng = f\n"
    node.cli("secret", "set", "app", "token", stdin=b"good")
    for number in (1, 2):
        node.deploy_app(source, {"f": {"env": {"N": str(number)}}, "g": {"secrets": {"TOKEN": "token"}}})
    failed = []
    failing = threading.Thread(target=lambda: failed.append(node.cli("secret", "set", "app", "token", stdin=b"bad", expect=None)))
    failing.start()
    time.sleep(1)  # it has found that version 2 of f stays as it is, and waits for g
    node.cli("rollback", "app/f")
    assert failing.is_alive()
    failing.join()
    assert failed[0].returncode != 0 and "bad" in failed[0].stderr
    assert serves(node) == (1, 1)
    assert [one["version"] for one in node.cli_json("versions", "app/f")["versions"]] == [2, 1]


def test_aliases_outlive_a_killed_daemon_and_keep_their_versions_loaded(fresh_node):
    node = fresh_node
    deploy(node, 1, scale={"min": 1, "max": 2}, idle_timeout="500ms")
    deploy(node, 2, idle_timeout="500ms")
    deploy(node, 3, idle_timeout="500ms")
    node.cli("alias", "set", "app/f", "live", "1", "--weight", "2=50")
    before = alias(node, "live")

    def loaded():
        """Of which versions there is a process of user code in memory."""
        return {group.split("/")[1] for group in node.groups().values() if group.startswith("app-app/v") and "/z" in group}

    eventually(lambda: len(loaded()) == 3, "a zygote of each")
    eventually(lambda: node.pids_in("instances"), "the instance that version 1 keeps ready")
    node.kill_daemon()
    eventually(node.is_ready, "another daemon", seconds=30)
    assert alias(node, "live") == before
    eventually(lambda: len(loaded()) == 3 and node.pids_in("instances"), "that all three are loaded again, before any call", seconds=30)
    assert {serves(node, "app/f:live") for _ in range(40)} == {(1, 1), (2, 2)}
    time.sleep(2)  # four times what an instance may idle
    assert node.pids_in("instances"), "version 1 keeps its own"
    node.cli("alias", "set", "app/f", "live", "2")
    eventually(lambda: not node.pids_in("instances"), "the end of what nobody calls by a name")
    node.stop()
    node.start()
    assert serves(node, "app/f:live") == (2, 2)


def test_names_go_with_their_function_and_app(fresh_node):
    node = fresh_node
    source = "def f(event, context):\n    return 1\n\ndef g(event, context):\n    return 2\n"
    node.deploy_app(source, {"f": {}, "g": {}})
    node.cli("alias", "set", "app/f", "live", "1")
    node.cli("alias", "set", "app/g", "live", "1")
    node.deploy_app(source, {"f": {}})  # without g
    assert [one["function"] for one in node.cli_json("alias", "ls")["aliases"]] == ["f"]
    node.deploy_app(source, {"f": {}, "g": {}})
    assert node.call("app/g:live").status_code == 404, "a function that comes back has no names"
    node.cli("rm", "app/f", "--yes")
    node.deploy_app(source, {"f": {}, "g": {}})
    assert node.call("app/f:live").status_code == 404 and node.cli_json("alias", "ls")["aliases"] == []
    node.cli("alias", "set", "app/g", "live", "2")
    node.cli("rm", "app", "--yes")
    node.cli("alias", "ls", "app", expect=3)
    node.stop()
    node.start()
    assert node.cli_json("alias", "ls")["aliases"] == []


KEPT = 100


def test_old_versions_go_and_what_only_they_needed(fresh_node):
    """Of a function there stay its current version, those of aliases, and the newest hundred."""
    node = fresh_node
    deploy(node, 1)
    deploy(node, 2)
    first, second = (one["package"] for one in reversed(node.cli_json("versions", "app/f")["versions"]))
    node.cli("alias", "set", "app/f", "old", "1")
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {node.key}"
    for _ in range(KEPT):  # of the package of version 2, as `ebb tune` makes them
        assert session.post(node.url + "/api/v1/apps/app/functions/f/versions", json={"memory": "96Mi"}, timeout=60).status_code == 201
    node.deploy_function("def handler(event, context):\n    return {'serves': 3}\n", memory="64Mi")
    numbers = [one["version"] for one in node.cli_json("versions", "app/f")["versions"]]
    assert numbers == list(range(KEPT + 3, 2, -1)) + [1], "version 2 was the oldest without a name"
    assert node.call("app/f:2").status_code == 404 and serves(node, "app/f:old") == (1, 1)
    packages = {path.name for path in (node.data / "packages").iterdir()}
    assert first in packages and second in packages, "others are of the same package"
    node.cli("alias", "rm", "app/f", "old")
    node.deploy_function("def handler(event, context):\n    return {'serves': 4}\n")
    eventually(lambda: first not in {path.name for path in (node.data / "packages").iterdir()}, "the end of version 1's package")
    assert node.call("app/f:1").status_code == 404 and serves(node) == (4, KEPT + 4)


def test_a_secret_stays_while_an_alias_stands_for_a_version_that_uses_it(fresh_node):
    node = fresh_node
    source = "import os\ndef f(event, context):\n    return os.environ.get('TOKEN')\n"
    node.cli("secret", "set", "app", "token", stdin=b"good")
    node.deploy_app(source, {"f": {"secrets": {"TOKEN": "token"}}})
    node.cli("alias", "set", "app/f", "live", "1")
    node.deploy_app(source, {"f": {}})
    refused = node.cli("secret", "rm", "app", "token", expect=5)
    assert "version 1 of f, which alias live stands for" in refused.stderr
    assert node.call("app/f:live").text == "good"
    node.cli("alias", "rm", "app/f", "live")
    node.cli("secret", "rm", "app", "token")


def test_a_new_secret_reaches_what_an_alias_stands_for(fresh_node):
    node = fresh_node
    node.cli("secret", "set", "app", "word", stdin=b"one")
    source = "import os\n\ndef handler(event, context):\n    return {'serves': os.environ['WORD'] + '%d'}\n"
    for number in (1, 2):
        node.deploy_function(source % number, secrets={"WORD": "word"})
    node.cli("alias", "set", "app/f", "live", "1")
    assert node.call("app/f:live").json() == {"serves": "one1"}
    node.cli("secret", "set", "app", "word", stdin=b"two")
    assert node.call("app/f:live").json() == {"serves": "two1"} and node.call("app/f").json() == {"serves": "two2"}
    node.cli("rollback", "app/f", "1")
    assert node.call("app/f").json() == {"serves": "two1"}


def test_a_new_secret_is_tried_with_what_aliases_stand_for(fresh_node):
    """A value that the current version starts with and an aliased one does not is not taken."""
    node = fresh_node
    node.cli("secret", "set", "app", "word", stdin=b"one")
    source = "import os\nif os.environ['WORD'] == 'bad' and %d == 1:\n    raise ValueError('not this word')\n\n" \
             "def handler(event, context):\n    return {'serves': os.environ['WORD'] + '%d'}\n"
    for number in (1, 2, 3):
        node.deploy_function(source % (number, number), secrets={"WORD": "word"})
    for name, words in (("live", ("1",)), ("gray", ("2", "--weight", "1=50"))):
        node.cli("alias", "set", "app/f", name, *words)
        refused = node.cli("secret", "set", "app", "word", stdin=b"bad", expect=None)
        assert refused.returncode != 0 and f"version 1 of f, which alias {name} stands for" in refused.stderr and "not this word" in refused.stderr, refused.stderr
        assert node.call("app/f").json() == {"serves": "one3"} and [one["version"] for one in node.cli_json("versions", "app/f")["versions"]] == [3, 2, 1]
        node.cli("alias", "rm", "app/f", name)
    node.cli("alias", "set", "app/f", "live", "2")
    node.cli("secret", "set", "app", "word", stdin=b"bad")  # nobody calls version 1 but by its number
    assert node.call("app/f").json() == {"serves": "bad3"} and node.call("app/f:live").json() == {"serves": "bad2"}
    assert node.call("app/f:1").status_code >= 500


def test_a_secret_that_only_an_alias_uses_is_tried(fresh_node):
    node = fresh_node
    node.cli("secret", "set", "app", "word", stdin=b"one")
    node.deploy_function("import os\nassert os.environ['WORD'] != 'bad'\n\ndef handler(event, context):\n    return os.environ['WORD']\n",
                         secrets={"WORD": "word"})
    node.cli("alias", "set", "app/f", "live", "1")
    node.deploy_function("def handler(event, context):\n    return 'none'\n")
    node.stop()
    node.start()
    refused = node.cli("secret", "set", "app", "word", stdin=b"bad", expect=None)
    assert refused.returncode != 0 and "which alias live stands for" in refused.stderr, refused.stderr
    assert node.call("app/f:live").text == "one"
    node.cli("secret", "set", "app", "word", stdin=b"two")
    assert node.call("app/f:live").text == "two" and node.call("app/f").text == "none"


def test_a_secret_that_changes_while_a_deployment_tries_the_value_before(fresh_node):
    """Nothing serves with the value that is no longer stored: the deployment says so, and the next one has the new value."""
    node = fresh_node
    node.cli("secret", "set", "app", "word", stdin=b"one")
    source = "import os, time\ntime.sleep(%d)\n\ndef handler(event, context):\n    return os.environ['WORD']\n"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(node.deploy_function, source % 4, secrets={"WORD": "word"}, expect=None)
        eventually(lambda: node.pids_in("zygotes"), "that it is tried")
        node.cli("secret", "set", "app", "word", stdin=b"two")
        refused = deploying.result()
    assert refused.returncode == 5 and "a secret of function f got another value" in refused.stderr, refused.stderr
    node.deploy_function(source % 0, secrets={"WORD": "word"})
    assert node.call("app/f").text == "two"


def test_a_secret_that_goes_while_a_first_deployment_tries_it(fresh_node):
    node = fresh_node
    node.cli("secret", "set", "app", "word", stdin=b"one")
    source = "import os, time\ntime.sleep(4)\n\ndef handler(event, context):\n    return os.environ['WORD']\n"
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(node.deploy_function, source, secrets={"WORD": "word"}, expect=None)
        eventually(lambda: node.pids_in("zygotes"), "that it is tried")
        node.cli("secret", "rm", "app", "word")
        refused = deploying.result()
    assert refused.returncode == 5 and "a secret of function f was removed while it was tried" in refused.stderr, refused.stderr


def test_data_of_an_earlier_schema_goes_on(fresh_node):
    """Metadata as the version before aliases left it: its versions stay, and can be rolled back to and named."""
    node = fresh_node
    for number in (1, 2):
        deploy(node, number)
    node.stop()
    path = node.data / "metadata.db"
    owner = path.stat()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute("DROP TABLE aliases")
        database.execute("ALTER TABLE versions DROP COLUMN current_ns")
        database.execute("ALTER TABLE apps DROP COLUMN reserve")
        database.execute("ALTER TABLE apps DROP COLUMN max_instances")
        database.execute("DELETE FROM schema_migrations WHERE version > 10")
    database.close()
    assert path.stat().st_uid == owner.st_uid
    node.start()
    assert serves(node) == (2, 2)
    node.cli("alias", "set", "app/f", "live", "1")
    assert node.cli_json("rollback", "app/f")["version"] == 1 and serves(node, "app/f:live") == (1, 1)


def test_roles_and_organisations(fresh_node):
    node = fresh_node
    deploy(node, 1, app="ours", auth="key")
    deploy(node, 2, app="ours", auth="key")
    keys = {role: node.cli_json("key", "create", "--role", role, "--app", "ours")["key"] for role in ("read", "invoke", "deploy")}
    node.cli("org", "create", "acme")
    keys["other"] = node.cli_json("key", "create", "--role", "admin", "--org", "acme")["key"]

    def env(role):
        file = node.directory / f"{role}.key"
        file.touch(0o600)
        file.write_text(keys[role])
        return {"EBB_KEY_FILE": str(file)}

    node.cli("alias", "set", "ours/f", "live", "1", env=env("deploy"))
    assert node.cli_json("alias", "ls", env=env("read"))["aliases"][0]["name"] == "live"
    for role in ("read", "invoke"):
        for words in (("alias", "set", "ours/f", "live", "2"), ("alias", "rm", "ours/f", "live"), ("rollback", "ours/f")):
            assert "role deploy" in node.cli(*words, expect=None, env=env(role)).stderr, (role, words)
    assert node.cli_json("alias", "ls", env=env("other"))["aliases"] == []
    for words in (("alias", "ls", "ours"), ("alias", "set", "ours/f", "live", "2"), ("alias", "rm", "ours/f", "live"), ("rollback", "ours/f"),
                  ("versions", "ours/f")):
        node.cli(*words, expect=3, env=env("other"))
    # Whoever may not call learns no names.
    for target in ("ours/f:live", "ours/f:liev"):
        refused = node.call(target)
        assert refused.status_code == 401 and "did you mean" not in refused.text
    shown = {"X-Ebb-Key": keys["invoke"]}
    assert node.call("ours/f:live", headers=shown).json() == {"serves": 1}
    assert "did you mean live?" in node.call("ours/f:liev", headers=shown).text
    assert node.cli_json("rollback", "ours/f", env=env("deploy"))["version"] == 1
