// A call in an instance that serves several at a time: its frames pass over a connection of its own, kept for the next
// call when it has had all of the answer. What the call printed comes among them; whose words those are the runtime
// says, and at worst it says so of its own function's calls.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "io/deadline.h"
#include "node/invocation.h"

namespace ebb::node {

using namespace std::chrono_literals;

namespace {
constexpr auto kAfterTimeout = 10ms;
constexpr auto kFloodRest = 2ms;
}  // namespace

io::Task<base::Result<>> Invocation::open_connection(std::shared_ptr<Invocation> self) {
  Invocation& it = *self;
  boost::asio::io_context& here = it.runner_->services_.here();
  std::optional<sandbox::ProgramPort::Socket> socket = it.instance_->several->take(here);
  if (!socket) {
    // A runtime that listens and does not accept: the timeout comes first, and says more.
    const base::SteadyTime deadline = it.leased_ + it.runner_->version_.spec.timeout + kAfterTimeout;
    auto made = co_await io::with_deadline(sandbox::ProgramPort::connect(it.instance_->several, here), deadline,
                                           "a connection to the instance");
    if (!made) co_return made.error();
    socket = *std::move(made);
  }
  it.connection_ = std::make_unique<sandbox::Channel>(*std::move(socket), here);
  co_return base::Result<>();
}

// True when the frame at hand was such, and the next one is to be awaited.
bool Invocation::took_words() {
  const wire::FrameType type = frame_.header.type;
  const bool out = type == wire::FrameType::kOut;
  if (!connection_ || timed_out_ || frame_.header.invocation != id_ || (!out && type != wire::FrameType::kErr))
    return false;
  if (!words_) words_ = std::make_unique<Words>();
  sandbox::OutputLines& lines = out ? words_->out : words_->err;
  lines.add(frame_.body);
  const std::vector<std::string> whole = lines.take();
  if (!whole.empty()) runner_->sink(out ? store::LogStream::kOut : store::LogStream::kErr)(id_, whole);
  return true;
}

// A cancellation ends it, and has to be told here: the next wait would know nothing of it. Errors: kCancelled.
io::Task<base::Result<>> Invocation::rest(std::shared_ptr<Invocation> self) {
  boost::asio::steady_timer over(self->runner_->services_.here(), kFloodRest);
  const auto token = boost::asio::as_tuple(boost::asio::use_awaitable);
  const auto [ended] = co_await over.async_wait(token);
  (void)ended;
  const auto state = co_await boost::asio::this_coro::cancellation_state;
  if (state.cancelled() != boost::asio::cancellation_type::none)
    co_return base::Error{.code = base::Code::kCancelled, .message = "cancelled"};
  co_return base::Result<>();
}

// Returns how many bytes were dropped.
std::uint64_t Invocation::end_words() {
  words_->out.finish();
  words_->err.finish();
  const std::vector<std::string> out = words_->out.take();
  const std::vector<std::string> err = words_->err.take();
  if (!out.empty()) runner_->sink(store::LogStream::kOut)(id_, out);
  if (!err.empty()) runner_->sink(store::LogStream::kErr)(id_, err);
  return words_->out.take_dropped() + words_->err.take_dropped();
}

void Invocation::let_connection_go() {
  if (exchanged_ && healthy_ && connection_->is_quiet()) {
    instance_->several->keep(connection_->take_socket(), runner_->services_.here());
  }
  connection_.reset();
}

}  // namespace ebb::node
