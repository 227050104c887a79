// The clocks of a place: UTC and what people there read, by the machine's time zone database.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace date {
class time_zone;
}

namespace ebb::model {

/// A time on the clocks of some zone.
using LocalTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::minutes>;

class TimeZone {
 public:
  /// "UTC", which needs no database, or a name of it such as "Europe/Berlin".
  /// Errors: kInvalidArgument when there is no such zone, or no database (Debian's tzdata). Cost: the first use of a
  /// zone reads a file. Threads: any.
  static base::Result<TimeZone> named(std::string_view name);

  LocalTime local(base::WallTime time) const;

  struct Moments {
    base::WallTime first;
    base::WallTime second;  // the same, unless clocks are set back over that time
    bool skipped = false;   // clocks are set forward over it: both are the moment of the change
  };
  /// When the clocks show `time`.
  Moments when(LocalTime time) const;

 private:
  explicit TimeZone(const date::time_zone* zone) : zone_(zone) {}

  const date::time_zone* zone_;  // of the library's database, which lives as long as the process; null: UTC
};

}  // namespace ebb::model
