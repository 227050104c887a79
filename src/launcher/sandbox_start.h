// The launcher's side of a new sandbox: clone its init into new namespaces, map its ids, put it in its cgroup, let it
// go.
#pragma once

#include <string>

#include "base/result.h"
#include "launcher/sandbox_init.h"
#include "os/cgroup.h"

namespace ebb::launcher {

inline constexpr std::uint32_t kIdsPerSandbox = 65'536;

struct SandboxSpec {
  std::string cgroup;           // an existing leaf
  std::uint32_t uid_first = 0;  // host uid (and gid) of uid 0 inside
  bool own_network = true;
  bool user_namespace = true;  // false: where not even root may make one
  RootPlan root;
  Payload payload;
};

struct StartedSandbox {
  pid_t pid = 0;  // of init
  os::Fd pidfd;
  os::Fd control;  // to init
};

/// Who init and user code are, as they see it themselves: without a user namespace, ids of the host.
inline SandboxIds ids_of(bool user_namespace, std::uint32_t uid_first) {
  return user_namespace ? SandboxIds{.init = 0, .user = kInnerUser}
                        : SandboxIds{.init = uid_first, .user = uid_first + kInnerUser};
}

/// Returns as soon as init may go on; that it fails later is told on its control socket. Cost: about a millisecond.
base::Result<StartedSandbox> start_sandbox(const os::CgroupTree& cgroups, SandboxSpec spec);

}  // namespace ebb::launcher
