#include "node/sandbox_pool.h"

#include <algorithm>

#include "base/limits.h"
#include "base/log.h"
#include "sandbox/output_pipe.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kCountsMost = 1min;
constexpr auto kLetGoLimit = 10s;  // from the order to the end

}  // namespace

SandboxPool::Entry& SandboxPool::entry(const Key& key) {
  const auto [at, fresh] = entries_.try_emplace(key);
  const std::uint32_t price = services_.config.keep_alive_price;
  if (fresh && price > 0) at->second.plan = std::make_shared<RuntimePlan>(price, base::steady_now());
  return at->second;
}

std::shared_ptr<RuntimePlan> SandboxPool::plan_of(const std::string& app, const std::string& layer_key,
                                                  const std::vector<std::string>& image_layers) {
  if (services_.config.keep_alive_price == 0) return nullptr;
  base::MutexLock lock(mutex_);
  return entry({app, layer_key, image_layers}).plan;
}

io::Task<base::Result<ReadySandbox>> SandboxPool::get(std::string app, std::uint32_t uid_index, std::string layer_key,
                                                      std::vector<std::string> image_layers) {
  const auto waiter = std::make_shared<io::OneShot<base::Result<ReadySandbox>>>();
  {
    base::MutexLock lock(mutex_);
    const Key key{app, std::move(layer_key), std::move(image_layers)};
    Entry& wanted = entry(key);
    wanted.uid_index = uid_index;
    wanted.needed = true;
    wanted.unwanted = false;
    ++wanted.needs;
    if (wanted.state == State::kReady) {
      co_return ReadySandbox{.id = wanted.id,
                             .booted_at = wanted.booted_at,
                             .no_forks_because = wanted.no_forks_because,
                             .use = wanted.use};
    }
    if (wanted.state == State::kAbsent) begin_boot(key, wanted);
    wanted.waiters.push_back(waiter);
  }
  auto result = co_await waiter->wait(base::steady_now() + limits::kSandboxBootTimeout + 5s);
  if (!result)
    co_return base::Error{.code = base::Code::kDeadlineExceeded,
                          .message = "the runtime of " + app + " did not come up"};
  co_return std::move(*result);
}

void SandboxPool::begin_boot(const Key& key, Entry& entry) {
  entry.state = State::kBooting;
  entry.id = services_.next_sandbox++;
  io::spawn(services_.here(), "boot sandbox", boot(*this, key, entry.uid_index, entry.id));
}

io::Task<> SandboxPool::boot(SandboxPool& pool, Key key, std::uint32_t uid_index, std::uint64_t id) {
  const base::SteadyTime since = base::steady_now();
  const base::Result<Booted> outcome = co_await pool.try_boot(key, uid_index, id);
  if (!outcome) {
    base::log(base::LogLevel::kWarning, "sandbox_failed", {{"app", key.app}, {"error", outcome.error().message}});
    pool.services_.launcher->kill(wire::Subject::kSandbox, id);
  }
  pool.booted(key, id, since, outcome);
}

void SandboxPool::booted(const Key& key, std::uint64_t id, base::SteadyTime since,
                         const base::Result<Booted>& outcome) {
  std::vector<std::shared_ptr<io::OneShot<base::Result<ReadySandbox>>>> waiters;
  base::Result<ReadySandbox> result = ReadySandbox{};
  bool unwanted = false;
  {
    base::MutexLock lock(mutex_);
    const auto at = entries_.find(key);
    if (at == entries_.end() || at->second.id != id || at->second.state != State::kBooting) return;
    Entry& entry = at->second;
    waiters = std::exchange(entry.waiters, {});
    if (outcome) {
      const base::SteadyTime now = base::steady_now();
      count(now);
      held_.try_emplace(key.app, now, base::wall_now());
      entry.state = State::kReady;
      entry.booted_at = now;
      entry.boot_time = now - since;
      entry.no_forks_because = outcome->no_forks_because;
      entry.bytes = outcome->bytes;
      entry.use = std::make_shared<RuntimeUse>();
      if (entry.plan) entry.plan->set_costs(entry.bytes, entry.boot_time);
      result = ReadySandbox{.id = id, .booted_at = now, .no_forks_because = entry.no_forks_because, .use = entry.use};
    } else {
      result = outcome.error();
      forget(entry);
      entry.needed = false;
    }
    unwanted = entry.unwanted;
    if (unwanted) entries_.erase(at);
  }
  if (unwanted) services_.launcher->kill(wire::Subject::kSandbox, id);
  for (const auto& waiter : waiters) waiter->set(result);
}

