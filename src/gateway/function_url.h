// The ways to call a function over HTTP: its URL, /fn/<app>/<function>[:<version-or-alias>]/<path...> with any method,
// which becomes an event; and the direct call of the control plane, whose body is the event as it is.
//
// 1. The invocation's id is made here and is the request id of everything that comes of it.
// 2. A direct call takes a key of role invoke. A URL is open to all unless the function's `auth` says key, which the
// node decides; a key that is shown is taken out of the headers either way.
// 3. A direct call with async=true is answered 202 when the node has it on disk. A URL, which may be open to strangers,
// has no such calls (decision 0029).
// 4. The body moves from the request into the call and from the reply into the response, a stream as well; nothing here
// copies it.
// Routed to by Gateway; runs on the connection's core. When the client goes away the coroutine is cancelled, and with
// it the invocation.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/ip.h"
#include "gateway/access.h"
#include "gateway/traces.h"
#include "http/message.h"
#include "http/router.h"
#include "io/task.h"
#include "node/node.h"

namespace ebb::gateway {

class FunctionUrl {
 public:
  /// Borrows node, access and traces, which outlive it. `traces` may be nullptr. `trusted_proxies`: who is believed
  /// what it says of its client.
  FunctionUrl(node::Node& node, const Access& access, Traces* traces, std::vector<base::IpRange> trusted_proxies)
      : node_(node), access_(access), traces_(traces), trusted_proxies_(std::move(trusted_proxies)) {}

  /// Adds its routes. The router's tasks refer to this object, which stays where it is.
  base::Result<> add_routes(http::Router& router);

 private:
  io::Task<http::Response> by_url(http::Request request, http::PathParams params);
  io::Task<http::Response> direct(http::Request request, http::PathParams params);
  std::shared_ptr<OpenTrace> trace(node::Call& call, http::Headers& headers, CallTrace::Part part);
  io::Task<http::Response> accept(node::Call call, std::shared_ptr<OpenTrace> trace);
  io::Task<http::Response> run(node::Call call, std::shared_ptr<OpenTrace> trace);

  node::Node& node_;
  const Access& access_;
  Traces* const traces_;
  const std::vector<base::IpRange> trusted_proxies_;
};

}  // namespace ebb::gateway
