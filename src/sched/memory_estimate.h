// What an instance of a function will use, by what its instances were seen to use: the 95th percentile of their private
// memory; old samples fade. A node is filled by such estimates, not by limits, which most instances stay far below.
// Pure; O(1) to read; no allocation.
#pragma once

#include <array>
#include <cstdint>

#include "base/bytes.h"

namespace ebb::sched {

/// Of one function, to within an eighth.
class MemoryEstimate {
 public:
  static constexpr std::size_t kBins = 6 * 30;       // six to an octave from 64 KiB
  static constexpr std::uint32_t kSamplesMax = 128;  // then all counts are halved

  explicit MemoryEstimate(base::Bytes limit) : limit_(limit) {}

  void seen(base::Bytes used);
  /// Never above the limit; zero before the first sample. From few it is the most that was seen.
  base::Bytes value() const { return value_; }

 private:
  base::Bytes limit_;
  base::Bytes value_;
  std::uint32_t total_ = 0;
  std::array<std::uint8_t, kBins> counts_{};
};

}  // namespace ebb::sched
