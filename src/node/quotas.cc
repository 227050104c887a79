#include "node/quotas.h"

#include <algorithm>
#include <chrono>

#include "meter/price_list.h"

namespace ebb::node {
namespace {

using namespace std::chrono_literals;

base::Error refusal(std::string message, base::Duration wait) {
  return base::Error{.code = base::Code::kResourceExhausted,
                     .message = std::move(message),
                     .retry_after = std::max<std::chrono::seconds>(1s, std::chrono::ceil<std::chrono::seconds>(wait))};
}

}  // namespace

// The place first: a call that is too many must not use up the rate of those that come in.
base::Result<Gate::Place> Gate::enter(const std::shared_ptr<Gate>& gate, base::SteadyTime now) {
  const std::uint64_t before = gate->inside_.fetch_add(1);
  Place place(gate);
  const std::uint64_t most = gate->inside_most_.load(std::memory_order_relaxed);
  if (most != 0 && before >= most) {
    return refusal("app " + gate->app_ + " has " + std::to_string(most) +
                       " calls at once, which is its quota: try later, or have an administrator raise it with ebb "
                       "quota set " +
                       gate->app_,
                   1s);
  }
  const base::Duration wait = gate->rate_.take(now);
  if (wait > base::Duration::zero()) {
    return refusal("app " + gate->app_ + " has had more calls than its quota of " +
                       meter::decimal_text(gate->milli_calls_per_second_, 3) +
                       " a second: try later, or have an administrator raise it with ebb quota set " + gate->app_,
                   wait);
  }
  return place;
}

std::shared_ptr<Gate> Quotas::gate(const std::string& app) {
  base::MutexLock lock(mutex_);
  std::shared_ptr<Gate>& gate = gates_[app];
  if (!gate) gate = std::make_shared<Gate>(app);
  return gate;
}

void Quotas::set(const model::Quota& quota) {
  const std::shared_ptr<Gate> gate = this->gate(quota.app);
  gate->milli_calls_per_second_ = quota.milli_calls_per_second;
  gate->rate_.set(quota.milli_calls_per_second);
  gate->inside_most_ = quota.calls_at_once;
}

std::vector<Quotas::View> Quotas::views() {
  base::MutexLock lock(mutex_);
  std::vector<View> views;
  for (const auto& [app, gate] : gates_) {
    const model::Quota quota{
        .app = app, .milli_calls_per_second = gate->milli_calls_per_second_, .calls_at_once = gate->inside_most_};
    if (quota.milli_calls_per_second != 0 || quota.calls_at_once != 0) views.push_back({quota, gate->inside_});
  }
  return views;
}

}  // namespace ebb::node
