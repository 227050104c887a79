// The zygote of a version: made when it is first wanted, tried by a deployment, made again after its end.
#include "base/limits.h"
#include "base/log.h"
#include "io/deadline.h"
#include "node/egress.h"
#include "node/memory_pressure.h"
#include "node/sandbox_pool.h"
#include "node/version_runner.h"
#include "sched/keep_alive_worth.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {

constexpr auto kZygoteBackoffMin = 1s;  // after a failed init, doubling
constexpr auto kZygoteBackoffMax = 30s;

// Every instance starts and loads a program of its own: a zygote has nothing of it.
bool runs_program(const model::FunctionSpec& spec) {
  return spec.runtime == "http" || spec.runtime == "lambda" || spec.runtime == "node";
}

}  // namespace

void VersionRunner::prewarm() {
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) { dispatcher_.prewarm(base::steady_now(), actions); });
}

io::Task<ZygoteOutcome> VersionRunner::prepare() {
  const auto waiter = std::make_shared<io::OneShot<ZygoteOutcome>>();
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    trial_ = true;
    last_used_ = base::steady_now();
    dispatcher_.prewarm(base::steady_now(), actions);
    const sched::ZygoteState state = dispatcher_.zygote();
    if (dispatcher_.closed()) {
      waiter->set({.result = base::unavailable(version_.app + "/" + version_.function +
                                               " is being replaced or removed, try again"),
                   .detail = {},
                   .unfit_reason = {}});
    } else if (state != sched::ZygoteState::kStarting) {  // there, or it failed just now and is not tried again yet
      waiter->set(last_zygote_);
    } else {
      zygote_waiters_.push_back(waiter);
    }
  });
  auto outcome = co_await waiter->wait(base::steady_now() + limits::kInitTimeout + 60s);
  if (!outcome) {
    co_return ZygoteOutcome{.result = base::Error{.code = base::Code::kDeadlineExceeded,
                                                  .message = "the zygote of " + version_.app + "/" + version_.function +
                                                             " did not get ready"},
                            .detail = {},
                            .unfit_reason = {}};
  }
  co_return std::move(*outcome);
}

io::Task<> VersionRunner::make_zygote(std::shared_ptr<VersionRunner> self) {
  self->services_.pressure->join(self);
  ZygoteOutcome outcome = co_await self->try_make_zygote();
  for (int tries = 1; tries < kTriesMost && self->lacks_memory(outcome); ++tries) {
    const bool relieved = co_await self->services_.pressure->relieve();
    if (!relieved) break;
    outcome = co_await self->try_make_zygote();
  }
  self->zygote_made(std::move(outcome));
}

// Others give way for calls and deployments that wait, not for what is loaded ahead.
bool VersionRunner::lacks_memory(const ZygoteOutcome& outcome) {
  if (outcome.result || outcome.result.error().code != base::Code::kResourceExhausted) return false;
  base::MutexLock lock(mutex_);
  return zygote_awaited();
}

// A call that comes while the load waits ahead of need hurries it (collect()).
io::Task<StartTurns::Turn> VersionRunner::turn_to_load() {
  StartTurns::Place place;
  {
    base::MutexLock lock(mutex_);
    const bool awaited = zygote_awaited();
    place = services_.load_turns->line_up(starter(), awaited ? StartTurns::Need::kAwaited : StartTurns::Need::kAhead);
    if (!awaited) ahead_place_ = place.id;
  }
  StartTurns::Turn turn = co_await services_.load_turns->wait(std::move(place));
  base::MutexLock lock(mutex_);
  ahead_place_ = 0;
  co_return turn;
}

