#include "sched/dispatcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace ebb::sched {

Dispatcher::Dispatcher(DispatcherOptions options, std::atomic<std::uint64_t>* next_instance, Processors* processors)
    : options_(options), next_instance_(next_instance), processors_(processors), spares_(options.spare_from) {
  EBB_CHECK(options_.instances_max >= 1 && options_.instances_min <= options_.instances_max);
  EBB_CHECK(options_.starting_max >= 1);
  EBB_CHECK(options_.concurrency >= 1 && (options_.reuse || options_.concurrency == 1));
}

void Dispatcher::call_arrived(CallId call, base::SteadyTime now, Actions& out) {
  if (closed_) {
    out.push_back(Refuse{.call = call, .why = Refuse::Why::kClosed});
    return;
  }
  if (zygote_ == ZygoteState::kAbsent && now < zygote_retry_at_) {
    out.push_back(Refuse{.call = call, .why = Refuse::Why::kZygoteFailed});
    return;
  }
  spares_.call_arrived();
  if (queue_.empty() && has_room()) {
    lease(call, now, out);
    if (!options_.reuse) start_what_is_wanted(now, out);
    return;
  }
  if (const std::optional<Refuse> refusal = overload(call, now)) {
    out.push_back(*refusal);
    return;
  }
  const auto place = queue_.insert(queue_.end(), Waiting{.call = call, .since = now});
  const bool fresh = queued_at_.emplace(call, place).second;
  EBB_CHECK(fresh);
  start_what_is_wanted(now, out);
  check();
}

std::optional<Refuse> Dispatcher::overload(CallId call, base::SteadyTime now) const {
  if (closed_ || (queue_.empty() && has_room())) return std::nullopt;
  const base::Duration wait = likely_wait(now);
  if (queue_.size() >= options_.queue_max) return Refuse{.call = call, .why = Refuse::Why::kQueueFull, .wait = wait};
  if (wait <= options_.max_wait) return std::nullopt;
  return Refuse{.call = call, .why = Refuse::Why::kTooLong, .wait = wait};
}

bool Dispatcher::call_withdrawn(CallId call) {
  const auto at = queued_at_.find(call);
  if (at == queued_at_.end()) return false;
  queue_.erase(at->second);
  queued_at_.erase(at);
  return true;
}

