// The record is opened, the request goes down the channel, the answer comes back, the record is closed, the instance is
// given back. What comes between the head of a stream and its end is in invocation_stream.cc.
#include "node/invocation.h"

#include <algorithm>

#include "base/limits.h"
#include "http/error_response.h"
#include "meter/cu.h"
#include "node/instance_end.h"
#include "node/lambda_log.h"
#include "node/result_frame.h"
#include "node/timer_call.h"

namespace ebb::node {

namespace asio = io::asio;
using namespace std::chrono_literals;

namespace {

std::string meta_of(const Call& call, const model::FunctionSpec& spec) {
  const auto deadline =
      std::chrono::duration_cast<std::chrono::milliseconds>((base::wall_now() + spec.timeout).time_since_epoch());
  const bool either = tells_timer_either_way(spec, call);
  std::string meta = R"({"kind":")";
  meta += either ? "timer" : call.kind == Call::Kind::kHttp ? "http" : "direct";
  meta += R"(","request_id":")" + base::to_string(call.id);
  meta += R"(","deadline_ms":)" + std::to_string(deadline.count());
  if (!call.traceparent.empty()) meta += R"(,"traceparent":)" + http::json_quoted(call.traceparent);
  if (!call.tracestate.empty()) meta += R"(,"tracestate":)" + http::json_quoted(call.tracestate);
  if (call.kind == Call::Kind::kHttp || either) {
    meta += call.over_https() ? R"(,"scheme":"https","prefix":)" : R"(,"scheme":"http","prefix":)";
    meta += http::json_quoted(call.url_prefix);
    if (call.head_only()) meta += R"(,"head_only":true)";
    meta += R"(,"event":)" + call.event_of(call);
  }
  if (call.kind == Call::Kind::kDirect) meta += R"(,"content_type":)" + http::json_quoted(call.content_type);
  return meta += '}';
}

// Its program is to see the whole path. Whatever version is called, and by whatever name, it is that of the plain name:
// a program has one base path.
void keep_prefix(Call& call) {
  call.request.path.replace(0, call.url_prefix.size(), "/fn/" + call.app + "/" + call.function);
  call.url_prefix.clear();
}

base::Error function_failed(std::string message) {
  return base::Error{.code = base::Code::kFunctionFailed, .message = std::move(message)};
}

model::Trigger trigger_of(const Call& call) {
  if (!call.timer.empty()) return model::Trigger::kTimer;
  if (call.attempt > 0) return model::Trigger::kAsync;
  return call.kind == Call::Kind::kHttp ? model::Trigger::kHttp : model::Trigger::kDirect;
}

}  // namespace

Phases VersionRunner::phases_of(const Call& call, sandbox::Instance& instance, base::SteadyTime leased) {
  Phases phases;
  const base::Duration waited = std::max<base::Duration>(leased - call.arrived, base::Duration::zero());
  // Not made for this call, though nobody had it before: the spare, made for the minimum of instances, or for a call
  // that gave up.
  const bool spare = instance.spare.exchange(false);
  const bool was_idle = spare || instance.ready_at <= call.whole_at;
  if (!instance.leased_before.exchange(true) && !was_idle) {
    base::MutexLock lock(mutex_);
    phases.rung = instance.rung;
    base::SteadyTime began = instance.ordered_at;
    phases.init = instance.init;
    if (zygote_made_at_ > call.whole_at) {  // the call waited for the zygote as well
      phases.rung = zygote_booted_sandbox_ ? model::Rung::kBoot : model::Rung::kRuntime;
      began = zygote_ordered_at_;
      phases.init += zygote_init_;
    }
    const base::Duration start = std::min<base::Duration>(waited, leased - began);
    phases.init = std::min(phases.init, start);
    phases.start = start - phases.init;
  }
  const bool thawed = instance.thawed.exchange(false);
  if (spare) {
    phases.rung = model::Rung::kSpare;
  } else if (thawed) {
    phases.rung = model::Rung::kFrozen;
  } else if (phases.rung == model::Rung::kIdle && version_.spec.reuse == model::Reuse::kNever) {
    phases.rung = model::Rung::kSpare;
  }
  phases.queue = waited - phases.start - phases.init;
  return phases;
}

io::Task<base::Result<>> read_body(Call& call, std::shared_ptr<sandbox::HeldOfApp> of_app) {
  const std::shared_ptr<http::BodyReader> unread = std::exchange(call.request.unread, nullptr);
  const auto held = std::make_shared<sandbox::Held>(std::move(of_app));
  http::BodyRoom room = [held](std::uint64_t bytes) { return held->grow_to(bytes); };
  auto body = co_await unread->read_all(std::move(room));
  if (!body) co_return body.error();
  call.body = *std::move(body);
  call.body_held = held;
  co_return base::Result<>();
}

