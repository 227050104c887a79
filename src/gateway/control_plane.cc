#include "gateway/control_plane.h"

#include <algorithm>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "base/co_checked.h"
#include "base/limits.h"
#include "base/limits_access.h"
#include "base/log.h"
#include "gateway/bill_view.h"
#include "gateway/control_answer.h"
#include "gateway/json_body.h"
#include "gateway/json_text.h"
#include "gateway/query.h"
#include "gateway/views.h"
#include "http/error_response.h"
#include "io/deadline.h"
#include "model/names.h"

namespace ebb::gateway {
namespace {

using namespace std::chrono_literals;
using model::Permission;

constexpr std::nullopt_t kOpen = std::nullopt;

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

http::Response text_response(int status, std::string body, std::string type = "text/plain; charset=utf-8") {
  http::Response response;
  response.status = status;
  response.headers.add("Content-Type", std::move(type));
  response.body = std::move(body);
  return response;
}

// A deployment goes on; there it can be watched.
http::Response begun(std::uint64_t id) {
  const std::string path = "/api/v1/deployments/" + std::to_string(id);
  http::Response response = json_response(202, JsonObject().number("id", id).text("path", path).close() + "\n");
  response.headers.add("Location", path);
  return response;
}

// There is something to say where calls that waited, or had failed, went with it.
http::Response removed_with(std::uint64_t calls) {
  if (calls == 0) return http::Response{.status = 204};
  return json_response(200, JsonObject().number("calls_removed", calls).close() + "\n");
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

// The month asked for, else the present one.
base::Result<meter::Month> month_in(const Query& query) {
  const std::string text = query.text("month");
  if (text.empty()) return meter::month_of(base::wall_now());
  return meter::parse_month(text);
}

// The organisation that a request names, else that of the key. Errors: kNotFound for another than the key's own.
base::Result<std::string> organisation_in(const Query& query, const Caller& caller) {
  EBB_TRY(std::string named, query.name("organisation"));
  if (named.empty() || named == caller.organisation) return caller.organisation;
  EBB_CHECKED(may_name_organisation(caller, named));
  return named;
}

constexpr std::uint64_t kWaitMax = std::chrono::milliseconds(limits::kLongPoll).count();

}  // namespace

base::Result<> ControlPlane::add(http::Router& router, std::string method, std::string pattern, Needs needs,
                                 Method handler) {
  return router.add(std::move(method), std::move(pattern),
                    [this, needs, handler](http::Request request, http::PathParams params) {
                      return answer(needs, handler, std::move(request), std::move(params));
                    });
}

base::Result<> ControlPlane::add_routes(http::Router& router) {
  EBB_CHECKED(add(router, "GET", "/", kOpen, &ControlPlane::front_page));
  EBB_CHECKED(add(router, "POST", "/api/v1/deployments", Permission::kDeploy, &ControlPlane::deploy));
  EBB_CHECKED(add(router, "GET", "/api/v1/deployments/{id}", Permission::kRead, &ControlPlane::deployment));
  EBB_CHECKED(add(router, "GET", "/api/v1/functions", Permission::kRead, &ControlPlane::functions));
  EBB_CHECKED(add(router, "DELETE", "/api/v1/apps/{app}", Permission::kDeploy, &ControlPlane::remove_app));
  EBB_CHECKED(add(router, "DELETE", "/api/v1/apps/{app}/functions/{function}", Permission::kDeploy,
                  &ControlPlane::remove_function));
  EBB_CHECKED(add(router, "POST", "/api/v1/apps/{app}/functions/{function}/versions", Permission::kDeploy,
                  &ControlPlane::make_version));
  EBB_CHECKED(add(router, "GET", "/api/v1/apps/{app}/functions/{function}/versions", Permission::kRead,
                  &ControlPlane::versions));
  EBB_CHECKED(add(router, "DELETE", "/api/v1/apps/{app}/functions/{function}/versions/{version}", Permission::kDeploy,
                  &ControlPlane::remove_version));
  EBB_CHECKED(add(router, "POST", "/api/v1/apps/{app}/functions/{function}/rollback", Permission::kDeploy,
                  &ControlPlane::roll_back));
  constexpr const char* kAlias = "/api/v1/apps/{app}/functions/{function}/aliases/{alias}";
  EBB_CHECKED(add(router, "GET", "/api/v1/aliases", Permission::kRead, &ControlPlane::aliases));
  EBB_CHECKED(add(router, "PUT", kAlias, Permission::kDeploy, &ControlPlane::set_alias));
  EBB_CHECKED(add(router, "DELETE", kAlias, Permission::kDeploy, &ControlPlane::remove_alias));
  constexpr const char* kCall = "/api/v1/calls/{id}";
  EBB_CHECKED(add(router, "GET", "/api/v1/calls", Permission::kRead, &ControlPlane::async_calls));
  EBB_CHECKED(add(router, "GET", kCall, Permission::kRead, &ControlPlane::async_call));
  EBB_CHECKED(add(router, "GET", "/api/v1/calls/{id}/event", Permission::kDeploy, &ControlPlane::async_event));
  EBB_CHECKED(add(router, "POST", "/api/v1/calls/{id}/retry", Permission::kInvoke, &ControlPlane::retry_async_call));
  EBB_CHECKED(add(router, "DELETE", kCall, Permission::kDeploy, &ControlPlane::remove_async_call));
  EBB_CHECKED(add(router, "GET", "/api/v1/logs", Permission::kRead, &ControlPlane::logs));
  EBB_CHECKED(add(router, "GET", "/api/v1/usage", Permission::kRead, &ControlPlane::usage));
  EBB_CHECKED(add(router, "GET", "/api/v1/usage/records", Permission::kRead, &ControlPlane::usage_records));
  EBB_CHECKED(add(router, "GET", "/api/v1/bill", Permission::kRead, &ControlPlane::bill));
  EBB_CHECKED(add(router, "GET", "/api/v1/bill/explanation", Permission::kRead, &ControlPlane::explain_bill));
  for (const std::string whose : {"/api/v1/apps/{app}", "/api/v1/organisations/{organisation}"}) {
    EBB_CHECKED(add(router, "PUT", whose + "/budget", Permission::kNodeAdmin, &ControlPlane::set_budget));
    EBB_CHECKED(add(router, "DELETE", whose + "/budget", Permission::kNodeAdmin, &ControlPlane::remove_budget));
    EBB_CHECKED(add(router, "PUT", whose + "/quota", Permission::kNodeAdmin, &ControlPlane::set_quota));
    EBB_CHECKED(add(router, "DELETE", whose + "/quota", Permission::kNodeAdmin, &ControlPlane::remove_quota));
  }
  EBB_CHECKED(add(router, "GET", "/api/v1/ledger", Permission::kNodeAdmin, &ControlPlane::verify_ledger));
  EBB_CHECKED(add(router, "POST", "/api/v1/ledger/rebuild", Permission::kNodeAdmin, &ControlPlane::rebuild_ledger));
  EBB_CHECKED(add(router, "GET", "/api/v1/budgets", Permission::kRead, &ControlPlane::budgets));
  EBB_CHECKED(add(router, "GET", "/api/v1/quotas", Permission::kRead, &ControlPlane::quotas));
  constexpr const char* kSecret = "/api/v1/apps/{app}/secrets/{name}";
  EBB_CHECKED(add(router, "GET", "/api/v1/apps/{app}/secrets", Permission::kRead, &ControlPlane::secrets));
  EBB_CHECKED(add(router, "PUT", kSecret, Permission::kDeploy, &ControlPlane::set_secret));
  EBB_CHECKED(add(router, "DELETE", kSecret, Permission::kDeploy, &ControlPlane::remove_secret));
  constexpr const char* kOrganisation = "/api/v1/organisations/{organisation}";
  EBB_CHECKED(add(router, "GET", "/api/v1/organisations", Permission::kRead, &ControlPlane::organisations));
  EBB_CHECKED(add(router, "PUT", kOrganisation, Permission::kNodeAdmin, &ControlPlane::add_organisation));
  EBB_CHECKED(add(router, "DELETE", kOrganisation, Permission::kNodeAdmin, &ControlPlane::remove_organisation));
  constexpr const char* kWebhook = "/api/v1/organisations/{organisation}/webhook";
  EBB_CHECKED(add(router, "GET", "/api/v1/webhooks", Permission::kAdmin, &ControlPlane::webhooks));
  EBB_CHECKED(add(router, "PUT", kWebhook, Permission::kNodeAdmin, &ControlPlane::set_webhook));
  EBB_CHECKED(add(router, "DELETE", kWebhook, Permission::kNodeAdmin, &ControlPlane::remove_webhook));
  EBB_CHECKED(add(router, "PUT", "/api/v1/apps/{app}/organisation", Permission::kNodeAdmin, &ControlPlane::move_app));
  EBB_CHECKED(add(router, "GET", "/api/v1/keys", Permission::kAdmin, &ControlPlane::keys));
  EBB_CHECKED(add(router, "POST", "/api/v1/keys", Permission::kAdmin, &ControlPlane::create_key));
  EBB_CHECKED(add(router, "DELETE", "/api/v1/keys/{id}", Permission::kAdmin, &ControlPlane::remove_key));
  EBB_CHECKED(add(router, "GET", "/api/v1/limits", Permission::kAnyKey, &ControlPlane::limits));
  EBB_CHECKED(add(router, "GET", "/metrics", Permission::kRead, &ControlPlane::metrics));
  EBB_CHECKED(add(router, "GET", "/healthz", kOpen, &ControlPlane::healthz));
  return add(router, "GET", "/readyz", kOpen, &ControlPlane::readyz);
}

io::Task<http::Response> ControlPlane::answer(Needs needs, Method handler, http::Request request,
                                              http::PathParams params) {
  const std::string request_id = base::to_string(base::new_invocation_id());
  if (from_foreign_page(request)) {
    const base::Error foreign{
        .code = base::Code::kPermissionDenied,
        .message = "a page of another site may not change anything here (its Origin is not this Host)"};
    co_return http::error_response(foreign, request_id);
  }
  Caller caller;
  if (needs) {
    base::Result<Caller> known = access_.caller(request.headers);
    if (!known) co_return http::error_response(known.error(), request_id);
    const base::Result<> allowed = may(*known, *needs);
    if (!allowed) co_return http::error_response(allowed.error(), request_id);
    caller = std::move(*known);
  }
  const std::string what = request.method + " " + request.path;
  Answer result = co_await (this->*handler)(std::move(caller), std::move(request), std::move(params));
  if (result) co_return std::move(*result);
  if (result.error().code == base::Code::kInternal) {
    base::log(base::LogLevel::kError, "control plane request failed",
              {{"request", what}, {"request_id", request_id}, {"error", result.error().message}});
  }
  co_return http::error_response(result.error(), request_id);
}

io::Task<ControlPlane::Answer> ControlPlane::deploy(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"only", "organisation"}));
  const std::string only = query.text("only");
  if (!only.empty() && only != "build") {
    co_return base::invalid_argument("parameter only is '" + only + "', it can be build");
  }
  node::DeploymentOptions options;
  EBB_CO_TRY(options.organisation, organisation_in(query, caller));
  options.owner = caller.app.empty() ? model::Holder{.organisation = options.organisation}
                                     : model::answers_for(caller.app, node_.organisation_of(caller.app));
  if (const auto unread = std::exchange(request.unread, nullptr)) {
    const bool is_node = options.owner == model::Holder{};
    const auto held = std::make_shared<sandbox::Held>(uploads_.of(is_node ? "the node" : options.owner.text()));
    http::BodyRoom room = [held](std::uint64_t bytes) { return held->grow_to(bytes); };
    auto body = co_await unread->read_all(std::move(room));
    if (!body) co_return body.error();
    request.body = *std::move(body);
    options.archive_held = held;
  }
  if (request.body.empty()) {
    co_return base::invalid_argument("the body is empty, send a tar, tar.gz or zip archive with ebb.yaml at its root");
  }
  options.only_app = std::move(caller.app);
  options.build_only = !only.empty();
  const auto id = co_await node_.deploy(std::move(request.body), std::move(options));
  if (!id) co_return id.error();
  co_return begun(*id);
}

