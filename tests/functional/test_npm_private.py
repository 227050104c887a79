"""Packages of a registry that asks who we are: .npmrc in the package names the registry, a secret of the app stands for its variable, and
the credential is in nothing that the node keeps or shows."""

import base64
import io
import json
import os
import shutil
import urllib.parse
import zipfile

import pytest

import npm_registry
from ebb_node import Node, eventually, module_at, parse_json, running
from npm_registry import lock_of, needs_npm

TOKEN = "npm_t0ken-of-the-test;with#signs"
INDEX = "exports.handler = async () => require('@private/words');\n"


@pytest.fixture(scope="module")
def registry():
    with npm_registry.registry() as one:
        one.credential = f"Bearer {TOKEN}"
        yield one


@pytest.fixture(scope="module")
def node():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("NPM_CONFIG_REGISTRY", "npm_config_registry"):
            patch.delenv(name, raising=False)
        npm_registry.without_proxy(patch)
        with running(Node()) as one:
            yield one


@pytest.fixture(scope="module")
def files(registry):
    words = registry.publish("@private/words", "1.0.0", {"index.js": "module.exports = 'private words';"})
    host = registry.url.removeprefix("http:")
    return {"index.js": INDEX, **lock_of({"@private/words": words}),
            ".npmrc": f"; ours\n@private:registry={registry.url}/\n{host}/:_authToken=${{NPM_TOKEN}}\n"}


def deploy(node, app, files, expect=0):
    manifest = {"app": app, "functions": {"f": {"runtime": "node", "handler": "index.handler", "memory": "256Mi"}}}
    return node.deploy({"ebb.yaml": json.dumps(manifest), **files}, expect=expect)


def told(done):
    return [event["message"] for event in parse_json(done.stdout)["events"] if event["phase"] == "npm"]


def holding(folder, secret):
    """Files below that hold it."""
    found = []
    for top, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(top, name)
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    if secret.encode() in file.read():
                        found.append(path)
    return found


@needs_npm
def test_a_secret_lets_the_build_in_and_is_kept_nowhere(node, registry, files):
    node.cli("secret", "set", "shop", "npm-token", stdin=TOKEN.encode())
    done = deploy(node, "shop", files)
    assert node.call("shop/f").text == "private words"
    assert TOKEN not in done.stdout + done.stderr + node.serve_log()
    assert holding(node.directory, TOKEN) == []
    asked = len(registry.asked)
    assert told(deploy(node, "shop", files)) == ["packages unchanged"] and len(registry.asked) == asked


@needs_npm
def test_another_value_makes_no_other_layer_and_another_app_gets_none_of_it(node, registry, files):
    node.cli("secret", "set", "mine", "npm-token", stdin=TOKEN.encode())
    deploy(node, "mine", files)
    layer = node.functions("mine")["mine/f"]["layer"]
    node.cli("secret", "set", "mine", "npm-token", stdin=b"npm_another")
    assert told(deploy(node, "mine", files)) == ["packages unchanged"], "the credential is no part of the key"
    done = deploy(node, "theirs", files, expect=2)
    assert "line 3 names ${NPM_TOKEN}, the app's secret npm-token, which is not set: ebb secret set APP npm-token" in done.stderr, done.stderr
    node.cli("secret", "set", "theirs", "npm-token", stdin=b"npm_guessed")
    done = deploy(node, "theirs", files, expect=2)
    assert "the registry refuses us" in done.stderr, done.stderr
    node.cli("secret", "set", "theirs", "npm-token", stdin=TOKEN.encode())
    deploy(node, "theirs", files)
    assert node.functions("theirs")["theirs/f"]["layer"] != layer, "who was let in is kept apart"


@needs_npm
def test_what_a_registry_repeats_is_not_shown(node, files):
    node.cli("secret", "set", "loud", "npm-token", stdin=b"npm_wrong_token")
    done = deploy(node, "loud", files, expect=2)
    assert "the registry refuses us" in done.stderr and "Bearer *** does not let you in" in done.stdout + done.stderr, done.stdout + done.stderr
    assert "npm_wrong_token" not in done.stdout + done.stderr + node.serve_log()


