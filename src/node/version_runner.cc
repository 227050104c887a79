#include "node/version_runner.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/json/serialize.hpp>

#include "base/limits.h"
#include "base/limits_spares.h"
#include "base/log.h"
#include "io/deadline.h"
#include "node/egress.h"
#include "sched/keep_alive_worth.h"

namespace ebb::node {

namespace asio = io::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kGrantHandover = 10s;  // from the dispatcher's decision to the waiter, across cores: microseconds

sched::DispatcherOptions options_of(const model::FunctionSpec& spec, const model::Config& config) {
  return {.instances_min = spec.scale.min,
          .instances_max = spec.scale.max,
          .concurrency = spec.concurrency,
          .idle_timeout = spec.idle_timeout,
          .freeze_after = config.freeze_after == base::Duration::zero() ? base::Duration::max() : config.freeze_after,
          .reuse = spec.reuse == model::Reuse::kAlways,
          .queue_max = limits::kQueuedPerVersion,
          .max_wait = spec.max_wait,
          .starting_max = limits::kStartsAtOnce,
          .spare_from = config.max_spares > 0 ? base::Duration(limits::kSpareLoading) : base::Duration::max()};
}

sandbox::LastWords::From stream_of(store::LogStream stream) {
  return stream == store::LogStream::kErr ? sandbox::LastWords::From::kErr : sandbox::LastWords::From::kOut;
}

/// Rounded up: what Retry-After can say.
std::chrono::seconds seconds_of(base::Duration time) { return std::chrono::ceil<std::chrono::seconds>(time); }

}  // namespace

VersionRunner::VersionRunner(Services& services, model::Version version, std::uint32_t uid_index,
                             base::Result<SecretValues> secrets)
    : services_(services),
      version_(std::move(version)),
      registered_as_{services.next_registration++},
      uid_index_(uid_index),
      secrets_(std::move(secrets)),
      metrics_(services.metrics.function(version_.app, version_.function)),
      account_(services.budgets.account(version_.app)),
      gate_(services.quotas.gate(version_.app)),
      answers_(services.answers.of(version_.app)),
      request_bodies_(services.request_bodies.of(version_.app)),
      runtime_plan_(services.sandboxes->plan_of(version_.app, version_.layer_key, version_.spec.image.layers)),
      dispatcher_(options_of(version_.spec, services.config), &services.next_instance, &services.processors),
      schedule_(version_.spec.scale),
      held_(base::steady_now(), base::wall_now()),
      instance_bytes_(version_.spec.memory) {
  if (services.config.keep_alive_price > 0) {
    const sched::WorthOptions options{.price = static_cast<double>(services.config.keep_alive_price)};
    residency_.emplace(std::make_unique<sched::WorthKeepAlive>(options));
    residency_->became_idle(base::steady_now());
    spare_residency_.emplace(std::make_unique<sched::WorthKeepAlive>(options));
    spare_residency_->became_idle(base::steady_now());
  }
  base::MutexLock lock(mutex_);
  last_used_ = base::steady_now();  // who asked for it is about to use it
  update_reserve();
}

VersionRunner::Effects VersionRunner::collect(const sched::Actions& actions) {
  Effects effects;
  const auto waiter_of = [&](sched::CallId call) EBB_REQUIRES(mutex_) {
    const auto at = waiting_.find(call);
    EBB_CHECK(at != waiting_.end());
    Waiter waiter = std::move(at->second);
    waiting_.erase(at);
    return waiter;
  };
  if (spare_place_ && !dispatcher_.spare()) spare_place_.reset();
  // Calls that wait for a busy instance are looked at again sooner than the engine's tick.
  if (dispatcher_.queued() > 0) {
    services_.processor_pressure.look(base::steady_now());
    const base::SteadyTime next = dispatcher_.next_tick();
    if (next < wakes_at_) effects.wake_at = wakes_at_ = next;
  }
  if (ahead_place_ != 0 && zygote_awaited()) effects.hurry = std::exchange(ahead_place_, 0);
  for (const sched::Action& action : actions) {
    if (const auto* lease = std::get_if<sched::LeaseTo>(&action)) {
      const std::shared_ptr<sandbox::Instance>& instance = instances_.at(lease->instance);
      if (lease->thaw) {
        instance->thawed = true;
        effects.freezes.emplace_back(wire::LauncherType::kThaw,
                                     wire::FreezeOrder{.instance = lease->instance, .sequence = next_freeze_++});
      }
      if (lease->spare) instance->spare = true;
      effects.grants.emplace_back(waiter_of(lease->call), instance);
    } else if (const auto* refuse = std::get_if<sched::Refuse>(&action)) {
      effects.grants.emplace_back(waiter_of(refuse->call), Refusal{.why = refuse->why, .wait = refuse->wait});
    } else if (const auto* start = std::get_if<sched::StartInstance>(&action)) {
      effects.starts.push_back(start->instance);
    } else if (const auto* retire = std::get_if<sched::Retire>(&action)) {
      const auto at = instances_.find(retire->instance);
      if (at == instances_.end()) continue;
      effects.retired.push_back(at->second);
      rooms_.at(retire->instance).leave();
      services_.departures.leaving();
      if (!at->second->program) continue;
      effects.freezes.emplace_back(wire::LauncherType::kThaw,  // it is to hear that it ends
                                   wire::FreezeOrder{.instance = retire->instance, .sequence = next_freeze_++});
    } else if (const auto* freeze = std::get_if<sched::Freeze>(&action)) {
      effects.freezes.emplace_back(wire::LauncherType::kFreeze,
                                   wire::FreezeOrder{.instance = freeze->instance, .sequence = next_freeze_++});
    } else if (std::get_if<sched::StartZygote>(&action)) {
      effects.start_zygote = true;
      zygote_ordered_at_ = base::steady_now();
    }
  }
  return effects;
}

