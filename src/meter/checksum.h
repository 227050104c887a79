// CRC-32C (Castagnoli), as of RFC 3720: what finds flipped bits in the usage log. It keeps nobody from forging a
// record. Called by usage_record.cc and usage_log.cc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace ebb::meter {

/// By the processor's own instruction where it has one. Cost: about 0.1 ns a byte with it, 0.5 ns and 8 KiB of the
/// nearest cache without. `before`: the checksum of what stands in front.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0);

/// The same, for processors that have none.
std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t before = 0);

}  // namespace ebb::meter
