// The frame of one line in a function's log file, little-endian: u32 length of the payload, u32 CRC-32 of the payload,
// then the payload: invocation (16 bytes), wall time in ns (i64), instance (u64), stream (u8), text. Written and read
// only by function_log.cc; read back byte for byte after a crash, so nothing in it is trusted before its checksum fits.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "store/function_log.h"

namespace ebb::store {

inline constexpr std::size_t kLogFrameBytes = 8;
inline constexpr std::size_t kLogPayloadFixedBytes = 33;

/// Appends the frame of a line with this text instead of its own.
void append_log_record(std::string& out, const LogLine& line, std::string_view text);

/// The first record of `bytes` and how long it is; nothing when it is incomplete or damaged.
struct DecodedLogRecord {
  LogLine line;
  std::size_t bytes = 0;
};
std::optional<DecodedLogRecord> decode_log_record(std::string_view bytes);

/// CRC-32 (IEEE 802.3, as zlib's).
std::uint32_t crc32_of(std::string_view bytes);

}  // namespace ebb::store
