#include "replay/command.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>

#include "base/limits.h"
#include "base/limits_replay.h"
#include "cli/interrupt.h"
#include "model/names.h"
#include "replay/chart.h"
#include "replay/run.h"
#include "sim/text_file.h"

namespace ebb::replay {
namespace {

struct Line {
  sim::TraceFiles files;
  PlanOptions plan;
  std::string from = "0";
  std::string spread = "uniform";
  std::string calibration;
  std::string chart;
  double memory_percent = 50;
  double processor_percent = 25;
  bool keep = false;
};

/// "10:00" or "600".
base::Result<std::uint32_t> minute_of(const std::string& text) {
  const auto number = [](std::string_view digits) -> std::optional<std::uint32_t> {
    std::uint32_t value = 0;
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  const auto colon = text.find(':');
  if (colon == std::string::npos) {
    if (const auto minute = number(text)) return *minute;
  } else {
    const auto hour = number(std::string_view(text).substr(0, colon));
    const auto minute = number(std::string_view(text).substr(colon + 1));
    if (hour && minute && *minute < 60 && *hour < 24 * 14) return *hour * 60 + *minute;
  }
  return base::invalid_argument("--from is '" + text + "': write a time of the trace as 10:00, or its minute as 600");
}

base::Result<std::optional<sim::Calibration>> calibration_of(const std::string& path) {
  if (path.empty()) return std::optional<sim::Calibration>();
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) return base::not_found("cannot read " + path + ": give a file made by ebb sim calibrate");
  EBB_TRY(sim::Calibration calibration, sim::parse_calibration(text.str()));
  return std::optional<sim::Calibration>(std::move(calibration));
}

base::Result<void> check(Line& line) {
  EBB_CHECKED(model::check_name("app", line.plan.app));
  // Of a second app the name goes on with a number.
  EBB_CHECKED(model::check_name("app", line.plan.app + "-" + std::to_string(limits::kReplayApps)));
  EBB_TRY(line.plan.first_minute, minute_of(line.from));
  if (line.spread == "timers") line.plan.spread = sim::Spread::kTimers;
  if (line.spread == "even") line.plan.spread = sim::Spread::kEven;
  line.plan.memory_share = line.memory_percent / 100;
  line.plan.processor_share = line.processor_percent / 100;
  return {};
}

struct Ended {
  std::optional<base::Result<Comparison>> result;
  std::vector<DeployedApp> deployed;
  bool interrupted = false;
};

Ended run_to_end(const cli::Session& session, const cli::Rest& rest, const sim::Trace& trace, RunOptions options) {
  Ended ended;
  io::asio::io_context context(1);  // the last to go: it holds what was under way when it was stopped
  Run run(context, rest, trace, std::move(options), session.terminal);
  io::spawn(context, "replay", Run::perform(run));
  ended.interrupted = cli::run_until_interrupted(context);
  run.clear_line();
  ended.result = run.result();
  ended.deployed = run.deployed();
  return ended;
}

base::Result<int> replay(const cli::Session& session, Line line) {
  EBB_CHECKED(check(line));
  EBB_TRY(std::optional<sim::Calibration> calibration, calibration_of(line.calibration));
  EBB_TRY(const sim::Trace trace, sim::read_trace(line.files));
  const cli::Rest rest = session.rest();
  RunOptions options{.trace_name = std::filesystem::path(line.files.invocations).filename().string(),
                     .plan = line.plan,
                     .calibration = std::move(calibration),
                     .quiet = session.json};
  const Ended ended = run_to_end(session, rest, trace, std::move(options));
  base::Result<> removed;
  if (!line.keep && !ended.deployed.empty()) {
    if (!session.json)
      cli::print_err(ended.interrupted ? "stopped, removing what was deployed\n" : "removing the apps\n");
    removed = remove_deployed(rest, ended.deployed);
  }
  if (ended.interrupted) {
    if (!removed) return removed.error();
    return cli::kInterrupted;
  }
  if (!ended.result) return base::internal("the replay ended without an outcome, the log says why");
  EBB_TRY(const Comparison comparison, *ended.result);
  if (!line.chart.empty()) EBB_CHECKED(sim::write_text(line.chart, replay_chart(comparison)));
  cli::print_out(session.json ? to_json_text(comparison) : to_table(comparison));
  if (!removed) return removed.error();
  if (comparison.live.errors > 0) return base::exit_code_of(base::Code::kFunctionFailed);
  return comparison.live.records_equal_calls() ? 0 : base::exit_code_of(base::Code::kInternal);
}

constexpr const char* kFooter =
    "\nDeploys generated Python functions, one for each of the trace, that allocate their recorded memory and run as "
    "long\n"
    "as recorded; calls them at the recorded rate whatever the answers (open loop, latency from the planned arrival);\n"
    "then holds the node's usage records and memory against what `ebb sim`'s machine predicted for the same calls.\n"
    "Scaled to the machine: arrivals, run times and idle_timeout by --speed; memory so that the predicted peak is\n"
    "--memory-percent of the node's budget; the computed part of run times so that --processor-percent of the\n"
    "processors is busy on average, the rest of a run time is slept. Starts are not scaled.\n"
    "\nExample: ebb replay azure2019_200_inv.csv --from 10:00 --minutes 30 --speed 10\n"
    "\nExit status: 7 when a call failed, 1 when the records do not equal the calls, 130 after Ctrl-C, which removes "
    "the "
    "apps.\n";

void add_trace_options(CLI::App& command, Line& line) {
  command
      .add_option("TRACE", line.files.invocations,
                  "Invocations per minute, a CSV file of the Azure Functions 2019 data set")
      ->required();
  command.add_option("--durations", line.files.durations, "Its run times; default: the file beside TRACE named for it")
      ->type_name("FILE");
  command
      .add_option("--memory", line.files.memory, "Its allocated memory; default: the file beside TRACE named for it")
      ->type_name("FILE");
  command.add_option("--from", line.from, "Where the stretch begins: 10:00, or the minute of the trace")
      ->type_name("TIME")
      ->capture_default_str();
  command.add_option("--minutes", line.plan.minutes, "How many minutes of the trace")
      ->check(CLI::Range(1U, 1440U))
      ->capture_default_str();
  command.add_option("--speed", line.plan.speed, "So many times as fast")
      ->check(CLI::Range(0.1, 1000.0))
      ->capture_default_str();
  command
      .add_option("--functions", line.plan.functions,
                  "So many functions, drawn at random by the seed from those called in the stretch; default: all")
      ->check(CLI::Range(std::size_t{1}, limits::kReplayApps * limits::kFunctionsPerApp));
  command
      .add_option("--programs", line.plan.programs,
                  "The share of functions, drawn by the seed, that start a program in each instance")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--spread", line.spread, "Calls within their minute: uniform, timers or even, as in ebb sim")
      ->check(CLI::IsMember({"uniform", "timers", "even"}));
  command.add_option("--seed", line.plan.seed, "Of all chance: the same seed gives the same calls")
      ->capture_default_str();
}

void add_node_options(CLI::App& command, Line& line) {
  command.add_option("--memory-percent", line.memory_percent, "Of the node's budget, at the predicted peak")
      ->check(CLI::Range(1.0, 90.0))
      ->capture_default_str();
  command.add_option("--processor-percent", line.processor_percent, "Of the node's processors, on average")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command
      .add_option("--calibration", line.calibration,
                  "Start times from `ebb sim calibrate`; default: of the node's own records, else the built-in ones")
      ->type_name("FILE");
  command.add_option("--app", line.plan.app, "Name of the app that is deployed; more apps get a number behind it")
      ->capture_default_str();
  command.add_flag("--keep", line.keep, "Do not remove the apps afterwards");
  command.add_option("--chart", line.chart, "Write the stretch as a chart: traffic, memory held and used")
      ->type_name("FILE.svg");
}

}  // namespace

void add_replay(CLI::App& app, cli::Session& session) {
  auto line = std::make_shared<Line>();
  auto* command = app.add_subcommand("replay", "Replay a recorded day against this node, beside the prediction");
  command->group("Look");
  command->footer(kFooter);
  add_trace_options(*command, *line);
  add_node_options(*command, *line);
  cli::add_common_options(*command, session);
  command->callback([&session, line] { session.action = [&session, line] { return replay(session, *line); }; });
}

}  // namespace ebb::replay
