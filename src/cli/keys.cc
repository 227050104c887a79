// `ebb key create|ls|rm`: who may do what.
#include <boost/json/array.hpp>
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string role;
  std::string app;
  std::string organisation;
  std::string label;
  std::string id;
};

base::Result<int> create(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "POST"};
  request.url = "/api/v1/keys";
  request.headers.add("Content-Type", "application/json");
  request.body = "{\"role\":" + http::json_quoted(options.role) + ",\"app\":" + http::json_quoted(options.app) +
                 ",\"organisation\":" + http::json_quoted(options.organisation) +
                 ",\"label\":" + http::json_quoted(options.label) + "}";
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLimit));
  if (session.json) {
    print_out(response.body);
    return 0;
  }
  EBB_TRY(const boost::json::object made, json_object(response.body));
  // The key alone on standard output, so that it can go into a file or a secret store; the rest is for the person.
  print_out(text_of(made, "key") + "\n");
  const std::string organisation = text_of(made, "organisation");
  const std::string where = !options.app.empty()   ? "app " + options.app
                            : organisation.empty() ? "the whole node"
                                                   : "organisation " + organisation;
  print_err("key " + harmless(text_of(made, "id")) + " of role " + options.role + " for " + where +
            ". It is not shown again: keep it in EBB_KEY or in a file for --key-file\n");
  return 0;
}

base::Result<int> list(const Session& session) {
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/keys"));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"ID", "ROLE", "ORGANISATION", "APP", "CREATED", "LABEL"});
  for (const auto* key : objects_in(answer.object, "keys")) {
    const std::string app = text_of(*key, "app");
    const std::string organisation = text_of(*key, "organisation");
    const std::string of_app = app.empty() ? "(all)" : "";  // that of the app, whichever it is in
    table.add({text_of(*key, "id"), text_of(*key, "role"), organisation.empty() ? of_app : organisation,
               app.empty() ? "(all)" : app, text_of(*key, "created"), text_of(*key, "label")});
  }
  print_out(table.text(session.terminal));
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  request.url = "/api/v1/keys/" + encoded(options.id);
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"removed\":" + http::json_quoted(options.id) + "}\n"
                         : "revoked key " + harmless(options.id) + ": it opens nothing from now on\n");
  return 0;
}

}  // namespace

void add_keys(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* keys = app.add_subcommand("key", "Make, list and revoke the keys that open this platform");
  keys->group("Security");
  keys->require_subcommand(1);
  keys->footer(
      "\nRoles: admin (everything, keys too), deploy (publish and remove; invoke and read too), invoke (call), read "
      "(look).\n"
      "A key is for one app with --app, for one organisation with --org, else for all of the node. The node's own "
      "admin key is admin.key in its data directory.");

  auto* make = keys->add_subcommand("create", "Make a key and print it, this once");
  make->add_option("--role", options->role, "admin, deploy, invoke or read")->required()->type_name("ROLE");
  make->add_option("--app", options->app, "For this app only")->type_name("APP");
  make->add_option("--org", options->organisation, "For this organisation and its apps; with --app: the app's")
      ->type_name("ORGANISATION");
  make->add_option("--label", options->label, "A note, such as who has it")->type_name("TEXT");
  add_common_options(*make, session);
  make->callback([&session, options] { session.action = [&session, options] { return create(session, *options); }; });

  auto* show = keys->add_subcommand("ls", "List keys; their text is not kept");
  add_common_options(*show, session);
  show->callback([&session] { session.action = [&session] { return list(session); }; });

  auto* revoke = keys->add_subcommand("rm", "Revoke a key at once");
  revoke->add_option("id", options->id, "Its id, from ebb key ls")->required()->type_name("");
  add_common_options(*revoke, session);
  revoke->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
