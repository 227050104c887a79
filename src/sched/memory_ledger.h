// Admission by what instances really use: the memory of a node, reserved by measured estimates instead of limits.
//
// An estimate starts at the configured limit, the only safe guess, and becomes the 95th percentile of the private
// memory that instances of the function were seen to use; old samples fade. A zygote counts once, with what it
// measures. The ledger adds up what is reserved and says whether one more fits. When an estimate was wrong, `measured`
// corrects the reservation upward at once, beyond the budget if it must: overdrawn() then tells how much should be
// evicted. Invariant: reserved() is the sum of all reservations not given back. Pure; O(1); no allocation after
// construction.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace ebb::sched {

/// The 95th percentile of one function's instances, to within an eighth.
class MemoryEstimate {
 public:
  static constexpr std::size_t kBins = 6 * 30;  // six to an octave from 64 KiB
  static constexpr std::uint32_t kSamplesMin = 4;
  static constexpr std::uint32_t kSamplesMax = 128;  // then all counts are halved

  explicit MemoryEstimate(base::Bytes limit) : limit_(limit) {}

  void seen(base::Bytes used);
  /// Never above the limit. Below kSamplesMin samples it is the limit.
  base::Bytes value() const { return value_known_ ? value_ : limit_; }

 private:
  base::Bytes limit_;
  base::Bytes value_;
  bool value_known_ = false;
  std::uint32_t total_ = 0;
  std::array<std::uint8_t, kBins> counts_{};
};

class MemoryLedger {
 public:
  explicit MemoryLedger(base::Bytes budget) : budget_(budget) {}

  /// False, and nothing is reserved, when it does not fit.
  bool reserve(base::Bytes bytes);
  /// What had reserved `before` turned out to use `now`.
  void measured(base::Bytes before, base::Bytes now);
  void give_back(base::Bytes bytes);

  base::Bytes reserved() const { return reserved_; }
  base::Bytes overdrawn() const { return {reserved_ > budget_ ? reserved_.count - budget_.count : 0}; }
  void set_budget(base::Bytes budget) { budget_ = budget; }

 private:
  base::Bytes budget_;
  base::Bytes reserved_;
};

}  // namespace ebb::sched
