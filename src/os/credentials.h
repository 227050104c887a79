// Giving up privilege, in the one order that works: bounding set, groups, gid, uid, then every capability set.
#pragma once

#include <sys/types.h>

#include <span>

#include "base/result.h"

namespace ebb::os {

/// Becomes uid and gid without supplementary groups and without any capability, now or through exec. Irrevocable.
/// Clears the parent-death signal: set it afterwards.
base::Result<> become(uid_t uid, gid_t gid);
/// Keeps no capability but these (bounding, permitted, effective; none inheritable or ambient) and the uid.
base::Result<> keep_capabilities(std::span<const int> kept);
/// No exec will ever give more privilege. Needed for a seccomp filter without CAP_SYS_ADMIN.
base::Result<> forbid_new_privileges();
/// SIGKILL for the caller as soon as its parent ends. Errors: kCancelled when the parent is not `parent` any more.
base::Result<> die_with_parent(pid_t parent);

}  // namespace ebb::os
