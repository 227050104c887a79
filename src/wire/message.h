// One message on a seqpacket socket: a fixed 24-byte header, a payload (codec.h), and descriptors beside it
// (SCM_RIGHTS).
//
// Spoken between daemon and launcher (launcher_protocol.h) and between launcher and language runtimes
// (zygote_protocol.h). The kernel keeps message boundaries; a message is at most limits::kWireMessageBytes with
// limits::kWireFds descriptors.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::wire {

inline constexpr std::uint32_t kMessageMagic = 0x31424245;  // "EBB1" in memory order
inline constexpr std::uint16_t kMessageVersion = 1;
inline constexpr std::size_t kMessageHeaderBytes = 24;

/// In memory order: u32 magic, u16 version, u16 type, u32 payload length, u32 zero, u64 id. All little-endian.
struct Message {
  std::uint16_t type = 0;
  std::uint64_t id = 0;  // of the request an answer belongs to; 0 in events
  std::string payload;
};

/// Header and payload in one string. The payload must fit (a bug otherwise).
std::string encode(const Message& message);
/// Errors: kInvalidArgument for a wrong magic, version, length or a size beyond the bound.
base::Result<Message> decode_message(std::string_view bytes);

}  // namespace ebb::wire
