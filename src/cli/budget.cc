// `ebb budget set|ls|rm`: what an app may use in a month.
#include <memory>
#include <utility>

#include "cli/commands.h"
#include "http/error_response.h"
#include "model/names.h"

namespace ebb::cli {
namespace {

constexpr auto kLimit = std::chrono::seconds(60);

struct Options {
  std::string app;
  std::string organisation;
  std::string cu;
  std::string money;
};

base::Result<std::string> path_of(const Options& options) {
  if (options.app.empty() == options.organisation.empty())
    return base::invalid_argument("say whose: APP, or --org ORGANISATION for all its apps together");
  if (!options.organisation.empty()) {
    EBB_CHECKED(model::check_name("organisation", options.organisation));
    return "/api/v1/organisations/" + options.organisation + "/budget";
  }
  EBB_CHECKED(model::check_name("app", options.app));
  return "/api/v1/apps/" + options.app + "/budget";
}

std::string whose(const Options& options) {
  return options.app.empty() ? "organisation " + options.organisation : "app " + options.app;
}

const std::string& name_of(const Options& options) { return options.app.empty() ? options.organisation : options.app; }

base::Result<int> set(const Session& session, Options options) {
  // `ebb budget set --org acme 5000`: there is no APP before the CU.
  if (!options.organisation.empty() && options.cu.empty()) options.cu = std::exchange(options.app, "");
  if (options.cu.empty() && options.money.empty())
    return base::invalid_argument("the budget of CU a month is missing: ebb budget set APP CU, or --money AMOUNT");
  http::ClientRequest request{.method = "PUT"};
  EBB_TRY(request.url, path_of(options));
  request.headers.add("Content-Type", "application/json");
  std::string members;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty())
      members += (members.empty() ? "\"" : ",\"") + std::string(name) + "\":" + http::json_quoted(value);
  };
  add("cu_a_month", options.cu);
  add("money_a_month", options.money);
  request.body = "{" + members + "}";
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"set\":" + http::json_quoted(name_of(options)) + "}\n"
                         : whose(options) + " may " + (options.cu.empty() ? "" : "use " + options.cu + " CU") +
                               (options.cu.empty() || options.money.empty() ? "" : " and ") +
                               (options.money.empty() ? "" : "cost " + options.money) +
                               " a month (UTC); beyond that its calls get 429. ebb budget ls shows what it has used\n");
  return 0;
}

base::Result<int> list(const Session& session) {
  EBB_TRY(const Rest::Document answer, session.rest().get("/api/v1/budgets"));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  Table table({"ORGANISATION", "APP", "MONTH", "CU A MONTH", "CU USED", "MONEY A MONTH", "MONEY USED", "STATE"});
  const auto shown = [](const std::string& bound) { return bound.empty() ? std::string("any") : bound; };
  for (const auto* budget : objects_in(answer.object, "budgets")) {
    table.add({text_of(*budget, "organisation"), text_of(*budget, "app"), text_of(*budget, "month"),
               shown(text_of(*budget, "cu_a_month")), text_of(*budget, "cu_used"),
               shown(text_of(*budget, "money_a_month")),
               text_of(*budget, "money_used") + " " + text_of(*budget, "currency"), text_of(*budget, "state")});
  }
  print_out(table.text(session.terminal));
  return 0;
}

base::Result<int> remove(const Session& session, const Options& options) {
  http::ClientRequest request{.method = "DELETE"};
  EBB_TRY(request.url, path_of(options));
  EBB_CHECKED(session.rest().call(std::move(request), kLimit));
  print_out(session.json ? "{\"removed\":" + http::json_quoted(name_of(options)) + "}\n"
                         : whose(options) + " has no budget any more\n");
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

  auto* put = budget->add_subcommand("set", "Set an app's budget, in CU or money a month; 0 closes it");
  put->add_option("app", options->app, "APP")->type_name("");
  put->add_option("--org", options->organisation, "Of this organisation: all its apps together")
      ->type_name("ORGANISATION");
  put->add_option("cu", options->cu, "CU a month, such as 5000 or 0.5")->type_name("");
  put->add_option("--money", options->money, "What it may cost a month, in the currency of the price file")
      ->type_name("AMOUNT");
  add_common_options(*put, session);
  put->callback([&session, options] { session.action = [&session, options] { return set(session, *options); }; });

  auto* show = budget->add_subcommand("ls", "List budgets and what has been used of them");
  add_common_options(*show, session);
  show->callback([&session] { session.action = [&session] { return list(session); }; });

  auto* drop = budget->add_subcommand("rm", "Remove an app's budget: it may use what it likes");
  drop->add_option("app", options->app, "APP")->type_name("");
  drop->add_option("--org", options->organisation, "Of this organisation")->type_name("ORGANISATION");
  add_common_options(*drop, session);
  drop->callback([&session, options] { session.action = [&session, options] { return remove(session, *options); }; });
}

}  // namespace ebb::cli
