"""Secrets: who gets them, that rotation reaches everybody, and every place where a value must never be found."""

import concurrent.futures
import json
import os
import pathlib
import sqlite3

import pytest
import requests
from ebb_node import as_list, eventually

VALUE = "s3cr3t-value-71f0"
# Read at import, as most code does, and again in the call.
SOURCE = "import os\nAT_IMPORT = os.environ.get('TOKEN')\ndef handler(event, context):\n    return [AT_IMPORT, os.environ.get('TOKEN'), os.getpid()]\n"


def set_secret(node, app, name, value, **options):
    return node.cli("secret", "set", app, name, "--json", stdin=value.encode(), **options)


def seen(node, path="app/f"):
    answer = node.call(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def app(node):
    set_secret(node, "app", "token", VALUE)
    node.deploy_app(SOURCE + "plain = handler\nf = handler\n", {"f": {"secrets": {"TOKEN": "token"}}, "plain": {}})
    return node


def test_a_missing_secret_is_named_with_the_command_that_sets_it(node):
    done = node.deploy_function(SOURCE, app="needy", secrets={"TOKEN": "no-such"}, expect=2)
    assert "functions.f.secrets.TOKEN" in done.stderr and "ebb secret set needy no-such" in done.stderr
    assert not any(name.startswith("needy/") for name in node.functions())


def test_only_the_function_that_binds_it_gets_it(app):
    assert seen(app)[:2] == [VALUE, VALUE]
    assert seen(app, "app/plain")[:2] == [None, None]


def test_another_app_cannot_bind_it(app):
    done = app.deploy_function(SOURCE, app="thief", secrets={"TOKEN": "token"}, expect=2)
    assert "ebb secret set thief token" in done.stderr and VALUE not in done.stderr


def test_a_new_value_reaches_init_and_calls_without_a_deployment(app):
    before = app.functions("app")["app/f"]["version"]
    untouched = app.functions("app")["app/plain"]["version"]
    assert seen(app)[:2] == [VALUE, VALUE]  # a warm instance
    set_secret(app, "app", "token", "second-value")
    # From the command's end on every call, warm or cold, sees the new one only.
    for _ in range(20):
        assert seen(app)[:2] == ["second-value", "second-value"]
    assert app.functions("app")["app/f"]["version"] == before + 1 and app.functions("app")["app/plain"]["version"] == untouched
    # Versions asked for by number do too: they are the same code, not the same secret.
    assert seen(app, f"app/f:{before}")[:2] == ["second-value", "second-value"]
    set_secret(app, "app", "token", VALUE)
    assert seen(app)[:2] == [VALUE, VALUE] and seen(app, f"app/f:{before}")[:2] == [VALUE, VALUE]


def test_calls_during_a_rotation_all_succeed_with_one_of_the_two_values(app):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        change = pool.submit(set_secret, app, "app", "token", "third-value")
        answers = []
        while not change.done():
            answers += [one.result() for one in [pool.submit(app.call, "app/f") for _ in range(3)]]
        change.result()
    assert {answer.status_code for answer in answers} <= {200}
    assert {tuple(answer.json()[:2]) for answer in answers} <= {(VALUE, VALUE), ("third-value", "third-value")}
    assert seen(app)[:2] == ["third-value", "third-value"]
    set_secret(app, "app", "token", VALUE)


def test_a_value_that_init_cannot_use_is_not_stored(node):
    source = "import os\nif os.environ['TOKEN'] == 'bad-one':\n    raise RuntimeError('cannot log in')\ndef handler(event, context):\n    return os.environ['TOKEN']\n"
    set_secret(node, "careful", "token", "good")
    node.deploy_function(source, app="careful", secrets={"TOKEN": "token"})
    done = set_secret(node, "careful", "token", "bad-one", expect=2)
    assert "cannot log in" in done.stdout + done.stderr
    assert node.call("careful/f").text == '"good"' or node.call("careful/f").text == "good"
    node.stop()
    node.start()
    assert "good" in node.call("careful/f").text
    assert node.cli_json("secret", "ls", "careful")["secrets"][0]["version"] == 1


def test_values_survive_a_restart_and_wrong_ones_are_refused(app):
    app.stop()
    app.start()
    assert seen(app)[:2] == [VALUE, VALUE]
    for value, word in (("", "empty"), ("x" * 20_000, "limit"), ("a\0b", "NUL")):
        assert word in set_secret(app, "app", "token", value, expect=2).stderr
    done = app.cli("secret", "set", "app", "token", stdin=b"\xff\xfe", expect=2)
    assert "UTF-8" in done.stderr
    for name in ("Token", "a/b", "..", "x" * 41):
        app.cli("secret", "set", "app", name, stdin=b"v", expect=2)
    assert seen(app)[0] == VALUE


def test_a_secret_in_use_cannot_be_removed_an_unused_one_can(app):
    done = app.cli("secret", "rm", "app", "token", expect=5)
    assert "used by f" in done.stderr
    set_secret(app, "app", "spare", "x")
    app.cli("secret", "rm", "app", "spare")
    assert [one["name"] for one in app.cli_json("secret", "ls", "app")["secrets"]] == ["token"]
    app.cli("secret", "rm", "app", "spare", expect=3)


def test_removing_an_app_takes_its_secrets_with_it(node):
    set_secret(node, "gone", "token", "old-owners-value")
    node.deploy_function(SOURCE, app="gone", secrets={"TOKEN": "token"})
    node.cli("rm", "gone", "--yes")
    assert node.cli_json("secret", "ls", "gone")["secrets"] == []
    assert "ebb secret set gone token" in node.deploy_function(SOURCE, app="gone", secrets={"TOKEN": "token"}, expect=2).stderr


def test_an_apps_key_sets_no_other_apps_secret_and_nobody_reads_a_value(app):
    key = app.cli_json("key", "create", "--role", "deploy", "--app", "other")["key"]
    read = app.cli_json("key", "create", "--role", "read", "--app", "app")["key"]
    url = app.url + "/api/v1/apps/app/secrets"
    for method, path, shown in (("PUT", "/token", key), ("DELETE", "/token", key), ("GET", "", key), ("PUT", "/token", read), ("DELETE", "/token", read)):
        answer = requests.request(method, url + path, headers={"X-Ebb-Key": shown}, json={"value": "stolen"}, timeout=30)
        assert answer.status_code == 403, (method, path)
    listed = requests.get(url, headers={"X-Ebb-Key": read}, timeout=30)
    assert listed.status_code == 200 and VALUE not in listed.text and listed.json()["secrets"][0]["functions"] == ["f"]
    assert requests.get(url + "/token", headers={"X-Ebb-Key": app.key}, timeout=30).status_code == 405
    assert seen(app)[0] == VALUE


def test_no_value_on_disk_in_logs_command_lines_metrics_answers_or_records(app):
    set_secret(app, "app", "token", VALUE)
    request = app.call("app/f").headers["X-Ebb-Request-Id"]
    app.call("/api/v1/apps/app/secrets/token", method="PUT", data=f'{{"value": "{VALUE}", "wrong": 1}}')
    app.call("/api/v1/apps/app/secrets/Bad", method="PUT", json={"value": VALUE})
    app.call("/api/v1/apps/app/secrets/token", method="PUT", data=f'{{"value": "{VALUE}"')
    places = {"log": app.serve_log(), "metrics": app.call("/metrics").text, "ls": app.cli("ls", "--json").stdout,
              "secret ls": app.cli("secret", "ls", "app", "--json").stdout, "usage": json.dumps(app.usage("app/f")),
              "function log": json.dumps(as_list(app.logs("app/f", request)))}
    number = 1
    while (status := app.call(f"/api/v1/deployments/{number}")).status_code == 200:
        places[f"deployment {number}"] = status.text
        number += 1
    assert number > 2
    for pid in app.pids():
        for file in ("cmdline", "environ"):
            try:
                places[f"{pid} {file}"] = pathlib.Path(f"/proc/{pid}/{file}").read_text(errors="replace")
            except OSError:
                continue
    for folder, _, names in os.walk(app.directory):
        for name in names:
            path = pathlib.Path(folder, name)
            if path.is_file() and not path.is_symlink():
                places[str(path)] = path.read_bytes().decode("latin-1")
    assert len(places) > 20
    hexed = VALUE.encode().hex()
    assert not [place for place, text in places.items() if VALUE in text or hexed in text]


def test_the_key_is_the_daemons_and_a_moved_row_opens_nothing(node):
    """Whoever can write to the database, but has not the key, cannot give one app's secret to another."""
    path = node.data / "secrets.key"
    assert path.stat().st_mode & 0o777 == 0o600 and path.stat().st_size == 32
    set_secret(node, "victim", "token", VALUE)
    set_secret(node, "attacker", "token", "own")
    node.deploy_function(SOURCE, app="attacker", secrets={"TOKEN": "token"})
    node.stop()
    with sqlite3.connect(node.data / "metadata.db") as database:
        sealed, version = database.execute("SELECT sealed, version FROM secrets WHERE app = 'victim'").fetchone()
        database.execute("UPDATE secrets SET sealed = ?, version = ? WHERE app = 'attacker'", (sealed, version))
    database.close()
    for file in node.data.glob("metadata.db*"):
        os.chown(file, path.stat().st_uid, path.stat().st_gid)
    node.start()
    answer = node.call("attacker/f")
    assert answer.status_code >= 500 and VALUE not in answer.text and "cannot be decrypted" in answer.text
    set_secret(node, "attacker", "token", "own again")
    assert seen(node, "attacker/f")[0] == "own again"


def test_a_lost_key_ends_the_start_with_its_name(node):
    path = node.data / "secrets.key"
    node.stop()
    kept = path.read_bytes()
    owner = path.stat()
    path.unlink()
    with pytest.raises(AssertionError):
        node.start(ready_within=3)
    assert "secrets.key" in node.serve_log() and not path.exists()
    node.stop(kill=True)
    path.touch(0o600)
    path.write_bytes(kept)
    os.chown(path, owner.st_uid, owner.st_gid)
    node.start()
    eventually(lambda: seen(node, "attacker/f")[0] == "own again", "the secrets")
