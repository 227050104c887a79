// `ebb budget set|ls|rm`: what an app may use in a month.
#include <memory>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/names.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string app;
  std::string cu;
};

base::Result<std::string> path_of(const Options& options) {
  EBB_CHECKED(model::check_name("app", options.app));
  return "/api/v1/apps/" + options.app + "/budget";
}

base::Result<int> set(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "PUT"};
  EBB_TRY(request.url, path_of(options));
  request.headers.add("Content-Type", "application/json");
  request.body = "{\"cu_a_month\":" + http::json_quoted(options.cu) + "}";
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json
                ? "{\"set\":" + http::json_quoted(options.app) + "}\n"
                : "app " + options.app + " may use " + options.cu +
                      " CU a month (UTC); beyond that its calls get 429. ebb budget ls shows what it has used\n");
  return 0;
}

base::Result<int> list(const Session& session) {
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/budgets"));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"APP", "MONTH", "CU A MONTH", "CU USED", "STATE"});
  for (const auto* budget : objects_in(answer.object, "budgets")) {
    table.add({text_of(*budget, "app"), text_of(*budget, "month"), text_of(*budget, "cu_a_month"),
               text_of(*budget, "cu_used"), text_of(*budget, "state")});
  }
  print_out(table.text(session.terminal));
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"removed\":" + http::json_quoted(options.app) + "}\n"
                         : "app " + options.app + " has no budget any more\n");
  return 0;
}

}  // namespace

void add_budget(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* budget = app.add_subcommand("budget", "Bound what an app may use in a month");
  budget->group("Security");
  budget->require_subcommand(1);
  budget->footer(
      "\nAn app that has used up its budget is answered 429 until the next month (UTC) or a larger budget; calls under "
      "way end as\n"
      "they would. What counts is what `ebb bill` counts: ebb budget set vision 5000");

  auto* put = budget->add_subcommand("set", "Set an app's budget, in CU a month; 0 closes it");
  put->add_option("app", options->app, "APP")->required()->type_name("");
  put->add_option("cu", options->cu, "CU a month, such as 5000 or 0.5")->required()->type_name("");
  add_common_options(*put, session);
  put->callback([&session, options] { session.action = [&session, options] { return set(session, *options); }; });

  auto* show = budget->add_subcommand("ls", "List budgets and what has been used of them");
  add_common_options(*show, session);
  show->callback([&session] { session.action = [&session] { return list(session); }; });

  auto* drop = budget->add_subcommand("rm", "Remove an app's budget: it may use what it likes");
  drop->add_option("app", options->app, "APP")->required()->type_name("");
  add_common_options(*drop, session);
  drop->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
