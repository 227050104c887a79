"""A program of the user's in an instance, for the runtimes `http` and `lambda`: what starts it, where it stands, its end.

1. It is started after the fork, once per instance, by /bin/sh, in /var/task, with the instance's streams as its own. In a
   container image it is the image's ENTRYPOINT and CMD, in its WORKDIR, with its ENV below the function's own.
2. It ends with the instance, which is pid 1 of its namespace: nothing of it is left. In a zygote it is tried out once, so
   that a deployment hears of what would fail, and ended before the zygote is used.
"""

import _thread
import errno
import os
import signal
import subprocess
import time

from . import loading, machines, trace
from .surroundings import LAYER

START_SECONDS = 60.0  # below limits::kInitTimeout, so that the reason is ours to tell
_END_SECONDS = 5.0
_IMAGE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # where an image's ENV names none
PATH = f"{loading.TASK}/bin:{loading.TASK}/node_modules/.bin:{LAYER}/bin:{LAYER}/node_modules/.bin:/usr/local/bin:/usr/bin:/bin"


def words_of(function):
    """The words that start the function's program, or none. Shown, they are its name."""
    if function.command:
        return ["/bin/sh", "-c", function.command]
    return list(function.image["command"]) if function.image is not None else []


def name_of(function):
    return function.command or " ".join(words_of(function))


def _place_of(function):
    """The directory that a program is started in, and what it finds in its environment."""
    if function.image is not None:
        env = {"PATH": _IMAGE_PATH, "HOME": "/tmp", **function.image.get("env", {}), **function.env}
        return function.image.get("directory") or "/", env
    env = {"PYTHONPATH": f"{loading.TASK}:{LAYER}", "PYTHONUNBUFFERED": "1", **os.environ}
    if "PATH" not in function.env:
        env["PATH"] = PATH
    return loading.TASK, env


class Program:
    """Started when constructed. `env` comes on top of the function's own. Errors: loading.LoadError."""

    def __init__(self, function, words, env):
        self._command = name_of(function) or words[0]
        self._stopping = False
        directory, surroundings = _place_of(function)
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, cwd=directory, env={**surroundings, **env}, start_new_session=True
            )
        except OSError as error:
            where = "package" if function.image is None else "image"
            raise loading.LoadError("InvalidEntrypoint", _why_not_started(where, words[0], directory, error)) from None

    def ended(self):
        """How it ended, in words; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        if status < 0:
            return f"was killed by signal {-status} ({signal.Signals(-status).name})"
        hint = {
            126: ": the command cannot be executed, it is no program, not executable or built for another processor",
            127: ": the command was not found",
        }.get(status, "")
        return f"ended with exit status {status}{hint}"

    def fail_if_ended(self):
        """Errors: loading.LoadError."""
        if how := self.ended():
            raise loading.LoadError("ProgramEnded", f"`{self._command}` {how} before it was ready; its log says more")

    def end_with_it(self):
        """From here on this process ends when the program does, and says how as a shell would: with its exit status, or
        with 128 and the number of the signal."""
        _thread.start_new_thread(self._follow, ())

    def _follow(self):
        self._process.wait()
        if not self._stopping:
            self.end_like_it()

    def end_like_it(self):
        """Of a program that has ended: this process ends now, and says how as described above."""
        trace.report(f"`{self._command}` {self.ended()}\n")
        status = self._process.returncode
        os._exit(status if status >= 0 else 128 - status)

    def stop(self, farewell=None):
        """Ends it and all that it started in its session: politely, then not. At most five seconds, and what `farewell`
        takes, which is called while it still runs."""
        self._stopping = True
        if farewell is not None and self._process.poll() is None:
            farewell()
        self._signal(signal.SIGTERM)
        limit = time.monotonic() + _END_SECONDS
        while self._process.poll() is None and time.monotonic() < limit:
            time.sleep(0.01)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number):
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass


def _why_not_started(where, name, directory, error):
    if not os.path.isdir(directory):
        return f"there is no directory {directory}, the image's WORKDIR, or user 1000 may not enter it"
    if error.errno == errno.ENOEXEC:
        machine = os.uname().machine
        return f"'{name}' is neither a program for this node's processor ({machine}) nor a script that begins with #!"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        what = "no shell /bin/sh for the command in ebb.yaml" if name == "/bin/sh" else f"no program '{name}'"
        return f"the {where} has {what}, or not the interpreter or loader that it names"
    return f"'{name}' cannot be started: {error.strerror}"


def check_file(path):
    """That a file of the package can be executed here. Errors: loading.LoadError with the remedy."""
    name = os.path.relpath(path, loading.TASK)
    if not os.path.isfile(path):
        present = ", ".join(sorted(os.listdir(loading.TASK))[:8]) or "nothing"
        raise loading.LoadError(
            "InvalidEntrypoint", f"the package has no file '{name}': its top has {present}; add it, or set command in ebb.yaml"
        )
    if not os.access(path, os.X_OK):
        raise loading.LoadError("InvalidEntrypoint", f"'{name}' is not executable: chmod +x {name}, and deploy again")
    with open(path, "rb") as file:
        head = file.read(machines.HEAD_BYTES)
    if wrong := machines.misfit(head):
        raise loading.LoadError("InvalidEntrypoint", f"'{name}' {wrong}")
    if head[:4] != b"\x7fELF" and head[:2] != b"#!":
        raise loading.LoadError(
            "InvalidEntrypoint", f"'{name}' is neither a Linux program nor a script: a script begins with #!/bin/sh or the like"
        )
