"""What user code can do wrong, while it is loaded and in an invocation: each gets its own clear answer."""

import os
import signal

import pytest
from sandbox import Died, Failed, InitFailed

OK = "def handler(event, context):\n    return 1\n"


@pytest.mark.parametrize(
    "source, handler, kind, says",
    [
        ("x = 1\ndef handler(e, c)\n", "app.handler", "SyntaxError", "app.py line 2: expected ':'"),
        (
            "import json\nimport nothing_such\n",
            "app.handler",
            "ModuleNotFoundError",
            "'nothing_such' (imported by app.py line 2)",
        ),
        ("import nothing_such\n", "app.handler", "ModuleNotFoundError", "requirements.txt"),
        ("from json import nope\n", "app.handler", "ImportError", "app.py line 1: cannot import name 'nope'"),
        ("a = {}\nb = a['k']\n", "app.handler", "KeyError", "app.py line 2: 'k'"),
        ("import sys\nsys.exit(3)\n", "app.handler", "SystemExit", "sys.exit(3)"),
        (OK, "ap.handler", "ModuleNotFoundError", "no module 'ap': its top has app.py; did you mean 'app'?"),
        (OK, "app.handlr", "AttributeError", "app.py has no attribute 'handlr'; did you mean 'handler'?"),
        ("handler = 5\n", "app.handler", "TypeError", "is a int, not a function"),
        (OK, "handler", "ValueError", "not of the form FILE.FUNCTION"),
        (
            OK + "import ebb\n@ebb.before_snapshot\ndef f():\n    1 / 0\n",
            "app.handler",
            "ZeroDivisionError",
            "before_snapshot hook failed",
        ),
        ("import ebb\nebb.after_restore(5)\n", "app.handler", "TypeError", "takes a function, not int"),
    ],
)
def test_load_failures(loads, sandbox, tmp_path, source, handler, kind, says):
    with pytest.raises(InitFailed) as error:
        loads(source, handler=handler)
    assert error.value.kind == kind and says in error.value.message
    assert "_ebb_runtime" not in error.value.trace and "/ebb/runtime" not in error.value.trace
    assert "importlib" not in error.value.trace

    # The same where the instance loads the function itself: as the error of its start.
    path = tmp_path / "code"
    path.mkdir()
    path.chmod(0o755)
    (path / "app.py").write_text(source)
    if "before_snapshot" in source:
        return  # there is no snapshot in that case, and no such hook
    with pytest.raises(Failed) as failed:
        sandbox.fork(str(path), handler)
    assert failed.value.kind == "init" and failed.value.type == kind and says in failed.value.message


def test_trace_has_the_users_frames(loads):
    with pytest.raises(InitFailed) as error:
        loads("def f():\n    raise ValueError('deep')\n\nf()\n")
    assert [line.strip() for line in error.value.trace.splitlines()] == [
        "Traceback (most recent call last):",
        'File "/var/task/app.py", line 4, in <module>', "f()",
        'File "/var/task/app.py", line 2, in f', "raise ValueError('deep')",
        "ValueError: deep",
    ]  # fmt: skip


def test_death_while_loading_is_seen(loads):
    with pytest.raises(Died):
        loads("import os\nos._exit(5)\n")


def test_raising_handler_goes_on(function):
    instance = function("def handler(event, context):\n    return event['missing']\n")
    for _ in range(2):
        with pytest.raises(Failed) as error:
            instance.call({})
        assert (error.value.kind, error.value.type, error.value.message) == ("raised", "KeyError", "'missing'")
        assert error.value.trace.splitlines()[1] == '  File "/var/task/app.py", line 2, in handler'
        assert instance.control.read_err() == error.value.trace  # and it is in the log


def test_chained_errors_and_own_types(function):
    source = """
        class Mine(Exception):
            pass
        def handler(event, context):
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise Mine("outer") from error
    """
    with pytest.raises(Failed) as error:
        function(source).call()
    assert error.value.type == "app.Mine" and "ZeroDivisionError" in error.value.trace


