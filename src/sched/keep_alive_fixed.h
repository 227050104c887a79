// Keep-alive for a fixed time after every call: what most platforms do, and the measure for the other policies.
#pragma once

#include "sched/keep_alive.h"

namespace ebb::sched {

class FixedKeepAlive final : public KeepAlive {
 public:
  explicit FixedKeepAlive(base::Duration time) { plan_.add({.from = base::Duration::zero(), .to = time}); }
  void gap_ended(base::Duration) override {}
  const HoldPlan& plan() const override { return plan_; }

 private:
  HoldPlan plan_;
};

}  // namespace ebb::sched
