"""`ebb init`: every template is made, and what it says is to be done next is done, word for word: the function answers."""

import json
import os
import pathlib
import shlex
import shutil
import subprocess

import pytest

import lambda_clients
from ebb_node import BINARY, ROOT

ANSWERS = {
    "python": "hello, Ada", "node": "hello, Ada", "typescript": '"price":750', "flask": '"square":49', "django": '"square": 49', "fastapi": "data: [DONE]", "express": '"square":49', "http": "hello, Ada\n", "fc": '"large": 1600', "lambda": '"total": 3', "go": '"total":3', "rust": '"total":3',
    "image": "A file of the image", "model": '"model_name"', "cpp": "hello, Ada"}
FETCHING = {"go", "rust"}  # from Go's proxy and crates.io
NEEDED = {"go": ["go"], "rust": ["cargo", "cc"], "node": ["node"], "express": ["node", "npm"], "typescript": ["node", "npm"], "image": ["umoci", "skopeo", "busybox"], "cpp": ["g++", "cmake"]}


def ebb(*words, folder, expect=0):
    """The command line alone: these commands need no node."""
    done = subprocess.run([str(BINARY), *words], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


def sdk(folder):
    build = folder / "sdk-build"
    for words in (["-S", ROOT / "sdk/cpp", "-B", build], ["--install", build, "--prefix", folder / "sdk"]):
        subprocess.run(["cmake", *map(str, words)], check=True, capture_output=True, timeout=300)
    return folder / "sdk"


def test_the_list_is_what_can_be_made(tmp_path):
    listed = json.loads(ebb("init", "--list", "--json", folder=tmp_path).stdout)["templates"]
    assert {one["name"] for one in listed} == set(ANSWERS) and all(one["about"] for one in listed)
    shown = ebb("init", "--list", folder=tmp_path).stdout
    assert all(one["name"] in shown and one["about"] in shown for one in listed)
    assert " ".join(one["name"] for one in listed) in ebb("completion", "bash", folder=tmp_path).stdout
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if name in FETCHING else name for name in ANSWERS])
def test_a_template_does_what_it_says_next(node, tmp_path, name):
    if missing := [program for program in NEEDED.get(name, []) if not lambda_clients.program(program)]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    app = f"made-{name}"
    told = json.loads(node.cli("init", name, tmp_path / app, "--json").stdout)
    assert told["app"] == app and told["template"] == name
    folder = pathlib.Path(told["folder"])
    assert sorted(told["files"]) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    steps = told["next"]
    assert steps[0] == f"cd {folder}" and steps[-1] == f"ebb logs {app}"
    call = shlex.split(steps[-2])
    assert call[:2] == ["curl", "-s"]
    tools = {os.path.dirname(lambda_clients.program(program)) for program in NEEDED.get(name, [])}
    path = {**os.environ, **node.environment(), "PATH": ":".join([str(BINARY.parent), os.environ["PATH"], *sorted(tools)])}
    for variable, folder_of in (("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")):  # the home of `environment` is another
        path.setdefault(variable, str(pathlib.Path.home() / folder_of))
    for step in steps[1:-2]:
        if name == "cpp":
            step = step.replace("=SDK", f"={sdk(tmp_path)}") if "=SDK" in step else step
        done = subprocess.run(["sh", "-c", step], cwd=folder, env=path, capture_output=True, text=True, timeout=600, check=False)
        assert done.returncode == 0, f"{step}\n{done.stdout}{done.stderr}"
    data = call[call.index("--data") + 1] if "--data" in call else None
    if data and data.startswith("@"):
        data = (folder / data[1:]).read_text()
    headers = dict(word.split(":", 1) for before, word in zip(call, call[1:]) if before == "-H")
    answer = node.call(call[-1].removeprefix(node.url), data=data, headers=headers)
    assert answer.status_code == 200 and ANSWERS[name] in answer.text, answer.text
    node.cli("logs", app)
    node.cli("rm", app, "--yes")


def test_the_files_are_those_of_the_example(tmp_path):
    ebb("init", "image", "--app", "shop", folder=tmp_path)
    example = ROOT / "examples/image"
    for path in (tmp_path / "image").rglob("*"):
        if path.is_file() and path.name != "ebb.yaml":
            original = example / path.relative_to(tmp_path / "image")
            assert path.read_bytes() == original.read_bytes()
            assert os.access(path, os.X_OK) == os.access(original, os.X_OK)
    ours, theirs = ((where / "ebb.yaml").read_text().splitlines() for where in (tmp_path / "image", example))
    assert ours[0] == "app: shop" and ours[1:] == theirs[1:]


def test_nothing_is_written_over(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "app.py").write_text("precious")
    assert "not empty" in ebb("init", "python", "mine", folder=tmp_path, expect=5).stderr
    assert os.listdir(folder) == ["app.py"] and (folder / "app.py").read_text() == "precious"
    (tmp_path / "file").write_text("a file")
    assert "file" in ebb("init", "python", "file", folder=tmp_path, expect=5).stderr
    (tmp_path / "empty").mkdir()
    ebb("init", "python", "empty", folder=tmp_path)
    assert (tmp_path / "empty/ebb.yaml").read_text().startswith("app: empty\n")


def test_what_is_asked_wrongly_is_said(tmp_path):
    assert "did you mean python?" in ebb("init", "pyton", folder=tmp_path, expect=2).stderr
    assert "ebb init --list" in ebb("init", folder=tmp_path, expect=2).stderr
    assert "app" in ebb("init", "python", "--app", "Not A Name", folder=tmp_path, expect=2).stderr
    assert not os.listdir(tmp_path)
    ebb("init", "python", "Not A Name", folder=tmp_path)  # a folder may be called so, an app may not: the template's name stays
    assert (tmp_path / "Not A Name/ebb.yaml").read_text().startswith("app: hello\n")
