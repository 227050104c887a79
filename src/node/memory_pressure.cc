#include "node/memory_pressure.h"

#include <algorithm>

#include "io/deadline.h"
#include "node/sandbox_pool.h"
#include "node/spare_room.h"
#include "node/version_runner.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kPatience = 1s;  // with functions that are all at work or loading; a start is tried three times
constexpr auto kLookAgain = 20ms;
constexpr auto kLookForIdleAgain = 100ms;  // all versions are looked at, for nobody who waits
constexpr auto kSparePatience = 5s;        // with spares that are starting
constexpr auto kReliefLimit = 30s;         // several may have to be asked: what was idle may be at work by then

}  // namespace

io::Task<bool> MemoryPressure::relieve() {
  const auto waiter = std::make_shared<io::OneShot<bool>>();
  bool first = false;
  {
    base::MutexLock lock(mutex_);
    first = !std::exchange(relieving_, true);
    waiters_.push_back(waiter);
  }
  if (first) io::spawn(services_.here(), "relieve memory", run(*this));
  const auto relieved = co_await waiter->wait(base::steady_now() + kReliefLimit);
  co_return relieved.value_or(false);
}

void MemoryPressure::memory_short() {
  {
    base::MutexLock lock(mutex_);
    if (relieving_ || base::steady_now() < nobody_idle_until_) return;
    relieving_ = true;
  }
  io::spawn(services_.here(), "relieve memory", run(*this));
}

// Who is at work at this moment is often idle in the next, so a caller is not turned away at the first look.
io::Task<> MemoryPressure::run(MemoryPressure& self) {
  const base::SteadyTime give_up = base::steady_now() + kPatience;
  bool relieved = co_await self.let_one_go();
  while (!relieved && self.somebody_waits() && base::steady_now() < give_up) {
    co_await io::sleep_for(kLookAgain);
    relieved = co_await self.let_one_go();
    if (!relieved) relieved = co_await self.let_one_give_way();
  }
  std::vector<std::shared_ptr<io::OneShot<bool>>> waiters;
  {
    base::MutexLock lock(self.mutex_);
    waiters = std::exchange(self.waiters_, {});
    self.relieving_ = false;
    if (!relieved) self.nobody_idle_until_ = base::steady_now() + kLookForIdleAgain;
  }
  for (const auto& waiter : waiters) waiter->set(relieved);
}

bool MemoryPressure::somebody_waits() {
  base::MutexLock lock(mutex_);
  return !waiters_.empty();
}

void MemoryPressure::join(const std::shared_ptr<VersionRunner>& runner) {
  base::MutexLock lock(mutex_);
  if (joined_.try_emplace(runner, next_key_).second) ++next_key_;
}

MemoryPressure::Runners MemoryPressure::present() {
  base::MutexLock lock(mutex_);
  Runners runners;
  std::erase_if(joined_, [&](const auto& entry) {
    if (auto runner = entry.first.lock()) {
      runners.emplace(entry.second, std::move(runner));
      return false;
    }
    worth_.erase(entry.second);
    return true;
  });
  return runners;
}

io::Task<bool> MemoryPressure::give_up_spare() {
  const base::SteadyTime give_up = base::steady_now() + kSparePatience;
  while (services_.spare_room->taken() > 0 && base::steady_now() < give_up) {
    const bool gone = co_await let_a_spare_go();
    if (gone) co_return true;
    co_await io::sleep_for(kLookAgain);
  }
  co_return false;
}

io::Task<bool> MemoryPressure::let_a_spare_go() {
  if (services_.spare_room->taken() == 0) co_return false;
  const std::vector<Since> holders = oldest_first(&VersionRunner::spare_unused_since);
  for (const auto& [since, runner] : holders) {
    const bool gone = co_await runner->give_up_spare();
    if (gone) co_return true;
  }
  co_return false;
}

bool MemoryPressure::retire_idle_of(const std::string& app) {
  for (const auto& [since, runner] : oldest_first(&VersionRunner::idle_since, app)) {
    if (runner->retire_idle()) return true;  // else a call came first
  }
  return false;
}

std::vector<MemoryPressure::Since> MemoryPressure::oldest_first(
    std::optional<base::SteadyTime> (VersionRunner::*since)(), std::string_view app) {
  std::vector<Since> runners;
  {
    base::MutexLock lock(mutex_);
    for (const auto& [weak, key] : joined_) {
      auto runner = weak.lock();
      if (runner && (app.empty() || runner->version().app == app)) runners.emplace_back(base::SteadyTime{}, runner);
    }
  }
  std::erase_if(runners, [since](Since& one) {
    const std::optional<base::SteadyTime> time = (one.second.get()->*since)();
    if (time) one.first = *time;
    return !time;
  });
  std::sort(runners.begin(), runners.end(), [](const Since& a, const Since& b) { return a.first < b.first; });
  return runners;
}

io::Task<bool> MemoryPressure::let_one_go() {
  const bool spared = co_await let_a_spare_go();
  if (spared) co_return true;
  const Runners runners = present();
  appraise(runners);
  const std::map<sched::ZygoteCache::Key, std::uint64_t> runtimes = idle_runtimes();
  for (std::size_t asked = 0; asked < runners.size() + runtimes.size(); ++asked) {
    const auto key = worth_.victim();
    if (!key) co_return false;
    worth_.erase(*key);
    bool gave_way = false;
    if (const auto runtime = runtimes.find(*key); runtime != runtimes.end()) {
      gave_way = co_await services_.sandboxes->let_go(runtime->second);
    } else {
      const std::shared_ptr<VersionRunner> chosen = runners.at(*key);
      gave_way = co_await chosen->yield(VersionRunner::Because::kPressure);
    }
    if (gave_way) co_return true;
  }
  co_return false;
}

std::map<sched::ZygoteCache::Key, std::uint64_t> MemoryPressure::idle_runtimes() {
  std::map<sched::ZygoteCache::Key, std::uint64_t> found;
  std::map<std::uint64_t, sched::ZygoteCache::Key> keys;
  base::MutexLock lock(mutex_);
  for (const SandboxPool::Idle& one : services_.sandboxes->idle()) {
    const auto known = runtime_keys_.extract(one.id);
    const sched::ZygoteCache::Key key = known ? known.mapped() : next_key_++;
    keys.emplace(one.id, key);
    found.emplace(key, one.id);
    worth_.used(key, one.needs);
    worth_.insert(key, one.bytes, one.boot_time);
  }
  for (const auto& [id, key] : runtime_keys_) worth_.erase(key);  // gone, or in use again
  runtime_keys_ = std::move(keys);
  return found;
}

io::Task<bool> MemoryPressure::let_one_give_way() {
  std::shared_ptr<VersionRunner> last;
  base::SteadyTime since_last{};
  std::size_t stuck = 0;
  const Runners runners = present();
  for (const auto& [key, runner] : runners) {
    const auto since = runner->stuck_since();
    if (!since) continue;
    if (stuck++ == 0 || *since > since_last) {
      last = runner;
      since_last = *since;
    }
  }
  if (stuck < 2) co_return false;
  const bool gave_way = co_await last->give_way();
  co_return gave_way;
}

void MemoryPressure::appraise(const Runners& runners) {
  for (const auto& [key, runner] : runners) {
    const Holding holding = runner->holding();
    worth_.used(key, holding.calls);
    if (holding.bytes.count > 0) {
      worth_.insert(key, holding.bytes, holding.start_time);
    } else {
      worth_.erase(key);
    }
  }
}

}  // namespace ebb::node
