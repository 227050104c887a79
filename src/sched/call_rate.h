// A bound on calls per second: a bucket of tokens that holds a second's worth and fills steadily.
//
// Kept as one number, the time at which the bucket would be full again (the generic cell rate algorithm; ITU-T I.371),
// so that many cores take from it with one compare-and-swap and nothing has to be refilled. In any span of time t no
// more than rate x (t + 1 s) calls are let in. Pure: time comes in. Threads: any.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/clock.h"
#include "base/duration.h"

namespace ebb::sched {

class CallRate {
 public:
  /// From the next call on. 0: no bound.
  void set(std::uint64_t milli_calls_per_second) {
    constexpr std::int64_t kNanosecondsTimesMilli = 1'000'000'000'000;
    interval_ns_.store(
        milli_calls_per_second == 0 ? 0 : kNanosecondsTimesMilli / static_cast<std::int64_t>(milli_calls_per_second));
  }

  /// Who takes: a call that somebody waits for, or one that leaves half of a second's worth to those.
  enum class Taker : std::uint8_t { kFirst, kYielding };

  /// Zero when a call may come in, which is counted; else how long until one may.
  base::Duration take(base::SteadyTime now, Taker taker = Taker::kFirst) {
    const std::int64_t interval = interval_ns_.load(std::memory_order_relaxed);
    if (interval == 0) return {};
    const std::int64_t at = now.time_since_epoch().count();
    const std::int64_t ahead = std::max<std::int64_t>(0, kSecond - interval);
    const std::int64_t ahead_most = taker == Taker::kYielding ? ahead / 2 : ahead;
    std::int64_t full = full_at_ns_.load();
    for (;;) {
      const std::int64_t begin = std::max(full, at);
      if (begin - at > ahead_most) return base::Duration(begin - at - ahead_most);
      if (full_at_ns_.compare_exchange_weak(full, begin + interval)) return {};
    }
  }

  /// A call that was let in was not run after all: another may come in its place.
  void put_back() { full_at_ns_.fetch_sub(interval_ns_.load(std::memory_order_relaxed)); }

 private:
  static constexpr std::int64_t kSecond = 1'000'000'000;

  std::atomic<std::int64_t> interval_ns_{0};
  std::atomic<std::int64_t> full_at_ns_{0};
};

}  // namespace ebb::sched
