#include "sched/residency.h"

#include <algorithm>

namespace ebb::sched {

void Residency::call_arrived(base::SteadyTime now) {
  if (idle_) policy_->gap_ended(std::max(base::Duration::zero(), now - idle_since_));
  idle_ = false;
  ever_called_ = true;
}

void Residency::became_idle(base::SteadyTime now) {
  if (idle_) return;
  idle_ = true;
  idle_since_ = now;
}

bool Residency::wanted(base::SteadyTime now) const {
  if (!idle_) return ever_called_;
  return policy_->plan().holds_at(now - idle_since_);
}

base::SteadyTime Residency::next_change(base::SteadyTime now) const {
  if (!idle_) return base::SteadyTime::max();
  const base::Duration change = policy_->plan().next_change(now - idle_since_);
  return change == base::Duration::max() ? base::SteadyTime::max() : idle_since_ + change;
}

}  // namespace ebb::sched
