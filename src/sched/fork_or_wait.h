// Whether a call that finds no idle instance is worth a fork, or is served sooner by waiting for a busy one.
//
// With n busy instances whose calls last d on average, one comes free about every d / n, and a fork takes f: so n f / d
// waiting calls are served by then, and only those beyond are worth a fork. The estimates are exponentially weighted
// means, so the rule follows a function whose calls change; who trusts it should still fork for a call that has waited
// for f in vain, which bounds the price of a wrong estimate at one fork's time. Pure; O(1); no allocation. Source: the
// question of Nightcore's concurrency hints (Jia and Witchel, ASPLOS 2021), answered by Little's law; the bound is ski
// rental's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "base/duration.h"

namespace ebb::sched {

class ForkOrWait {
 public:
  void call_took(base::Duration time) { mean_into(call_ns_, time); }
  void fork_took(base::Duration time) { mean_into(fork_ns_, time); }

  /// How many waiting calls `busy` instances are likely to take before a fork would; 0 while nothing is known.
  std::uint32_t served_within_a_fork(std::uint32_t busy) const {
    if (call_ns_ == 0) return 0;
    constexpr double kMost = std::numeric_limits<std::uint32_t>::max();
    return static_cast<std::uint32_t>(std::min(kMost, fork_ns_ * busy / call_ns_));
  }

  /// When the last of `waiting` calls gets one of `instances`; `anew`: each after a start of its own. 0 while nothing
  /// is known.
  base::Duration until_served(std::size_t waiting, std::uint32_t instances, bool anew = false) const {
    const double each_ns = call_ns_ + (anew ? fork_ns_ : 0);
    const double ns = static_cast<double>(waiting) * each_ns / std::max(1U, instances);
    return base::Duration(static_cast<std::int64_t>(std::min(ns, 1e18)));
  }

  /// On average; 0 while nothing is known.
  base::Duration fork_time() const { return base::Duration(static_cast<std::int64_t>(fork_ns_)); }
  base::Duration call_time() const { return base::Duration(static_cast<std::int64_t>(call_ns_)); }

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
