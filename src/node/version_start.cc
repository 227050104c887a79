// A start of an instance: whose turn it is, the order to the launcher, the instance's first word, and what becomes of
// one that fails.
#include <boost/json/parse.hpp>

#include "base/limits.h"
#include "base/log.h"
#include "io/deadline.h"
#include "node/instance_end.h"
#include "node/memory_pressure.h"
#include "node/start_turns.h"
#include "node/version_runner.h"

namespace ebb::node {

using namespace std::chrono_literals;

base::Result<std::shared_ptr<sandbox::Instance>> VersionRunner::new_instance(base::InstanceId id, Gate::Room room,
                                                                             os::Fd* peer) {
  const std::uint32_t reserved = services_.reserves.of_others(version_).instances;
  if (services_.instances.fetch_add(1) + reserved >= services_.config.max_instances) {
    --services_.instances;
    return base::Error{.code = base::Code::kResourceExhausted,
                       .message = "this node runs its most of " + std::to_string(services_.config.max_instances) +
                                  " instances" +
                                  (reserved == 0 ? "" : ", of which others reserve " + std::to_string(reserved)),
                       .retry_after = 1s};
  }
  auto made = sandbox::Instance::make(id, peer);
  if (!made) {
    --services_.instances;
    return made.error();
  }
  const std::shared_ptr<sandbox::Instance> instance = std::move(*made);
  instance->ordered_at = base::steady_now();
  services_.directory.add(wire::Subject::kInstance, raw(id), weak_from_this());
  base::MutexLock lock(mutex_);
  instance->rung = fresh_                                               ? model::Rung::kBoot
                   : dispatcher_.zygote() == sched::ZygoteState::kUnfit ? model::Rung::kRuntime
                                                                        : model::Rung::kFork;
  instances_.emplace(id, instance);
  rooms_.emplace(id, std::move(room));
  update_reserve();
  return instance;
}

StartTurns::Starter VersionRunner::starter_of_instance() {
  StartTurns::Starter one = starter();
  base::MutexLock lock(mutex_);
  one.usual = dispatcher_.start_time();
  return one;
}

io::Task<> VersionRunner::start_instance(std::shared_ptr<VersionRunner> self, base::InstanceId id) {
  Departures& of_node = self->services_.departures;
  Departures& of_quota = Gate::departures(*self->gate_);
  const base::SteadyTime limit = base::steady_now() + limits::kDepartureTimeout;
  for (int tries = 1;; ++tries) {
    std::optional<StartTurns::Turn> turn = co_await self->services_.turns->take(self->starter_of_instance());
    if (!self->has_source(id)) co_return;  // it may have gone while this waited
    const std::uint64_t gone_of_node = of_node.so_far();
    const std::uint64_t gone_of_quota = of_quota.so_far();
    os::Fd peer;
    base::Result<Gate::Room> room = Gate::make_room(self->gate_, self->version_.spec.memory);
    const bool within_quota = room.has_value();  // else others' spares would go for nothing
    auto instance = within_quota ? self->new_instance(id, *std::move(room), &peer) : room.error();
    base::Result<> started;
    if (instance) {
      started = co_await self->try_start(*instance, std::move(peer));
    } else {
      started = instance.error();
    }
    turn.reset();
    const bool no_room = !started && started.error().code == base::Code::kResourceExhausted;
    bool relieved = false;
    const Claim claim = no_room ? self->claim_of(id) : Claim::kNothing;
    if (claim != Claim::kNothing) {
      const bool memory = instance.has_value();
      const bool takes_idle = claim == Claim::kIdle;
      if (!within_quota) {
        if (takes_idle && self->gate_->may_ever_hold(self->version_.spec.memory)) {
          self->displaces(id);
          self->services_.pressure->retire_idle_of(self->version_.app);
        }
        relieved = co_await of_quota.more_than(gone_of_quota, limit);
      }
      if (within_quota && !memory) relieved = co_await of_node.more_than(gone_of_node, limit);
      if (!relieved && within_quota && takes_idle && tries < kTriesMost) {
        relieved = co_await self->relieved_of(id, memory);
      }
    }
    if (relieved) continue;
    self->start_ended(id, instance ? *instance : nullptr, started);
    co_return;
  }
}

VersionRunner::Claim VersionRunner::claim_of(base::InstanceId id) {
  base::MutexLock lock(mutex_);
  return dispatcher_.claim_of(id, base::steady_now());
}

void VersionRunner::displaces(base::InstanceId id) {
  base::MutexLock lock(mutex_);
  dispatcher_.displaces(id);
}

bool VersionRunner::has_source(base::InstanceId id) {
  {
    base::MutexLock lock(mutex_);
    const sched::ZygoteState zygote = dispatcher_.zygote();
    if (fresh_ || zygote == sched::ZygoteState::kReady) return true;
    if (zygote == sched::ZygoteState::kUnfit && runtime_is_there()) return true;
  }
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    const base::SteadyTime now = base::steady_now();
    // Only here it is seen that its runtime zygote has gone: nothing of the version was in it.
    if (dispatcher_.zygote() == sched::ZygoteState::kUnfit) dispatcher_.zygote_lost(now, actions);
    dispatcher_.instance_gone(id, now, actions);
  });
  return false;
}

