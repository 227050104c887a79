// How to read the two descriptors that come with kForked: an instance's CPU time and memory peak, from its cgroup.
//
// cpu: v1 `cpuacct.usage` (a number of nanoseconds) or v2 `cpu.stat` (a line "usage_usec N"). memory peak: v1
// `memory.max_usage_in_bytes` or v2 `memory.peak`. The kernel lets them be read without privilege and without a path.
// Used by the launcher, which opens them, and by the daemon around every invocation. Cost: one pread each.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

struct UsageFiles {
  Fd cpu;
  Fd memory_peak;
};

/// Nanoseconds of CPU time used since the cgroup was made.
base::Result<std::uint64_t> read_cpu_ns(const Fd& cpu);
/// The highest memory use since the cgroup was made or the last reset through this descriptor.
base::Result<std::uint64_t> read_memory_peak(const Fd& memory_peak);
/// Begins a new peak at the present use. Errors: kUnavailable where the kernel cannot (v2 before 6.12): the peak is
/// then that of the instance's whole life.
base::Result<> reset_memory_peak(const Fd& memory_peak);

}  // namespace ebb::os
