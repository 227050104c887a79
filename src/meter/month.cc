#include "meter/month.h"

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
  const Result<Day> first = parse_day(std::string(text) + "-01");
  const Month month = first ? month_of(base::WallTime(std::chrono::days(*first))) : Month{};
  if (!first || month.year > 2200) {
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
