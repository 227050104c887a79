#include "node/departures.h"

#include <utility>

#include "base/check.h"

namespace ebb::node {

void Departures::leaving() {
  base::MutexLock lock(mutex_);
  ++leaving_;
}

void Departures::gone() {
  std::vector<Waiter> waiters;
  {
    base::MutexLock lock(mutex_);
    EBB_CHECK(leaving_ > 0);
    --leaving_;
    ++gone_;
    waiters.swap(waiters_);
  }
  for (const Waiter& waiter : waiters) waiter->set(true);
}

std::uint64_t Departures::so_far() const {
  base::MutexLock lock(mutex_);
  return gone_;
}

io::Task<bool> Departures::more_than(std::uint64_t seen, base::SteadyTime limit) {
  const Waiter waiter = std::make_shared<io::OneShot<bool>>();
  {
    base::MutexLock lock(mutex_);
    if (gone_ > seen) co_return true;
    if (leaving_ == 0) co_return false;
    waiters_.push_back(waiter);
  }
  const auto told = co_await waiter->wait(limit);
  const bool happened = told.has_value();
  if (!happened) {
    base::MutexLock lock(mutex_);
    std::erase(waiters_, waiter);
  }
  co_return happened;
}

}  // namespace ebb::node
