// The control plane's methods about asynchronous calls: those that wait, run or failed for good.
#include <utility>

#include "base/co_checked.h"
#include "base/limits_async.h"
#include "base/log.h"
#include "gateway/async_view.h"
#include "gateway/control_answer.h"
#include "gateway/control_plane.h"
#include "gateway/query.h"

namespace ebb::gateway {

io::Task<ControlPlane::Answer> ControlPlane::async_calls(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app", "function", "state", "limit"}));
  node::AsyncCallQuery wanted;
  EBB_CO_TRY(wanted.app, query.name("app"));
  EBB_CO_TRY(wanted.function, query.name("function"));
  EBB_CO_TRY(wanted.limit, query.number("limit", wanted.limit, 1, limits::kAsyncPageCalls));
  const std::string state = query.text("state");
  if (!state.empty()) {
    wanted.state = async_state_named(state);
    if (!wanted.state) co_return base::invalid_argument("parameter state must be waiting, running or failed");
  }
  if (wanted.app.empty() && !wanted.function.empty()) {
    co_return base::invalid_argument("parameter function needs parameter app beside it");
  }
  EBB_CO_CHECKED(narrow(caller, wanted.app, wanted.organisation));
  const auto calls = co_await node_.async_calls(std::move(wanted));
  if (!calls) co_return calls.error();
  co_return json_response(200, async_calls_json(*calls));
}

// One that the caller may not know of is as if it were not there.
io::Task<base::Result<node::AsyncCallView>> ControlPlane::async_call_of(const Caller& caller,
                                                                        const http::Request& request,
                                                                        const http::PathParams& params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  EBB_CO_TRY(const base::InvocationId id, base::parse_invocation_id(params["id"]));
  auto call = co_await node_.async_call(id);
  if (call && !access_.sees(caller, call->call.app)) co_return store::no_such_call(id);
  co_return call;
}

io::Task<ControlPlane::Answer> ControlPlane::async_call(Caller caller, http::Request request, http::PathParams params) {
  const auto call = co_await async_call_of(caller, request, params);
  if (!call) co_return call.error();
  co_return json_response(200, async_call_json(*call) + "\n");
}

// Bytes of a caller's: no browser takes them for a page.
io::Task<ControlPlane::Answer> ControlPlane::async_event(Caller caller, http::Request request,
                                                         http::PathParams params) {
  const auto call = co_await async_call_of(caller, request, params);
  if (!call) co_return call.error();
  auto event = co_await node_.async_event(call->call.id);
  if (!event) co_return event.error();
  http::Response response;
  response.headers.add("Content-Type", "application/octet-stream");
  response.headers.add("Cache-Control", "no-store");
  response.body = *std::move(event);
  co_return response;
}

io::Task<ControlPlane::Answer> ControlPlane::change_async_call(CallChange change, const char* done, Caller caller,
                                                               http::Request request, http::PathParams params) {
  const auto call = co_await async_call_of(caller, request, params);
  if (!call) co_return call.error();
  io::Task<base::Result<>> changing = (node_.*change)(call->call.id);
  const base::Result<> changed = co_await std::move(changing);
  if (!changed) co_return changed.error();
  base::log(base::LogLevel::kInfo, done, {{"call", base::to_string(call->call.id)}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::retry_async_call(Caller caller, http::Request request,
                                                              http::PathParams params) {
  return change_async_call(&node::Node::retry_async_call, "async_call_retried", std::move(caller), std::move(request),
                           std::move(params));
}

io::Task<ControlPlane::Answer> ControlPlane::remove_async_call(Caller caller, http::Request request,
                                                               http::PathParams params) {
  return change_async_call(&node::Node::remove_async_call, "async_call_removed", std::move(caller), std::move(request),
                           std::move(params));
}

}  // namespace ebb::gateway
