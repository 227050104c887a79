import os
import subprocess
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))

import sandbox as sandboxes  # noqa: E402


def pytest_collection_modifyitems(items):
    missing = "needs root" if os.geteuid() != 0 else None
    if not os.path.exists(os.path.join(sandboxes.RUNTIME, "python", "_ebb.abi3.so")):
        missing = f"no runtime at {sandboxes.RUNTIME}: build ebb_python_runtime and set EBB_RUNTIME_DIR"
    for item in items:
        if missing:
            item.add_marker(pytest.mark.skip(reason=missing))


@pytest.fixture(scope="session")
def sandbox():
    box = sandboxes.Sandbox()
    yield box
    box.close()


@pytest.fixture(scope="session")
def layer(tmp_path_factory):
    """A dependency layer with numpy and a wheel that bundles its own OpenSSL."""
    given = os.environ.get("EBB_TEST_LAYER")
    if given:
        return given
    path = tmp_path_factory.mktemp("layer")
    os.chmod(path.parent.parent, 0o755)
    os.chmod(path.parent, 0o755)
    os.chmod(path, 0o755)
    command = ["/usr/bin/python3", "-m", "pip", "install", "-q", "--target", str(path), "numpy", "cryptography"]
    if subprocess.run(command, capture_output=True, timeout=300).returncode != 0:
        pytest.skip("pip cannot install numpy and cryptography here")
    return str(path)


@pytest.fixture(scope="session")
def layered(layer):
    box = sandboxes.Sandbox(layer=layer)
    yield box
    box.close()


@pytest.fixture
def function(sandbox, tmp_path):
    """function(source) -> an instance of a function with that source, from a function zygote of its own."""
    made = []

    def make(source, box=sandbox, handler="app.handler", **fields):
        path = tmp_path / f"p{len(made)}"
        path.mkdir()
        open_to_all(path)
        zygote = box.fork_function(sandboxes.package(source, str(path)), handler, **fields)
        made.append(zygote)
        instance = zygote.fork()
        made.append(instance)
        return instance

    yield make
    for thing in made:
        thing.close()


@pytest.fixture
def loads(sandbox, tmp_path):
    """loads(source) -> a function zygote."""
    made = []

    def make(source, box=sandbox, handler="app.handler", name="app.py", files=None, **fields):
        path = tmp_path / f"z{len(made)}"
        path.mkdir()
        open_to_all(path)
        zygote = box.fork_function(sandboxes.package(source, str(path), name, **(files or {})), handler, **fields)
        made.append(zygote)
        return zygote

    yield make
    for zygote in made:
        zygote.close()


def open_to_all(path):
    """pytest's folders are closed to others; a package is read by uid 1000."""
    os.chmod(path, 0o755)
