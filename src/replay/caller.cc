#include "replay/caller.h"

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/limits.h"
#include "base/limits_replay.h"
#include "io/deadline.h"
#include "replay/package.h"

namespace ebb::replay {
namespace {

namespace asio = io::asio;

}  // namespace

Caller::Caller(asio::io_context& context, const Remote& remote, const Plan& plan)
    : context_(context), remote_(remote), plan_(plan), outcomes_(plan.calls.size()), one_ended_(context) {}

io::Task<> Caller::play(base::SteadyTime start) {
  for (std::size_t i = 0; i < plan_.calls.size(); ++i) {
    const base::SteadyTime due = start + std::chrono::nanoseconds(plan_.calls[i].at_ns);
    co_await io::sleep_until(due);
    co_await wait_until_fewer_than(limits::kReplayCallsAtOnce);
    ++sent_;
    io::spawn(context_, "replayed call", make_call(*this, i, due));
  }
  co_await wait_until_fewer_than(1);
}

// Each call ends by its own deadline, so this wait ends too.
io::Task<> Caller::wait_until_fewer_than(std::uint64_t open) {
  while (sent_ - ended_ >= open) {
    boost::system::error_code cancelled;
    one_ended_.expires_after(limits::kReplayCallTimeout + plan_.run_max);
    co_await one_ended_.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
  }
}

io::Task<> Caller::make_call(Caller& self, std::size_t index, base::SteadyTime due) {
  const sim::PlannedCall& call = self.plan_.calls[index];
  const PlannedFunction& function = self.plan_.functions[call.function];
  CallOutcome& outcome = self.outcomes_[index];
  http::ClientRequest request{.method = "POST"};
  request.url = "/api/v1/apps/" + function.app + "/functions/" + function.name + "/invocations";
  request.headers.add("Content-Type", "application/json");
  request.body = event_of(self.plan_, call);
  outcome.late = base::steady_now() - due;
  const base::Duration limit = limits::kReplayCallTimeout + self.plan_.run_max;
  const base::Result<http::ClientResponse> response = co_await self.remote_.send(std::move(request), limit);
  outcome.latency = base::steady_now() - due;
  outcome.answered = response.has_value();
  outcome.ok = response && response->status == 200;
  if (response) {
    const auto id = base::parse_invocation_id(response->headers.get("x-ebb-request-id"));
    outcome.has_id = id.has_value();
    if (id) outcome.request = *id;
  }
  if (!response) self.failed(response.error().message);
  if (response && !outcome.ok) self.failed(cli::error_of(*response).message);
  ++self.ended_;
  self.one_ended_.cancel();
}

void Caller::failed(std::string why) {
  if (errors_++ == 0) first_error_ = std::move(why);
}

}  // namespace ebb::replay
