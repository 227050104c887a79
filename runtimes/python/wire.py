"""Messages of the control sockets and frames of the channel, as src/wire defines them.

Control sockets: message.h and zygote_protocol.h; the payload is little-endian integers and length-prefixed strings
(codec.h). Channel: frame.h. The launcher and the daemon are trusted by the runtime, so a malformed message is a bug and
raises ProtocolError, which ends the process.
"""

import array
import struct

MESSAGE_BYTES = 64 * 1024  # limits::kWireMessageBytes
MESSAGE_FDS = 8  # limits::kWireFds
FRAME_META_BYTES = 256 * 1024  # limits::kFrameMetaBytes
FRAME_BODY_BYTES = 32 * 1024 * 1024  # limits::kHttpBodyBytes
STREAM_PIECE_BYTES = 64 * 1024  # limits::kStreamPieceBytes

FORK_FUNCTION, FORK_INSTANCE, GO = 1, 2, 3
BORN, READY, INIT_FAILED, FORKED = 16, 17, 18, 19

INVOKE, RESULT, ERROR, CHANNEL_READY, CONFIGURE, STREAM, PIECE, END, OUT, ERR = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10

_MESSAGE = struct.Struct("<IHHIIQ")
_MAGIC, _VERSION = 0x31424245, 1

FRAME = struct.Struct("<HBBIQ16s")  # magic, version, type, meta bytes, body bytes, invocation
FRAME_MAGIC, FRAME_VERSION = 0xEBF1, 1

_DONTWAIT = 0x40  # socket.MSG_DONTWAIT
_U32 = struct.Struct("<I")
_TOKEN = struct.Struct("<Q")
_FORKED = struct.Struct("<QII")


class ProtocolError(Exception):
    """The peer sent what the protocol does not know."""


def _text(value):
    data = value.encode("utf-8", "backslashreplace")
    return _U32.pack(len(data)) + data


def send(sock, kind, payload=b""):
    sock.sendall(_MESSAGE.pack(_MAGIC, _VERSION, kind, len(payload), 0, 0) + payload)


def receive(sock):
    """(type, payload, descriptors) of the next message; (None, b"", []) when the peer has gone."""
    import socket

    fds = array.array("i")
    ancillary_bytes = socket.CMSG_SPACE(MESSAGE_FDS * fds.itemsize)
    data, ancillary, flags, _ = sock.recvmsg(MESSAGE_BYTES, ancillary_bytes, socket.MSG_CMSG_CLOEXEC)
    for level, kind, value in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(value[: len(value) - len(value) % fds.itemsize])
    if not data:
        return None, b"", []
    if len(data) < _MESSAGE.size or flags & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        raise ProtocolError("short or cut message on the control socket")
    magic, version, kind, size, _, _ = _MESSAGE.unpack_from(data)
    if magic != _MAGIC or version != _VERSION or size != len(data) - _MESSAGE.size:
        raise ProtocolError("malformed message on the control socket")
    return kind, data[_MESSAGE.size :], list(fds)


def ready(init_ns, unfit_reason):
    reason = unfit_reason[:4096]
    return _TOKEN.pack(init_ns) + (b"\0" if reason else b"\1") + _text(reason)


def init_failed(kind, message, trace):
    return _text(kind[:256]) + _text(message[:4096]) + _text(trace[:6000])


def forked(token, os_errno, pid):
    return _FORKED.pack(token, os_errno, pid)


def _config(payload, at):
    if len(payload) < at + 4 or len(payload) != at + 4 + _U32.unpack_from(payload, at)[0]:
        raise ProtocolError("malformed fork order")
    return payload[at + 4 :].decode()


def read_fork_function(payload):
    """(token, config)"""
    return _TOKEN.unpack_from(payload)[0], _config(payload, 8)


def read_fork_instance(payload):
    """(token, with_code, config)"""
    return _TOKEN.unpack_from(payload)[0], payload[8] != 0, _config(payload, 9)


def read_frame_header(header, wanted=INVOKE):
    """(meta bytes, body bytes, invocation id) of a frame of the wanted kind."""
    magic, version, kind, meta_bytes, body_bytes, invocation = FRAME.unpack_from(header)
    if magic != FRAME_MAGIC or version != FRAME_VERSION or kind != wanted:
        raise ProtocolError("malformed frame on the channel")
    if meta_bytes > FRAME_META_BYTES or body_bytes > FRAME_BODY_BYTES:
        raise ProtocolError("frame beyond its limits on the channel")
    return meta_bytes, body_bytes, invocation


def send_frame(sock, kind, invocation, meta, body=b""):
    """Header, meta and body in one call; the body is not copied."""
    header = FRAME.pack(FRAME_MAGIC, FRAME_VERSION, kind, len(meta), len(body), invocation)
    sent = sock.sendmsg((header, meta, body))
    total = len(header) + len(meta) + len(body)
    if sent == total:
        return
    for part in (header, meta, body):
        if sent >= len(part):
            sent -= len(part)
            continue
        sock.sendall(memoryview(part)[sent:])
        sent = 0


def send_frame_now(sock, kind, invocation, meta, body=b""):
    """Sends as much of a frame as the socket takes without waiting. What is left, as a memoryview (a copy), or None."""
    header = FRAME.pack(FRAME_MAGIC, FRAME_VERSION, kind, len(meta), len(body), invocation)
    try:
        sent = sock.sendmsg((header, meta, body), (), _DONTWAIT)
    except BlockingIOError:
        sent = 0
    if sent == len(header) + len(meta) + len(body):
        return None
    return memoryview(b"".join((header, meta, body)))[sent:]


def send_now(sock, rest):
    """The same for what was left."""
    try:
        return rest[sock.send(rest, _DONTWAIT) :]
    except BlockingIOError:
        return rest
