#include "gateway/daemon.h"

#include <algorithm>
#include <boost/asio/ip/address.hpp>
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
#include "gateway/traces.h"
#include "http/server.h"
#include "http/tls.h"
#include "io/cores.h"
#include "io/deadline.h"
#include "io/task.h"
#include "node/node.h"
#include "os/open_files.h"
#include "os/service_notify.h"

namespace ebb::gateway {
namespace {

namespace asio = io::asio;

constexpr auto kCertificateLook = std::chrono::seconds(10);  // how late a renewed certificate may be seen

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

bool is_loopback(const std::string& host) {
  boost::system::error_code failed;
  const auto address = asio::ip::make_address(host, failed);
  return !failed && address.is_loopback();
}

// A renewed certificate is taken without a restart or a signal.
io::Task<> watch_certificate(std::shared_ptr<http::TlsIdentity> identity) {
  for (;;) {
    co_await io::sleep_for(kCertificateLook);
    const base::Result<bool> renewed = identity->reload_if_changed();
    if (!renewed) {
      base::log(base::LogLevel::kError, "certificate_not_renewed",
                {{"error", renewed.error().message}, {"effect", "the one before is shown still"}});
    } else if (*renewed) {
      base::log(base::LogLevel::kInfo, "certificate_renewed");
    }
  }
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
  os::raise_open_files();  // connections, instances' channels and log pipes
  std::signal(SIGPIPE, SIG_IGN);

  if (const auto raised = raise_walls(config); !raised) return failed("the daemon's walls", raised.error());
  io::Cores cores(cores_for(config));
  auto traces = Traces::start(config);
  if (!traces) return failed("calls cannot be traced", traces.error());
  node::InvokeAttempt invoke_attempt;
  if (*traces) {
    invoke_attempt = [&traces](node::Node& of, node::Call call) {
      return Traces::attempt(**traces, of, std::move(call));
    };
  }
  auto node = node::Node::start(cores, config, std::move(launcher_socket), std::move(invoke_attempt));
  if (!node) return failed("the node cannot start", node.error());
  const auto listen = model::parse_listen(config.listen);
  if (!listen) return failed("the daemon cannot listen", listen.error());

  const auto keys = (*node)->stored_keys();
  if (!keys) return failed("the keys cannot be read", keys.error());
  Gateway gateway(**node, *keys, traces->get(), config.trusted_proxies);
  http::ServerOptions options = gateway.server_options();
  options.host = listen->host;
  options.port = listen->port;
  if (!config.tls_certificate.empty()) {
    auto identity = http::TlsIdentity::load(config.tls_certificate, config.tls_key);
    if (!identity) return failed("the daemon cannot serve TLS", identity.error());
    options.tls = *identity;
    io::spawn(cores.context(0), "certificate", watch_certificate(*identity));
  } else if (!is_loopback(listen->host)) {
    base::log(base::LogLevel::kWarning, "listening_in_the_clear",
              {{"address", config.listen},
               {"risk", "keys and data can be read on the way"},
               {"remedy", "set tls_certificate and tls_key, or listen on 127.0.0.1 behind a TLS proxy"}});
  }
  const char* scheme = options.tls ? "https" : "http";
  http::Server server(cores, options, gateway.handler());
  const auto port = server.listen();
  if (!port) return failed("the daemon cannot listen", port.error());

  if (const auto sealed = seal_walls(); !sealed) return failed("the daemon's walls", sealed.error());
  asio::signal_set signals(cores.context(0), SIGTERM, SIGINT);
  Parts parts{cores, **node, gateway, server, signals};
  io::spawn(cores.context(0), "stop on a signal", stop_on_signal(parts));

  const bool v6 = listen->host.find(':') != std::string::npos;
  std::printf("listening on %s://%s%s%s:%u\n", scheme, v6 ? "[" : "", listen->host.c_str(), v6 ? "]" : "",
              unsigned{*port});
  std::fflush(stdout);
  tell_supervisor("READY=1");
  cores.run();
  if (*traces) (*traces)->stop();
  base::log(base::LogLevel::kInfo, "stopped");
  // Coroutines that outlived the drain would be destroyed with the cores, after the node they refer to. Everything
  // durable is closed by now; the rest is the kernel's to take back.
  std::_Exit(0);
}

}  // namespace ebb::gateway
