#include "tune/command.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <memory>

#include "cli/event.h"
#include "cli/interrupt.h"
#include "sim/text_file.h"
#include "tune/report.h"
#include "tune/trial.h"

namespace ebb::tune {
namespace {

constexpr auto kRemoveLimit = std::chrono::minutes(2);  // of one version: its calls finish

struct Line {
  std::string subject;
  cli::EventOptions event;
  TrialOptions trial;
  std::string memories;
  std::string cpus;
  std::string aim = "balance";
  std::string chart;
};

struct Ended {
  std::optional<base::Result<std::vector<Measured>>> result;
  std::vector<std::string> made;
  bool interrupted = false;
};

base::Result<> check(Line& line) {
  EBB_TRY(const cli::Subject subject, cli::parse_subject(line.subject));
  if (subject.function.empty() || !subject.version.empty())
    return base::invalid_argument("name one function: ebb tune APP/FUNCTION");
  line.trial.app = subject.app;
  line.trial.function = subject.function;
  if (!line.trial.path.empty() && line.trial.path.front() != '/')
    return base::invalid_argument("--path is '" + line.trial.path + "', it begins with /");
  if (line.trial.path.empty()) {
    EBB_TRY(line.trial.event, cli::read_json_event(line.event));
  } else {
    EBB_TRY(line.trial.event, cli::read_event(line.event));
    if (!line.trial.event.empty()) line.trial.method = "POST";
  }
  if (!line.memories.empty()) {
    EBB_TRY(line.trial.memories, parse_memories(line.memories));
  }
  if (!line.cpus.empty()) {
    EBB_TRY(line.trial.cpu_millis, parse_cpus(line.cpus));
  }
  return {};
}

Ended run_to_end(const cli::Session& session, const cli::Rest& rest, TrialOptions options) {
  Ended ended;
  io::asio::io_context context(1);  // the last to go: it holds what was under way when it was stopped
  Trial trial(context, rest, std::move(options), session.terminal);
  io::spawn(context, "tune", Trial::perform(trial));
  ended.interrupted = cli::run_until_interrupted(context);
  trial.clear_line();
  ended.result = trial.result();
  ended.made = trial.made();
  return ended;
}

// Each is tried, whatever becomes of the others; the first error counts.
base::Result<> remove_versions(const cli::Rest& rest, const std::vector<std::string>& paths) {
  base::Result<> all;
  for (const std::string& path : paths) {
    http::ClientRequest request{.method = "DELETE"};
    request.url = path;
    const base::Result<http::ClientResponse> removed = rest.call(std::move(request), kRemoveLimit);
    if (!removed && all) all = removed.error();
  }
  return all;
}

Aim aim_of(const std::string& text) {
  return text == "cost" ? Aim::kCost : text == "speed" ? Aim::kSpeed : Aim::kBalance;
}

base::Result<int> tune(const cli::Session& session, Line line) {
  EBB_CHECKED(check(line));
  line.trial.quiet = session.json;
  const cli::Rest rest = session.rest();
  const Subject subject{
      .function = line.trial.app + "/" + line.trial.function, .calls = line.trial.calls, .aim = aim_of(line.aim)};
  const Ended ended = run_to_end(session, rest, std::move(line.trial));
  const base::Result<> removed = remove_versions(rest, ended.made);
  if (ended.interrupted) {
    if (!removed) return removed.error();
    return cli::kInterrupted;
  }
  if (!ended.result) return base::internal("the trial ended without an outcome");
  EBB_TRY(const std::vector<Measured> all, *ended.result);
  const std::optional<Advice> advice = advise(all, subject.aim);
  if (!line.chart.empty()) EBB_CHECKED(sim::write_text(line.chart, to_chart(subject, all, advice)));
  cli::print_out(session.json ? to_json_text(subject, all, advice) : to_table(subject, all, advice, session.terminal));
  EBB_CHECKED(removed);
  return advice ? 0 : base::exit_code_of(base::Code::kFunctionFailed);
}

constexpr const char* kFooter =
    "\nMakes versions of the function with other memory and cpu beside the one that serves, calls them in turns, one "
    "call\n"
    "at a time, and reads what each call took and cost from its usage record. The versions are removed at the end; "
    "what\n"
    "serves is not touched. The calls are real: they do what the function does, and are billed.\n"
    "\nWithout --memory a first call shows how much is used; that and a quarter, and what it has now, are tried.\n"
    "Without --cpu 0.25, 0.5, 1, 2, ... up to the machine's processors.\n"
    "\nExample: ebb tune vision/digits --data-file event.json --aim cost\n"
    "\nExit status: 7 when no size answered all calls, 130 after Ctrl-C, which removes the versions too.\n";

}  // namespace

void add_tune(CLI::App& app, cli::Session& session) {
  auto line = std::make_shared<Line>();
  auto* command = app.add_subcommand("tune", "Find the memory and cpu at which a function is cheap and fast");
  command->group("Look");
  command->footer(kFooter);
  command->add_option("function", line->subject, "APP/FUNCTION")->required()->type_name("");
  cli::add_event_options(*command, line->event);
  command->add_option("--path", line->trial.path, "Ask its URL for this path instead: GET, or POST with the data")
      ->type_name("/PATH");
  command->add_option("--memory", line->memories, "What to try, such as 64Mi,128Mi,1Gi")->type_name("SIZES");
  command->add_option("--cpu", line->cpus, "What to try, such as 0.25,1,2")->type_name("CORES");
  command->add_option("--calls", line->trial.calls, "Of each size, beside a first one")
      ->check(CLI::Range(1U, 10'000U))
      ->capture_default_str();
  command->add_option("--aim", line->aim, "What counts: cost, speed or balance")
      ->check(CLI::IsMember({"cost", "speed", "balance"}))
      ->capture_default_str();
  command->add_option("--chart", line->chart, "Write cost and time of each size as a chart")->type_name("FILE.svg");
  cli::add_common_options(*command, session);
  command->callback([&session, line] { session.action = [&session, line] { return tune(session, *line); }; });
}

}  // namespace ebb::tune
