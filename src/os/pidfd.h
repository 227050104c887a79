// A process by descriptor: unlike a pid it cannot come to mean another process.
//
// A pidfd polls readable once its process has ended. Used by the launcher for every process it must watch or kill.
#pragma once

#include <sys/types.h>

#include <optional>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

/// Errors: kNotFound when there is no such process.
base::Result<Fd> open_pidfd(pid_t pid);
/// Sends a signal; a process that has ended already is no error.
base::Result<> signal_process(const Fd& pidfd, int signal);
/// True once the process has ended, reaped or not.
bool has_ended(const Fd& pidfd);
/// Reaps a child of ours that has ended; its status as waitpid gives it, nullopt while it lives. Never blocks.
base::Result<std::optional<int>> reap_child(const Fd& pidfd);

/// SIGKILL to a child, and its end awaited: for one that has not begun, whose end takes no time.
void kill_and_reap(const Fd& pidfd);

}  // namespace ebb::os
