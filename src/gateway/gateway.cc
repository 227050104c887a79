#include "gateway/gateway.h"

#include "base/check.h"
#include "base/limits.h"

namespace ebb::gateway {

Gateway::Gateway(node::Node& node, const std::vector<model::AccessKey>& keys, Traces* traces)
    : access_(keys, node),
      function_url_(node, access_, traces),
      control_plane_(node, access_, traces),
      router_("function URLs begin with /fn/, the control plane with /api/v1/, GET / says more") {
  // The patterns are literals of this part: one that is refused is a bug.
  EBB_CHECK(function_url_.add_routes(router_).has_value());
  EBB_CHECK(control_plane_.add_routes(router_).has_value());
}

http::Handler Gateway::handler() {
  return [this](http::Request request) { return router_.route(std::move(request)); };
}

http::ServerOptions Gateway::server_options() const {
  http::ServerOptions options;
  options.body_limit = [](const http::Request& request) -> std::uint64_t {
    const bool upload = request.method == "POST" && request.path == "/api/v1/deployments";
    return upload ? limits::kPackageUploadBytes : limits::kHttpBodyBytes;
  };
  // Whose it is decides: a web server gets it as it comes, others whole.
  options.leaves_unread = [](const http::Request& request) { return request.path.starts_with("/fn/"); };
  options.admit = [this](const http::Request& request) -> base::Result<> {
    if (!request.path.starts_with("/api/")) return {};
    EBB_TRY(const Caller caller, access_.caller(request.headers));
    return {};
  };
  return options;
}

}  // namespace ebb::gateway
