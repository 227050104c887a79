"""Deployments that work, that change nothing, and that fail: whatever happens, the version before goes on serving."""

import io
import json
import os
import threading
import zipfile

import pytest

from ebb_node import eventually, parse_json, server_timing

GOOD = "def handler(event, context):\n    return 'good'\n"


@pytest.fixture(scope="module", autouse=True)
def good(node):
    node.deploy_function(GOOD)


def files_of(node):
    """What lies in the data directory, except for what grows by itself: logs, usage, the database's own files."""
    kept = {path.relative_to(node.data) for path in node.data.rglob("*")}
    return {str(path) for path in kept if path.parts[0] in ("packages", "layers") or "." == path.name[0] or "tmp" in path.name}


def assert_unharmed(node):
    answer = node.call("app/f")
    assert answer.status_code == 200 and answer.text == "good" and answer.headers["X-Ebb-Version"] == "1"
    assert list(node.functions("app")) == ["app/f"]


def outside_sandboxes(node):
    return node.pids() - set(node.groups())


def left_over(node, before, processes):
    """Temporary things and processes that a failed deployment left."""
    now = files_of(node)
    found = {name for name in now - before if any(part.startswith(".") or "tmp" in part for part in name.split("/"))}
    return found | (outside_sandboxes(node) - processes)


def refused(node, package, *words, expect=2):
    """Deploys what must fail: by which code, saying what; and the old version must be unharmed. Returns the output."""
    before, zygotes, processes = files_of(node), node.pids_in("zygotes"), outside_sandboxes(node)
    done = node.deploy(package, expect=expect)
    for word in words:
        assert word in done.stderr, done.stderr
    eventually(lambda: node.pids_in("zygotes") <= zygotes and not left_over(node, before, processes), "a clean end of the failed deployment", 20)
    assert_unharmed(node)
    return done


def package(source=GOOD, handler="app.handler", requirements=None, **top):
    files = {"ebb.yaml": json.dumps({"app": "app", "functions": {"f": {"handler": handler}}, **top}), "app.py": source}
    return files | ({"requirements.txt": requirements} if requirements else {})


# --- what works ---


def test_unchanged_redeploy_makes_no_version_and_needs_no_build(node):
    first = parse_json(node.deploy_function(GOOD, app="same").stdout)
    assert first["functions"][0]["version"] == 1 and first["functions"][0]["unchanged"] is False
    before, pids = files_of(node), node.pids_in("zygotes", "same")
    again = parse_json(node.deploy_function(GOOD, app="same").stdout)
    assert again["state"] == "succeeded" and again["functions"][0]["version"] == 1 and again["functions"][0]["unchanged"] is True
    assert files_of(node) == before and node.pids_in("zygotes", "same") == pids
    assert all("unchanged" in event["message"] for event in again["events"] if event["phase"] in ("build", "zygote"))


def test_function_that_is_no_longer_named_is_gone(node):
    source = "def a(event, context):\n    return 1\ndef b(event, context):\n    return 2\n"
    node.deploy_app(source, {"a": {}, "b": {}}, app="two")
    assert node.call("two/b").json() == 2
    node.deploy_app(source, {"a": {}}, app="two")
    assert list(node.functions("two")) == ["two/a"] and node.call("two/b").status_code == 404


def test_no_call_is_lost_while_versions_change(node):
    source = "import time\nVERSION = {}\ndef handler(event, context):\n    time.sleep(0.01)\n    return VERSION\n"
    node.deploy_function(source.format(1), app="live", scale={"max": 2})
    stop, answers = threading.Event(), []

    def call():
        while not stop.is_set():
            answers.append(node.call("live/f"))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    try:
        for version in (2, 3):
            node.deploy_function(source.format(version), app="live", scale={"max": 2})
            eventually(lambda: answers[-1].text == str(version), f"version {version}")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    bad = [(answer.status_code, answer.text) for answer in answers if answer.status_code != 200]
    assert not bad, f"{len(bad)} of {len(answers)}: {bad[0]}"
    for answer in answers:
        assert answer.headers["X-Ebb-Version"] == answer.text


