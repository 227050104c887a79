"""Which Node a function gets, and what is said where there is none that will do."""

import importlib
import os
import sys
import types

import pytest

_package = sys.modules.setdefault("_ebb_runtime", types.ModuleType("_ebb_runtime"))
_package.__path__ = [os.path.join(os.path.dirname(__file__), "..")]
loading, node_program = (importlib.import_module(f"_ebb_runtime.{name}") for name in ("loading", "node_program"))


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_the_package_may_bring_its_own_node(tmp_path, monkeypatch):
    own = executable(tmp_path / "node", "#!/bin/sh\necho v20.1.0\n")
    monkeypatch.setattr(node_program, "_OWN", (str(tmp_path / "missing"), own))
    assert node_program.find_node() == own
    os.chmod(own, 0o644)
    monkeypatch.setattr(node_program.shutil, "which", lambda name, path: "/usr/bin/node")
    assert node_program.find_node() == "/usr/bin/node"


def test_without_node_the_remedy_is_told(monkeypatch):
    monkeypatch.setattr(node_program.shutil, "which", lambda name, path: None)
    with pytest.raises(loading.LoadError) as told:
        node_program.find_node()
    assert told.value.kind == "NoNode" and "apt-get install nodejs" in told.value.message


@pytest.mark.parametrize("script, text", [
    ("echo v16.20.2", "is Node v16.20.2, 18 or newer is needed"), ("echo hello", "does not run here"), ("exit 1", "does not run here")])
def test_a_node_that_will_not_do_is_refused(tmp_path, script, text):
    path = executable(tmp_path / "node", f"#!/bin/sh\n{script}\n")
    with pytest.raises(loading.LoadError) as told:
        node_program.check_version(path)
    assert text in told.value.message


@pytest.mark.parametrize("version", ["v18.19.0", "v22.1.0"])
def test_a_node_that_will_do(tmp_path, version):
    node_program.check_version(executable(tmp_path / "node", f"#!/bin/sh\necho {version}\n"))
