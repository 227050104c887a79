// The open-loop load: every call of a plan is sent at its time, whatever became of those before.
//
// 1. Latency counts from the time the plan says, not from when the call was sent: a call that had to wait for a free
//    connection, or for this thread, carries that wait (no coordinated omission). How late calls were sent is kept
//    apart.
// 2. At most limits::kReplayCallsAtOnce are open; what is kept of each call is bounded by the plan.
// Runs on one thread, its context's.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/id.h"
#include "replay/plan.h"
#include "replay/remote.h"

namespace ebb::replay {

struct CallOutcome {
  bool answered = false;       // by anybody, with whatever status
  bool ok = false;             // by the function
  bool has_id = false;         // the answer named its request
  base::InvocationId request;  // of the answer
  base::Duration late{};       // sent after its time
  base::Duration latency{};    // from its time to the answer, or to the error
};

class Caller {
 public:
  /// Borrows all three, which outlive it and the context's tasks.
  Caller(io::asio::io_context& context, const Remote& remote, const Plan& plan);

  /// Makes every call, the first at `start` plus its time. Ends when all are answered.
  io::Task<> play(base::SteadyTime start);

  std::uint64_t ended() const { return ended_; }
  std::uint64_t errors() const { return errors_; }
  const std::string& first_error() const { return first_error_; }
  /// By the plan's calls; complete when play() has ended.
  const std::vector<CallOutcome>& outcomes() const { return outcomes_; }

 private:
  static io::Task<> make_call(Caller& self, std::size_t index, base::SteadyTime due);
  io::Task<> wait_until_fewer_than(std::uint64_t open);
  void failed(std::string why);

  io::asio::io_context& context_;
  const Remote& remote_;
  const Plan& plan_;
  std::vector<CallOutcome> outcomes_;
  io::asio::steady_timer one_ended_;  // never expires; cancelled when a call ends
  std::uint64_t sent_ = 0;
  std::uint64_t ended_ = 0;
  std::uint64_t errors_ = 0;
  std::string first_error_;
};

}  // namespace ebb::replay
