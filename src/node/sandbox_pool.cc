#include "node/sandbox_pool.h"

#include <algorithm>

#include "base/limits.h"
#include "base/log.h"
#include "sandbox/output_pipe.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kCountsMost = 1min;

}  // namespace

io::Task<base::Result<ReadySandbox>> SandboxPool::get(std::string app, std::uint32_t uid_index, std::string layer_key,
                                                      std::vector<std::string> image_layers) {
  const auto waiter = std::make_shared<io::OneShot<base::Result<ReadySandbox>>>();
  {
    base::MutexLock lock(mutex_);
    const Key key{app, layer_key, std::move(image_layers)};
    Entry& entry = entries_[key];
    if (entry.ready) {
      co_return ReadySandbox{.id = entry.id, .booted_at = entry.booted_at, .no_forks_because = entry.no_forks_because};
    }
    if (entry.waiters.empty()) {
      entry.id = services_.next_sandbox++;
      io::spawn(services_.here(), "boot sandbox", boot(*this, key, uid_index, entry.id));
    }
    entry.waiters.push_back(waiter);
  }
  auto result = co_await waiter->wait(base::steady_now() + limits::kSandboxBootTimeout + 5s);
  if (!result)
    co_return base::Error{.code = base::Code::kDeadlineExceeded,
                          .message = "the runtime of " + app + " did not come up"};
  co_return std::move(*result);
}

io::Task<> SandboxPool::boot(SandboxPool& pool, Key key, std::uint32_t uid_index, std::uint64_t id) {
  const base::Result<Booted> booted = co_await pool.try_boot(key, uid_index, id);
  base::Result<ReadySandbox> result = ReadySandbox{.id = id, .booted_at = base::steady_now(), .no_forks_because = {}};
  if (booted) result->no_forks_because = booted->no_forks_because;
  if (!booted) {
    base::log(base::LogLevel::kWarning, "sandbox_failed", {{"app", key.app}, {"error", booted.error().message}});
    result = booted.error();
    pool.services_.launcher->kill(wire::Subject::kSandbox, id);
  }
  std::vector<std::shared_ptr<io::OneShot<base::Result<ReadySandbox>>>> waiters;
  {
    base::MutexLock lock(pool.mutex_);
    const auto at = pool.entries_.find(key);
    if (at == pool.entries_.end() || at->second.id != id) co_return;
    waiters = std::move(at->second.waiters);
    if (booted) {
      pool.count(result->booted_at);
      pool.held_.try_emplace(key.app, result->booted_at, base::wall_now());
      at->second.ready = true;
      at->second.booted_at = result->booted_at;
      at->second.no_forks_because = result->no_forks_because;
      at->second.bytes = booted->bytes;
      at->second.waiters.clear();
    } else {
      pool.entries_.erase(at);
    }
  }
  for (const auto& waiter : waiters) waiter->set(result);
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
  base::MutexLock lock(mutex_);
  count(base::steady_now());
  std::erase_if(entries_, [&](const auto& entry) { return entry.second.id == id && entry.second.ready; });
}

void SandboxPool::count_held(base::SteadyTime now) {
  std::map<std::string, base::Bytes> held;
  base::Duration since{};
  {
    base::MutexLock lock(mutex_);
    since = now - std::exchange(counted_at_, now);
    for (const auto& [key, entry] : entries_) held[key.app].count += entry.ready ? entry.bytes.count : 0;
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
    const auto holds = [&app = app](const auto& entry) { return entry.first.app == app && entry.second.holds(); };
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
    std::erase_if(entries_, [&](const auto& entry) {
      if (!entry.second.ready || !gone(entry.first)) return false;
      ids.push_back(entry.second.id);
      return true;
    });
  }
  for (const std::uint64_t id : ids) {
    services_.launcher->kill(wire::Subject::kSandbox, id);
  }
}

}  // namespace ebb::node
