#include "cost/command.h"

#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <memory>

#include "cost/report.h"
#include "model/names.h"
#include "sim/text_file.h"

namespace ebb::cost {
namespace {

constexpr auto kExportLimit = std::chrono::hours(1);

struct Line {
  sim::TraceFiles files;
  bool live = false;
  std::string app;
  std::string month;
  Prices prices{.cu = 0.00002};
  Given given;
  std::string server = "2x4";
  std::string chart;
};

/// "2x4": vCPUs and GB.
base::Result<> read_server(const std::string& text, Prices& prices) {
  const std::size_t cross = text.find('x');
  const auto number = [](std::string_view digits, double& out) {
    const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), out);
    return failed == std::errc() && end == digits.data() + digits.size() && out > 0 && out <= 1e6;
  };
  const std::string_view all = text;
  if (cross != std::string::npos && number(all.substr(0, cross), prices.server_vcpus) &&
      number(all.substr(cross + 1), prices.server_gb)) {
    return {};
  }
  return base::invalid_argument("--server is '" + text + "': write its vCPUs and GB as 2x4");
}

base::Result<Traffic> read_live(const cli::Session& session, const Line& line) {
  http::ClientRequest request;
  request.url = "/api/v1/usage/records";
  if (!line.app.empty()) {
    EBB_CHECKED(model::check_name("app", line.app));
    request.url += "?app=" + line.app;
  }
  if (!line.month.empty()) request.url += (line.app.empty() ? "?month=" : "&month=") + cli::encoded(line.month);
  RecordReader reader;
  base::Result<> read;
  request.on_chunk = [&](std::string_view piece) {
    if (read) read = reader.read(piece);
    return read.has_value();
  };
  const auto answered = session.rest().call(std::move(request), kExportLimit);
  if (!read) return read.error();
  if (!answered) return answered.error();
  EBB_TRY(Traffic traffic, reader.finish((line.app.empty() ? "all apps" : "app " + line.app) +
                                         (line.month.empty() ? ", this month" : ", " + line.month)));
  if (!traffic.minutes.empty()) return traffic;
  return base::not_found("there are no usage records of " + traffic.source + ": ebb usage shows what there is");
}

base::Result<Traffic> read_traffic(const cli::Session& session, const Line& line) {
  if (line.live == !line.files.invocations.empty())
    return base::invalid_argument("name a TRACE, or --live for what this node has recorded");
  if (line.live) return read_live(session, line);
  if (!line.app.empty() || !line.month.empty()) return base::invalid_argument("--app and --month are of --live");
  EBB_TRY(const sim::Trace trace, sim::read_trace(line.files));
  return traffic_of(trace, std::filesystem::path(line.files.invocations).filename().string(), line.given);
}

base::Result<int> run(const cli::Session& session, Line line) {
  EBB_CHECKED(read_server(line.server, line.prices));
  EBB_TRY(const Traffic traffic, read_traffic(session, line));
  const Comparison found = compare(traffic, line.prices);
  if (!line.chart.empty()) EBB_CHECKED(sim::write_text(line.chart, to_chart(traffic, found)));
  cli::print_out(session.json ? to_json_text(traffic, found) : to_text(traffic, found));
  return 0;
}

constexpr const char* kFooter =
    "\nBy use: CU as `ebb bill` counts them, at one price (no free quota, no tiers). Servers: as many as the busiest "
    "minute\n"
    "needs for its processors or its memory, whichever is more, running all the time. Of a trace, each function is "
    "taken to\n"
    "have --cpu cores and --memory-share of the memory that it used; a node's records say what its functions had.\n"
    "\nExample: ebb cost azure2019_200_inv.csv --peak-server 0.05 --chart cost.svg\n";

}  // namespace

void add_cost(CLI::App& app, cli::Session& session) {
  auto line = std::make_shared<Line>();
  auto* command = app.add_subcommand("cost", "Hold the cost of traffic by use against servers bought for its peak");
  command->group("Look");
  command->footer(kFooter);
  command->add_option("TRACE", line->files.invocations, "Invocations per minute, as for `ebb sim`; or --live");
  command->add_option("--durations", line->files.durations, "Its run times, if not beside it")->type_name("FILE");
  command->add_option("--memory", line->files.memory, "Its allocated memory, if not beside it")->type_name("FILE");
  command->add_flag("--live", line->live, "What this node has recorded, instead of a trace");
  command->add_option("--app", line->app, "Of the node's records: one app")->type_name("APP");
  command->add_option("--month", line->month, "Of the node's records: 2026-11 (UTC); the present one when left out")
      ->type_name("YYYY-MM");
  command->add_option("--peak-server", line->prices.server_hour, "Price of one server for an hour")
      ->required()
      ->check(CLI::Range(0.0, 1e6))
      ->type_name("PRICE");
  command->add_option("--server", line->server, "What one server has: vCPUs x GB")
      ->type_name("2x4")
      ->capture_default_str();
  command->add_option("--cu-price", line->prices.cu, "Price of one CU")
      ->check(CLI::Range(0.0, 1e6))
      ->type_name("PRICE")
      ->capture_default_str();
  command->add_option("--cpu", line->given.cpu, "Of a trace: cores of each function")
      ->check(CLI::Range(0.05, 64.0))
      ->capture_default_str();
  command
      ->add_option("--memory-share", line->given.memory_share, "Of a trace: memory given, by what was used on average")
      ->check(CLI::Range(1.0, 100.0))
      ->capture_default_str();
  command->add_option("--chart", line->chart, "Write traffic, capacity and cost over time as a chart")
      ->type_name("FILE.svg");
  cli::add_common_options(*command, session);
  command->callback([&session, line] { session.action = [&session, line] { return run(session, *line); }; });
}

}  // namespace ebb::cost