void Dispatcher::zygote_ready(ZygoteState state, base::SteadyTime now, Actions& out) {
  EBB_CHECK(state == ZygoteState::kReady || state == ZygoteState::kUnfit);
  zygote_ = state;
  zygote_retry_at_ = {};
  spares_.zygote_ready();
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::zygote_failed(base::SteadyTime retry_at, Actions& out) {
  zygote_ = ZygoteState::kAbsent;
  zygote_retry_at_ = retry_at;
  refuse_all(Refuse::Why::kZygoteFailed, out);
  check();
}

void Dispatcher::zygote_lost(base::SteadyTime now, Actions& out) {
  zygote_ = ZygoteState::kAbsent;
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::instance_ready(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  const auto at = instances_.find(instance);
  if (at == instances_.end()) return;  // it died in the meantime
  EBB_CHECK(at->second.state == State::kStarting);
  --starting_;
  start_failures_ = 0;
  no_room_ = false;
  if (spare_ != instance) spares_.started();
  fork_or_wait_.fork_took(now - at->second.since);
  at->second.since = now;
  offer(instance, now, out);
  if (kept() >= options_.instances_min && starting_ == 0) may_displace_again();
  start_what_is_wanted(now, out);
  check();
}

// One that starts counts as kept, so the minimum is short by it or by others.
Dispatcher::Claim Dispatcher::claim_of(base::InstanceId instance, base::SteadyTime now) const {
  if (!queue_.empty()) return Claim::kIdle;
  if (spare_ == instance) return Claim::kNothing;
  const bool for_minimum = kept() <= options_.instances_min;
  const auto at = instances_.find(instance);
  const bool displaced = at != instances_.end() && at->second.displaced;
  return for_minimum && (displaced || now < displaces_from_) ? Claim::kDeparted : Claim::kIdle;
}

void Dispatcher::displaces(base::InstanceId instance) {
  const auto at = instances_.find(instance);
  if (at != instances_.end()) at->second.displaced = true;
}

void Dispatcher::no_room(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  const auto at = instances_.find(instance);
  if (at == instances_.end()) return;
  const bool displaced = at->second.displaced;
  const bool for_nobody = spare_ == instance && queue_.empty();
  if (spare_ == instance) spares_.given_up();
  remove(instance);
  if (for_nobody) return check();
  if (only_minimum()) {  // a call would have a stronger claim
    minimum_retry_at_ = now + kStartPause;
    if (displaced && now >= displaces_from_) {
      displaces_from_ = now + displace_pause_;
      displace_pause_ = std::min(kDisplacePauseMax, 2 * displace_pause_);
    }
    return check();
  }
  room_retry_at_ = now + kStartPause;
  no_room_ = true;
  if (instances_.empty()) {
    minimum_retry_at_ = room_retry_at_;
    refuse_all(Refuse::Why::kStartFailed, out);
  }
  check();
}

void Dispatcher::start_failed(base::InstanceId instance, base::SteadyTime now, Actions& out, bool together) {
  if (!instances_.contains(instance)) return;
  const bool for_nobody = spare_ == instance && queue_.empty();
  if (spare_ == instance) spares_.failed();
  const bool beside_the_last = together && instances_.at(instance).since < start_failed_at_;
  remove(instance);
  if (!for_nobody && !beside_the_last) {
    ++start_failures_;
    start_failed_at_ = now;
  }
  if (start_failures_ >= kStartFailuresMax) {
    start_failures_ = 0;
    minimum_retry_at_ = now + kStartPause;
    refuse_all(Refuse::Why::kStartFailed, out);
  }
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::call_used(base::Duration cpu, base::Duration time, base::SteadyTime now) {
  if (processors_ != nullptr) processor_bound_.call_used(cpu, time, processors_->full(now));
}

void Dispatcher::call_finished(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  leave_call(instance, true, now, out);
}

void Dispatcher::call_spoiled(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  leave_call(instance, false, now, out);
}

void Dispatcher::leave_call(base::InstanceId id, bool fit, base::SteadyTime now, Actions& out) {
  const auto at = instances_.find(id);
  if (at == instances_.end()) return;
  Instance& instance = at->second;
  EBB_CHECK(instance.calls > 0);
  // What passes between two that leave, times those who are there, is on average what a call takes (Little's law).
  instance.worked += (now - instance.since) * instance.calls;
  instance.since = now;
  fork_or_wait_.call_took(std::exchange(instance.worked, {}));
  --instance.calls;
  count_calls(-1);
  moved_at_ = now;
  instance.spoiled = instance.spoiled || !fit || !options_.reuse;
  if (!instance.spoiled) {
    offer(id, now, out);
  } else if (instance.calls > 0) {
    place(instance, State::kFull);
  } else {
    retire(id, out);
    start_what_is_wanted(now, out);
  }
  check();
}

void Dispatcher::instance_gone(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  if (!instances_.contains(instance)) return;
  if (spare_ == instance) spares_.failed();
  remove(instance);
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::tick(base::SteadyTime now, Actions& out) {
  if (closed_ && spare_waits()) retire(*spare_, out);
  while (idle() > 0 && (closed_ || above_minimum())) {
    if (!closed_ && now - instances_.at(coldest()).since < options_.idle_timeout) break;
    retire(coldest(), out);
  }
  while (!idle_.empty() && now - instances_.at(idle_.back()).since >= options_.freeze_after) {
    const base::InstanceId longest_idle = idle_.back();
    instances_.at(longest_idle).state = State::kFrozen;
    frozen_.splice(frozen_.begin(), idle_, std::prev(idle_.end()));
    out.push_back(Freeze{longest_idle});
  }
  if (spare_waits()) {
    Instance& spare = instances_.at(*spare_);
    if (spare.state == State::kSpare && now - spare.since >= options_.freeze_after) {
      spare.state = State::kFrozenSpare;
      out.push_back(Freeze{*spare_});
    }
  }
  start_what_is_wanted(now, out);
  check();
}

base::SteadyTime Dispatcher::next_tick() const {
  base::SteadyTime next = base::SteadyTime::max();
  if (idle() > 0 && above_minimum()) next = instances_.at(coldest()).since + options_.idle_timeout;
  if (!idle_.empty() && options_.freeze_after != base::Duration::max()) {
    next = std::min(next, instances_.at(idle_.back()).since + options_.freeze_after);
  }
  if (spare_ && instances_.at(*spare_).state == State::kSpare && options_.freeze_after != base::Duration::max()) {
    next = std::min(next, instances_.at(*spare_).since + options_.freeze_after);
  }
  const std::size_t covered = std::size_t{starting_} * options_.concurrency;
  if (queue_.size() > covered && zygote_ != ZygoteState::kStarting && starts_allowed() > 0) {
    const auto call = std::next(queue_.begin(), static_cast<std::ptrdiff_t>(covered));
    next = std::min(next, std::max({call->since + fork_or_wait_.fork_time(), starts_from(), held_until_}));
  }
  const bool has_source = zygote_ == ZygoteState::kReady || zygote_ == ZygoteState::kUnfit;
  if (missing() > 0 && has_source && !closed_ && starts_allowed() > 0) {
    next = std::min(next, std::max(minimum_retry_at_, starts_from()));
  }
  return next;
}

void Dispatcher::set_minimum(std::uint32_t instances) {
  if (instances > options_.instances_min) may_displace_again();
  options_.instances_min = std::min(instances, options_.instances_max);
}

void Dispatcher::may_displace_again() {
  displaces_from_ = {};
  displace_pause_ = kDisplacePauseMin;
}

std::uint32_t Dispatcher::provisioned() const {
  const std::uint32_t starting = starting_ - (spare_ && !spare_waits() ? 1 : 0);
  const std::uint32_t at_work = kept() - idle() - starting;
  return std::min(idle(), options_.instances_min - std::min(options_.instances_min, at_work));
}

std::vector<base::InstanceId> Dispatcher::resting() const {
  std::vector<base::InstanceId> ids(idle_.begin(), idle_.end());
  ids.insert(ids.end(), frozen_.begin(), frozen_.end());
  return ids;
}

bool Dispatcher::wants_spare() const {
  const bool has_source = zygote_ == ZygoteState::kReady || zygote_ == ZygoteState::kUnfit;
  if (closed_ || spare_ || !has_source || !spares_.wanted()) return false;
  if (!options_.reuse && options_.instances_min > 0) return false;  // the minimum is of unused instances already
  return queue_.empty() && starting_ == 0 && instances() < options_.instances_max && kept() >= options_.instances_min;
}

void Dispatcher::start_spare(base::SteadyTime now, Actions& out) {
  EBB_CHECK(wants_spare());
  spare_ = start_one(now, out);
  check();
}

bool Dispatcher::give_up_spare(Actions& out) {
  if (!rest_spare(out)) return false;
  spares_.given_up();
  return true;
}

bool Dispatcher::rest_spare(Actions& out) {
  if (!spare_waits()) return false;
  retire(*spare_, out);
  check();
  return true;
}

void Dispatcher::keep_no_spare(Actions& out) {
  spares_.allow(false);
  give_up_spare(out);
}

void Dispatcher::adopt_spare() {
  Instance& spare = instances_.at(*std::exchange(spare_, std::nullopt));
  place(spare, spare.state == State::kSpare ? State::kIdle : State::kFrozen);
}

bool Dispatcher::retire_coldest(Actions& out) {
  if (idle() == 0) return false;
  retire(coldest(), out);
  check();
  return true;
}

void Dispatcher::prewarm(base::SteadyTime now, Actions& out) {
  if (closed_) return;
  if (zygote_ == ZygoteState::kAbsent && now >= zygote_retry_at_) {
    zygote_ = ZygoteState::kStarting;
    out.push_back(StartZygote{});
  }
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::close(Actions& out) {
  closed_ = true;
  refuse_all(Refuse::Why::kClosed, out);
  tick(base::SteadyTime{}, out);
}

std::list<base::InstanceId>& Dispatcher::list_of(State state) {
  switch (state) {
    case State::kIdle: return idle_;
    case State::kFrozen: return frozen_;
    case State::kOpen: return open_;
    case State::kStarting:
    case State::kFull:
    case State::kSpare:
    case State::kFrozenSpare: break;
  }
  return leased_;
}

void Dispatcher::place(Instance& instance, State state) {
  std::list<base::InstanceId>& to = list_of(state);
  to.splice(to.begin(), list_of(instance.state), instance.at);
  instance.state = state;
}

void Dispatcher::take_call(Instance& instance, base::SteadyTime now) {
  if (instance.calls > 0) instance.worked += (now - instance.since) * instance.calls;
  instance.since = now;
  ++instance.calls;
  if (leases_ == 0) moved_at_ = now;
  count_calls(1);
}

void Dispatcher::count_calls(std::int32_t more) {
  const bool worked = leases_ > 0;
  leases_ += static_cast<std::uint32_t>(more);
  if (processors_ == nullptr || worked == (leases_ > 0)) return;
  processors_->versions_at_work.fetch_add(worked ? std::uint32_t(-1) : 1, std::memory_order_relaxed);
}

void Dispatcher::offer(base::InstanceId id, base::SteadyTime now, Actions& out) {
  Instance& instance = instances_.at(id);
  while (!queue_.empty() && instance.calls < options_.concurrency) {
    const CallId call = queue_.front().call;
    queue_.pop_front();
    queued_at_.erase(call);
    take_call(instance, now);
    out.push_back(LeaseTo{.call = call, .instance = id});
  }
  if (instance.calls > 0) {
    if (spare_ == id) spare_.reset();
    place(instance, instance.calls < options_.concurrency ? State::kOpen : State::kFull);
    return;
  }
  if (spare_ == id) {
    place(instance, State::kSpare);
    if (closed_ || spares_.is_never()) retire(id, out);
    return;
  }
  place(instance, State::kIdle);
  if (closed_ || options_.idle_timeout == base::Duration::zero()) tick(now, out);
}

void Dispatcher::lease(CallId call, base::SteadyTime now, Actions& out) {
  const bool from_spare = open_.empty() && idle() == 0;
  const base::InstanceId id = from_spare       ? *std::exchange(spare_, std::nullopt)
                              : !open_.empty() ? open_.front()
                              : !idle_.empty() ? idle_.front()
                                               : frozen_.front();
  Instance& instance = instances_.at(id);
  const bool thaw = instance.state == State::kFrozen || instance.state == State::kFrozenSpare;
  take_call(instance, now);
  place(instance, instance.calls < options_.concurrency ? State::kOpen : State::kFull);
  out.push_back(LeaseTo{.call = call, .instance = id, .thaw = thaw, .spare = from_spare});
}

void Dispatcher::remove(base::InstanceId id) {
  const auto at = instances_.find(id);
  EBB_CHECK(at != instances_.end());
  if (at->second.state == State::kStarting) --starting_;
  if (spare_ == id) spare_.reset();
  if (at->second.calls > 0) count_calls(-static_cast<std::int32_t>(at->second.calls));
  list_of(at->second.state).erase(at->second.at);
  instances_.erase(at);
}

void Dispatcher::retire(base::InstanceId id, Actions& out) {
  remove(id);
  out.push_back(Retire{id});
}

void Dispatcher::start_what_is_wanted(base::SteadyTime now, Actions& out) {
  if (closed_) return;
  if (missing() > 0 && spare_waits()) adopt_spare();
  if (now < starts_from()) return;
  const std::uint32_t for_minimum = now >= minimum_retry_at_ ? missing() : 0;
  std::uint32_t wanted = std::max(for_minimum, starts_for_queue(now));
  if (wanted == 0) return;
  if (zygote_ == ZygoteState::kAbsent && now >= zygote_retry_at_) {
    zygote_ = ZygoteState::kStarting;
    out.push_back(StartZygote{});
  }
  if (zygote_ == ZygoteState::kAbsent || zygote_ == ZygoteState::kStarting) return;
  wanted = std::min(wanted, starts_allowed());
  for (std::uint32_t i = 0; i < wanted; ++i) {
    start_one(now, out);
  }
}

base::InstanceId Dispatcher::start_one(base::SteadyTime now, Actions& out) {
  const base::InstanceId id{(*next_instance_)++};
  instances_.emplace(id, Instance{.since = now, .at = leased_.insert(leased_.begin(), id)});
  if (leases_ + starting_ == 0) moved_at_ = now;
  ++starting_;
  out.push_back(StartInstance{id});
  return id;
}

std::uint32_t Dispatcher::starts_allowed() const {
  return std::min(options_.instances_max - instances(),
                  options_.starting_max > starting_ ? options_.starting_max - starting_ : 0);
}

// The first calls are served by the instances that are starting.
std::uint32_t Dispatcher::starts_for_queue(base::SteadyTime now) {
  const std::uint32_t each = options_.concurrency;
  const std::uint64_t covered = std::uint64_t{starting_} * each;
  const std::uint64_t waiting = std::min<std::uint64_t>(queue_.size(), std::uint64_t{options_.instances_max} * each);
  if (waiting <= covered) return 0;
  const std::uint64_t uncovered = waiting - covered;
  const std::uint64_t served = options_.reuse ? fork_or_wait_.served_within_a_fork(leases_) : 0;
  const std::uint64_t beyond = uncovered > served ? uncovered - served : 0;
  const std::uint64_t looked_at = std::min(uncovered, std::uint64_t{options_.starting_max} * each);
  std::uint64_t in_vain = 0;  // have waited for as long as a start takes
  for (auto call = std::next(queue_.begin(), static_cast<std::ptrdiff_t>(covered));
       in_vain < looked_at && now - call->since >= fork_or_wait_.fork_time(); ++call)
    ++in_vain;
  const std::uint64_t wanted = std::max(beyond, in_vain);
  const std::uint64_t given = with_a_processor(wanted, now);
  held_until_ = given < wanted ? now + kProcessorsPause : base::SteadyTime{};
  return static_cast<std::uint32_t>((given + each - 1) / each);
}

// Without reuse whoever waits needs a start of its own in any case. Where no call ends though several should have, they
// do not compute as they did: then one start follows another.
std::uint64_t Dispatcher::with_a_processor(std::uint64_t wanted, base::SteadyTime now) {
  if (!heeds_processors()) return wanted;
  const base::Duration call = std::max(fork_or_wait_.call_time(), fork_or_wait_.fork_time());
  const base::Duration patience =
      std::min(kInVainAtMost, std::max(2 * call, std::min(kCallsInVain * call, kShortCallsAtMost)));
  if (leases_ + starting_ > 0 && now - moved_at_ > patience) {
    moved_at_ = now - patience + kProcessorsPause;
    return std::min<std::uint64_t>(wanted, 1);
  }
  return starts_with_a_processor(static_cast<std::uint32_t>(wanted), now);
}

std::uint32_t Dispatcher::starts_with_a_processor(std::uint32_t wanted, base::SteadyTime now) const {
  const std::uint32_t at_work = leases_ + starting_ * options_.concurrency;
  return processor_bound_.starts_for(wanted, *processors_, at_work, starting_ > 0, now);
}

base::Duration Dispatcher::likely_wait(base::SteadyTime now) const {
  const std::size_t each = options_.concurrency;
  const bool held = heeds_processors() && processors_->full(now) && starts_with_a_processor(1, now) == 0;
  const bool no_more = no_room_ || held;
  const std::uint32_t allowed = no_more ? 0 : starts_allowed();
  if (instances() == 0 || queue_.size() < (starting_ + allowed) * each) return {};  // a start is for it
  // A maximum that memory does not allow is none; without reuse instances spend their time in starts.
  std::uint32_t instances_then = start_failures_ == 0 && !no_more ? options_.instances_max : instances();
  if (!options_.reuse) instances_then = std::min(instances_then, options_.starting_max);
  return fork_or_wait_.until_served(queue_.size() + 1, instances_then * options_.concurrency, !options_.reuse);
}

void Dispatcher::refuse_all(Refuse::Why why, Actions& out) {
  for (const Waiting& waiting : queue_) out.push_back(Refuse{.call = waiting.call, .why = why});
  queue_.clear();
  queued_at_.clear();
}

void Dispatcher::check() const {
  EBB_CHECK(instances_.size() <= options_.instances_max);
  EBB_CHECK(queue_.size() == queued_at_.size() && queue_.size() <= options_.queue_max);
  EBB_CHECK(idle() + open_.size() + leased_.size() == instances_.size() && starting_ <= leased_.size());
  EBB_CHECK(queue_.empty() || !has_room());
  EBB_CHECK(!spare_ || instances_.at(*spare_).calls == 0);
}

}  // namespace ebb::sched