void VersionRunner::perform(Effects effects) {
  // Nobody waits for a thaw: the request lies in the channel when the instance wakes up.
  for (const auto& [type, order] : effects.freezes) services_.launcher->tell(type, encode(order));
  for (auto& [waiter, grant] : effects.grants) waiter->set(std::move(grant));
  if (effects.hurry != 0) services_.load_turns->hurry(uid_index_, effects.hurry);
  if (effects.start_zygote) io::spawn(services_.here(), "make zygote", make_zygote(shared_from_this()));
  if (effects.wake_at) io::spawn(services_.here(), "look again", look_again(shared_from_this(), *effects.wake_at));
  for (const base::InstanceId id : effects.starts) {
    io::spawn(services_.here(), "start instance", start_instance(shared_from_this(), id));
  }
  for (const auto& instance : effects.retired) {
    if (instance->program) {
      io::spawn(services_.here(), "end a program", end_program(shared_from_this(), instance));
    } else {
      services_.launcher->kill(wire::Subject::kInstance, raw(instance->id));
    }
  }
}

io::Task<> VersionRunner::end_program(std::shared_ptr<VersionRunner> self,
                                      std::shared_ptr<sandbox::Instance> instance) {
  instance->channel.shut_down();  // to the runtime in it: SIGTERM to the program, and SIGKILL if it does not help
  const base::SteadyTime limit =
      base::steady_now() + self->version_.spec.lifecycle.pre_stop + limits::kProgramEndTimeout;
  const std::optional<wire::Exited> ended = co_await instance->exited.wait(limit);
  if (!ended) self->services_.launcher->kill(wire::Subject::kInstance, raw(instance->id));
}

io::Task<> VersionRunner::look_again(std::shared_ptr<VersionRunner> self, base::SteadyTime at) {
  co_await io::sleep_until(at);
  self->woken(at);
}

void VersionRunner::woken(base::SteadyTime due) {
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    if (wakes_at_ == due) wakes_at_ = base::SteadyTime::max();
    dispatcher_.tick(base::steady_now(), actions);
  });
}

// In a flood most calls come to no more than this.
std::optional<Reply> VersionRunner::refuses(const Call& call) {
  if (account_->spent()) return std::nullopt;
  std::optional<sched::Refuse> overload;
  const base::SteadyTime now = base::steady_now();
  services_.processor_pressure.look(now);
  {
    base::MutexLock lock(mutex_);
    overload = dispatcher_.overload(sched::CallId{}, now);
  }
  if (!overload) return std::nullopt;
  return refused(call, {.why = overload->why, .wait = overload->wait});
}

