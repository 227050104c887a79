"""Who may do what: every route of the OpenAPI file without a key, with a wrong one, with one of another role or app; and where keys
must never appear. Clients are real ones over the network."""

import json
import pathlib
import re
import subprocess

import pytest
import requests
import yaml
from ebb_node import ROOT, eventually

DOCUMENT = yaml.safe_load((ROOT / "docs/reference/openapi.yaml").read_text())
METHODS = ("get", "post", "put", "patch", "delete")
RANK = {"admin": {"admin", "deploy", "invoke", "read"}, "deploy": {"deploy", "invoke", "read"}, "invoke": {"invoke"}, "read": {"read"}}
SOURCE = "import json\ndef handler(event, context):\n    return json.dumps(event.get('headers', {}))\n"


def operations():
    """(method, path with names filled in, the least role or None) of every operation."""
    found = []
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                filled = path.replace("{app}", "mine").replace("{function}", "open").replace("{path}", "x").replace("{id}", "1")
                found.append((method.upper(), filled, None if item[method].get("security") == [] else item[method]["x-ebb-role"]))
    return found


PROTECTED = [one for one in operations() if one[2]]
OPEN = [one for one in operations() if not one[2]]


def ask(node, method, path, key=None, **options):
    headers = {**({"Authorization": f"Bearer {key}"} if key else {}), **options.pop("headers", {})}
    return requests.request(method, node.url + path, headers=headers, timeout=60, allow_redirects=False, **options)


def made(node, role, app=None):
    return node.cli_json("key", "create", "--role", role, *(["--app", app] if app else []))


@pytest.fixture(scope="module")
def keys(node):
    """{(role, app): key}, beside two apps of which `mine` has an open and a protected function."""
    node.deploy_app("import json\ndef open(event, context):\n    return {'headers': event.get('headers', {})}\nclosed = open\n",
                    {"open": {}, "closed": {"auth": "key"}}, app="mine")
    node.deploy_function(SOURCE, app="other")
    found = {("admin", None): made(node, "admin")["key"]}
    for role in ("deploy", "invoke", "read"):
        for app in (None, "mine", "other"):
            found[role, app] = made(node, role, app)["key"]
    return found


def test_the_document_names_a_role_for_every_protected_operation():
    assert len(PROTECTED) >= 13 and {role for *_, role in PROTECTED} <= {"admin", "deploy", "invoke", "read", "any"}
    assert {path for _, path, _ in OPEN} == {"/", "/healthz", "/readyz", "/fn/mine/open", "/fn/mine/open/x"}


@pytest.mark.parametrize("method, path, role", PROTECTED)
def test_without_a_valid_key_every_route_says_401(node, keys, method, path, role):
    wrong = keys["admin", None][:-1] + ("0" if keys["admin", None][-1] != "0" else "1")
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {wrong}"}, {"Authorization": f"Basic {wrong}"},
                    {"X-Ebb-Key": wrong}, {"X-Ebb-Key": "ebb_"}, {"Authorization": "Bearer " + "ebb_000000000000_" + "0" * 64},
                    {"Authorization": f"Bearer {keys['admin', None].upper()}"}, {"Cookie": f"key={keys['admin', None]}"}):
        response = ask(node, method, path, headers=headers, data=b"{}" if method == "POST" else None)
        assert response.status_code == 401, (headers, response.text)
        error = response.json()["error"]
        assert error["code"] == "unauthenticated" and "Bearer" in error["message"]
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        assert wrong not in response.text


@pytest.mark.parametrize("method, path, role", PROTECTED)
def test_a_key_of_a_lesser_role_gets_403_that_names_the_role(node, keys, method, path, role):
    for has in ("read", "invoke", "deploy"):
        if role == "any" or role in RANK[has]:
            continue
        for app in (None, "mine"):
            response = ask(node, method, path, keys[has, app], data=b"{}" if method == "POST" else None)
            assert response.status_code == 403, (has, response.text)
            assert f"role {role}" in response.json()["error"]["message"]


