#include "node/start_turns.h"

#include <algorithm>

#include "base/check.h"

namespace ebb::node {

StartTurns::Place StartTurns::line_up(Starter starter, Need need) {
  Place place{.waiter = std::make_shared<io::OneShot<bool>>()};
  const base::SteadyTime now = base::steady_now();
  const base::Duration counts = std::clamp(2 * starter.usual, age_.others, age_.own_most);
  std::vector<Waiter> next;
  {
    base::MutexLock lock(mutex_);
    next = given_out(now);  // what has waited goes first, where turns have grown old meanwhile
    place.id = next_++;
    sched::FairQueue& queue = need == Need::kAwaited ? awaited_ : ahead_;
    const bool waits = !begins_at_once(starter.app, need, now) && waiters_.size() < waiting_max_;
    if (waits && queue.push({.app = starter.app, .function = starter.function, .id = place.id})) {
      waiters_.emplace(place.id, Waiting{.waiter = place.waiter, .counts = counts});
    } else {
      begin(starter.app, place.id, counts, now);
      next.push_back(place.waiter);
    }
  }
  for (const Waiter& waiter : next) waiter->set(true);
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
    const base::SteadyTime look_again = base::steady_now() + age_.others;
    const auto given = co_await place.waiter->wait(look_again);
    if (given) co_return Turn(shared_from_this(), place.id);
    give_out();
  }
}

bool StartTurns::calm() const {
  base::MutexLock lock(mutex_);
  return waiters_.empty() && young(base::steady_now()) + 2 <= most_;
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
  std::erase_if(under_way_, [&](const UnderWay& turn) { return now >= turn.until; });
  std::vector<Waiter> next;
  while (const auto item = next_item(now)) {
    const auto at = waiters_.find(item->id);
    next.push_back(std::move(at->second.waiter));
    begin(item->app, item->id, at->second.counts, now);
    waiters_.erase(at);
  }
  return next;
}

void StartTurns::begin(std::uint32_t app, std::uint64_t id, base::Duration counts, base::SteadyTime now) {
  under_way_.push_back({.app = app, .id = id, .young_until = now + age_.others, .until = now + counts});
}

std::uint32_t StartTurns::young(base::SteadyTime now) const {
  return static_cast<std::uint32_t>(std::count_if(under_way_.begin(), under_way_.end(),
                                                  [&](const UnderWay& turn) { return now < turn.young_until; }));
}

std::uint32_t StartTurns::of_app(std::uint32_t app) const {
  return static_cast<std::uint32_t>(
      std::count_if(under_way_.begin(), under_way_.end(), [&](const UnderWay& turn) { return turn.app == app; }));
}

// The kernel shares the processors fairly between apps, so one start more takes little from a flood's, and half of the
// wait from the other app.
bool StartTurns::begins_at_once(std::uint32_t app, Need need, base::SteadyTime now) const {
  const std::uint32_t taken = young(now);
  if (taken == most_) return need == Need::kAwaited && of_app(app) == 0;
  return taken < most_ && of_app(app) < most_;
}

std::optional<sched::FairQueue::Item> StartTurns::next_item(base::SteadyTime now) {
  const std::uint32_t taken = young(now);
  if (taken > most_) return std::nullopt;
  if (taken == most_) return awaited_.pop_of([&](std::uint32_t app) EBB_REQUIRES(mutex_) { return of_app(app) == 0; });
  const auto may = [&](std::uint32_t app) EBB_REQUIRES(mutex_) { return of_app(app) < most_; };
  const bool ahead_is_due = ahead_.size() > 0 && (awaited_.size() == 0 || passed_ + 1 >= kAheadEvery);
  if (!ahead_is_due) {
    if (const auto item = awaited_.pop_of(may)) {
      if (ahead_.size() > 0) ++passed_;
      return item;
    }
  }
  if (const auto item = ahead_.pop_of(may)) {
    passed_ = 0;
    return item;
  }
  return ahead_is_due ? awaited_.pop_of(may) : std::nullopt;
}

}  // namespace ebb::node
