// fork() with clone flags: a child process in new namespaces, with a pidfd for the parent.
//
// The child runs on in a copy of the caller's memory, so the caller must have one thread only: the launcher.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

struct ChildProcess {
  pid_t pid = 0;  // 0 in the child itself
  Fd pidfd;       // only in the parent
};

/// Returns twice. `namespaces` are CLONE_NEW* flags; the child signals its end with SIGCHLD. No atfork handlers run.
base::Result<ChildProcess> clone_process(std::uint64_t namespaces);

/// Waits, however long it takes, for a child's end; its wait status. For children that end soon or were killed.
int wait_status_of(pid_t child);

}  // namespace ebb::os
