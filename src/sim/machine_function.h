// A function in the books of the simulated machine: its dispatcher and policies, and what is there of it. Of the
// machine's own files only.
#pragma once

#include <memory>

#include "sim/machine.h"

namespace ebb::sim {

struct Machine::Function {
  Function(std::uint32_t index_, Load load_, sched::DispatcherOptions options, std::atomic<std::uint64_t>* next,
           std::unique_ptr<sched::KeepAlive> policy, std::unique_ptr<sched::KeepAlive> runtime_policy,
           std::unique_ptr<sched::KeepAlive> spare_policy, std::uint64_t phase_, sched::Processors* processors)
      : index(index_),
        load(std::move(load_)),
        dispatcher(options, next, processors),
        residency(std::move(policy)),
        runtime_residency(std::move(runtime_policy)),
        spare_residency(std::move(spare_policy)),
        phase(phase_) {}

  std::uint32_t index;
  Load load;
  sched::Dispatcher dispatcher;
  sched::Residency residency;
  sched::Residency runtime_residency;
  sched::Residency spare_residency;
  std::uint64_t phase;          // within a minute, for calls that come evenly
  std::uint32_t waiting = 0;    // calls
  std::uint32_t running = 0;    // calls
  std::uint32_t instances = 0;  // of the machine's books
  std::uint32_t idle = 0;
  std::optional<base::InstanceId> spare;  // likewise
  bool spare_due = false;                 // a look is under way
  Nanos called_at = 0;
  bool evicted = false;    // for want of memory, since its last call
  bool zygote_up = false;  // made, or in the making
  bool zygote_ready = false;
  std::uint64_t zygote_life = 0;  // number of the one that is up
  Nanos zygote_ordered_at = 0;    // likewise
  bool runtime_up = false;        // made, or in the making
  Nanos runtime_ready_at = 0;     // when it is up
  double held_mb = 0;
  Nanos timer_at = INT64_MAX;  // the earliest timer under way
};

}  // namespace ebb::sim
