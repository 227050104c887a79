// How long a function stays idle between two calls, as counts in bins of equal ratio: 16 to an octave from one second
// to a day and a half, so that every span is known to within 4.5 %. Old gaps count less: when the total reaches
// kTotalMax all counts are halved.
//
// Invariants: total() is the sum of the counts; a gap below a second falls in bin 0. Called by the keep-alive policies.
// Cost of add(): O(1), amortised over the halvings; 560 bytes a function, no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/duration.h"

namespace ebb::sched {

class GapHistogram {
 public:
  static constexpr std::size_t kBinsPerOctave = 16;
  static constexpr std::size_t kBins = 1 + kBinsPerOctave * 17;  // 2^17 s = 36 h
  static constexpr std::uint32_t kTotalMax = 512;

  void add(base::Duration gap);

  std::uint32_t total() const { return total_; }
  std::uint32_t count(std::size_t bin) const { return counts_[bin]; }
  /// The lower edge of a bin, in seconds; edge(kBins) is the end of the last.
  static double edge(std::size_t bin);
  static std::size_t bin_of(base::Duration gap);

 private:
  std::array<std::uint16_t, kBins> counts_{};
  std::uint32_t total_ = 0;
};

}  // namespace ebb::sched
