#include "sim/machine.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "sim/machine_function.h"

namespace ebb::sim {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kMinute = 60'000'000'000;
constexpr double kGbsOfMbNs = 1.0 / 1024 / 1e9;
constexpr std::uint64_t kLifeShift = 32;

std::int64_t nanos(double milliseconds) { return static_cast<std::int64_t>(milliseconds * 1e6); }
base::Duration mean_of(const Curve& milliseconds) { return base::Duration(nanos(milliseconds.mean())); }
base::Bytes bytes(double megabytes) { return {static_cast<std::uint64_t>(megabytes * (1 << 20))}; }

}  // namespace

Machine::Machine(MachineOptions options, std::vector<Load> loads, Random random)
    : options_(std::move(options)),
      zygotes_(options_.policy.mechanics != Mechanics::kInstances),
      random_(random),
      node_processors_(options_.processors),
      processors_(options_.processors),
      cache_(options_.policy.memory.count == 0 ? base::Bytes{UINT64_MAX} : options_.policy.memory),
      spare_bounds_(options_.spares_most, options_.spare_memory) {
  functions_.reserve(loads.size());
  for (Load& load : loads) {
    const auto index = static_cast<std::uint32_t>(functions_.size());
    const FunctionCosts runtime{.gigabytes = load.runtime_mb / 1024, .start = mean_of(load.runtime_ms)};
    const FunctionCosts beyond{.gigabytes = (load.zygote_mb + load.instance_mb) / 1024,
                               .start = mean_of(load.zygote_ms)};
    const FunctionCosts spare{.gigabytes = load.instance_mb / 1024,
                              .start = mean_of(load.fork_ms) + mean_of(load.load_ms)};
    const FunctionCosts whole{.gigabytes = load.trace->memory_mb / 1024, .start = mean_of(load.whole_ms)};
    if (!zygotes_) {  // nothing is shared: an instance holds all of it and starts from nothing
      load.instance_mb = load.trace->memory_mb;
      load.zygote_mb = load.runtime_mb = 0;
      load.fork_ms = load.whole_ms;
    }
    // A node learns what a zygote costs when it has made one.
    const FunctionCosts held = options_.policy.mechanics == Mechanics::kNode ? FunctionCosts{} : beyond;
    auto policy = make_keep_alive(options_.policy, zygotes_ ? held : whole);
    const base::Duration instance_idle = zygotes_ ? options_.policy.instance_idle : policy->plan().first_hold();
    const sched::DispatcherOptions dispatcher{.instances_min = 0,
                                              .instances_max = options_.instances_max,
                                              .concurrency = options_.concurrency,
                                              .idle_timeout = instance_idle,
                                              .freeze_after = options_.freeze_after,
                                              .reuse = options_.reuse,
                                              .queue_max = options_.queue_max,
                                              .starting_max = zygotes_ ? options_.starting_max : options_.instances_max,
                                              .spare_from = zygotes_ ? options_.spare_from : base::Duration::max()};
    functions_.emplace_back(index, std::move(load), dispatcher, &next_instance_, std::move(policy),
                            make_keep_alive(options_.policy, runtime), make_keep_alive(options_.policy, spare),
                            random_.below(kMinute), calls_compute() ? &node_processors_ : nullptr);
    if (options_.policy.mechanics == Mechanics::kNode) make_runtime(functions_.back(), runtime);
    if (!zygotes_) {
      // As if a zygote of no size were always ready, and starts were long.
      functions_.back().dispatcher.zygote_ready(sched::ZygoteState::kReady, sched_now(), actions_);
      functions_.back().zygote_ready = functions_.back().zygote_up = true;
    }
  }
}

Machine::~Machine() = default;

Machine::Nanos Machine::random_in(Nanos from, Nanos to) {
  return from + static_cast<Nanos>(random_.below(static_cast<std::uint64_t>(to - from)));
}

base::SteadyTime Machine::sched_now() { return base::SteadyTime(std::chrono::hours(1) + base::Duration(now_ + skew_)); }

void Machine::push(Nanos at, Kind kind, std::uint32_t function, std::uint64_t subject) {
  events_.push({.at = std::max(at, now_), .order = order_++, .kind = kind, .function = function, .subject = subject});
}

