#include "meter/checksum.h"

#include <array>
#include <bit>
#include <cstring>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

namespace ebb::meter {
namespace {

static_assert(std::endian::native == std::endian::little, "eight bytes are read as one little-endian number");

constexpr std::uint32_t kReflectedPolynomial = 0x82f6'3b78;
constexpr std::size_t kAtOnce = 8;

using Tables = std::array<std::array<std::uint32_t, 256>, kAtOnce>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReflectedPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t t = 1; t < kAtOnce; ++t) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[t - 1][byte];
      tables[t][byte] = (before >> 8) ^ tables[0][before & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

}  // namespace

#ifdef __x86_64__
namespace {

__attribute__((target("sse4.2"))) std::uint32_t crc32c_by_instruction(std::span<const std::byte> bytes,
                                                                      std::uint32_t before) {
  std::uint64_t crc = ~before;
  while (bytes.size() >= kAtOnce) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    crc = _mm_crc32_u64(crc, word);
    bytes = bytes.subspan(kAtOnce);
  }
  for (const std::byte byte : bytes)
    crc = _mm_crc32_u8(static_cast<std::uint32_t>(crc), std::to_integer<unsigned char>(byte));
  return ~static_cast<std::uint32_t>(crc);
}

}  // namespace
#endif

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
#ifdef __x86_64__
  static const bool instruction = __builtin_cpu_supports("sse4.2");
  if (instruction) return crc32c_by_instruction(bytes, before);
#endif
  return crc32c_by_tables(bytes, before);
}

// Eight bytes a step, one table for each of them (Kounavis and Berry, "slicing by 8").
std::uint32_t crc32c_by_tables(std::span<const std::byte> bytes, std::uint32_t before) {
  std::uint32_t crc = ~before;
  while (bytes.size() >= kAtOnce) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data(), sizeof word);
    word ^= crc;
    crc = 0;
    for (std::size_t i = 0; i < kAtOnce; ++i) crc ^= kTables[kAtOnce - 1 - i][(word >> (8 * i)) & 0xff];
    bytes = bytes.subspan(kAtOnce);
  }
  for (const std::byte byte : bytes) crc = (crc >> 8) ^ kTables[0][(crc ^ static_cast<std::uint32_t>(byte)) & 0xff];
  return ~crc;
}

}  // namespace ebb::meter