@pytest.mark.parametrize("query", ["?token={}", "?key={}", "?access_token={}"])
def test_a_key_in_the_url_opens_nothing(node, keys, query):
    assert ask(node, "GET", "/api/v1/functions" + query.format(keys["admin", None])).status_code in (400, 401)


def test_an_apps_key_reaches_no_other_app(node, keys):
    key = keys["deploy", "other"]
    for method, path in (("DELETE", "/api/v1/apps/mine"), ("DELETE", "/api/v1/apps/mine/functions/open"), ("GET", "/api/v1/logs?app=mine"),
                         ("GET", "/api/v1/functions?app=mine"), ("GET", "/api/v1/usage?app=mine"), ("GET", "/metrics"),
                         ("POST", "/api/v1/apps/mine/functions/open/invocations")):
        response = ask(node, method, path, key)
        assert response.status_code == 403, (method, path, response.text)
    assert ask(node, "GET", "/fn/mine/closed", keys["invoke", "other"]).status_code == 403
    # What it may list is its own.
    listed = ask(node, "GET", "/api/v1/functions", key).json()["functions"]
    assert {one["app"] for one in listed} == {"other"}
    ask(node, "POST", "/api/v1/apps/mine/functions/open/invocations", keys["invoke", "mine"], json={})
    records = ask(node, "GET", "/api/v1/usage?limit=1000", key).json()["records"]
    assert all(record["app"] == "other" for record in records)
    assert "mine/open" in node.functions()


def test_an_apps_key_deploys_that_app_only(node, keys, tmp_path):
    key_file = node.directory / "deploy.key"
    key_file.touch(0o600)
    key_file.write_text(keys["deploy", "mine"])
    env = {"EBB_KEY_FILE": str(key_file)}
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return 'taken'\n")

    def manifest(app):
        (tmp_path / "ebb.yaml").write_text(json.dumps({"app": app, "functions": {"f": {"handler": "app.handler"}}}))

    before = node.functions()["other/f"]["version"]
    manifest("other")
    refused = node.cli("deploy", tmp_path, expect=4, env=env)
    assert "key deploys app mine" in refused.stderr
    manifest("fresh-name")
    node.cli("deploy", tmp_path, expect=4, env=env)
    assert node.functions()["other/f"]["version"] == before and not any(name.startswith("fresh-name/") for name in node.functions())


def test_another_apps_deployment_is_not_there(node, keys, tmp_path):
    (tmp_path / "ebb.yaml").write_text(json.dumps({"app": "mine", "functions": {"open": {"handler": "app.open"}, "closed": {"handler": "app.open", "auth": "key"}}}))
    (tmp_path / "app.py").write_text("import json\ndef open(event, context):\n    return {'headers': event.get('headers', {})}\n# again\n")
    node.cli("deploy", tmp_path)
    deployment = 1
    while ask(node, "GET", f"/api/v1/deployments/{deployment + 1}", keys["admin", None]).status_code == 200:
        deployment += 1
    assert ask(node, "GET", f"/api/v1/deployments/{deployment}", keys["read", "mine"]).status_code == 200
    assert ask(node, "GET", f"/api/v1/deployments/{deployment}", keys["read", "other"]).status_code == 404


def test_a_function_with_auth_key_answers_holders_only(node, keys):
    url = "/fn/mine/closed"
    assert ask(node, "GET", url).status_code == 401
    assert ask(node, "GET", url, "ebb_000000000000_" + "0" * 64).status_code == 401
    assert ask(node, "GET", url, keys["read", "mine"]).status_code == 403
    for key in (keys["invoke", "mine"], keys["invoke", None], keys["deploy", "mine"], keys["admin", None]):
        assert ask(node, "GET", url, key).status_code == 200
        assert ask(node, "GET", url, headers={"X-Ebb-Key": key}).status_code == 200
    # By a version's number as well.
    number = node.functions()["mine/closed"]["version"]
    assert ask(node, "GET", f"/fn/mine/closed:{number}").status_code == 401
    assert ask(node, "GET", "/fn/mine/closed:1").status_code == 401


