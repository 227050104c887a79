// The control plane's methods about versions of a function: which there are, which is current, which names they have.
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "base/co_checked.h"
#include "base/limits.h"
#include "base/log.h"
#include "gateway/control_answer.h"
#include "gateway/control_plane.h"
#include "gateway/json_body.h"
#include "gateway/query.h"
#include "gateway/views.h"
#include "meter/price_list.h"
#include "model/alias.h"

namespace ebb::gateway {
namespace {

constexpr std::uint64_t kCoresMost = limits::kFunctionCpuMillisMax / 1000;

}  // namespace

io::Task<ControlPlane::Answer> ControlPlane::versions(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(FunctionName name, function_of(caller, request, params));
  const auto views = co_await node_.versions(std::move(name.app), std::move(name.function));
  if (!views) co_return views.error();
  co_return json_response(200, versions_json(*views));
}

io::Task<ControlPlane::Answer> ControlPlane::make_version(Caller caller, http::Request request,
                                                          http::PathParams params) {
  EBB_CO_TRY(FunctionName name, function_of(caller, request, params));
  EBB_CO_TRY(TextMembers members, parse_text_members(request.body, {"memory", "cpu"}));
  node::Size size;
  if (members.contains("memory")) {
    const auto memory = base::parse_bytes(members["memory"]);
    if (!memory) co_return base::invalid_argument("memory " + memory.error().message);
    size.memory = *memory;
  }
  if (members.contains("cpu")) {
    const auto millis = meter::parse_decimal(members["cpu"], 3, kCoresMost);
    if (!millis) co_return base::invalid_argument("cpu " + millis.error().message);
    size.cpu_millis = static_cast<std::uint32_t>(*millis);
  }
  auto made = co_await node_.make_sized_version(std::move(name.app), std::move(name.function), size);
  if (!made) co_return made.error();
  co_return json_response(201, boost::json::serialize(model::to_json(*made)));
}

io::Task<ControlPlane::Answer> ControlPlane::remove_version(Caller caller, http::Request request,
                                                            http::PathParams params) {
  EBB_CO_TRY(FunctionName name, function_of(caller, request, params));
  EBB_CO_TRY(const std::uint32_t number, model::parse_version_number(params["version"]));
  const auto removed = co_await node_.remove_version(std::move(name.app), std::move(name.function), number);
  if (!removed) co_return removed.error();
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::roll_back(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(FunctionName name, function_of(caller, request, params));
  std::uint32_t number = 0;  // the one before
  if (!request.body.empty()) {
    EBB_CO_TRY(const TextMembers members, parse_text_members(request.body, {"version"}));
    const auto given = members.find("version");
    if (given != members.end()) {
      EBB_CO_TRY(number, model::parse_version_number(given->second));
    }
  }
  const std::string what = name.app + "/" + name.function;
  const auto version = co_await node_.roll_back(std::move(name.app), std::move(name.function), number);
  if (!version) co_return version.error();
  base::log(base::LogLevel::kInfo, "rolled_back",
            {{"function", what}, {"version", version->number}, {"by", caller.key_id}});
  co_return json_response(200, boost::json::serialize(model::to_json(*version)));
}

io::Task<ControlPlane::Answer> ControlPlane::aliases(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {"app", "function"}));
  EBB_CO_TRY(std::string app, query.name("app"));
  EBB_CO_TRY(std::string function, query.name("function"));
  if (app.empty() && !function.empty())
    co_return base::invalid_argument("parameter function needs parameter app beside it");
  if (!app.empty()) EBB_CO_CHECKED(access_.may_touch(caller, app));
  auto aliases = co_await node_.aliases(std::move(app), std::move(function));
  if (!aliases) co_return aliases.error();
  std::erase_if(*aliases, [&](const model::Alias& alias) { return !access_.sees(caller, alias.app); });
  co_return json_response(200, aliases_json(*aliases));
}

io::Task<ControlPlane::Answer> ControlPlane::set_alias(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(FunctionName name, function_of(caller, request, params));
  model::Alias alias{.app = std::move(name.app), .function = std::move(name.function), .name = params["alias"]};
  EBB_CO_TRY(const TextMembers members, parse_text_members(request.body, {"version", "weight"}));
  const auto version = members.find("version");
  if (version == members.end()) co_return base::invalid_argument("member version of the body is missing");
  EBB_CO_TRY(alias.version, model::parse_version_number(version->second));
  const auto weight = members.find("weight");
  if (weight != members.end()) {
    EBB_CO_TRY(alias.weight, model::parse_alias_weight(weight->second));
  }
  const auto set = co_await node_.set_alias(std::move(alias));
  if (!set) co_return set.error();
  base::log(base::LogLevel::kInfo, "alias_set",
            {{"function", set->app + "/" + set->function},
             {"alias", set->name},
             {"version", set->version},
             {"weight_version", set->weight.version},
             {"weight_percent", set->weight.percent},
             {"by", caller.key_id}});
  co_return json_response(200, boost::json::serialize(model::to_json(*set)));
}

io::Task<ControlPlane::Answer> ControlPlane::remove_alias(Caller caller, http::Request request,
                                                          http::PathParams params) {
  EBB_CO_TRY(FunctionName name, function_of(caller, request, params));
  const std::string what = name.app + "/" + name.function;
  std::string alias = params["alias"];
  const std::string removed_name = alias;
  const auto removed = co_await node_.remove_alias(std::move(name.app), std::move(name.function), std::move(alias));
  if (!removed) co_return removed.error();
  base::log(base::LogLevel::kInfo, "alias_removed",
            {{"function", what}, {"alias", removed_name}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

}  // namespace ebb::gateway
