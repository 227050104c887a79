// Watches what the sandboxes of a node use of its memory together, and says when nothing more would be started.
//
// A start asks for room before it begins (Fleet::check_room); a call that grows asks nobody. So somebody has to look,
// and soon enough that what is idle is gone before the kernel ends what is at work. 1. It looks again before what is
// left could be used up at the rate at which processes of this machine can touch new memory, at least twice a second
// and at most every 10 ms. 2. However many groups the kernel has to add up for one look, looking takes no more than a
// fiftieth of the time. 3. While memory is short it says so at each look; who listens does what it can, once. One
// daemon's; single-threaded, as the launcher is. Cost of a look: a file of a few bytes, and near the budget the
// kernel's sum over all groups.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include "launcher/poller.h"
#include "os/cgroup.h"

namespace ebb::launcher {

/// So much of the budget may be in use for something to be started beside it; with more, memory is short.
constexpr std::uint64_t startable_bytes(std::uint64_t budget_bytes) { return budget_bytes / 100 * 90; }

/// How long to wait for the next look, by what is left until memory is short and what the last look took.
std::chrono::nanoseconds pause_before_look(std::uint64_t left_bytes, std::chrono::nanoseconds look_took,
                                           unsigned processors);

class MemoryWatch {
 public:
  /// `budget_bytes` 0: there is no bound and nothing to watch. `memory_short` is called from the poller's turns.
  MemoryWatch(Poller& poller, const os::CgroupTree& cgroups, std::uint64_t budget_bytes,
              std::function<void()> memory_short);
  ~MemoryWatch() { poller_.cancel(timer_); }
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

 private:
  void look();

  Poller& poller_;
  const os::CgroupTree& cgroups_;
  const std::uint64_t startable_bytes_;
  const unsigned processors_;
  const std::function<void()> memory_short_;
  Poller::Timer timer_ = Poller::Timer::kNone;
};

}  // namespace ebb::launcher
