// What a version holds in memory between calls, and when it lets go: by its plan, or because others need the room.
#include <algorithm>
#include <array>

#include "base/log.h"
#include "node/version_runner.h"
#include "sched/keep_alive_worth.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kLookAtMemory = 1s;  // how old an instance's counted memory may be
constexpr auto kCountsMost = 1min;
constexpr auto kRestingLook = 1s;
constexpr auto kYieldLimit = 10s;  // from the order to the end: a gigabyte takes about 0.1 s

}  // namespace

// Nobody waits, nothing runs or starts, and no minimum is to be kept.
bool VersionRunner::may_yield() const {
  const bool at_rest = dispatcher_.queued() == 0 &&
                       dispatcher_.idle() + dispatcher_.spares() == dispatcher_.instances() &&
                       dispatcher_.zygote() != sched::ZygoteState::kStarting;
  return at_rest && !dispatcher_.closed() && dispatcher_.minimum() == 0 && zygote_waiters_.empty();
}

Holding VersionRunner::holding() {
  base::MutexLock lock(mutex_);
  Holding holding{.start_time = zygote_made_at_ - zygote_ordered_at_, .calls = std::exchange(calls_, 0)};
  if (!may_yield()) return holding;
  if (zygote_id_ != 0) holding.bytes.count += zygote_bytes_.count;
  holding.bytes.count += dispatcher_.instances() * instance_bytes_.value().count;
  if (holding.bytes.count == 0 && !instances_.empty()) holding.bytes.count = 1;  // it holds, and nobody knows how much
  return holding;
}

io::Task<bool> VersionRunner::yield(Because why) {
  std::vector<std::shared_ptr<sandbox::Instance>> going;
  std::uint64_t zygote = 0;
  const auto zygote_left = std::make_shared<io::OneShot<bool>>();
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    if (!may_yield()) return;
    for (const auto& [id, instance] : instances_) going.push_back(instance);
    dispatcher_.give_up_spare(actions);
    while (dispatcher_.retire_coldest(actions)) {
    }
    yielded_ = why == Because::kPressure;
    zygote = take_zygote(zygote_left, actions);
  });
  if (zygote != 0) services_.launcher->kill(wire::Subject::kZygote, zygote);
  if (zygote == 0 && going.empty()) co_return false;
  const base::SteadyTime deadline = base::steady_now() + kYieldLimit;
  for (const auto& instance : going) co_await instance->exited.wait(deadline);
  if (zygote != 0) co_await zygote_left->wait(deadline);
  base::log(base::LogLevel::kInfo, "memory_let_go",
            {{"function", version_.app + "/" + version_.function}, {"version", version_.number}});
  co_return true;
}

std::uint64_t VersionRunner::take_zygote(const std::shared_ptr<io::OneShot<bool>>& left, sched::Actions& actions) {
  if (dispatcher_.zygote() != sched::ZygoteState::kReady || zygote_id_ == 0) return 0;
  leaving_zygote_ = std::exchange(zygote_id_, 0);
  zygotes_runtime_.reset();
  zygote_left_ = left;
  dispatcher_.zygote_lost(base::steady_now(), actions);
  return leaving_zygote_;
}

// Every instance it has is one whose start waits for memory.
bool VersionRunner::is_stuck() const {
  return short_of_memory_ > 0 && short_of_memory_ == dispatcher_.instances() && dispatcher_.queued() > 0 &&
         zygote_id_ != 0 && dispatcher_.zygote() == sched::ZygoteState::kReady && !dispatcher_.closed();
}

std::optional<base::SteadyTime> VersionRunner::stuck_since() {
  base::MutexLock lock(mutex_);
  return is_stuck() ? std::optional(dispatcher_.waits_since()) : std::nullopt;
}

io::Task<bool> VersionRunner::give_way() {
  const auto zygote_left = std::make_shared<io::OneShot<bool>>();
  std::uint64_t zygote = 0;
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    if (is_stuck()) zygote = take_zygote(zygote_left, actions);
  });
  if (zygote == 0) co_return false;
  services_.launcher->kill(wire::Subject::kZygote, zygote);
  co_await zygote_left->wait(base::steady_now() + kYieldLimit);
  base::log(base::LogLevel::kInfo, "memory_given_way",
            {{"function", version_.app + "/" + version_.function}, {"version", version_.number}});
  co_return true;
}

std::optional<base::SteadyTime> VersionRunner::idle_since() {
  base::MutexLock lock(mutex_);
  return dispatcher_.idle() > dispatcher_.provisioned() ? std::optional(last_used_) : std::nullopt;
}

bool VersionRunner::retire_idle() {
  bool retired = false;
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    if (dispatcher_.idle() > dispatcher_.provisioned()) retired = dispatcher_.retire_coldest(actions);
  });
  return retired;
}

bool VersionRunner::at_rest() const {
  const std::uint32_t unused = dispatcher_.idle() + dispatcher_.spares() + dispatcher_.starting();
  return dispatcher_.queued() == 0 && unused == dispatcher_.instances();
}

