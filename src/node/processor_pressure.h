// Whether work waits for a processor, by the kernel's own account: enough of the time (pressure stall information;
// Weiner, Linux 4.20), and more can run than there are processors.
//
// 1. The pressure counts whoever waits, over all processors that are busy; it counts those too whose own limit stops
// them (cpu.max), which are not among those that can run. 2. The rule is sched::Processors'. 3. Looked at only when
// somebody wants to know, at most every sched::Processors::kPause. Kernels without pressure (psi=0) tell nothing, and
// then the processors are never full. Threads: any. Cost: two preads of some microseconds in kPause, else one load.
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
