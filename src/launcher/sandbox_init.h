// Pid 1 of a sandbox: builds it from the inside, starts the payload in it (a runtime zygote or a build), then reaps.
//
// 1. It does nothing before the launcher's kGo: by then it is in its cgroup and its ids are mapped. 2. It reports every
// process it reaps (kReaped), and a failure to set up (kInitFailed), on its control socket. 3. When that socket closes,
// the launcher has died: it exits, and the kernel kills everything in the sandbox with it.
#pragma once

#include <string>
#include <vector>

#include "launcher/sandbox_root.h"
#include "os/fd.h"
#include "os/seccomp.h"

namespace ebb::launcher {

/// The process that a sandbox is for. It runs as uid and gid 1000 inside, with no capability and a system-call filter.
struct Payload {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string directory = "/";
  os::Fd out;
  os::Fd err;
  os::Fd control;  // becomes descriptor 3; may be invalid
  const os::SyscallFilter* filter = nullptr;
  int cpu = -1;              // the one CPU it may use; -1: all
  bool end_with_it = false;  // the sandbox ends when it does (builds)
};

inline constexpr unsigned kInnerUser = 1000;
inline constexpr unsigned kPidFloor = 20'000;  // zygotes have pids above it, instances (their own namespaces) far below

/// Whom init and its payload become, as seen inside. Without a user namespace they are the host's ids of the same.
struct SandboxIds {
  std::uint32_t init = 0;
  std::uint32_t user = kInnerUser;
};

/// The child side of clone(): never returns.
[[noreturn]] void run_sandbox_init(os::Fd control, RootPlan root, Payload payload, SandboxIds ids, bool own_network);

}  // namespace ebb::launcher