void VersionRunner::note_rest(base::SteadyTime now) {
  if (!residency_ || !at_rest()) return;
  residency_->became_idle(now);
  spare_residency_->became_idle(now);
}

// Between calls the plan says when the zygote is worth its memory, and idle instances stay as long as they are worth
// theirs: never longer than idle_timeout, or than the zygote.
void VersionRunner::follow_plan(base::SteadyTime now) {
  bool let_go = false;
  bool load = false;
  {
    base::MutexLock lock(mutex_);
    const bool comes = comes_soon(now);
    if (residency_) dispatcher_.set_idle_timeout(idle_timeout());
    if ((!residency_ && !comes) || !may_yield()) return;
    const bool wanted = comes || residency_->wanted(now);
    let_go = !wanted && (zygote_id_ != 0 || dispatcher_.instances() > 0);
    load = wanted && (comes || !yielded_) && zygote_id_ == 0 && dispatcher_.zygote() == sched::ZygoteState::kAbsent;
  }
  if (load) prewarm();
  if (let_go) io::spawn(services_.here(), "let go", let_go_of(shared_from_this()));
}

void VersionRunner::expect_call(base::SteadyTime due, base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  if (standing_ != Standing::kCurrent) return;  // it has lost its place meanwhile
  expected_.expect(due, now);
  if (resting_) wake(base::steady_now());
}

bool VersionRunner::comes_soon(base::SteadyTime now) const {
  return !account_->spent() && expected_.wanted(now, zygote_load_ + dispatcher_.start_time());
}

base::Duration VersionRunner::idle_timeout() const {
  const base::Duration start = dispatcher_.start_time();
  const double gigabytes = static_cast<double>(instance_bytes_.value().count) / (1 << 30);
  if (start == base::Duration::zero() || gigabytes == 0) return version_.spec.idle_timeout;
  const auto price = static_cast<double>(services_.config.keep_alive_price);
  return std::min(version_.spec.idle_timeout, sched::worth_of_idling(price, gigabytes, start));
}

void VersionRunner::tell_runtime_plan() {
  if (!runtime_plan_) return;
  bool at_work = false;
  base::SteadyTime used{};
  {
    base::MutexLock lock(mutex_);
    at_work = !at_rest();
    used = last_used_;
  }
  if (used > told_at_ && !at_work && !working_) runtime_plan_->called(used);
  if (at_work && !working_) working_.emplace(runtime_plan_->begun(used));
  if (!at_work) working_.reset();
  told_at_ = used;
}

meter::HeldCount::Processes VersionRunner::processes() const {
  const std::uint32_t provisioned = dispatcher_.provisioned();
  const std::uint32_t awake = dispatcher_.idle() - dispatcher_.frozen();
  const std::uint32_t idle = awake - std::min(awake, provisioned);
  const std::uint32_t spares = dispatcher_.spares();
  return {zygote_id_ != 0 ? 1U : 0U, provisioned, idle + spares, dispatcher_.idle() - provisioned - idle,
          dispatcher_.instances() - dispatcher_.idle() - spares};
}

// Which of the idle ones the minimum keeps is not said anywhere: those that are used next.
std::unordered_map<base::InstanceId, model::HeldTier> VersionRunner::resting_tiers() const {
  std::unordered_map<base::InstanceId, model::HeldTier> tiers;
  const std::vector<base::InstanceId> resting = dispatcher_.resting();
  const std::uint32_t provisioned = dispatcher_.provisioned();
  const std::uint32_t awake = dispatcher_.idle() - dispatcher_.frozen();
  for (std::size_t i = 0; i < resting.size(); ++i) {
    tiers[resting[i]] = i < provisioned ? model::HeldTier::kProvisioned
                        : i < awake     ? model::HeldTier::kIdle
                                        : model::HeldTier::kFrozen;
  }
  if (dispatcher_.spares() > 0) tiers[*dispatcher_.spare()] = model::HeldTier::kIdle;
  return tiers;
}

