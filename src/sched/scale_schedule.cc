#include "sched/scale_schedule.h"

#include <algorithm>

namespace ebb::sched {

ScaleSchedule::ScaleSchedule(const model::Scale& scale) : always_(scale.min) {
  for (const model::ScaleWindow& window : scale.windows) {
    auto from = model::Cron::parse(window.from);
    const auto zone = model::TimeZone::named(window.zone);
    if (from && zone) windows_.push_back({*std::move(from), *zone, window.length, window.min});
  }
}

std::uint32_t ScaleSchedule::minimum(base::WallTime now) {
  if (begin_ <= now && now < end_) return minimum_;
  minimum_ = always_;
  begin_ = now;
  end_ = base::WallTime::max();
  for (const Window& window : windows_) {
    const auto opens = window.from.next_after(now - window.length, window.zone);
    if (!opens) continue;
    if (*opens > now) {
      end_ = std::min(end_, *opens);
    } else {
      minimum_ = std::max(minimum_, window.min);
      end_ = std::min(end_, *opens + window.length);
    }
  }
  return minimum_;
}

}  // namespace ebb::sched
