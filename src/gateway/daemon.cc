#include "gateway/daemon.h"

#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <csignal>
#include <cstdio>
#include <memory>
#include <string_view>
#include <thread>

#include "base/limits.h"
#include "base/log.h"
#include "gateway/daemon_walls.h"
#include "gateway/gateway.h"
#include "http/server.h"
#include "io/cores.h"
#include "io/deadline.h"
#include "io/task.h"
#include "node/node.h"
#include "os/service_notify.h"

namespace ebb::gateway {
namespace {

namespace asio = io::asio;

// Connections, instances' channels and log pipes: the soft limit of 1024 is for programs that use select().
void raise_open_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

unsigned cores_for(const model::Config& config) {
  if (config.io_cores != 0) return config.io_cores;
  return std::max(1U, std::thread::hardware_concurrency() - 1);
}

int failed(const char* event, const base::Error& error) {
  base::log(base::LogLevel::kError, event, {{"error", error.message}});
  return base::exit_code_of(error.code);
}

void tell_supervisor(std::string_view state) {
  const base::Result<> told = os::notify_service(state);
  if (!told) base::log(base::LogLevel::kWarning, "supervisor_not_told", {{"error", told.error().message}});
}

struct Parts {
  io::Cores& cores;
  node::Node& node;
  Gateway& gateway;
  http::Server& server;
  asio::signal_set& signals;
};

io::Task<> stop_at_once(Parts& parts) {
  co_await parts.signals.async_wait(asio::use_awaitable);
  parts.cores.stop();
}

// Requests first, then the node: an invocation's record is closed before its answer goes out, so both end together.
io::Task<> stop_on_signal(Parts& parts) {
  co_await parts.signals.async_wait(asio::use_awaitable);
  base::log(base::LogLevel::kInfo, "draining");
  tell_supervisor("STOPPING=1");
  io::spawn(parts.cores.context(0), "second signal", stop_at_once(parts));
  const base::SteadyTime deadline = base::steady_now() + limits::kDrainTimeout;
  parts.gateway.stop_waiting();
  const auto drained = co_await parts.server.drain(deadline);
  if (!drained) base::log(base::LogLevel::kWarning, "drain cut short", {{"error", drained.error().message}});
  const base::Duration left = std::max<base::Duration>(deadline - base::steady_now(), std::chrono::seconds(1));
  co_await parts.node.drain(left);
  parts.cores.stop();
}

}  // namespace

int run_daemon(const model::Config& config, os::Fd launcher_socket) {
  base::set_log_level(config.log_level);
  raise_open_files();
  std::signal(SIGPIPE, SIG_IGN);

  if (const auto raised = raise_walls(config); !raised) return failed("the daemon's walls", raised.error());
  io::Cores cores(cores_for(config));
  auto node = node::Node::start(cores, config, std::move(launcher_socket));
  if (!node) return failed("the node cannot start", node.error());
  const auto listen = model::parse_listen(config.listen);
  if (!listen) return failed("the daemon cannot listen", listen.error());

  Gateway gateway(**node);
  http::ServerOptions options = Gateway::server_options();
  options.host = listen->host;
  options.port = listen->port;
  http::Server server(cores, options, gateway.handler());
  const auto port = server.listen();
  if (!port) return failed("the daemon cannot listen", port.error());

  if (const auto sealed = seal_walls(); !sealed) return failed("the daemon's walls", sealed.error());
  asio::signal_set signals(cores.context(0), SIGTERM, SIGINT);
  Parts parts{cores, **node, gateway, server, signals};
  io::spawn(cores.context(0), "stop on a signal", stop_on_signal(parts));

  const bool v6 = listen->host.find(':') != std::string::npos;
  std::printf("listening on http://%s%s%s:%u\n", v6 ? "[" : "", listen->host.c_str(), v6 ? "]" : "", unsigned{*port});
  std::fflush(stdout);
  tell_supervisor("READY=1");
  cores.run();
  base::log(base::LogLevel::kInfo, "stopped");
  // Coroutines that outlived the drain would be destroyed with the cores, after the node they refer to. Everything
  // durable is closed by now; the rest is the kernel's to take back.
  std::_Exit(0);
}

}  // namespace ebb::gateway
