// The processors' weight of each app: one that floods them stands back behind those that use little.
//
// The kernel shares processors by weight, but whom it lets run first when a request wakes a waiting instance is another
// matter: beside an equal, and even beside one with little weight, it may wait until that one's slice is over. So an
// app in heavy use (heavy_use.h) stands back for as long as it is: its processes give way at once to those of others
// and have what they leave. It loses nothing while nobody else wants the processors, and is not starved by those who
// take them all: without its share it is not in heavy use any more, 0.3 s later. One launcher's; single-threaded. Cost:
// a pread for each app in 100 ms, a tenth of that while little is used; at most kAtOnce in a turn of the loop.
#pragma once

#include <cstddef>
#include <list>
#include <string>

#include "launcher/heavy_use.h"
#include "launcher/poller.h"
#include "os/cgroup.h"

namespace ebb::launcher {

class AppWeights {
 public:
  AppWeights(Poller& poller, const os::CgroupTree& cgroups);
  ~AppWeights() { poller_.cancel(timer_); }
  AppWeights(const AppWeights&) = delete;
  AppWeights& operator=(const AppWeights&) = delete;

  /// An app's group was made or is used again. Known already: fine.
  void add(const std::string& group);
  /// Before the group is removed. Not known: fine.
  void remove(const std::string& group);

  /// It does not stand back, however much it uses, until as many calls of excuse_no_more(). Not known: fine.
  void excuse(const std::string& group);
  void excuse_no_more(const std::string& group);

  /// An app floods the processors, and others want them too.
  bool one_floods() const { return heavy_use_.one_floods(); }

 private:
  struct App {
    std::string group;
    os::UsageFiles usage;
    HeavyUse::App use;
    std::size_t excuses = 0;
  };

  void schedule();
  void look_at_some();
  void look(App& app, base::SteadyTime now);
  App* find(const std::string& group);
  void weigh(const App& app);
  void weigh(const std::string& group, bool heavy);

  Poller& poller_;
  const os::CgroupTree& cgroups_;
  HeavyUse heavy_use_;
  std::list<App> apps_;  // the next to be looked at first
  Poller::Timer timer_ = Poller::Timer::kNone;
  std::size_t left_ = 0;      // of this round
  double used_cores_ = 0;     // by those looked at in this round
  bool little_used_ = false;  // in the last one
};

}  // namespace ebb::launcher
