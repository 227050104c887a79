// Whether work waits for a processor, by the kernel's own account (pressure stall information; Weiner, Linux 4.20): the
// time in which a processor that was busy had somebody waiting for it, over all processors.
//
// Looked at only when somebody wants to know, at most every kPause; what is older than kWindow says nothing. Kernels
// without it (psi=0) tell nothing, and then the processors are never full. Threads: any. Cost: a pread of some
// microseconds in kPause, else a clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/mutex.h"
#include "os/fd.h"
#include "sched/processor_bound.h"

namespace ebb::node {

/// The total of the line "some" in /proc/pressure/cpu; nothing when there is none.
std::optional<std::chrono::microseconds> stalled_total(std::string_view pressure);

class ProcessorPressure {
 public:
  static constexpr std::chrono::milliseconds kPause{20};
  static constexpr std::chrono::milliseconds kWindow{250};
  static constexpr double kFull = 0.4;

  /// `file` is read as /proc/pressure/cpu.
  explicit ProcessorPressure(sched::Processors& processors, const std::string& file = "/proc/pressure/cpu");

  /// Brings `processors.full` up to date.
  void look(base::SteadyTime now = base::steady_now()) EBB_EXCLUDES(mutex_);

 private:
  sched::Processors& processors_;
  const os::Fd file_;
  base::Mutex mutex_;
  base::SteadyTime at_ EBB_GUARDED_BY(mutex_){};
  std::chrono::microseconds stalled_ EBB_GUARDED_BY(mutex_){};
};

}  // namespace ebb::node
