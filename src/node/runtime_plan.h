// When a runtime zygote is held though nothing of an app is loaded on top of it: the residency of what its functions
// share, by the price of the node (keep_alive_price), as a function zygote is held by its own (sched/residency.h).
//
// Its functions tell of their calls with the node's tick, not on a call's path: a call that came and went between two
// ticks is told as one, and gaps are known to within a tick. Shared by the pool and the versions that use it. Threads:
// any. Cost: one lock; O(1).
#pragma once

#include <memory>
#include <utility>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "sched/keep_alive_worth.h"
#include "sched/residency.h"

namespace ebb::node {

class RuntimePlan : public std::enable_shared_from_this<RuntimePlan> {
 public:
  RuntimePlan(double price, base::SteadyTime now)
      : residency_(std::make_unique<sched::WorthKeepAlive>(sched::WorthOptions{.price = price})) {
    residency_.became_idle(now);
  }

  /// While it lives a version has calls under way; its end says when they were over.
  class Work {
   public:
    explicit Work(std::shared_ptr<RuntimePlan> plan) : plan_(std::move(plan)) {}
    Work(Work&& other) noexcept = default;
    Work& operator=(Work&&) = delete;
    ~Work() {
      if (plan_) plan_->ended(base::steady_now());
    }

   private:
    std::shared_ptr<RuntimePlan> plan_;
  };

  /// Calls have begun that are not over yet.
  Work begun(base::SteadyTime at) {
    base::MutexLock lock(mutex_);
    if (working_++ == 0) residency_.call_arrived(at);
    return Work(shared_from_this());
  }
  /// A call came and went; unnoticed while others are under way.
  void called(base::SteadyTime at) {
    base::MutexLock lock(mutex_);
    if (working_ > 0) return;
    residency_.call_arrived(at);
    residency_.became_idle(at);
  }
  /// What it takes, for plans made from now on.
  void set_costs(base::Bytes bytes, base::Duration boot) {
    base::MutexLock lock(mutex_);
    static_cast<sched::WorthKeepAlive&>(residency_.policy())
        .set_costs(static_cast<double>(bytes.count) / (1 << 30), boot);
  }
  bool wanted(base::SteadyTime now) const {
    base::MutexLock lock(mutex_);
    return residency_.wanted(now);
  }

 private:
  void ended(base::SteadyTime at) {
    base::MutexLock lock(mutex_);
    if (--working_ == 0) residency_.became_idle(at);
  }

  mutable base::Mutex mutex_;
  sched::Residency residency_ EBB_GUARDED_BY(mutex_);
  unsigned working_ EBB_GUARDED_BY(mutex_) = 0;
};

}  // namespace ebb::node
