// Retention: which usage records are old enough to go, by a clock that may be set.
//
// What goes is gone for good, so a clock that is ahead must not decide it: after it was set forward nothing goes for
// limits::kClockSetPause of steady time, in which it can be set right. Pure. Owned by the engine's flush.
#pragma once

#include <cstdint>
#include <optional>

#include "base/clock_watch.h"
#include "base/limits_bill.h"

namespace ebb::meter {

class Retention {
 public:
  /// `days` of 0: everything stays.
  Retention(std::uint32_t days, base::SteadyTime now, base::WallTime wall) : days_(days), watch_(now, wall) {}

  /// To be told the time often. Gives how far the clock was set since, 0 if it was not.
  base::Duration see(base::SteadyTime now, base::WallTime wall) {
    const base::Duration set = watch_.set_by(now, wall);
    if (set > base::Duration::zero()) pauses_until_ = now + limits::kClockSetPause;
    return set;
  }

  /// Records that arrived before then may go; none.
  std::optional<base::WallTime> before(base::SteadyTime now, base::WallTime wall) const {
    if (days_ == 0 || now < pauses_until_) return std::nullopt;
    return wall - std::chrono::hours(24) * days_;
  }

 private:
  const std::uint32_t days_;
  base::ClockWatch watch_;
  base::SteadyTime pauses_until_{};
};

}  // namespace ebb::meter