@pytest.mark.parametrize(
    "statement, type_name",
    [
        ("sys.exit(2)", "SystemExit"),
        ("exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
    ],
)
def test_leaving_is_answered_and_ends_the_instance(function, statement, type_name):
    instance = function(f"import sys\ndef handler(event, context):\n    {statement}\n")
    with pytest.raises(Failed) as error:
        instance.call()
    assert (error.value.kind, error.value.type) == ("ended", type_name)
    assert instance.ended()


@pytest.mark.parametrize(
    "statement",
    [
        "os._exit(0)",
        "os.kill(os.getpid(), 15)",
        "signal.alarm(1) or time.sleep(60)",
        "os.close(3)",
        "os.abort()",
        "os.closerange(0, 100)",
        "ctypes.string_at(8)",
    ],
)
def test_sudden_ends_are_seen(function, statement):
    instance = function(f"import ctypes, os, signal, time\ndef handler(event, context):\n    {statement}\n")
    with pytest.raises((Died, ConnectionResetError)):
        instance.call()


def test_closed_output_does_not_hang(function):
    instance = function("import os\ndef handler(e, c):\n    os.closerange(0, 3)\n    print('x')\n    return 1\n")
    for _ in range(2):
        try:
            assert instance.call().json() == 1
        except Failed as error:  # print() may raise: it is the user's affair
            assert error.type == "OSError"


def test_recursion_and_memory(function):
    source = """
        def handler(event, context):
            if event == "deep":
                return handler(event, context)
            return b"x" * (1 << 46)
    """
    instance = function(source)
    for event, kind in (("deep", "RecursionError"), ("big", "MemoryError")):
        with pytest.raises(Failed) as error:
            instance.call(event)
        assert error.value.type == kind and len(error.value.trace) < 40_000


def test_errors_that_cannot_be_printed(function):
    source = """
        class Bad(Exception):
            def __str__(self):
                raise RuntimeError
        def handler(event, context):
            raise Bad if event else ValueError("x" * 1_000_000)
    """
    instance = function(source)
    with pytest.raises(Failed, match="cannot be read"):
        instance.call(1)
    with pytest.raises(Failed) as error:
        instance.call(0)
    assert len(error.value.message) < 10_000


def test_worker_that_returns_from_the_handler(function):
    source = """
        import os
        def handler(event, context):
            pid = os.fork()
            if pid:
                os.waitpid(pid, 0)
            return ["parent", pid > 0]
    """
    instance = function(source)
    for _ in range(3):
        assert instance.call().json() == ["parent", True]


def test_daemon_leaves(function):
    instance = function(OK)
    fd = os.pidfd_open(instance.pid)
    instance.channel.shutdown(2)
    from sandbox import wait_readable

    wait_readable(fd, "end of the instance")
    os.close(fd)


def test_malformed_frames_end_the_instance(function):
    for bad in (b"\0" * 32, b"\xf1\xeb\x01\x02" + b"\0" * 28, b"\xf1\xeb\x01\x01\xff\xff\xff\xff" + b"\0" * 24):
        instance = function(OK)
        instance.channel.sendall(bad)
        assert instance.ended()
        assert "on the channel" in instance.control.read_err(1)


def test_sigterm_and_own_handlers(function):
    instance = function(OK)
    os.kill(instance.pid, signal.SIGTERM)
    assert instance.ended()
    own = """
        import signal
        seen = []
        signal.signal(signal.SIGTERM, lambda *a: seen.append(1))
        def handler(event, context):
            return len(seen)
    """
    instance = function(own)
    os.kill(instance.pid, signal.SIGTERM)
    assert instance.call().json() == 1


def test_subprocess_results_are_the_users(function):
    source = """
        import subprocess
        started = []
        def handler(event, context):
            if event == "start":
                started.append(subprocess.Popen(["/bin/sh", "-c", "exit 7"]))
                return None
            return started[0].wait()
    """
    instance = function(source)
    instance.call("start")
    assert instance.call("wait").json() == 7
