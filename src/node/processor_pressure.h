// Whether work waits for a processor, by the kernel's own account: at least kFull of the time (pressure stall
// information; Weiner, Linux 4.20), and as many can run as there are processors.
//
// 1. The pressure counts whoever waits, over all processors that are busy; it counts those too whose own limit stops
// them (cpu.max), which are not among those that can run. 2. What was seen holds for kHolds, longer than until the next
// look: the number of those that can run is a moment's. 3. Looked at only when somebody wants to know, at most every
// kPause; what is older than kWindow says nothing. Kernels without pressure (psi=0) tell nothing, and then the
// processors are never full. Threads: any. Cost: two preads of some microseconds in kPause, else one load.
#pragma once

#include <atomic>
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
/// How many can run, of /proc/loadavg; nothing when it does not say.
std::optional<std::uint64_t> runnable(std::string_view load);

class ProcessorPressure {
 public:
  static constexpr std::chrono::milliseconds kPause{20};
  static constexpr std::chrono::milliseconds kHolds{60};
  static constexpr std::chrono::milliseconds kWindow{250};
  static constexpr double kFull = 0.4;

  struct Files {
    std::string pressure = "/proc/pressure/cpu";
    std::string load = "/proc/loadavg";
  };

  explicit ProcessorPressure(sched::Processors& processors) : ProcessorPressure(processors, Files{}) {}
  ProcessorPressure(sched::Processors& processors, const Files& files);

  /// Brings `processors.full_until` up to date.
  void look(base::SteadyTime now) EBB_EXCLUDES(mutex_);

 private:
  sched::Processors& processors_;
  const os::Fd pressure_;
  const os::Fd load_;
  std::atomic<base::SteadyTime> at_{base::SteadyTime{}};  // written by who holds mutex_
  base::Mutex mutex_;
  std::chrono::microseconds stalled_ EBB_GUARDED_BY(mutex_){};
};

}  // namespace ebb::node
