// The launcher's one event loop: descriptors that become readable, timers, and work for idle moments.
//
// 1. One thread; handlers run one after the other and may watch, forget and cancel anything, themselves included.
// 2. A handler that is forgotten is never called again, not even for an event already fetched.
// 3. Idle work runs one piece at a time, only when no descriptor is ready: it delays nobody by more than one piece.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/clock.h"
#include "base/result.h"
#include "os/fd.h"

namespace ebb::launcher {

class Poller {
 public:
  using Handler = std::function<void()>;
  enum class Timer : std::uint64_t { kNone = 0 };

  static base::Result<Poller> open();

  /// Calls `readable` whenever `fd` is readable or its peer has gone. One watch per descriptor. Borrows `fd`.
  base::Result<> watch(int fd, Handler readable);
  /// Before the descriptor is closed. Not watched: fine.
  void forget(int fd);

  Timer after(std::chrono::nanoseconds delay, Handler due);
  /// kNone and timers that have run: fine. Resets the caller's handle.
  void cancel(Timer& timer);

  void when_idle(Handler work) { idle_.push_back(std::move(work)); }
  /// Before what idle work refers to goes away.
  void forget_idle_work() { idle_.clear(); }

  /// Waits for the next event, timer or idle work and performs it.
  void turn();

 private:
  struct Watch {
    std::uint32_t generation = 0;
    std::shared_ptr<Handler> handler;
  };
  using Due = std::pair<base::SteadyTime, std::uint64_t>;

  explicit Poller(os::Fd epoll) : epoll_(std::move(epoll)) {}
  int wait_milliseconds() const;
  void run_due_timers();

  os::Fd epoll_;
  std::uint32_t next_generation_ = 1;
  std::uint64_t next_timer_ = 1;
  std::unordered_map<int, Watch> watches_;
  std::map<Due, Handler> timers_;
  std::unordered_map<std::uint64_t, base::SteadyTime> due_of_;
  std::deque<Handler> idle_;
};

}  // namespace ebb::launcher
