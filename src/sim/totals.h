// What a simulated run adds up: calls by how they were started, added latency, memory held and used over time.
//
// Added latency is the time from a call's arrival to its handler: what the platform adds. Held counts the memory of
// zygotes and instances from the order to start them until they are gone; used is what a call's instance of that
// function would have allocated alone, for the time of its handler. Totals of several nodes are merged; merging is
// associative, so the number of threads changes nothing.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace ebb::sim {

/// Counts of times in bins of 1 %, from a microsecond to a day; exact for zero.
class LatencyCounts {
 public:
  void add(double milliseconds);
  void merge(const LatencyCounts& other);
  /// Milliseconds; the upper edge of the bin.
  double at(double quantile) const;
  double mean() const { return count_ == 0 ? 0 : sum_ / static_cast<double>(count_); }
  double max() const { return max_; }
  std::uint64_t count() const { return count_; }

 private:
  std::vector<std::uint64_t> bins_;
  std::uint64_t count_ = 0;
  double sum_ = 0;
  double max_ = 0;
};

struct Totals {
  std::uint64_t arrived = 0;
  std::uint64_t answered = 0;
  std::uint64_t refused = 0;
  std::uint64_t crashed = 0;  // lost with their instance; only where faults are injected
  std::uint64_t from_idle = 0;
  std::uint64_t from_fork = 0;   // waited for an instance whose zygote was there
  std::uint64_t from_boot = 0;   // waited for a whole start
  std::uint64_t from_spare = 0;  // found nobody idle but a spare
  std::uint64_t runtime_starts = 0;
  std::uint64_t zygote_starts = 0;
  std::uint64_t instance_starts = 0;
  std::uint64_t spare_starts = 0;  // of these: for nobody
  std::uint64_t evictions = 0;
  std::uint64_t events = 0;
  LatencyCounts added;
  double start_seconds = 0;  // spent in starts of all kinds: processor time, nearly
  double held_gbs = 0;
  double used_gbs = 0;
  double spare_gbs = 0;     // of held: by spares
  double needed_gbs = 0;    // of held: while calls were in it, what is shared counted once
  double held_peak_gb = 0;  // of nodes that are merged, the sum of their peaks
  std::vector<double> calls_by_minute;
  std::vector<double> held_by_minute;  // GB, averages of the minutes
  std::vector<double> used_by_minute;

  void merge(const Totals& other);
  double cold_share() const { return arrived == 0 ? 0 : static_cast<double>(from_boot) / static_cast<double>(arrived); }
  double waited_share() const {
    return arrived == 0 ? 0 : static_cast<double>(from_boot + from_fork) / static_cast<double>(arrived);
  }
};

}  // namespace ebb::sim
