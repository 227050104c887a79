#include "gateway/control_plane.h"

#include <algorithm>

#include "base/limits.h"
#include "base/log.h"
#include "gateway/json_text.h"
#include "gateway/query.h"
#include "gateway/views.h"
#include "http/error_response.h"
#include "io/deadline.h"
#include "model/names.h"

namespace ebb::gateway {
namespace {

using namespace std::chrono_literals;

// How long one look at a deployment may wait: a draining daemon waits no longer for a request that waits.
constexpr base::Duration kDeploymentLook = 500ms;
constexpr std::uint64_t kMost = 0xffff'ffff'ffff'ffff;

constexpr std::string_view kFrontPage = "This is Ebb " EBB_VERSION
                                        ", a serverless platform.\n\n"
                                        "  /fn/<app>/<function>/...   a function's URL, any method\n"
                                        "  /api/v1/functions          what is deployed\n"
                                        "  /api/v1/usage              what it used, one record per invocation\n"
                                        "  /api/v1/limits             the bounds of this node\n"
                                        "  /metrics /healthz /readyz  for monitoring\n\n"
                                        "Deploy a folder with an ebb.yaml: ebb deploy FOLDER. More: ebb --help.\n";

http::Response json_response(int status, std::string body) {
  http::Response response;
  response.status = status;
  response.headers.add("Content-Type", "application/json");
  response.body = std::move(body);
  return response;
}

http::Response text_response(int status, std::string body, std::string type = "text/plain; charset=utf-8") {
  http::Response response;
  response.status = status;
  response.headers.add("Content-Type", std::move(type));
  response.body = std::move(body);
  return response;
}

// Browsers send Origin with every request that writes; a page of another site must not deploy to a developer's machine.
bool from_foreign_page(const http::Request& request) {
  if (request.method == "GET" || request.method == "HEAD") return false;
  const std::string* origin = request.headers.find("origin");
  if (origin == nullptr) return false;
  const auto scheme = origin->find("://");
  return scheme == std::string::npos || std::string_view(*origin).substr(scheme + 3) != request.headers.get("host");
}

base::Duration wait_of(std::uint64_t wait_ms) { return std::chrono::milliseconds(wait_ms); }

constexpr std::uint64_t kWaitMax = std::chrono::milliseconds(limits::kLongPoll).count();

}  // namespace

base::Result<> ControlPlane::add(http::Router& router, std::string method, std::string pattern, Method handler) {
  return router.add(std::move(method), std::move(pattern),
                    [this, handler](http::Request request, http::PathParams params) {
                      return answer(handler, std::move(request), std::move(params));
                    });
}

base::Result<> ControlPlane::add_routes(http::Router& router) {
  EBB_CHECKED(add(router, "GET", "/", &ControlPlane::front_page));
  EBB_CHECKED(add(router, "POST", "/api/v1/deployments", &ControlPlane::deploy));
  EBB_CHECKED(add(router, "GET", "/api/v1/deployments/{id}", &ControlPlane::deployment));
  EBB_CHECKED(add(router, "GET", "/api/v1/functions", &ControlPlane::functions));
  EBB_CHECKED(add(router, "DELETE", "/api/v1/apps/{app}", &ControlPlane::remove_app));
  EBB_CHECKED(add(router, "DELETE", "/api/v1/apps/{app}/functions/{function}", &ControlPlane::remove_function));
  EBB_CHECKED(add(router, "GET", "/api/v1/logs", &ControlPlane::logs));
  EBB_CHECKED(add(router, "GET", "/api/v1/usage", &ControlPlane::usage));
  EBB_CHECKED(add(router, "GET", "/api/v1/limits", &ControlPlane::limits));
  EBB_CHECKED(add(router, "GET", "/metrics", &ControlPlane::metrics));
  EBB_CHECKED(add(router, "GET", "/healthz", &ControlPlane::healthz));
  return add(router, "GET", "/readyz", &ControlPlane::readyz);
}

io::Task<http::Response> ControlPlane::answer(Method handler, http::Request request, http::PathParams params) {
  const std::string request_id = base::to_string(base::new_invocation_id());
  if (from_foreign_page(request)) {
    const base::Error foreign{
        .code = base::Code::kPermissionDenied,
        .message = "a page of another site may not change anything here (its Origin is not this Host)"};
    co_return http::error_response(foreign, request_id);
  }
  const std::string what = request.method + " " + request.path;
  Answer result = co_await (this->*handler)(std::move(request), std::move(params));
  if (result) co_return std::move(*result);
  if (result.error().code == base::Code::kInternal) {
    base::log(base::LogLevel::kError, "control plane request failed",
              {{"request", what}, {"request_id", request_id}, {"error", result.error().message}});
  }
  co_return http::error_response(result.error(), request_id);
}

io::Task<ControlPlane::Answer> ControlPlane::deploy(http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  if (request.body.empty()) {
    co_return base::invalid_argument("the body is empty, send a tar, tar.gz or zip archive with ebb.yaml at its root");
  }
  const auto id = co_await node_.deploy(std::move(request.body));
  if (!id) co_return id.error();
  const std::string path = "/api/v1/deployments/" + std::to_string(*id);
  http::Response response = json_response(202, JsonObject().number("id", *id).text("path", path).close() + "\n");
  response.headers.add("Location", path);
  co_return response;
}

io::Task<ControlPlane::Answer> ControlPlane::deployment(http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"after", "wait_ms"}));
  EBB_CO_TRY(const std::uint64_t after, query.number("after", 0, 0, kMost));
  EBB_CO_TRY(const std::uint64_t wait_ms, query.number("wait_ms", 0, 0, kWaitMax));
  EBB_CO_TRY(const Query path, Query::parse("id=" + params.raw("id"), {"id"}));
  EBB_CO_TRY(const std::uint64_t id, path.number("id", 0, 0, kMost));
  const base::SteadyTime until = base::steady_now() + wait_of(wait_ms);
  for (;;) {
    const base::Duration left = std::max<base::Duration>(until - base::steady_now(), 0s);
    const base::Duration wait = std::min(left, kDeploymentLook);
    const auto status = co_await node_.deployment(id, after, wait);
    if (!status) co_return status.error();
    const bool over = status->state != node::DeploymentStatus::State::kRunning || !status->events.empty();
    if (over || left <= kDeploymentLook || stopping_.load(std::memory_order_relaxed)) {
      co_return json_response(200, deployment_json(*status));
    }
  }
}