io::Task<Reply> VersionRunner::serve(Call& call, std::shared_ptr<sandbox::Instance> instance) {
  if (!call.timer.empty()) address_timer_call(version_.spec, call);
  if (call.kind == Call::Kind::kHttp && version_.spec.prefix == model::Prefix::kKeep) keep_prefix(call);
  auto invocation = std::make_shared<Invocation>(shared_from_this(), call, std::move(instance));
  return Invocation::run(std::move(invocation), call);
}

Invocation::Invocation(std::shared_ptr<VersionRunner> runner, const Call& call,
                       std::shared_ptr<sandbox::Instance> instance)
    : runner_(std::move(runner)),
      instance_(std::move(instance)),
      id_(call.id),
      arrived_(call.arrived),
      leased_(base::steady_now()),
      head_only_(call.head_only()),
      trigger_(trigger_of(call)),
      alias_(call.alias),
      attempt_(static_cast<std::uint8_t>(std::clamp<std::uint32_t>(call.attempt, 1, 255))),
      told_outcome_(call.outcome),
      alone_(runner_->version_.spec.concurrency == 1),
      first_(!instance_->leased_before),
      bytes_in_(call.body.size()),
      timer_(runner_->services_.here()),
      held_(runner_->answers_) {}

// Still open: the head of a stream found nobody, or the client left before its first byte.
Invocation::~Invocation() {
  if (!slot_) return;
  if (!instance_->program && !instance_->several) healthy_ = false;  // the rest of the stream lies in the channel
  outcome_ = model::Outcome::kCancelled;
  error_ = base::Error{.code = base::Code::kCancelled, .message = "the caller went away"};
  finish();
}

std::string Invocation::name() const { return runner_->version_.app + "/" + runner_->version_.function; }

// An invocation that cannot be metered is not run.
base::Result<> Invocation::open() {
  const model::Version& version = runner_->version_;
  // Used up while it waited.
  if (runner_->account_->spent()) return runner_->services_.budgets.refusal(*runner_->account_, base::wall_now());
  arrival_ = base::wall_now() - (leased_ - arrived_);
  auto slot = runner_->services_.usage.open_record(model::UsageStart{.invocation = id_,
                                                                     .arrival = arrival_,
                                                                     .version = version.id,
                                                                     .version_number = version.number,
                                                                     .app = version.app,
                                                                     .function = version.function,
                                                                     .instance = instance_->id,
                                                                     .rung = phases_.rung,
                                                                     .trigger = trigger_,
                                                                     .alias = alias_,
                                                                     .attempt = attempt_,
                                                                     .memory_limit = version.spec.memory,
                                                                     .cpu_millis = version.spec.cpu_millis});
  if (!slot) return slot.error();
  slot_ = std::move(*slot);
  // What several write at once is nobody's in particular.
  const base::InvocationId writes = alone_ ? id_ : base::InvocationId{};
  mark_ = instance_->shares.begin(leased_, [this] { return instance_->cpu(); });
  instance_->out->begin(writes);
  instance_->err->begin(writes);
  if (mark_.alone) instance_->begin_memory_peak();
  if (logs_as_lambda()) runner_->sink(store::LogStream::kOut)(id_, {lambda_start_line(id_, version)});
  return {};
}

// Kills the instance when the time is up; its channel then ends at once, whatever the process is doing, and so does a
// write to a client that is slow to take what came before. Where others are at work in it, the call's own connection
// ends, and the instance when they have. An expiry that was already on its way when the answer came does nothing.
void Invocation::arm_timeout() {
  timer_.expires_after(runner_->version_.spec.timeout);
  timer_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
    const auto self = weak.lock();
    if (error || !self || self->answered_ != base::SteadyTime{}) return;
    self->timed_out_ = true;
    if (self->alone_) self->runner_->services_.launcher->kill(wire::Subject::kInstance, raw(self->instance_->id));
    if (self->upstream_) self->upstream_->shut_down();
    if (!self->instance_->program && !self->instance_->several) self->instance_->channel.shut_down();
    if (self->connection_) self->connection_->shut_down();
    if (self->writer_ != nullptr) self->writer_->cut();
    if (self->tunnel_ != nullptr) self->tunnel_->cut();
  });
}

