// The control plane's methods about who may do what: organisations and access keys.
#include <algorithm>

#include "base/co_checked.h"
#include "base/log.h"
#include "gateway/control_answer.h"
#include "gateway/control_plane.h"
#include "gateway/json_body.h"
#include "gateway/query.h"
#include "gateway/views.h"
#include "model/names.h"
#include "store/access_keys.h"

namespace ebb::gateway {

io::Task<ControlPlane::Answer> ControlPlane::organisations(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  auto all = co_await node_.organisations();
  if (!all) co_return all.error();
  const std::string own = caller.app.empty() ? caller.organisation : node_.organisation_of(caller.app);
  if (!caller.of_node()) std::erase_if(*all, [&](const auto& one) { return one.name != own; });
  if (!caller.app.empty()) {
    for (model::Organisation& one : *all) {  // of which an app's key learns no more than the name
      std::erase_if(one.apps, [&](const std::string& app) { return app != caller.app; });
      std::erase_if(one.reserved, [&](const std::string& app) { return app != caller.app; });
    }
  }
  co_return json_response(200, organisations_json(*all));
}

io::Task<ControlPlane::Answer> ControlPlane::add_organisation(Caller caller, http::Request request,
                                                              http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string name = params["organisation"];
  EBB_CO_CHECKED(model::check_name("organisation", name));
  const std::string what = name;
  const auto added = co_await node_.add_organisation(std::move(name));
  if (!added) co_return added.error();
  base::log(base::LogLevel::kInfo, "organisation_created", {{"organisation", what}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::remove_organisation(Caller caller, http::Request request,
                                                                 http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string name = params["organisation"];
  EBB_CO_CHECKED(model::check_name("organisation", name));
  const std::string what = name;
  const auto removed = co_await node_.remove_organisation(std::move(name));
  if (!removed) co_return removed.error();
  base::log(base::LogLevel::kInfo, "organisation_removed", {{"organisation", what}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::move_app(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string app = params["app"];
  EBB_CO_CHECKED(model::check_name("app", app));
  EBB_CO_TRY(TextMembers members, parse_text_members(request.body, {"organisation"}));
  std::string organisation = members["organisation"];
  EBB_CO_CHECKED(model::check_name("organisation", organisation));
  const std::string what = app;
  const std::string to = organisation;
  const auto moved = co_await node_.move_app(std::move(app), std::move(organisation));
  if (!moved) co_return moved.error();
  base::log(base::LogLevel::kInfo, "app_moved", {{"app", what}, {"organisation", to}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

io::Task<ControlPlane::Answer> ControlPlane::keys(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::vector<model::AccessKey> keys = access_.keys();
  std::erase_if(keys, [&](const model::AccessKey& key) { return !access_.sees(caller, key); });
  co_return json_response(200, keys_json(keys));
}

io::Task<ControlPlane::Answer> ControlPlane::create_key(Caller caller, http::Request request, http::PathParams) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  EBB_CO_TRY(TextMembers members, parse_text_members(request.body, {"role", "app", "organisation", "label"}));
  const auto role = model::role_named(members["role"]);
  if (!role) co_return base::invalid_argument("member role of the body must be admin, deploy, invoke or read");
  std::string organisation = members["organisation"];
  if (organisation.empty()) organisation = caller.organisation;
  EBB_CO_CHECKED(may_name_organisation(caller, organisation));
  model::AccessKey wanted{.role = *role, .app = members["app"], .label = members["label"]};
  if (wanted.app.empty()) wanted.organisation = organisation;
  EBB_CO_CHECKED(model::check_key(wanted));
  if (!wanted.app.empty()) {
    // The key opens the app that will have the name: from here on it is the organisation's.
    std::string app = wanted.app;
    const auto claimed = co_await node_.claim_app(std::move(app), std::move(organisation));
    if (!claimed) co_return claimed.error();
  }
  EBB_CO_TRY(store::FreshKey fresh, store::make_key(*role, wanted.app, wanted.label));
  fresh.key.organisation = wanted.organisation;
  const auto added = co_await node_.add_key(fresh.key);
  if (!added) co_return added.error();
  access_.add(fresh.key);
  base::log(base::LogLevel::kInfo, "key_created",
            {{"key", fresh.key.id},
             {"role", members["role"]},
             {"app", fresh.key.app},
             {"organisation", fresh.key.organisation},
             {"by", caller.key_id}});
  http::Response response = json_response(201, fresh_key_json(fresh.key, fresh.text));
  response.headers.add("Cache-Control", "no-store");
  co_return response;
}

io::Task<ControlPlane::Answer> ControlPlane::remove_key(Caller caller, http::Request request, http::PathParams params) {
  EBB_CO_TRY(const Query query, Query::parse(request.query, {}));
  std::string id = params["id"];
  if (!model::is_key_id(id)) co_return base::not_found("there is no such key, its id is 12 digits: see ebb key ls");
  for (const model::AccessKey& key : access_.keys()) {
    if (key.id != id) continue;
    // As Metadata says it of a key that is not there.
    if (!access_.sees(caller, key)) co_return base::not_found("there is no key " + id + ", see ebb key ls");
    if (!key.local) continue;
    co_return base::Error{.code = base::Code::kConflict,
                          .message =
                              "this is the node's own admin key, to change it delete admin.key in the data "
                              "directory and restart"};
  }
  const std::string removed_id = id;
  const auto removed = co_await node_.remove_key(std::move(id));
  if (!removed) co_return removed.error();
  access_.remove(removed_id);
  base::log(base::LogLevel::kInfo, "key_revoked", {{"key", removed_id}, {"by", caller.key_id}});
  co_return http::Response{.status = 204};
}

}  // namespace ebb::gateway