io::Task<ZygoteOutcome> VersionRunner::try_make_zygote() {
  ZygoteOutcome outcome;
  if (version_.spec.isolation == model::Isolation::kGvisor) {
    std::string reason = "isolation: gvisor";
    co_return co_await do_without_zygote(std::move(reason));
  }
  auto sandbox =
      co_await services_.sandboxes->get(version_.app, uid_index_, version_.layer_key, version_.spec.image.layers);
  if (!sandbox) {
    outcome.result = sandbox.error();
    co_return outcome;
  }
  if (!sandbox->no_forks_because.empty()) {
    co_return co_await do_without_zygote(std::move(sandbox->no_forks_because));
  }
  auto registered = co_await register_version();
  if (!registered) {
    outcome.result = registered.error();
    co_return outcome;
  }
  if (knows_it_is_unfit(*sandbox, outcome)) co_return outcome;
  // Ends with the load. Dozens of loads at once would leave the runtime zygote no processor to fork with.
  const base::SteadyTime lined_up = base::steady_now();
  const StartTurns::Turn turn = co_await turn_to_load();
  const base::Duration waited = base::steady_now() - lined_up;
  const std::uint64_t id = services_.next_zygote++;
  std::vector<os::Fd> ends(2);
  const auto last_words = std::make_shared<sandbox::LastWords>();
  auto out = open_output(store::LogStream::kOut, last_words, &ends[0]);
  auto err = open_output(store::LogStream::kErr, last_words, &ends[1]);
  if (!out || !err) {
    outcome.result = (out ? err : out).error();
    co_return outcome;
  }
  services_.directory.add(wire::Subject::kZygote, id, weak_from_this());
  wire::MakeZygote wanted{
      .zygote = base::ZygoteId{id}, .sandbox = base::SandboxId{sandbox->id}, .version = registered_as_};
  wanted.room.reserved_bytes = services_.reserves.of_others(version_).memory.count;
  {
    base::MutexLock lock(mutex_);
    wanted.room.expected_bytes = zygote_bytes_.count;
    waited_for_turn_ = waited;
  }
  std::string order = encode(wanted);
  auto answer = co_await services_.launcher->ask(wire::LauncherType::kMakeZygote, std::move(order), std::move(ends),
                                                 limits::kInitTimeout, &outcome.detail);
  (*out)->finish();
  (*err)->finish();
  if (!answer) {
    outcome.result = answer.error();
    if (outcome.detail.empty()) outcome.detail = last_words->text(answer.error().message);
    if (answer.error().code == base::Code::kNotFound) outcome.result = base::unavailable(answer.error().message);
    if (answer.error().code == base::Code::kDeadlineExceeded) {
      outcome.result = base::Error{.code = base::Code::kFunctionFailed,
                                   .message = "init of " + version_.app + "/" + version_.function +
                                              " took longer than " + base::to_string(limits::kInitTimeout)};
    }
    services_.launcher->kill(wire::Subject::kZygote, id);
    services_.directory.remove(wire::Subject::kZygote, id);
    co_return outcome;
  }
  last_words->forget();
  const auto made = wire::decode<wire::ZygoteMade>(answer->payload);
  if (!made) {
    outcome.result = made.error();
    co_return outcome;
  }
  const wire::ZygoteReady& ready = made->zygote;
  base::MutexLock lock(mutex_);
  zygote_bytes_ = base::Bytes{made->memory_bytes};
  if (ready.forkable) {
    zygote_id_ = id;
    zygotes_runtime_ = sandbox->use;
  } else {  // it has shown what it was made for; nothing is forked from it
    outcome.unfit_reason = ready.unfit_reason;
    services_.launcher->kill(wire::Subject::kZygote, id);
    services_.directory.remove(wire::Subject::kZygote, id);
    sandbox_id_ = sandbox->id;
    runtime_ = sandbox->use;
  }
  zygote_init_ = std::chrono::nanoseconds(ready.init_ns);
  zygote_booted_sandbox_ = sandbox->booted_at >= zygote_ordered_at_;
  co_return outcome;
}

// As it was, so it is: the version is the same.
bool VersionRunner::knows_it_is_unfit(const ReadySandbox& sandbox, ZygoteOutcome& outcome) {
  base::MutexLock lock(mutex_);
  outcome.unfit_reason = last_zygote_.unfit_reason;
  if (outcome.unfit_reason.empty()) return false;
  sandbox_id_ = sandbox.id;
  runtime_ = sandbox.use;
  return true;
}

// Instances will start fresh, each with its own init. For a deployment one is started and ended, to see that it can be.
io::Task<ZygoteOutcome> VersionRunner::do_without_zygote(std::string reason) {
  ZygoteOutcome outcome;
  outcome.unfit_reason = std::move(reason);
  auto registered = co_await register_version();
  if (!registered) {
    outcome.result = registered.error();
    co_return outcome;
  }
  bool trial = false;
  {
    base::MutexLock lock(mutex_);
    fresh_ = true;
    trial = std::exchange(trial_, false);
  }
  if (!trial) co_return outcome;
  const base::InstanceId id{services_.next_instance++};
  os::Fd peer;
  auto made = sandbox::Instance::make(id, &peer);
  if (!made) {
    outcome.result = made.error();
    co_return outcome;
  }
  const std::shared_ptr<sandbox::Instance> instance = std::move(*made);
  instance->rung = model::Rung::kBoot;
  const base::SteadyTime began = base::steady_now();
  services_.directory.add(wire::Subject::kInstance, raw(id), weak_from_this());
  {
    base::MutexLock lock(mutex_);
    on_trial_ = instance;
  }
  outcome.result = co_await try_start(instance, std::move(peer));
  services_.directory.remove(wire::Subject::kInstance, raw(id));
  read_unclaimed(*instance);
  services_.launcher->kill(wire::Subject::kInstance, raw(id));
  instance->finish_output();
  if (!outcome.result) outcome.detail = instance->last_words->text(outcome.result.error().message);
  base::MutexLock lock(mutex_);
  on_trial_.reset();
  zygote_init_ = base::steady_now() - began;
  co_return outcome;
}

