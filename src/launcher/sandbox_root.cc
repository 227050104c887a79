#include "launcher/sandbox_root.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>

#include "os/mounts.h"
#include "os/path.h"

namespace ebb::launcher {
namespace {

using os::MountAccess;

// The new root is put together here; /tmp is the one directory that every host has and every uid may enter.
constexpr const char* kStage = "/tmp";

constexpr std::uint64_t kRootBytes = 1 << 20;  // directories, mount points and a few lines of /etc
constexpr std::uint64_t kDevBytes = 64 << 10;
constexpr std::uint32_t kRootInodes = 1024;

constexpr const char* kSystem[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32"};
constexpr const char* kDevices[] = {"null", "zero", "full", "random", "urandom", "tty"};
// Packages of npm in the layer. Node looks for them in the node_modules of each folder above the code, whatever the
// kind of module: so the package's own win, and these come next.
constexpr const char* kNodeModules = "/ebb/layer/node_modules";
// What libraries look up; each is optional.
constexpr const char* kEtc[] = {"ld.so.cache", "ld.so.conf",      "ld.so.conf.d", "alternatives",
                                "localtime",   "ssl/openssl.cnf", "ssl/certs",    "ca-certificates.conf",
                                "mime.types",  "fonts",           "services",     "protocols",
                                "magic"};
constexpr const char* kEtcOfHostNetwork[] = {"resolv.conf", "hosts",    "nsswitch.conf",
                                             "host.conf",   "gai.conf", "pip.conf"};

constexpr const char* kMaskedFiles[] = {
#define EBB_MASK_FILE(path) path,
#include "os/proc_masks.def"
};
constexpr const char* kMaskedDirectories[] = {
#define EBB_MASK_DIRECTORY(path) path,
#include "os/proc_masks.def"
};

base::Result<> place(RootPlan& plan, std::string path, base::Result<os::Fd> tree) {
  EBB_TRY(os::Fd made, std::move(tree));
  struct stat status{};
  if (::fstat(made.get(), &status) != 0) return base::os_error("stat " + path, errno);
  plan.placements.push_back(
      {.path = std::move(path), .tree = std::move(made), .directory = S_ISDIR(status.st_mode) != 0});
  return {};
}

// What lies in a mount of its own even where the root is an image.
bool is_over_image(const std::string& path) { return path.starts_with("dev/") || path.starts_with("ebb/"); }

base::Result<> place_host(RootPlan& plan, const std::string& path) {
  return place(plan, path, os::clone_tree(AT_FDCWD, ("/" + path).c_str(), MountAccess::kReadOnly));
}

base::Result<> place_host_if_present(RootPlan& plan, const std::string& path) {
  base::Result<> placed = place_host(plan, path);
  if (!placed && placed.error().os_errno == ENOENT) return {};
  return placed;
}

base::Result<> place_directory(RootPlan& plan, const char* path, int directory, MountAccess access) {
  if (directory < 0) {
    plan.directories.emplace_back(path);
    return {};
  }
  return place(plan, path, os::clone_tree(directory, "", access));
}

// Where the host has a link (merged /usr) the sandbox has the same link; where it has a directory, a view of it. All of
// it below `place_below`, "" or with a slash at its end.
base::Result<> plan_system(RootPlan& plan, const std::string& place_below) {
  const auto view = [&](const std::string& name) {
    return place(plan, place_below + name, os::clone_tree(AT_FDCWD, ("/" + name).c_str(), MountAccess::kReadOnly));
  };
  EBB_CHECKED(view("usr"));
  for (const char* name : kSystem) {
    const std::string path = std::string("/") + name;
    char target[PATH_MAX];
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target);
    if (length > 0) {
      const std::string_view text(target, static_cast<std::size_t>(length));
      // Of the host's root, wherever that lies in the sandbox.
      plan.links.emplace_back(place_below + name, text.substr(std::min(text.find_first_not_of('/'), text.size())));
      continue;
    }
    base::Result<> placed = view(name);
    if (!placed && placed.error().os_errno != ENOENT) return placed;
  }
  return {};
}

void plan_names(RootPlan& plan, const RootSources& sources) {
  plan.files.emplace_back("etc/hosts", "127.0.0.1 localhost ebb\n::1 localhost ebb\n");
  plan.files.emplace_back(
      "etc/resolv.conf",
      sources.resolver.empty() ? "" : "nameserver " + sources.resolver + "\noptions timeout:3 attempts:2\n");
}

// Of Debian's Python a sitecustomize lies in /etc/python3.N; of its Java in /etc/java-N-openjdk what no JVM starts
// without.
base::Result<> plan_language_configuration(RootPlan& plan) {
  const std::unique_ptr<DIR, int (*)(DIR*)> etc(::opendir("/etc"), [](DIR* open) { return ::closedir(open); });
  if (!etc) return {};
  while (const dirent* entry = ::readdir(etc.get())) {
    const std::string_view name(entry->d_name);
    if (name.starts_with("python3") || (name.starts_with("java-") && name.ends_with("-openjdk"))) {
      EBB_CHECKED(place_host_if_present(plan, std::string("etc/") + entry->d_name));
    }
  }
  return {};
}

base::Result<> plan_etc(RootPlan& plan, const RootSources& sources) {
  for (const char* name : kEtc) EBB_CHECKED(place_host_if_present(plan, std::string("etc/") + name));
  EBB_CHECKED(plan_language_configuration(plan));
  const std::string id = std::to_string(sources.user);
  plan.files.emplace_back("etc/passwd",
                          "root:x:0:0:root:/root:/usr/sbin/nologin\n"
                          "ebb:x:" +
                              id + ":" + id +
                              ":ebb:/tmp:/bin/sh\n"
                              "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n");
  plan.files.emplace_back("etc/group", "root:x:0:\nebb:x:" + id + ":\nnogroup:x:65534:\n");
  if (sources.host_network) {
    for (const char* name : kEtcOfHostNetwork) {
      EBB_CHECKED(place_host_if_present(plan, std::string("etc/") + name));
    }
    return {};
  }
  plan_names(plan, sources);
  plan.files.emplace_back("etc/nsswitch.conf",
                          "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n");
  return {};
}

base::Result<> plan_dev(RootPlan& plan) {
  for (const char* name : kDevices) {
    const std::string path = std::string("dev/") + name;
    EBB_CHECKED(place(plan, path, os::clone_device(("/" + path).c_str())));
  }
  plan.links.emplace_back("dev/fd", "/proc/self/fd");
  plan.links.emplace_back("dev/stdin", "/proc/self/fd/0");
  plan.links.emplace_back("dev/stdout", "/proc/self/fd/1");
  plan.links.emplace_back("dev/stderr", "/proc/self/fd/2");
  return {};
}

// Everything below happens in a tmpfs that only this process sees, so plain path look-ups are safe.
base::Result<> make_directories(const os::Fd& root, const std::string& path) {
  for (std::size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
    if (::mkdirat(root.get(), path.substr(0, at).c_str(), 0755) != 0 && errno != EEXIST) {
      return base::os_error("make /" + path.substr(0, at), errno);
    }
  }
  if (::mkdirat(root.get(), path.c_str(), 0755) != 0 && errno != EEXIST) return base::os_error("make /" + path, errno);
  return {};
}

base::Result<> make_parent(const os::Fd& root, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? base::Result<>() : make_directories(root, path.substr(0, slash));
}

base::Result<> make_file(const os::Fd& root, const std::string& path, std::string_view content) {
  EBB_CHECKED(make_parent(root, path));
  const os::Fd file(::openat(root.get(), path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file.valid()) return base::os_error("make /" + path, errno);
  if (::write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
    return base::os_error("write /" + path, errno);
  }
  return {};
}

base::Result<> attach_new_tmpfs(const os::Fd& root, const char* path, const os::TmpfsOptions& options) {
  EBB_CHECKED(make_directories(root, path));
  EBB_TRY(const os::Fd tree, os::make_tmpfs(options));
  return os::attach_tree(tree, root.get(), path);
}

base::Result<os::Fd> make_stage(const char* path, bool plain = false) {
  EBB_TRY(const os::Fd base, os::make_tmpfs({.size_bytes = kRootBytes, .inodes = kRootInodes, .plain = plain}));
  EBB_CHECKED(os::attach_tree(base, AT_FDCWD, path));
  return os::open_directory(path);
}

// The plan's own directories, files and links, of those that `wanted` says.
base::Result<> make_entries(const os::Fd& root, const RootPlan& plan, bool (*wanted)(const std::string& path)) {
  for (const std::string& path : plan.directories) {
    if (wanted(path)) EBB_CHECKED(make_directories(root, path));
  }
  for (const auto& [path, content] : plan.files) {
    if (wanted(path)) EBB_CHECKED(make_file(root, path, content));
  }
  for (const auto& [path, target] : plan.links) {
    if (!wanted(path)) continue;
    EBB_CHECKED(make_parent(root, path));
    if (::symlinkat(target.c_str(), root.get(), path.c_str()) != 0) return base::os_error("link /" + path, errno);
  }
  return {};
}

base::Result<> furnish(const os::Fd& root, const RootPlan& plan) {
  const bool is_image = !plan.image.empty();
  // 1. The mounts that others lie in.
  EBB_CHECKED(attach_new_tmpfs(root, "dev", {.size_bytes = kDevBytes, .inodes = 64}));
  EBB_CHECKED(
      attach_new_tmpfs(root, "dev/shm", {.size_bytes = plan.tmp_bytes, .inodes = plan.tmp_inodes, .mode = "1777"}));
  EBB_CHECKED(attach_new_tmpfs(root, "tmp", {.size_bytes = plan.tmp_bytes, .inodes = plan.tmp_inodes, .mode = "1777"}));
  if (is_image) EBB_CHECKED(attach_new_tmpfs(root, "ebb", {.size_bytes = kDevBytes, .inodes = 64}));
  // 2. Directories, files and links, then the host's trees.
  EBB_CHECKED(make_entries(root, plan, is_image ? is_over_image : [](const std::string&) { return true; }));
  for (const RootPlan::Placement& placement : plan.placements) {
    EBB_CHECKED(placement.directory ? make_directories(root, placement.path) : make_file(root, placement.path, ""));
    EBB_CHECKED(os::attach_tree(placement.tree, root.get(), placement.path.c_str()));
  }
  return {};
}

// The image's layers, lowest first, and over them a folder with what a sandbox has at fixed places: an entry there
// hides whatever an image has of the same name, be it a link to somewhere. An overlay without a folder to write to:
// nothing can.
base::Result<os::Fd> lay_image(const os::Fd& stage, const RootPlan& plan) {
  EBB_CHECKED(make_directories(stage, "own"));
  EBB_TRY(const os::Fd own, os::open_directory("/tmp/own"));
  EBB_CHECKED(make_entries(own, plan, [](const std::string& path) { return !is_over_image(path); }));
  for (const char* place : {"dev", "ebb", "tmp"}) EBB_CHECKED(make_directories(own, place));
  std::string options = "userxattr,lowerdir=/tmp/own";
  for (std::size_t i = plan.image.size(); i-- > 0;) {
    const std::string layer = "layers/" + std::to_string(i);
    EBB_CHECKED(make_directories(stage, layer));
    EBB_CHECKED(os::attach_tree(plan.image[i], stage.get(), layer.c_str()));
    options += ":/tmp/" + layer;
  }
  EBB_CHECKED(make_directories(stage, "root"));
  if (::mount("overlay", kStagedRoot, "overlay", MS_NOSUID | MS_NODEV | MS_RDONLY, options.c_str()) != 0) {
    return base::os_error("lay the image's layers over each other (overlayfs in a user namespace: Linux 5.11)", errno);
  }
  return os::open_directory(kStagedRoot);
}

base::Result<> plan_image(RootPlan& plan, const RootSources& sources) {
  for (const int layer : sources.image) {
    EBB_TRY(os::Fd tree, os::clone_tree(layer, "", MountAccess::kReadOnly));
    plan.image.push_back(std::move(tree));
  }
  EBB_CHECKED(plan_system(plan, std::string(kHostSystem) + "/"));
  EBB_CHECKED(plan_dev(plan));
  plan_names(plan, sources);
  EBB_CHECKED(place_directory(plan, "ebb/runtime", sources.runtime, MountAccess::kReadOnly));
  EBB_CHECKED(place_directory(plan, "ebb/package", sources.package, MountAccess::kReadOnly));
  for (const char* empty : {"proc", "sys"}) plan.directories.emplace_back(empty);
  // Where programs leave their pids and sockets.
  plan.links.emplace_back("run", "tmp");
  plan.links.emplace_back("var/tmp", "/tmp");
  return {};
}

}  // namespace

base::Result<RootPlan> plan_root(const RootSources& sources) {
  RootPlan plan;
  plan.tmp_bytes = sources.tmp_bytes;
  plan.tmp_inodes = sources.tmp_inodes;
  plan.mask_proc = sources.mask_proc;
  if (!sources.image.empty()) {
    EBB_CHECKED(plan_image(plan, sources));
    return plan;
  }
  EBB_CHECKED(plan_system(plan, ""));
  EBB_CHECKED(plan_etc(plan, sources));
  EBB_CHECKED(plan_dev(plan));
  EBB_CHECKED(place_directory(plan, "ebb/runtime", sources.runtime, MountAccess::kReadOnly));
  EBB_CHECKED(place_directory(plan, "ebb/layer", sources.layer, MountAccess::kReadOnly));
  if (sources.source >= 0) {
    EBB_CHECKED(place_directory(plan, "ebb/source", sources.source, MountAccess::kReadOnly));
  }
  if (sources.output >= 0) {
    EBB_CHECKED(place_directory(plan, "ebb/out", sources.output, MountAccess::kReadWrite));
    plan.links.emplace_back("ebb/node_modules", kNodeModules);
  }
  EBB_CHECKED(place_directory(plan, "var/task", sources.package, MountAccess::kReadOnly));
  plan.directories.emplace_back("run");
  plan.directories.emplace_back("proc");
  plan.links.emplace_back("var/tmp", "/tmp");
  plan.links.emplace_back("var/run", "/run");
  plan.links.emplace_back("var/node_modules", kNodeModules);
  return plan;
}

std::vector<int> numbers_of(const std::vector<os::Fd>& descriptors) {
  std::vector<int> numbers;
  for (const os::Fd& descriptor : descriptors) numbers.push_back(descriptor.get());
  return numbers;
}

base::Result<> enter_root(const RootPlan& plan) {
  // 1. What we mount stays with us; what the host mounts from now on is not seen here.
  EBB_CHECKED(os::make_all_private());
  // 2. An empty root, on a directory whose content we do not need; or an image's.
  EBB_TRY(os::Fd root, make_stage(kStage));
  const bool is_image = !plan.image.empty();
  if (is_image) {
    EBB_TRY(root, lay_image(root, plan));
  }
  // 3. What lies in it.
  EBB_CHECKED(furnish(root, plan));
  // 4. /proc while the host's is still in sight: the kernel gives a fresh one only to who sees an unmasked one. It
  // stays unmasked for the same reason where instances mount theirs, and mask it, later.
  EBB_CHECKED(os::mount_proc((std::string(is_image ? kStagedRoot : kStage) + "/proc").c_str()));
  // 5. The host's tree goes. 6. Nothing but the scratch places can be written.
  EBB_CHECKED(os::pivot_to(root));
  EBB_CHECKED(os::make_read_only(AT_FDCWD, "/dev"));
  if (is_image) EBB_CHECKED(os::make_read_only(AT_FDCWD, "/ebb"));
  return os::make_read_only(AT_FDCWD, "/");
}

base::Result<os::Fd> stage_root(const RootPlan& plan) {
  EBB_CHECKED(os::make_all_private());
  EBB_CHECKED(os::mount_proc("/proc"));
  EBB_TRY(os::Fd stage, make_stage(kStage));
  if (::mkdirat(stage.get(), "root", 0755) != 0) return base::os_error("make the staged root", errno);
  // runsc makes it read-only itself, in a user namespace, which may change only what was not given to it.
  EBB_TRY(const os::Fd root, make_stage(kStagedRoot, true));
  EBB_CHECKED(furnish(root, plan));
  return stage;
}

// One that is not there needs no mask.
base::Result<> mask_proc() {
  for (const char* path : kMaskedFiles) {
    if (::mount("/dev/null", path, nullptr, MS_BIND, nullptr) != 0 && errno != ENOENT) {
      return base::os_error("mask " + std::string(path), errno);
    }
  }
  for (const char* path : kMaskedDirectories) {
    constexpr unsigned long kFlags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (::mount("tmpfs", path, "tmpfs", kFlags, "size=4k,mode=0555") != 0 && errno != ENOENT) {
      return base::os_error("mask " + std::string(path), errno);
    }
  }
  return {};
}

}  // namespace ebb::launcher
