// The control plane's methods about what apps and organisations may use: budgets and quotas.
#include <algorithm>
#include <utility>

#include "base/co_checked.h"
#include "base/limits_access.h"
#include "base/log.h"
#include "gateway/bill_view.h"
#include "gateway/control_answer.h"
#include "gateway/control_plane.h"
#include "gateway/json_body.h"
#include "gateway/query.h"
#include "meter/price_list.h"
#include "model/names.h"

namespace ebb::gateway {
namespace {

// Whose budget or quota the path names.
base::Result<model::Holder> holder_of(const http::Request& request, const http::PathParams& params) {
  model::Holder holder;
  if (request.path.starts_with("/api/v1/organisations/")) {
    holder.organisation = params["organisation"];
    EBB_CHECKED(model::check_name("organisation", holder.organisation));
  } else {
    holder.app = params["app"];
    EBB_CHECKED(model::check_name("app", holder.app));
  }
  return holder;
}

// {"app", "shop"} or {"organisation", "acme"}, for the log.
base::LogField field_of(const model::Holder& holder) {
  if (holder.app.empty()) return {"organisation", holder.organisation};
  return {"app", holder.app};
}

// "512Mi".
base::Result<> read_size(const TextMembers& members, const char* name, base::Bytes& out) {
  const auto given = members.find(name);
  if (given == members.end()) return {};
  const auto size = base::parse_bytes(given->second);
  if (!size) return base::invalid_argument(std::string(name) + " " + size.error().message);
  if (size->count == 0 || size->count > limits::kQuotaBytes) {
    return base::invalid_argument(std::string(name) + " is " + given->second + ": from 1 byte to " +
                                  base::to_string(base::Bytes{limits::kQuotaBytes}) + ", or left out for no bound");
  }
  out = *size;
  return {};
}

}  // namespace

// An app's key sees its own, an organisation's its apps' and that of all of them together.
bool ControlPlane::sees(const Caller& caller, const model::Holder& holder) const {
  if (!holder.app.empty()) return access_.sees(caller, holder.app);
  return caller.of_node() || (caller.app.empty() && caller.organisation == holder.organisation);
}

io::Task<ControlPlane::Answer> ControlPlane::budgets(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  auto views = co_await node_.budgets();
  if (!views) co_return views.error();
  std::erase_if(*views, [&](const auto& budget) { return !sees(caller, {budget.app, budget.organisation}); });
  co_return json_response(200, budgets_json(*views));
}

io::Task<ControlPlane::Answer> ControlPlane::set_budget(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  EBB_CO_TRY(const model::Holder holder, holder_of(request, params));
  model::Budget budget{.app = holder.app, .organisation = holder.organisation};
  EBB_CO_TRY(const TextMembers members, parse_text_members(request.body, {"cu_a_month", "money_a_month"}));
  if (members.empty())
    co_return base::invalid_argument("the body bounds nothing: give cu_a_month, money_a_month or both");
  for (const auto& [name, out] :
       {std::pair("cu_a_month", &budget.nano_cu), std::pair("money_a_month", &budget.nano_money)}) {
    const auto given = members.find(name);
    if (given == members.end()) continue;
    const auto value = meter::parse_decimal(given->second, 9, limits::kBudgetCu);
    if (!value) {
      co_return base::invalid_argument("the budget of " + std::string(out == &budget.nano_cu ? "CU" : "money") +
                                       " a month " + value.error().message);
    }
    *out = *value;
  }
  const auto set = co_await node_.set_budget(std::move(budget));
  if (!set) co_return set.error();
  base::log(base::LogLevel::kInfo, "budget_set", {field_of(holder), {"body", request.body}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::remove_budget(Caller caller, http::Request request,
                                                           http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  EBB_CO_TRY(model::Holder holder, holder_of(request, params));
  const model::Holder whose = holder;
  const auto removed = co_await node_.remove_budget(std::move(holder));
  if (!removed) co_return removed.error();
  base::log(base::LogLevel::kInfo, "budget_removed", {field_of(whose), {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::quotas(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  auto views = co_await node_.quotas();
  if (!views) co_return views.error();
  std::erase_if(*views, [&](const auto& view) { return !sees(caller, view.quota.holder()); });
  co_return json_response(200, quotas_json(*views));
}

io::Task<ControlPlane::Answer> ControlPlane::set_quota(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  EBB_CO_TRY(const model::Holder holder, holder_of(request, params));
  model::Quota quota{.app = holder.app, .organisation = holder.organisation};
  EBB_CO_TRY(TextMembers members,
             parse_text_members(request.body, {"calls_per_second", "calls_at_once", "memory", "storage"}));
  if (members.empty()) {
    co_return base::invalid_argument(
        "the body bounds nothing: give some of calls_per_second, calls_at_once, memory and storage");
  }
  EBB_CO_CHECKED(read_size(members, "memory", quota.memory));
  EBB_CO_CHECKED(read_size(members, "storage", quota.storage));
  struct Member {
    const char* name;
    unsigned places;
    std::uint64_t* out;
  };
  for (const Member& member : {Member{"calls_per_second", 3, &quota.milli_calls_per_second},
                               Member{"calls_at_once", 0, &quota.calls_at_once}}) {
    const auto given = members.find(member.name);
    if (given == members.end()) continue;
    const auto value = meter::parse_decimal(given->second, member.places, limits::kQuotaCalls);
    if (!value) co_return base::invalid_argument(std::string(member.name) + " " + value.error().message);
    if (*value == 0) {
      co_return base::invalid_argument(std::string(member.name) +
                                       " is 0: leave it out for no bound; a budget of 0 closes an app");
    }
    *member.out = *value;
  }
  const auto set = co_await node_.set_quota(std::move(quota));
  if (!set) co_return set.error();
  base::log(base::LogLevel::kInfo, "quota_set", {field_of(holder), {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::remove_quota(Caller caller, http::Request request,
                                                          http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  EBB_CO_TRY(model::Holder holder, holder_of(request, params));
  const model::Holder whose = holder;
  const auto removed = co_await node_.remove_quota(std::move(holder));
  if (!removed) co_return removed.error();
  base::log(base::LogLevel::kInfo, "quota_removed", {field_of(whose), {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

}  // namespace ebb::gateway
