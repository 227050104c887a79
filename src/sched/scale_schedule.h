// How many instances of a version are to be kept ready at a given time: `scale.min`, and more in the windows that the
// developer named (provisioned capacity for hours that are known).
//
// Reads wall time, for windows are hours of people; a clock that is set, back or forth, moves them with it.
// Pure: time comes in. Threads: as its owner.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "model/cron.h"
#include "model/scale.h"
#include "model/time_zone.h"

namespace ebb::sched {

class ScaleSchedule {
 public:
  /// Of a scale without violation. A window whose zone this machine has no longer never opens.
  explicit ScaleSchedule(const model::Scale& scale);

  /// A window is open from its time on, and closed at the time plus its length. Cost: O(1), but when a window opens or
  /// closes and when the clock went back.
  std::uint32_t minimum(base::WallTime now);

 private:
  struct Window {
    model::Cron from;
    model::TimeZone zone;
    base::Duration length;
    std::uint32_t min;
  };

  std::uint32_t always_;
  std::vector<Window> windows_;
  // The answer, and for what times it holds.
  std::uint32_t minimum_ = 0;
  base::WallTime begin_ = base::WallTime::max();
  base::WallTime end_ = base::WallTime::min();
};

}  // namespace ebb::sched