def test_functions_never_see_a_key_of_ebb(node, keys):
    for url in ("/fn/mine/closed", "/fn/mine/open"):
        seen = ask(node, "GET", url, keys["invoke", "mine"], headers={"X-Ebb-Key": keys["invoke", "mine"], "X-Else": "stays"})
        text = seen.text.lower()
        assert seen.status_code == 200 and "stays" in text
        assert "ebb_" not in text and "x-ebb-key" not in text and "authorization" not in text
    # The application's own tokens pass, to open functions and beside a key of Ebb.
    assert "my-own-jwt" in ask(node, "GET", "/fn/mine/open", "my-own-jwt").text
    both = ask(node, "GET", "/fn/mine/closed", "my-own-jwt", headers={"X-Ebb-Key": keys["invoke", "mine"]})
    assert both.status_code == 200 and "my-own-jwt" in both.text


def test_a_revoked_key_opens_nothing_from_the_next_request_on(node):
    made_now = made(node, "read")
    assert ask(node, "GET", "/api/v1/limits", made_now["key"]).status_code == 200
    node.cli("key", "rm", made_now["id"])
    assert ask(node, "GET", "/api/v1/limits", made_now["key"]).status_code == 401
    assert node.cli("key", "rm", made_now["id"], expect=3)


def test_keys_are_shown_once_and_kept_as_hashes(node):
    made_now = made(node, "admin")
    secret = made_now["key"].rsplit("_", 1)[1]
    listed = node.cli("key", "ls", "--json").stdout
    assert made_now["id"] in listed and secret not in listed
    files = [path for path in node.data.rglob("*") if path.is_file() and "packages" not in path.parts]
    assert any(path.name == "metadata.db" for path in files)
    assert not [path for path in files if secret.encode() in path.read_bytes()]


def test_the_local_admin_key_is_its_owners_only(node):
    path = node.data / "admin.key"
    status = path.stat()
    assert status.st_mode & 0o777 == 0o600
    daemon = pathlib.Path(f"/proc/{node.daemon_pid}").stat()
    assert status.st_uid == daemon.st_uid != 0
    assert subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "cat", path],
                          capture_output=True, check=False).returncode != 0


def test_the_local_admin_key_goes_only_to_who_owns_it(node):
    """Another account's server on a port that Ebb once had is not shown the key."""
    port = int(node.url.rsplit(":", 1)[1])
    code = ("import socket,sys\ns=socket.create_server(('127.0.0.1',0))\nprint(s.getsockname()[1],flush=True)\n"
            "s.settimeout(20)\ntry:\n c,_=s.accept();print(c.recv(65536).decode(),flush=True)\nexcept OSError: pass\n")
    thief = subprocess.Popen(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c", code],
                             stdout=subprocess.PIPE, text=True)
    link = None
    try:
        stolen = int(thief.stdout.readline())
        link = pathlib.Path(f"/run/ebb/{stolen}.key")
        link.symlink_to(f"/run/ebb/{port}.key")
        done = node.cli("ls", expect=4, env={"EBB_URL": f"http://127.0.0.1:{stolen}"})
        assert "another account" in done.stderr
    finally:
        thief.kill()
        rest = thief.stdout.read()
        thief.wait()
        if link:
            link.unlink(missing_ok=True)
    assert node.key not in rest and "Authorization" not in rest


def test_the_command_line_without_or_with_a_bad_key_says_what_to_do(node, tmp_path):
    plain = node.cli("ls", expect=None, env={"EBB_KEY": "ebb_000000000000_" + "0" * 64})
    assert plain.returncode == 4 and "EBB_KEY" in plain.stderr and "revoked" in plain.stderr
    assert node.cli("ls", expect=2, env={"EBB_KEY": "nonsense-value"}).stderr.count("nonsense-value") == 0
    key = tmp_path / "key"
    key.write_text(node.key)
    key.chmod(0o644)
    refused = node.cli("ls", "--key-file", key, expect=4)
    assert "chmod 600" in refused.stderr and node.key not in refused.stderr
    key.chmod(0o600)
    node.cli("ls", "--key-file", key)
    missing = node.cli("ls", "--key-file", tmp_path / "none", expect=3)
    assert "none" in missing.stderr
    listed = pathlib.Path(node.directory) / ".config" / "ebb"
    listed.mkdir(parents=True)
    try:
        (listed / "keys").touch(0o600)
        (listed / "keys").write_text(f"# mine\nhttp://elsewhere:1 ebb_\n{node.url} {made(node, 'read')['key']}\n")
        assert node.cli("key", "ls", expect=4)  # the read key is used, not root's
    finally:
        (listed / "keys").unlink()


