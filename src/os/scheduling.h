// How the kernel schedules a thread: promptly, ahead of everything that computes, fairly, with it, or patiently.
//
// A thread that is prompt has the lowest real-time priority (SCHED_RR): it runs as soon as it is woken, whatever fair
// threads do, and what it starts is fair. The kernel leaves fair threads 5 % of a processor (sched_rt_runtime_us).
// One that is patient (SCHED_BATCH) has the share of a fair one, but takes no processor from whoever runs by waking up:
// it waits until that one sleeps, or its slice is over. What is idle by its control group (cpu.idle) gives way to it
// all the same.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "base/result.h"

namespace ebb::os {

/// Errors: kUnavailable (gone; or a v1 cpu cgroup without real-time bandwidth), kPermissionDenied without CAP_SYS_NICE.
base::Result<> schedule_promptly(pid_t thread);
base::Result<> schedule_fairly(pid_t thread);
base::Result<> schedule_patiently(pid_t thread);  // inherited by what it starts

/// Processor time that a thread of `process` has used. Errors: kUnavailable (gone, or a kernel without schedstat).
base::Result<std::chrono::nanoseconds> thread_cpu_time(pid_t process, pid_t thread);

}  // namespace ebb::os
