// Whether another instance would have a processor: when calls compute and all processors are taken, one more instance
// makes nothing sooner. Those at work only get less each, take longer, and are billed for it; a call that waits in the
// queue costs nothing. So calls that compute wait for a busy instance then.
//
// 1. Calls compute when at least half of their time is processor time. How long they wait for something else is
// measured while processors are free: when they are not, they wait for these. 2. As many calls of a version run as its
// equal share of the processors could serve, and one, without asking; from there one start at a time while processors
// are free, and none while they are full. 3. Whoever trusts this must do without it when no call ends for several times
// as long as one takes: then they compute no longer as they did. Pure; O(1). Sources: processor sharing against first
// come, first served (Kleinrock, 1976): the same throughput, half of the mean time in the system where calls are alike.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>

#include "base/clock.h"
#include "base/duration.h"

namespace ebb::sched {

/// What all versions of a node know of its processors. Threads: any.
struct Processors {
  explicit Processors(double processors) : count(processors) {}
  /// Work waits for one.
  bool full(base::SteadyTime now) const { return now < full_until.load(std::memory_order_relaxed); }

  /// Whoever looks, looks at most every kPause; what it saw holds longer than until the next look, for the number of
  /// those that can run is a moment's. What is older than kWindow says nothing.
  static constexpr std::chrono::milliseconds kPause{20};
  static constexpr std::chrono::milliseconds kHolds{60};
  static constexpr std::chrono::milliseconds kWindow{250};
  /// Whether, since the last look, work waited so long that processors may be full: for two fifths of the time.
  static bool waited_much(base::Duration passed, base::Duration waited) {
    return passed <= kWindow && static_cast<double>(waited.count()) >= 0.4 * static_cast<double>(passed.count());
  }
  /// It did, and so much can run now.
  void seen(double runnable, base::SteadyTime now) {
    if (runnable > count) full_until.store(now + kHolds, std::memory_order_relaxed);
  }

  const double count;
  std::atomic<std::uint32_t> versions_at_work = 0;                    // that have calls under way
  std::atomic<base::SteadyTime> full_until{base::SteadyTime::min()};  // as far as is known
};

class ProcessorBound {
 public:
  /// A call used `cpu` of processors in `time`.
  void call_used(base::Duration cpu, base::Duration time, bool full) {
    if (time <= base::Duration::zero()) return;
    cpu_.add(static_cast<double>(cpu.count()));
    if (!full) wait_.add(static_cast<double>(std::max(base::Duration::zero(), time - cpu).count()));
  }
  bool computes() const { return wait_.count >= kCalls && cpu_.mean >= wait_.mean; }

  /// For calls that compute: how many more of those that wait may have a start, of a version with `at_work` calls in
  /// instances, those that start included; `starting`: some do.
  std::uint32_t starts_for(std::uint32_t wanted, const Processors& processors, std::uint32_t at_work, bool starting,
                           base::SteadyTime now) const {
    const double versions = std::max(1U, processors.versions_at_work.load(std::memory_order_relaxed));
    const bool full = processors.full(now);
    const double share = cpu_.mean / std::max(1.0, cpu_.mean + wait_.mean);  // of its time that a call has one
    const double served = processors.count / share / (full ? versions : 1);
    const auto unasked = static_cast<std::uint32_t>(std::ceil(std::min(served, 1e6))) + (full ? 0 : 1);
    if (at_work < unasked) return std::min(wanted, unasked - at_work);
    return full || starting ? 0 : std::min(wanted, 1U);
  }

 private:
  static constexpr std::uint32_t kCalls = 8;  // are measured before anything is said of them

  struct Mean {
    void add(double value) {
      count = std::min(count + 1, kCalls);
      mean += (value - mean) / count;
    }
    double mean = 0;  // ns, of the latest kCalls or so
    std::uint32_t count = 0;
  };

  Mean cpu_;
  Mean wait_;  // of a call for something other than a processor
};

}  // namespace ebb::sched
