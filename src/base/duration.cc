#include "base/duration.h"

#include <array>
#include <charconv>
#include <cstdint>
#include <limits>

namespace ebb::base {
namespace {

struct Unit {
  std::string_view suffix;
  std::int64_t nanoseconds;
};

// Longest suffix first where one begins with another.
constexpr std::array kUnits = {
    Unit{"d", 86'400'000'000'000},
    Unit{"h", 3'600'000'000'000},
    Unit{"ms", 1'000'000},
    Unit{"m", 60'000'000'000},
    Unit{"s", 1'000'000'000},
    Unit{"us", 1'000},
    Unit{"ns", 1},
};

Error bad_duration(std::string_view text) {
  return invalid_argument("'" + std::string(text) + "' is not a duration, write it like 30s, 250ms or 1m30s");
}

const Unit* unit_at(std::string_view text) {
  for (const Unit& unit : kUnits) {
    if (text.starts_with(unit.suffix)) return &unit;
  }
  return nullptr;
}

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  if (text == "0") return Duration::zero();
  if (text.empty()) return bad_duration(text);
  std::int64_t total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    std::int64_t number = 0;
    const auto [end, ec] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (ec != std::errc{} || number < 0) return bad_duration(text);
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const Unit* unit = unit_at(rest);
    if (unit == nullptr) return bad_duration(text);
    if (number > (std::numeric_limits<std::int64_t>::max() - total) / unit->nanoseconds) return bad_duration(text);
    total += number * unit->nanoseconds;
    rest.remove_prefix(unit->suffix.size());
  }
  return Duration(total);
}

std::string to_string(Duration duration) {
  constexpr std::array kOrder = {Unit{"h", 3'600'000'000'000}, Unit{"m", 60'000'000'000}, Unit{"s", 1'000'000'000},
                                 Unit{"ms", 1'000'000},        Unit{"us", 1'000},         Unit{"ns", 1}};
  std::int64_t left = duration.count();
  if (left == 0) return "0s";
  std::string text = left < 0 ? "-" : "";
  if (left < 0) left = -left;
  for (const Unit& unit : kOrder) {
    if (left < unit.nanoseconds) continue;
    text += std::to_string(left / unit.nanoseconds) + std::string(unit.suffix);
    left %= unit.nanoseconds;
  }
  return text;
}

double milliseconds(Duration duration) { return static_cast<double>(duration.count()) / 1e6; }

}  // namespace ebb::base
