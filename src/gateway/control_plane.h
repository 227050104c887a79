// The control plane: /api/v1/... , what an operator scrapes (/metrics, /healthz, /readyz) and the page at /.
//
// 1. Every route is in docs/reference/openapi.yaml; a test compares the two.
// 2. A parameter that is not known is an error, never ignored.
// 3. A request that waits (wait_ms) ends early when the daemon drains.
// 4. A page of another site cannot change anything: a writing request with a foreign Origin is refused.
// 5. Every route but /, /healthz and /readyz takes a key: none or a wrong one is 401, one of another role or app 403,
// and to an organisation's key what is outside of it is 404. Routed to by Gateway; runs on the connection's core.
#pragma once

#include <atomic>
#include <optional>

#include "base/duration.h"
#include "gateway/access.h"
#include "gateway/traces.h"
#include "gateway/uploads.h"
#include "http/message.h"
#include "http/router.h"
#include "io/task.h"
#include "node/node.h"

namespace ebb::gateway {

class ControlPlane {
 public:
  /// Borrows them, which outlive it. `traces` may be nullptr.
  ControlPlane(node::Node& node, Access& access, const Traces* traces)
      : node_(node), access_(access), traces_(traces) {}

  /// Adds its routes. The router's tasks refer to this object, which stays where it is.
  base::Result<> add_routes(http::Router& router);

  /// Lets waiting requests end with what there is. Threads: any.
  void stop_waiting() { stopping_.store(true, std::memory_order_relaxed); }

 private:
  using Needs = std::optional<model::Permission>;  // nothing: open to all
  using Answer = base::Result<http::Response>;
  /// `caller` holds the permission of the route; that it holds it for the app concerned is the method's to see to.
  using Method = io::Task<Answer> (ControlPlane::*)(Caller, http::Request, http::PathParams);

  struct FunctionName {
    std::string app;
    std::string function;
  };

  base::Result<FunctionName> function_of(const Caller& caller, const http::Request& request,
                                         const http::PathParams& params) const;
  base::Result<> narrow(const Caller& caller, std::string& app, std::string& organisation) const;
  base::Result<> add(http::Router& router, std::string method, std::string pattern, Needs needs, Method handler);
  io::Task<http::Response> answer(Needs needs, Method handler, http::Request request, http::PathParams params);

  io::Task<Answer> deploy(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> deployment(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> functions(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_app(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_function(Caller caller, http::Request request, http::PathParams params);
  // control_plane_versions.cc
  io::Task<Answer> versions(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> make_version(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_version(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> roll_back(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> aliases(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> set_alias(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_alias(Caller caller, http::Request request, http::PathParams params);
  // control_plane.cc
  io::Task<Answer> logs(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> usage(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> usage_records(Caller caller, http::Request request, http::PathParams params);
  static io::Task<base::Result<>> write_records(ControlPlane& self, node::ExportQuery query, http::BodyWriter& writer);
  io::Task<Answer> bill(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> explain_bill(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> verify_ledger(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> rebuild_ledger(Caller caller, http::Request request, http::PathParams params);
  // control_plane_bounds.cc
  bool sees(const Caller& caller, const model::Holder& holder) const;
  io::Task<Answer> budgets(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> set_budget(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_budget(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> quotas(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> set_quota(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_quota(Caller caller, http::Request request, http::PathParams params);
  // control_plane_calls.cc
  io::Task<base::Result<node::AsyncCallView>> async_call_of(const Caller& caller, const http::Request& request,
                                                            const http::PathParams& params);
  io::Task<Answer> async_calls(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> async_call(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> async_event(Caller caller, http::Request request, http::PathParams params);
  using CallChange = io::Task<base::Result<>> (node::Node::*)(base::InvocationId id);
  /// `done` is what the log says then.
  io::Task<Answer> change_async_call(CallChange change, const char* done, Caller caller, http::Request request,
                                     http::PathParams params);
  io::Task<Answer> retry_async_call(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_async_call(Caller caller, http::Request request, http::PathParams params);
  // control_plane_webhooks.cc
  io::Task<Answer> webhooks(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> set_webhook(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_webhook(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> secrets(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> set_secret(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_secret(Caller caller, http::Request request, http::PathParams params);
  // control_plane_keys.cc: organisations and keys.
  io::Task<Answer> organisations(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> add_organisation(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_organisation(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> move_app(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> keys(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> create_key(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> remove_key(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> limits(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> metrics(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> healthz(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> readyz(Caller caller, http::Request request, http::PathParams params);
  io::Task<Answer> front_page(Caller caller, http::Request request, http::PathParams params);

  node::Node& node_;
  Access& access_;
  const Traces* const traces_;
  sandbox::Holdings uploads_{kUploadBounds};  // by Holder::text()
  std::atomic<bool> stopping_ = false;
};

}  // namespace ebb::gateway
