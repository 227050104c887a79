// `ebb org create|ls|show|move|rm`: what apps belong to.
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/names.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string name;
  std::string app;
};

base::Result<std::string> path_of(const Options& options) {
  EBB_CHECKED(model::check_name("organisation", options.name));
  return "/api/v1/organisations/" + options.name;
}

base::Result<int> create(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "PUT"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"created\":" + http::json_quoted(options.name) + "}\n"
                         : "there is an organisation " + options.name + " now; ebb key create --role deploy --org " +
                               options.name + " lets somebody in\n");
  return 0;
}

base::Result<int> list(const Session& session) {
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/organisations"));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"ORGANISATION", "APPS", "CREATED"});
  for (const auto* one : objects_in(answer.object, "organisations")) {
    table.add({text_of(*one, "name"), std::to_string(texts_in(*one, "apps").size()), text_of(*one, "created")});
  }
  print_out(table.text(session.terminal, {1}));
  return 0;
}

base::Result<int> show(const Session& session, const Options& options) {
  EBB_CHECKED(model::check_name("organisation", options.name));
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/organisations"));
  for (const auto* one : objects_in(answer.object, "organisations")) {
    if (text_of(*one, "name") != options.name) continue;
    if (session.json) {
      print_out(boost::json::serialize(*one) + "\n");
      return 0;
    }
    Table table({"APP", "STATE"});
    for (const std::string& app : texts_in(*one, "apps")) table.add({app, "deployed"});
    for (const std::string& app : texts_in(*one, "reserved")) table.add({app, "name only"});
    print_out(table.text(session.terminal));
    return 0;
  }
  return base::not_found("there is no organisation " + options.name + ", see ebb org ls");
}

base::Result<int> move(const Session& session, const Options& options) {
  EBB_CHECKED(model::check_name("app", options.app));
  EBB_CHECKED(model::check_name("organisation", options.name));
  http::ClientRequest request{.method = "PUT", .url = "/api/v1/apps/" + options.app + "/organisation"};
  request.headers.add("Content-Type", "application/json");
  request.body = "{\"organisation\":" + http::json_quoted(options.name) + "}";
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"moved\":" + http::json_quoted(options.app) + "}\n"
                         : "app " + options.app + " is of organisation " + options.name +
                               " from now on, with its records and bills\n");
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"removed\":" + http::json_quoted(options.name) + "}\n"
                         : "removed organisation " + options.name + "\n");
  return 0;
}

}  // namespace

void add_organisations(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* organisations = app.add_subcommand("org", "Keep the apps of several organisations apart");
  organisations->group("Security");
  organisations->require_subcommand(1);
  organisations->footer(
      "\nAn app is of the organisation that deployed it first; those made without one are of `default`. A key of an "
      "organisation\n"
      "sees and touches nothing outside of it: ebb key create --role deploy --org acme");

  auto* make = organisations->add_subcommand("create", "Make an organisation");
  make->add_option("name", options->name, "ORGANISATION")->required()->type_name("");
  add_common_options(*make, session);
  make->callback([&session, options] { session.action = [&session, options] { return create(session, *options); }; });

  auto* all = organisations->add_subcommand("ls", "List organisations; with a key of one, that one");
  add_common_options(*all, session);
  all->callback([&session] { session.action = [&session] { return list(session); }; });

  auto* one = organisations->add_subcommand("show", "Show an organisation's apps, and the names that are its own");
  one->add_option("name", options->name, "ORGANISATION")->required()->type_name("");
  add_common_options(*one, session);
  one->callback([&session, options] { session.action = [&session, options] { return show(session, *options); }; });

  auto* to = organisations->add_subcommand("move", "Give an app, its records and bills to another organisation");
  to->add_option("app", options->app, "APP")->required()->type_name("");
  to->add_option("name", options->name, "ORGANISATION")->required()->type_name("");
  add_common_options(*to, session);
  to->callback([&session, options] { session.action = [&session, options] { return move(session, *options); }; });

  auto* drop = organisations->add_subcommand("rm", "Remove an organisation that has no apps and no keys");
  drop->add_option("name", options->name, "ORGANISATION")->required()->type_name("");
  add_common_options(*drop, session);
  drop->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
