#include "node/memory_pressure.h"

#include <algorithm>
#include <set>

#include "io/deadline.h"
#include "node/version_runner.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 1s;  // with functions that are all at work or loading; a start is tried three times
constexpr auto kLookAgain = 20ms;
constexpr auto kReliefLimit = 30s;  // several may have to be asked: what was idle may be at work by then

}  // namespace

io::Task<bool> MemoryPressure::relieve() {
  const auto waiter = std::make_shared<io::OneShot<bool>>();
  bool first = false;
  {
    base::MutexLock lock(mutex_);
    first = waiters_.empty();
    waiters_.push_back(waiter);
  }
  if (first) io::spawn(services_.here(), "relieve memory", run(*this));
  const auto relieved = co_await waiter->wait(base::steady_now() + kReliefLimit);
  co_return relieved.value_or(false);
}

// Who is at work at this moment is often idle in the next, so a caller is not turned away at the first look.
io::Task<> MemoryPressure::run(MemoryPressure& self) {
  const base::SteadyTime give_up = base::steady_now() + kPatience;
  bool relieved = co_await self.let_one_go();
  while (!relieved && base::steady_now() < give_up) {
    co_await io::sleep_for(kLookAgain);
    relieved = co_await self.let_one_go();
  }
  std::vector<std::shared_ptr<io::OneShot<bool>>> waiters;
  {
    base::MutexLock lock(self.mutex_);
    waiters = std::exchange(self.waiters_, {});
  }
  for (const auto& waiter : waiters) waiter->set(relieved);
}

void MemoryPressure::join(const std::shared_ptr<VersionRunner>& runner) {
  base::MutexLock lock(mutex_);
  const auto same = [&](const auto& one) { return !one.owner_before(runner) && !runner.owner_before(one); };
  if (std::none_of(joined_.begin(), joined_.end(), same)) joined_.push_back(runner);
}

MemoryPressure::Runners MemoryPressure::present() {
  base::MutexLock lock(mutex_);
  Runners runners;
  std::erase_if(joined_, [&](const auto& one) {
    auto runner = one.lock();
    if (runner) runners.push_back(std::move(runner));
    return one.expired();
  });
  return runners;
}

io::Task<bool> MemoryPressure::let_one_go() {
  const Runners runners = present();
  appraise(runners);
  for (std::size_t asked = 0; asked < runners.size(); ++asked) {
    const auto key = worth_.victim();
    if (!key) co_return false;
    worth_.erase(*key);
    const auto victim = std::find_if(runners.begin(), runners.end(),
                                     [&](const auto& runner) { return keys_.at(runner.get()) == *key; });
    const std::shared_ptr<VersionRunner> chosen = *victim;
    const bool gave_way = co_await chosen->yield(VersionRunner::Because::kPressure);
    if (gave_way) co_return true;
  }
  co_return false;
}

void MemoryPressure::appraise(const Runners& runners) {
  std::set<const VersionRunner*> here;
  for (const auto& runner : runners) {
    here.insert(runner.get());
    const auto [at, added] = keys_.try_emplace(runner.get(), next_key_);
    if (added) ++next_key_;
    const Holding holding = runner->holding();
    worth_.used(at->second, holding.calls);
    if (holding.bytes.count > 0) {
      worth_.insert(at->second, holding.bytes, holding.start_time);
    } else {
      worth_.erase(at->second);
    }
  }
  std::erase_if(keys_, [&](const auto& entry) {
    if (here.contains(entry.first)) return false;
    worth_.erase(entry.second);
    return true;
  });
}

}  // namespace ebb::node
