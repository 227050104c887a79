// Sizes as a type: a count of bytes, written and read as "512Mi".
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::base {

struct Bytes {
  std::uint64_t count = 0;
  auto operator<=>(const Bytes&) const = default;
};

/// Reads "512Mi", "1Gi", "64Ki", "512M" (powers of ten without the i) or a plain number of bytes.
/// Errors: kInvalidArgument, with the accepted forms.
Result<Bytes> parse_bytes(std::string_view text);

/// The shortest exact form with a binary unit: "512Mi", "1536Mi", "1000".
std::string to_string(Bytes bytes);

}  // namespace ebb::base
