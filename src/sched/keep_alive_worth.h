// Hold an idle function's memory exactly in those spans of idle time in which that is worth its price.
//
// One number, the price, says how many GB-seconds may be held to spare callers one second of waiting. With the
// function's own gaps (GapHistogram) every bin of idle time has a cost of holding (GB x the time spent in it) and one
// of not holding (price x seconds of a start x the chance of a call in it). The plan is the cheapest sequence of held
// and free bins, found backwards by dynamic programming; loading costs the processor's time and the memory
// held meanwhile, so that pre-warming for nothing is not free. Keep-alive
// and pre-warming are the same decision here: a function called every five minutes is let go after its call and loaded
// shortly before the next, one called at random is held for as long as its hazard pays for it.
// A function without history is held as if its gaps were spread evenly over the logarithm of time (weight kPrior).
//
// Source: the value per MB of FaasCache (Fuerst and Sharma, ASPLOS 2021) as a rate in time, over the idle-time
// histograms of Serverless in the Wild (ATC 2020). Cost: O(1) a gap, plus O(bins) = about 1 us once for every sixteenth
// of the gaps counted.
#pragma once

#include <cstdint>

#include "sched/gap_histogram.h"
#include "sched/keep_alive.h"

namespace ebb::sched {

struct WorthOptions {
  double price = 100;                      // GB-seconds for a second of waiting
  double gigabytes = 0.1;                  // what is held
  base::Duration start_time{250'000'000};  // what a caller waits when it is not held; the best estimate so far
  base::Duration hold_min{2'000'000'000};  // never let go sooner: calls come in bursts
};

/// How long an idle instance is kept that adds so much to its zygote, when another takes so long to start: until
/// keeping it has cost as much as that start would (ski rental: never more than twice the cost of who knows the next
/// call). At least `hold_min` of WorthOptions.
base::Duration worth_of_idling(double price, double gigabytes, base::Duration start_time);

class WorthKeepAlive final : public KeepAlive {
 public:
  static constexpr double kPrior = 1.0;
  /// GB-seconds that a second of a processor is worth: the ratio of the two in a compute unit (1 : 0.15).
  static constexpr double kProcessor = 1 / 0.15;

  explicit WorthKeepAlive(WorthOptions options);
  void gap_ended(base::Duration idle_for) override;
  const HoldPlan& plan() const override { return plan_; }
  /// New estimates; in effect with the next plan.
  void set_costs(double gigabytes, base::Duration start_time);

 private:
  void make_plan();

  WorthOptions options_;
  GapHistogram gaps_;
  std::uint32_t since_plan_ = 0;
  HoldPlan plan_;
};

}  // namespace ebb::sched
