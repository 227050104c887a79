// One invocation in a leased instance: the usage record is opened, the request goes down the channel, the result comes
// back, the record is closed, the instance is given back. Every way out passes through close_record, so no record is
// lost or doubled.
#include <sys/socket.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <csignal>

#include "base/limits.h"
#include "http/error_response.h"
#include "meter/cu.h"
#include "node/result_frame.h"
#include "node/version_runner.h"

namespace ebb::node {

namespace asio = io::asio;
using namespace std::chrono_literals;

namespace {

constexpr auto kExitReport = 1s;  // from the channel's end to the launcher's word on why

// Kills the instance when the time is up; its channel then ends at once, whatever the process is doing. An expiry that
// was already on its way when the result came finds another lease and does nothing.
void arm_timeout(asio::steady_timer& timer, base::Duration timeout, std::shared_ptr<sandbox::Instance> instance,
                 std::shared_ptr<sandbox::LauncherClient> launcher) {
  timer.expires_after(timeout);
  const std::uint64_t lease = instance->lease;
  timer.async_wait(
      [lease, instance = std::move(instance), launcher = std::move(launcher)](const boost::system::error_code& error) {
        if (error || instance->lease != lease) return;
        instance->timed_out = true;
        launcher->kill(wire::Subject::kInstance, raw(instance->id));
        instance->channel.shut_down();
      });
}

std::string meta_of(const Call& call, base::Duration timeout) {
  const auto deadline =
      std::chrono::duration_cast<std::chrono::milliseconds>((base::wall_now() + timeout).time_since_epoch());
  std::string meta =
      call.kind == Call::Kind::kHttp ? R"({"kind":"http","request_id":")" : R"({"kind":"direct","request_id":")";
  meta += base::to_string(call.id);
  meta += R"(","deadline_ms":)" + std::to_string(deadline.count());
  if (call.kind == Call::Kind::kHttp) {
    meta += R"(,"event":)" + call.event_json;
  } else {
    meta += R"(,"content_type":)" + http::json_quoted(call.content_type);
  }
  return meta += '}';
}

std::string how_it_ended(const wire::Exited& exit, const model::Version& version) {
  const std::string name = version.app + "/" + version.function;
  if (exit.out_of_memory) {
    return name + " ran out of memory: it may add " + base::to_string(version.spec.memory) +
           " to what its zygote holds and came to " + std::to_string(exit.memory_peak_bytes) +
           " bytes, raise memory in ebb.yaml";
  }
  if (exit.orphaned) return "the zygote of " + name + " ended and took the instance along; the call is not billed";
  const int status = static_cast<int>(exit.wait_status);
  if (WIFSIGNALED(status)) {
    const char* description = ::strsignal(WTERMSIG(status));
    return name + " crashed: killed by signal " + std::to_string(WTERMSIG(status)) + " (" +
           (description ? description : "?") + ")";
  }
  return name + " ended its process (exit status " + std::to_string(WEXITSTATUS(status)) + ") instead of returning";
}

base::Error function_failed(std::string message) {
  return base::Error{.code = base::Code::kFunctionFailed, .message = std::move(message)};
}

}  // namespace

Phases VersionRunner::phases_of(const Call& call, sandbox::Instance& instance, base::SteadyTime leased) {
  Phases phases;
  const base::Duration waited = std::max<base::Duration>(leased - call.arrived, base::Duration::zero());
  // Not made for this call, though nobody had it before: made for the minimum of instances, or for a call that gave up.
  const bool was_idle = instance.ready_at <= call.arrived;
  if (!std::exchange(instance.leased_before, true) && !was_idle) {
    base::MutexLock lock(mutex_);
    phases.rung = instance.rung;
    base::SteadyTime began = instance.ordered_at;
    phases.init = instance.init;
    if (zygote_made_at_ > call.arrived) {  // the call waited for the zygote as well
      phases.rung = zygote_booted_sandbox_ ? model::Rung::kBoot : model::Rung::kRuntime;
      began = zygote_ordered_at_;
      phases.init += zygote_init_;
    }
    const base::Duration start = std::min<base::Duration>(waited, leased - began);
    phases.init = std::min(phases.init, start);
    phases.start = start - phases.init;
  }
  if (instance.thawed.exchange(false)) {
    phases.rung = model::Rung::kFrozen;
  } else if (phases.rung == model::Rung::kIdle && version_.spec.reuse == model::Reuse::kNever) {
    phases.rung = model::Rung::kSpare;
  }
  phases.queue = waited - phases.start - phases.init;
  return phases;
}

io::Task<Reply> VersionRunner::serve(Call call, std::shared_ptr<sandbox::Instance> instance) {
  const base::SteadyTime leased = base::steady_now();
  Reply reply{.version_number = version_.number};
  reply.phases = phases_of(call, *instance, leased);

  auto slot = services_.usage.open_record(model::UsageStart{.invocation = call.id,
                                                            .arrival = base::wall_now() - (leased - call.arrived),
                                                            .version = version_.id,
                                                            .version_number = version_.number,
                                                            .app = version_.app,
                                                            .function = version_.function,
                                                            .instance = instance->id,
                                                            .rung = reply.phases.rung,
                                                            .memory_limit = version_.spec.memory,
                                                            .cpu_millis = version_.spec.cpu_millis});
  if (!slot) {  // an invocation that cannot be metered is not run
    give_back(instance, true);
    reply.error = slot.error();
    co_return reply;
  }

  asio::io_context& context = services_.here();
  instance->out->begin(call.id);
  instance->err->begin(call.id);
  // Where the kernel cannot start a new peak, the record carries the instance's highest so far.
  (void)os::reset_memory_peak(instance->usage.memory_peak);
  const base::Duration cpu_before = instance->cpu();
  const auto bytes_in = call.body.size();
  const base::Duration timeout = version_.spec.timeout;

  asio::steady_timer timer(context);
  ++instance->lease;
  arm_timeout(timer, timeout, instance, services_.launcher);
  wire::FrameHeader header{.type = wire::FrameType::kInvoke, .invocation = call.id};
  const std::string meta = meta_of(call, timeout);
  base::Result<sandbox::Frame> frame = base::unavailable("the instance has gone");
  const auto moved = instance->channel.move_to(context);
  base::Result<> sent = moved;
  if (moved) sent = co_await instance->channel.send(header, meta, call.body);
  if (sent) frame = co_await instance->channel.receive();
  if (!sent) frame = sent.error();
  timer.cancel();
  ++instance->lease;
  const base::SteadyTime answered = base::steady_now();
  reply.phases.handler = answered - leased;

  model::Outcome outcome = model::Outcome::kOk;
  std::optional<wire::Exited> exit;
  bool healthy = false;
  if (frame && !instance->timed_out) {
    healthy = frame->header.invocation == call.id && absorb_result(std::move(*frame), version_, reply, outcome);
    if (frame->header.invocation != call.id) {
      reply.error =
          function_failed(version_.app + "/" + version_.function + " answered another request than it was given");
      outcome = model::Outcome::kFunctionError;
    }
  } else if (instance->timed_out) {
    outcome = model::Outcome::kTimedOut;
    reply.error = base::Error{.code = base::Code::kDeadlineExceeded,
                              .message = version_.app + "/" + version_.function +
                                         " did not answer within its timeout of " + base::to_string(timeout)};
  } else if (frame.error().code == base::Code::kCancelled) {
    outcome = model::Outcome::kCancelled;
    reply.error = base::Error{.code = base::Code::kCancelled, .message = "the caller went away"};
  } else if (frame.error().code == base::Code::kUnavailable) {
    outcome = model::Outcome::kCrashed;
    const base::SteadyTime told_by = base::steady_now() + kExitReport;
    exit = co_await instance->exited.wait(told_by);
    if (exit && exit->orphaned) outcome = model::Outcome::kPlatformFault;
    if (exit && exit->out_of_memory) outcome = model::Outcome::kOutOfMemory;
    reply.error =
        function_failed(exit ? how_it_ended(*exit, version_)
                             : version_.app + "/" + version_.function + " closed its channel instead of answering");
  } else {
    outcome = model::Outcome::kFunctionError;
    reply.error =
        function_failed(version_.app + "/" + version_.function + " broke the protocol: " + frame.error().message);
  }
  if (!healthy) {
    services_.launcher->kill(wire::Subject::kInstance, raw(instance->id));
  }
  const std::uint64_t dropped = instance->out->finish() + instance->err->finish();
  if (dropped > 0) {
    services_.metrics.node.log_lines_dropped.add();
    sink(store::LogStream::kPlatform)(call.id,
                                      {std::to_string(dropped) + " bytes of output dropped, an invocation keeps " +
                                       base::to_string(base::Bytes{limits::kLogBytesPerInvocation})});
  }
  if (reply.error) {
    reply.status = base::http_status_of(reply.error->code);
    sink(store::LogStream::kPlatform)(call.id, {reply.error->message});
  }

  model::UsageEnd end{.outcome = outcome,
                      .http_status = static_cast<std::uint16_t>(reply.status),
                      .queue = reply.phases.queue,
                      .start = reply.phases.start,
                      .init = reply.phases.init,
                      .handler = reply.phases.handler,
                      .total = answered - call.arrived,
                      .memory_peak = instance->memory_peak(),
                      .cpu = instance->cpu() - cpu_before,
                      .bytes_in = base::Bytes{bytes_in},
                      .bytes_out = base::Bytes{reply.body.size()}};
  const meter::Charge charge = meter::charge_for({.outcome = outcome,
                                                  .handler_ran = true,
                                                  .handler = reply.phases.handler,
                                                  .cpu_millis = version_.spec.cpu_millis,
                                                  .memory_limit = version_.spec.memory});
  if (exit) {  // its cgroup may have gone, and with it what the files say
    end.memory_peak = base::Bytes{std::max(end.memory_peak.count, exit->memory_peak_bytes)};
    end.cpu = std::max<base::Duration>(end.cpu, std::chrono::nanoseconds(exit->cpu_ns) - cpu_before);
  }
  end.billed_ms = charge.billed_ms;
  end.cu_micro = charge.cu_micro;
  services_.usage.close_record(std::move(*slot), end);
  metrics_->invocations_with(outcome).add();
  metrics_->starts_from(reply.phases.rung).add();
  metrics_->handler.observe(reply.phases.handler);
  metrics_->queue.observe(reply.phases.queue);
  give_back(instance, healthy);
  co_return reply;
}

}  // namespace ebb::node
