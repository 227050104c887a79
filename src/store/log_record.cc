#include "store/log_record.h"

#include <array>
#include <bit>
#include <cstring>

namespace ebb::store {
namespace {

static_assert(std::endian::native == std::endian::little, "log files are little-endian");

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0);
    table[i] = value;
  }
  return table;
}

constexpr auto kCrcTable = make_crc_table();

template <typename T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <typename T>
T take(std::string_view& bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  bytes.remove_prefix(sizeof value);
  return value;
}

}  // namespace

std::uint32_t crc32_of(std::string_view bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : bytes) crc = kCrcTable[(crc ^ static_cast<std::uint8_t>(c)) & 0xff] ^ (crc >> 8);
  return ~crc;
}

void append_log_record(std::string& out, const LogLine& line, std::string_view text) {
  const std::size_t frame = out.size();
  put(out, static_cast<std::uint32_t>(kLogPayloadFixedBytes + text.size()));
  put(out, std::uint32_t{0});
  put(out, line.invocation.bytes);
  put(out, std::int64_t{line.wall.time_since_epoch().count()});
  put(out, base::raw(line.instance));
  put(out, static_cast<std::uint8_t>(line.stream));
  out += text;
  const std::uint32_t crc = crc32_of(std::string_view(out).substr(frame + kLogFrameBytes));
  std::memcpy(out.data() + frame + 4, &crc, sizeof crc);
}

std::optional<DecodedLogRecord> decode_log_record(std::string_view bytes) {
  if (bytes.size() < kLogFrameBytes) return std::nullopt;
  const auto length = take<std::uint32_t>(bytes);
  const auto crc = take<std::uint32_t>(bytes);
  if (length < kLogPayloadFixedBytes || length > kLogPayloadFixedBytes + limits::kLogLineBytes) return std::nullopt;
  if (bytes.size() < length) return std::nullopt;
  bytes = bytes.substr(0, length);
  if (crc32_of(bytes) != crc) return std::nullopt;
  DecodedLogRecord record;
  record.bytes = kLogFrameBytes + length;
  record.line.invocation.bytes = take<std::array<std::uint8_t, 16>>(bytes);
  record.line.wall = base::WallTime(std::chrono::nanoseconds(take<std::int64_t>(bytes)));
  record.line.instance = base::InstanceId{take<std::uint64_t>(bytes)};
  record.line.stream = static_cast<LogStream>(take<std::uint8_t>(bytes));
  if (record.line.stream < LogStream::kOut || record.line.stream > LogStream::kPlatform) return std::nullopt;
  record.line.text = bytes;
  return record;
}

}  // namespace ebb::store
