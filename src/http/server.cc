#include "http/server.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/socket_base.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <unordered_set>
#include <utility>

#include "base/log.h"
#include "http/connection.h"
#include "http/error_response.h"
#include "http/response_head.h"
#include "io/deadline.h"
#include "io/gate.h"
#include "io/hangup.h"

namespace ebb::http {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr auto kAcceptPause = std::chrono::milliseconds(100);  // after a failed accept (no descriptors left)
constexpr auto kAbortGrace = std::chrono::seconds(1);          // for cancelled handlers to unwind

// How often deadlines are looked at: a quarter of the shortest, so that a timeout is at most a quarter late.
base::Duration sweep_period(const ServerOptions& options) {
  const base::Duration shortest = std::min({options.header_timeout, options.idle_timeout, options.body_stall_timeout,
                                            options.whole_body_grace, options.linger_timeout});
  return std::clamp<base::Duration>(shortest / 4, std::chrono::milliseconds(5), std::chrono::milliseconds(250));
}

base::Result<tcp::acceptor> open_acceptor(asio::io_context& context, const tcp::endpoint& endpoint, bool reuse_port) {
  tcp::acceptor acceptor(context);
  boost::system::error_code failed;
  acceptor.open(endpoint.protocol(), failed);
  if (!failed) acceptor.set_option(asio::socket_base::reuse_address(true), failed);
  if (!failed && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(false), failed);
  if (!failed && reuse_port) acceptor.set_option(ReusePort(true), failed);
  if (!failed) acceptor.bind(endpoint, failed);
  if (!failed) return acceptor;
  const std::string place = endpoint.address().to_string() + " port " + std::to_string(endpoint.port());
  if (failed == asio::error::address_in_use) {
    return base::Error{.code = base::Code::kConflict,
                       .message = place + " is in use, stop the other server or choose another port",
                       .os_errno = failed.value()};
  }
  return base::os_error("cannot listen on " + place, failed.value());
}

}  // namespace

// The server on one core.
struct ServerCore {
  ServerCore(asio::io_context& on, std::shared_ptr<ServerState> shared, tcp::acceptor listening,
             std::shared_ptr<io::HangupWatch> watching)
      : context(on),
        state(std::move(shared)),
        acceptor(std::move(listening)),
        watch(std::move(watching)),
        gate(on.get_executor()),
        sweep_timer(on) {}

  asio::io_context& context;
  std::shared_ptr<ServerState> state;
  tcp::acceptor acceptor;
  std::shared_ptr<io::HangupWatch> watch;
  io::Gate gate;
  asio::steady_timer sweep_timer;
  std::unordered_set<Connection*> connections;  // bounded by connections_max
  bool stopped = false;
};