// Its plan knows its calls still.
void SandboxPool::forget(Entry& entry) {
  entry.state = State::kAbsent;
  entry.id = 0;
  entry.bytes = {};
  if (entry.use) entry.use->gone = true;
  entry.use.reset();
}

io::Task<base::Result<SandboxPool::Booted>> SandboxPool::try_boot(Key key, std::uint32_t uid_index, std::uint64_t id) {
  // What a runtime zygote prints before user code runs in it is the platform's business.
  const std::string app = key.app;
  const auto sink = [app](const base::InvocationId&, const std::vector<std::string>& lines) {
    for (const std::string& line : lines)
      base::log(base::LogLevel::kWarning, "runtime_output", {{"app", app}, {"text", line}});
  };
  std::vector<os::Fd> ends(2);
  auto out = sandbox::OutputPipe::open(services_.here(), sink, &ends[0]);
  auto err = sandbox::OutputPipe::open(services_.here(), sink, &ends[1]);
  if (!out || !err) co_return (out ? err : out).error();
  std::string order = encode(wire::MakeSandbox{.sandbox = base::SandboxId{id},
                                               .app = key.app,
                                               .uid_index = uid_index,
                                               .runtime = "python3",
                                               .layer_key = key.layer_key,
                                               .memory_bytes = limits::kRuntimeZygoteMemoryBytes,
                                               .pids = limits::kSandboxPids,
                                               .image_layers = key.image_layers});
  auto answer = co_await services_.launcher->ask(wire::LauncherType::kMakeSandbox, std::move(order), std::move(ends),
                                                 limits::kSandboxBootTimeout, nullptr);
  (*out)->finish();
  (*err)->finish();
  if (!answer) co_return answer.error();
  const auto ready = wire::decode<wire::ZygoteMade>(answer->payload);
  if (!ready) co_return ready.error();
  co_return Booted{.no_forks_because = ready->zygote.forkable ? std::string() : ready->zygote.unfit_reason,
                   .bytes = base::Bytes{ready->memory_bytes}};
}

void SandboxPool::exited(std::uint64_t id) {
  std::shared_ptr<io::OneShot<bool>> left;
  {
    base::MutexLock lock(mutex_);
    if (const auto at = leaving_.find(id); at != leaving_.end()) {
      left = std::move(at->second);
      leaving_.erase(at);
    }
    count(base::steady_now());
    for (auto& [key, entry] : entries_) {
      if (entry.id == id && entry.state == State::kReady) forget(entry);
    }
  }
  if (left) left->set(true);
}

void SandboxPool::tick(base::SteadyTime now) {
  if (services_.config.keep_alive_price > 0) follow_plans(now);
  count_held(now);
}

void SandboxPool::follow_plans(base::SteadyTime now) {
  std::vector<std::uint64_t> going;
  {
    base::MutexLock lock(mutex_);
    count(now);
    for (auto& [key, entry] : entries_) {
      const bool wanted = entry.plan->wanted(now);
      if (!wanted && entry.may_go()) {
        going.push_back(entry.id);
        forget(entry);
      } else if (wanted && entry.state == State::kAbsent && entry.needed) {
        begin_boot(key, entry);
      }
    }
  }
  for (const std::uint64_t id : going) services_.launcher->kill(wire::Subject::kSandbox, id);
}

std::vector<SandboxPool::Idle> SandboxPool::idle() {
  std::vector<Idle> found;
  base::MutexLock lock(mutex_);
  for (auto& [key, entry] : entries_) {
    if (!entry.may_go()) continue;
    found.push_back(
        {.id = entry.id, .bytes = entry.bytes, .boot_time = entry.boot_time, .needs = std::exchange(entry.needs, 0)});
  }
  return found;
}

