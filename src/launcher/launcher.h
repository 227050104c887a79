// The privileged half of a node: starts the daemon without privilege and does for it, on request, the handful of things
// that need root (wire/launcher_protocol.h).
//
// 1. One launcher per data directory. 2. Nothing of a former run is left before the first daemon starts. 3. When the
// daemon dies everything it had is torn down and a new one starts, later and later if it keeps dying young. 4. When the
// launcher dies, however it dies, the daemon and every sandbox die with it. Single-threaded; call from main before any
// thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/network_rules.h"

namespace ebb::launcher {

struct LauncherOptions {
  std::string data_dir;
  std::string runtime_dir;                  // bound read-only at /ebb/runtime; holds python/zygote.py
  std::string python = "/usr/bin/python3";  // as a sandbox sees it
  std::uint32_t uid_base = 0;               // the first of (apps + 1) ranges of 65,536 uids that are nobody else's
  std::uint64_t memory_bytes = 0;           // all sandboxes together; 0: unlimited
  uid_t daemon_uid = 0;
  gid_t daemon_gid = 0;
  EgressOptions egress;
  std::string runsc;                     // a path, or a name looked up in PATH; none: `isolation: gvisor` is refused
  std::vector<std::string> daemon_argv;  // of the same binary; its descriptor 3 is the socket to us
};

/// Runs until SIGTERM or SIGINT. Returns the process's exit status; an error is told on standard error.
int run_launcher(const LauncherOptions& options);

}  // namespace ebb::launcher
