"""./dev COMMAND --help teaches and does nothing else, and what a command does not know it refuses."""

import re
import shutil
import subprocess

import pytest

from tree import ROOT

COMMANDS = ("up", "down", "status", "build", "test", "bench", "fmt", "tidy", "fuzz", "deps")


@pytest.fixture(scope="module")
def dev(tmp_path_factory):
    """Runs ./dev with only the programs that it needs for that: whatever else it tried would fail, and change nothing."""
    programs = tmp_path_factory.mktemp("programs")
    for name in ("dirname", "readlink", "cat"):
        (programs / name).symlink_to(shutil.which(name))
    return lambda *words: subprocess.run([ROOT / "dev", *words], env={"PATH": str(programs)}, capture_output=True, text=True, timeout=60, check=False)


def test_the_commands_are_all_there_are(dev):
    told = re.findall(r"^  ([a-z]+) +(?:\[|[a-z])", dev("--help").stdout, re.MULTILINE)
    assert set(told) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help(dev, command, word):
    done = dev(command, word)
    assert done.returncode == 0 and done.stdout.startswith("usage: ./dev"), done.stderr


@pytest.mark.parametrize("command", ["build", "test", "fmt", "tidy", "fuzz", "deps"])
def test_what_a_command_does_not_know(dev, command):
    done = dev(command, "--unheard-of")
    assert done.returncode == 1 and f"dev: {command} knows" in done.stderr and "--unheard-of" in done.stderr, done.stderr
