#include "node/start_turns.h"

#include <algorithm>

#include "base/check.h"

namespace ebb::node {

StartTurns::Place StartTurns::line_up(Starter starter, Need need) {
  Place place{.waiter = std::make_shared<io::OneShot<bool>>()};
  base::MutexLock lock(mutex_);
  place.id = next_++;
  sched::FairQueue& queue = need == Need::kAwaited ? awaited_ : ahead_;
  const bool waits = !begins_at_once(starter.app, need) && waiters_.size() < waiting_max_;
  if (waits && queue.push({.app = starter.app, .function = starter.function, .id = place.id})) {
    waiters_.emplace(place.id, place.waiter);
  } else {
    under_way_.push_back({.app = starter.app, .id = place.id, .since = base::steady_now()});
    place.waiter->set(true);
  }
  return place;
}

void StartTurns::hurry(std::uint32_t app, std::uint64_t id) {
  {
    base::MutexLock lock(mutex_);
    if (const auto item = ahead_.withdraw(app, id)) EBB_CHECK(awaited_.push(*item));
  }
  give_out();
}

io::Task<StartTurns::Turn> StartTurns::take(Starter starter) {
  Place place = line_up(starter, Need::kAwaited);
  co_return co_await wait(std::move(place));
}

io::Task<StartTurns::Turn> StartTurns::wait(Place place) {
  // Nobody gives back what has grown old, so those who wait look.
  for (;;) {
    const base::SteadyTime look_again = base::steady_now() + turn_most_;
    const auto given = co_await place.waiter->wait(look_again);
    if (given) co_return Turn(shared_from_this(), place.id);
    give_out();
  }
}

bool StartTurns::calm() const {
  base::MutexLock lock(mutex_);
  const base::SteadyTime now = base::steady_now();
  const auto young = std::count_if(under_way_.begin(), under_way_.end(),
                                   [&](const UnderWay& turn) { return now - turn.since < turn_most_; });
  return waiters_.empty() && static_cast<std::uint32_t>(young) + 2 <= most_;
}

void StartTurns::give_back(std::uint64_t id) {
  {
    base::MutexLock lock(mutex_);
    std::erase_if(under_way_, [&](const UnderWay& turn) { return turn.id == id; });
  }
  give_out();
}

void StartTurns::give_out() {
  std::vector<Waiter> next;
  {
    base::MutexLock lock(mutex_);
    if (waiters_.empty()) return;
    next = given_out(base::steady_now());
  }
  for (const Waiter& waiter : next) waiter->set(true);
}

std::vector<StartTurns::Waiter> StartTurns::given_out(base::SteadyTime now) {
  std::erase_if(under_way_, [&](const UnderWay& turn) { return now - turn.since >= turn_most_; });
  std::vector<Waiter> next;
  while (const auto item = next_item()) {
    const auto at = waiters_.find(item->id);
    next.push_back(std::move(at->second));
    waiters_.erase(at);
    under_way_.push_back({.app = item->app, .id = item->id, .since = now});
  }
  return next;
}

// The kernel shares the processors fairly between apps, so one start more takes little from a flood's, and half of the
// wait from the other app.
bool StartTurns::begins_at_once(std::uint32_t app, Need need) const {
  return under_way_.size() < most_ || (need == Need::kAwaited && under_way_.size() == most_ && !has_one(app));
}

bool StartTurns::has_one(std::uint32_t app) const {
  return std::any_of(under_way_.begin(), under_way_.end(), [&](const UnderWay& turn) { return turn.app == app; });
}

std::optional<sched::FairQueue::Item> StartTurns::next_item() {
  if (under_way_.size() > most_) return std::nullopt;
  if (under_way_.size() == most_) return awaited_.pop_of([&](std::uint32_t app) { return !has_one(app); });
  if (ahead_.size() == 0 || (awaited_.size() > 0 && ++passed_ < kAheadEvery)) return awaited_.pop();
  passed_ = 0;
  return ahead_.pop();
}

}  // namespace ebb::node