void Machine::run(std::uint32_t minutes, bool drain) {
  if (options_.policy.mechanics == Mechanics::kNode) begin_as_node();
  for (std::uint32_t minute = 0; minute < minutes && !violation_; ++minute) {
    arrivals_of(minute);
    run_until(Nanos{minute + 1} * kMinute);
    end_bucket(kMinute);
  }
  while (drain && !violation_ && !events_.empty()) {
    const Event top = events_.top();
    events_.pop();
    now_ = std::max(now_, top.at);
    handle(top);
  }
  if (drain && !violation_) check_all_returned();
}

void Machine::run_until(Nanos border) {
  const std::size_t first = next_arrival_;
  while (!violation_) {
    const Nanos arrival = next_arrival_ < arrivals_.size() ? arrivals_[next_arrival_].at : INT64_MAX;
    const Nanos event = events_.empty() ? INT64_MAX : events_.top().at;
    if (std::min(arrival, event) >= border) break;
    if (event <= arrival) {
      const Event top = events_.top();
      events_.pop();
      advance(top.at);
      handle(top);
    } else {
      advance(arrival);
      arrive(arrivals_[next_arrival_++]);
    }
  }
  totals_.calls_by_minute.push_back(static_cast<double>(next_arrival_ - first));
  advance(border);
}

void Machine::advance(Nanos to) {
  if (to <= now_) return;
  const auto span = static_cast<double>(to - now_);
  minute_held_ += held_mb_ * span;
  minute_used_ += used_mb_ * span;
  totals_.spare_gbs += spare_mb_ * span * kGbsOfMbNs;
  totals_.needed_gbs += needed_mb_ * span * kGbsOfMbNs;
  now_ = to;
}

void Machine::end_bucket(Nanos length) {
  totals_.held_gbs += minute_held_ * kGbsOfMbNs;
  totals_.used_gbs += minute_used_ * kGbsOfMbNs;
  totals_.held_by_minute.push_back(minute_held_ / static_cast<double>(length) / 1024);
  totals_.used_by_minute.push_back(minute_used_ / static_cast<double>(length) / 1024);
  minute_held_ = minute_used_ = 0;
}

void Machine::arrivals_of(std::uint32_t minute) {
  arrivals_.clear();
  next_arrival_ = 0;
  const Nanos start = Nanos{minute} * kMinute;
  std::vector<Nanos> within;
  for (const Function& function : functions_) {
    const auto& counts = function.load.trace->per_minute;
    const std::uint32_t count = minute < counts.size() ? counts[minute] : 0;
    within.clear();
    spread_minute(count, falls_evenly(options_.spread, *function.load.trace), function.phase, random_, within);
    for (const Nanos offset : within) arrivals_.push_back({.at = start + offset, .function = function.index});
  }
  const auto earlier = [](const Arrival& a, const Arrival& b) {
    return a.at != b.at ? a.at < b.at : a.function < b.function;
  };
  std::sort(arrivals_.begin(), arrivals_.end(), earlier);
}

void Machine::arrive(const Arrival& arrival) {
  const std::uint32_t index = arrival.function;
  Function& function = functions_[index];
  ++totals_.arrived;
  ++totals_.events;
  std::uint64_t slot = calls_.size();
  if (free_calls_.empty()) {
    calls_.emplace_back();
  } else {
    slot = free_calls_.back();
    free_calls_.pop_back();
  }
  CallSlot& call = calls_[slot];
  call.state = CallState::kWaiting;
  call.function = index;
  call.arrived = now_;
  call.run_ms = arrival.run_ms;
  call.saw_zygote = function.zygote_ready;
  ++call.life;
  ++function.waiting;
  function.evicted = false;
  function.called_at = now_;
  const std::uint64_t subject = (std::uint64_t{call.life} << kLifeShift) | slot;
  if (random_.chance(options_.faults.clock_step)) skew_ += random_in(-10'000'000, kMinute);
  look_at_processors();
  function.residency.call_arrived(sched_now());
  if (function.dispatcher.keeps_spares()) function.spare_residency.call_arrived(sched_now());
  if (options_.policy.mechanics == Mechanics::kNode) {
    Runtime& runtime = runtime_of(function);
    ++runtime.calls;
    runtime.residency.call_arrived(sched_now());
  } else {
    function.runtime_residency.call_arrived(sched_now());
  }
  if (options_.policy.memory.count != 0) cache_.used(index);
  function.dispatcher.call_arrived(sched::CallId{slot}, sched_now(), actions_);
  perform(function);
  if (random_.chance(options_.faults.withdrawal))
    push(random_in(now_, now_ + 500'000'000), Kind::kWithdraw, index, subject);
  if (options_.policy.memory.count != 0 && random_.chance(options_.faults.lost_memory)) {
    cache_.set_budget({options_.policy.memory.count / 2});
    push(now_ + kMinute, Kind::kMemoryBack, index, 0);
  }
  settle(function);
}

