// Directory trees that someone untrusted wrote: made safe to be read by others, or removed.
//
// 1. No link is ever followed, whatever the tree holds or its writers do meanwhile. 2. Depth and size are bounded: a
// tree beyond them is refused when it is sealed, and still removed completely.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::launcher {

struct TreeOwner {
  uid_t uid = 0;
  gid_t gid = 0;
};

/// Gives the whole tree to `owner`: directories 0755, files readable by all, no setuid or setgid bit, neither writable
/// by group nor others. Devices, sockets and fifos are removed, but for overlayfs' whiteouts (a character device 0:0,
/// which is none). No process writes to it any more. Errors: kTooLarge beyond limits::kTreeDepth or kTreeEntries.
base::Result<> seal_tree(const os::Fd& root, TreeOwner owner);

/// Removes `name` below `parent` with everything in it. A missing one is fine.
base::Result<> remove_tree(const os::Fd& parent, const char* name);

}  // namespace ebb::launcher
