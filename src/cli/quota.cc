// `ebb quota set|ls|rm`: how fast and how much at once an app may be called.
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/names.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string app;
  std::string organisation;
  std::string rate;
  std::string at_once;
  std::string memory;
  std::string storage;
};

base::Result<std::string> path_of(const Options& options) {
  if (options.app.empty() == options.organisation.empty())
    return base::invalid_argument("say whose: APP, or --org ORGANISATION for all its apps together");
  if (!options.organisation.empty()) {
    EBB_CHECKED(model::check_name("organisation", options.organisation));
    return "/api/v1/organisations/" + options.organisation + "/quota";
  }
  EBB_CHECKED(model::check_name("app", options.app));
  return "/api/v1/apps/" + options.app + "/quota";
}

std::string whose(const Options& options) {
  return options.app.empty() ? "organisation " + options.organisation : "app " + options.app;
}

const std::string& name_of(const Options& options) { return options.app.empty() ? options.organisation : options.app; }

base::Result<int> set(const Session& session, const Options& options) {
  if (options.rate.empty() && options.at_once.empty() && options.memory.empty() && options.storage.empty()) {
    return base::invalid_argument(
        "say what to bound: --calls-per-second N, --calls-at-once N, --memory SIZE or --storage SIZE");
  }
  http::ClientRequest request{.method = "PUT"};
  EBB_TRY(request.url, path_of(options));
  request.headers.add("Content-Type", "application/json");
  std::string members;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty())
      members += (members.empty() ? "\"" : ",\"") + std::string(name) + "\":" + http::json_quoted(value);
  };
  add("calls_per_second", options.rate);
  add("calls_at_once", options.at_once);
  add("memory", options.memory);
  add("storage", options.storage);
  request.body = "{" + members + "}";
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json
                ? "{\"set\":" + http::json_quoted(name_of(options)) + "}\n"
                : whose(options) +
                      " has a quota now; beyond it calls get 429 and deployments are refused. ebb quota ls shows it\n");
  return 0;
}

base::Result<int> list(const Session& session) {
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/quotas"));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"ORGANISATION", "APP", "CALLS A SECOND", "CALLS AT ONCE", "NOW", "MEMORY", "NOW", "STORAGE"});
  const auto shown = [](const std::string& bound) { return bound.empty() ? std::string("any") : bound; };
  for (const auto* quota : objects_in(answer.object, "quotas")) {
    table.add({text_of(*quota, "organisation"), text_of(*quota, "app"), shown(text_of(*quota, "calls_per_second")),
               shown(text_of(*quota, "calls_at_once")), std::to_string(count_of(*quota, "calls_now")),
               shown(text_of(*quota, "memory")), text_of(*quota, "memory_now"), shown(text_of(*quota, "storage"))});
  }
  print_out(table.text(session.terminal, {2, 3, 4, 5, 6, 7}));
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"removed\":" + http::json_quoted(name_of(options)) + "}\n"
                         : whose(options) + " has no quota any more\n");
  return 0;
}

}  // namespace

void add_quota(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* quota = app.add_subcommand("quota", "Bound how fast and how much at once an app may be called, and its room");
  quota->group("Security");
  quota->require_subcommand(1);
  quota->footer(
      "\nOver all functions of the app. A call beyond it is answered 429 at once, with the time to retry after; "
      "nothing of "
      "it is billed.\n"
      "Example: ebb quota set vision --calls-per-second 100 --calls-at-once 20");

  auto* put = quota->add_subcommand("set", "Set an app's quota, in place of the one before");
  put->add_option("app", options->app, "APP")->type_name("");
  put->add_option("--org", options->organisation, "Of this organisation: all its apps together")
      ->type_name("ORGANISATION");
  put->add_option("--calls-per-second", options->rate, "Such as 100 or 0.5; a second's worth may come at one moment")
      ->type_name("N");
  put->add_option("--calls-at-once", options->at_once, "Under way, or waiting for an instance")->type_name("N");
  put->add_option("--memory", options->memory, "`memory` of all its instances together, such as 4Gi; idle ones count")
      ->type_name("SIZE");
  put->add_option("--storage", options->storage, "What its packages and layers take on disk, such as 10Gi")
      ->type_name("SIZE");
  add_common_options(*put, session);
  put->callback([&session, options] { session.action = [&session, options] { return set(session, *options); }; });

  auto* show = quota->add_subcommand("ls", "List quotas, and the calls at this moment");
  add_common_options(*show, session);
  show->callback([&session] { session.action = [&session] { return list(session); }; });

  auto* drop = quota->add_subcommand("rm", "Remove an app's quota");
  drop->add_option("app", options->app, "APP")->type_name("");
  drop->add_option("--org", options->organisation, "Of this organisation")->type_name("ORGANISATION");
  add_common_options(*drop, session);
  drop->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