void Machine::handle(const Event& event) {
  if (event.kind == Kind::kWorkEnds) return work_ends(event.subject);
  if (!is_over(event)) return;
  ++totals_.events;
  if (random_.chance(options_.faults.clock_step)) skew_ += random_in(-10'000'000, kMinute);
  look_at_processors();
  Function& function = functions_[event.function];
  switch (event.kind) {
    case Kind::kFinish:
    case Kind::kComputed: finish(function, event.subject); break;
    case Kind::kInstanceReady: instance_ready(function, event.subject); break;
    case Kind::kZygoteReady: zygote_ready(function, event.subject); break;
    case Kind::kTimer:
      if (event.at == function.timer_at) function.timer_at = INT64_MAX;
      function.dispatcher.tick(sched_now(), actions_);
      break;
    case Kind::kIdleCrash: crash(function, event.subject); break;
    case Kind::kZygoteDeath:
      if (function.zygote_ready && function.zygote_life == event.subject) kill_zygote(function);
      break;
    case Kind::kWithdraw: withdraw(event.subject); break;
    case Kind::kMemoryBack: cache_.set_budget(options_.policy.memory); break;
    case Kind::kPrewarmRetry: break;  // settle() below asks again
    case Kind::kDeployed: deploy(function); break;
    case Kind::kSpareDue: spare_due(function); break;
    case Kind::kRuntimeReady: shared_runtime_ready(function); break;
    case Kind::kWorkEnds: break;  // above
  }
  if (random_.chance(options_.faults.spare_wanted)) function.dispatcher.give_up_spare(actions_);
  perform(function);
  settle(function);
}

std::optional<std::uint64_t> Machine::call_of(std::uint64_t subject, CallState state) const {
  const std::uint64_t slot = subject & UINT32_MAX;
  const CallSlot& call = calls_[slot];
  if (call.life != subject >> kLifeShift || call.state != state) return std::nullopt;
  return slot;
}

void Machine::finish(Function& function, std::uint64_t subject) {
  const std::optional<std::uint64_t> slot = call_of(subject, CallState::kRunning);
  if (!slot) return;  // its instance died before
  const base::InstanceId id = calls_[*slot].instance;
  if (random_.chance(options_.faults.crash_in_call)) {
    crash(function, base::raw(id));
    return;
  }
  ++totals_.answered;
  tell_use(function, calls_[*slot]);
  SimInstance& instance = instances_.at(id);
  std::erase(instance.calls, *slot);
  if (instance.calls.empty()) {
    instance.state = InstanceState::kIdle;
    ++function.idle;
    needed_mb_ -= function.load.instance_mb;
  }
  end_call(*slot);
  if (random_.chance(options_.faults.spoiled)) {
    instance.spoiled = true;
    function.dispatcher.call_spoiled(id, sched_now(), actions_);
    return;
  }
  function.dispatcher.call_finished(id, sched_now(), actions_);
  if (random_.chance(options_.faults.crash_idle))
    push(random_in(now_, now_ + kMinute), Kind::kIdleCrash, function.index, base::raw(id));
}

void Machine::instance_ready(Function& function, std::uint64_t id) {
  const auto at = instances_.find(base::InstanceId{id});
  if (at == instances_.end()) return;
  if (random_.chance(options_.faults.start_failure)) {
    forget_instance(function, base::InstanceId{id});
    function.dispatcher.start_failed(base::InstanceId{id}, sched_now(), actions_);
    return;
  }
  at->second.state = InstanceState::kIdle;
  at->second.ready_at = now_;
  ++function.idle;
  function.dispatcher.loaded(base::Duration(nanos(at->second.load_ms)));
  function.dispatcher.instance_ready(base::InstanceId{id}, sched_now(), actions_);
}

