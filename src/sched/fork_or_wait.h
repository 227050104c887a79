// Whether a call that finds no idle instance is worth a fork, or is served sooner by waiting for a busy one.
//
// With n busy instances whose calls last d on average, the next is free after about d / n, and a call with q before it
// in the queue waits (q + 1) d / n. A fork is worth it when that is longer than a fork takes. Starts already under way
// count as instances that will be free when they are ready. Estimates are exponentially weighted means, so the rule
// follows a function whose calls change. Pure; O(1); no allocation. Source: the question of Nightcore's concurrency
// hints (Jia and Witchel, ASPLOS 2021), answered by Little's law.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/duration.h"

namespace ebb::sched {

class ForkOrWait {
 public:
  enum class Choice : std::uint8_t { kFork, kWait };

  void call_took(base::Duration time) { mean_into(call_ns_, time); }
  void fork_took(base::Duration time) { mean_into(fork_ns_, time); }

  /// For a call that has `before` waiting calls in front of it.
  Choice choose(std::size_t before, std::uint32_t busy, std::uint32_t starting) const {
    if (busy == 0 && starting == 0) return Choice::kFork;
    if (before < starting) return Choice::kWait;  // one that is coming is for this call
    if (busy == 0 || call_ns_ == 0 || fork_ns_ == 0) return Choice::kFork;
    const double wait = static_cast<double>(before - starting + 1) * call_ns_ / busy;
    return wait > fork_ns_ ? Choice::kFork : Choice::kWait;
  }

 private:
  static constexpr double kWeight = 1.0 / 16;

  static void mean_into(double& mean, base::Duration time) {
    const auto ns = std::max(1.0, static_cast<double>(time.count()));
    mean = mean == 0 ? ns : mean + kWeight * (ns - mean);
  }

  double call_ns_ = 0;
  double fork_ns_ = 0;
};

}  // namespace ebb::sched
