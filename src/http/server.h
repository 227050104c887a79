// Server: HTTP/1.1 over TCP on every core.
//
// 1. One acceptor per core (SO_REUSEPORT); a connection lives and dies on the core that accepted it.
// 2. A connection serves one request at a time, pipelined ones in order. A client that goes away, or half-closes,
// cancels the
//    handler: its current wait and every later one throw operation_aborted.
// 3. Whatever a client does costs bounded memory and time: every bound of ServerOptions has its answer (400, 408, 413,
// 414, 417,
//    429, 431, 501, 503, 505), as JSON {"error":{...}}, and no handler sees a request that broke one.
// 4. The Cores outlive the Server; the Server is destroyed after drain() or after the Cores stopped.
// Made by the gateway; the client in client.h is the other side.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/duration.h"
#include "base/limits.h"
#include "base/limits_access.h"
#include "base/limits_held.h"
#include "base/result.h"
#include "http/message.h"
#include "io/cores.h"
#include "io/task.h"

namespace ebb::http {

/// Runs on the connection's core. What it throws becomes a 500 and a line in the log.
using Handler = std::function<io::Task<Response>(Request)>;

class TlsIdentity;

struct ServerOptions {
  std::string host = "127.0.0.1";      // a numeric address; "::" serves both families
  std::uint16_t port = 0;              // 0: any free one
  std::shared_ptr<TlsIdentity> tls{};  // set: HTTPS only (tls.h)
  base::Duration tls_handshake_timeout = limits::kTlsHandshakeTimeout;
  std::size_t header_bytes_max = limits::kHttpHeaderBytes;
  std::size_t target_bytes_max = limits::kHttpTargetBytes;
  std::uint64_t body_bytes_max = limits::kHttpBodyBytes;
  /// The body limit of one request by its head (its body is empty still), in place of body_bytes_max; e.g. for uploads.
  /// Called on any core, so it touches nothing that changes.
  std::function<std::uint64_t(const Request&)> body_limit{};
  /// Whether a request with a body may send it, by its head: what strangers upload is refused unread. Any core.
  std::function<base::Result<>(const Request&)> admit{};
  /// Whether the handler reads the body of such a request itself, where it is longer than limits::kUnreadBodyBytes or
  /// of unknown length (Request::unread). Any core.
  std::function<bool(const Request&)> leaves_unread{};
  std::uint64_t buffered_body_bytes_max = limits::kBufferedBodyBytes;
  std::size_t connections_max = limits::kConnections;
  base::Duration header_timeout = limits::kHttpHeaderTimeout;
  base::Duration idle_timeout = limits::kHttpIdleTimeout;
  base::Duration body_stall_timeout = limits::kHttpBodyStallTimeout;
  /// What is read or sent whole has this time, and a second more for each `whole_body_pace` bytes that have passed.
  base::Duration whole_body_grace = limits::kWholeBodyGrace;
  std::uint64_t whole_body_pace = limits::kWholeBodyPace;
  base::Duration linger_timeout = limits::kHttpLingerTimeout;
};

struct ServerCore;
struct ServerState;

class Server {
 public:
  Server(io::Cores& cores, ServerOptions options, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  /// Binds and begins to accept as soon as the cores run; gives the port. Once.
  /// Errors: kInvalidArgument (the address), kConflict (the port is taken), kInternal.
  base::Result<std::uint16_t> listen();

  /// Stops accepting, closes idle connections, lets running requests end until the deadline, then cancels them. The
  /// cores must be running. Errors: kDeadlineExceeded when requests had to be cancelled.
  io::Task<base::Result<>> drain(base::SteadyTime deadline);

  /// Open connections and bytes of bodies held, for metrics. Threads: any.
  std::size_t connections() const;
  std::uint64_t buffered_body_bytes() const;

 private:
  io::Cores& cores_;
  std::shared_ptr<ServerState> state_;
  std::vector<std::shared_ptr<ServerCore>> server_cores_;
};

}  // namespace ebb::http
