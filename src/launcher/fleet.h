// All sandboxes, versions, zygotes and instances of one daemon's life, from order to exit.
//
// 1. Every request is answered exactly once, every process the daemon was told of ends with one kExited; a process that
//    was never announced (its request failed) ends silently. 2. A birth is believed only from the kernel's credentials
//    on the child's own control socket. 3. Nobody runs user code outside of its cgroup. 4. Instances die with their
//    zygote, all with their sandbox's init. 5. A sandbox that breaks the protocol is killed whole; a zygote that leaves
//    an order unanswered is killed, and if it is the runtime zygote, its sandbox.
// The request path (fork) makes no directory and reads no /proc: cgroups are made ahead, in idle moments.
// Called by Requests (requests.h) with what the daemon asks; single-threaded.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/result.h"
#include "launcher/app_cpu.h"
#include "launcher/app_weights.h"
#include "launcher/cgroup_removals.h"
#include "launcher/daemon_link.h"
#include "launcher/data_directory.h"
#include "launcher/members.h"
#include "launcher/network.h"
#include "launcher/poller.h"
#include "launcher/worker.h"
#include "os/cgroup.h"
#include "os/seccomp.h"
#include "os/seqpacket.h"
#include "os/user_namespaces.h"

namespace ebb::launcher {

class GvisorStarter;
struct StartedSandbox;

/// What does not change while the launcher lives.
struct Ground {
  Poller& poller;
  const os::CgroupTree& cgroups;
  const DataDirectory& data;
  const os::SyscallFilter& zygote_filter;
  const os::SyscallFilter& build_filter;
  Network& network;
  const os::Fd& runtime;  // the runtime directory
  std::string python;     // inside a sandbox
  std::uint32_t uid_base = 0;
  os::UserNamespaces user_namespaces = os::UserNamespaces::kForAll;
  std::string no_forks_because;     // below kForAll
  GvisorStarter* gvisor = nullptr;  // nullptr: there is no runsc
  std::uint64_t memory_bytes = 0;   // all sandboxes together; 0: unlimited
};

class Fleet {
 public:
  Fleet(const Ground& ground, DaemonLink& daemon)
      : ground_(ground),
        daemon_(daemon),
        workers_(ground.poller),
        cpu_(ground.cgroups),
        removals_(ground.poller, ground.cgroups, &cpu_),
        weights_(ground.poller, ground.cgroups) {}
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Requests. An error is the caller's to answer; after success the answer has been or will be given here.
  base::Result<> make_sandbox(std::uint64_t request, const wire::MakeSandbox& wanted, os::Fd out, os::Fd err);
  base::Result<> make_version(std::uint64_t request, wire::MakeVersion wanted);
  base::Result<> drop_version(std::uint64_t request, base::VersionId version);
  base::Result<> make_zygote(std::uint64_t request, const wire::MakeZygote& wanted, os::Fd out, os::Fd err);
  base::Result<> fork_instance(std::uint64_t request, const wire::Fork& wanted, os::Fd channel, os::Fd out, os::Fd err);
  base::Result<> start_instance(std::uint64_t request, const wire::Start& wanted, os::Fd channel, os::Fd out,
                                os::Fd err);
  void kill(wire::Subject subject, std::uint64_t id);
  /// Freezes or thaws an instance. One that cannot be thawed is killed: its next call would hang.
  void freeze(const wire::FreezeOrder& order, bool freeze);

  /// In the network namespace of a running instance. Errors: kNotFound, and the kernel's. Cost: two setns.
  base::Result<std::vector<os::Fd>> open_sockets(const wire::OpenSockets& wanted);

  wire::CpuUse cpu_of(const std::string& app) const { return cpu_.of(app_group(app)); }
  /// An app floods the processors, and others want them too.
  bool one_app_floods() const { return weights_.one_floods(); }

  /// SIGKILL to every sandbox; they are gone once turns of the poller have made empty() true.
  void kill_all();
  bool empty() const { return sandboxes_.empty(); }

 private:
  friend struct FleetFuzz;  // tests/fuzz/fleet_fuzz.cc: sandboxes without namespaces, to be lied to

  // Look-ups; nullptr when there is none (any more).
  Process* find(Token token);
  Process* find(wire::Subject subject, std::uint64_t id);
  Version* find_version(base::VersionId id);
  std::vector<Token> tokens_where(const std::function<bool(const Process&)>& wanted) const;

