// `ebb bill`: what a month cost, and how one invocation came to be on it.
#include <boost/json/array.hpp>
#include <fstream>
#include <memory>

#include "cli/bill_page.h"
#include "cli/commands.h"

namespace ebb::cli {
namespace {

struct Options {
  std::string app;
  std::string organisation;
  std::string month;
  std::string by = "function";
  bool csv = false;
  std::string html;
};

struct ExplainOptions {
  std::string subject;
  std::string request;
};

base::Result<int> bill(const Session& session, const Options& options) {
  if (session.json + options.csv + !options.html.empty() > 1)
    return base::invalid_argument("--json, --csv and --html exclude each other");
  std::string path = "/api/v1/bill?by=" + encoded(options.by);
  if (!options.app.empty()) path += "&app=" + encoded(options.app);
  if (!options.organisation.empty()) path += "&organisation=" + encoded(options.organisation);
  if (!options.month.empty()) path += "&month=" + encoded(options.month);
  EBB_TRY(const Rest::Document answer, session.rest().get(path));
  if (session.json) {
    print_out(answer.text);
  } else if (options.csv) {
    print_out(bill_csv(answer.object));
  } else if (!options.html.empty()) {
    std::ofstream file(options.html, std::ios::binary | std::ios::trunc);
    file << bill_html(answer.object);
    file.close();
    if (!file) return base::unavailable(options.html + " cannot be written");
  } else {
    print_out(bill_table(answer.object, session.terminal));
  }
  return 0;
}

base::Result<int> explain(const Session& session, const ExplainOptions& options) {
  EBB_TRY(const Subject subject, parse_subject(options.subject));
  if (subject.function.empty() || !subject.version.empty()) return base::invalid_argument("name APP/FUNCTION");
  std::string path = "/api/v1/bill/explanation" + query_of(subject);
  if (!options.request.empty()) path += "&request=" + encoded(options.request);
  EBB_TRY(const Rest::Document answer, session.rest().get(path));
  if (session.json) {
    print_out(answer.text);
    return 0;
  }
  const auto* steps = answer.object.if_contains("steps");
  if (steps == nullptr || !steps->is_array()) return base::internal("the server's answer has no steps");
  for (const auto& step : steps->get_array()) {
    if (step.is_string()) print_out(harmless(std::string_view(step.get_string())) + "\n");
  }
  return 0;
}

}  // namespace

void add_bill(CLI::App& app, Session& session) {
  auto options = std::make_shared<Options>();
  auto* command = app.add_subcommand("bill", "Show what a month cost, line by line");
  command->group("Look");
  command->add_option("--app", options->app, "Only this app; all when left out")->type_name("APP");
  command->add_option("--org", options->organisation, "Only the apps of this organisation")->type_name("ORGANISATION");
  command->add_option("--month", options->month, "A month such as 2026-11 (UTC); the present one when left out")
      ->type_name("YYYY-MM");
  command->add_option("--by", options->by, "A line per function, version, alias, trigger or day (function)")
      ->type_name("WHAT");
  command->add_flag("--csv", options->csv, "Print comma-separated values");
  command->add_option("--html", options->html, "Write a readable statement to this file")->type_name("FILE");
  add_common_options(*command, session);
  command->require_subcommand(0, 1);

  auto explained = std::make_shared<ExplainOptions>();
  auto* inner = command->add_subcommand("explain", "Walk from one invocation's record to its line on the bill");
  inner->add_option("function", explained->subject, "APP/FUNCTION")->required()->type_name("");
  inner->add_option("--request", explained->request, "Of this invocation; the newest when left out")->type_name("ID");
  add_common_options(*inner, session);
  inner->callback(
      [&session, explained] { session.action = [&session, explained] { return explain(session, *explained); }; });
  command->callback([&session, command, options] {
    if (!command->get_subcommands().empty()) return;
    session.action = [&session, options] { return bill(session, *options); };
  });
}

}  // namespace ebb::cli
