// Gateway: every HTTP face of a node behind one handler. Makes the router, holds what the routes refer to.
//
// 1. Stays where it is and outlives the server that calls it.
// 2. Bodies of deployments may be as large as an upload, all others as large as an HTTP body: body_limit tells the
// server. A request with a body for the control plane is refused without a key before its body is taken.
// Made by the daemon, and by tests over a MemoryNode.
#pragma once

#include <cstdint>
#include <vector>

#include "gateway/access.h"
#include "gateway/control_plane.h"
#include "gateway/function_url.h"
#include "http/message.h"
#include "http/router.h"
#include "http/server.h"
#include "node/node.h"

namespace ebb::gateway {

class Gateway {
 public:
  /// Borrows the node and the traces, which outlive it. `keys`: those the node has stored. `traces`: nullptr where
  /// calls are not traced. `trusted_proxies`: who is believed what it says of its client (http/forwarded.h).
  Gateway(node::Node& node, const std::vector<model::AccessKey>& keys, Traces* traces = nullptr,
          std::vector<base::IpRange> trusted_proxies = {});
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// What a server needs to serve this gateway. The options' limits are set; host and port are the caller's.
  http::Handler handler();
  http::ServerOptions server_options() const;

  std::vector<http::Route> routes() const { return router_.routes(); }

  /// Requests that wait for news end now with what there is: before the server drains. Threads: any.
  void stop_waiting() { control_plane_.stop_waiting(); }

 private:
  Access access_;
  FunctionUrl function_url_;
  ControlPlane control_plane_;
  http::Router router_;
};

}  // namespace ebb::gateway