io::Task<bool> SandboxPool::let_go(std::uint64_t id) {
  const auto left = std::make_shared<io::OneShot<bool>>();
  std::string app;
  {
    base::MutexLock lock(mutex_);
    const auto at = std::find_if(entries_.begin(), entries_.end(),
                                 [&](const auto& one) { return one.second.id == id && one.second.may_go(); });
    if (at == entries_.end()) co_return false;
    app = at->first.app;
    count(base::steady_now());
    forget(at->second);
    at->second.needed = false;
    leaving_[id] = left;
  }
  services_.launcher->kill(wire::Subject::kSandbox, id);
  co_await left->wait(base::steady_now() + kLetGoLimit);
  base::log(base::LogLevel::kInfo, "runtime_let_go", {{"app", app}});
  co_return true;
}

void SandboxPool::count_held(base::SteadyTime now) {
  std::map<std::string, base::Bytes> held;
  base::Duration since{};
  {
    base::MutexLock lock(mutex_);
    since = now - std::exchange(counted_at_, now);
    for (const auto& [key, entry] : entries_) held[key.app].count += entry.bytes.count;
  }
  if (since > kCountsMost) return;  // the first time
  {
    base::MutexLock lock(mutex_);
    for (auto& [app, count] : held_) count.add_memory(model::HeldTier::kZygote, held[app], since);
  }
  for (const auto& [app, bytes] : held) {
    const auto metrics = services_.metrics.app(app);
    metrics->runtime_bytes.set(static_cast<std::int64_t>(bytes.count));
    metrics->held_by_runtimes.add(bytes, since);
  }
}

void SandboxPool::count(base::SteadyTime now) {
  for (auto& [app, count] : held_) {
    const auto holds = [&of = app](const auto& entry) { return entry.first.app == of && entry.second.holds(); };
    count.advance(now, {static_cast<std::uint32_t>(std::count_if(entries_.begin(), entries_.end(), holds))});
  }
}

base::Result<> SandboxPool::note_held(base::SteadyTime now, base::Duration interval) {
  std::vector<std::pair<std::string, meter::HeldCount::Stretch>> stretches;
  {
    base::MutexLock lock(mutex_);
    count(now);
    for (auto at = held_.begin(); at != held_.end();) {
      if (now - at->second.begun_at() < interval) {
        ++at;
        continue;
      }
      auto stretch = at->second.take(now, base::wall_now());
      const bool over = !stretch;  // nothing for a whole interval
      if (stretch) stretches.emplace_back(at->first, std::move(*stretch));
      at = over ? held_.erase(at) : std::next(at);
    }
  }
  base::Result<> result;
  for (const auto& [app, stretch] : stretches) {
    auto added = services_.usage.add_held(
        {.begun = stretch.begun, .app = app, .function = model::kRuntimesName, .memory_limit = {}}, stretch.use);
    if (added) continue;
    base::MutexLock lock(mutex_);
    if (const auto at = held_.find(app); at != held_.end()) at->second.give_back(stretch);
    if (result) result = std::move(added);
  }
  return result;
}

void SandboxPool::remove_app(const std::string& app) {
  remove_where([&](const Key& key) { return key.app == app; });
}

void SandboxPool::remove_layer(const std::string& layer_key) {
  remove_where([&](const Key& key) {
    return key.layer_key == layer_key ||
           std::find(key.image_layers.begin(), key.image_layers.end(), layer_key) != key.image_layers.end();
  });
}

void SandboxPool::remove_where(const std::function<bool(const Key&)>& gone) {
  std::vector<std::uint64_t> ids;
  {
    base::MutexLock lock(mutex_);
    count(base::steady_now());
    for (auto at = entries_.begin(); at != entries_.end();) {
      Entry& entry = at->second;
      if (!gone(at->first)) {
        ++at;
      } else if (entry.state == State::kBooting) {
        entry.unwanted = true;  // it is ended when it is there
        ++at;
      } else {
        if (entry.state == State::kReady) ids.push_back(entry.id);
        forget(entry);
        at = entries_.erase(at);
      }
    }
  }
  for (const std::uint64_t id : ids) services_.launcher->kill(wire::Subject::kSandbox, id);
}

}  // namespace ebb::node