  // fleet.cc: making sandboxes and versions.
  /// Before anything is started. Errors: kResourceExhausted for memory, kUnavailable for processes.
  base::Result<> check_room(const wire::Room& room = {});
  std::uint64_t most_expected(std::uint64_t bytes) const;
  /// Raises a zygote's limit by what its children leave in it.
  base::Result<> make_room_for_children(Process& zygote);
  /// Counts what a process is expected to use until loaded(): a zygote is by its own word, an instance after a while.
  void expect(Process& process, std::uint64_t bytes);
  void loaded(Process& process) { loading_bytes_ -= std::exchange(process.loading_bytes, 0); }
  base::Result<> claim_ids(const std::string& app, std::uint32_t uid_index);
  static std::string app_group(const std::string& app) { return "app-" + app; }
  base::Result<std::string> make_app_group(const std::string& app);
  /// The directories of an image's layers, in their order. Errors: kNotFound.
  base::Result<std::vector<os::Fd>> open_image(const std::vector<std::string>& layers) const;
  Process& enlist(wire::Subject subject, std::uint64_t id, Sandbox& sandbox, Version* version, std::uint64_t request);
  void finish_drop(Version& version);
  void release_app(const std::string& app);

  // fleet_slots.cc: the cgroups of instances to come.
  base::Result<InstanceSlot> make_slot(Version& version);
  /// From the stock, or made; the caller sees to the stock.
  base::Result<InstanceSlot> take_slot(Version& version);
  void refill_slots(base::VersionId id);
  void refill_slot(base::VersionId id);
  /// All but one go when none has been taken for a while: looked at after `delay`, and again until it is so.
  void rest_slots(base::VersionId id, std::chrono::nanoseconds delay);

  // fleet_fresh.cc: instances without a zygote.
  static constexpr std::uint64_t kFresh = 1ULL << 63;  // in the id of a sandbox that one of them has for itself
  struct FreshFds {
    os::Fd channel, out, err;
  };
  base::Result<StartedSandbox> start_fresh(const wire::Start& wanted, const Version& version, const std::string& cgroup,
                                           FreshFds fds);

  // fleet_births.cc: orders, births, readiness.
  base::Result<> order(Process& zygote, Process& child, wire::ZygoteType type, std::string payload,
                       std::vector<os::Fd> fds);
  void send_orders(Process& zygote);
  void await_birth(Process& child);
  void give_up(Process& zygote, base::Error why);
  void on_control(Token token);
  bool on_message(Process& process, os::Received received);
  base::Result<> born(Process& process, os::Received& received);
  base::Result<> verify(const Process& process, os::Received& received);
  base::Result<> admit(Process& process);
  base::Result<> link(Process& process);
  void limit_loading(Process& zygote);
  base::Result<> forked(Process& zygote, const wire::ForkedPid& answer);
  void place_inside(Process& child, std::uint32_t inner_pid);
  base::Result<> ready(Process& zygote, const wire::ZygoteReady& answer);
  void give_huge_pages(Process& zygote);
  void answer_ready(Process& zygote);
  void init_failed(Process& zygote, const wire::InitFailed& told);
  void fail_birth(Token token, base::Error error);

  // fleet_exits.cc: ends.
  void watch_end(Process& process);
  void watch_memory(Process& instance);
  void on_out_of_memory(Token token, int tries);
  void on_end(Token token);
  void finish(Token token);
  void report_end(Process& process, const os::CgroupUsage& usage);
  void end_children_of(Token zygote);
  void kill(Process& process);
  void thaw_to_die(Process& process);
  /// What was killed has still to run to its end: after a while it is helped to.
  void see_to_end(Process& process);
  void hurry(Token token);
  void kill_sandbox(Sandbox& sandbox, base::Error why);
  void on_init_control(std::uint64_t sandbox_id);
  void on_init_end(std::uint64_t sandbox_id);
  void report_sandbox_end(Sandbox& sandbox);
  void claim_reaped(Sandbox& sandbox, const wire::Reaped& reaped);
  void forget(Process& process);
  void unlink(Process& process);
  void erase(Token token);

  Ground ground_;
  DaemonLink& daemon_;
  Workers workers_;
  AppCpu cpu_;
  CgroupRemovals removals_;
  AppWeights weights_;
  Token next_token_ = 1;
  std::uint64_t versions_made_ = 0;
  std::uint64_t sandboxes_made_ = 0;
  struct Growing {
    Token token;
    base::SteadyTime until;
  };
  std::uint64_t loading_bytes_ = 0;  // of all that are loading
  std::deque<Growing> growing_;      // instances that are; the next to be looked at first
  std::unordered_map<Token, std::unique_ptr<Process>> processes_;
  std::unordered_map<pid_t, Token> by_pid_;
  std::map<std::pair<wire::Subject, std::uint64_t>, Token> named_;
  std::map<std::uint64_t, std::unique_ptr<Sandbox>> sandboxes_;
  std::map<base::VersionId, std::unique_ptr<Version>> versions_;
  std::map<std::uint32_t, std::string> apps_;  // by range of uids: two apps never share one
};

}  // namespace ebb::launcher
