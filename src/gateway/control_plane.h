// The control plane: /api/v1/... , what an operator scrapes (/metrics, /healthz, /readyz) and the page at /.
//
// 1. Every route is in docs/reference/openapi.yaml; a test compares the two.
// 2. A parameter that is not known is an error, never ignored.
// 3. A request that waits (wait_ms) ends early when the daemon drains.
// 4. A page of another site cannot change anything: a writing request with a foreign Origin is refused. There is no
// other
//    authentication yet; the daemon listens on loopback unless told otherwise.
// Routed to by Gateway; runs on the connection's core.
#pragma once

#include <atomic>

#include "base/duration.h"
#include "http/message.h"
#include "http/router.h"
#include "io/task.h"
#include "node/node.h"

namespace ebb::gateway {

class ControlPlane {
 public:
  /// Borrows the node, which outlives it.
  explicit ControlPlane(node::Node& node) : node_(node) {}

  /// Adds its routes. The router's tasks refer to this object, which stays where it is.
  base::Result<> add_routes(http::Router& router);

  /// Lets waiting requests end with what there is. Threads: any.
  void stop_waiting() { stopping_.store(true, std::memory_order_relaxed); }

 private:
  using Answer = base::Result<http::Response>;
  using Method = io::Task<Answer> (ControlPlane::*)(http::Request, http::PathParams);

  base::Result<> add(http::Router& router, std::string method, std::string pattern, Method handler);
  io::Task<http::Response> answer(Method handler, http::Request request, http::PathParams params);

  io::Task<Answer> deploy(http::Request request, http::PathParams params);
  io::Task<Answer> deployment(http::Request request, http::PathParams params);
  io::Task<Answer> functions(http::Request request, http::PathParams params);
  io::Task<Answer> remove_app(http::Request request, http::PathParams params);
  io::Task<Answer> remove_function(http::Request request, http::PathParams params);
  io::Task<Answer> logs(http::Request request, http::PathParams params);
  io::Task<Answer> usage(http::Request request, http::PathParams params);
  io::Task<Answer> limits(http::Request request, http::PathParams params);
  io::Task<Answer> metrics(http::Request request, http::PathParams params);
  io::Task<Answer> healthz(http::Request request, http::PathParams params);
  io::Task<Answer> readyz(http::Request request, http::PathParams params);
  io::Task<Answer> front_page(http::Request request, http::PathParams params);

  node::Node& node_;
  std::atomic<bool> stopping_ = false;
};

}  // namespace ebb::gateway
