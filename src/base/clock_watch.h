// ClockWatch: notices that somebody set the wall clock, by holding it against the steady one.
//
// What drifts or is slewed stays unnoticed, as it should. A machine that slept looks as if its clock had been set
// forward: its steady clock stood still. No clock of its own. Threads: one.
#pragma once

#include "base/clock.h"
#include "base/duration.h"

namespace ebb::base {

class ClockWatch {
 public:
  /// Less than that is not told.
  static constexpr Duration kLeast = std::chrono::seconds(2);

  ClockWatch(SteadyTime now, WallTime wall) : seen_at_(now), seen_(wall) {}

  /// How far it was set since the last time, negative if it was set back; 0 if it was not.
  Duration set_by(SteadyTime now, WallTime wall) {
    const Duration set = (wall - seen_) - (now - seen_at_);
    seen_at_ = now;
    seen_ = wall;
    return set < kLeast && set > -kLeast ? Duration::zero() : set;
  }

 private:
  SteadyTime seen_at_;
  WallTime seen_;
};

}  // namespace ebb::base
