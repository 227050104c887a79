#include "gateway/query.h"

#include <algorithm>
#include <charconv>
#include <chrono>

#include "base/duration.h"
#include "http/message.h"
#include "model/names.h"
#include "model/suggestion.h"

namespace ebb::gateway {
namespace {

// The next `digits` digits as a number, taken off the front; -1 when they are not there.
int take_number(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return -1;
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return -1;
    value = value * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// Nanoseconds behind the dot, at least one digit, more than nine are dropped; -1 when malformed.
std::int64_t take_fraction(std::string_view& text) {
  std::int64_t nanoseconds = 0;
  std::size_t digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; text.remove_prefix(1), ++digits) {
    if (digits < 9) nanoseconds = nanoseconds * 10 + (text.front() - '0');
  }
  if (digits == 0) return -1;
  for (; digits < 9; ++digits) nanoseconds *= 10;
  return nanoseconds;
}

}  // namespace

base::Result<base::WallTime> parse_rfc3339(std::string_view text) {
  using namespace std::chrono;
  const base::Error malformed =
      base::invalid_argument("'" + std::string(text.substr(0, 64)) +
                             "' is not a time, write 2026-11-22T21:21:54Z or how long ago, such as 15m");
  const int year_number = take_number(text, 4);
  const bool dash = take(text, '-');
  const int month_number = take_number(text, 2);
  const bool dash_too = take(text, '-');
  const int day_number = take_number(text, 2);
  const bool middle = take(text, 'T') || take(text, 't');
  const int hour = take_number(text, 2);
  const bool colon = take(text, ':');
  const int minute = take_number(text, 2);
  const bool colon_too = take(text, ':');
  const int second = take_number(text, 2);
  if (!dash || !dash_too || !middle || !colon || !colon_too) return malformed;
  if (year_number < 1970 || year_number > 2200 || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 ||
      second > 60) {
    return malformed;
  }
  if (month_number < 1 || day_number < 1) return malformed;
  const year_month_day date(year{year_number}, month{static_cast<unsigned>(month_number)},
                            day{static_cast<unsigned>(day_number)});
  if (!date.ok()) return malformed;
  std::int64_t fraction = 0;
  if (take(text, '.')) fraction = take_fraction(text);
  if (fraction < 0) return malformed;
  minutes offset{0};
  if (!take(text, 'Z') && !take(text, 'z')) {
    const bool east = take(text, '+');
    if (!east && !take(text, '-')) return malformed;
    const int offset_hours = take_number(text, 2);
    const bool offset_colon = take(text, ':');
    const int offset_minutes = take_number(text, 2);
    if (!offset_colon || offset_hours < 0 || offset_hours > 23 || offset_minutes < 0 || offset_minutes > 59)
      return malformed;
    offset = hours{offset_hours} + minutes{offset_minutes};
    if (!east) offset = -offset;
  }
  if (!text.empty()) return malformed;
  return base::WallTime(sys_days(date).time_since_epoch() + hours{hour} + minutes{minute} + seconds{second} +
                        nanoseconds{fraction} - offset);
}

base::Result<Query> Query::parse(std::string_view query, std::initializer_list<std::string_view> known) {
  Query result;
  while (!query.empty()) {
    const auto end = query.find('&');
    std::string_view part = query.substr(0, end);
    query.remove_prefix(end == std::string_view::npos ? query.size() : end + 1);
    if (part.empty()) continue;
    const auto equals = part.find('=');
    const std::string_view name = part.substr(0, equals);
    std::string value(equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1));
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return base::invalid_argument("unknown parameter '" + std::string(name.substr(0, 64)) + "', " +
                                    model::suggestion_for(name.substr(0, 64), known));
    }
    std::replace(value.begin(), value.end(), '+', ' ');
    auto decoded = http::percent_decode(value);
    if (!decoded) return base::invalid_argument("parameter " + std::string(name) + " holds a broken escape");
    if (!result.values_.emplace(name, std::move(*decoded)).second) {
      return base::invalid_argument("parameter " + std::string(name) + " stands twice");
    }
  }
  return result;
}

const std::string* Query::find(std::string_view name) const {
  const auto at = values_.find(name);
  return at == values_.end() ? nullptr : &at->second;
}

std::string Query::text(std::string_view name) const {
  const std::string* value = find(name);
  return value == nullptr ? std::string() : *value;
}

base::Result<std::uint64_t> Query::number(std::string_view name, std::uint64_t fallback, std::uint64_t min,
                                          std::uint64_t max) const {
  const std::string* value = find(name);
  if (value == nullptr) return fallback;
  std::uint64_t number = 0;
  const auto [end, failed] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (failed != std::errc() || end != value->data() + value->size() || number < min || number > max) {
    return base::invalid_argument("parameter " + std::string(name) + " is '" + value->substr(0, 64) +
                                  "', give a number from " + std::to_string(min) + " to " + std::to_string(max));
  }
  return number;
}

base::Result<std::string> Query::name(std::string_view name) const {
  std::string value = text(name);
  if (!value.empty()) EBB_CHECKED(model::check_name(name, value));
  return value;
}

base::Result<std::optional<base::InvocationId>> Query::request() const {
  const std::string* value = find("request");
  if (value == nullptr) return std::optional<base::InvocationId>();
  EBB_TRY(const base::InvocationId id, base::parse_invocation_id(*value));
  return std::optional(id);
}

base::Result<std::optional<base::WallTime>> Query::time(std::string_view name, base::WallTime now) const {
  const std::string* value = find(name);
  if (value == nullptr) return std::optional<base::WallTime>();
  if (auto ago = base::parse_duration(*value)) return std::optional(now - *ago);
  auto time = parse_rfc3339(*value);
  if (!time) return base::invalid_argument("parameter " + std::string(name) + ": " + time.error().message);
  return std::optional(*time);
}

}  // namespace ebb::gateway
