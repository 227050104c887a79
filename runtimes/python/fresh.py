"""An instance that is not forked from a zygote: it boots, loads the function and serves.

    /usr/bin/python3 -I -S -B /ebb/runtime/python/fresh.py CHANNEL

CHANNEL is the descriptor of its channel: 3, or 0 where standard input is the only way in (gVisor). The first frame on it is
the function's configuration. Whoever started it has built its walls.
"""

import os
import sys
import types

_HERE = os.path.dirname(os.path.abspath(__file__))
_package = types.ModuleType("_ebb_runtime")
_package.__path__ = [_HERE]
sys.modules["_ebb_runtime"] = _package

from _ebb_runtime import _ebb, instance, loading, surroundings, trace, wire  # noqa: E402  (the package had to exist first)

_PROTOCOL_FAILED = 112


def place_channel(given):
    """The channel becomes descriptor 3, standard input /dev/null."""
    if given == instance.CHANNEL_FD:
        return
    os.dup2(given, instance.CHANNEL_FD, inheritable=False)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, given)
    os.close(null)


def receive_config():
    """The first frame. None: the daemon has gone."""
    try:
        header = _ebb.read_bytes(instance.CHANNEL_FD, b"", wire.FRAME.size)
        meta_bytes, body_bytes, _ = wire.read_frame_header(header, wire.CONFIGURE)
        return _ebb.read_bytes(instance.CHANNEL_FD, b"", meta_bytes + body_bytes)[meta_bytes:].decode()
    except EOFError:
        return None


def main():
    channel = int(sys.argv[1])
    place_channel(channel)
    if channel == instance.CHANNEL_FD:  # gVisor answers the calls itself
        _ebb.confine()
    sys.argv[1:] = []
    surroundings.add_site()
    surroundings.add_layer()
    surroundings.prepare_output()
    hooks = surroundings.user_hooks()
    config = receive_config()
    if config is None:
        os._exit(0)
    instance.run(loading.Function(config), None, hooks.run_after_restore, (), ())


if __name__ == "__main__":
    try:
        main()
    except wire.ProtocolError as _error:
        print(f"ebb: fresh instance: {_error}", file=sys.stderr, flush=True)
        os._exit(_PROTOCOL_FAILED)
    except BaseException as _error:
        print(trace.trace_of(_error) or repr(_error), file=sys.stderr, flush=True)
        os._exit(1)
