// Instances on their way out, and who waits for the room that they still take.
//
// An instance that was told to end keeps its room until the kernel has taken it away, milliseconds later, or seconds
// where a web server is given time to finish. A start that finds no room meanwhile is not refused, it waits for the
// next that is gone: whoever calls a function one call after the other would else be told 429 for what their own last
// call still holds. Called by VersionRunner around a start and by Gate::Room. Threads: any. Cost: one lock.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "io/one_shot.h"
#include "io/task.h"

namespace ebb::node {

class Departures {
 public:
  /// One was told to end; `gone()` follows once for each.
  void leaving();
  void gone();

  /// How many are gone so far.
  std::uint64_t so_far() const;

  /// Returns true once more than `seen` are gone; false if none is leaving, or at the limit. Taken before one looks
  /// for room, `seen` misses none.
  io::Task<bool> more_than(std::uint64_t seen, base::SteadyTime limit);

 private:
  using Waiter = std::shared_ptr<io::OneShot<bool>>;

  mutable base::Mutex mutex_;
  std::uint64_t leaving_ EBB_GUARDED_BY(mutex_) = 0;
  std::uint64_t gone_ EBB_GUARDED_BY(mutex_) = 0;
  std::vector<Waiter> waiters_ EBB_GUARDED_BY(mutex_);  // starts under way, which the scheduler bounds
};

}  // namespace ebb::node
