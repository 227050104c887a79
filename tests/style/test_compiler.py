"""The coroutine rule's reason, tried on the compiler at hand: tests/compiler/README.md."""

import os
import subprocess

import pytest

from tree import ROOT

COMPILER = os.environ.get("CXX", "g++")
SOURCE = ROOT / "tests/compiler/coroutine_arguments.cc"


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    binary = tmp_path_factory.mktemp("canary") / "canary"
    subprocess.run([COMPILER, "-std=c++20", "-O1", str(SOURCE), "-o", str(binary)], check=True)
    return lambda form: subprocess.run([str(binary), form], capture_output=True, check=False).returncode


def test_the_allowed_form_is_compiled_right(canary):
    assert canary("named") == 0


@pytest.mark.parametrize("form", ["aggregate", "condition", "lambda"])
def test_the_forbidden_forms_are_still_miscompiled(canary, form):
    version = subprocess.run([COMPILER, "-dumpfullversion"], capture_output=True, text=True, check=False).stdout
    if not version.startswith("12."):
        pytest.skip("only g++ 12 is known to be wrong")
    assert canary(form) != 0, "this g++ is right: relax the coroutine rule"
