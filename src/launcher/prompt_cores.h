// Keeps the daemon's core threads prompt (os/scheduling.h) while an app floods the processors beside others.
//
// 1. A thread that only passes calls on is prompt then: between its wake-up and its turn nobody computes. The fair
// scheduler lets whoever runs go on until its next tick now and then, 1 to 4 ms, which is what a neighbour that floods
// (heavy_use.h) would cost one call in a hundred. 2. Otherwise it is patient: it wakes up once for several calls, where
// a prompt one interrupts whoever runs for each question and each answer, and the calls of one app gain nothing by what
// it takes from that app's own processes. 3. One that uses much is patient until it uses less: a daemon that is
// overloaded, stuck or hostile takes no more than its share from functions. So the rule is enforced here and not by the
// daemon. 4. Only threads of the daemon that bear a core's name are looked at; what a prompt one starts is fair.
// Measured: docs/internals/performance.md, noisy neighbours and proxy. One daemon's; single-threaded, as the launcher
// is. Cost: a directory and a file of /proc a thread in 100 ms, in 200 ms while the daemon does next to nothing.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>

#include "base/clock.h"
#include "launcher/poller.h"

namespace ebb::launcher {

/// The rule alone: whether to be prompt, by the share of a processor used since the last look, and whether an app
/// floods.
class PromptnessRule {
 public:
  bool look(double used, bool beside_flood) {
    prompt_ = beside_flood && used < (prompt_ ? kMuch : kLittle);
    return prompt_;
  }

 private:
  static constexpr double kMuch = 0.75;
  static constexpr double kLittle = 0.6;
  bool prompt_ = false;
};

class PromptCores {
 public:
  /// `daemon` is a child that has not been reaped while this lives; `one_floods` says whether an app does.
  PromptCores(Poller& poller, pid_t daemon, std::function<bool()> one_floods);
  ~PromptCores() { poller_.cancel(timer_); }
  PromptCores(const PromptCores&) = delete;
  PromptCores& operator=(const PromptCores&) = delete;

 private:
  struct Core {
    PromptnessRule rule;
    std::optional<bool> prompt{};  // nothing: as it was started
    std::chrono::nanoseconds cpu_time{0};
  };

  void look();
  void find_cores();
  bool is_core(pid_t thread) const;
  bool schedule(pid_t thread, Core& core, bool prompt);

  Poller& poller_;
  const pid_t daemon_;
  const std::function<bool()> one_floods_;
  std::map<pid_t, Core> cores_;
  base::SteadyTime at_;
  Poller::Timer timer_ = Poller::Timer::kNone;
};

}  // namespace ebb::launcher