io::Task<Reply> VersionRunner::invoke(Call& call) {
  if (account_->spent()) {
    co_return Reply{.version_number = version_.number, .error = services_.budgets.refusal(*account_, base::wall_now())};
  }
  // From here on a cancelled wait returns instead of throwing, so that nothing is left half done.
  co_await asio::this_coro::throw_if_cancelled(false);
  const Waiter waiter = std::make_shared<io::OneShot<Grant>>();
  sched::CallId id{};
  const base::SteadyTime now = base::steady_now();
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    id = sched::CallId{next_call_++};
    last_used_ = now;
    ++calls_;
    yielded_ = false;
    if (residency_) residency_->call_arrived(now);
    if (spare_residency_ && dispatcher_.keeps_spares()) spare_residency_->call_arrived(now);
    waiting_.emplace(id, waiter);
    dispatcher_.call_arrived(id, now, actions);
  });
  const base::SteadyTime deadline = call.whole_at + limits::kQueueTimeout;
  std::optional<Grant> grant = waiter->take_now();
  if (!grant) grant = co_await waiter->wait(deadline);
  if (!grant) {
    bool withdrawn = false;
    {
      base::MutexLock lock(mutex_);
      withdrawn = dispatcher_.call_withdrawn(id);
      waiting_.erase(id);
      note_rest(base::steady_now());
    }
    // A grant is on its way in this very moment, from another core: it is given back below.
    const base::SteadyTime soon = base::steady_now() + kGrantHandover;
    if (!withdrawn) grant = co_await waiter->wait(soon);
    const auto state = co_await asio::this_coro::cancellation_state;
    const bool cancelled = state.cancelled() != asio::cancellation_type::none;
    if (grant && std::holds_alternative<std::shared_ptr<sandbox::Instance>>(*grant)) {
      give_back(std::get<std::shared_ptr<sandbox::Instance>>(*grant), true);
    }
    Reply reply{.version_number = version_.number};
    reply.phases.queue = base::steady_now() - call.arrived;
    reply.error = cancelled ? base::Error{.code = base::Code::kCancelled, .message = "the caller went away"}
                            : base::Error{.code = base::Code::kDeadlineExceeded,
                                          .message = "no instance of " + version_.app + "/" + version_.function +
                                                     " came free within " + base::to_string(limits::kQueueTimeout) +
                                                     ", raise scale.max or try later"};
    co_return reply;
  }
  if (const auto* refusal = std::get_if<Refusal>(&*grant)) co_return refused(call, *refusal);
  std::shared_ptr<sandbox::Instance> instance = std::get<std::shared_ptr<sandbox::Instance>>(std::move(*grant));
  co_return co_await serve(call, std::move(instance));
}

void VersionRunner::give_back(const std::shared_ptr<sandbox::Instance>& instance, bool healthy, base::Duration cpu,
                              base::Duration time) {
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    const base::SteadyTime now = base::steady_now();
    last_used_ = now;
    services_.processor_pressure.look(now);
    dispatcher_.call_used(cpu, time, now);
    if (healthy) {
      dispatcher_.call_finished(instance->id, now, actions);
    } else {
      dispatcher_.call_spoiled(instance->id, now, actions);
    }
    note_rest(now);
  });
}

Reply VersionRunner::refused(const Call& call, const Refusal& refusal) {
  Reply reply{.version_number = version_.number};
  reply.phases.queue = base::steady_now() - call.arrived;
  const std::string name = version_.app + "/" + version_.function;
  base::MutexLock lock(mutex_);
  switch (refusal.why) {
    case sched::Refuse::Why::kQueueFull:
      reply.error = base::Error{.code = base::Code::kResourceExhausted,
                                .message = name + " has " + std::to_string(limits::kQueuedPerVersion) +
                                           " calls waiting, its bound; try later or raise scale.max",
                                .retry_after = std::max<std::chrono::seconds>(1s, seconds_of(refusal.wait))};
      break;
    case sched::Refuse::Why::kTooLong: reply.error = too_long(refusal.wait); break;
    case sched::Refuse::Why::kZygoteFailed:
      reply.error = last_zygote_.result ? base::unavailable(name + " is starting") : last_zygote_.result.error();
      break;
    case sched::Refuse::Why::kStartFailed: reply.error = last_start_error_; break;
    case sched::Refuse::Why::kClosed:
      reply.replaced = true;
      reply.error = base::Error{.code = base::Code::kUnavailable,
                                .message = name + " is being replaced or removed, try again",
                                .retry_after = 1s};
      break;
  }
  return reply;
}

base::Error VersionRunner::too_long(base::Duration wait) {
  const std::chrono::seconds told = seconds_of(wait);
  if (last_too_long_.retry_after == told) return last_too_long_;
  last_too_long_ = {.code = base::Code::kResourceExhausted,
                    .message = version_.app + "/" + version_.function + " has more calls than its " +
                               std::to_string(version_.spec.scale.max) +
                               " instances can serve: this one would wait about " + base::to_string(told) +
                               ", more than max_wait (" + base::to_string(version_.spec.max_wait) +
                               "); try later, or raise scale.max or max_wait",
                    .retry_after = told};
  return last_too_long_;
}