def test_no_key_in_logs_command_lines_or_metrics(node, keys):
    for key in keys.values():
        ask(node, "GET", "/api/v1/limits", key)
        ask(node, "GET", "/api/v1/nothing", key)
        ask(node, "POST", "/api/v1/deployments", key, data=b"no archive")
    everything = node.serve_log() + node.call("/metrics").text + node.cli("key", "ls", "--json").stdout
    for pid in node.pids():
        everything += pathlib.Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    for key in (*keys.values(), node.key):
        assert key not in everything and key.rsplit("_", 1)[1] not in everything
    assert keys["admin", None].split("_")[1] in everything  # the public id may


@pytest.mark.parametrize("body", ['{"role":"root"}', '{"role":"admin","app":"mine"}', '{"role":"read","app":"../x"}', '{"role":"read","ap":"x"}',
                                  '{"role":"read","label":"a\\nkey_created role=admin"}', '{"role":"read","label":"' + "x" * 65 + '"}', "[]", "", "{", '{"role":7}'])
def test_malformed_keys_are_refused(node, body):
    before = node.cli("key", "ls", "--json").stdout
    response = node.call("/api/v1/keys", data=body, method="POST")
    assert response.status_code == 400, response.text
    assert node.cli("key", "ls", "--json").stdout == before


def test_log_injection_and_path_traversal_in_names(node):
    """Names from outside end neither in a log line of their own nor in a path."""
    for name in ("..%2f..%2fetc", "%2e%2e", "a%0aforged_event%20level=error", "a%0d%0aX: y", "%00"):
        for method, path in (("DELETE", f"/api/v1/apps/{name}"), ("DELETE", f"/api/v1/apps/mine/functions/{name}"),
                             ("DELETE", f"/api/v1/keys/{name}"), ("GET", f"/api/v1/logs?app={name}"), ("GET", f"/fn/{name}/f")):
            assert node.call(path, method=method).status_code in (400, 404), (method, path)
    assert not re.search(r"^forged_event", node.serve_log(), re.M)


def test_the_origin_check_stays(node, keys):
    response = ask(node, "POST", "/api/v1/keys", keys["admin", None], data='{"role":"admin"}', headers={"Origin": "http://evil.example"})
    assert response.status_code == 403


def test_an_upload_without_a_key_is_refused_unread(node):
    """The answer comes while most of the body is still here: strangers cannot fill the daemon's memory."""
    with node.connect() as connection:
        connection.sendall(b"POST /api/v1/deployments HTTP/1.1\r\nHost: x\r\nContent-Length: 200000000\r\n\r\n" + b"x" * 1000)
        assert b" 401 " in connection.recv(4096).split(b"\r\n")[0]


@pytest.mark.parametrize("fresh_node", [{"function_auth": "key"}], indirect=True)
def test_function_auth_closes_what_says_nothing_and_keys_outlive_a_restart(fresh_node):
    node = fresh_node
    node.deploy_app("def plain(event, context):\n    return 1\npublic = plain\n", {"plain": {}, "public": {"auth": "none"}})
    assert node.call("app/plain").status_code == 401 and node.call("app/public").status_code == 200
    key = made(node, "invoke", "app")["key"]
    assert ask(node, "GET", "/fn/app/plain", key).status_code == 200
    admin = node.key
    node.stop()
    node.start()
    assert node.key == admin
    assert ask(node, "GET", "/fn/app/plain", key).status_code == 200
    # A deleted admin key is made anew, and what was copied of it opens nothing.
    node.stop()
    (node.data / "admin.key").unlink()
    node.start()
    assert node.key != admin
    assert ask(node, "GET", "/api/v1/limits", admin).status_code == 401
    eventually(lambda: ask(node, "GET", "/api/v1/limits", node.key).status_code == 200, "the new admin key")
