#include "wire/frame.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "wire/codec.h"

namespace ebb::wire {

namespace {

// Types that come from an instance, and kInvoke, which tests read back.
bool is_known(std::uint32_t type) {
  return (type >= 1 && type <= 4) || (type >= static_cast<std::uint32_t>(FrameType::kStream) &&
                                      type <= static_cast<std::uint32_t>(FrameType::kErr));
}

// Empty pieces would let an instance keep the daemon at work without a byte for anybody.
bool is_well_sized(const FrameHeader& header) {
  switch (header.type) {
    case FrameType::kStream: return header.body_bytes <= limits::kStreamPieceBytes;
    case FrameType::kPiece:
    case FrameType::kOut:
    case FrameType::kErr:
      return header.meta_bytes == 0 && header.body_bytes >= 1 && header.body_bytes <= limits::kStreamPieceBytes;
    case FrameType::kEnd: return header.meta_bytes == 0 && header.body_bytes == 0;
    case FrameType::kReady:
    case FrameType::kError: return header.body_bytes == 0;
    default: return true;
  }
}

}  // namespace

std::array<char, kFrameHeaderBytes> encode(const FrameHeader& header) {
  const std::uint32_t first =
      kFrameMagic | std::uint32_t{kFrameVersion} << 16 | std::uint32_t{static_cast<std::uint8_t>(header.type)} << 24;
  const std::string fixed = Writer().u32(first).u32(header.meta_bytes).u64(header.body_bytes).take();
  std::array<char, kFrameHeaderBytes> bytes{};
  std::copy(fixed.begin(), fixed.end(), bytes.begin());
  std::copy(header.invocation.bytes.begin(), header.invocation.bytes.end(), bytes.begin() + 16);
  return bytes;
}

base::Result<FrameHeader> decode_frame_header(std::string_view bytes) {
  EBB_CHECK(bytes.size() == kFrameHeaderBytes);
  Reader r(bytes.substr(0, 16));
  const std::uint32_t first = r.u32();
  FrameHeader header;
  header.meta_bytes = r.u32();
  header.body_bytes = r.u64();
  const std::uint32_t type = first >> 24;
  if ((first & 0xffff) != kFrameMagic || ((first >> 16) & 0xff) != kFrameVersion || !is_known(type)) {
    return base::invalid_argument("frame with a wrong header");
  }
  if (header.meta_bytes > limits::kFrameMetaBytes) return base::invalid_argument("frame with too long a meta part");
  if (header.body_bytes > limits::kHttpBodyBytes) return base::invalid_argument("frame with too large a body");
  header.type = static_cast<FrameType>(type);
  if (!is_well_sized(header)) return base::invalid_argument("frame of a stream with a length it cannot have");
  std::copy(bytes.begin() + 16, bytes.end(), header.invocation.bytes.begin());
  return header;
}

}  // namespace ebb::wire
