// The control plane's methods about organisations' own receivers of webhooks.
#include <algorithm>

#include "base/co_checked.h"
#include "base/log.h"
#include "gateway/control_answer.h"
#include "gateway/control_plane.h"
#include "gateway/json_body.h"
#include "gateway/query.h"
#include "gateway/views.h"
#include "model/names.h"

namespace ebb::gateway {
namespace {

base::Result<bool> yes_or_no(const TextMembers& members, const char* name) {
  const auto given = members.find(name);
  if (given == members.end() || given->second == "no") return false;
  if (given->second == "yes") return true;
  return base::invalid_argument("member " + std::string(name) + " of the body must be yes or no");
}

}  // namespace

io::Task<ControlPlane::Answer> ControlPlane::webhooks(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  auto all = co_await node_.webhooks();
  if (!all) co_return all.error();
  std::erase_if(*all, [&](const auto& one) { return !sees(caller, {.organisation = one.organisation}); });
  co_return json_response(200, webhooks_json(*all));
}

// The URL is not logged: some receivers are known by it alone.
io::Task<ControlPlane::Answer> ControlPlane::set_webhook(Caller caller, http::Request request,
                                                         http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  model::Webhook webhook{.organisation = params["organisation"]};
  EBB_CO_CHECKED(model::check_name("organisation", webhook.organisation));
  EBB_CO_TRY(TextMembers members, parse_text_members(request.body, {"url", "usage", "new_secret"}));
  webhook.url = members["url"];
  EBB_CO_TRY(webhook.usage, yes_or_no(members, "usage"));
  EBB_CO_TRY(const bool fresh_secret, yes_or_no(members, "new_secret"));
  const model::Webhook set = webhook;
  const auto secret = co_await node_.set_webhook(std::move(webhook), fresh_secret);
  if (!secret) co_return secret.error();
  base::log(base::LogLevel::kInfo, "webhook_set", {{"organisation", set.organisation}, {"by", caller.key_id}});
  http::Response response = json_response(200, webhook_set_json(set, *secret));
  response.headers.add("Cache-Control", "no-store");
  co_return response;
}

io::Task<ControlPlane::Answer> ControlPlane::remove_webhook(Caller caller, http::Request request,
                                                            http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string organisation = params["organisation"];
  EBB_CO_CHECKED(model::check_name("organisation", organisation));
  const std::string whose = organisation;
  const auto removed = co_await node_.remove_webhook(std::move(organisation));
  if (!removed) co_return removed.error();
  base::log(base::LogLevel::kInfo, "webhook_removed", {{"organisation", whose}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

}  // namespace ebb::gateway
