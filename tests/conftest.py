"""Fixtures for every test that needs a running Ebb: `node` (one per module, quick) and `fresh_node` (one for the test alone)."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "functional"))


def pytest_configure(config):
    config.addinivalue_line("markers", "sanitized: also run against the sanitizer build")
    config.addinivalue_line("markers", "slow: long; only with `./dev test --slow`")


def _need_a_binary_and_root():
    from ebb_node import BINARY
    if not BINARY.exists():
        pytest.fail(f"no binary at {BINARY}: ./dev build release, or set EBB_BIN")
    if os.geteuid() != 0:
        pytest.fail("starting sandboxes needs root")


def _running(config=None):
    _need_a_binary_and_root()
    from ebb_node import Node, running
    with running(Node(config)) as node:
        yield node


@pytest.fixture(scope="module")
def node():
    """A node shared by the tests of a module; what it left behind fails the module's last test."""
    yield from _running()


@pytest.fixture
def fresh_node(request):
    """A node for one test. Configuration keys by `@pytest.mark.parametrize("fresh_node", [{...}], indirect=True)`."""
    yield from _running(getattr(request, "param", None))
