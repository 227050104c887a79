// The hybrid histogram policy: unload after a call, load again shortly before the head of the usual idle times, keep
// until their tail.
//
// Source: Shahrad et al., Serverless in the Wild, ATC 2020: bins of one minute up to four hours, head = 5th percentile
// less 10 %, tail = 99th percentile plus 10 %; when the histogram says little (few gaps, a coefficient of variation of
// the bins below 2, or most gaps out of range) the function is kept for the whole range, without unloading. Their ARIMA
// forecast for gaps beyond the range is not taken over: such functions are kept for the range as well.
// Cost: O(bins) every kGapsPerPlan gaps.
#pragma once

#include <array>
#include <cstdint>

#include "sched/keep_alive.h"

namespace ebb::sched {

class HybridKeepAlive final : public KeepAlive {
 public:
  static constexpr std::size_t kMinutes = 240;
  static constexpr std::uint32_t kGapsMin = 10;
  static constexpr std::uint32_t kGapsPerPlan = 16;

  HybridKeepAlive();
  void gap_ended(base::Duration idle_for) override;
  const HoldPlan& plan() const override { return plan_; }

 private:
  bool representative() const;
  void make_plan();

  std::array<std::uint32_t, kMinutes> counts_{};
  std::uint32_t in_range_ = 0;
  std::uint32_t out_of_range_ = 0;
  std::uint32_t since_plan_ = 0;
  double sum_of_squares_ = 0;  // of the counts, for the variation of the bins
  HoldPlan plan_;
};

}  // namespace ebb::sched