@needs_npm
def test_a_name_and_a_password_do_too(node, registry, files):
    basic = base64.b64encode(b"builder:correct horse").decode()
    registry.credential = f"Basic {basic}"
    try:
        node.cli("secret", "set", "basic", "registry-auth-npm", stdin=basic.encode())
        npmrc = files[".npmrc"].replace(":_authToken=${NPM_TOKEN}", ":_auth=${REGISTRY_AUTH_NPM}")
        done = deploy(node, "basic", {**files, ".npmrc": npmrc})
        assert node.call("basic/f").text == "private words"
        assert all(secret not in done.stdout + done.stderr + node.serve_log() for secret in (basic, "correct horse"))
    finally:
        registry.credential = f"Bearer {TOKEN}"


@needs_npm
def test_a_layer_stays_with_the_organisation_that_was_let_in(node, files):
    node.cli("secret", "set", "sold", "npm-token", stdin=TOKEN.encode())
    deploy(node, "sold", files)
    node.cli("org", "create", "buyer")
    node.cli("org", "move", "sold", "buyer")
    node.cli("secret", "set", "sold", "npm-token", stdin=b"npm_guessed")
    done = deploy(node, "sold", files, expect=2)
    assert "the registry refuses us" in done.stderr, done.stderr


def wheel(files):
    """One by the name of lures, of {path: text}."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("lures-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: lures\nVersion: 1.0\n")
        archive.writestr("lures-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("lures-1.0.dist-info/RECORD", "")
    return made.getvalue()


@needs_npm
def test_what_pip_installs_does_not_point_npm_elsewhere(node, files):
    node.cli("secret", "set", "lured", "npm-token", stdin=TOKEN.encode())
    python = "import lures, os\ndef handler(event, context):\n    return sorted(os.listdir(os.path.dirname(lures.__file__)))\n"
    functions = {"py": {"handler": "app.handler"}, "js": {"runtime": "node", "handler": "index.handler", "memory": "256Mi"}}
    name = "lures-1.0-py3-none-any.whl"
    with npm_registry.registry() as elsewhere:
        lures = {"lures.py": "", ".npmrc": f"registry={elsewhere.url}/\nreplace-registry-host=always\n", "package.json": '{"name": "of-pip"}',
                 "npm-shrinkwrap.json": "{", "node_modules/@private/words/index.js": "module.exports = 'of pip';"}
        node.deploy({"ebb.yaml": json.dumps({"app": "lured", "functions": functions}), "app.py": python, name: wheel(lures),
                     "requirements.txt": f"/ebb/source/{name}\n", **files})
        assert elsewhere.asked == []
    assert node.call("lured/js").text == "private words"
    there = node.call("lured/py").json()
    assert {"lures.py", ".npmrc", "package.json", "npm-shrinkwrap.json", "node_modules"} <= set(there), "of pip's all but what npm has made"


def test_the_secrets_that_it_names_are_bounded_together(node, files):
    for number in range(4):
        node.cli("secret", "set", "greedy", f"t{number}", stdin=b"x" * 16 * 1024)
    npmrc = "".join(f"//127.0.0.1:9/{number}/:_authToken=${{T{number}}}\n" for number in range(4))
    done = deploy(node, "greedy", {**files, ".npmrc": npmrc}, expect=None)
    assert done.returncode != 0 and "the secrets that .npmrc names have 65544 bytes of names and values, the limit is 24576" in done.stderr, done.stderr
    assert node.call("/healthz").status_code == 200


def refused(node, files, npmrc, text):
    done = deploy(node, "wrong", {**files, ".npmrc": npmrc}, expect=2)
    assert text in done.stderr, done.stderr
    eventually(lambda: not os.listdir(node.data / "build"), "the end of what the build left")
    return done


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_what_cannot_be_used_is_refused(node, files):
    done = refused(node, files, "//127.0.0.1:9/:_authToken=npm_in_the_clear\n", "line 1 has a credential in the clear: write ${NPM_TOKEN} there")
    for other in ("_authToken=npm_in_the_clear", "_auth = bnBtOmluIHRoZSBjbGVhcg==", "'//127.0.0.1:9/:_authToken' = npm_in_the_clear",
                  "//127.0.0.1:9/:_password[]=npm_in_the_clear", "//127.0.0.1:9/:_authToken=${NPM_TOKEN}npm_in_the_clear", "[a]\n_password=npm_in_the_clear"):
        refused(node, files, f"{other}\n", "has a credential in the clear")
    assert "npm_in_the_clear" not in done.stdout + done.stderr + node.serve_log()
    refused(node, files, "\nregistry=ftp://127.0.0.1/\n", "line 2: registry must be a URL like https://")
    refused(node, files, "registry=https://me:word@127.0.0.1/\n", "line 1: registry must be a URL like https://")
    refused(node, files, "registry=https://${HOST}/\n", "line 1: registry must be a URL like https://")
    refused(node, files, "".join(f"//h/:_authToken=${{T{number}}}\n" for number in range(9)), ".npmrc names more than 8 variables")
    node.cli("secret", "set", "wrong", "npm-token", stdin=b"two\nlines")
    refused(node, files, "//127.0.0.1:9/:_authToken=${NPM_TOKEN}\n", "what stands for ${NPM_TOKEN} has a line break")


@pytest.fixture(scope="module")
def npmrc():
    return module_at("runtimes/npm/npmrc.py")


def test_settings_that_are_the_nodes_are_left_out(npmrc):
    text = ("ignore-scripts=false\nscript-shell=/tmp/x\ncache=/ebb/out\ncafile=/x\nproxy=http://p/\n; registry=http://no/\n# registry=http://no/\n"
            "node-options=--require x\nregistry = https://r.example/npm/\n'@s:registry'=https://quoted/\n@s:registry=\"https://s.example/\"\n"
            "//r.example/npm/:username=me\n//r.example/npm/:_password=${PASS_WORD}\n[section]\nregistry=https://no/\n")
    lines, never = npmrc.read(text, {"EBB_NPMRC_PASS_WORD": base64.b64encode(b"open sesame").decode(), "PASS_WORD": "not this one"})
    assert lines == ['registry = "https://r.example/npm/"', '@s:registry = "https://s.example/"', '//r.example/npm/:username = "me"',
                     '//r.example/npm/:_password = "b3BlbiBzZXNhbWU="']
    assert {"b3BlbiBzZXNhbWU=", "open sesame"} <= set(never), "neither it nor what it is the base64 of"


@pytest.mark.parametrize("text", [
    "registry=https://evil.example/${https_proxy}/", "registry=https://evil.example/${HTTPS_PROXY?}/", "registry=https://evil.example/${NPM_TOKEN}/",
    "//evil.example/:username=${https_proxy}", "//evil.example/:username=${HTTPS_PROXY?}", "//evil.example/:email=me-${no-name}",
    "//evil.example/${https_proxy}/:_authToken=${NPM_TOKEN}", "//${https_proxy}/:_authToken=${NPM_TOKEN}",
    "//evil.example/:username=${END}{https_proxy}", "//evil.example/:_authToken=${NESTED}", "//evil.example/:username=\\${https_proxy}"])
def test_npm_is_left_no_variable_to_fill_in(npmrc, text):
    environment = {"EBB_NPMRC_NPM_TOKEN": "npm_token", "EBB_NPMRC_END": "ends in $", "EBB_NPMRC_NESTED": "${https_proxy}", "EBB_NPMRC_HTTPS_PROXY": "set"}
    with pytest.raises(ValueError, match="variable"):
        npmrc.read(text, environment)


def test_what_stands_for_a_variable_is_not_read_again(npmrc):
    lines, _ = npmrc.read("//h/:username=${A}-${B}", {"EBB_NPMRC_A": "$B", "EBB_NPMRC_B": "two"})
    assert lines == ['//h/:username = "$B-two"']


def test_base64_is_read_as_node_reads_it(npmrc):
    for written in ("Pj4-Pz8_YQ", "Pj4+Pz8/YQ", "Pj4+Pz8/YQ=="):
        _, never = npmrc.read("//h/:username=me\n//h/:_password=${P}\n", {"EBB_NPMRC_P": written})
        assert {written, ">>>???a", base64.b64encode(b"me:>>>???a").decode()} <= set(never)


def test_other_forms_of_a_credential_are_not_shown_either(npmrc):
    password, token = 'open "sesame"/ü', 'a token+"quoted"/'
    text = "//r.example/:username=${NAME}\n//r.example/:_password=${PASS_WORD}\n//other.example/:_authToken=${NPM_TOKEN}\n"
    _, never = npmrc.read(text, {"EBB_NPMRC_NAME": "builder", "EBB_NPMRC_NPM_TOKEN": token,
                                 "EBB_NPMRC_PASS_WORD": base64.b64encode(password.encode()).decode()})
    for secret in (password, token):
        as_json = {json.dumps(secret, ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)}
        assert {secret, urllib.parse.quote(secret), urllib.parse.quote(secret, safe="")} | as_json <= set(never)
    login = base64.b64encode(f"builder:{password}".encode()).decode()
    assert {login, urllib.parse.quote(login, safe="")} <= set(never), "what npm shows the host of the name and the password"
    assert never == sorted(never, key=len, reverse=True), "none is hidden by a part of it"
