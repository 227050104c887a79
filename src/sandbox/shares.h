// What each of several concurrent calls of an instance has had of its time and its processor.
//
// While k calls are under way, each gets a k-th of what passes: the shares of all calls together are the time in which
// the instance was at work and the processor time it took, never more, whatever overlaps. A call that was alone has all
// of both. O(1) for each begin and end: one running sum of "what one of those present got", read at both (the virtual
// time of processor sharing and of fair queueing; Parekh and Gallager, 1993).
// Called by node around each call. Threads: any.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"
#include "base/duration.h"
#include "base/mutex.h"

namespace ebb::sandbox {

struct Share {
  base::Duration time{};
  base::Duration cpu{};
  bool last = true;  // nobody is there any more
};

class Shares {
 public:
  /// The sums as a call begins. `alone`: nobody else is there.
  struct Mark {
    double time_ns = 0;
    double cpu_ns = 0;
    bool alone = false;
  };

  /// `cpu`: what the instance has used in its life.
  Mark begin(base::SteadyTime now, base::Duration cpu) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    pass(now, cpu);
    return {.time_ns = time_ns_, .cpu_ns = cpu_ns_, .alone = present_++ == 0};
  }

  Share end(const Mark& mark, base::SteadyTime now, base::Duration cpu) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    pass(now, cpu);
    --present_;
    return {.time = whole(time_ns_ - mark.time_ns), .cpu = whole(cpu_ns_ - mark.cpu_ns), .last = present_ == 0};
  }

 private:
  static base::Duration whole(double ns) { return base::Duration(static_cast<std::int64_t>(std::max(0.0, ns) + 0.5)); }

  // What passes while nobody is there belongs to nobody. Who reads the clock on another core may come late.
  void pass(base::SteadyTime now, base::Duration cpu) EBB_REQUIRES(mutex_) {
    if (present_ > 0) {
      time_ns_ += static_cast<double>(std::max<std::int64_t>(0, (now - now_).count())) / present_;
      cpu_ns_ += static_cast<double>(std::max<std::int64_t>(0, (cpu - cpu_).count())) / present_;
    }
    now_ = std::max(now_, now);
    cpu_ = std::max(cpu_, cpu);
  }

  base::Mutex mutex_;
  std::uint32_t present_ EBB_GUARDED_BY(mutex_) = 0;
  double time_ns_ EBB_GUARDED_BY(mutex_) = 0;
  double cpu_ns_ EBB_GUARDED_BY(mutex_) = 0;
  base::SteadyTime now_ EBB_GUARDED_BY(mutex_){};
  base::Duration cpu_ EBB_GUARDED_BY(mutex_){};
};

}  // namespace ebb::sandbox