io::Task<ControlPlane::Answer> ControlPlane::deployment(Caller caller, http::Request request, http::PathParams params) {
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
    // Another app's deployment is to an app's key as if it were not there.
    const bool asked =
        caller.app.empty() ? caller.organisation == status->organisation : caller.app == status->only_app;
    const bool own = caller.of_node() || asked || access_.sees(caller, status->app);
    if (!own) co_return base::not_found("deployment " + std::to_string(id) + " is not known");
    const bool over = status->state != node::DeploymentStatus::State::kRunning || !status->events.empty();
    if (over || left <= kDeploymentLook || stopping_.load(std::memory_order_relaxed)) {
      co_return json_response(200, deployment_json(*status));
    }
  }
}

io::Task<ControlPlane::Answer> ControlPlane::functions(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app"}));
  EBB_CO_TRY(std::string app, query.name("app"));
  const bool all_of_key = app.empty() && !caller.app.empty();
  if (all_of_key) app = caller.app;
  if (!app.empty()) EBB_CO_CHECKED(access_.may_touch(caller, app));
  auto deployed = co_await node_.functions(std::move(app));
  // Nobody asked for that app by name: it may have nothing deployed yet.
  if (all_of_key && !deployed && deployed.error().code == base::Code::kNotFound)
    co_return json_response(200, functions_json({}));
  if (!deployed) co_return deployed.error();
  std::erase_if(deployed->functions, [&](const auto& view) { return !access_.sees(caller, view.version.app); });
  std::erase_if(deployed->apps, [&](const auto& view) { return !access_.sees(caller, view.name); });
  co_return json_response(200, functions_json(*deployed));
}

