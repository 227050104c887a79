#include "node/start_turns.h"

#include <algorithm>

namespace ebb::node {

io::Task<StartTurns::Turn> StartTurns::take(std::uint32_t app) {
  const auto waiter = std::make_shared<io::OneShot<bool>>();
  std::uint64_t id = 0;
  {
    base::MutexLock lock(mutex_);
    id = next_++;
    const bool waits = under_way_.size() >= most_ && queue_.push({.app = app, .id = id});
    if (waits) {
      waiters_.emplace(id, waiter);
    } else {
      under_way_.push_back({.id = id, .since = base::steady_now()});
      waiter->set(true);
    }
  }
  // Nobody gives back what has grown old, so those who wait look.
  for (;;) {
    const base::SteadyTime look_again = base::steady_now() + turn_most_;
    const auto given = co_await waiter->wait(look_again);
    if (given) co_return Turn(shared_from_this(), id);
    give_out();
  }
}

bool StartTurns::calm() const {
  base::MutexLock lock(mutex_);
  const base::SteadyTime now = base::steady_now();
  const auto young = std::count_if(under_way_.begin(), under_way_.end(),
                                   [&](const UnderWay& turn) { return now - turn.since < turn_most_; });
  return queue_.size() == 0 && static_cast<std::uint32_t>(young) + 2 <= most_;
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
    if (queue_.size() == 0) return;
    next = given_out(base::steady_now());
  }
  for (const Waiter& waiter : next) waiter->set(true);
}

std::vector<StartTurns::Waiter> StartTurns::given_out(base::SteadyTime now) {
  std::erase_if(under_way_, [&](const UnderWay& turn) { return now - turn.since >= turn_most_; });
  std::vector<Waiter> next;
  while (under_way_.size() < most_) {
    const auto item = queue_.pop();
    if (!item) break;
    const auto at = waiters_.find(item->id);
    next.push_back(std::move(at->second));
    waiters_.erase(at);
    under_way_.push_back({.id = item->id, .since = now});
  }
  return next;
}

}  // namespace ebb::node
