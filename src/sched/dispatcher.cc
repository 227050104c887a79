#include "sched/dispatcher.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace ebb::sched {

Dispatcher::Dispatcher(DispatcherOptions options, std::atomic<std::uint64_t>* next_instance)
    : options_(options), next_instance_(next_instance) {
  EBB_CHECK(options_.instances_max >= 1 && options_.instances_min <= options_.instances_max);
  EBB_CHECK(options_.starting_max >= 1);
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
  if (queue_.empty() && idle() > 0) {
    lease_idle(call, now, out);
    if (!options_.reuse) start_what_is_wanted(now, out);
    return;
  }
  if (queue_.size() >= options_.queue_max) {
    out.push_back(Refuse{.call = call, .why = Refuse::Why::kQueueFull});
    return;
  }
  if (const base::Duration wait = likely_wait(); wait > options_.max_wait) {
    out.push_back(Refuse{.call = call, .why = Refuse::Why::kTooLong, .wait = wait});
    return;
  }
  const auto place = queue_.insert(queue_.end(), Waiting{.call = call, .since = now});
  const bool fresh = queued_at_.emplace(call, place).second;
  EBB_CHECK(fresh);
  start_what_is_wanted(now, out);
  check();
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
  fork_or_wait_.fork_took(now - at->second.since);
  make_idle(instance, now, out);
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::start_failed(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  if (!instances_.contains(instance)) return;
  remove(instance);
  if (++start_failures_ >= kStartFailuresMax) {
    start_failures_ = 0;
    refuse_all(Refuse::Why::kStartFailed, out);
  }
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::call_finished(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  const auto at = instances_.find(instance);
  if (at == instances_.end()) return;
  EBB_CHECK(at->second.state == State::kBusy);
  fork_or_wait_.call_took(now - at->second.since);
  if (options_.reuse) {
    make_idle(instance, now, out);
  } else {
    retire(instance, out);
    start_what_is_wanted(now, out);
  }
  check();
}

void Dispatcher::instance_gone(base::InstanceId instance, base::SteadyTime now, Actions& out) {
  if (!instances_.contains(instance)) return;
  remove(instance);
  start_what_is_wanted(now, out);
  check();
}

void Dispatcher::tick(base::SteadyTime now, Actions& out) {
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
  start_what_is_wanted(now, out);
  check();
}

base::SteadyTime Dispatcher::next_tick() const {
  base::SteadyTime next = base::SteadyTime::max();
  if (idle() > 0 && above_minimum()) next = instances_.at(coldest()).since + options_.idle_timeout;
  if (!idle_.empty() && options_.freeze_after != base::Duration::max()) {
    next = std::min(next, instances_.at(idle_.back()).since + options_.freeze_after);
  }
  if (queue_.size() > starting_ && zygote_ != ZygoteState::kStarting && starts_allowed() > 0) {
    next = std::min(next, std::next(queue_.begin(), starting_)->since + fork_or_wait_.fork_time());
  }
  return next;
}

void Dispatcher::set_minimum(std::uint32_t instances) {
  options_.instances_min = std::min(instances, options_.instances_max);
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

void Dispatcher::make_idle(base::InstanceId id, base::SteadyTime now, Actions& out) {
  Instance& instance = instances_.at(id);
  if (!queue_.empty()) {
    const CallId call = queue_.front().call;
    queue_.pop_front();
    queued_at_.erase(call);
    instance.state = State::kBusy;
    instance.since = now;
    out.push_back(LeaseTo{.call = call, .instance = id});
    return;
  }
  instance.state = State::kIdle;
  instance.since = now;
  idle_.splice(idle_.begin(), leased_, instance.at);
  if (closed_ || options_.idle_timeout == base::Duration::zero()) tick(now, out);
}

void Dispatcher::lease_idle(CallId call, base::SteadyTime now, Actions& out) {
  const bool thaw = idle_.empty();
  std::list<base::InstanceId>& from = thaw ? frozen_ : idle_;
  const base::InstanceId id = from.front();
  leased_.splice(leased_.begin(), from, from.begin());
  Instance& instance = instances_.at(id);
  instance.state = State::kBusy;
  instance.since = now;
  out.push_back(LeaseTo{.call = call, .instance = id, .thaw = thaw});
}

void Dispatcher::remove(base::InstanceId id) {
  const auto at = instances_.find(id);
  EBB_CHECK(at != instances_.end());
  if (at->second.state == State::kStarting) --starting_;
  std::list<base::InstanceId>& place = at->second.state == State::kIdle     ? idle_
                                       : at->second.state == State::kFrozen ? frozen_
                                                                            : leased_;
  place.erase(at->second.at);
  instances_.erase(at);
}

void Dispatcher::retire(base::InstanceId id, Actions& out) {
  remove(id);
  out.push_back(Retire{id});
}

void Dispatcher::start_what_is_wanted(base::SteadyTime now, Actions& out) {
  if (closed_) return;
  const std::uint32_t for_minimum = kept() < options_.instances_min ? options_.instances_min - kept() : 0;
  std::uint32_t wanted = std::max(for_minimum, starts_for_queue(now));
  if (wanted == 0) return;
  if (zygote_ == ZygoteState::kAbsent && now >= zygote_retry_at_) {
    zygote_ = ZygoteState::kStarting;
    out.push_back(StartZygote{});
  }
  if (zygote_ == ZygoteState::kAbsent || zygote_ == ZygoteState::kStarting) return;
  wanted = std::min(wanted, starts_allowed());
  for (std::uint32_t i = 0; i < wanted; ++i) {
    const base::InstanceId id{(*next_instance_)++};
    instances_.emplace(id, Instance{.since = now, .at = leased_.insert(leased_.begin(), id)});
    ++starting_;
    out.push_back(StartInstance{id});
  }
}

std::uint32_t Dispatcher::starts_allowed() const {
  return std::min(options_.instances_max - instances(),
                  options_.starting_max > starting_ ? options_.starting_max - starting_ : 0);
}

// The first calls are served by the instances that are starting.
std::uint32_t Dispatcher::starts_for_queue(base::SteadyTime now) const {
  const auto waiting = static_cast<std::uint32_t>(std::min<std::size_t>(queue_.size(), options_.instances_max));
  if (waiting <= starting_) return 0;
  const std::uint32_t uncovered = waiting - starting_;
  const std::uint32_t busy = instances() - idle() - starting_;
  const std::uint32_t served = options_.reuse ? fork_or_wait_.served_within_a_fork(busy) : 0;
  const std::uint32_t beyond = uncovered > served ? uncovered - served : 0;
  std::uint32_t in_vain = 0;  // have waited for as long as a start takes
  for (auto call = std::next(queue_.begin(), starting_);
       in_vain < uncovered && in_vain < options_.starting_max && now - call->since >= fork_or_wait_.fork_time(); ++call)
    ++in_vain;
  return std::max(beyond, in_vain);
}

base::Duration Dispatcher::likely_wait() const {
  if (instances() == 0 || queue_.size() < starting_ + starts_allowed()) return {};  // a start is for it
  // A maximum that memory does not allow is none; without reuse instances spend their time in starts.
  std::uint32_t instances_then = start_failures_ == 0 ? options_.instances_max : instances();
  if (!options_.reuse) instances_then = std::min(instances_then, options_.starting_max);
  return fork_or_wait_.until_served(queue_.size() + 1, instances_then, !options_.reuse);
}

void Dispatcher::refuse_all(Refuse::Why why, Actions& out) {
  for (const Waiting& waiting : queue_) out.push_back(Refuse{.call = waiting.call, .why = why});
  queue_.clear();
  queued_at_.clear();
}

void Dispatcher::check() const {
  EBB_CHECK(instances_.size() <= options_.instances_max);
  EBB_CHECK(queue_.size() == queued_at_.size() && queue_.size() <= options_.queue_max);
  EBB_CHECK(idle() + leased_.size() == instances_.size() && starting_ <= leased_.size());
  EBB_CHECK(queue_.empty() || idle() == 0);
}

}  // namespace ebb::sched
