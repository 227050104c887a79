// How sums stand in the ledger's rows. Sums that 64 bits may not hold are decimals in text; `calls` are counts by
// outcome with commas between. Included by ledger.cc and ledger_check.cc only.
#pragma once

#include <algorithm>
#include <charconv>
#include <chrono>
#include <string>

#include "meter/month.h"
#include "meter/usage_sum.h"
#include "store/sqlite.h"

namespace ebb::meter {

inline constexpr std::int64_t kHoursPerDay = 24;

inline std::string wide_text(Wide value) {
  std::string digits;
  do {
    digits.insert(digits.begin(), static_cast<char>('0' + static_cast<int>(value % 10)));
    value /= 10;
  } while (value != 0);
  return digits;
}

inline Wide wide_of(const std::string& text) {
  Wide value = 0;
  for (const char c : text) value = value * 10 + static_cast<Wide>(c - '0');
  return value;
}

inline std::string calls_text(const Quantities& quantities) {
  std::string text;
  for (const std::uint64_t count : quantities.calls) text += (text.empty() ? "" : ",") + std::to_string(count);
  return text;
}

// "" where nothing was held, else decimals with commas between.
inline std::string held_text(const HeldSum& held) {
  if (held == HeldSum{}) return {};
  std::string text = wide_text(held.sleeping_cpu_milli_ms) + "," + wide_text(held.sleeping_byte_ms);
  for (std::size_t i = 0; i < model::kHeldTiers; ++i)
    text += "," + wide_text(held.ms[i]) + "," + wide_text(held.byte_ms[i]);
  return text;
}

inline HeldSum held_of(const std::string& text) {
  HeldSum held;
  std::size_t at = 0;
  const auto next = [&] {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const Wide value = wide_of(text.substr(std::min(at, end), end - std::min(at, end)));
    at = end + 1;
    return value;
  };
  held.sleeping_cpu_milli_ms = next();
  held.sleeping_byte_ms = next();
  for (std::size_t i = 0; i < model::kHeldTiers; ++i) {
    held.ms[i] = next();
    held.byte_ms[i] = next();
  }
  return held;
}

// Of five columns from `column` on.
inline Quantities quantities_at(const store::SqliteQuery& row, int column) {
  Quantities quantities;
  const std::string calls = row.text(column);
  const char* at = calls.data();
  const char* const end = at + calls.size();
  for (std::uint64_t& count : quantities.calls) {
    at = std::from_chars(at, end, count).ptr;
    if (at != end) ++at;
  }
  quantities.billed_ms = static_cast<std::uint64_t>(row.number(column + 1));
  quantities.cpu_milli_ms = wide_of(row.text(column + 2));
  quantities.byte_ms = wide_of(row.text(column + 3));
  const std::string held = row.text(column + 4);
  if (!held.empty()) quantities.held = held_of(held);
  return quantities;
}

inline void bind_quantities(store::SqliteQuery& query, const Quantities& quantities) {
  query.bind(calls_text(quantities))
      .bind(static_cast<std::int64_t>(quantities.billed_ms))
      .bind(wide_text(quantities.cpu_milli_ms))
      .bind(wide_text(quantities.byte_ms))
      .bind(held_text(quantities.held));
}

// Of app, function, version, trigger and alias from `column` on.
inline UsageKey key_at(const store::SqliteQuery& row, int column, Day day) {
  return {.app = row.text(column),
          .function = row.text(column + 1),
          .version = static_cast<std::uint32_t>(row.number(column + 2)),
          .trigger = static_cast<model::Trigger>(row.number(column + 3)),
          .alias = row.text(column + 4),
          .day = day};
}

inline void bind_key(store::SqliteQuery& query, const UsageKey& key) {
  query.bind(key.app)
      .bind(key.function)
      .bind(static_cast<std::int64_t>(key.version))
      .bind(static_cast<std::int64_t>(key.trigger))
      .bind(key.alias);
}

inline Day month_day(Day day) {
  const base::WallTime time{std::chrono::days(day)};
  return month_of(time).first_day();
}

inline Day day_of_hour(std::int64_t hour) {
  return hour >= 0 ? hour / kHoursPerDay : (hour - kHoursPerDay + 1) / kHoursPerDay;
}

}  // namespace ebb::meter
