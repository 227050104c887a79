// What the fleet keeps of each sandbox, version, zygote and instance. Plain records; fleet.h has the rules.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "launcher/poller.h"
#include "os/cgroup.h"
#include "os/fd.h"
#include "wire/launcher_protocol.h"
#include "wire/zygote_protocol.h"

namespace ebb::launcher {

/// Names one process for the launcher's life, in timers, handlers and fork orders: a pointer could dangle, a number is
/// looked up.
using Token = std::uint64_t;

/// A fork order that its zygote has not been sent yet.
struct BirthOrder {
  Token child = 0;
  std::string bytes;
  std::vector<os::Fd> fds;
};

/// A cgroup made and limited ahead of the instance that will live in it.
struct InstanceSlot {
  std::string cgroup;
  os::CgroupDoors doors;
  os::UsageFiles usage;
  os::Fd oom;  // os::CgroupTree::watch_oom()
};

enum class Life : std::uint8_t {
  kOrdered,  // its zygote was, or will be, told to fork it; its pid is not known
  kBorn,     // a zygote: in its cgroup, running user init
  kRunning,  // an instance after kGo, a zygote after kReady
  kEnding,   // dead or dying; its exit status may be on the way
};

struct Sandbox;
struct Version;

/// A runtime zygote (subject kSandbox), a function zygote or an instance.
struct Process {
  Token token = 0;
  wire::Subject subject = wire::Subject::kInstance;
  std::uint64_t id = 0;
  Sandbox* sandbox = nullptr;
  Version* version = nullptr;  // none: a runtime zygote
  Token source = 0;            // the zygote it is forked from; 0: init
  std::uint64_t request = 0;   // the daemon's, not yet answered
  Life life = Life::kOrdered;
  bool order_sent = false;
  os::Fd control;
  os::Fd pidfd;
  pid_t pid = 0;
  std::uint32_t inner_pid = 0;  // as init sees it
  Poller::Timer deadline = Poller::Timer::kNone;
  Poller::Timer lingering = Poller::Timer::kNone;  // since it was killed
  bool hurried = false;                            // it has lingered: its app is excused from standing back
  std::string cgroup;                              // its own; empty: it lives in the sandbox's
  std::optional<InstanceSlot> slot;
  std::uint32_t link = 0;  // of the network namespace that began with it; 0: it has no way out, or its zygote's
  os::Fd oom;              // of an instance, from its slot
  std::uint64_t loading_bytes = 0;  // while it loads: what it is expected to use
  bool out_of_memory = false;
  bool orphaned = false;  // killed because its zygote ended
  bool frozen = false;
  std::uint64_t freeze_sequence = 0;  // of the newest order to freeze or thaw
  std::optional<std::uint32_t> wait_status;
  std::optional<base::Error> failure;  // what to answer when it ends before its request is answered
  std::string failure_detail;
  // Zygotes.
  wire::ZygoteReady ready;
  std::uint64_t memory_bytes = 0;     // its limit without children; 0: none
  std::uint64_t used_bytes = 0;       // when it was ready
  std::size_t children = 0;           // that are there, or ordered
  std::size_t room_for_children = 0;  // so many have been added to its limit
  std::deque<BirthOrder> orders;
  std::size_t unborn = 0;  // orders sent whose child has not been born
};

struct Sandbox {
  std::uint64_t id = 0;
  std::string app;
  std::uint32_t uid_index = 0;
  std::string cgroup;
  pid_t init_pid = 0;
  os::Fd init_pidfd;
  os::Fd init_control;
  Token runtime = 0;          // its runtime zygote
  std::uint64_t request = 0;  // kMakeSandbox, when its runtime ended before answering
  std::optional<base::Error> failure;
  std::string failure_detail;
  std::optional<std::uint32_t> runtime_status;
  std::unordered_map<std::uint32_t, Token> by_inner_pid;
  std::size_t unplaced = 0;            // processes whose inner pid is not known yet
  std::deque<wire::Reaped> unclaimed;  // reaped meanwhile, perhaps theirs
  bool ending = false;
};

struct Version {
  wire::MakeVersion spec;
  std::string cgroup;
  std::deque<InstanceSlot> slots;
  std::uint64_t slots_made = 0;
  std::optional<base::SteadyTime> slot_taken_at;  // the last
  Poller::Timer refill = Poller::Timer::kNone;
  Poller::Timer slots_rest = Poller::Timer::kNone;
  std::size_t processes = 0;
  bool dropping = false;
  std::uint64_t drop_request = 0;
};

}  // namespace ebb::launcher
