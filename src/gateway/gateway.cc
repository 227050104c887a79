#include "gateway/gateway.h"

#include "base/check.h"
#include "base/limits.h"

namespace ebb::gateway {

Gateway::Gateway(node::Node& node)
    : function_url_(node),
      control_plane_(node),
      router_("function URLs begin with /fn/, the control plane with /api/v1/, GET / says more") {
  // The patterns are literals of this part: one that is refused is a bug.
  EBB_CHECK(function_url_.add_routes(router_).has_value());
  EBB_CHECK(control_plane_.add_routes(router_).has_value());
}

http::Handler Gateway::handler() {
  return [this](http::Request request) { return router_.route(std::move(request)); };
}

http::ServerOptions Gateway::server_options() {
  http::ServerOptions options;
  options.body_limit = [](const http::Request& request) -> std::uint64_t {
    const bool upload = request.method == "POST" && request.path == "/api/v1/deployments";
    return upload ? limits::kPackageUploadBytes : limits::kHttpBodyBytes;
  };
  return options;
}

}  // namespace ebb::gateway
