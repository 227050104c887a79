// A calendar month in UTC: what a bill is for. A record belongs to the month of its arrival.
#pragma once

#include <compare>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "meter/price_list.h"

namespace ebb::meter {

struct Month {
  int year = 0;
  unsigned month = 0;  // from 1
  Day first_day() const;
  Day end_day() const;  // the first of the next
  base::WallTime begin() const;
  base::WallTime end() const;
  auto operator<=>(const Month&) const = default;
};
/// "2026-11". Errors: kInvalidArgument.
base::Result<Month> parse_month(std::string_view text);
std::string to_string(Month month);
Month month_of(base::WallTime time);

}  // namespace ebb::meter