io::Task<Reply> Invocation::run(std::shared_ptr<Invocation> self, Call& call) {
  Invocation& it = *self;
  VersionRunner& runner = *it.runner_;
  Reply reply{.version_number = runner.version_.number};
  it.phases_ = runner.phases_of(call, *it.instance_, it.leased_);
  reply.phases = it.phases_;
  if (const auto opened = it.open(); !opened) {
    runner.give_back(it.instance_, true);
    reply.error = opened.error();
    co_return reply;
  }
  it.arm_timeout();
  if (it.instance_->program) co_return co_await run_program(std::move(self), call, std::move(reply));
  wire::FrameHeader header{.type = wire::FrameType::kInvoke, .invocation = call.id};
  base::Result<> went;
  const std::string meta = meta_of(call, runner.version_.spec);
  if (went && it.instance_->several) {
    went = co_await open_connection(self);
  } else if (went) {
    went = it.instance_->channel.move_to(runner.services_.here());
  }
  sandbox::Channel& channel = it.channel();
  if (went) went = co_await channel.send(header, meta, call.body);
  do {
    if (went && it.floods()) went = co_await rest(self);
    if (went) went = co_await channel.receive_into(it.frame_, &it.held_);
  } while (went && it.took_words());

  const bool streams = went && !it.timed_out_ && it.absorb(reply);
  if (streams) {
    reply.phases.handler = base::steady_now() - it.leased_;
    reply.stream = [self](http::BodyWriter& writer) { return relay(self, writer); };
    co_return reply;
  }
  it.settle();
  reply.phases.handler = it.phases_.handler;
  if (!went || it.timed_out_) {
    base::Error error = went ? base::unavailable("the time is up") : went.error();
    co_await it.learn_why(std::move(error));
  }
  if (it.error_) {
    reply.error = it.error_;
    it.status_ = base::http_status_of(it.error_->code);
  }
  reply.status = it.status_;
  it.bytes_out_ = reply.body.size();
  reply.held = it.hand_over_held();
  it.finish();
  co_return reply;
}

// Takes the first frame in. True when it begins a stream.
bool Invocation::absorb(Reply& reply) {
  if (frame_.header.invocation != id_) {
    broke_protocol("answered another request than it was given");
    return false;
  }
  const bool streamed = frame_.header.type == wire::FrameType::kStream;
  healthy_ = absorb_result(frame_, runner_->version_, reply, outcome_);
  exchanged_ = healthy_ && !streamed;
  error_ = std::exchange(reply.error, std::nullopt);
  status_ = reply.status;
  if (!streamed) return false;
  if (error_ || !begin_stream(reply)) healthy_ = false;  // its pieces are on their way
  return !error_;
}

// The answer's part of what the node may hold goes where the answer goes.
std::shared_ptr<const void> Invocation::hand_over_held() {
  if (held_.counted() == 0) return nullptr;
  return std::make_shared<sandbox::HeldAnswer>(std::move(held_));
}

void Invocation::broke_protocol(std::string what) {
  healthy_ = false;
  outcome_ = model::Outcome::kFunctionError;
  error_ = function_failed(name() + " " + std::move(what));
}

// The channel gave no frame, or the time was up.
io::Task<> Invocation::learn_why(base::Error error) {
  healthy_ = false;
  if (body_error_ && !timed_out_) {  // its caller's fault, and the caller is told what
    outcome_ = model::Outcome::kCancelled;
    error_ = body_error_;
    co_return;
  }
  if (timed_out_) {
    outcome_ = model::Outcome::kTimedOut;
    error_ = base::Error{.code = base::Code::kDeadlineExceeded,
                         .message = name() + (writer_ != nullptr ? " did not end its stream" : " did not answer") +
                                    " within its timeout of " + base::to_string(runner_->version_.spec.timeout)};
  } else if (error.code == base::Code::kCancelled) {
    outcome_ = model::Outcome::kCancelled;
    error_ = base::Error{.code = base::Code::kCancelled, .message = "the caller went away"};
    healthy_ = instance_->several != nullptr;  // the connection's end says to the runtime what to give up
  } else if (error.code == base::Code::kResourceExhausted) {  // for a connection to it, or for its answer
    healthy_ = instance_->program != nullptr || instance_->several != nullptr;
    outcome_ = model::Outcome::kPlatformFault;
    error_ = std::move(error);
  } else if (error.code == base::Code::kTooLarge) {  // its calls are billed: the handler ran, and is to blame
    healthy_ = instance_->several != nullptr;
    outcome_ = model::Outcome::kFunctionError;
    error_ = function_failed("the answer of " + name() + " found no room: " + error.message);
  } else if (error.code == base::Code::kUnavailable) {
    const base::SteadyTime told_by = base::steady_now() + kExitReport;
    exit_ = co_await instance_->exited.wait(told_by);
    blame_exit();
  } else {
    broke_protocol("broke the protocol: " + error.message);
  }
}

