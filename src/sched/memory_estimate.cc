#include "sched/memory_estimate.h"

#include <algorithm>
#include <cmath>

namespace ebb::sched {
namespace {

constexpr double kFloor = 64 * 1024;
constexpr double kBinsPerOctave = 6;

std::size_t bin_of(base::Bytes bytes) {
  const double octaves = std::log2(std::max(1.0, static_cast<double>(bytes.count) / kFloor));
  return std::min(MemoryEstimate::kBins - 1, static_cast<std::size_t>(octaves * kBinsPerOctave));
}

base::Bytes upper_edge(std::size_t bin) {
  return {static_cast<std::uint64_t>(kFloor * std::exp2(static_cast<double>(bin + 1) / kBinsPerOctave))};
}

}  // namespace

void MemoryEstimate::seen(base::Bytes used) {
  ++counts_[bin_of(used)];
  if (++total_ >= kSamplesMax) {
    total_ = 0;
    for (std::uint8_t& count : counts_) {
      count = static_cast<std::uint8_t>(count / 2);
      total_ += count;
    }
  }
  std::uint32_t above = total_ / 20;  // so many may lie above the 95th percentile
  std::size_t bin = kBins;
  while (bin > 0) {
    --bin;
    if (counts_[bin] > above) break;
    above -= counts_[bin];
  }
  value_ = std::min(limit_, upper_edge(bin));
}

}  // namespace ebb::sched
