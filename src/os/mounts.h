// Mounts by descriptor: a tree is made detached, given its attributes while nobody can see it, then attached.
//
// Attributes given to a detached tree are locked as soon as a less privileged user namespace copies it. Used by the
// launcher to prepare what a sandbox sees, and by the sandbox's init to put it together.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::os {

enum class MountAccess : std::uint8_t { kReadOnly, kReadWrite };

/// A detached recursive bind of `path` below `directory` (or of `directory` itself when path is ""), private, nosuid,
/// and nodev. Links are followed.
base::Result<Fd> clone_tree(int directory, const char* path, MountAccess access);
/// The same of one device node, usable as a device.
base::Result<Fd> clone_device(const char* path);
struct TmpfsOptions {
  std::uint64_t size_bytes = 0;
  std::uint32_t inodes = 0;  // 0: the kernel's default
  const char* mode = "0755";
  bool plain = false;  // without nosuid and nodev: a less privileged user namespace could not remount it otherwise
};
/// A detached empty tmpfs, nosuid and nodev.
base::Result<Fd> make_tmpfs(const TmpfsOptions& options);
/// Attaches a detached tree onto `path` below `directory`.
base::Result<> attach_tree(const Fd& tree, int directory, const char* path);
/// Makes one attached mount, not those below it, read-only.
base::Result<> make_read_only(int directory, const char* path);
/// Nothing mounted from now on in this mount namespace is seen outside, nor the reverse.
base::Result<> make_all_private();
/// A fresh procfs of the caller's pid namespace on `path`, nosuid, nodev, noexec, not masked.
base::Result<> mount_proc(const char* path);
/// Makes `directory`, a mount, the root of the caller's mount namespace, detaches the old root and enters the new one.
base::Result<> pivot_to(const Fd& directory);

}  // namespace ebb::os
