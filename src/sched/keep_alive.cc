#include "sched/keep_alive.h"

#include "base/check.h"

namespace ebb::sched {

void HoldPlan::add(Window window) {
  if (window.to <= window.from) return;
  if (count_ > 0) {
    Window& last = windows_[count_ - 1];
    EBB_CHECK(window.from >= last.from);
    if (window.from <= last.to || count_ == kWindowsMax) {
      if (window.to > last.to) last.to = window.to;
      return;
    }
  }
  windows_[count_++] = window;
}

bool HoldPlan::holds_at(base::Duration idle_for) const {
  for (const Window& window : *this) {
    if (idle_for < window.from) return false;
    if (idle_for < window.to) return true;
  }
  return false;
}

base::Duration HoldPlan::next_change(base::Duration idle_for) const {
  for (const Window& window : *this) {
    if (idle_for < window.from) return window.from;
    if (idle_for < window.to) return window.to;
  }
  return base::Duration::max();
}

base::Duration HoldPlan::first_hold() const {
  return count_ > 0 && windows_[0].from == base::Duration::zero() ? windows_[0].to : base::Duration::zero();
}

}  // namespace ebb::sched
