// Whether a core that has run out of work looks for more for a moment before it sleeps: pure, of what it found so far.
//
// To sleep and be woken costs a core two switches, and whoever wakes it a call to another processor; where the next
// piece of work comes within microseconds, looking for it costs less (adaptive spinning: Karlin et al., Empirical
// studies of competitive spinning, SOSP 1991). 1. A core begins to spin when kRun pieces of work came kWithin one
// another on average. 2. It stops when a third of its spins found nothing, or when kRun of them ended further than
// kApart from one another on average, and does not begin again for kRest. 3. A spin lasts kLongest at most. So an idle
// core never spins, nor for long one whose work comes more slowly. Called by cores.cc.
#pragma once

#include <algorithm>
#include <chrono>

#include "base/clock.h"

namespace ebb::io {

class Spinning {
 public:
  static constexpr std::chrono::microseconds kLongest{50};
  static constexpr std::chrono::microseconds kWithin{25};
  static constexpr std::chrono::microseconds kApart{150};
  static constexpr std::chrono::milliseconds kRest{20};
  static constexpr int kRun = 64;

  bool on() const { return credit_ > 0; }

  /// One piece of work was done that no spin found. True when it is on from now on. Cost: the clock is wanted every
  /// kRun pieces only.
  template <typename Clock>
  bool worked(const Clock& clock) {
    if (on() || ++run_ < kRun) return false;
    run_ = 0;
    const base::SteadyTime now = clock();
    const bool quick = now - since_ <= kRun * kWithin;
    since_ = now;
    if (quick && now >= rested_) credit_ = kCreditFirst;
    spins_ = 0;
    return on();
  }

  /// While it is on: a spin ended. True every kRun spins.
  bool spun(bool found, base::SteadyTime now) {
    credit_ = std::min(credit_ + (found ? 1 : -2), kCreditMost);
    const bool looks = ++spins_ == kRun;
    if (looks) {
      if (now - since_ > kRun * kApart) credit_ = 0;
      spins_ = 0;
      since_ = now;
    }
    if (credit_ <= 0) rest(now);
    return looks;
  }

  /// Not for kRest.
  void rest(base::SteadyTime now) {
    credit_ = run_ = 0;
    since_ = now;
    rested_ = now + kRest;
  }

 private:
  static constexpr int kCreditFirst = 4;
  static constexpr int kCreditMost = 8;

  int credit_ = 0;
  int run_ = 0;
  int spins_ = 0;  // since since_, while it is on
  base::SteadyTime since_{};
  base::SteadyTime rested_{};
};

}  // namespace ebb::io
