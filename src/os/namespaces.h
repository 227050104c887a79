// What a fresh user, network and pid namespace needs before anything can live in it.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.h"

namespace ebb::os {

/// Maps uids and gids 0..count-1 of the new user namespace of child `pid` to host_first..host_first+count-1.
/// The caller is privileged over both sides.
base::Result<> write_id_maps(pid_t pid, std::uint32_t host_first, std::uint32_t count);
/// Brings up the loopback interface of the caller's network namespace.
base::Result<> bring_loopback_up();
/// The next process of the caller's pid namespace gets a pid above `floor`. Needs /proc of that namespace and the
/// capabilities of its owner. Errors: kUnavailable when the kernel was built without checkpoint/restore.
base::Result<> raise_pids_above(std::uint32_t floor);

}  // namespace ebb::os
