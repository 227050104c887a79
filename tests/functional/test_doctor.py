"""`ebb doctor` on this machine: what it says is true, what it is told to look at it looks at, and it changes nothing."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from ebb_node import BINARY


def doctor(*arguments, prefix=(), expect=0):
    done = subprocess.run([*prefix, str(BINARY), "doctor", *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False)
    assert expect is None or done.returncode == expect, done.stdout + done.stderr
    return done


def checks(*arguments, **options):
    told = json.loads(doctor("--json", *arguments, **options).stdout)
    return {check["id"]: check for check in told["checks"]}


def configuration(tmp_path, **settings):
    file = tmp_path / "ebb.yaml"
    file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in {"data_dir": str(tmp_path), **settings}.items()))
    return file


def test_a_host_that_runs_nodes_has_no_problem(tmp_path):
    found = checks("--config", configuration(tmp_path))
    assert not [check for check in found.values() if check["verdict"] == "problem"]
    assert os.uname().release in found["kernel"]["found"]
    for check in found.values():
        assert check["found"] and (check["verdict"] == "ok" or check["costs"] or check["id"] == "privilege"), check


def test_its_text_ends_with_a_count_and_has_no_colours_in_a_pipe(tmp_path):
    text = doctor("--config", configuration(tmp_path)).stdout
    assert "\x1b" not in text
    assert text.splitlines()[-1].startswith("0 problems, ")


def test_a_problem_is_its_exit_status(tmp_path):
    found = checks("--config", configuration(tmp_path, user="no-such-account", python="/no/such/python"), expect=1)
    assert found["account"]["verdict"] == found["python"]["verdict"] == "problem"
    assert "useradd" in found["account"]["remedy"]


def test_it_leaves_nothing_behind(tmp_path):
    def state():
        mounts = pathlib.Path("/proc/self/mountinfo").read_text()
        groups = {path for root in ("memory", "pids", "unified") for path in pathlib.Path("/sys/fs/cgroup", root).glob("ebb-doctor*")}
        return mounts, groups, sorted(tmp_path.iterdir()), sorted(os.listdir("/sys/class/net"))

    file = configuration(tmp_path)
    before = state()
    doctor("--config", file)
    assert state() == before


def test_only_favordynmods_is_mended():
    done = doctor("--fix", "kernel", expect=2)
    assert "favordynmods" in done.stderr


@pytest.mark.parametrize("most, words", [("0", "no user namespace can be made"), ("1", "only root can use user namespaces")])
def test_hosts_that_forbid_user_namespaces_are_told_of_the_second_path(tmp_path, most, words):
    """The limit is set in a user namespace of the test's own and holds only there."""
    prefix = (sys.executable, pathlib.Path(__file__).parent / "namespace_limits.py", most)
    found = checks("--config", configuration(tmp_path), prefix=prefix, expect=None)
    assert found["user_namespaces"]["verdict"] == "warning"
    assert words in found["user_namespaces"]["found"]
    assert "instances: fresh" in found["user_namespaces"]["costs"]
    assert found["user_namespaces"]["remedy"].startswith("sysctl -w user.max_user_namespaces=")
