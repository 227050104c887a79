#include "gateway/gateway.h"

#include "base/check.h"
#include "base/limits.h"
#include "base/limits_access.h"

namespace ebb::gateway {

namespace {

bool is_upload(const http::Request& request) {
  return request.method == "POST" && request.path == "/api/v1/deployments";
}

// To a function's URL, or a direct one.
bool is_call(const http::Request& request) {
  if (request.path.starts_with("/fn/")) return true;
  // /api/v1/apps/{app}/functions/{function}/invocations
  constexpr std::string_view kBefore = "/api/v1/apps/", kBetween = "/functions/", kBehind = "/invocations";
  std::string_view path = request.path;
  if (request.method != "POST" || !path.starts_with(kBefore) || !path.ends_with(kBehind)) return false;
  path.remove_prefix(kBefore.size());
  const std::size_t app = path.find('/');
  return app != std::string_view::npos && path.substr(app).starts_with(kBetween);
}

}  // namespace

Gateway::Gateway(node::Node& node, const std::vector<model::AccessKey>& keys, Traces* traces,
                 std::vector<base::IpRange> trusted_proxies)
    : access_(keys, node),
      function_url_(node, access_, traces, std::move(trusted_proxies)),
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
    if (is_upload(request)) return limits::kPackageUploadBytes;
    return is_call(request) ? limits::kHttpBodyBytes : limits::kControlBodyBytes;
  };
  // Whose it is decides: a web server gets it as it comes, others whole, and each app has a part of what is held; of
  // uploads each organisation.
  options.leaves_unread = [](const http::Request& request) { return is_call(request) || is_upload(request); };
  options.admit = [this](const http::Request& request) -> base::Result<> {
    if (!request.path.starts_with("/api/")) return {};
    EBB_TRY(const Caller caller, access_.caller(request.headers));
    return is_upload(request) ? may(caller, model::Permission::kDeploy) : base::Result<>();
  };
  return options;
}

}  // namespace ebb::gateway