// What a question without an app is about: all that the key is for.
base::Result<> ControlPlane::narrow(const Caller& caller, std::string& app, std::string& organisation) const {
  if (app.empty()) app = caller.app;
  if (organisation.empty()) organisation = caller.organisation;
  if (app.empty()) return {};
  return access_.may_touch(caller, app);
}

io::Task<ControlPlane::Answer> ControlPlane::remove_app(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string app = params["app"];
  const auto named = model::check_name("app", app);
  if (!named) co_return named.error();
  EBB_CO_CHECKED(access_.may_touch(caller, app));
  std::string every;
  const auto calls = co_await node_.remove(std::move(app), std::move(every));
  if (!calls) co_return calls.error();
  co_return removed_with(*calls);
}

// The function that the path names, which the caller may change.
base::Result<ControlPlane::FunctionName> ControlPlane::function_of(const Caller& caller, const http::Request& request,
                                                                   const http::PathParams& params) const {
  EBB_TRY(const Query query, Query::parse(request.query, {}));
  FunctionName name{std::string(params["app"]), std::string(params["function"])};
  EBB_CHECKED(model::check_name("app", name.app));
  EBB_CHECKED(model::check_name("function", name.function));
  EBB_CHECKED(access_.may_touch(caller, name.app));
  return name;
}

