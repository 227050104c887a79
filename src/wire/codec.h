// Reading and writing message payloads: little-endian integers and length-prefixed strings, one after the other.
//
// Reader trusts nothing: every read is checked against what is left, a failed read makes all later ones fail and
// `finish()` reports it, as it reports bytes left over. Used on both sides of every socket between daemon, launcher and
// runtimes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ebb::wire {

class Writer {
 public:
  Writer& u8(std::uint8_t value) { return integer(value, 1); }
  Writer& u32(std::uint32_t value) { return integer(value, 4); }
  Writer& u64(std::uint64_t value) { return integer(value, 8); }
  Writer& text(std::string_view value) {
    u32(static_cast<std::uint32_t>(value.size()));
    out_.append(value);
    return *this;
  }
  Writer& texts(const std::vector<std::string>& values) {
    u32(static_cast<std::uint32_t>(values.size()));
    for (const std::string& value : values) text(value);
    return *this;
  }
  std::string take() { return std::move(out_); }

 private:
  Writer& integer(std::uint64_t value, int size) {
    for (int i = 0; i < size; ++i) out_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  std::string out_;
};

class Reader {
 public:
  explicit Reader(std::string_view payload) : left_(payload) {}
  std::uint8_t u8() { return static_cast<std::uint8_t>(integer(1)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(integer(4)); }
  std::uint64_t u64() { return integer(8); }
  std::string text() {
    const std::uint32_t size = u32();
    if (size > left_.size()) return fail(), std::string();
    std::string value(left_.substr(0, size));
    left_.remove_prefix(size);
    return value;
  }
  /// At most `count_max` strings.
  std::vector<std::string> texts(std::uint32_t count_max) {
    const std::uint32_t count = u32();
    std::vector<std::string> values;
    if (count > count_max) return fail(), values;
    for (std::uint32_t i = 0; i < count && ok_; ++i) values.push_back(text());
    return values;
  }
  /// Errors: kInvalidArgument when anything was short, too many, or left over.
  base::Result<> finish() const {
    if (!ok_ || !left_.empty()) return base::invalid_argument("malformed message payload");
    return {};
  }

 private:
  std::uint64_t integer(std::size_t size) {
    if (size > left_.size()) return fail(), 0;
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value |= std::uint64_t{static_cast<std::uint8_t>(left_[i])} << (8 * i);
    left_.remove_prefix(size);
    return value;
  }
  void fail() {
    ok_ = false;
    left_ = {};
  }
  std::string_view left_;
  bool ok_ = true;
};

}  // namespace ebb::wire