io::Task<ControlPlane::Answer> ControlPlane::functions(http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app"}));
  EBB_CO_TRY(std::string app, query.name("app"));
  const auto views = co_await node_.functions(std::move(app));
  if (!views) co_return views.error();
  co_return json_response(200, functions_json(*views));
}

io::Task<ControlPlane::Answer> ControlPlane::remove_app(http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string app = params["app"];
  const auto named = model::check_name("app", app);
  if (!named) co_return named.error();
  std::string every;
  const auto removed = co_await node_.remove(std::move(app), std::move(every));
  if (!removed) co_return removed.error();
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::remove_function(http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string app = params["app"];
  std::string function = params["function"];
  auto named = model::check_name("app", app);
  if (named) named = model::check_name("function", function);
  if (!named) co_return named.error();
  const auto removed = co_await node_.remove(std::move(app), std::move(function));
  if (!removed) co_return removed.error();
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::logs(http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query,
             Query::parse(request.query, {"app", "function", "request", "since", "limit", "cursor", "wait_ms"}));
  node::LogQuery wanted;
  EBB_CO_TRY(wanted.app, query.name("app"));
  EBB_CO_TRY(wanted.function, query.name("function"));
  EBB_CO_TRY(wanted.request, query.request());
  EBB_CO_TRY(wanted.since, query.time("since", base::wall_now()));
  EBB_CO_TRY(wanted.limit, query.number("limit", wanted.limit, 1, limits::kLogPageLines));
  EBB_CO_TRY(const std::uint64_t wait_ms, query.number("wait_ms", 0, 0, kWaitMax));
  wanted.cursor = query.text("cursor");
  if (wanted.app.empty()) co_return base::invalid_argument("parameter app is missing: whose logs?");
  const base::SteadyTime until = base::steady_now() + wait_of(wait_ms);
  for (;;) {
    node::LogQuery look = wanted;
    const auto page = co_await node_.logs(std::move(look));
    if (!page) co_return page.error();
    const bool wait_over = base::steady_now() >= until || stopping_.load(std::memory_order_relaxed);
    if (!page->lines.empty() || wait_over) co_return json_response(200, logs_json(*page));
    // The page's cursor, not the asked one: lines that do not match are not read again.
    wanted.cursor = page->cursor;
    co_await io::sleep_for(limits::kLogFollowInterval);
  }
}

io::Task<ControlPlane::Answer> ControlPlane::usage(http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app", "function", "request", "since", "until", "limit"}));
  node::UsageQuery wanted;
  EBB_CO_TRY(wanted.app, query.name("app"));
  EBB_CO_TRY(wanted.function, query.name("function"));
  EBB_CO_TRY(wanted.request, query.request());
  const base::WallTime now = base::wall_now();
  EBB_CO_TRY(wanted.since, query.time("since", now));
  EBB_CO_TRY(wanted.until, query.time("until", now));
  EBB_CO_TRY(wanted.limit, query.number("limit", wanted.limit, 0, limits::kUsagePageRecords));
  if (wanted.app.empty() && !wanted.function.empty()) {
    co_return base::invalid_argument("parameter function needs parameter app beside it");
  }
  const auto page = co_await node_.usage(std::move(wanted));
  if (!page) co_return page.error();
  co_return json_response(200, usage_json(*page));
}

io::Task<ControlPlane::Answer> ControlPlane::limits(http::Request, http::PathParams) {
  co_return json_response(200, limits_json());
}

io::Task<ControlPlane::Answer> ControlPlane::metrics(http::Request, http::PathParams) {
  co_return text_response(200, node_.metrics_text(), "text/plain; version=0.0.4; charset=utf-8");
}

io::Task<ControlPlane::Answer> ControlPlane::healthz(http::Request, http::PathParams) {
  co_return text_response(200, "ok\n");
}

io::Task<ControlPlane::Answer> ControlPlane::readyz(http::Request, http::PathParams) {
  if (stopping_.load(std::memory_order_relaxed)) co_return base::unavailable("the daemon is stopping");
  if (!node_.ready()) co_return base::unavailable("the daemon is still starting, ask again in a moment");
  co_return text_response(200, "ready\n");
}

io::Task<ControlPlane::Answer> ControlPlane::front_page(http::Request, http::PathParams) {
  co_return text_response(200, std::string(kFrontPage));
}

}  // namespace ebb::gateway
