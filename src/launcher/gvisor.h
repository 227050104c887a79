// The second level, `isolation: gvisor`: instances on a user-space kernel (runsc), each started from nothing.
//
// runsc needs privilege that the launcher has laid down by the time it serves, and would not run under its filter. So a
// *starter* is forked off before that: it does one thing, on the launcher's word alone, and dies with it.
// 1. What it starts is the launcher's child, in namespaces of its own, waiting until it is in its cgroup. 2. There it
// puts the root together from descriptors, as for any sandbox (sandbox_root.h), and becomes `runsc run`. 3. All that
// runsc starts dies with it: it is pid 1 of its namespace. Its mounts and its state lie in a tmpfs that goes with it.
// 4. The instance speaks over its channel, which is its standard input.
// Called by Fleet (fleet_fresh.cc). Source: gvisor.dev; measured in bench/walls.py.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "launcher/sandbox_start.h"
#include "os/cgroup.h"
#include "os/fd.h"

namespace ebb::launcher {

struct GvisorSpec {
  std::string cgroup;
  std::uint32_t uid_first = 0;
  const os::Fd& package;
  const os::Fd& layer;  // may be invalid
  const os::Fd& channel;
  const os::Fd& out;
  const os::Fd& err;
};

class GvisorStarter {
 public:
  /// Forks the starter. `runsc` and `python` are absolute paths. Call before privilege is laid down.
  /// Errors: kInvalidArgument for a path that JSON would have to escape.
  static base::Result<std::unique_ptr<GvisorStarter>> start(const std::string& runsc, const std::string& python,
                                                            const os::Fd& runtime);

  /// Starts an instance; `control` of the result is invalid. Waits for the starter, at most kStarterPatience.
  /// Errors: kUnavailable when the starter has ended.
  base::Result<StartedSandbox> start_instance(const os::CgroupTree& cgroups, const GvisorSpec& spec);

 private:
  explicit GvisorStarter(os::Fd socket) : socket_(std::move(socket)) {}
  os::Fd socket_;
};

/// The absolute path of a program: itself, or found in PATH. Empty: there is none.
std::string find_program(const std::string& name);

}  // namespace ebb::launcher
