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

bool Gate::step_in(Taker taker) {
  const std::uint64_t before = inside_.fetch_add(1);
  const std::uint64_t most = inside_most_.load(std::memory_order_relaxed);
  return most == 0 || before < (taker == Taker::kYielding ? (most + 1) / 2 : most);
}

base::Error Gate::too_many(Taker taker) const {
  const std::string most = std::to_string(inside_most_);
  const std::string remedy = ", or have an administrator raise it with ebb quota set " + holder_.argument();
  if (taker == Taker::kYielding) {
    return refusal("half of the " + most + " calls at once of " + holder_.text() +
                       "'s quota are at work, and the rest is for callers who wait: it goes on when one ends" + remedy,
                   1s);
  }
  return refusal(holder_.text() + " has " + most + " calls at once, which is its quota: try later" + remedy, 1s);
}

base::Error Gate::too_fast(base::Duration wait) const {
  return refusal(holder_.text() + " has had more calls than its quota of " +
                     meter::decimal_text(milli_calls_per_second_, 3) +
                     " a second: try later, or have an administrator raise it with ebb quota set " + holder_.argument(),
                 wait);
}

// Never for a moment more than there is room for: who is refused must not keep others out.
bool Gate::take(std::atomic<std::uint64_t>& taken, std::uint64_t most, std::uint64_t amount) {
  std::uint64_t before = taken.load();
  do {
    if (most != 0 && before + amount > most) return false;
  } while (!taken.compare_exchange_weak(before, before + amount));
  return true;
}

void Gate::give_back(base::Bytes memory, bool leaving) {
  memory_.fetch_sub(memory.count);
  instances_.fetch_sub(1);
  if (leaving) departures_.gone();
}

void Gate::Room::leave() {
  leaving_ = true;
  gate_->departures_.leaving();
  if (organisation_) organisation_->departures_.leaving();
}

Departures& Gate::departures(Gate& gate) {
  Gate* const organisation = gate.organisation_.load();
  return organisation == nullptr ? gate.departures_ : organisation->departures_;
}

base::Error Gate::no_room(base::Bytes memory) const {
  return refusal("no room for an instance of " + base::to_string(memory) + ": the instances of " + holder_.text() +
                     " may take " + base::to_string(base::Bytes{memory_most_}) +
                     " together, idle ones too, which is its quota; try later, shorten idle_timeout, or have an "
                     "administrator raise it with ebb quota set " +
                     holder_.argument(),
                 1s);
}

base::Error Gate::no_place() const {
  return refusal(
      holder_.text() + " has " + std::to_string(instances_most_) +
          " instances, at work or kept ready, which is its max_instances: try later, or raise it in ebb.yaml",
      1s);
}

base::Result<Gate::Room> Gate::make_room(const std::shared_ptr<Gate>& gate, base::Bytes memory) {
  if (!take(gate->memory_, gate->memory_most_, memory.count)) return gate->no_room(memory);
  if (!take(gate->instances_, gate->instances_most_, 1)) {
    gate->memory_.fetch_sub(memory.count);
    return gate->no_place();
  }
  Room room(gate, memory);
  if (Gate* const organisation = gate->organisation_.load(); organisation != nullptr) {
    if (!take(organisation->memory_, organisation->memory_most_, memory.count)) return organisation->no_room(memory);
    ++organisation->instances_;
    room.organisation_ = organisation->shared_from_this();
  }
  return room;
}

bool Gate::bounds_room() const {
  const Gate* const organisation = organisation_.load();
  return memory_most_.load() > 0 || instances_most_.load() > 0 ||
         (organisation != nullptr && organisation->memory_most_.load() > 0);
}

Gate::Instances Gate::instances() const {
  return {.now = static_cast<std::uint32_t>(instances_.load()),
          .most = static_cast<std::uint32_t>(instances_most_.load())};
}

bool Gate::may_ever_hold(base::Bytes memory) const {
  const auto holds = [memory](const Gate& gate) {
    const std::uint64_t most = gate.memory_most_.load();
    return most == 0 || memory.count <= most;
  };
  const Gate* const organisation = organisation_.load();
  return holds(*this) && (organisation == nullptr || holds(*organisation));
}

// The places first: a call that is too many must not use up the rate of those that come in; nor one that the
// organisation's rate refuses the app's own.
base::Result<Gate::Place> Gate::enter(const std::shared_ptr<Gate>& gate, base::SteadyTime now, Taker taker) {
  const bool has_place = gate->step_in(taker);
  Place place(gate);
  if (!has_place) return gate->too_many(taker);
  Gate* const organisation = gate->organisation_.load();
  if (organisation != nullptr) {
    const bool has_place_there = organisation->step_in(taker);
    place.organisation_ = organisation->shared_from_this();
    if (!has_place_there) return organisation->too_many(taker);
  }
  if (const base::Duration wait = gate->rate_.take(now, taker); wait > base::Duration::zero())
    return gate->too_fast(wait);
  if (organisation != nullptr) {
    const base::Duration wait = organisation->rate_.take(now, taker);
    if (wait > base::Duration::zero()) {
      gate->rate_.put_back();
      return organisation->too_fast(wait);
    }
  }
  return place;
}

std::shared_ptr<Gate> Quotas::gate_of(const model::Holder& holder) {
  std::shared_ptr<Gate>& gate = holder.app.empty() ? organisations_[holder.organisation] : apps_[holder.app];
  if (!gate) gate = std::make_shared<Gate>(holder);
  return gate;
}

std::shared_ptr<Gate> Quotas::gate(const std::string& app) {
  base::MutexLock lock(mutex_);
  return gate_of({.app = app});
}

void Quotas::set(const model::Quota& quota) {
  base::MutexLock lock(mutex_);
  const std::shared_ptr<Gate> gate = gate_of(quota.holder());
  gate->milli_calls_per_second_ = quota.milli_calls_per_second;
  gate->rate_.set(quota.milli_calls_per_second);
  gate->inside_most_ = quota.calls_at_once;
  gate->memory_most_ = quota.memory.count;
  gate->storage_most_ = quota.storage.count;
}

std::optional<base::Bytes> Quotas::storage_of(const model::Holder& holder) {
  base::MutexLock lock(mutex_);
  const std::uint64_t most = gate_of(holder)->storage_most_;
  return most == 0 ? std::nullopt : std::optional(base::Bytes{most});
}

void Quotas::limit_instances(const std::string& app, std::uint32_t most) {
  base::MutexLock lock(mutex_);
  gate_of({.app = app})->instances_most_ = most;
}

void Quotas::belong(const std::string& app, const std::string& organisation) {
  base::MutexLock lock(mutex_);
  gate_of({.app = app})->organisation_ = gate_of({.organisation = organisation}).get();
}

std::vector<Quotas::View> Quotas::views() {
  base::MutexLock lock(mutex_);
  std::vector<View> views;
  for (const Gates* gates : {&apps_, &organisations_}) {
    for (const auto& [name, gate] : *gates) {
      const model::Quota quota{.app = gate->holder_.app,
                               .milli_calls_per_second = gate->milli_calls_per_second_,
                               .calls_at_once = gate->inside_most_,
                               .organisation = gate->holder_.organisation,
                               .memory = {gate->memory_most_},
                               .storage = {gate->storage_most_}};
      if (!quota.empty()) views.push_back({quota, gate->inside_, {gate->memory_}});
    }
  }
  return views;
}

}  // namespace ebb::node