@pytest.mark.slow
def test_replaced_version_ends_when_nobody_asks_for_it(node):
    for number in (1, 2):
        node.deploy_function(f"def handler(event, context):\n    return {number}\n", app="old", scale={"min": 1}, idle_timeout="1s")
    assert node.call("old/f:1").json() == 1
    eventually(lambda: len(node.pids_in("zygotes", "old")) == 1, "the end of the old version's zygote", 90)
    eventually(lambda: len(node.pids_in("instances", "old")) == 1, "only the new version's minimum")
    again = node.call("old/f:1")
    assert again.json() == 1 and server_timing(again)["start"]["desc"] == "runtime"


def test_old_version_goes_on_with_what_it_began(node):
    source = "import time\ndef handler(event, context):\n    time.sleep(float(event['rawPath'][1:]))\n    return {}\n"
    node.deploy_function(source.format(1), app="began")
    answers = []
    thread = threading.Thread(target=lambda: answers.append(node.call("began/f/2")))
    thread.start()
    eventually(lambda: node.functions("began")["began/f"]["instances"]["busy"] == 1, "the start of the call")
    node.deploy_function(source.format(2), app="began")
    assert node.call("began/f:1/0").json() == 1  # by its number at any time, busy or not
    assert node.call("began/f/0").json() == 2
    thread.join()
    assert (answers[0].status_code, answers[0].text) == (200, "1")


def test_build_command_makes_files(node):
    done = node.deploy(package("def handler(event, context):\n    return open('made.txt').read()\n", build="echo built > made.txt; echo loud")
                       | {"ebb.yaml": json.dumps({"app": "built", "build": "echo made > made.txt; echo loud words",
                                                  "functions": {"f": {"handler": "app.handler"}}})})
    events = parse_json(done.stdout)["events"]
    assert any("loud words" in event["message"] for event in events)
    assert node.call("built/f").text == "made\n"


