"""The numbers that the runtime shares with src/: one side changed alone would break every start."""

import importlib.util
import os
import re

ROOT = os.path.join(os.path.dirname(__file__), "..", "..", "..")


def text(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def constants(path):
    """name -> value of the integer constants and enumerators of a header."""
    pattern = r"\b(k[A-Z]\w*)\s*=\s*((?:0x[0-9A-Fa-f]|[0-9])[0-9A-Fa-f' *xX]*)"
    return {name: eval(value.replace("'", "_")) for name, value in re.findall(pattern, text(path))}


def wire():
    spec = importlib.util.spec_from_file_location("ebb_wire", os.path.join(ROOT, "runtimes/python/wire.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_limits():
    limits = constants("src/base/limits.h")
    here = wire()
    assert here.MESSAGE_BYTES == limits["kWireMessageBytes"]
    assert here.MESSAGE_FDS == limits["kWireFds"]
    assert here.FRAME_META_BYTES == limits["kFrameMetaBytes"]
    assert here.FRAME_BODY_BYTES == limits["kHttpBodyBytes"]
    assert here.STREAM_PIECE_BYTES == limits["kStreamPieceBytes"]


def test_types():
    here = wire()
    zygote = constants("src/wire/zygote_protocol.h")
    names = ("FORK_FUNCTION", "FORK_INSTANCE", "GO", "BORN", "READY", "INIT_FAILED", "FORKED")
    for name in names:
        assert getattr(here, name) == zygote["k" + name.title().replace("_", "")], name
    walls = constants("runtimes/native/instance_walls.c")
    assert walls["kGo"] == zygote["kGo"] and walls["kBorn"] == zygote["kBorn"]
    message = constants("src/wire/message.h")
    for side in (walls["kMessageMagic"], here._MAGIC):
        assert side == message["kMessageMagic"]
    assert walls["kMessageVersion"] == here._VERSION == message["kMessageVersion"]
    assert here._MESSAGE.size == message["kMessageHeaderBytes"]


def test_frames():
    here = wire()
    frame = constants("src/wire/frame.h")
    assert (here.FRAME_MAGIC, here.FRAME_VERSION) == (frame["kFrameMagic"], frame["kFrameVersion"])
    assert here.FRAME.size == frame["kFrameHeaderBytes"]
    assert (here.INVOKE, here.RESULT, here.ERROR) == (frame["kInvoke"], frame["kResult"], frame["kError"])
    assert here.CHANNEL_READY == frame["kReady"]
    assert (here.STREAM, here.PIECE, here.END) == (frame["kStream"], frame["kPiece"], frame["kEnd"])


def test_tmp_size():
    assert "kTmpInodes = 65'536" in text("src/launcher/sandbox_root.h")
    assert "kTmpBytes = 512ull << 20" in text("src/base/limits.h")
    assert "nr_inodes=65536" in text("runtimes/native/instance_walls.c")
    assert "size=512m" in text("runtimes/native/instance_walls.c")


def test_frames_of_node():
    here, frame, limits = constants("runtimes/node/wire.mjs"), constants("src/wire/frame.h"), constants("src/base/limits.h")
    assert (here["kMagic"], here["kVersion"], here["kHeaderBytes"]) == (frame["kFrameMagic"], frame["kFrameVersion"], frame["kFrameHeaderBytes"])
    for name in ("kInvoke", "kResult", "kError", "kReady", "kStream", "kPiece", "kEnd"):
        assert here[name] == frame[name], name
    assert here["kFrameMetaBytes"] == limits["kFrameMetaBytes"]
    assert here["kFrameBodyBytes"] == limits["kHttpBodyBytes"]
    assert here["kStreamPieceBytes"] == limits["kStreamPieceBytes"]
