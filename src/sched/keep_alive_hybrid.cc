#include "sched/keep_alive_hybrid.h"

#include <cmath>

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

constexpr double kHead = 0.05;
constexpr double kTail = 0.99;
constexpr double kMargin = 0.10;
constexpr double kVariationMin = 2.0;

HoldPlan whole_range() {
  HoldPlan plan;
  plan.add({.from = 0s, .to = std::chrono::minutes(HybridKeepAlive::kMinutes)});
  return plan;
}

base::Duration minutes(double count) {
  return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double, std::ratio<60>>(count));
}

}  // namespace

HybridKeepAlive::HybridKeepAlive() : plan_(whole_range()) {}

void HybridKeepAlive::gap_ended(base::Duration idle_for) {
  const auto minute = std::chrono::duration_cast<std::chrono::minutes>(idle_for).count();
  if (minute >= static_cast<std::int64_t>(kMinutes)) {
    ++out_of_range_;
  } else {
    std::uint32_t& count = counts_[static_cast<std::size_t>(minute)];
    sum_of_squares_ += 2.0 * count + 1.0;
    ++count;
    ++in_range_;
  }
  if (++since_plan_ < kGapsPerPlan && in_range_ + out_of_range_ > 4 * kGapsMin) return;
  since_plan_ = 0;
  make_plan();
}

bool HybridKeepAlive::representative() const {
  if (in_range_ < kGapsMin || out_of_range_ > in_range_) return false;
  const double mean = static_cast<double>(in_range_) / kMinutes;
  const double variance = sum_of_squares_ / kMinutes - mean * mean;
  return variance > 0 && std::sqrt(variance) / mean >= kVariationMin;
}

void HybridKeepAlive::make_plan() {
  if (!representative()) {
    plan_ = whole_range();
    return;
  }
  std::size_t head = 0;
  std::size_t tail = 0;
  std::uint32_t below = 0;
  for (std::size_t minute = 0; minute < kMinutes; ++minute) {
    if (below < kHead * in_range_) head = minute;
    if (below < kTail * in_range_) tail = minute + 1;
    below += counts_[minute];
  }
  plan_ = HoldPlan();
  // A head in the first minute leaves nothing to unload for.
  const base::Duration from = head == 0 ? base::Duration::zero() : minutes(static_cast<double>(head) * (1 - kMargin));
  plan_.add({.from = from, .to = minutes(static_cast<double>(tail) * (1 + kMargin))});
}

}  // namespace ebb::sched
