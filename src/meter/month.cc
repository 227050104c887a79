#include "meter/month.h"

#include <charconv>
#include <chrono>

namespace ebb::meter {

using base::Result;

Day Month::first_day() const {
  const std::chrono::year_month_day first{std::chrono::year(year), std::chrono::month(month), std::chrono::day(1)};
  return Day{std::chrono::sys_days(first).time_since_epoch().count()};
}

Day Month::end_day() const { return month == 12 ? Month{year + 1, 1}.first_day() : Month{year, month + 1}.first_day(); }

base::WallTime Month::begin() const { return base::WallTime(std::chrono::days(first_day())); }
base::WallTime Month::end() const { return base::WallTime(std::chrono::days(end_day())); }

Result<Month> parse_month(std::string_view text) {
  Month month;
  const auto number = [&](std::size_t at, std::size_t length, auto& out) {
    const char* const end = text.data() + at + length;
    const auto read = std::from_chars(text.data() + at, end, out);
    return read.ec == std::errc{} && read.ptr == end;
  };
  const bool shape = text.size() == 7 && text[4] == '-' && number(0, 4, month.year) && number(5, 2, month.month);
  if (!shape || month.year < 1970 || month.year > 2200 || month.month < 1 || month.month > 12) {
    return base::invalid_argument("month is '" + std::string(text.substr(0, 40)) + "', write one such as 2026-11");
  }
  return month;
}

std::string to_string(Month month) { return day_text(month.first_day()).substr(0, 7); }

Month month_of(base::WallTime time) {
  const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(time)};
  return {static_cast<int>(date.year()), static_cast<unsigned>(date.month())};
}

}  // namespace ebb::meter
