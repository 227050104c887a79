// Gate: counts the users of something that must not be torn down under them (after seastar's gate).
//
// 1. After close() began, nobody enters.
// 2. close() ends when the last holder has left, or at its deadline.
// 3. The gate outlives its holders; it belongs to one core and is not thread-safe.
// Called by every group of tasks that a shutdown waits for: the connections of a server, the invocations of a version.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <cstddef>
#include <utility>

#include "base/clock.h"
#include "base/result.h"
#include "io/task.h"

namespace ebb::io {

class Gate {
 public:
  /// The right to use what the gate guards; leaves when destroyed.
  class Holder {
   public:
    Holder() = default;
    ~Holder() { leave(); }
    Holder(Holder&& other) noexcept : gate_(std::exchange(other.gate_, nullptr)) {}
    Holder& operator=(Holder&& other) noexcept {
      if (this != &other) {
        leave();
        gate_ = std::exchange(other.gate_, nullptr);
      }
      return *this;
    }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

   private:
    friend class Gate;
    explicit Holder(Gate* gate) : gate_(gate) {}
    void leave();

    Gate* gate_ = nullptr;
  };

  explicit Gate(const asio::any_io_executor& executor);
  ~Gate();
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  /// Errors: kUnavailable once the gate is closed.
  base::Result<Holder> enter();
  /// Closes the gate and waits for the holders. May be called more than once, also at the same time.
  /// Errors: kDeadlineExceeded when holders remain at the deadline; the gate stays closed.
  Task<base::Result<>> close(base::SteadyTime deadline);

  bool closed() const { return closed_; }
  std::size_t count() const { return count_; }

 private:
  Task<> wait_until_empty();

  std::size_t count_ = 0;
  bool closed_ = false;
  asio::steady_timer emptied_;  // never expires; cancelled when count_ falls to zero: the wake-up of close()
};

}  // namespace ebb::io
