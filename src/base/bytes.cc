#include "base/bytes.h"

#include <array>
#include <charconv>
#include <limits>

namespace ebb::base {
namespace {

struct Unit {
  std::string_view suffix;
  std::uint64_t factor;
};

constexpr std::array kUnits = {
    Unit{"Ti", 1ull << 40},
    Unit{"Gi", 1ull << 30},
    Unit{"Mi", 1ull << 20},
    Unit{"Ki", 1ull << 10},
    Unit{"T", 1'000'000'000'000ull},
    Unit{"G", 1'000'000'000ull},
    Unit{"M", 1'000'000ull},
    Unit{"K", 1'000ull},
    Unit{"k", 1'000ull},
    Unit{"B", 1},
    Unit{"", 1},
};

Error bad_size(std::string_view text) {
  return invalid_argument("'" + std::string(text) + "' is not a size, write it like 512Mi, 1Gi or 64Ki");
}

}  // namespace

Result<Bytes> parse_bytes(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, ec] = std::from_chars(text.data(), end, number);
  if (ec != std::errc{}) return bad_size(text);
  const std::string_view suffix(rest, static_cast<std::size_t>(end - rest));
  for (const Unit& unit : kUnits) {
    if (suffix != unit.suffix) continue;
    if (number > std::numeric_limits<std::uint64_t>::max() / unit.factor) return bad_size(text);
    return Bytes{number * unit.factor};
  }
  return bad_size(text);
}

std::string to_string(Bytes bytes) {
  for (std::size_t i = 0; i < 4; ++i) {
    const Unit& unit = kUnits[i];
    if (bytes.count != 0 && bytes.count % unit.factor == 0) {
      return std::to_string(bytes.count / unit.factor) + std::string(unit.suffix);
    }
  }
  return std::to_string(bytes.count);
}

}  // namespace ebb::base
