// Whether one function's zygote (or, without zygotes, its instance) should be in memory now: applies the plan of a
// keep-alive policy to what the function is doing.
//
// Invariants: a function with calls is resident; idle spans never overlap; a gap is reported to the policy once, by the
// call that ends it. Pure: time comes in with every event. Called beside the Dispatcher by whoever owns both.
#pragma once

#include <memory>

#include "base/clock.h"
#include "sched/keep_alive.h"

namespace ebb::sched {

class Residency {
 public:
  explicit Residency(std::unique_ptr<KeepAlive> policy) : policy_(std::move(policy)) {}

  /// The first call after an idle span, or any other. Cost: O(1).
  void call_arrived(base::SteadyTime now);
  /// The last of the calls ended (answered, refused or withdrawn).
  void became_idle(base::SteadyTime now);

  /// True while it has calls, or its plan holds it.
  bool wanted(base::SteadyTime now) const;
  /// When wanted() next changes by itself; SteadyTime::max() when it does not.
  base::SteadyTime next_change(base::SteadyTime now) const;
  KeepAlive& policy() { return *policy_; }
  const KeepAlive& policy() const { return *policy_; }

 private:
  std::unique_ptr<KeepAlive> policy_;
  bool idle_ = false;
  bool ever_called_ = false;
  base::SteadyTime idle_since_{};
};

}  // namespace ebb::sched
