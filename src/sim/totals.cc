#include "sim/totals.h"

#include <algorithm>
#include <cmath>

namespace ebb::sim {
namespace {

constexpr double kFloorMs = 0.001;
const double kLogRatio = std::log(1.01);

void add_up(std::vector<double>& into, const std::vector<double>& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) into[i] += from[i];
}

}  // namespace

void LatencyCounts::add(double milliseconds) {
  std::size_t bin = 0;
  if (milliseconds > 0)
    bin = 1 + static_cast<std::size_t>(std::log(std::max(1.0, milliseconds / kFloorMs)) / kLogRatio);
  if (bin >= bins_.size()) bins_.resize(bin + 1);
  ++bins_[bin];
  ++count_;
  sum_ += milliseconds;
  max_ = std::max(max_, milliseconds);
}

void LatencyCounts::merge(const LatencyCounts& other) {
  if (bins_.size() < other.bins_.size()) bins_.resize(other.bins_.size());
  for (std::size_t i = 0; i < other.bins_.size(); ++i) bins_[i] += other.bins_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

double LatencyCounts::at(double quantile) const {
  const auto rank = static_cast<std::uint64_t>(quantile * static_cast<double>(count_));
  std::uint64_t below = 0;
  for (std::size_t bin = 0; bin < bins_.size(); ++bin) {
    below += bins_[bin];
    if (below > rank || below == count_) {
      return bin == 0 ? 0 : std::min(max_, kFloorMs * std::exp(kLogRatio * static_cast<double>(bin)));
    }
  }
  return 0;
}

void Totals::merge(const Totals& other) {
  arrived += other.arrived;
  answered += other.answered;
  refused += other.refused;
  crashed += other.crashed;
  from_idle += other.from_idle;
  from_fork += other.from_fork;
  from_boot += other.from_boot;
  from_spare += other.from_spare;
  runtime_starts += other.runtime_starts;
  zygote_starts += other.zygote_starts;
  instance_starts += other.instance_starts;
  spare_starts += other.spare_starts;
  evictions += other.evictions;
  events += other.events;
  added.merge(other.added);
  start_seconds += other.start_seconds;
  held_gbs += other.held_gbs;
  used_gbs += other.used_gbs;
  spare_gbs += other.spare_gbs;
  needed_gbs += other.needed_gbs;
  held_peak_gb += other.held_peak_gb;
  add_up(calls_by_minute, other.calls_by_minute);
  add_up(held_by_minute, other.held_by_minute);
  add_up(used_by_minute, other.used_by_minute);
}

}  // namespace ebb::sim
