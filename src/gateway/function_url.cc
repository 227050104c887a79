#include "gateway/function_url.h"

#include "gateway/answer.h"
#include "gateway/async_view.h"
#include "gateway/control_answer.h"
#include "gateway/event.h"
#include "gateway/query.h"
#include "http/error_response.h"
#include "model/alias.h"
#include "model/names.h"

namespace ebb::gateway {
namespace {

struct Target {
  std::string function;
  std::uint32_t version = 0;  // 0: the current one
  std::string alias{};        // or the one that this stands for
};

// "3", "live" or "current".
base::Result<> read_version(std::string_view text, Target& target) {
  if (text == model::kCurrentName) return {};
  if (model::is_all_digits(text)) {
    const auto number = model::parse_version_number(text);
    if (number) target.version = *number;
    if (number) return {};
  } else if (model::is_name(text)) {
    target.alias = text;
    return {};
  }
  return base::not_found("there is no version '" + std::string(text.substr(0, 64)) + "' of " + target.function +
                         ", versions are numbers from 1 or aliases of them: see ebb versions and ebb alias ls");
}

// "digits", "digits:3" or "digits:live".
base::Result<Target> parse_target(std::string_view text) {
  const auto colon = text.find(':');
  Target target{.function = std::string(text.substr(0, colon))};
  if (colon != std::string_view::npos) EBB_CHECKED(read_version(text.substr(colon + 1), target));
  return target;
}

base::Result<void> check_names(std::string_view app, std::string_view function) {
  // A name that none can have is not found, like any other that nobody has.
  if (!model::is_name(app))
    return base::not_found("there is no app '" + std::string(app.substr(0, 64)) + "', see ebb ls");
  if (!model::is_name(function)) {
    return base::not_found("app " + std::string(app) + " has no function '" + std::string(function.substr(0, 64)) +
                           "', see ebb ls");
  }
  return {};
}

// Where in "/fn/app/function/a/b" the function's own path begins; the end when nothing follows.
std::size_t end_of_prefix(std::string_view path) {
  std::size_t slash = 0;
  for (int parts = 0; parts < 3; ++parts) {
    slash = path.find('/', slash + 1);
    if (slash == std::string_view::npos) return path.size();
  }
  return slash;
}

std::string event_of(const node::Call& call) { return http_event(call, base::wall_now()); }

http::Response refused(const base::Error& error, const base::InvocationId& id) {
  const std::string request_id = base::to_string(id);
  http::Response response = http::error_response(error, request_id);
  response.headers.add("X-Ebb-Request-Id", request_id);
  return response;
}

}  // namespace

base::Result<> FunctionUrl::add_routes(http::Router& router) {
  for (const char* pattern : {"/fn/{app}/{function}", "/fn/{app}/{function}/{path...}"}) {
    EBB_CHECKED(router.add("*", pattern, [this](http::Request request, http::PathParams params) {
      return by_url(std::move(request), std::move(params));
    }));
  }
  return router.add(
      "POST", "/api/v1/apps/{app}/functions/{function}/invocations",
      [this](http::Request request, http::PathParams params) { return direct(std::move(request), std::move(params)); });
}

std::shared_ptr<OpenTrace> FunctionUrl::trace(node::Call& call, http::Headers& headers, CallTrace::Part part) {
  if (traces_ != nullptr) return traces_->begin(call, headers, part);
  call.traceparent = traceparent_of(headers);
  if (!call.traceparent.empty()) call.tracestate = tracestate_of(headers);
  return nullptr;
}

io::Task<http::Response> FunctionUrl::run(node::Call call, std::shared_ptr<OpenTrace> trace) {
  const base::InvocationId id = call.id;
  const base::SteadyTime arrived = call.arrived;
  node::Reply reply = co_await node_.invoke(std::move(call));
  if (trace) trace_to_the_end(std::move(trace), reply);
  co_return answer_of(std::move(reply), id, base::steady_now() - arrived);
}

io::Task<http::Response> FunctionUrl::accept(node::Call call, std::shared_ptr<OpenTrace> trace) {
  const base::InvocationId id = call.id;
  const auto accepted = co_await node_.accept(std::move(call));
  if (trace) trace->accepted(accepted);
  if (!accepted) co_return refused(accepted.error(), id);
  http::Response response = json_response(202, accepted_json(id, *accepted));
  response.headers.add("Location", async_call_path(id));
  response.headers.add("X-Ebb-Request-Id", base::to_string(id));
  co_return response;
}

io::Task<http::Response> FunctionUrl::by_url(http::Request request, http::PathParams params) {
  const base::InvocationId id = base::new_invocation_id();
  const base::Result<Target> target = parse_target(params["function"]);
  if (!target) co_return refused(target.error(), id);
  const std::string& app = params["app"];
  if (const auto named = check_names(app, target->function); !named) co_return refused(named.error(), id);

  node::Call call{.id = id, .app = app, .function = target->function, .version_number = target->version};
  call.alias = target->alias;
  call.kind = node::Call::Kind::kHttp;
  call.arrived = request.received_at;
  call.url_prefix = request.path.substr(0, end_of_prefix(request.path));
  call.event_of = event_of;
  call.key_shown = access_.key_shown(request.headers, app);
  strip_keys(request.headers);
  call.body = std::move(request.body);
  call.forwarded = http::forwarded_by(request, trusted_proxies_);
  call.request = std::move(request);
  std::shared_ptr<OpenTrace> open = trace(call, call.request.headers, CallTrace::Part::kWhole);
  http::Response response = co_await run(std::move(call), std::move(open));
  co_return response;
}

io::Task<http::Response> FunctionUrl::direct(http::Request request, http::PathParams params) {
  const base::InvocationId id = base::new_invocation_id();
  const base::Result<Caller> caller = access_.caller(request.headers);
  if (!caller) co_return refused(caller.error(), id);
  base::Result<> allowed = may(*caller, model::Permission::kInvoke);
  if (allowed) allowed = access_.may_touch(*caller, params["app"]);
  if (!allowed) co_return refused(allowed.error(), id);
  const std::string& app = params["app"];
  const std::string& function = params["function"];
  if (const auto named = check_names(app, function); !named) co_return refused(named.error(), id);
  const base::Result<Query> query = Query::parse(request.query, {"version", "async"});
  if (!query) co_return refused(query.error(), id);
  Target target{.function = function};
  const std::string version = query->text("version");
  const base::Result<> read = version.empty() ? base::Result<>() : read_version(version, target);
  if (!read) co_return refused(read.error(), id);
  const std::string async = query->text("async");
  if (!async.empty() && async != "true" && async != "false")
    co_return refused(base::invalid_argument("parameter async must be true or false"), id);

  node::Call call{.id = id, .app = app, .function = function, .version_number = target.version};
  call.alias = std::move(target.alias);
  call.kind = node::Call::Kind::kDirect;
  call.key_shown = node::Call::KeyShown::kGranted;
  call.content_type = request.headers.get("content-type");
  call.arrived = request.received_at;
  call.body = std::move(request.body);
  call.request.unread = std::move(request.unread);
  if (async == "true") {
    std::shared_ptr<OpenTrace> begun = trace(call, request.headers, CallTrace::Part::kAcceptance);
    http::Response accepted = co_await accept(std::move(call), std::move(begun));
    co_return accepted;
  }
  std::shared_ptr<OpenTrace> open = trace(call, request.headers, CallTrace::Part::kWhole);
  http::Response response = co_await run(std::move(call), std::move(open));
  co_return response;
}

}  // namespace ebb::gateway
