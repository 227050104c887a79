// What the daemon gives up for its whole life: it reads, writes its data directory, and talks; nothing else.
//
// 1. raise_walls before any thread: Landlock lets it write below the data directory only. 2. seal_walls once it serves,
// for all threads: a system-call filter without programs, new processes, mounts, tracing and the rest of the list in
// os/syscalls.def. Whoever takes over the daemon by a bug has its account, its sockets and the launcher's typed
// requests. Called by run_daemon; what a kernel lacks is logged once.
#pragma once

#include "base/result.h"
#include "model/config.h"

namespace ebb::gateway {

/// Before any thread is started. Errors: what the kernel said; a kernel without Landlock is none.
base::Result<> raise_walls(const model::Config& config);
/// After the last program was run (the interpreter is asked for its version) and the last capability used.
base::Result<> seal_walls();

}  // namespace ebb::gateway
