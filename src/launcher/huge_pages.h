// Gives a zygote huge pages from outside, once, so that forking it stays cheap whatever it holds: 1 GB of small pages
// costs each fork 15 ms of page tables, of huge ones 1.7 ms.
#pragma once

#include <sys/types.h>

#include "os/fd.h"

namespace ebb::launcher {

/// Collapses what is well filled of the process's private writable memory. Best effort, bounded by
/// limits::kCollapseTimeout; takes up to seconds of CPU time, so it runs in a worker. Returns the exit status for it.
int collapse_memory(pid_t pid, const os::Fd& pidfd);

}  // namespace ebb::launcher