namespace {

// One connection's place in the server, for as long as its coroutine lives. Members are destroyed from the last to the
// first.
struct Session {
  Session(std::shared_ptr<ServerCore> on, io::Gate::Holder entered, tcp::socket socket)
      : core(std::move(on)), holder(std::move(entered)), connection(std::move(socket), core->state, core->watch) {
    core->connections.insert(&connection);
  }
  ~Session() {
    core->connections.erase(&connection);
    core->state->connections.fetch_sub(1, std::memory_order_relaxed);
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  std::shared_ptr<ServerCore> core;
  io::Gate::Holder holder;
  Connection connection;
};

io::Task<> run_session(std::shared_ptr<Session> session) { co_await session->connection.serve(); }

// The answer to one connection too many, best effort: whoever floods us is not waited for.
void turn_away(tcp::socket socket, const ServerOptions& options) {
  base::Error error = base::unavailable("the server has " + std::to_string(options.connections_max) +
                                        " connections open, as many as it may, try again shortly");
  error.retry_after = std::chrono::seconds(1);
  const Response response = error_response(error);
  ResponseForm form;
  form.keep_alive = false;
  std::string answer;
  append_response_head(answer, response, form);
  answer += response.body;
  boost::system::error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(answer), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void admit(const std::shared_ptr<ServerCore>& core, tcp::socket socket) {
  const ServerOptions& options = core->state->options;
  auto holder = core->gate.enter();
  if (!holder) return;
  if (core->state->connections.fetch_add(1, std::memory_order_relaxed) >= options.connections_max) {
    core->state->connections.fetch_sub(1, std::memory_order_relaxed);
    if (!options.tls) turn_away(std::move(socket), options);  // a handshake for a refusal would cost more than it says
    return;
  }
  auto session = std::make_shared<Session>(core, *std::move(holder), std::move(socket));
  io::spawn(core->context.get_executor(), "http connection", session->connection.slot(), run_session(session));
}

io::Task<> accept_loop(std::shared_ptr<ServerCore> core) {
  while (core->acceptor.is_open()) {
    boost::system::error_code failed;
    tcp::socket socket = co_await core->acceptor.async_accept(asio::redirect_error(asio::use_awaitable, failed));
    if (!failed) {
      admit(core, std::move(socket));
      continue;
    }
    if (!core->acceptor.is_open() || failed == asio::error::operation_aborted) co_return;
    if (failed == asio::error::connection_aborted) continue;
    base::log(base::LogLevel::kWarning, "http_accept_failed", {{"error", failed.message()}});
    co_await io::sleep_for(kAcceptPause);
  }
}

io::Task<> sweep_loop(std::shared_ptr<ServerCore> core) {
  const base::Duration period = sweep_period(core->state->options);
  while (!core->stopped) {
    boost::system::error_code ignored;
    core->sweep_timer.expires_after(period);
    co_await core->sweep_timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
    const base::SteadyTime now = base::steady_now();
    // expire() only cancels: completions are posted, so the set does not change under the loop.
    for (Connection* connection : core->connections) connection->expire(now);
  }
}

io::Task<base::Result<>> drain_core(std::shared_ptr<ServerCore> core, base::SteadyTime deadline) {
  boost::system::error_code ignored;
  core->acceptor.close(ignored);
  for (Connection* connection : core->connections) connection->drain();
  base::Result<> drained = co_await core->gate.close(deadline);
  if (!drained) {
    // Copied: a cancelled coroutine may end inside emit() and leave the set.
    const std::vector<Connection*> left(core->connections.begin(), core->connections.end());
    for (Connection* connection : left) {
      if (core->connections.contains(connection)) connection->abort();
    }
    const base::Result<> aborted = co_await core->gate.close(base::steady_now() + kAbortGrace);
    if (!aborted) base::log(base::LogLevel::kWarning, "http_drain_incomplete", {{"error", aborted.error().message}});
  }
  core->stopped = true;
  core->sweep_timer.cancel();
  core->watch->close();
  co_return drained;
}

}  // namespace

Server::Server(io::Cores& cores, ServerOptions options, Handler handler)
    : cores_(cores), state_(std::make_shared<ServerState>()) {
  state_->options = std::move(options);
  state_->handler = std::move(handler);
}

Server::~Server() = default;

base::Result<std::uint16_t> Server::listen() {
  boost::system::error_code failed;
  const auto address = asio::ip::make_address(state_->options.host, failed);
  if (failed)
    return base::invalid_argument("\"" + state_->options.host + "\" is no numeric address, try 127.0.0.1 or 0.0.0.0");
  tcp::endpoint endpoint(address, state_->options.port);
  if (endpoint.port() != 0) {
    // SO_REUSEPORT would let a second server of the same user share the port silently: a bind without it tells.
    EBB_TRY(tcp::acceptor probe, open_acceptor(cores_.context(0), endpoint, false));
    probe.close();
  }
  for (unsigned i = 0; i < cores_.count(); ++i) {
    EBB_TRY(tcp::acceptor acceptor, open_acceptor(cores_.context(i), endpoint, true));
    if (endpoint.port() == 0) endpoint.port(acceptor.local_endpoint().port());
    acceptor.listen(asio::socket_base::max_listen_connections, failed);
    if (failed) return base::os_error("listen", failed.value());
    EBB_TRY(auto watch, io::HangupWatch::open(cores_.context(i)));
    server_cores_.push_back(
        std::make_shared<ServerCore>(cores_.context(i), state_, std::move(acceptor), std::move(watch)));
  }
  for (const auto& core : server_cores_) {
    io::spawn(core->context, "http accept", accept_loop(core));
    io::spawn(core->context, "http sweep", sweep_loop(core));
  }
  return endpoint.port();
}

io::Task<base::Result<>> Server::drain(base::SteadyTime deadline) {
  state_->draining = true;
  base::Result<> outcome;
  for (const auto& core : server_cores_) {
    base::Result<> drained = co_await asio::co_spawn(core->context, drain_core(core, deadline), asio::use_awaitable);
    if (!drained) outcome = std::move(drained);
  }
  co_return outcome;
}

std::size_t Server::connections() const { return state_->connections.load(std::memory_order_relaxed); }
std::uint64_t Server::buffered_body_bytes() const {
  return state_->buffered_body_bytes.load(std::memory_order_relaxed);
}

}  // namespace ebb::http
