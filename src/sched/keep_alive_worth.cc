#include "sched/keep_alive_worth.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <chrono>

namespace ebb::sched {
namespace {

constexpr std::size_t kBins = GapHistogram::kBins;

// Few gaps say little about one bin of 4.5 %: each counts for its neighbours too.
constexpr std::array<double, 7> kKernel = {1.0 / 16, 2.0 / 16, 3.0 / 16, 4.0 / 16, 3.0 / 16, 2.0 / 16, 1.0 / 16};

double smoothed(const GapHistogram& gaps, std::size_t bin) {
  if (bin == 0) return gaps.count(0);
  double sum = 0;
  for (std::size_t i = 0; i < kKernel.size(); ++i) {
    const std::size_t at = bin + i;
    if (at >= 4 && at - 3 < kBins) sum += kKernel[i] * gaps.count(at - 3);
  }
  return sum;
}

double seconds(base::Duration duration) { return std::chrono::duration<double>(duration).count(); }
base::Duration duration_of(double count) {
  return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(count));
}

}  // namespace

base::Duration worth_of_idling(double price, double gigabytes, base::Duration start_time) {
  constexpr double kMost = 24 * 3600;
  const double cost = (price + WorthKeepAlive::kProcessor) * seconds(start_time);
  return std::max(WorthOptions{}.hold_min, duration_of(std::min(kMost, cost / std::max(gigabytes, 1e-6))));
}

WorthKeepAlive::WorthKeepAlive(WorthOptions options) : options_(options) { make_plan(); }

void WorthKeepAlive::set_costs(double gigabytes, base::Duration start_time) {
  options_.gigabytes = gigabytes;
  options_.start_time = start_time;
}

void WorthKeepAlive::gap_ended(base::Duration idle_for) {
  gaps_.add(idle_for);
  if (++since_plan_ <= gaps_.total() / 16) return;
  since_plan_ = 0;
  make_plan();
}

// Costs are expectations over one idle span, so a bin's is weighted with the chance that the span lasts that long.
void WorthKeepAlive::make_plan() {
  const double start = seconds(options_.start_time);
  const double weight = 1.0 / (static_cast<double>(gaps_.total()) + kPrior);
  std::bitset<kBins> hold_after_hold;
  std::bitset<kBins> hold_after_free;
  double held = 0;  // the cheapest way from this bin on, when the bin is held
  double free = 0;
  double alive = 0;  // the chance that the span reaches the end of the bin
  for (std::size_t bin = kBins; bin-- > 0;) {
    const double chance = (smoothed(gaps_, bin) + kPrior / kBins) * weight;
    const double width = GapHistogram::edge(bin + 1) - GapHistogram::edge(bin);
    // Here `held` and `free` are those of the bin after.
    const double load = (options_.gigabytes + kProcessor) * start * alive;
    hold_after_hold[bin] = held <= free;
    hold_after_free[bin] = held + load < free;
    const double next_after_hold = std::min(held, free);
    const double next_after_free = std::min(held + load, free);
    held = options_.gigabytes * width * (alive + chance / 2) + next_after_hold;
    free = (options_.price + options_.gigabytes + kProcessor) * start * chance + next_after_free;
    alive += chance;
  }
  plan_ = HoldPlan();
  plan_.add({.from = base::Duration::zero(), .to = options_.hold_min});
  bool holding = held <= free;  // it is loaded when the span begins
  double since = 0;
  for (std::size_t bin = 0; bin < kBins; ++bin) {
    const bool next = bin + 1 < kBins && (holding ? hold_after_hold[bin] : hold_after_free[bin]);
    const double end = GapHistogram::edge(bin + 1);
    if (holding && !next) plan_.add({.from = duration_of(since), .to = duration_of(end)});
    if (!holding && next) since = std::max(0.0, end - start);  // ready when the bin begins
    holding = next;
  }
}

}  // namespace ebb::sched
