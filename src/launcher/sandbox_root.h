// What a sandbox sees as its file system: read-only views of chosen host directories in a small tmpfs, and nothing
// else.
//
//   /usr (and /bin, /lib... as the host has them), a minimal /etc, /ebb/runtime, /ebb/layer, /var/task,
//   /var/node_modules (a link into the layer, as /ebb/node_modules in a build), /proc, a /dev of seven devices;
//   writable: /tmp, /dev/shm and, in a build, /ebb/out.
// Or a container image: its layers, which many sandboxes share, one over the other by overlayfs, read-only, and upon
// them what a sandbox needs: /proc, /dev, /tmp, /etc/hosts and resolv.conf, and /ebb with the runtime, the host's
// system that runs it (/ebb/host) and the package (/ebb/package). What an image has at these places is not seen. The
// launcher prepares the trees while it still sees the host (plan_root); the sandbox's init, alone in its new
// namespaces, puts them together and throws the host's tree away (enter_root). Off the request path.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "os/fd.h"

namespace ebb::launcher {

/// Files, directories and links in the /tmp and /dev/shm of a sandbox; instances have the same (instance_walls.c).
inline constexpr std::uint32_t kTmpInodes = 65'536;

struct RootSources {
  int runtime = -1;  // directory descriptors; -1: an empty directory stands in its place
  int layer = -1;
  int package = -1;           // fresh instances: /var/task; else it stays empty
  int source = -1;            // builds: /ebb/source
  int output = -1;            // builds: /ebb/out
  bool host_network = false;  // builds: with the host's resolver configuration
  std::string resolver;       // else: the address to ask for names, which answers only where there is a way out
  std::uint64_t tmp_bytes = 0;
  std::uint32_t tmp_inodes = 0;  // 0: the kernel's default
  unsigned user = 1000;          // who user code is, as /etc/passwd has it
  std::vector<int> image;        // directories of an image's layers, lowest first; none: the host's system is seen
  bool mask_proc = false;        // nothing in there will ever need to mount a /proc of its own
};

struct RootPlan {
  struct Placement {
    std::string path;  // in the new root, without leading slash
    os::Fd tree;       // detached
    bool directory = true;
  };
  std::vector<Placement> placements;
  std::vector<std::pair<std::string, std::string>> links;  // path, target
  std::vector<std::pair<std::string, std::string>> files;  // path, content
  std::vector<std::string> directories;                    // empty ones
  std::vector<os::Fd> image;                               // detached layers, lowest first
  std::uint64_t tmp_bytes = 0;
  std::uint32_t tmp_inodes = 0;
  bool mask_proc = false;
};

base::Result<RootPlan> plan_root(const RootSources& sources);
/// For RootSources::image.
std::vector<int> numbers_of(const std::vector<os::Fd>& descriptors);

/// In the new mount, pid and user namespaces, as their root: makes the plan the root directory.
base::Result<> enter_root(const RootPlan& plan);

/// In the new root: lays masks over what tells of the host or of its other tenants, as instances do that were forked
/// from a zygote (runtimes/native/instance_walls.c). Last: nothing writes to /proc, or mounts another, after it.
base::Result<> mask_proc();

/// The plan, in new mount and pid namespaces, as a directory to hand to another program: the tree is put together at
/// <stage>/root, where `stage` is a fresh tmpfs on /tmp that it returns. The host's tree stays in sight.
base::Result<os::Fd> stage_root(const RootPlan& plan);
inline constexpr const char* kStagedRoot = "/tmp/root";

/// Where the host's system lies when the root is an image; without leading slash.
inline constexpr const char* kHostSystem = "ebb/host";

}  // namespace ebb::launcher