bool VersionRunner::runtime_is_there() const {
  const std::shared_ptr<const RuntimeUse> use = runtime_.lock();
  return use && !use->gone;
}

io::Task<bool> VersionRunner::relieved_of(base::InstanceId id, bool memory) {
  displaces(id);
  if (!memory) co_return co_await services_.pressure->give_up_spare();
  forget_instance(id);
  {
    base::MutexLock lock(mutex_);
    ++short_of_memory_;
  }
  const bool relieved = co_await services_.pressure->relieve();
  base::MutexLock lock(mutex_);
  --short_of_memory_;
  co_return relieved;
}

void VersionRunner::start_ended(base::InstanceId id, const std::shared_ptr<sandbox::Instance>& instance,
                                base::Result<> started) {
  const base::SteadyTime now = base::steady_now();
  if (started) {
    instance->ready_at = now;
    instance->last_words->forget();
    std::optional<wire::Exited> exit;
    handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
      exit = instance->exited.now();
      if (exit) return;
      note_loading(*instance);
      told_short_.clear();  // the next want of room is news again
      dispatcher_.instance_ready(id, now, actions);
    });
    if (!exit) return;
    started = end_of_start(*exit);
  }
  const bool exhausted = started.error().code == base::Code::kResourceExhausted;
  // Its zygote or its sandbox has ended, or the like, and what else was under way there fails with it.
  const bool together =
      started.error().code == base::Code::kNotFound || started.error().code == base::Code::kUnavailable;
  bool told = false;
  {
    base::MutexLock lock(mutex_);
    told = exhausted && told_short_ == started.error().message;  // it is tried once a second
    if (exhausted) told_short_ = started.error().message;
  }
  if (!told) {
    base::log(base::LogLevel::kWarning, "start_failed",
              {{"function", version_.app + "/" + version_.function}, {"error", started.error().message}});
  }
  if (instance) {
    read_unclaimed(*instance);
    services_.launcher->kill(wire::Subject::kInstance, raw(id));
    instance->finish_output();  // what it said of its failure was written before it told of that
    if (started.error().code == base::Code::kFunctionFailed) {
      sink(store::LogStream::kPlatform)({}, {"start failed: " + started.error().message});
    }
    forget_instance(id);
  }
  handle([&](sched::Actions& actions) EBB_REQUIRES(mutex_) {
    last_start_error_ = started.error();
    if (last_start_error_.code == base::Code::kNotFound) last_start_error_.code = base::Code::kUnavailable;
    // Who calls is told of want of memory after some tries; for the minimum it is a want of room like another.
    const bool for_minimum = dispatcher_.queued() == 0 && dispatcher_.spare() != id;
    if (exhausted && (!instance || for_minimum)) {
      dispatcher_.no_room(id, now, actions);
    } else {
      dispatcher_.start_failed(id, now, actions, together);
    }
  });
  drop_if_done();
}