io::Task<ControlPlane::Answer> ControlPlane::remove_function(Caller caller, http::Request request,
                                                             http::PathParams params) {
  EBB_CO_TRY(FunctionName name, function_of(caller, request, params));
  const auto calls = co_await node_.remove(std::move(name.app), std::move(name.function));
  if (!calls) co_return calls.error();
  co_return removed_with(*calls);
}

io::Task<ControlPlane::Answer> ControlPlane::logs(Caller caller, http::Request request, http::PathParams) {
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
  EBB_CO_CHECKED(access_.may_touch(caller, wanted.app));
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

io::Task<ControlPlane::Answer> ControlPlane::usage(Caller caller, http::Request request, http::PathParams) {
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
  EBB_CO_CHECKED(narrow(caller, wanted.app, wanted.organisation));
  const auto page = co_await node_.usage(std::move(wanted));
  if (!page) co_return page.error();
  co_return json_response(200, usage_json(*page));
}

// A month's records as JSON lines, a page at a time: what is held is one page, whatever the month holds.
io::Task<ControlPlane::Answer> ControlPlane::usage_records(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app", "organisation", "month"}));
  node::ExportQuery wanted;
  EBB_CO_TRY(wanted.app, query.name("app"));
  EBB_CO_TRY(wanted.organisation, organisation_in(query, caller));
  EBB_CO_CHECKED(narrow(caller, wanted.app, wanted.organisation));
  EBB_CO_TRY(wanted.month, month_in(query));
  http::Response response;
  response.headers.add("Content-Type", "application/jsonl");
  response.stream = [this, wanted](http::BodyWriter& writer) { return write_records(*this, wanted, writer); };
  co_return response;
}

io::Task<base::Result<>> ControlPlane::write_records(ControlPlane& self, node::ExportQuery query,
                                                     http::BodyWriter& writer) {
  for (;;) {
    const auto page = co_await self.node_.usage_page(query);
    if (!page) co_return page.error();
    if (!page->records.empty()) {
      const std::string lines = record_lines(page->records);
      const auto written = co_await writer.write(lines);
      if (!written) co_return written;
    }
    if (!page->next) co_return base::Result<>();
    query.segment = *page->next;
  }
}

io::Task<ControlPlane::Answer> ControlPlane::bill(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app", "organisation", "month", "by"}));
  node::BillQuery wanted;
  EBB_CO_TRY(wanted.app, query.name("app"));
  EBB_CO_TRY(wanted.organisation, organisation_in(query, caller));
  EBB_CO_CHECKED(narrow(caller, wanted.app, wanted.organisation));
  EBB_CO_TRY(wanted.month, month_in(query));
  const std::string by = query.text("by");
  const auto known = meter::bill_by_named(by.empty() ? "function" : by);
  if (!known) co_return base::invalid_argument("parameter by must be function, version, alias, trigger or day");
  wanted.by = *known;
  const std::string organisation = wanted.organisation;
  const auto bill = co_await node_.bill(std::move(wanted));
  if (!bill) co_return bill.error();
  // One that was removed has a bill as long as it has names.
  if ((*bill)->apps.empty() && caller.of_node() && !organisation.empty()) {
    const auto all = co_await node_.organisations();
    if (!all) co_return all.error();
    const auto is_it = [&](const model::Organisation& one) { return one.name == organisation; };
    if (std::none_of(all->begin(), all->end(), is_it))
      co_return base::not_found("there is no organisation " + organisation + ", see ebb org ls");
  }
  co_return json_response(200, bill_json(**bill, organisation));
}

io::Task<ControlPlane::Answer> ControlPlane::explain_bill(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app", "function", "request"}));
  EBB_CO_TRY(std::string app, query.name("app"));
  EBB_CO_TRY(std::string function, query.name("function"));
  EBB_CO_TRY(std::optional<base::InvocationId> id, query.request());
  if (app.empty() || function.empty())
    co_return base::invalid_argument("parameters app and function are missing: which one?");
  EBB_CO_CHECKED(access_.may_touch(caller, app));
  const auto explanation = co_await node_.explain_bill(std::move(app), std::move(function), std::move(id));
  if (!explanation) co_return explanation.error();
  co_return json_response(200, explanation_json(*explanation));
}

io::Task<ControlPlane::Answer> ControlPlane::verify_ledger(Caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  const auto report = co_await node_.check_ledger(false);
  if (!report) co_return report.error();
  co_return json_response(200, ledger_json(*report));
}

io::Task<ControlPlane::Answer> ControlPlane::rebuild_ledger(Caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  const auto report = co_await node_.check_ledger(true);
  if (!report) co_return report.error();
  co_return json_response(200, ledger_json(*report));
}

io::Task<ControlPlane::Answer> ControlPlane::secrets(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string app = params["app"];
  EBB_CO_CHECKED(model::check_name("app", app));
  EBB_CO_CHECKED(access_.may_touch(caller, app));
  const auto views = co_await node_.secrets(std::move(app));
  if (!views) co_return views.error();
  co_return json_response(200, secrets_json(*views));
}

io::Task<ControlPlane::Answer> ControlPlane::set_secret(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string app = params["app"];
  std::string name = params["name"];
  EBB_CO_CHECKED(model::check_name("app", app));
  EBB_CO_CHECKED(model::check_name("secret", name));
  if (!caller.app.empty()) EBB_CO_CHECKED(access_.may_touch(caller, app));
  EBB_CO_TRY(TextMembers members, parse_text_members(request.body, {"value"}));
  if (!members.contains("value")) co_return base::invalid_argument("member value of the body is missing");
  std::string value = std::move(members["value"]);
  const std::string what = app + "/" + name;
  // A secret may come before its app's first deployment: from here on the name is the organisation's.
  std::string claimed = app;
  std::string organisation = caller.organisation;
  const auto claim = co_await node_.claim_app(std::move(claimed), std::move(organisation));
  if (!claim) co_return claim.error();
  const auto id = co_await node_.set_secret(std::move(app), std::move(name), std::move(value));
  if (!id) co_return id.error();
  base::log(base::LogLevel::kInfo, "secret_set", {{"secret", what}, {"by", caller.key_id}});
  if (*id == 0) co_return http::Response{.status = 204};
  co_return begun(*id);
}

io::Task<ControlPlane::Answer> ControlPlane::remove_secret(Caller caller, http::Request request,
                                                           http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string app = params["app"];
  std::string name = params["name"];
  EBB_CO_CHECKED(model::check_name("app", app));
  EBB_CO_CHECKED(model::check_name("secret", name));
  EBB_CO_CHECKED(access_.may_touch(caller, app));
  const std::string what = app + "/" + name;
  const auto removed = co_await node_.remove_secret(std::move(app), std::move(name));
  if (!removed) co_return removed.error();
  base::log(base::LogLevel::kInfo, "secret_removed", {{"secret", what}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::limits(Caller, http::Request, http::PathParams) {
  co_return json_response(200, limits_json());
}

io::Task<ControlPlane::Answer> ControlPlane::metrics(Caller caller, http::Request, http::PathParams) {
  EBB_CO_CHECKED(may_see_node(caller));
  std::string text = co_await node_.metrics_text();
  if (traces_ != nullptr) text += traces_->metrics_text();
  co_return text_response(200, std::move(text), "text/plain; version=0.0.4; charset=utf-8");
}

io::Task<ControlPlane::Answer> ControlPlane::healthz(Caller, http::Request, http::PathParams) {
  co_return text_response(200, "ok\n");
}

io::Task<ControlPlane::Answer> ControlPlane::readyz(Caller, http::Request, http::PathParams) {
  if (stopping_.load(std::memory_order_relaxed)) co_return base::unavailable("the daemon is stopping");
  if (!node_.ready()) co_return base::unavailable("the daemon is still starting, ask again in a moment");
  co_return text_response(200, "ready\n");
}

io::Task<ControlPlane::Answer> ControlPlane::front_page(Caller, http::Request, http::PathParams) {
  co_return text_response(200, std::string(kFrontPage));
}

}  // namespace ebb::gateway