void Machine::zygote_ready(Function& function, std::uint64_t life) {
  if (!function.zygote_up || function.zygote_ready || function.zygote_life != life) return;
  if (random_.chance(options_.faults.boot_failure)) {
    function.zygote_up = false;
    hold(function, -function.load.zygote_mb);
    if (options_.policy.mechanics == Mechanics::kNode) --runtime_of(function).zygotes;
    function.dispatcher.zygote_failed(sched_now() + 1s, actions_);
    push(now_ + 1'000'000'001, Kind::kPrewarmRetry, function.index, 0);
    return;
  }
  function.zygote_ready = true;
  if (options_.policy.mechanics == Mechanics::kNode) learn_costs(function);
  // Its trial has loaded what each instance will load again.
  if (!function.load.load_ms.empty()) function.dispatcher.loading_takes(mean_of(function.load.load_ms));
  function.dispatcher.zygote_ready(sched::ZygoteState::kReady, sched_now(), actions_);
  if (random_.chance(options_.faults.zygote_death))
    push(random_in(now_, now_ + kMinute), Kind::kZygoteDeath, function.index, life);
}

void Machine::crash(Function& function, std::uint64_t id) {
  const auto at = instances_.find(base::InstanceId{id});
  if (at == instances_.end() || at->second.state == InstanceState::kStarting) return;
  for (const std::uint64_t slot : at->second.calls) {
    ++totals_.crashed;
    end_call(slot);
  }
  forget_instance(function, base::InstanceId{id});
  function.dispatcher.instance_gone(base::InstanceId{id}, sched_now(), actions_);
}

void Machine::withdraw(std::uint64_t subject) {
  const std::optional<std::uint64_t> slot = call_of(subject, CallState::kWaiting);
  if (!slot) return;
  Function& function = functions_[calls_[*slot].function];
  if (!function.dispatcher.call_withdrawn(sched::CallId{*slot}))
    breach(&function, "a waiting call is not in the queue");
  ++totals_.refused;
  end_call(*slot);
}

void Machine::perform(Function& function) {
  // By index: carrying one out may append more.
  for (std::size_t i = 0; i < actions_.size(); ++i) {
    const sched::Action action = actions_[i];
    if (const auto* leased = std::get_if<sched::LeaseTo>(&action)) {
      lease(function, *leased);
    } else if (std::holds_alternative<sched::StartZygote>(action)) {
      start_zygote(function);
    } else if (const auto* start = std::get_if<sched::StartInstance>(&action)) {
      start_instance(function, start->instance);
    } else if (const auto* retire = std::get_if<sched::Retire>(&action)) {
      forget_instance(function, retire->instance);
    } else if (const auto* freeze = std::get_if<sched::Freeze>(&action)) {
      const auto at = instances_.find(freeze->instance);
      if (at == instances_.end() || at->second.state != InstanceState::kIdle || at->second.frozen)
        breach(&function, "an instance was frozen that is not idle");
      else
        at->second.frozen = true;
    } else if (const auto* refuse = std::get_if<sched::Refuse>(&action)) {
      const auto slot = static_cast<std::uint64_t>(refuse->call);
      if (calls_[slot].state != CallState::kWaiting) breach(&function, "a call that does not wait was refused");
      ++totals_.refused;
      end_call(slot);
    }
  }
  actions_.clear();
  look_at_spare(function);
  check(function);
}

void Machine::lease(Function& function, const sched::LeaseTo& leased) {
  const auto slot = static_cast<std::uint64_t>(leased.call);
  CallSlot& call = calls_[slot];
  const auto at = instances_.find(leased.instance);
  if (call.state != CallState::kWaiting || call.function != function.index) {
    breach(&function, "a call was leased that does not wait: lost or run twice");
    return;
  }
  if (at == instances_.end() || at->second.function != function.index || at->second.state == InstanceState::kStarting ||
      at->second.spoiled || at->second.calls.size() >= options_.concurrency) {
    breach(&function, "an instance was leased that has no room");
    return;
  }
  SimInstance& instance = at->second;
  if (leased.spare && instance.served) breach(&function, "a spare had served before");
  if (leased.spare && !instance.spare) breach(&function, "what was started for a call was leased as a spare");
  if (leased.thaw != instance.frozen) breach(&function, "a lease forgot that its instance is frozen");
  instance.frozen = false;
  call.state = CallState::kRunning;
  call.instance = leased.instance;
  call.began = now_;
  --function.waiting;
  if (function.running++ == 0) needed_mb_ += function.load.zygote_mb + function.load.runtime_mb;
  if (instance.calls.empty()) needed_mb_ += function.load.instance_mb;
  if (instance.state == InstanceState::kIdle) --function.idle;
  instance.state = InstanceState::kBusy;
  instance.calls.push_back(slot);
  use(function.load.trace->memory_mb);
  count_start(call, instance, function.load, leased.spare);
  const double run_ms = call.run_ms >= 0 ? call.run_ms : function.load.trace->run_ms.at(random_.uniform());
  run_call(call, run_ms, (std::uint64_t{call.life} << kLifeShift) | slot);
}

void Machine::count_start(const CallSlot& call, SimInstance& instance, const Load& load, bool spare) {
  const bool as_node = options_.policy.mechanics == Mechanics::kNode;
  // A node calls a start what was made for this call; else only what waited for nothing found an idle instance.
  const bool found_idle = as_node ? instance.served || instance.ready_at <= call.arrived : now_ == call.arrived;
  instance.served = true;
  double waited_ms = static_cast<double>(now_ - call.arrived) / 1e6;
  if (as_node && now_ == call.arrived) waited_ms = load.idle_ms.at(random_.uniform());
  totals_.added.add(waited_ms);
  if (spare) {
    ++totals_.from_spare;
  } else if (found_idle) {
    ++totals_.from_idle;
  } else if (zygotes_ && call.saw_zygote) {
    ++totals_.from_fork;
  } else {
    ++totals_.from_boot;
  }
}

double Machine::start_time(const Curve& milliseconds) {
  const double time = milliseconds.at(random_.uniform());
  totals_.start_seconds += time / 1000;
  return random_.chance(options_.faults.slow_start) ? 100 * time : time;
}

void Machine::start_runtime(Function& function) {
  function.runtime_up = true;
  function.runtime_ready_at = now_ + nanos(start_time(function.load.runtime_ms));
  ++totals_.runtime_starts;
  hold(function, function.load.runtime_mb);
}

void Machine::start_zygote(Function& function) {
  if (function.zygote_up) breach(&function, "a second zygote start under way");
  if (!function.runtime_up) start_runtime(function);
  function.zygote_up = true;
  ++function.zygote_life;
  function.zygote_ordered_at = now_;
  ++totals_.zygote_starts;
  hold(function, function.load.zygote_mb);
  if (options_.policy.mechanics == Mechanics::kNode) return start_zygote_in_shared_runtime(function);
  push(std::max(now_, function.runtime_ready_at) + nanos(start_time(function.load.zygote_ms)), Kind::kZygoteReady,
       function.index, function.zygote_life);
}

// Its instances die with it, as they do in a sandbox.
void Machine::kill_zygote(Function& function) {
  function.zygote_up = function.zygote_ready = false;
  hold(function, -function.load.zygote_mb);
  if (options_.policy.mechanics == Mechanics::kNode) --runtime_of(function).zygotes;
  std::vector<std::uint64_t> dying;
  if (function.instances > 0) {
    for (const auto& [id, instance] : instances_) {
      if (instance.function == function.index) dying.push_back(base::raw(id));
    }
    std::sort(dying.begin(), dying.end());
  }
  function.dispatcher.zygote_lost(sched_now(), actions_);
  perform(function);
  for (const std::uint64_t id : dying) {
    const auto at = instances_.find(base::InstanceId{id});
    if (at == instances_.end()) continue;
    if (at->second.state == InstanceState::kStarting) {
      forget_instance(function, base::InstanceId{id});
      function.dispatcher.start_failed(base::InstanceId{id}, sched_now(), actions_);
    } else {
      crash(function, id);
    }
    perform(function);
  }
}

void Machine::start_instance(Function& function, base::InstanceId id) {
  if (zygotes_ && !(function.zygote_ready && function.runtime_up))
    breach(&function, "an instance was started without a zygote");
  if (!instances_.emplace(id, SimInstance{.function = function.index}).second) breach(&function, "an instance twice");
  ++function.instances;
  ++totals_.instance_starts;
  hold(function, function.load.instance_mb);
  SimInstance& instance = instances_.at(id);
  if (function.dispatcher.spare() == id) {
    instance.spare = true;
    ++totals_.spare_starts;
    if (function.waiting > 0) breach(&function, "a spare was started while a call waits");
  }
  if (!function.load.load_ms.empty()) instance.load_ms = start_time(function.load.load_ms);
  const double time = start_time(function.load.fork_ms) + instance.load_ms;
  take_processor(time, Kind::kInstanceReady, function.index, base::raw(id));
}

void Machine::forget_instance(Function& function, base::InstanceId id) {
  const auto at = instances_.find(id);
  if (at == instances_.end() || at->second.function != function.index) {
    breach(&function, "an instance was retired that does not exist");
    return;
  }
  if (at->second.state == InstanceState::kIdle) --function.idle;
  if (at->second.state == InstanceState::kBusy) needed_mb_ -= function.load.instance_mb;
  // One whose calls have just ended (crash) is busy still; one that was retired must not be.
  for (const std::uint64_t slot : at->second.calls) {
    if (calls_[slot].state == CallState::kRunning) breach(&function, "a busy instance was retired");
  }
  instances_.erase(at);
  --function.instances;
  hold(function, -function.load.instance_mb);
}

void Machine::end_call(std::uint64_t slot) {
  CallSlot& call = calls_[slot];
  Function& function = functions_[call.function];
  if (call.state == CallState::kRunning) {
    if (--function.running == 0) needed_mb_ -= function.load.zygote_mb + function.load.runtime_mb;
    use(-function.load.trace->memory_mb);
    billed_mb_ns_ += function.load.trace->memory_mb * static_cast<double>(now_ - call.began);
  } else if (call.state == CallState::kWaiting) {
    --function.waiting;
  } else {
    breach(&function, "a call ended twice");
  }
  if (options_.policy.mechanics == Mechanics::kNode) --runtime_of(function).calls;
  call.state = CallState::kFree;
  free_calls_.push_back(slot);
}

// What the policy wants of the function now is done, and the next moment it may want something else is noted.
void Machine::settle(Function& function) {
  if (violation_) return;
  if (options_.policy.mechanics == Mechanics::kNode) {
    settle_as_node(function);
    return;
  }
  const bool idle = function.waiting + function.running == 0;
  if (idle) {
    function.residency.became_idle(sched_now());
    function.spare_residency.became_idle(sched_now());
    function.runtime_residency.became_idle(sched_now());
  }
  if (idle && !function.residency.wanted(sched_now())) {
    release(function);
  } else if (idle) {
    if (!zygotes_)
      function.dispatcher.set_idle_timeout(
          std::max<base::Duration>(1s, function.residency.policy().plan().first_hold()));
    // A spare is ready in its place.
    if (!function.evicted) function.dispatcher.set_minimum(may_have_spare(function) ? 0 : 1);
    if (!function.evicted && (function.instances == 0 || !function.zygote_up)) {
      function.dispatcher.prewarm(sched_now(), actions_);
      perform(function);
    }
  }
  if (zygotes_ && idle) settle_runtime(function);
  settle_spare(function);
  settle_memory(function);
  arm_timer(function);
}

void Machine::settle_memory(Function& function) {
  if (options_.policy.memory.count == 0) return;
  if (function.held_mb > 0) {
    cache_.insert(function.index, bytes(function.held_mb), mean_of(function.load.whole_ms));
  } else {
    cache_.erase(function.index);
  }
  const bool idle = function.waiting + function.running == 0;
  cache_.set_pinned(function.index, zygotes_ ? !idle : function.idle == 0);
  evict();
}

void Machine::settle_runtime(Function& function) {
  const bool wanted = function.runtime_residency.wanted(sched_now()) && !function.evicted;
  if (wanted && !function.runtime_up) start_runtime(function);
  if (!wanted && function.runtime_up && !function.zygote_up && now_ >= function.runtime_ready_at) {
    function.runtime_up = false;
    hold(function, -function.load.runtime_mb);
  }
}

// Lets go of all that an idle function holds. What is starting goes once it is ready: settle() comes again then.
void Machine::release(Function& function) {
  function.dispatcher.set_minimum(0);
  function.dispatcher.give_up_spare(actions_);
  while (function.dispatcher.retire_coldest(actions_)) {
  }
  perform(function);
  if (zygotes_ && function.zygote_ready && function.instances == 0) kill_zygote(function);
}

void Machine::evict() {
  while (cache_.over_budget()) {
    if (let_a_spare_go()) continue;
    const auto victim = cache_.victim();
    if (!victim) return;  // all of it is at work
    Function& function = functions_[*victim];
    ++totals_.evictions;
    function.evicted = true;
    for (const Function& other : functions_) {
      if (other.dispatcher.spares() > 0) breach(&other, "a function was evicted before a spare");
    }
    if (zygotes_) {
      release(function);
      if (options_.policy.mechanics == Mechanics::kZygotes) settle_runtime(function);
    } else {
      function.dispatcher.set_minimum(0);
      function.dispatcher.retire_coldest(actions_);
      perform(function);
    }
    if (violation_) return;
    if (function.held_mb > 0) {
      const auto before = cache_.bytes();
      cache_.insert(*victim, bytes(function.held_mb), mean_of(function.load.whole_ms));
      cache_.set_pinned(*victim, function.idle == 0);
      if (cache_.bytes() == before) cache_.set_pinned(*victim, true);  // nothing came free: look elsewhere
    } else {
      cache_.erase(*victim);
    }
  }
}

void Machine::arm_timer(Function& function) {
  base::SteadyTime next = std::min(function.residency.next_change(sched_now()), function.dispatcher.next_tick());
  if (zygotes_) next = std::min(next, function.runtime_residency.next_change(sched_now()));
  if (function.dispatcher.keeps_spares()) next = std::min(next, function.spare_residency.next_change(sched_now()));
  if (options_.policy.mechanics == Mechanics::kNode)
    next = std::min(next, runtime_of(function).residency.next_change(sched_now()));
  Nanos at = INT64_MAX;
  if (next != base::SteadyTime::max())
    at = std::max(now_ + 1, (next.time_since_epoch() - std::chrono::hours(1)).count() - skew_);
  if (function.runtime_up && !function.zygote_up && function.runtime_ready_at > now_)
    at = std::min(at, function.runtime_ready_at);
  if (at == INT64_MAX) return;
  if (at >= function.timer_at) return;
  function.timer_at = at;
  push(at, Kind::kTimer, function.index, 0);
}

void Machine::hold(Function& function, double megabytes) {
  function.held_mb += megabytes;
  held_mb_ += megabytes;
  if (function.held_mb < 1e-6) function.held_mb = 0;  // what rounding leaves
  if (held_mb_ < 1e-6) held_mb_ = 0;
  totals_.held_peak_gb = std::max(totals_.held_peak_gb, held_mb_ / 1024);
}

void Machine::use(double megabytes) {
  used_mb_ += megabytes;
  if (used_mb_ < 1e-6) used_mb_ = 0;
}

void Machine::check(const Function& function) {
  if (violation_) return;
  const sched::Dispatcher& dispatcher = function.dispatcher;
  if (dispatcher.queued() != function.waiting) breach(&function, "the queue and the waiting calls differ");
  if (dispatcher.instances() != function.instances) breach(&function, "sched counts other instances than there are");
  if (dispatcher.idle() + dispatcher.spares() != function.idle)
    breach(&function, "sched counts other idle instances than there are");
  if (function.instances > options_.instances_max) breach(&function, "more instances than allowed");
  if (function.running + function.idle > function.instances * options_.concurrency)
    breach(&function, "more calls run than instances have room for");
  double holds = function.load.instance_mb * function.instances;
  if (function.zygote_up) holds += function.load.zygote_mb;
  if (function.runtime_up) holds += function.load.runtime_mb;
  if (std::abs(holds - function.held_mb) > 0.01) breach(&function, "memory that nothing holds was not returned");
  check_spares(function);
}

void Machine::check_all_returned() {
  if (totals_.arrived != totals_.answered + totals_.refused + totals_.crashed) breach(nullptr, "calls were lost");
  for (const Function& function : functions_) {
    if (function.waiting + function.running != 0) breach(&function, "a call was never answered");
    if (function.held_mb != 0) breach(&function, "memory is held after the last call");
  }
  if (!instances_.empty()) breach(nullptr, "instances are left after the last call");
  if (held_mb_ > 0.01) breach(nullptr, "memory is held by nobody");
  if (spares_ != 0 || spare_bounds_.taken() != 0 || spare_mb_ > 0.01)
    breach(nullptr, "places of spares were not returned");
  if (needed_mb_ > 0.01) breach(nullptr, "memory is needed by nobody");
}

void Machine::breach(const Function* function, const std::string& what) {
  if (violation_) return;
  violation_ = what + (function == nullptr ? "" : " (function " + std::to_string(function->index) + ")") + " at " +
               std::to_string(static_cast<double>(now_) / 1e9) + " s, event " + std::to_string(totals_.events);
}

}  // namespace ebb::sim
