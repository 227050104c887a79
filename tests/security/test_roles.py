"""What launcher and daemon have given up, as the kernel shows it of a running node; what they try is in the unit tests."""

import contextlib
import os
import pathlib
import resource
import stat

# linux/capability.h
KEPT = {"CHOWN": 0, "DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8,
        "NET_ADMIN": 12, "SYS_PTRACE": 19, "SYS_ADMIN": 21, "SYS_NICE": 23, "SYS_RESOURCE": 24}


def status(pid, task=None):
    path = f"/proc/{pid}/task/{task}/status" if task else f"/proc/{pid}/status"
    return {name: value.strip() for name, value in (line.split(":", 1) for line in open(path))}


def test_a04_the_launcher_keeps_what_it_uses(node):
    seen = status(node.launcher_pid)
    ours = int(status("self")["CapPrm"], 16)  # of root on this host
    assert int(seen["CapEff"], 16) == int(seen["CapPrm"], 16) == int(seen["CapBnd"], 16) == ours & sum(1 << bit for bit in KEPT.values())
    assert int(seen["CapInh"], 16) == int(seen["CapAmb"], 16) == 0
    assert seen["NoNewPrivs"] == "1" and seen["Seccomp"] == "2" and seen["Seccomp_filters"] == "2"


def test_a04_every_thread_of_the_daemon_is_filtered(node):
    tasks = os.listdir(f"/proc/{node.daemon_pid}/task")
    assert len(tasks) > 1
    for task in tasks:
        seen = status(node.daemon_pid, task)
        assert all(int(seen[name], 16) == 0 for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
        assert seen["NoNewPrivs"] == "1" and seen["Seccomp_filters"] == "4"  # the launcher's two and its own two


# Processes end and close files while they are looked at.
def open_files(pid):
    files = []
    with contextlib.suppress(OSError):
        for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                files.append(os.readlink(entry))
    return files


def environment(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    return b""


GENEROUS = {resource.RLIMIT_NICE: 40, resource.RLIMIT_RTPRIO: 99, resource.RLIMIT_CORE: resource.RLIM_INFINITY}


def test_a08_nothing_inherited_stays_open(tmp_path):
    """Descriptors, variables and generous limits of whoever starts a node reach neither the daemon nor a function."""
    from ebb_node import Node, running
    secret = tmp_path / "secret"
    secret.write_text("of the one who started it")
    fd = os.open(secret, os.O_RDONLY)
    os.set_inheritable(fd, True)
    os.environ["A_SECRET_OF_THE_SHELL"] = "x"
    before = {limit: resource.getrlimit(limit) for limit in GENEROUS}
    for limit, value in GENEROUS.items():
        with contextlib.suppress(ValueError):  # root of some containers may not
            resource.setrlimit(limit, (value, value))
    try:
        with running(Node(inherit=(fd,))) as node:
            node.deploy_function("import os\ndef handler(event, context):\n    return dict(os.environ)\n")
            assert "A_SECRET_OF_THE_SHELL" not in node.call("app/f").json()
            for pid in node.pids_in("instances") | node.pids_in("zygotes"):
                limits = [resource.prlimit(pid, limit) for limit in GENEROUS]
                assert limits == [(0, 0), (0, 0), (1, 1)]
            assert any(open_files(pid) and environment(pid) for pid in node.pids())
            for pid in node.pids():
                assert str(secret) not in open_files(pid)
                assert b"A_SECRET_OF_THE_SHELL" not in environment(pid)
    finally:
        os.close(fd)
        del os.environ["A_SECRET_OF_THE_SHELL"]
        for limit, values in before.items():
            resource.setrlimit(limit, values)


def test_a08_what_builds_need_reaches_the_daemon_alone(monkeypatch):
    """An index's address may hold a password: the launcher, which sandboxes begin as copies of, does not remember it."""
    from ebb_node import Node, described, running
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:a-password-of-the-index@index.invalid/simple")
    with running(Node()) as node:
        node.deploy_function("import os\ndef handler(event, context):\n    return dict(os.environ)\n")
        assert "PIP_INDEX_URL" not in node.call("app/f").json()
        assert b"a-password-of-the-index" in environment(node.daemon_pid)
        others = node.pids() - {node.daemon_pid}
        assert node.launcher_pid in others and len(others) > 2
        for pid in others:
            assert b"a-password-of-the-index" not in environment(pid)
            assert b"a-password-of-the-index" not in memory(pid), described(pid)


def memory(pid):
    """All that a process may write to, as far as it is there."""
    found = []
    with contextlib.suppress(OSError), open(f"/proc/{pid}/mem", "rb", 0) as file:
        for line in pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines():
            places, rights = line.split()[:2]
            begin, end = (int(place, 16) for place in places.split("-"))
            if rights.startswith("rw") and end - begin < 1 << 28:
                with contextlib.suppress(OSError):
                    file.seek(begin)
                    found.append(file.read(end - begin))
    return b"".join(found)


def test_a12_nothing_of_the_node_is_writable_by_all(node):
    node.deploy_function("def handler(event, context):\n    return 1\n", app="modes")
    assert node.call("modes/f").status_code == 200
    writable = [path for path in node.data.rglob("*") if not path.is_symlink() and path.stat().st_mode & stat.S_IWOTH]
    assert not writable
