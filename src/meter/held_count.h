// What a version holds, counted while it runs, until it is written as a record.
//
// Processes are counted exactly: whoever changes their number says before how many there were. Memory is what was found
// when somebody looked. What a record leaves of less than a millisecond goes into the next one: nothing is lost.
// Owned by the node's runner of the version and guarded by its mutex. No clock and no I/O of its own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/duration.h"
#include "model/usage.h"

namespace ebb::meter {

class HeldCount {
 public:
  /// By tier.
  using Processes = std::array<std::uint32_t, model::kHeldTiers>;

  struct Stretch {
    base::WallTime begun{};
    base::SteadyTime begun_at{};
    model::HeldUse use;
  };

  HeldCount(base::SteadyTime now, base::WallTime wall) : counted_at_(now), begun_at_(now), begun_(wall) {}

  /// So many there were from the last call until now. A `now` before the last one counts as it. Cost: a few additions.
  void advance(base::SteadyTime now, const Processes& processes);
  /// They used `bytes` of their own for `time`; a negative one counts as none.
  void add_memory(model::HeldTier tier, base::Bytes bytes, base::Duration time);

  /// Since when it counts.
  base::SteadyTime begun_at() const { return begun_at_; }
  /// What was held until now; the next stretch begins. Nothing when nothing was.
  std::optional<Stretch> take(base::SteadyTime now, base::WallTime wall);
  /// As if it had not been taken: it could not be written.
  void give_back(const Stretch& stretch);

 private:
  using Sum = unsigned __int128;

  base::SteadyTime counted_at_;
  base::SteadyTime begun_at_;
  base::WallTime begun_;
  std::array<std::uint64_t, model::kHeldTiers> ns_{};
  std::array<Sum, model::kHeldTiers> byte_ns_{};
};

}  // namespace ebb::meter
