#include "launcher/sandbox_start.h"

#include <sched.h>

#include <csignal>

#include "os/clone.h"
#include "os/namespaces.h"
#include "os/pidfd.h"
#include "os/seqpacket.h"
#include "wire/message.h"
#include "wire/zygote_protocol.h"

namespace ebb::launcher {
namespace {

base::Result<> let_go(const os::CgroupTree& cgroups, const SandboxSpec& spec, const StartedSandbox& started) {
  EBB_CHECKED(cgroups.admit(spec.cgroup, started.pid));
  if (spec.user_namespace) EBB_CHECKED(os::write_id_maps(started.pid, spec.uid_first, kIdsPerSandbox));
  return os::send_message(started.control,
                          wire::encode(wire::Message{.type = static_cast<std::uint16_t>(wire::ZygoteType::kGo)}));
}

}  // namespace

base::Result<StartedSandbox> start_sandbox(const os::CgroupTree& cgroups, SandboxSpec spec) {
  EBB_TRY(auto control, os::seqpacket_pair());
  std::uint64_t namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;
  if (spec.user_namespace) namespaces |= CLONE_NEWUSER;
  if (spec.own_network) namespaces |= CLONE_NEWNET;
  EBB_TRY(os::ChildProcess child, os::clone_process(namespaces));
  if (child.pid == 0) {
    run_sandbox_init(std::move(control.second), std::move(spec.root), std::move(spec.payload),
                     ids_of(spec.user_namespace, spec.uid_first), spec.own_network);
  }
  StartedSandbox started{.pid = child.pid, .pidfd = std::move(child.pidfd), .control = std::move(control.first)};
  base::Result<> gone = let_go(cgroups, spec, started);
  if (gone) return started;
  // SIGKILL from outside ends even a pid 1 that waits for its first word, so this wait is short.
  os::kill_and_reap(started.pidfd);
  return std::move(gone).error();
}

}  // namespace ebb::launcher
