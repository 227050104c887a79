// Keeps the daemon's core threads prompt (os/scheduling.h) for as long as they use little of their processors.
//
// 1. A thread that only passes calls on is prompt: between its wake-up and its turn nobody computes. The fair scheduler
// lets whoever runs go on until its next tick now and then, 1 to 4 ms, which is what a neighbour that floods would cost
// one call in a hundred. 2. One that uses much is patient until it uses little: a daemon that is
// overloaded, stuck or hostile takes no more than its share from functions. So the rule is enforced here and
// not by the daemon. And one that has much to do does it more cheaply when it is patient: it wakes up once for several
// calls, where a prompt one interrupts whoever runs for each, and wakes up again for its answer. 3. Beside an app that
// floods the processors (heavy_use.h) it may use much more: the calls of the others wait for it, and a daemon that
// refuses the flood's needs more than usual. 4. Only threads of the daemon that bear a core's name are
// looked at; what a prompt one starts is fair. Measured: docs/internals/performance.md, noisy neighbours. One daemon's;
// single-threaded, as the launcher is. Cost: a directory and a file of /proc a thread in 100 ms, in 1 s while the
// daemon does next to nothing.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <map>

#include "base/clock.h"
#include "launcher/poller.h"

namespace ebb::launcher {

/// The rule alone: whether to be prompt, by the share of a processor used since the last look, and whether an app
/// floods.
class PromptnessRule {
 public:
  bool look(double used, bool beside_flood) {
    const Bounds& bounds = beside_flood ? kBesideFlood : kUsual;
    prompt_ = used < (prompt_ ? bounds.much : bounds.little);
    return prompt_;
  }

 private:
  struct Bounds {
    double much;
    double little;
  };
  static constexpr Bounds kUsual{.much = 0.06, .little = 0.03};
  static constexpr Bounds kBesideFlood{.much = 0.75, .little = 0.6};
  bool prompt_ = true;
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
    bool prompt = false;
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
