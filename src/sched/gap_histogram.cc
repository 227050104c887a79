#include "sched/gap_histogram.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace ebb::sched {
namespace {

std::array<double, GapHistogram::kBins + 1> make_edges() {
  std::array<double, GapHistogram::kBins + 1> edges{};
  for (std::size_t bin = 1; bin < edges.size(); ++bin)
    edges[bin] = std::exp2(static_cast<double>(bin - 1) / GapHistogram::kBinsPerOctave);
  return edges;
}

const std::array<double, GapHistogram::kBins + 1> kEdges = make_edges();

}  // namespace

double GapHistogram::edge(std::size_t bin) { return kEdges[bin]; }

std::size_t GapHistogram::bin_of(base::Duration gap) {
  const double seconds = std::chrono::duration<double>(gap).count();
  if (seconds < 1.0) return 0;
  const auto bin = 1 + static_cast<std::size_t>(std::log2(seconds) * kBinsPerOctave);
  return std::min(bin, kBins - 1);
}

void GapHistogram::add(base::Duration gap) {
  ++counts_[bin_of(gap)];
  if (++total_ < kTotalMax) return;
  total_ = 0;
  for (std::uint16_t& count : counts_) {
    count = static_cast<std::uint16_t>((count + 1) / 2);  // rounded up: a rare gap is never forgotten quite
    total_ += count;
  }
}

}  // namespace ebb::sched
