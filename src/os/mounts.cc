#include "os/mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace ebb::os {
namespace {

base::Result<> set_attributes(int directory, const char* path, std::uint64_t attributes, unsigned flags,
                              std::uint64_t propagation) {
  mount_attr change{};
  change.attr_set = attributes;
  change.propagation = propagation;
  if (::mount_setattr(directory, path, flags, &change, sizeof change) != 0) {
    return base::os_error(std::string("set mount attributes of ") + path, errno);
  }
  return {};
}

base::Result<Fd> clone_with(int directory, const char* path, std::uint64_t attributes) {
  const int fd = ::open_tree(directory, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
  if (fd < 0) return base::os_error(std::string("clone the tree ") + path, errno);
  Fd tree(fd);
  EBB_CHECKED(set_attributes(tree.get(), "", attributes, AT_EMPTY_PATH | AT_RECURSIVE, MS_PRIVATE));
  return tree;
}

}  // namespace

base::Result<Fd> clone_tree(int directory, const char* path, MountAccess access) {
  const std::uint64_t read_only = access == MountAccess::kReadOnly ? MOUNT_ATTR_RDONLY : 0;
  return clone_with(directory, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | read_only);
}

base::Result<Fd> clone_device(const char* path) {
  return clone_with(AT_FDCWD, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
}

base::Result<Fd> make_tmpfs(const TmpfsOptions& options) {
  const int context = ::fsopen("tmpfs", FSOPEN_CLOEXEC);
  if (context < 0) return base::os_error("fsopen tmpfs", errno);
  const Fd filesystem(context);
  const auto set = [&](const char* key, const std::string& value) {
    return ::fsconfig(filesystem.get(), FSCONFIG_SET_STRING, key, value.c_str(), 0) == 0;
  };
  const bool configured = set("size", std::to_string(options.size_bytes)) && set("mode", options.mode) &&
                          (options.inodes == 0 || set("nr_inodes", std::to_string(options.inodes))) &&
                          ::fsconfig(filesystem.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) == 0;
  if (!configured) return base::os_error("make a tmpfs", errno);
  const int tree =
      ::fsmount(filesystem.get(), FSMOUNT_CLOEXEC, options.plain ? 0U : unsigned{MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV});
  if (tree < 0) return base::os_error("fsmount tmpfs", errno);
  return Fd(tree);
}

base::Result<> attach_tree(const Fd& tree, int directory, const char* path) {
  if (::move_mount(tree.get(), "", directory, path, MOVE_MOUNT_F_EMPTY_PATH) != 0) {
    return base::os_error(std::string("attach a tree at ") + path, errno);
  }
  return {};
}

base::Result<> make_read_only(int directory, const char* path) {
  return set_attributes(directory, path, MOUNT_ATTR_RDONLY, AT_EMPTY_PATH, 0);
}

base::Result<> make_all_private() {
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    return base::os_error("make mounts private", errno);
  }
  return {};
}

base::Result<> mount_proc(const char* path) {
  if (::mount("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) != 0) {
    return base::os_error(std::string("mount proc on ") + path, errno);
  }
  return {};
}

base::Result<> pivot_to(const Fd& directory) {
  // pivot_root(".", ".") stacks the old root over the new one; the detach takes it off again.
  if (::fchdir(directory.get()) != 0) return base::os_error("enter the new root", errno);
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return base::os_error("pivot_root", errno);
  if (::umount2(".", MNT_DETACH) != 0) return base::os_error("detach the old root", errno);
  if (::chdir("/") != 0) return base::os_error("enter the new root", errno);
  return {};
}

}  // namespace ebb::os