io::Task<base::Result<>> VersionRunner::try_start(std::shared_ptr<sandbox::Instance> instance, os::Fd peer) {
  std::vector<os::Fd> fds(3);
  fds[0] = std::move(peer);
  auto out = open_output(store::LogStream::kOut, instance->last_words, &fds[1]);
  if (!out) co_return out.error();
  instance->out = *out;
  auto err = open_output(store::LogStream::kErr, instance->last_words, &fds[2]);
  if (!err) co_return err.error();
  instance->err = *err;

  auto answer = co_await order_start(instance, std::move(fds));
  if (!answer) co_return answer.error();
  if (answer->fds.size() != 2) co_return base::internal("the launcher's answer to a fork lacks the usage files");
  instance->measure_by({.cpu = std::move(answer->fds[0]), .memory_peak = std::move(answer->fds[1])});

  auto moved = instance->channel.move_to(services_.here());
  if (!moved) co_return moved.error();
  if (instance->rung == model::Rung::kBoot) {
    const wire::FrameHeader header{.type = wire::FrameType::kConfigure};
    const std::string config = config_for_runtime(*secrets_);
    auto sent = co_await instance->channel.send(header, "", config);
    if (!sent) {
      base::Error error = sent.error();
      co_return co_await why_gone(instance, std::move(error));
    }
  }
  // A program is started after the fork, as it was when the zygote tried it out; other forks run hooks at most.
  const std::string& runtime = version_.spec.runtime;
  const bool starts_program = runtime == "http" || runtime == "lambda" || runtime == "node";
  const bool quick = instance->rung == model::Rung::kFork && !starts_program;
  const base::SteadyTime deadline =
      base::steady_now() + (quick ? base::Duration(kOrderLimit) : base::Duration(limits::kInitTimeout));
  sandbox::HeldAnswer held(answers_);  // no answer yet, but whatever it sends in place of the frame that is due
  sandbox::Frame frame;
  const auto got =
      co_await io::with_deadline(instance->channel.receive_into(frame, &held), deadline, "the instance's first frame");
  if (!got && got.error().code == base::Code::kResourceExhausted) co_return base::unavailable(got.error().message);
  if (!got) {
    base::Error error = got.error();
    co_return co_await why_gone(instance, std::move(error));
  }
  boost::system::error_code bad_json;
  const boost::json::value meta = boost::json::parse(frame.meta, bad_json);
  const boost::json::object* fields = bad_json ? nullptr : meta.if_object();
  if (fields == nullptr) co_return base::internal("the instance's first frame is not JSON");
  if (frame.header.type == wire::FrameType::kError) {
    const auto* message = fields->if_contains("message");
    const auto* type = fields->if_contains("type");
    std::string text = type && type->is_string() ? std::string(type->get_string()) + ": " : std::string();
    if (message && message->is_string()) text += std::string(message->get_string());
    co_return base::Error{.code = base::Code::kFunctionFailed,
                          .message = "init of " + version_.app + "/" + version_.function + " failed: " + text};
  }
  if (frame.header.type != wire::FrameType::kReady)
    co_return base::internal("the instance's first frame is not kReady");
  const auto* init_ns = fields->if_contains("init_ns");
  if (init_ns && init_ns->is_int64())
    instance->init = std::chrono::nanoseconds(std::max<std::int64_t>(0, init_ns->get_int64()));
  const auto* port = fields->if_contains("port");
  const bool reachable = model::listens(version_.spec);
  const bool several = !reachable && version_.spec.concurrency > 1;
  if (!reachable && !several) co_return base::Result<>();
  if (!port || !port->is_int64() || port->get_int64() < 1 || port->get_int64() > 65'535)
    co_return base::internal("the instance does not say where it listens");
  (reachable ? instance->program : instance->several) = std::make_shared<sandbox::ProgramPort>(
      services_.launcher, instance->id, static_cast<std::uint16_t>(port->get_int64()), version_.spec.concurrency);
  co_return base::Result<>();
}

io::Task<base::Error> VersionRunner::why_gone(std::shared_ptr<sandbox::Instance> instance, base::Error error) {
  if (error.code != base::Code::kUnavailable) co_return error;
  const base::SteadyTime told_by = base::steady_now() + kExitReport;
  const std::optional<wire::Exited> exit = co_await instance->exited.wait(told_by);
  if (exit) co_return end_of_start(*exit);
  co_return error;
}

base::Error VersionRunner::end_of_start(const wire::Exited& exit) const {
  const bool own_doing = !exit.orphaned && !ended_for_the_node(exit, version_);
  return base::Error{
      .code = own_doing ? base::Code::kFunctionFailed : base::Code::kUnavailable,
      .message = "init of " + version_.app + "/" + version_.function + " failed: " + how_it_ended(exit, version_)};
}

io::Task<base::Result<sandbox::LauncherAnswer>> VersionRunner::order_start(std::shared_ptr<sandbox::Instance> instance,
                                                                           std::vector<os::Fd> fds) {
  wire::Fork order{.instance = instance->id, .version = registered_as_};
  order.room.reserved_bytes = services_.reserves.of_others(version_).memory.count;
  {
    base::MutexLock lock(mutex_);
    const bool unfit = instance->rung == model::Rung::kRuntime;
    if (unfit) instance->source = runtime_.lock();
    order.source = unfit ? wire::Subject::kSandbox : wire::Subject::kZygote;
    order.source_id = unfit ? sandbox_id_ : zygote_id_;
    order.room.expected_bytes = instance_bytes_.value().count;
  }
  if (instance->rung == model::Rung::kBoot) {
    std::string start = encode(wire::Start{.instance = instance->id,
                                           .version = registered_as_,
                                           .layer_key = version_.layer_key,
                                           .gvisor = version_.spec.isolation == model::Isolation::kGvisor,
                                           .room = order.room,
                                           .image_layers = version_.spec.image.layers});
    co_return co_await services_.launcher->ask(wire::LauncherType::kStart, std::move(start), std::move(fds),
                                               kOrderLimit, nullptr);
  }
  std::string payload = encode(order);
  auto answer = co_await services_.launcher->ask(wire::LauncherType::kFork, std::move(payload), std::move(fds),
                                                 kOrderLimit, nullptr);
  if (!answer && answer.error().code == base::Code::kNotFound) {
    // Its exit may be told only later: until then every start would fail like this one, and those who wait be refused.
    if (order.source == wire::Subject::kZygote) zygote_exited(order.source_id);
  }
  co_return answer;
}

}  // namespace ebb::node
