#include "sim/report.h"

#include <boost/json.hpp>

#include "sim/formatted.h"

namespace ebb::sim {
namespace {

namespace json = boost::json;

std::string time_text(double milliseconds) {
  if (milliseconds == 0) return "0";
  if (milliseconds < 1000) return formatted("%.3g ms", milliseconds);
  return formatted("%.3g s", milliseconds / 1000);
}

std::string row(const Outcome& outcome, double reference_gbs) {
  const Totals& totals = outcome.totals;
  const double per_gb = reference_gbs > 0 ? totals.held_gbs / reference_gbs : 0;
  return formatted("%-18s %7.3f %%  %7.3f %%  %9s %9s %9s %9s  %10.0f  %6.3f  %9.2f  %7.0f\n",
                   outcome.policy.name.c_str(), 100 * totals.cold_share(), 100 * totals.waited_share(),
                   time_text(totals.added.mean()).c_str(), time_text(totals.added.at(0.99)).c_str(),
                   time_text(totals.added.at(0.999)).c_str(), time_text(totals.added.max()).c_str(), totals.held_gbs,
                   per_gb, totals.used_gbs > 0 ? totals.held_gbs / totals.used_gbs : 0, totals.start_seconds);
}

std::string_view name_of(Mechanics mechanics) {
  switch (mechanics) {
    case Mechanics::kZygotes: return "zygotes";
    case Mechanics::kNode: return "node";
    case Mechanics::kInstances: break;
  }
  return "instances";
}

std::string spares_table(const Report& report) {
  std::string text = formatted("\n%-18s %9s  %9s  %9s  %9s\n", "SPARES", "STARTED", "TAKEN", "HELD GB-s", "OF HELD");
  for (const Outcome& outcome : report.outcomes) {
    const Totals& totals = outcome.totals;
    if (outcome.policy.mechanics == Mechanics::kInstances) continue;
    text += formatted("%-18s %9llu  %9llu  %9.0f  %7.2f %%\n", outcome.policy.name.c_str(),
                      static_cast<unsigned long long>(totals.spare_starts),
                      static_cast<unsigned long long>(totals.from_spare), totals.spare_gbs,
                      totals.held_gbs > 0 ? 100 * totals.spare_gbs / totals.held_gbs : 0);
  }
  return text;
}

double reference_of(const Report& report) {
  for (const Outcome& outcome : report.outcomes) {
    if (outcome.policy.name == "fixed 10 min") return outcome.totals.held_gbs;
  }
  return 0;
}

json::array series(const std::vector<double>& values) {
  json::array list;
  for (const double value : values) list.push_back(value);
  return list;
}

json::object to_json(const Outcome& outcome, bool with_series) {
  const Totals& totals = outcome.totals;
  json::object object{
      {"policy", outcome.policy.name},
      {"mechanics", std::string(name_of(outcome.policy.mechanics))},
      {"calls", totals.arrived},
      {"answered", totals.answered},
      {"refused", totals.refused},
      {"idle", totals.from_idle},
      {"fork", totals.from_fork},
      {"cold", totals.from_boot},
      {"spare", totals.from_spare},
      {"cold_share", totals.cold_share()},
      {"waited_share", totals.waited_share()},
      {"added_ms", json::object{{"mean", totals.added.mean()},
                                {"p50", totals.added.at(0.5)},
                                {"p90", totals.added.at(0.9)},
                                {"p95", totals.added.at(0.95)},
                                {"p99", totals.added.at(0.99)},
                                {"p999", totals.added.at(0.999)},
                                {"max", totals.added.max()}}},
      {"start_seconds", totals.start_seconds},
      {"held_gb_seconds", totals.held_gbs},
      {"used_gb_seconds", totals.used_gbs},
      {"spares_held_gb_seconds", totals.spare_gbs},
      {"needed_gb_seconds", totals.needed_gbs},
      {"runtime_starts", totals.runtime_starts},
      {"zygote_starts", totals.zygote_starts},
      {"instance_starts", totals.instance_starts},
      {"spare_starts", totals.spare_starts},
      {"evictions", totals.evictions},
      {"events", totals.events},
      {"wall_seconds", outcome.seconds},
  };
  if (outcome.policy.mechanics != Mechanics::kInstances) object["price"] = outcome.policy.price;
  if (with_series) {
    object["held_gb_by_minute"] = series(totals.held_by_minute);
    object["used_gb_by_minute"] = series(totals.used_by_minute);
  }
  return object;
}

}  // namespace

std::string_view name_of(Spread spread) {
  switch (spread) {
    case Spread::kTimers: return "timers";
    case Spread::kEven: return "even";
    case Spread::kUniform: break;
  }
  return "uniform";
}

std::string to_table(const Report& report) {
  const Totals* first = report.outcomes.empty() ? nullptr : &report.outcomes.front().totals;
  std::string text =
      formatted("%s: %llu functions, %u minutes, %llu calls, %u node%s, arrivals %s, seed %llu\n", report.trace.c_str(),
                static_cast<unsigned long long>(report.functions), report.minutes,
                static_cast<unsigned long long>(first == nullptr ? 0 : first->arrived), report.options.nodes,
                report.options.nodes == 1 ? "" : "s", std::string(name_of(report.options.spread)).c_str(),
                static_cast<unsigned long long>(report.options.seed));
  text += formatted("%-18s %9s  %9s  %9s %9s %9s %9s  %10s  %6s  %9s  %7s\n", "POLICY", "COLD", "WAITED", "MEAN", "P99",
                    "P99.9", "MAX", "HELD GB-s", "/10min", "HELD/USED", "STARTS");
  const double reference = reference_of(report);
  for (const Outcome& outcome : report.outcomes) text += row(outcome, reference);
  if (!report.frontier.empty()) {
    text += "\n";
    for (const Outcome& outcome : report.frontier) text += row(outcome, reference);
  }
  if (report.options.programs > 0) text += spares_table(report);
  text +=
      "\nCOLD: waited for a whole start. WAITED: for any start, forks too. Times: added latency, from arrival to "
      "handler.\n"
      "HELD counts zygotes and instances from the order to start them; /10min is its ratio to fixed 10 min.\n"
      "STARTS: seconds spent starting anything, for calls or ahead of them.\n";
  for (const Outcome& outcome : report.outcomes) {
    if (outcome.policy.mechanics != Mechanics::kZygotes) continue;
    text += formatted("While they ran, the calls needed %.0f GB-s, what they share counted once",
                      outcome.totals.needed_gbs);
    text += reference > 0
                ? formatted(" (%.3f of fixed 10 min): no policy holds less.\n", outcome.totals.needed_gbs / reference)
                : std::string(": no policy holds less.\n");
  }
  if (report.options.programs > 0)
    text +=
        "SPARES: instances started ahead for functions that load long in each; TAKEN by a call that found nobody "
        "idle.\n";
  return text;
}

std::string to_json_text(const Report& report) {
  json::array outcomes;
  for (const Outcome& outcome : report.outcomes) outcomes.push_back(to_json(outcome, true));
  json::array frontier;
  for (const Outcome& outcome : report.frontier) frontier.push_back(to_json(outcome, false));
  json::object object{
      {"trace", report.trace},
      {"functions", report.functions},
      {"minutes", report.minutes},
      {"nodes", report.options.nodes},
      {"seed", report.options.seed},
      {"spread", name_of(report.options.spread)},
      {"calibration", report.measured_on},
      {"policies", std::move(outcomes)},
      {"frontier", std::move(frontier)},
  };
  if (!report.outcomes.empty()) object["calls_by_minute"] = series(report.outcomes.front().totals.calls_by_minute);
  return json::serialize(object) + "\n";
}

}  // namespace ebb::sim
