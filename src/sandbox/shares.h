// What each of several concurrent calls of an instance has had of its time and its processor.
//
// While k calls are under way, each gets a k-th of what passes: the shares of all calls together are the time in which
// the instance was at work and the processor time it took, never more, whatever overlaps. A call that was alone has all
// of both. O(1) for each begin and end: one running sum of "what one of those present got", read at both (the virtual
// time of processor sharing and of fair queueing; Parekh and Gallager, 1993). Processor time that passes while no call
// is there (starts, ends, what code does between calls) is nobody's, and is given out by take_unclaimed(). The kernel's
// counter is read when the first call comes and when the last goes, and while there are several not again within
// kReadEvery: which of them had that much of the processor is not told anyhow, and the reading costs what a tenth of a
// short call does.
// Called by node around each call, at the instance's end and now and then. Threads: any.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <utility>

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
  static constexpr std::chrono::microseconds kReadEvery{250};

  /// The sums as a call begins. `alone`: nobody else is there.
  struct Mark {
    double time_ns = 0;
    double cpu_ns = 0;
    bool alone = false;
  };

  /// `cpu`: reads what the instance has used in its life.
  template <std::invocable Read>
  Mark begin(base::SteadyTime now, const Read& cpu) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    pass(now);
    look(now, present_ == 0, cpu);
    return {.time_ns = time_ns_, .cpu_ns = cpu_ns_, .alone = present_++ == 0};
  }

  template <std::invocable Read>
  Share end(const Mark& mark, base::SteadyTime now, const Read& cpu) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    pass(now);
    look(now, present_ == 1, cpu);
    --present_;
    return {.time = whole(time_ns_ - mark.time_ns), .cpu = whole(cpu_ns_ - mark.cpu_ns), .last = present_ == 0};
  }

  /// A reading of `cpu` beside those of begin() and end(): the last word of an instance that ended.
  void see(base::Duration cpu) EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    use(cpu);
  }

  /// What was used while no call was there and has not been asked for yet.
  base::Duration take_unclaimed() EBB_EXCLUDES(mutex_) {
    base::MutexLock lock(mutex_);
    return base::Duration(std::exchange(unclaimed_ns_, 0));
  }

 private:
  static base::Duration whole(double ns) { return base::Duration(static_cast<std::int64_t>(std::max(0.0, ns) + 0.5)); }

  // Who reads the clock on another core may come late.
  void pass(base::SteadyTime now) EBB_REQUIRES(mutex_) {
    if (present_ > 0) time_ns_ += static_cast<double>(std::max<std::int64_t>(0, (now - now_).count())) / present_;
    now_ = std::max(now_, now);
  }

  template <std::invocable Read>
  void look(base::SteadyTime now, bool must, const Read& cpu) EBB_REQUIRES(mutex_) {
    if (!must && now - read_at_ < kReadEvery) return;
    read_at_ = now;
    use(cpu());
  }

  void use(base::Duration cpu) EBB_REQUIRES(mutex_) {
    const std::int64_t used = std::max<std::int64_t>(0, (cpu - cpu_).count());
    if (present_ > 0) {
      cpu_ns_ += static_cast<double>(used) / present_;
    } else {
      unclaimed_ns_ += used;
    }
    cpu_ = std::max(cpu_, cpu);
  }

  base::Mutex mutex_;
  std::uint32_t present_ EBB_GUARDED_BY(mutex_) = 0;
  double time_ns_ EBB_GUARDED_BY(mutex_) = 0;
  double cpu_ns_ EBB_GUARDED_BY(mutex_) = 0;
  std::int64_t unclaimed_ns_ EBB_GUARDED_BY(mutex_) = 0;
  base::SteadyTime now_ EBB_GUARDED_BY(mutex_){};
  base::SteadyTime read_at_ EBB_GUARDED_BY(mutex_){};
  base::Duration cpu_ EBB_GUARDED_BY(mutex_){};
};

}  // namespace ebb::sandbox
