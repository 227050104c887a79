#include "sched/timer_plan.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/limits_timers.h"

namespace ebb::sched {

std::string key_of(const model::Timer& timer) { return boost::json::serialize(model::to_json(timer)); }

void TimerPlan::set(const std::vector<model::Timer>& timers, base::WallTime now) {
  std::vector<Entry> entries;
  for (const model::Timer& timer : timers) {
    std::string key = key_of(timer);
    const auto before =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry& one) { return one.key == key; });
    if (before != entries_.end()) {
      entries.push_back(*before);
      continue;
    }
    Entry& entry = entries.emplace_back(Entry{.timer = timer, .key = std::move(key)});
    auto cron = model::Cron::parse(timer.cron);
    const auto zone = model::TimeZone::named(timer.zone);
    if (cron && zone) {
      entry.cron = *std::move(cron);
      entry.zone = *zone;
    }
    entry.next = next_after(entry, now);
  }
  entries_ = std::move(entries);
}

void TimerPlan::resume(const std::string& key, base::WallTime handled) {
  for (Entry& entry : entries_) {
    if (entry.key != key) continue;
    entry.next = next_after(entry, handled);
    entry.resumed = true;
  }
}

std::vector<TimerPlan::Due> TimerPlan::take(base::WallTime now) {
  std::vector<Due> taken;
  for (Entry& entry : entries_) {
    if (entry.under_way || !entry.next) continue;
    const bool resumed = std::exchange(entry.resumed, false);
    if (*entry.next > now) continue;
    Due due{.timer = entry.timer, .at = *entry.next};
    if (resumed || now - *entry.next > limits::kTimerBehind) {
      const auto last = latest(entry, now);
      due.stale = !last;
      if (last && *last > due.at) due.missed = std::exchange(due.at, *last);
    }
    entry.next = next_after(entry, due.stale ? now : due.at);
    entry.under_way = !due.stale;
    taken.push_back(std::move(due));
  }
  return taken;
}

void TimerPlan::settled(const std::string& key) {
  for (Entry& entry : entries_) {
    if (entry.key == key) entry.under_way = false;
  }
}

std::vector<std::string> TimerPlan::keys() const {
  std::vector<std::string> keys;
  for (const Entry& entry : entries_) keys.push_back(entry.key);
  return keys;
}

std::vector<TimerPlan::Next> TimerPlan::next() const {
  std::vector<Next> all;
  for (const Entry& entry : entries_) all.push_back({&entry.timer, entry.next});
  return all;
}

std::optional<base::WallTime> TimerPlan::soonest() const {
  std::optional<base::WallTime> soonest;
  for (const Entry& entry : entries_) {
    if (entry.next && (!soonest || *entry.next < *soonest)) soonest = entry.next;
  }
  return soonest;
}

std::optional<base::WallTime> TimerPlan::next_after(const Entry& entry, base::WallTime after) {
  if (entry.cron) return entry.cron->next_after(after, *entry.zone);
  const base::Duration every = entry.timer.every;
  if (every == base::Duration::zero()) return std::nullopt;
  return base::WallTime((after.time_since_epoch() / every + 1) * every);
}

std::optional<base::WallTime> TimerPlan::latest(const Entry& entry, base::WallTime now) {
  std::optional<base::WallTime> latest;
  base::WallTime after = now - limits::kTimerMadeUp;
  if (!entry.cron) after = std::max(after, now - 2 * entry.timer.every);  // two of them, and not each of an hour
  for (auto at = next_after(entry, std::max(after, *entry.next - base::Duration(1))); at && *at <= now;
       at = next_after(entry, *at)) {
    latest = at;
  }
  return latest;
}

base::Duration load_ahead(base::Duration loading) {
  return std::min<base::Duration>(loading + loading / 4 + limits::kTimerLoadMargin, limits::kTimerLoadMost);
}

void ExpectedCall::expect(base::SteadyTime due, base::SteadyTime now) {
  if (due_ <= now && due != due_) before_ = due_;
  due_ = due;
}

bool ExpectedCall::wanted(base::SteadyTime now, base::Duration loading) const {
  const auto comes = [&](base::SteadyTime due) {
    return now >= due - load_ahead(loading) && now < due + limits::kTimerLinger;
  };
  return (due_ != base::SteadyTime::max() && comes(due_)) || (before_ != base::SteadyTime::min() && comes(before_));
}

}  // namespace ebb::sched