// --- instances ---

void VersionRunner::forget_instance(base::InstanceId id) {
  std::shared_ptr<sandbox::Instance> instance;
  std::optional<Gate::Room> room;
  {
    base::MutexLock lock(mutex_);
    const auto at = instances_.find(id);
    if (at == instances_.end()) return;
    instance = std::move(at->second);
    instances_.erase(at);
    room.emplace(std::move(rooms_.extract(id).mapped()));
    update_reserve();
  }
  services_.directory.remove(wire::Subject::kInstance, raw(id));
  --services_.instances;
  if (room->leaving()) services_.departures.gone();
  instance->close_output();
}

void VersionRunner::instance_exited(const wire::Exited& event) {
  const base::InstanceId id{event.id};
  std::shared_ptr<sandbox::Instance> instance;
  {
    base::MutexLock lock(mutex_);
    const auto at = instances_.find(id);
    if (at != instances_.end()) instance = at->second;
    if (on_trial_ && on_trial_->id == id) instance = on_trial_;
  }
  if (instance) {
    instance->finish_output();
    instance->shares.see(std::chrono::nanoseconds(event.cpu_ns));
    count_unclaimed(*instance);
    note_memory(base::Bytes{event.memory_peak_bytes});
    base::MutexLock lock(mutex_);
    instance->exited.set(event);
    // Its start is told by its channel, where what it said of its end comes before it, and tells the rest.
    if (dispatcher_.is_starting(id)) return;
  }
  forget_instance(id);
  handle([&](sched::Actions& actions)
             EBB_REQUIRES(mutex_) { dispatcher_.instance_gone(id, base::steady_now(), actions); });
  drop_if_done();
}

// --- life of the runner ---

void VersionRunner::tick(base::SteadyTime now) {
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    if (dispatcher_.next_tick() <= now) dispatcher_.tick(now, actions);
  });
  follow_schedule(base::wall_now());
  follow_plan(now);
  tell_runtime_plan();
  follow_spare(now);
  count_held(now);
  rest(now);
}

void VersionRunner::follow_schedule(base::WallTime now) {
  std::uint32_t before = 0;
  std::uint32_t minimum = 0;
  {
    base::MutexLock lock(mutex_);
    if (standing_ == Standing::kOld) return;
    before = dispatcher_.minimum();
    minimum = account_->spent() ? 0 : schedule_.minimum(now);  // instances that are kept cost, too
    dispatcher_.set_minimum(minimum);
  }
  if (minimum == before) return;
  base::log(base::LogLevel::kInfo, "minimum",
            {{"function", version_.app + "/" + version_.function}, {"instances", minimum}, {"before", before}});
  if (minimum > before) prewarm();
}

void VersionRunner::stand_as(Standing standing) {
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    standing_ = standing;
    if (standing != Standing::kCurrent) expected_ = {};  // whose place it has is called
    if (standing == Standing::kOld) {
      dispatcher_.set_minimum(0);
      dispatcher_.keep_no_spare(actions);
    } else {  // the next tick sees to the minimum
      dispatcher_.may_keep_spare();
    }
    update_reserve();
  });
}

void VersionRunner::close() {
  {
    base::MutexLock lock(mutex_);
    if (dropped_) return;
    until_dropped_ = shared_from_this();
  }
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    dispatcher_.close(actions);
    update_reserve();
  });
  drop_if_done();
}

bool VersionRunner::unused_for(base::Duration time, base::SteadyTime now) {
  base::MutexLock lock(mutex_);
  const bool starting = dispatcher_.zygote() == sched::ZygoteState::kStarting;
  return !starting && dispatcher_.instances() == 0 && dispatcher_.queued() == 0 && now - last_used_ > time;
}

// The launcher forgets a closed version, zygote included, once its last instance is gone.
void VersionRunner::drop_if_done() {
  std::shared_ptr<VersionRunner> last;  // let go of when the lock is free and all is done
  {
    base::MutexLock lock(mutex_);
    const bool starting = dispatcher_.zygote() == sched::ZygoteState::kStarting;
    if (!dispatcher_.closed() || dropped_ || starting || !instances_.empty()) return;
    dropped_ = true;
    last = std::move(until_dropped_);
    if (zygote_id_ != 0) services_.directory.remove(wire::Subject::kZygote, zygote_id_);
  }
  const base::Result<> noted = note_held(base::steady_now(), base::Duration::zero());
  if (!noted) base::log(base::LogLevel::kError, "held_not_noted", {{"error", noted.error().message}});
  if (registered_) services_.egress->forget(registered_as_);
  services_.launcher->tell(wire::LauncherType::kDropVersion, encode(wire::DropVersion{.version = registered_as_}));
}

