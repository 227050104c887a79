#include "sim/command.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "base/limits_spares.h"
#include "sim/chart.h"
#include "sim/report.h"
#include "sim/text_file.h"

namespace ebb::sim {
namespace {

constexpr int kUsageError = 2;

struct Line {
  TraceFiles files;
  ExperimentOptions experiment;
  std::string spread = "uniform";
  std::string calibration;
  std::string chart;
  std::string frontier_chart;
  double price = kDefaultPrice;
  std::uint64_t memory_mb = 0;
  std::uint32_t max_spares = PolicyOptions{}.spares_most;
  std::uint32_t first_minute = 0;
  std::uint32_t minutes = 0;
  std::vector<std::string> only;
  bool json = false;
  bool frontier = false;
};

base::Result<std::string> read_text(const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
    return text;
  }
  std::error_code failure;
  const auto size = std::filesystem::file_size(path, failure);
  if (failure) return base::not_found("cannot read " + path + ": " + failure.message());
  if (size > kCalibrationBytes) return base::Error{.code = base::Code::kTooLarge, .message = path + " is too large"};
  std::ifstream file(path, std::ios::binary);
  text.assign(std::istreambuf_iterator<char>(file), {});
  return text;
}

base::Result<std::vector<PolicyOptions>> chosen_policies(const Line& line, const Trace& trace) {
  double megabytes = 0;
  for (const TraceFunction& function : trace.functions) megabytes += function.memory_mb;
  const auto of_trace = static_cast<double>(trace.functions.size());
  if (line.experiment.functions != 0) megabytes *= line.experiment.functions / of_trace;
  std::vector<PolicyOptions> policies;
  for (PolicyOptions& policy :
       standard_policies(line.price, megabytes / line.experiment.nodes, line.experiment.programs > 0)) {
    if (line.memory_mb != 0) policy.memory = {line.memory_mb << 20};
    if (policy.spares_most != 0) policy.spares_most = line.max_spares;
    if (line.only.empty() || std::find(line.only.begin(), line.only.end(), policy.name) != line.only.end())
      policies.push_back(std::move(policy));
  }
  if (policies.empty())
    return base::invalid_argument("no policy is named '" + line.only.front() + "': ebb sim --help lists them");
  return policies;
}

base::Result<int> simulate(Line line) {
  if (line.spread == "timers") line.experiment.spread = Spread::kTimers;
  if (line.spread == "even") line.experiment.spread = Spread::kEven;
  Calibration calibration = default_calibration();
  if (!line.calibration.empty()) {
    EBB_TRY(const std::string text, read_text(line.calibration));
    EBB_TRY(calibration, parse_calibration(text));
  }
  EBB_TRY(Trace trace, read_trace(line.files));
  if (line.first_minute != 0 || line.minutes != 0) {
    trace = excerpt(trace, line.first_minute, line.minutes == 0 ? trace.minutes : line.minutes);
    if (trace.minutes == 0)
      return base::invalid_argument("the trace ends before minute " + std::to_string(line.first_minute));
  }
  EBB_TRY(const auto policies, chosen_policies(line, trace));
  Report report{.trace = std::filesystem::path(line.files.invocations).filename().string(),
                .functions = line.experiment.functions == 0 ? trace.functions.size() : line.experiment.functions,
                .minutes = trace.minutes,
                .options = line.experiment,
                .measured_on = calibration.measured_on};
  for (const PolicyOptions& policy : policies) {
    EBB_TRY(Outcome outcome, run_experiment(trace, calibration, policy, line.experiment));
    report.outcomes.push_back(std::move(outcome));
  }
  if (line.frontier || !line.frontier_chart.empty()) {
    for (const PolicyOptions& policy : frontier_policies()) {
      EBB_TRY(Outcome outcome, run_experiment(trace, calibration, policy, line.experiment));
      report.frontier.push_back(std::move(outcome));
    }
  }
  if (!line.chart.empty()) EBB_CHECKED(write_text(line.chart, day_chart(report)));
  if (!line.frontier_chart.empty()) EBB_CHECKED(write_text(line.frontier_chart, frontier_chart(report)));
  const std::string text = line.json ? to_json_text(report) : to_table(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return 0;
}

base::Result<int> calibrate_from(const std::string& usage, const std::string& measured_on) {
  EBB_TRY(const std::string text, read_text(usage));
  EBB_TRY(const Calibration calibration, calibrate(text, default_calibration(), measured_on));
  const std::string document = to_json_text(calibration);
  std::fwrite(document.data(), 1, document.size(), stdout);
  return 0;
}

int finished(const base::Result<int>& status) {
  if (status) return *status;
  std::fprintf(stderr, "error: %s\n", status.error().message.c_str());
  return base::exit_code_of(status.error().code);
}

int parse(CLI::App& app, std::vector<std::string> arguments, bool& done) {
  std::reverse(arguments.begin(), arguments.end());  // as the library wants them
  try {
    app.parse(std::move(arguments));
    return 0;
  } catch (const CLI::ParseError& error) {  // also how --help arrives
    done = true;
    if (error.get_exit_code() == 0) return app.exit(error);
    std::fprintf(stderr, "error: %s\nsee ebb sim --help\n", error.what());
    return kUsageError;
  }
}

int run_calibrate(std::vector<std::string> arguments) {
  CLI::App app("Make a calibration from what a node measured: the start times in its usage records.",
               "ebb sim calibrate");
  std::string usage = "-";
  std::string measured_on;
  app.add_option("USAGE", usage, "What `ebb usage --json` printed; - reads standard input")->capture_default_str();
  app.add_option("--measured-on", measured_on, "The machine, in words, to be written down with the numbers")
      ->type_name("TEXT");
  app.footer("\nExample: ebb usage --since 1h --limit 10000 --json | ebb sim calibrate > node.json\n");
  bool done = false;
  const int status = parse(app, std::move(arguments), done);
  return done ? status : finished(calibrate_from(usage, measured_on));
}

}  // namespace

int run_command(std::vector<std::string> arguments) {
  if (!arguments.empty() && arguments.front() == "calibrate")
    return run_calibrate({arguments.begin() + 1, arguments.end()});
  CLI::App app(
      "Replay a recorded day against the scheduler in virtual time, beside what other policies would have done.",
      "ebb sim");
  Line line;
  app.add_option("TRACE", line.files.invocations,
                 "Invocations per minute, a CSV file of the Azure Functions 2019 data set")
      ->required();
  app.add_option("--durations", line.files.durations, "Its run times; default: the file beside TRACE named for it")
      ->type_name("FILE");
  app.add_option("--memory", line.files.memory, "Its allocated memory; default: the file beside TRACE named for it")
      ->type_name("FILE");
  app.add_option("--calibration", line.calibration, "Start costs from `ebb sim calibrate` instead of the built-in ones")
      ->type_name("FILE");
  app.add_option("--spread", line.spread,
                 "Calls within their minute: uniform, timers (regular functions keep their second) or even")
      ->check(CLI::IsMember({"uniform", "timers", "even"}));
  app.add_option("--functions", line.experiment.functions, "So many functions: copies beyond those of the trace")
      ->check(CLI::Range(1U, kSimulatedFunctions));
  app.add_option("--nodes", line.experiment.nodes, "On so many nodes")->check(CLI::Range(1U, kSimulatedNodes));
  app.add_option("--node-memory", line.memory_mb,
                 "Memory of a node in MiB, for all policies; default: unbounded, greedy-dual a quarter")
      ->check(CLI::Range(1U, 1U << 30));
  app.add_option(
         "--private-share", line.experiment.private_share,
         "Of a function's memory, what an instance adds to its zygote; default: what lies above its 1st percentile")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--platform-mb", line.experiment.platform_mb,
                 "Of the recorded memory of every instance, what belongs to the recording platform's runtime")
      ->check(CLI::NonNegativeNumber);
  app.add_option(
         "--programs", line.experiment.programs,
         "The share of functions that start a program in each instance, as Node does: nodes keep spares of them")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--max-spares", line.max_spares, "Of a node")
      ->check(CLI::Range(0U, limits::kSparesMax))
      ->capture_default_str();
  app.add_option("--price", line.price, "GB-seconds that may be held to spare callers one second of waiting")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--policy", line.only, "Only this policy, by the name the table gives it; may be repeated")
      ->type_name("NAME");
  app.add_option("--first-minute", line.first_minute, "Begin at this minute of the trace");
  app.add_option("--minutes", line.minutes, "Simulate so many minutes");
  app.add_option("--seed", line.experiment.seed, "Of all chance: the same seed gives the same run")
      ->capture_default_str();
  app.add_flag("--frontier", line.frontier, "Show Ebb at other prices too");
  app.add_option("--chart", line.chart, "Write the day as a chart: traffic, capacity held and used, cost")
      ->type_name("FILE.svg");
  app.add_option("--frontier-chart", line.frontier_chart, "Write waiting against memory held as a chart")
      ->type_name("FILE.svg");
  app.add_flag("--json", line.json, "Print one JSON document for programs to read");
  app.footer(
      "\nPolicies: fixed 1, 5, 10, 20, 60 min; hybrid histogram; greedy-dual; ebb; node, which is ebb as a\n"
      "node with that keep_alive_price runs it; node, price 0, as one runs it that was not configured: it holds\n"
      "every zygote while it has memory; with --programs: node, no spares.\n"
      "Another form: ebb sim calibrate [USAGE], which makes a calibration from the usage records of a node.\n");
  bool done = false;
  const int status = parse(app, std::move(arguments), done);
  return done ? status : finished(simulate(std::move(line)));
}

}  // namespace ebb::sim
