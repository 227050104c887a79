"""A failure of user code as text: its type, its message, and a traceback of the user's own frames."""

import os
import sys
import traceback

_RUNTIME = os.path.dirname(os.path.abspath(__file__)) + os.sep
TRACE_CHARACTERS = 32 * 1024
MESSAGE_CHARACTERS = 8 * 1024


def _ours(filename):
    return (filename.startswith((_RUNTIME, "<frozen importlib", "<frozen runpy"))) or filename.endswith(
        "/importlib/__init__.py"
    )


def _trim(report, seen):
    while report is not None and id(report) not in seen:
        seen.add(id(report))
        report.stack[:] = [frame for frame in report.stack if not _ours(frame.filename)]
        if report.__context__ is not None:
            _trim(report.__context__, seen)
        for inner in getattr(report, "exceptions", None) or ():
            _trim(inner, seen)
        report = report.__cause__


def cut(text, characters):
    """The text, or its beginning and its end when it is longer."""
    if len(text) <= characters:
        return text
    half = characters // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def type_name(error):
    kind = type(error)
    if kind.__module__ in ("builtins", "__main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def message_of(error):
    try:
        return cut(str(error), MESSAGE_CHARACTERS)
    except BaseException:  # a user's __str__ may raise anything
        return "(the error's text cannot be read: its __str__ raised)"


def trace_of(error):
    """The traceback as Python prints it, without the frames of the runtime and of the import system."""
    try:
        report = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
        _trim(report, set())
        return cut("".join(report.format()), TRACE_CHARACTERS)
    except BaseException:  # the same: formatting calls user code
        return f"{type_name(error)}: {message_of(error)}\n"


def last_frame(error):
    """(file, line) of the innermost frame that is not ours, or None."""
    found = None
    step = error.__traceback__
    while step is not None:
        if not _ours(step.tb_frame.f_code.co_filename):
            found = (step.tb_frame.f_code.co_filename, step.tb_lineno)
        step = step.tb_next
    return found


def report(text):
    """A traceback into the log. The handler may have closed or replaced stderr."""
    try:
        sys.stderr.write(text)
    except Exception:
        try:
            os.write(2, text.encode("utf-8", "replace"))
        except OSError:
            pass
