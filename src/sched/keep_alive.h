// When the memory of an idle function is held: the interface of all keep-alive policies, and the plan they give.
//
// A plan names the spans of idle time in which the function is kept ready. A span that begins at zero is keep-alive,
// one that begins later is pre-warming: between the two nothing is held. Policies are pure: what they are told is all
// they know. One object per function, called by Residency; nothing here allocates after construction.
#pragma once

#include <array>
#include <cstdint>

#include "base/duration.h"

namespace ebb::sched {

struct Window {
  base::Duration from{};
  base::Duration to{};
  bool operator==(const Window&) const = default;
};

/// Ordered, disjoint, none empty.
class HoldPlan {
 public:
  static constexpr std::size_t kWindowsMax = 6;

  /// Appends; one that is empty is ignored, one that touches the last extends it; so does one too many, to be on the
  /// safe side.
  void add(Window window);

  bool holds_at(base::Duration idle_for) const;
  /// The next age at which holds_at changes; Duration::max() when it does not.
  base::Duration next_change(base::Duration idle_for) const;
  /// How long an instance beyond the first may stay idle: the end of the span that begins at zero, 0 without one.
  base::Duration first_hold() const;
  const Window* begin() const { return windows_.data(); }
  const Window* end() const { return windows_.data() + count_; }

 private:
  std::array<Window, kWindowsMax> windows_{};
  std::uint8_t count_ = 0;
};

class KeepAlive {
 public:
  virtual ~KeepAlive() = default;
  /// An idle span ended with a call. Cost: O(1) amortised.
  virtual void gap_ended(base::Duration idle_for) = 0;
  /// For the idle span that begins now.
  virtual const HoldPlan& plan() const = 0;
};

}  // namespace ebb::sched
