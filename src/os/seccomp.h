// The system calls that a role may make, as a seccomp filter: code in a sandbox, the launcher, the daemon.
//
// The list is data: os/syscalls.def. 1. An allow-list: what is not on it fails with ENOSYS, as on a kernel that lacks
// it; known dangerous calls fail with
//    EPERM. 2. Calls of another architecture (i386, x32) kill the process. 3. clone3 is ENOSYS because its flags cannot
//    be seen; clone has no namespace flags, but for a zygote the exact words its forks need.
// Zygotes have the wider list (forks need mount and clone); an instance stacks a stricter filter upon it.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace ebb::os {

enum class SyscallProfile : std::uint8_t {
  kZygote,
  kBuild,
  kLauncher,  // inherited by all below it: what they may call, and what making them takes
  kDaemon,    // no programs, no processes, no mounts
};
enum class Threads : std::uint8_t { kCaller, kAll };

class SyscallFilter {
 public:
  /// Compiles the profile. Cost: milliseconds; done once, before any sandbox.
  static base::Result<SyscallFilter> compile(SyscallProfile profile);
  /// Binds the calling thread, or all threads of the process, and its descendants to it, for ever. Call after
  /// forbid_new_privileges() (or with CAP_SYS_ADMIN). Cost: two system calls of about 0.1 ms.
  base::Result<> install(Threads threads = Threads::kCaller) const;

 private:
  std::vector<sock_filter> allowed_;
  std::vector<sock_filter> refused_;  // by argument or with EPERM; the kernel takes the stricter of the two
};

}  // namespace ebb::os
