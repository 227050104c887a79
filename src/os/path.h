// Opening files below a directory that someone untrusted may write to: no link is followed, nothing outside is reached.
#pragma once

#include <sys/types.h>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

/// Opens `path` below `directory` (openat2 with RESOLVE_BENEATH, NO_SYMLINKS, NO_MAGICLINKS, NO_XDEV), close-on-exec.
/// Errors: kNotFound; kPermissionDenied also for a path that leaves the directory or meets a link or a mount.
base::Result<Fd> open_beneath(const Fd& directory, const char* path, int flags, mode_t mode = 0);

/// A directory by an absolute path that we trust; links are followed.
base::Result<Fd> open_directory(const char* path);

}  // namespace ebb::os
