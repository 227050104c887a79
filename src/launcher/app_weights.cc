#include "launcher/app_weights.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "base/log.h"

namespace ebb::launcher {
namespace {

constexpr std::chrono::milliseconds kRound(20);
constexpr std::chrono::milliseconds kQuietRound(100);
constexpr std::chrono::milliseconds kTurn(20);  // between two turns of one round, at least
constexpr std::size_t kAtOnce = 32;
constexpr double kLittleCores = 0.05;
constexpr std::uint32_t kHeavyWeight = 6;  // where the kernel has no cpu.idle (before 5.15)

}  // namespace

AppWeights::AppWeights(Poller& poller, const os::CgroupTree& cgroups)
    : poller_(poller), cgroups_(cgroups), heavy_use_(std::max(1u, std::thread::hardware_concurrency())) {}

void AppWeights::add(const std::string& group) {
  if (find(group) != nullptr) return;
  base::Result<os::UsageFiles> usage = cgroups_.open_usage(group);
  if (!usage) {
    base::log(base::LogLevel::kWarning, "app has no weight", {{"error", usage.error().message}});
    return;
  }
  usage->memory_peak = os::Fd();
  weigh(group, false);  // it may be an old group, left light
  apps_.push_front({.group = group, .usage = std::move(*usage), .use = {}});
  ++left_;
  schedule();
}

void AppWeights::remove(const std::string& group) {
  for (auto app = apps_.begin(); app != apps_.end(); ++app) {
    if (app->group != group) continue;
    heavy_use_.forget(app->use);
    apps_.erase(app);
    left_ = std::min(left_, apps_.size());
    return;
  }
}

void AppWeights::excuse(const std::string& group) {
  App* app = find(group);
  if (app != nullptr && app->excuses++ == 0 && app->use.heavy) weigh(*app);
}

void AppWeights::excuse_no_more(const std::string& group) {
  App* app = find(group);
  if (app != nullptr && app->excuses > 0 && --app->excuses == 0 && app->use.heavy) weigh(*app);
}

AppWeights::App* AppWeights::find(const std::string& group) {
  const auto found = std::find_if(apps_.begin(), apps_.end(), [&](const App& app) { return app.group == group; });
  return found == apps_.end() ? nullptr : &*found;
}

void AppWeights::schedule() {
  if (timer_ != Poller::Timer::kNone || apps_.empty()) return;
  const std::size_t turns = (apps_.size() + kAtOnce - 1) / kAtOnce;
  const auto delay = std::max(kTurn, (little_used_ ? kQuietRound : kRound) / static_cast<int>(turns));
  timer_ = poller_.after(delay, [this] { look_at_some(); });
}

void AppWeights::look_at_some() {
  timer_ = Poller::Timer::kNone;
  const auto now = base::steady_now();
  for (std::size_t some = std::min(kAtOnce, apps_.size()); some > 0; --some) {
    look(apps_.front(), now);
    apps_.splice(apps_.end(), apps_, apps_.begin());
    if (left_ > 0) --left_;
  }
  if (left_ == 0) {
    little_used_ = heavy_use_.used() < kLittleCores;
    left_ = apps_.size();
  }
  schedule();
}

void AppWeights::look(App& app, base::SteadyTime now) {
  const base::Result<std::uint64_t> cpu_ns = os::read_cpu_ns(app.usage.cpu);
  if (!cpu_ns || !heavy_use_.look(app.use, *cpu_ns, now)) return;
  if (app.excuses == 0) weigh(app);
}

void AppWeights::weigh(const App& app) { weigh(app.group, app.use.heavy && app.excuses == 0); }

void AppWeights::weigh(const std::string& group, bool heavy) {
  const bool stands_back = cgroups_.stand_back(group, heavy).has_value();
  if (stands_back && heavy) return;
  const base::Result<> weighed = cgroups_.weigh(group, heavy ? kHeavyWeight : os::CgroupTree::kUsualWeight);
  if (!weighed) base::log(base::LogLevel::kWarning, "app not weighed", {{"error", weighed.error().message}});
}

}  // namespace ebb::launcher
