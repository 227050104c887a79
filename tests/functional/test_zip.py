"""`ebb deploy --zip`, with an ebb.yaml in it and without, and what no honest zip holds; `ebb build`."""

import json
import os
import stat
import zipfile

import pytest

LAMBDA = "def lambda_handler(event, context):\n    import helper\n    return {'statusCode': 200, 'body': helper.WORD + event['rawPath']}\n"
MANIFEST = json.dumps({"app": "zipped", "functions": {"f": {"handler": "lambda_function.lambda_handler"}}})


def make(path, members):
    """{name: text}, or a ZipInfo as the name."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in members.items() if isinstance(members, dict) else members:
            made.writestr(name, text)
    return path


def link(name):
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.fixture
def code(tmp_path):
    return make(tmp_path / "code.zip", {"lambda_function.py": LAMBDA, "helper.py": "WORD = 'from a zip, '\n"})


def deploy(node, *words, expect=0):
    return node.cli("deploy", "--zip", *words, expect=expect)


def test_a_zip_with_a_manifest(node, tmp_path):
    deploy(node, make(tmp_path / "app.zip", {"ebb.yaml": MANIFEST, "lambda_function.py": LAMBDA, "helper.py": "WORD = 'x'\n"}))
    assert node.call("zipped/f/y").text == "x/y"
    refused = deploy(node, tmp_path / "app.zip", "zipped/f", expect=2)
    assert "has an ebb.yaml, which says all of that" in refused.stderr


def test_a_function_alone_as_lambda_takes_it(node, code):
    deploy(node, code, "alone/orders", "--handler", "lambda_function.lambda_handler", "--memory", "64Mi")
    assert node.call("alone/orders/7").text == "from a zip, /7"
    assert node.functions("alone")["alone/orders"]["spec"]["memory"] == "64Mi"
    taken = deploy(node, code, "alone/other", "--handler", "lambda_function.lambda_handler", expect=5)
    assert "orders" in taken.stderr, "a deployment would remove it"


def test_an_executable_stays_one(node, tmp_path):
    info = zipfile.ZipInfo("bootstrap")
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o755) << 16
    program = ('#!/usr/bin/python3\nimport os, urllib.request\napi = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"] + "/2018-06-01/runtime/invocation/"\n'
               'while True:\n    got = urllib.request.urlopen(api + "next")\n'
               '    urllib.request.urlopen(api + got.headers["Lambda-Runtime-Aws-Request-Id"] + "/response", data=b\'"ran"\')\n')
    deploy(node, make(tmp_path / "bootstrap.zip", [(info, program)]), "custom/f", "--runtime", "lambda")
    assert json.loads(node.cli("invoke", "custom/f").stdout) == "ran"


def test_what_no_honest_zip_holds(node, tmp_path):
    def refused(words, members, *more):
        assert words in deploy(node, make(tmp_path / "bad.zip", members), "bad/f", "--handler", "a.b", *more, expect=2).stderr

    before = set(os.listdir(tmp_path.parent))
    good = ("a.py", "x = 1\n")
    refused("lies outside of it", [good, ("../evil.py", "")])
    refused("lies outside of it", [good, ("/tmp/evil.py", "")])
    refused("lies outside of it", [good, ("deep/../../evil.py", "")])
    refused("twice", [good, good])
    refused("twice", [good, ("./a.py", "")])
    refused("bad.zip", [(link("out"), "/etc"), ("out/evil", "")])  # through a link of its own
    refused("out", [good, (link("out"), "/etc/passwd")])
    refused("empty", [])
    assert set(os.listdir(tmp_path.parent)) == before and not os.path.exists("/tmp/evil.py") and not os.path.exists("/etc/evil")
    assert "bad" not in {name.split("/")[0] for name in node.functions()}


def test_too_much_in_a_zip(node, tmp_path):
    big = tmp_path / "big.zip"
    with zipfile.ZipFile(big, "w", zipfile.ZIP_DEFLATED) as made, made.open("zeros", "w", force_zip64=True) as file:
        block = bytes(1 << 24)
        for _ in range(65):  # 1,040 MiB in about 1 MiB
            file.write(block)
    done = deploy(node, big, "bad/f", "--handler", "a.b", expect=None)
    assert done.returncode != 0 and "unpacked, which is the limit" in done.stderr


def test_what_is_no_zip_or_lacks_a_name(node, tmp_path, code):
    assert "no file" in deploy(node, tmp_path / "none.zip", expect=3).stderr
    (tmp_path / "text.zip").write_text("no zip at all")
    assert "cannot be unpacked" in deploy(node, tmp_path / "text.zip", "a/b", "--handler", "a.b", expect=2).stderr
    assert "has no ebb.yaml" in deploy(node, code, expect=2).stderr
    whole = make(tmp_path / "whole.zip", {"repo/ebb.yaml": MANIFEST, "repo/lambda_function.py": LAMBDA})
    assert "zip the contents" in deploy(node, whole, expect=2).stderr
    assert "handler" in deploy(node, code, "a/b", expect=2).stderr
    assert "--memory" in node.cli("deploy", tmp_path, "--memory", "64Mi", expect=2).stderr


BUILT = {"ebb.yaml": json.dumps({"app": "built", "build": "echo made here > made.txt; echo said aloud", "functions": {"f": {"handler": "app.handler"}}}),
         "app.py": "def handler(event, context):\n    return open('made.txt').read()\n"}


def built(node, folder):
    return json.loads(node.cli("build", folder, "--json").stdout)


def test_build_publishes_nothing_and_deploy_takes_it_from_there(node, tmp_path):
    for name, text in BUILT.items():
        (tmp_path / name).write_text(text)
    first = built(node, tmp_path)
    said = [event["message"] for event in first["events"]]
    assert "said aloud" in said and first["functions"] == [] and first["layer"] == ""
    assert (node.data / "packages" / first["package"] / "made.txt").read_text() == "made here\n"
    assert "built/f" not in node.functions()
    assert node.call("built/f").status_code == 404
    again = built(node, tmp_path)
    assert again["package"] == first["package"] and "code unchanged" in [event["message"] for event in again["events"]]
    shown = node.cli("build", tmp_path).stdout
    assert "built built" in shown and first["package"] in shown and "requirements none" in shown
    done = json.loads(node.cli("deploy", tmp_path, "--json").stdout)
    assert "code unchanged" in [event["message"] for event in done["events"]] and done["package"] == first["package"]
    assert node.call("built/f").text == "made here\n"
    (tmp_path / "app.py").write_text(BUILT["app.py"] + "# other\n")
    assert built(node, tmp_path)["package"] != first["package"]


def test_a_build_that_fails_says_why(node):
    (folder := node.directory / "failing").mkdir()
    (folder / "ebb.yaml").write_text(json.dumps({"app": "built", "build": "echo so far; exit 3", "functions": {"f": {"handler": "app.handler"}}}))
    failed = node.cli("build", folder, expect=2)
    assert "the build command failed" in failed.stderr and "so far" in failed.stderr
    assert node.call("/api/v1/deployments?only=nothing", data=b"x", method="POST").status_code == 400
