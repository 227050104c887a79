// `ebb webhook set|ls|rm`: where an organisation is told of its budgets and its usage.
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/names.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string organisation;
  std::string url;
  bool usage = false;
  bool new_secret = false;
};

base::Result<std::string> path_of(const Options& options) {
  EBB_CHECKED(model::check_name("organisation", options.organisation));
  return "/api/v1/organisations/" + options.organisation + "/webhook";
}

base::Result<int> set(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "PUT"};
  EBB_TRY(request.url, path_of(options));
  request.headers.add("Content-Type", "application/json");
  request.body = "{\"url\":" + http::json_quoted(options.url) + ",\"usage\":\"" + (options.usage ? "yes" : "no") +
                 "\",\"new_secret\":\"" + (options.new_secret ? "yes" : "no") + "\"}";
  EBB_TRY(const http::ClientResponse response, session.rest().call(std::move(request), kLimit));
  if (session.json) {
    print_out(response.body);
    return 0;
  }
  EBB_TRY(const boost::json::object made, json_object(response.body));
  // A secret alone on standard output, so that it can go into a file; the rest is for the person.
  const std::string secret = text_of(made, "secret");
  print_err("organisation " + options.organisation + " is told of its budgets" +
            (options.usage ? " and its usage records" : "") +
            (secret.empty() ? "; its secret is as it was\n" : "; its secret is shown this once:\n"));
  if (!secret.empty()) print_out(secret + "\n");
  return 0;
}

base::Result<int> list(const Session& session) {
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/webhooks"));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"ORGANISATION", "BUDGETS", "USAGE", "URL"});
  for (const auto* one : objects_in(answer.object, "webhooks")) {
    table.add({text_of(*one, "organisation"), "yes", flag_of(*one, "usage") ? "yes" : "no", text_of(*one, "url")});
  }
  print_out(table.text(session.terminal));
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json
                ? "{\"removed\":" + http::json_quoted(options.organisation) + "}\n"
                : "organisation " + options.organisation + " has no webhook any more; what waited is dropped\n");
  return 0;
}

}  // namespace

void add_webhook(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* webhook = app.add_subcommand("webhook", "Tell organisations' own systems of their budgets and their usage");
  webhook->group("Security");
  webhook->require_subcommand(1);
  webhook->footer(
      "\nEvents are signed as Standard Webhooks says, with a secret that the node makes and `set` shows once. What "
      "the node's own\nreceiver is told (webhook_url of the configuration) does not change.\n"
      "Example: ebb webhook set acme https://hooks.acme.example/ebb --usage");

  auto* put = webhook->add_subcommand("set", "Set an organisation's receiver, or change it");
  put->add_option("organisation", options->organisation, "ORGANISATION")->required()->type_name("");
  put->add_option("url", options->url, "URL: http:// or https://")->required()->type_name("");
  put->add_flag("--usage", options->usage, "Post its usage records too; left out they are not posted any more");
  put->add_flag("--new-secret", options->new_secret, "Make another secret; the old one signs nothing from then on");
  add_common_options(*put, session);
  put->callback([&session, options] { session.action = [&session, options] { return set(session, *options); }; });

  auto* show = webhook->add_subcommand("ls", "List organisations' receivers");
  add_common_options(*show, session);
  show->callback([&session] { session.action = [&session] { return list(session); }; });

  auto* drop = webhook->add_subcommand("rm", "Remove an organisation's receiver, and what waits for it");
  drop->add_option("organisation", options->organisation, "ORGANISATION")->required()->type_name("");
  add_common_options(*drop, session);
  drop->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
