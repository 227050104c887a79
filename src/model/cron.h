// Times that come again, as cron writes them: "30 8 * * mon-fri" is half past eight on working days.
//
// Five fields: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday). Each is `*`, a number, a
// range, either with a step (`*/15`, `8-18/2`), or several with commas; months and days of the week have English names
// of three letters. When day of the month and day of the week are both restricted a day that fits one of them counts,
// as in every cron (POSIX crontab). `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly` stand for the usual five.
// Pure values; threads: any.
#pragma once

#include <bitset>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "model/time_zone.h"

namespace ebb::model {

class Cron {
 public:
  /// Errors: kInvalidArgument naming the field, and what it may be. A date that never comes (31 February) is one.
  static base::Result<Cron> parse(std::string_view text);

  /// The first time after `after` that fits, in the clock of the zone; whole minutes. A time that the change to summer
  /// time skips is taken as the moment of the change, one that comes twice in autumn counts the first time; with `*`
  /// for the hour neither is special: what is skipped is skipped, what comes twice counts twice.
  /// Cost: microseconds; at most 29 years are looked at, a 29 February on a given day of the week.
  std::optional<base::WallTime> next_after(base::WallTime after, const TimeZone& zone) const;

  /// As it was written.
  const std::string& text() const { return text_; }
  bool operator==(const Cron& other) const { return text_ == other.text_; }

 private:
  bool fits(std::chrono::year_month_day date) const;
  bool ever_comes() const;

  std::string text_;
  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;    // of the month, from 1
  std::bitset<13> months_;  // from 1
  std::bitset<7> weekdays_;
  bool any_day_ = false;  // the field is *
  bool any_weekday_ = false;
};

}  // namespace ebb::model