io::Task<base::Result<>> VersionRunner::register_version() {
  if (registered_) co_return base::Result<>();
  if (!secrets_) co_return secrets_.error();
  const model::FunctionSpec& spec = version_.spec;
  wire::MakeVersion order{.version = registered_as_,
                          .app = version_.app,
                          .uid_index = uid_index_,
                          .package_key = version_.package_key,
                          .memory_bytes = spec.memory.count,
                          .cpu_millis = spec.cpu_millis,
                          .pids = limits::kFunctionPids,
                          .instances_max = spec.scale.max,
                          .config = config_for_runtime(*secrets_)};
  if (spec.network == model::Network::kEgress) {
    const auto opened = co_await services_.egress->open();
    if (!opened) co_return opened.error();
    describe_reach(spec, order);
  }
  std::string payload = encode(order);
  std::vector<os::Fd> none;
  const auto answer = co_await services_.launcher->ask(wire::LauncherType::kMakeVersion, std::move(payload),
                                                       std::move(none), kOrderLimit, nullptr);
  if (!answer) co_return answer.error();
  registered_ = true;
  services_.egress->announce(registered_as_, spec);
  co_return base::Result<>();
}

void VersionRunner::zygote_made(ZygoteOutcome outcome) {
  const base::SteadyTime now = base::steady_now();
  std::vector<std::shared_ptr<io::OneShot<ZygoteOutcome>>> waiters;
  const std::string name = version_.app + "/" + version_.function;
  if (!outcome.result) {
    base::log(base::LogLevel::kWarning, "zygote_failed",
              {{"function", name}, {"version", version_.number}, {"error", outcome.result.error().message}});
    sink(store::LogStream::kPlatform)({}, {"init failed: " + outcome.result.error().message});
  } else if (!outcome.unfit_reason.empty()) {
    sink(store::LogStream::kPlatform)(
        {}, {"instances are not forked from a zygote, every one runs init itself: " + outcome.unfit_reason});
  }
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    last_zygote_ = outcome;
    zygote_made_at_ = now;
    last_used_ = std::max(last_used_, now);  // whoever had it loaded is yet to use it
    waiters = std::move(zygote_waiters_);
    zygote_waiters_.clear();
    if (outcome.result) {
      zygote_failures_ = 0;
      zygote_load_ = now - zygote_ordered_at_ - waited_for_turn_;
      const bool loads_again = fresh_ || !outcome.unfit_reason.empty() || runs_program(version_.spec);
      if (loads_again && zygote_init_ > base::Duration::zero()) dispatcher_.loading_takes(zygote_init_);
      if (loads_again && spare_residency_) {
        static_cast<sched::WorthKeepAlive&>(spare_residency_->policy())
            .set_costs(static_cast<double>(zygote_bytes_.count) / (1 << 30), zygote_init_);
      }
      if (residency_) {
        const std::uint64_t held = zygote_id_ != 0 ? zygote_bytes_.count : 0;
        static_cast<sched::WorthKeepAlive&>(residency_->policy())
            .set_costs(static_cast<double>(held) / (1 << 30), zygote_load_);
      }
      dispatcher_.zygote_ready(outcome.unfit_reason.empty() ? sched::ZygoteState::kReady : sched::ZygoteState::kUnfit,
                               now, actions);
    } else {
      const bool no_memory = outcome.result.error().code == base::Code::kResourceExhausted;
      const auto backoff =
          std::min<base::Duration>(kZygoteBackoffMin * (1u << std::min(zygote_failures_, 5u)), kZygoteBackoffMax);
      if (!no_memory) ++zygote_failures_;
      dispatcher_.zygote_failed(no_memory ? now : now + backoff, actions);
    }
  });
  for (const auto& waiter : waiters) waiter->set(outcome);
  drop_if_done();
}

void VersionRunner::zygote_exited(std::uint64_t zygote) {
  services_.directory.remove(wire::Subject::kZygote, zygote);
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    if (zygote == leaving_zygote_ && zygote_left_) std::exchange(zygote_left_, nullptr)->set(true);
    if (zygote == 0 || zygote != zygote_id_) return;
    zygote_id_ = 0;
    zygotes_runtime_.reset();
    dispatcher_.zygote_lost(base::steady_now(), actions);
  });
}

}  // namespace ebb::node
