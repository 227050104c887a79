// Goal: the checksum is the standard's, and the same by the processor's instruction and by tables. Method: RFC 3720's
// examples (B.4), and both over lengths, alignments and parts.
#include "meter/checksum.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ebb::meter {
namespace {

std::vector<std::byte> bytes_of(std::size_t size, auto&& value) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(value(i));
  return bytes;
}

TEST(Checksum, IsTheStandards) {
  for (const auto crc : {crc32c, crc32c_by_tables}) {
    EXPECT_EQ(crc(bytes_of(32, [](std::size_t) { return 0; }), 0), 0x8a91'36aau);
    EXPECT_EQ(crc(bytes_of(32, [](std::size_t) { return 0xff; }), 0), 0x62a8'ab43u);
    EXPECT_EQ(crc(bytes_of(32, [](std::size_t i) { return i; }), 0), 0x46dd'794eu);
    EXPECT_EQ(crc({}, 0), 0u);
  }
}

TEST(Checksum, IsTheSameByInstructionAndByTablesWholeAndInParts) {
  std::mt19937 random(7);
  const std::vector<std::byte> bytes = bytes_of(400, [&](std::size_t) { return random(); });
  const std::span<const std::byte> all(bytes);
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t size = 0; from + size <= all.size(); ++size) {
      const auto part = all.subspan(from, size);
      const std::uint32_t whole = crc32c(part);
      ASSERT_EQ(whole, crc32c_by_tables(part)) << from << " " << size;
      ASSERT_EQ(whole, crc32c(part.subspan(size / 3), crc32c_by_tables(part.first(size / 3)))) << from << " " << size;
    }
  }
}

}  // namespace
}  // namespace ebb::meter
