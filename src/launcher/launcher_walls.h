// What the launcher gives up, though it is root: inherited state at its start, then every capability and system call
// that making sandboxes does not take.
//
// All below it inherits the system-call filter: so it allows what a sandbox may call too (os/syscalls.def).
// Capabilities return in a sandbox's own user namespace, where they reach nothing outside. Called by run_launcher.
#pragma once

#include "base/result.h"
#include "os/fd.h"

namespace ebb::launcher {

/// Descriptors above 2, the file-creation mask, core dumps, and variables of the environment that neither we nor the
/// daemon read. Those that the daemon gives to builds (wire/build_variables.h) are shed too: returned as a file in
/// memory, for start_daemon, since every sandbox begins as a copy of our own memory. First of all, before anything is
/// opened.
base::Result<os::Fd> shed_inherited_state();

/// Once everything is open: no new privilege, the capabilities of kKept only, the launcher's system calls only.
base::Result<> lower_privilege();

}  // namespace ebb::launcher
