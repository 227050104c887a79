// Frames on an instance's *channel*, the stream socket between the daemon and one instance. Fixed 32-byte header, then
// `meta` (JSON), then the raw body, which is never inside the JSON: a 32 MB image travels as it came.
//
// Header in memory order, little-endian: u16 magic, u8 version, u8 type, u32 meta length, u64 body length, 16 bytes
// invocation id. One invocation at a time: kInvoke down, then the answer up: exactly one kResult or kError, or a
// stream, which is one kStream, any number of kPiece and one kEnd, or kError in place of the rest. kReady comes up
// once, before the first answer. An instance that serves several calls at a time (`concurrency`) takes a connection for
// each besides, on a port of its own; there the same frames pass, but kReady and kConfigure, and kOut and kErr may come
// before any frame of the answer.
//
// kConfigure comes down first, to an instance that was started fresh: no meta, the body is the `config` of
//         zygote_protocol.h.
// kReady  meta {"init_ns": n}, no body: the instance has its walls, user init (if it ran here) took init_ns. A web
//         server's also "port": where its program listens, on the loopback of its network; no frames follow then. So
//         does that of a runtime that takes several calls at a time: where it takes the connections for them.
// kInvoke meta {"kind": "http"|"direct", "event": {...}, "request_id", "deadline_ms": epoch}; http: the event of
// payload version 2.0 without
//         "body" and "isBase64Encoded", which the runtime adds from the raw body; direct: no event, the body is the
//         payload, and "content_type" says what it is (left out when the caller did not).
//         http also: "scheme" ("http"|"https") and "prefix", the part of the URL's path that leads to the function,
//         and "head_only": true where the answer goes out without its body.
// kResult meta {"status": 200, "headers": [["name","value"],...], "cookies": ["a=b",...]}; body as to be sent.
// kError  meta {"kind": "raised"|"ended"|"unserialisable"|"too_large"|"wrong_call"|"init", "type", "message", "trace"};
//         no body. ended: raised, and the process ends with it. wrong_call: no function for calls of this kind.
// kStream meta as kResult's; a Content-Length among the headers is the length of the whole stream. Its body is the
//         stream's first piece, or empty.
// kPiece  no meta; the body, never empty and at most limits::kStreamPieceBytes, goes to the client at once.
// kEnd    no meta, no body: the stream is whole.
// kOut, kErr  no meta; the body, sized as a kPiece's, is what the call printed. Over a connection of its own only.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/id.h"
#include "base/result.h"

namespace ebb::wire {

enum class FrameType : std::uint8_t {
  kInvoke = 1,
  kResult = 2,
  kError = 3,
  kReady = 4,
  kConfigure = 5,
  kStream = 6,
  kPiece = 7,
  kEnd = 8,
  kOut = 9,
  kErr = 10,
};

inline constexpr std::size_t kFrameHeaderBytes = 32;
inline constexpr std::uint16_t kFrameMagic = 0xEBF1;
inline constexpr std::uint8_t kFrameVersion = 1;

struct FrameHeader {
  FrameType type = FrameType::kInvoke;
  std::uint32_t meta_bytes = 0;
  std::uint64_t body_bytes = 0;
  base::InvocationId invocation{};
};

std::array<char, kFrameHeaderBytes> encode(const FrameHeader& header);
/// `bytes` is exactly kFrameHeaderBytes long. Errors: kInvalidArgument for a wrong magic, version, type, or lengths
/// beyond limits::kFrameMetaBytes and limits::kHttpBodyBytes, or other than what a frame of a stream may have: the peer
/// is broken or hostile and its channel is to be closed.
base::Result<FrameHeader> decode_frame_header(std::string_view bytes);

}  // namespace ebb::wire
