#include "launcher/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "base/limits.h"

namespace ebb::launcher {
namespace {

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

// A stream of its own over the same directory: reading it moves no shared offset.
Directory stream_of(const os::Fd& directory) {
  const int copy = ::openat(directory.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  Directory stream(copy < 0 ? nullptr : ::fdopendir(copy), [](DIR* open) { return ::closedir(open); });
  if (!stream && copy >= 0) ::close(copy);
  return stream;
}

bool is_dots(const char* name) { return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0; }

os::Fd open_child_directory(const os::Fd& parent, const char* name) {
  return os::Fd(::openat(parent.get(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

struct Seal {
  TreeOwner owner;
  std::size_t entries = 0;

  base::Result<> directory(const os::Fd& directory, std::size_t depth) {
    if (depth > limits::kTreeDepth) {
      return base::Error{.code = base::Code::kTooLarge,
                         .message = "the build nested directories deeper than " + std::to_string(limits::kTreeDepth)};
    }
    // Ours before its entries are read, so that nobody could still add to it.
    if (::fchown(directory.get(), owner.uid, owner.gid) != 0 || ::fchmod(directory.get(), 0755) != 0) {
      return base::os_error("seal a directory", errno);
    }
    const Directory stream = stream_of(directory);
    if (!stream) return base::os_error("read a directory", errno);
    while (const dirent* entry = ::readdir(stream.get())) {
      if (is_dots(entry->d_name)) continue;
      if (++entries > limits::kTreeEntries) {
        return base::Error{.code = base::Code::kTooLarge,
                           .message = "the build left more than " + std::to_string(limits::kTreeEntries) + " files"};
      }
      EBB_CHECKED(child(directory, entry->d_name, depth));
    }
    return {};
  }

  base::Result<> child(const os::Fd& parent, const char* name, std::size_t depth) {
    struct stat status{};
    if (::fstatat(parent.get(), name, &status, AT_SYMLINK_NOFOLLOW) != 0) return base::os_error("stat a file", errno);
    if (S_ISDIR(status.st_mode)) {
      const os::Fd below = open_child_directory(parent, name);
      if (!below.valid()) return base::os_error("open a directory", errno);
      return directory(below, depth + 1);
    }
    if (S_ISLNK(status.st_mode)) {
      if (::fchownat(parent.get(), name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) == 0) return {};
      return base::os_error("seal a link", errno);
    }
    if (S_ISCHR(status.st_mode) && status.st_rdev == 0) return {};  // says that a file of a lower layer is gone
    if (!S_ISREG(status.st_mode)) {
      if (::unlinkat(parent.get(), name, 0) == 0) return {};
      return base::os_error("remove a special file", errno);
    }
    const os::Fd file(::openat(parent.get(), name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file.valid()) return base::os_error("open a file", errno);
    const mode_t mode = (status.st_mode & 0755) | 0444;
    if (::fchown(file.get(), owner.uid, owner.gid) != 0 || ::fchmod(file.get(), mode) != 0) {
      return base::os_error("seal a file", errno);
    }
    return {};
  }
};

struct Removal {
  os::Fd top;
  std::size_t moved = 0;

  // Removes the entries of `directory`. A directory too deep below is moved up to the top, where it is met again: no
  // nesting makes us run out of stack or descriptors.
  base::Result<> empty(const os::Fd& directory, std::size_t depth) {
    const Directory stream = stream_of(directory);
    if (!stream) return base::os_error("read a directory", errno);
    while (const dirent* entry = ::readdir(stream.get())) {
      if (is_dots(entry->d_name)) continue;
      if (::unlinkat(directory.get(), entry->d_name, 0) == 0 || errno == ENOENT) continue;
      if (errno != EISDIR && errno != EPERM) return base::os_error("remove a file", errno);
      if (depth == limits::kTreeDepth) {
        const std::string name = ".deep-" + std::to_string(moved++);
        if (::renameat(directory.get(), entry->d_name, top.get(), name.c_str()) != 0) {
          return base::os_error("move a deep directory", errno);
        }
        continue;
      }
      const os::Fd below = open_child_directory(directory, entry->d_name);
      if (!below.valid()) return base::os_error("open a directory", errno);
      EBB_CHECKED(empty(below, depth + 1));
      if (::unlinkat(directory.get(), entry->d_name, AT_REMOVEDIR) != 0) {
        return base::os_error("remove a directory", errno);
      }
    }
    return {};
  }
};

}  // namespace

base::Result<> seal_tree(const os::Fd& root, TreeOwner owner) { return Seal{.owner = owner}.directory(root, 0); }

base::Result<> remove_tree(const os::Fd& parent, const char* name) {
  if (::unlinkat(parent.get(), name, 0) == 0 || errno == ENOENT) return {};
  Removal removal{.top = open_child_directory(parent, name)};
  if (!removal.top.valid()) return base::os_error(std::string("open ") + name, errno);
  // Each round removes all that is not too deep; what was moved up is met in the next.
  while (::unlinkat(parent.get(), name, AT_REMOVEDIR) != 0) {
    if (errno != ENOTEMPTY && errno != EEXIST) return base::os_error(std::string("remove ") + name, errno);
    EBB_CHECKED(removal.empty(removal.top, 0));
  }
  return {};
}

}  // namespace ebb::launcher