// The kernel is asked once a second and when an instance is new: a read costs a system call.
void VersionRunner::count_held(base::SteadyTime now) {
  base::Bytes zygote;
  bool zygote_there = false;
  std::optional<base::InstanceId> spare;
  std::vector<std::pair<std::shared_ptr<sandbox::Instance>, model::HeldTier>> instances;
  base::Duration since{};
  {
    base::MutexLock lock(mutex_);
    since = now - counted_at_;
    counted_at_ = std::max(counted_at_, now);  // it may have woken up since
    metrics_->zygote_bytes.set(static_cast<std::int64_t>(zygote_bytes_.count));
    zygote_there = zygote_id_ != 0;
    if (zygote_there || dispatcher_.zygote() == sched::ZygoteState::kStarting) zygote = zygote_bytes_;
    spare = dispatcher_.spare();
    instances.reserve(instances_.size());
    const std::unordered_map<base::InstanceId, model::HeldTier> tiers = resting_tiers();
    for (const auto& [id, instance] : instances_) {
      const auto at = tiers.find(id);
      instances.emplace_back(instance, at == tiers.end() ? model::HeldTier::kActive : at->second);
    }
  }
  const bool looks = now - looked_at_ >= kLookAtMemory;
  if (looks) looked_at_ = now;
  std::array<base::Bytes, model::kHeldTiers> by_tier{};
  if (zygote_there) by_tier[static_cast<std::size_t>(model::HeldTier::kZygote)] = zygote;
  base::Bytes sum;
  base::Bytes spared;
  for (const auto& [instance, tier] : instances) {
    if (looks || instance->counted.count == 0) instance->counted = instance->memory_peak();
    by_tier[static_cast<std::size_t>(tier)].count += instance->counted.count;
    (spare == instance->id ? spared : sum).count += instance->counted.count;
  }
  if (since > kCountsMost || since <= base::Duration::zero()) return;  // the first time
  metrics_->held_by_zygotes.add(zygote, since);
  metrics_->held_by_instances.add(sum, since);
  metrics_->held_by_spares.add(spared, since);
  base::MutexLock lock(mutex_);
  for (std::size_t i = 0; i < by_tier.size(); ++i) held_.add_memory(static_cast<model::HeldTier>(i), by_tier[i], since);
}

// Of most functions of a node nothing is there but their zygote, and looking at all of them ten times a second would be
// most of what an idle node does.
void VersionRunner::rest(base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  resting_ = nothing_goes_on(now);
  next_look_.store(resting_ ? now + kRestingLook : now, std::memory_order_relaxed);
}

bool VersionRunner::nothing_goes_on(base::SteadyTime now) const {
  const base::SteadyTime until = now + kRestingLook;
  const auto changes = [now, until](const std::optional<sched::Residency>& residency) {
    return residency && residency->next_change(now) <= until;
  };
  return dispatcher_.instances() == 0 && may_yield() && !dispatcher_.wants_spare() && dispatcher_.next_tick() > until &&
         version_.spec.scale.windows.empty() && expected_.none() && !changes(residency_) &&
         !changes(spare_residency_) && !working_ && (!runtime_plan_ || told_at_ == last_used_);
}

void VersionRunner::wake(base::SteadyTime now) {
  resting_ = false;
  next_look_.store(base::SteadyTime{}, std::memory_order_relaxed);
  const base::Duration since = now - std::exchange(counted_at_, now);
  if (zygote_id_ == 0) return;
  metrics_->held_by_zygotes.add(zygote_bytes_, since);
  held_.add_memory(model::HeldTier::kZygote, zygote_bytes_, since);
}

base::Result<> VersionRunner::note_held(base::SteadyTime now, base::Duration interval) {
  std::optional<meter::HeldCount::Stretch> stretch;
  {
    base::MutexLock lock(mutex_);
    held_.advance(now, processes());
    if (now - held_.begun_at() < interval) return {};
    stretch = held_.take(now, base::wall_now());
  }
  if (!stretch) return {};
  const model::HeldStart start{.begun = stretch->begun,
                               .version = version_.id,
                               .version_number = version_.number,
                               .app = version_.app,
                               .function = version_.function,
                               .memory_limit = version_.spec.memory,
                               .cpu_millis = version_.spec.cpu_millis};
  const base::Result<> added = services_.usage.add_held(start, stretch->use);
  if (!added) {
    base::MutexLock lock(mutex_);
    held_.give_back(*stretch);
    return added.error();
  }
  services_.budgets.charge_held(*account_, start, stretch->use);
  return {};
}

// Processor time of an instance that no call had. The kernel adds up what is running when it next looks: a call's last
// moment may be among it.
void VersionRunner::read_unclaimed(sandbox::Instance& instance) {
  instance.shares.see(instance.cpu());
  count_unclaimed(instance);
}

void VersionRunner::count_cpu() {
  std::vector<std::shared_ptr<sandbox::Instance>> instances;
  {
    base::MutexLock lock(mutex_);
    instances.reserve(instances_.size());
    for (const auto& [id, instance] : instances_) instances.push_back(instance);
  }
  for (const auto& instance : instances) read_unclaimed(*instance);
}

void VersionRunner::count_unclaimed(sandbox::Instance& instance) {
  metrics_->cpu_beside_calls.add(instance.shares.take_unclaimed());
}

void VersionRunner::note_memory(base::Bytes used) {
  base::MutexLock lock(mutex_);
  instance_bytes_.seen(used);
}

// An instance needs what such a one used so far, or all that it may use as long as that is not known.
void VersionRunner::update_reserve() {
  Reserves::Use use{.instances = static_cast<std::uint32_t>(instances_.size())};
  if (standing_ == Standing::kCurrent && !dispatcher_.closed()) {
    use.reserve = version_.spec.scale.reserve;
    use.each = instance_bytes_.value().count > 0 ? instance_bytes_.value() : version_.spec.memory;
  }
  services_.reserves.set(version_, use);
}

io::Task<> VersionRunner::let_go_of(std::shared_ptr<VersionRunner> self) { co_await self->yield(Because::kPlan); }

}  // namespace ebb::node