// The instance has ended, or never will say how.
void Invocation::blame_exit() {
  healthy_ = false;
  outcome_ = model::Outcome::kCrashed;
  if (exit_ && exit_->orphaned) outcome_ = model::Outcome::kPlatformFault;
  if (exit_ && exit_->out_of_memory) outcome_ = model::Outcome::kOutOfMemory;
  if (exit_ && ended_for_the_node(*exit_, runner_->version_)) outcome_ = model::Outcome::kPlatformFault;
  error_ = function_failed(exit_ ? how_it_ended(*exit_, runner_->version_)
                                 : name() + " closed its channel instead of answering");
}

// The time in the handler ends here.
void Invocation::settle() {
  timer_.cancel();
  if (body_under_way_) upstream_->shut_down();  // answered without all of it: nobody reads the rest
  answered_ = base::steady_now();
  phases_.handler = answered_ - leased_;
}

void Invocation::finish() {
  VersionRunner& runner = *runner_;
  if (answered_ == base::SteadyTime{}) settle();
  share_ = instance_->shares.end(mark_, answered_, [this] { return instance_->cpu(); });
  // What others may still be writing is read when the last of them is through, or as it comes.
  std::uint64_t dropped = share_.last ? instance_->out->finish() + instance_->err->finish() : 0;
  if (words_) dropped += end_words();
  if (connection_) let_connection_go();
  if (dropped > 0) {
    runner.services_.metrics.node.log_lines_dropped.add();
    runner.sink(store::LogStream::kPlatform)(
        id_, {std::to_string(dropped) + " bytes of output dropped, an invocation keeps " +
              base::to_string(base::Bytes{limits::kLogBytesPerInvocation})});
  }
  if (error_) runner.sink(store::LogStream::kPlatform)(id_, {error_->message});

  meter::UsageSlot slot = *std::exchange(slot_, std::nullopt);
  const model::UsageEnd end = usage_end();
  if (logs_as_lambda()) {
    const base::Duration init = first_ ? instance_->init : base::Duration::zero();
    runner.sink(store::LogStream::kOut)(id_, lambda_end_lines(id_, runner.version_, end, init, base::wall_now()));
  }
  if (told_outcome_) *told_outcome_ = end.outcome;
  runner.services_.usage.close_record(std::move(slot), end);
  runner.services_.budgets.charge(*runner.account_, arrival_, end.outcome, end.billed_ms,
                                  runner.version_.spec.cpu_millis, runner.version_.spec.memory);
  runner.metrics_->invocations_with(outcome_).add();
  runner.metrics_->starts_from(phases_.rung).add();
  runner.metrics_->cpu_of_calls.add(end.cpu);
  runner.metrics_->handler.observe(phases_.handler);
  runner.metrics_->queue.observe(phases_.queue);
  // What its first call took says what the next instance will need; it may be long until it exits.
  if (phases_.rung >= model::Rung::kSpare) runner.note_memory(end.memory_peak);
  runner.give_back(instance_, healthy_, share_.cpu, share_.time);
}

model::UsageEnd Invocation::usage_end() const {
  const model::FunctionSpec& spec = runner_->version_.spec;
  model::UsageEnd end{.outcome = outcome_,
                      .http_status = static_cast<std::uint16_t>(status_),
                      .queue = phases_.queue,
                      .start = phases_.start,
                      .init = phases_.init,
                      .handler = phases_.handler,
                      .total = answered_ - arrived_,
                      .memory_peak = mark_.alone ? instance_->memory_peak() : instance_->recent_memory_peak(answered_),
                      .cpu = share_.cpu,
                      .bytes_in = base::Bytes{bytes_in_},
                      .bytes_out = base::Bytes{bytes_out_}};
  const meter::Charge charge = meter::charge_for({.outcome = outcome_,
                                                  .handler_ran = true,
                                                  .handler = share_.time,
                                                  .cpu_millis = spec.cpu_millis,
                                                  .memory_limit = spec.memory});
  // Its cgroup may have gone, and with it what the files say.
  if (exit_) end.memory_peak = base::Bytes{std::max(end.memory_peak.count, exit_->memory_peak_bytes)};
  end.billed_ms = charge.billed_ms;
  end.cu_micro = charge.cu_micro;
  return end;
}

}  // namespace ebb::node
