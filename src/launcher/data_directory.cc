#include "launcher/data_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "os/path.h"

namespace ebb::launcher {
namespace {

std::string tag_of(const std::string& canonical_path) {
  std::uint32_t hash = 2166136261;  // FNV-1a: short and stable; the lock, not the hash, keeps owners apart
  for (const char c : canonical_path) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619;
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(hash >> shift);
  return "ebb-" + base::to_hex(bytes);
}

base::Result<os::Fd> subdirectory(const os::Fd& root, const char* name, TreeOwner owner, mode_t mode) {
  const bool made = ::mkdirat(root.get(), name, mode) == 0;
  if (!made && errno != EEXIST) return base::os_error(std::string("make directory ") + name, errno);
  EBB_TRY(os::Fd directory, os::open_beneath(root, name, O_RDONLY | O_DIRECTORY));
  if (made && (::fchown(directory.get(), owner.uid, owner.gid) != 0 || ::fchmod(directory.get(), mode) != 0)) {
    return base::os_error(std::string("own directory ") + name, errno);
  }
  struct stat status{};
  if (::fstat(directory.get(), &status) != 0) return base::os_error(std::string("stat ") + name, errno);
  // The daemon owns the parent and could have put a directory of its own in the place of root's.
  if (status.st_uid != owner.uid) {
    return base::Error{.code = base::Code::kPermissionDenied,
                       .message = std::string(name) + " in the data directory belongs to uid " +
                                  std::to_string(status.st_uid) + " instead of " + std::to_string(owner.uid) +
                                  "; move it away"};
  }
  return directory;
}

base::Result<> make_path(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    if (::mkdir(path.substr(0, at).c_str(), 0755) != 0 && errno != EEXIST) {
      return base::os_error("make directory " + path.substr(0, at), errno);
    }
  }
  return {};
}

}  // namespace

base::Result<DataDirectory> DataDirectory::open(const std::string& path, TreeOwner daemon) {
  EBB_CHECKED(make_path(path));
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return base::os_error("make directory " + path, errno);
  EBB_TRY(const os::Fd root, os::open_directory(path.c_str()));
  DataDirectory data;
  data.daemon_ = daemon;
  data.lock_ = os::Fd(::openat(root.get(), "launcher.lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!data.lock_.valid()) return base::os_error("open launcher.lock in " + path, errno);
  if (::flock(data.lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return base::Error{.code = base::Code::kConflict,
                       .message = "another ebb runs on " + path + "; stop it first, or use another data directory"};
  }
  if (::fchown(root.get(), daemon.uid, daemon.gid) != 0 || ::fchmod(root.get(), 0755) != 0) {
    return base::os_error("own " + path, errno);
  }
  EBB_TRY(data.layers_, subdirectory(root, "layers", TreeOwner{}, 0755));
  EBB_TRY(data.packages_, subdirectory(root, "packages", daemon, 0755));
  EBB_TRY(data.build_, subdirectory(root, "build", TreeOwner{}, 0700));
  const std::unique_ptr<char, void (*)(void*)> canonical(::realpath(path.c_str(), nullptr), std::free);
  if (!canonical) return base::os_error("resolve " + path, errno);
  data.owner_tag_ = tag_of(canonical.get());
  return data;
}

base::Result<> DataDirectory::sweep() const {
  const int copy = ::openat(build_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(copy < 0 ? nullptr : ::fdopendir(copy),
                                                   [](DIR* open) { return ::closedir(open); });
  if (!stream) return base::os_error("read the build directory", errno);
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") EBB_CHECKED(remove_tree(build_, name.c_str()));
  }
  return {};
}

base::Result<os::Fd> DataDirectory::open_content(wire::TreeKind kind, const std::string& key) const {
  EBB_CHECK(base::is_content_key(key));  // decode() saw to it
  base::Result<os::Fd> directory = os::open_beneath(directory_of(kind), key.c_str(), O_RDONLY | O_DIRECTORY);
  if (!directory && directory.error().code == base::Code::kNotFound) {
    return base::not_found(std::string(kind == wire::TreeKind::kLayer ? "layer " : "package ") + key +
                           " is not on this node; deploy again");
  }
  return directory;
}

bool DataDirectory::has_content(wire::TreeKind kind, const std::string& key) const {
  return open_content(kind, key).has_value();
}

base::Result<os::Fd> DataDirectory::make_output(const std::string& name, TreeOwner owner) const {
  if (::mkdirat(build_.get(), name.c_str(), 0755) != 0) return base::os_error("make build output " + name, errno);
  EBB_TRY(os::Fd output, os::open_beneath(build_, name.c_str(), O_RDONLY | O_DIRECTORY));
  if (::fchown(output.get(), owner.uid, owner.gid) != 0) return base::os_error("own build output " + name, errno);
  return output;
}

base::Result<> DataDirectory::publish(const std::string& name, wire::TreeKind kind, const std::string& key) const {
  EBB_TRY(const os::Fd output, os::open_beneath(build_, name.c_str(), O_RDONLY | O_DIRECTORY));
  EBB_CHECKED(seal_tree(output, kind == wire::TreeKind::kLayer ? TreeOwner{} : daemon_));
  if (::renameat2(build_.get(), name.c_str(), directory_of(kind).get(), key.c_str(), RENAME_NOREPLACE) == 0) return {};
  if (errno == EEXIST) return remove_output(name);
  return base::os_error("give the build output its name", errno);
}

base::Result<> DataDirectory::remove_output(const std::string& name) const { return remove_tree(build_, name.c_str()); }

base::Result<> DataDirectory::discard(wire::TreeKind kind, const std::string& key, const std::string& trash) const {
  if (::renameat(directory_of(kind).get(), key.c_str(), build_.get(), trash.c_str()) == 0) return {};
  return base::os_error("remove " + key, errno);
}

}  // namespace ebb::launcher
