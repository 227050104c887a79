// Whether another instance would have a processor: when calls compute and all processors are taken, one more instance
// makes nothing sooner. Those at work only get less each, take longer, and are billed for it; a call that waits in the
// queue costs nothing. So calls that compute wait for a busy instance then.
//
// 1. Calls compute when at least half of their time is processor time. That is measured while processors are free; when
// they are not, a call takes longer for others' sake, and only a higher share counts. 2. As many calls of a version run
// as its equal share of the processors could serve, and one, without asking; from there one start at a time while
// processors are free, and none while they are full. 3. Whoever trusts this must do without it when no call ends for
// several times as long as one takes: then they compute no longer as they did. Pure; O(1). Sources: processor sharing
// against first come, first served (Kleinrock, 1976): the same throughput, half of the mean time in the system where
// calls are alike.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>

#include "base/duration.h"

namespace ebb::sched {

/// What all versions of a node know of its processors. Threads: any.
struct Processors {
  explicit Processors(double processors) : count(processors) {}
  const double count;
  std::atomic<std::uint32_t> versions_at_work = 0;  // that have calls under way
  std::atomic<bool> full = false;                   // there is work that waits for one
};

class ProcessorBound {
 public:
  /// A call used `cpu` of processors in `time`.
  void call_used(base::Duration cpu, base::Duration time, bool full) {
    if (time <= base::Duration::zero()) return;
    const double share = static_cast<double>(cpu.count()) / static_cast<double>(time.count());
    if (share_ < 0) {
      share_ = full ? 0 : share;
    } else if (!full || share > share_) {
      share_ += kWeight * (share - share_);
    }
  }
  bool computes() const { return share_ >= kComputes; }

  /// For calls that compute: how many more of those that wait may have a start, of a version with `at_work` calls in
  /// instances, those that start included; `starting`: some do.
  std::uint32_t starts_for(std::uint32_t wanted, const Processors& processors, std::uint32_t at_work,
                           bool starting) const {
    const double versions = std::max(1U, processors.versions_at_work.load(std::memory_order_relaxed));
    const bool full = processors.full.load(std::memory_order_relaxed);
    const double served = processors.count / share_ / (full ? versions : 1);
    const auto unasked = static_cast<std::uint32_t>(std::ceil(std::min(served, 1e6))) + (full ? 0 : 1);
    if (at_work < unasked) return std::min(wanted, unasked - at_work);
    return full || starting ? 0 : std::min(wanted, 1U);
  }

 private:
  static constexpr double kComputes = 0.5;
  static constexpr double kWeight = 1.0 / 8;

  double share_ = -1;  // of its time that a call has a processor; not known while negative
};

}  // namespace ebb::sched