def wheel():
    """A wheel made by hand: installed like any other, from the package itself, so that no index is asked."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("tiny_words.py", "WORDS = 'from a wheel'\n")
        archive.writestr("tiny_words-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-words\nVersion: 1.0\n")
        archive.writestr("tiny_words-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("tiny_words-1.0.dist-info/RECORD", "")
    return made.getvalue()


def test_requirements_become_a_layer(node):
    name = "tiny_words-1.0-py3-none-any.whl"
    files = {"ebb.yaml": json.dumps({"app": "layered", "functions": {name: {"handler": "app.handler"} for name in "fg"}}), name: wheel(),
             "app.py": "import tiny_words\ndef handler(event, context):\n    return [tiny_words.WORDS, tiny_words.__file__]\n",
             "requirements.txt": f"/ebb/source/{name}\n"}
    done = parse_json(node.deploy(files).stdout)
    assert any(event["phase"] == "layer" and "tiny" in event["message"] for event in done["events"])
    for function in "fg":
        words, path = node.call(f"layered/{function}").json()
        assert words == "from a wheel" and not path.startswith("/var/task")
    layers = os.listdir(node.data / "layers")
    again = parse_json(node.deploy({**files, "app.py": files["app.py"] + "# changed\n"}).stdout)
    assert [event["message"] for event in again["events"] if event["phase"] == "layer"] == ["dependencies unchanged"]
    assert os.listdir(node.data / "layers") == layers


@pytest.mark.slow
def test_requirements_are_installed_once(node):
    source = "import six\ndef handler(event, context):\n    return six.__version__\n"
    done = parse_json(node.deploy_function(source, app="needs", requirements="six==1.16.0\n").stdout)
    assert any(event["phase"] == "layer" and "six" in event["message"] for event in done["events"])
    assert node.call("needs/f").text == "1.16.0"
    layers = os.listdir(node.data / "layers")
    # Another function of the app, and other comments and white space: the layer is the same one, nothing is installed.
    both = {"ebb.yaml": json.dumps({"app": "needs", "functions": {name: {"handler": "app.handler"} for name in "fg"}}),
            "app.py": source, "requirements.txt": "# the same\n\n  six==1.16.0  \n"}
    again = parse_json(node.deploy(both).stdout)
    assert not any("nstalling" in event["message"] or "Collecting" in event["message"] for event in again["events"])
    assert os.listdir(node.data / "layers") == layers
    assert node.call("needs/g").text == "1.16.0"
    sandboxes = {group for group in node.groups().values() if group.startswith("app-needs/s")}
    assert len(sandboxes) == 1  # one runtime zygote for both


def test_env_and_working_directory(node):
    node.deploy_function("import os\ndef handler(event, context):\n    return [os.environ['COLOUR'], os.getcwd(), os.environ.get('HOME')]\n",
                         app="envs", env={"COLOUR": "sea green"})
    assert node.call("envs/f").json()[:2] == ["sea green", "/var/task"]


def test_removal(node):
    node.deploy_app("def a(e, c):\n    return 1\ndef b(e, c):\n    return 2\n", {"a": {}, "b": {}}, app="gone")
    node.call("gone/a")
    node.call("gone/b")
    assert "--yes" in node.cli("rm", "gone/a", expect=2).stderr  # nobody at a terminal to ask
    node.cli("rm", "gone/a", "--yes")
    assert node.call("gone/a").status_code == 404 and node.call("gone/b").json() == 2
    node.cli("rm", "gone", "--yes")
    assert node.call("gone/b").status_code == 404 and not any(name.startswith("gone/") for name in node.functions())
    eventually(lambda: not any(group.startswith("app-gone/") for group in node.groups().values()), "the end of its processes")
    eventually(lambda: not any("/app-gone/" in folder for folder in node.cgroup_directories()), "the end of its cgroups")
    assert node.cli("rm", "gone", "--yes", expect=3).stderr
    records = node.usage("gone")
    assert len(records) == 3  # what was used stays charged


# --- what fails ---


def test_misspelt_keys_are_named_with_the_right_one(node):
    yaml = "app: app\nfunctions:\n  f:\n    handler: app.handler\n    memroy: 1Gi\n"
    refused(node, {"ebb.yaml": yaml, "app.py": GOOD}, "memroy", "memory", "line 5")
    refused(node, {"ebb.yaml": "app: app\nfuntions: {}\n", "app.py": GOOD}, "funtions", "functions")
    refused(node, {"ebb.yaml": "app: app\nfunctions:\n  f:\n    handler: app.handler\n    scale: {maximum: 3}\n", "app.py": GOOD}, "maximum", "max")


@pytest.mark.parametrize("keys, word", [({"memory": "1Mi"}, "memory"), ({"timeout": "0s"}, "timeout"), ({"handler": "nodot"}, "handler"),
                                        ({"scale": {"max": 0}}, "scale.max"), ({"runtime": "cobol"}, "runtime"), ({"cpu": "lots"}, "cpu"),
                                        ({"network": {"egress": ["not a host!"]}}, "egress"), ({"env": {"LD_PRELOAD": "x"}}, "LD_")])
def test_values_out_of_range_are_named(node, keys, word):
    manifest = {"app": "app", "functions": {"f": {"handler": "app.handler", **keys}}}
    refused(node, {"ebb.yaml": json.dumps(manifest), "app.py": GOOD}, word)


def test_folder_without_manifest(node):
    refused(node, {"app.py": GOOD}, "ebb.yaml", expect=3)
    refused(node, {"ebb.yaml": "", "app.py": GOOD}, "empty")
    refused(node, {"ebb.yaml": "app: [", "app.py": GOOD}, "line")


def test_missing_handler(node):
    refused(node, package(handler="app.handle"), "app.py", "handle", "did you mean 'handler'")
    refused(node, package(handler="ap.handler"), "no module 'ap'", "did you mean 'app'")
    refused(node, package("handler = 5\n"), "not a function")


def test_syntax_error_names_file_and_line(node):
    done = refused(node, package("def handler(event, context):\n    return (1\n\nx = 2\n"), "app.py line 2")
    detail = parse_json(done.stdout)["error"]["detail"]
    assert "SyntaxError" in detail and "return (1" in detail


def test_import_errors(node):
    refused(node, package("import nothing_like_it\n" + GOOD), "nothing_like_it", "app.py line 1", "requirements.txt")
    done = refused(node, package("\n\ndef f():\n    raise ValueError('bad weights')\nf()\n"), "bad weights", "app.py line 4")
    assert "Traceback" in parse_json(done.stdout)["error"]["detail"]


def test_init_that_exits_or_dies(node):
    refused(node, package("import sys\nsys.exit(3)\n"), "sys.exit(3)")
    refused(node, package("import os\nos._exit(4)\n"), "exit status 4", "loading")
    refused(node, package("import os\nos.abort()\n"), "signal", "loading")


def test_init_out_of_memory(node):
    manifest = {"app": "app", "functions": {"f": {"handler": "app.handler", "memory": "64Mi"}}}
    refused(node, {"ebb.yaml": json.dumps(manifest), "app.py": "x = bytearray(b'1') * (512 << 20)\n" + GOOD}, "memory")


def test_failing_hook(node):
    refused(node, package("import ebb\n@ebb.before_snapshot\ndef f():\n    raise OSError('cannot close')\n" + GOOD), "before_snapshot", "cannot close")


@pytest.mark.slow
def test_init_that_never_ends(node):
    refused(node, package("while True:\n    pass\n"), "init", "longer than 2m")


def test_failing_build_command_shows_its_words(node):
    done = refused(node, package(build="echo so far so good; echo no such compiler >&2; exit 9"), "build command failed")
    detail = parse_json(done.stdout)["error"]["detail"]
    assert "so far so good" in detail and "no such compiler" in detail


def test_a_build_command_longer_than_an_order_is_refused(node):
    refused(node, package(build="true " + "x" * 66_000), "the command of build and its environment have 66", "the limit is 65512",
            "put what is long into a file")


def test_failing_requirements_show_pips_words(node):
    done = refused(node, package(requirements="six==1.16.0 and nonsense\n"), "requirements.txt cannot be installed")
    assert "nonsense" in parse_json(done.stdout)["error"]["detail"]


def test_one_bad_function_of_two_changes_neither(node):
    two = {"ebb.yaml": json.dumps({"app": "app", "functions": {"f": {"handler": "app.handler", "memory": "77Mi"},
                                                               "g": {"handler": "app.missing"}}}), "app.py": GOOD}
    refused(node, two, "missing")
    assert node.call("app/g").status_code == 404


def test_failed_deployments_are_no_versions(node):
    node.deploy_function(GOOD, app="counted")
    node.deploy(package("import nothing_like_it\n") | {"ebb.yaml": json.dumps({"app": "counted", "functions": {"f": {"handler": "app.handler"}}})},
                expect=2)
    node.deploy_function(GOOD + "# changed\n", app="counted")
    current = int(node.call("counted/f").headers["X-Ebb-Version"])
    assert [number for number in range(1, current + 2) if node.call(f"counted/f:{number}").status_code == 404] == \
        [*range(2, current), current + 1]


def test_only_packages_that_a_version_refers_to_are_kept(fresh_node):
    node = fresh_node
    node.deploy_function("def handler(event, context):\n    return 1\n")
    kept = set(os.listdir(node.data / "packages"))
    assert len(kept) == 1  # what was built; the upload it was built from is gone
    node.deploy_function("raise SystemError('in init')\ndef handler(event, context):\n    return 2\n", expect=2)
    assert set(os.listdir(node.data / "packages")) == kept
    assert node.call("app/f").json() == 1
    node.cli("rm", "app", "--yes")
    node.deploy_function("def handler(event, context):\n    return 3\n", app="other")
    assert len(os.listdir(node.data / "packages")) == 1 and not kept & set(os.listdir(node.data / "packages"))
