"""Hooks of the Ebb platform, for code that holds something a copy of the process must not share.

A function is loaded once, in a *zygote*; every instance is a copy of that process. Random numbers of the usual
generators are renewed for you. What else must be an instance's own (an identity, a connection, a pool of threads) is
made in a hook:

    import ebb

    @ebb.before_snapshot
    def disconnect():          # once, in the zygote, when the module has been loaded
        client.close()

    @ebb.after_restore
    def connect():             # once in every instance, before its first invocation
        client.open()

Hooks run in the order of their registration and take no argument; what they return is ignored. One that raises fails
the load, or the start of that instance. Outside Ebb (tests, a local run) nothing calls them: call
`run_before_snapshot()` and `run_after_restore()` yourself.
"""

__all__ = ["after_restore", "before_snapshot", "run_after_restore", "run_before_snapshot"]

_before_snapshot = []
_after_restore = []


def before_snapshot(function):
    """Registers `function` to run once after the module was loaded; returns it, so it serves as a decorator."""
    if not callable(function):
        raise TypeError(f"before_snapshot takes a function, not {type(function).__name__}")
    _before_snapshot.append(function)
    return function


def after_restore(function):
    """Registers `function` to run once in every instance; returns it, so it serves as a decorator."""
    if not callable(function):
        raise TypeError(f"after_restore takes a function, not {type(function).__name__}")
    _after_restore.append(function)
    return function


def run_before_snapshot():
    """Runs the hooks. Ebb calls it; in a local run it is yours to call."""
    for function in tuple(_before_snapshot):
        function()


def run_after_restore():
    """Runs the hooks. Ebb calls it; in a local run it is yours to call."""
    for function in tuple(_after_restore):
        function()
