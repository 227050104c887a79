// Landlock: a process gives up, for itself and all it starts, what it may do to files; nothing brings it back.
//
// The rights handled are those that this kernel knows; older kernels hold to less, and say so by landlock_abi(). Only
// the calling thread and what it starts are bound: call before other threads. Used by the daemon; instances have their
// own in C (runtimes/native/landlock.c).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/result.h"

namespace ebb::os {

/// The version of the kernel's interface; 0: none. 6 and later also keep abstract sockets and signals apart.
int landlock_abi();

enum class PathAccess : std::uint8_t {
  kRead,  // files and directories, no execution
  kReadExecute,
  kReadWrite,  // everything but execution
  kDevice,     // read, write, ioctl; nothing made or removed
};

struct PathRule {
  std::string path;  // absolute; links are followed; skipped when it does not exist
  PathAccess access = PathAccess::kRead;
};

/// From now on only what lies below the paths can be opened, as their rules say; abstract sockets of others and signals
/// to them are out of reach (ABI 6). Needs no_new_privs. Does nothing on a kernel without Landlock.
base::Result<> restrict_files(std::span<const PathRule> rules);

}  // namespace ebb::os
