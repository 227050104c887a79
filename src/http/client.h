// The HTTP client of the command line and of tests: one request over one connection, http:// or https://.
//
// 1. Every wait is bounded by the request's deadline; a body is bounded by body_bytes_max or handed on piece by piece.
// 2. A large body waits for the server's 100 Continue first, so that a refusal (413) is read instead of lost.
// 3. A response that ends early is an error, never a short body.
// Called by cli, by tests, and by the daemon's threads that tell others' services of what happened; never on a
// request's path.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/duration.h"
#include "base/limits.h"
#include "base/result.h"
#include "http/message.h"
#include "io/task.h"

namespace ebb::http {

struct ClientRequest {
  std::string method = "GET";
  std::string url;  // "http://127.0.0.1:8080/api/v1/apps?x=y"
  Headers headers{};
  std::string body{};
  std::string ca_file{};  // https: a PEM file of the authorities to trust; "" is the system's
  std::uint64_t body_bytes_max = limits::kHttpBodyBytes;  // of the response; not with on_chunk
  /// Called with the bytes of the body written so far.
  std::function<void(std::uint64_t)> on_sent{};
  /// Called with the final head, before the body comes.
  std::function<void(int status, const Headers&)> on_head{};
  /// When set, receives the response's body as it comes, once the status is 2xx, and the result's body stays empty.
  /// False ends the response early, without an error.
  std::function<bool(std::string_view)> on_chunk{};
};

struct ClientResponse {
  int status = 0;
  Headers headers;
  std::string body;
};

/// Sends the request on the caller's executor. Errors: kInvalidArgument (the URL), kUnavailable (no server, or it broke
/// off), kDeadlineExceeded, kTooLarge (the response). A status of 4xx or 5xx is a response, not an error.
io::Task<base::Result<ClientResponse>> request(ClientRequest request, base::SteadyTime deadline);

/// The same, blocking, on an io_context of its own. Threads: any but a core's.
base::Result<ClientResponse> fetch(ClientRequest request, base::Duration limit);

/// Whether `url` is one that request takes, without asking anybody. Errors: kInvalidArgument.
base::Result<> check_url(std::string_view url);

}  // namespace ebb::http
