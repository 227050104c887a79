// Cgroups whose processes have ended, waiting to be removed: the kernel refuses while the last member is still being
// reaped, and the request path must not pay for it. Tried in idle moments, parents after children, given up with a line
// in the log. Who is still in there is killed: what a zygote started outlives it, as a child of the sandbox's init.
#pragma once

#include <deque>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "launcher/app_cpu.h"
#include "launcher/poller.h"
#include "os/cgroup.h"

namespace ebb::launcher {

class CgroupRemovals {
 public:
  /// `cpu`: is told what a group had used before it is gone; nullptr: nobody is.
  CgroupRemovals(Poller& poller, const os::CgroupTree& cgroups, AppCpu* cpu)
      : poller_(poller), cgroups_(cgroups), cpu_(cpu) {}
  ~CgroupRemovals() { poller_.cancel(retry_); }
  CgroupRemovals(const CgroupRemovals&) = delete;
  CgroupRemovals& operator=(const CgroupRemovals&) = delete;

  void add(std::string path);
  /// The group is wanted again: it stays.
  void keep(std::string_view path);
  bool empty() const { return waiting_.empty(); }

 private:
  struct Waiting {
    std::string path;
    base::SteadyTime give_up;
  };
  void schedule(std::chrono::milliseconds delay);
  void remove_some();

  Poller& poller_;
  const os::CgroupTree& cgroups_;
  AppCpu* const cpu_;
  std::deque<Waiting> waiting_;
  Poller::Timer retry_ = Poller::Timer::kNone;
};

}  // namespace ebb::launcher
