// The system calls that code in a sandbox may make, as a seccomp filter.
//
// The list is data: os/syscalls.def. 1. An allow-list: what is not on it fails with ENOSYS, as on a kernel that lacks it; known dangerous calls fail with
//    EPERM. 2. Calls of another architecture (i386, x32) kill the process. 3. clone3 is ENOSYS because its flags cannot
//    be seen; clone has no namespace flags, but for a zygote the exact words its forks need.
// Zygotes have the wider list (forks need mount and clone); an instance stacks a stricter filter upon it.
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <vector>

#include "base/result.h"

namespace ebb::os {

enum class SyscallProfile : std::uint8_t { kZygote, kBuild };

class SyscallFilter {
 public:
  /// Compiles the profile. Cost: milliseconds; done once, before any sandbox.
  static base::Result<SyscallFilter> compile(SyscallProfile profile);
  /// Binds the calling process and its descendants to it, for ever. Call after forbid_new_privileges().
  base::Result<> install() const;

 private:
  std::vector<sock_filter> allowed_;
  std::vector<sock_filter> refused_;  // by argument or with EPERM; the kernel takes the stricter of the two
};

}  // namespace ebb::os
