// Which user namespaces this host lets be made: found out by making one the way a node does, not by reading settings,
// since sysctls, security modules and container runtimes all have a say.
//
// The launcher decides by it how instances start (forked from zygotes, or each fresh); `ebb doctor` reports it.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace ebb::os {

enum class UserNamespaces : std::uint8_t {
  kNone,     // not even root may make one
  kForRoot,  // root may; a process inside, without privilege on the host, may not make another, or has no use of it
  kForAll,   // a sandbox's zygote gives its children walls of their own
};

struct UserNamespaceProbe {
  UserNamespaces level = UserNamespaces::kNone;
  std::string obstacle;  // what failed, in words, below kForAll: "clone in a user namespace: No space left on device"
};

/// Makes a sandbox's namespaces and, in them as uid 1000 without privilege, an instance's, with their mounts; both end
/// at once and nothing stays. Needs root and a single thread. Cost: a few milliseconds, three short-lived processes.
/// Errors: kPermissionDenied when not root; when no process or memory can be had.
base::Result<UserNamespaceProbe> probe_user_namespaces(std::uint32_t host_uid_first);

}  // namespace ebb::os