FunctionView VersionRunner::view() {
  base::MutexLock lock(mutex_);
  FunctionView view{.version = version_};
  switch (dispatcher_.zygote()) {
    case sched::ZygoteState::kAbsent: view.zygote = "absent"; break;
    case sched::ZygoteState::kStarting: view.zygote = "starting"; break;
    case sched::ZygoteState::kReady: view.zygote = "ready"; break;
    case sched::ZygoteState::kUnfit: view.zygote = "unfit"; break;
  }
  view.zygote_note = last_zygote_.result ? last_zygote_.unfit_reason : last_zygote_.result.error().message;
  view.idle = dispatcher_.idle();
  view.starting = dispatcher_.starting();
  view.spares = dispatcher_.spares();
  view.busy = dispatcher_.instances() - view.idle - view.starting - view.spares;
  view.queued = dispatcher_.queued();
  return view;
}

sandbox::OutputPipe::Sink VersionRunner::sink(store::LogStream stream, std::shared_ptr<sandbox::LastWords> last_words) {
  return [&log = services_.log, app = version_.app, function = version_.function, stream, last_words](
             const base::InvocationId& id, const std::vector<std::string>& lines) {
    if (last_words) last_words->add(stream_of(stream), lines);
    std::vector<store::LogLine> records;
    const base::WallTime now = base::wall_now();
    for (const std::string& line : lines)
      records.push_back({.invocation = id, .wall = now, .stream = stream, .instance = {}, .text = line});
    const auto appended = log.append(app, function, records);
    if (!appended)
      base::log(base::LogLevel::kError, "function_log_lost",
                {{"function", app + "/" + function}, {"error", appended.error().message}});
  };
}

base::Result<std::shared_ptr<sandbox::OutputPipe>> VersionRunner::open_output(
    store::LogStream stream, std::shared_ptr<sandbox::LastWords> last_words, os::Fd* write_end) {
  const auto rest = [stream, last_words](const std::vector<std::string>& lines) {
    last_words->add(stream_of(stream), lines);
  };
  return sandbox::OutputPipe::open(services_.here(), sink(stream, last_words), write_end, rest);
}

// Secrets are environment like any other from here on: user code reads os.environ as it is imported, so init has them
// too, and a new value is a new version with a zygote of its own.
std::string VersionRunner::config_for_runtime(const SecretValues& secrets) const {
  boost::json::object env;
  for (const auto& [name, value] : version_.spec.env) env[name] = value;
  for (const auto& [name, value] : secrets) env[name] = value;
  const model::Batch& batch = version_.spec.batch;
  boost::json::object served;
  if (!version_.spec.model.empty()) {
    const double window_ms = std::chrono::duration<double, std::milli>(batch.window).count();
    served = {{"file", version_.spec.model},
              {"batch_size", batch.size},
              {"batch_window_ms", window_ms},
              {"platform", EBB_VERSION}};
  }
  boost::json::object config{
      {"app", version_.app},
      {"function", version_.function},
      {"version", version_.number},
      {"handler", version_.spec.handler},
      {"command", version_.spec.command},
      {"interface", std::string(name_of(version_.spec.interface))},
      {"env", std::move(env)},
      {"memory_bytes", version_.spec.memory.count},
      {"timeout_ms", std::chrono::duration_cast<std::chrono::milliseconds>(version_.spec.timeout).count()},
      {"concurrency", version_.spec.concurrency},
      {"kind", version_.spec.runtime},
      {"model", std::move(served)},
  };
  if (version_.spec.contract == model::Contract::kFc) {
    const auto milliseconds = [](base::Duration time) {
      return std::chrono::duration_cast<std::chrono::milliseconds>(time).count();
    };
    const model::Lifecycle& lifecycle = version_.spec.lifecycle;
    // Its port is a fixed one, which instances in one network cannot share; the way out leads through one network.
    config.emplace("fc", boost::json::object{{"initialize_ms", milliseconds(lifecycle.initialize)},
                                             {"pre_stop_ms", milliseconds(lifecycle.pre_stop)},
                                             {"own_network", version_.spec.network == model::Network::kNone}});
  }
  if (const model::Image& image = version_.spec.image; image.found()) {
    config.emplace("image", to_json(image));
  }
  return boost::json::serialize(config);
}

}  // namespace ebb::node
