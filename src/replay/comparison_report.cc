#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "replay/comparison.h"
#include "sim/formatted.h"
#include "sim/report.h"

namespace ebb::replay {
namespace {

namespace json = boost::json;
using sim::formatted;

std::string time_text(double milliseconds) {
  return milliseconds < 1000 ? formatted("%.3g ms", milliseconds) : formatted("%.3g s", milliseconds / 1000);
}

/// "1.04", or "-" where there is nothing to divide by.
std::string ratio_text(double live, double predicted) {
  return predicted > 0 ? formatted("%.2f", live / predicted) : "-";
}

std::string row(const char* name, const std::string& live, const std::string& predicted, const std::string& ratio) {
  return formatted("%-26s %14s %14s %7s\n", name, live.c_str(), predicted.c_str(), ratio.c_str());
}

std::string count_row(const char* name, std::uint64_t live, std::uint64_t predicted) {
  return row(name, std::to_string(live), std::to_string(predicted),
             ratio_text(static_cast<double>(live), static_cast<double>(predicted)));
}

std::string share_row(const char* name, double live, double predicted) {
  return row(name, formatted("%.2f %%", 100 * live), formatted("%.2f %%", 100 * predicted),
             ratio_text(live, predicted));
}

std::string time_row(const char* name, double live, double predicted) {
  return row(name, time_text(live), time_text(predicted), ratio_text(live, predicted));
}

std::string amount_row(const char* name, double live, double predicted) {
  return row(name, formatted("%.1f", live), formatted("%.1f", predicted), ratio_text(live, predicted));
}

double per(double a, double b) { return b > 0 ? a / b : 0; }

std::size_t programs_of(const Plan& plan) {
  const auto is_program = [](const PlannedFunction& function) { return function.program; };
  return static_cast<std::size_t>(std::count_if(plan.functions.begin(), plan.functions.end(), is_program));
}

std::string heading(const Comparison& comparison) {
  const Plan& plan = comparison.plan;
  const double seconds = std::chrono::duration<double>(plan.length).count();
  std::string text = formatted(
      "%s: minutes %u to %u at %g x speed in %.0f s: %zu of %llu functions, %zu calls, arrivals %s, seed %llu\n",
      comparison.trace.c_str(), plan.options.first_minute, plan.options.first_minute + plan.options.minutes,
      plan.options.speed, seconds, plan.functions.size(), static_cast<unsigned long long>(plan.functions_called),
      plan.calls.size(), std::string(sim::name_of(plan.options.spread)).c_str(),
      static_cast<unsigned long long>(plan.options.seed));
  text += formatted(
      "scaled: memory x %.3f (predicted peak: at most %.0f %% of the node's %.1f GB), processor x %.3f (%.0f %% of "
      "%.0f), "
      "run times and idle_timeout / %g\n",
      plan.memory_scale, 100 * plan.options.memory_share, comparison.room.memory_mb / 1024, plan.processor_part,
      100 * plan.options.processor_share, comparison.room.processors, plan.options.speed);
  if (programs_of(plan) > 0) text += formatted("programs: %zu of the functions\n", programs_of(plan));
  text += formatted("predicted with: keep_alive_price %g, start times of %s\n\n", comparison.room.keep_alive_price,
                    comparison.calibrated_on.c_str());
  return text;
}

json::object to_json(const sim::Totals& totals) {
  const auto series = [](const std::vector<double>& values) {
    json::array list;
    for (const double value : values) list.push_back(value);
    return list;
  };
  return {{"calls", totals.arrived},
          {"answered", totals.answered},
          {"idle", totals.from_idle},
          {"fork", totals.from_fork},
          {"spare", totals.from_spare},
          {"cold", totals.from_boot},
          {"cold_share", totals.cold_share()},
          {"waited_share", totals.waited_share()},
          {"added_ms", json::object{{"mean", totals.added.mean()},
                                    {"p50", totals.added.at(0.5)},
                                    {"p99", totals.added.at(0.99)},
                                    {"max", totals.added.max()}}},
          {"held_gb_seconds", totals.held_gbs},
          {"spare_gb_seconds", totals.spare_gbs},
          {"used_gb_seconds", totals.used_gbs},
          {"held_gb_by_minute", series(totals.held_by_minute)},
          {"used_gb_by_minute", series(totals.used_by_minute)}};
}

json::value ratio(double live, double predicted) {
  return predicted > 0 ? json::value(live / predicted) : json::value(nullptr);
}

}  // namespace

std::string to_table(const Comparison& comparison) {
  const Live& live = comparison.live;
  const sim::Totals& now = live.totals;
  const sim::Totals& then = comparison.predicted;
  std::string text = heading(comparison);
  text += row("", "LIVE", "PREDICTED", "RATIO");
  text += count_row("calls", now.arrived, then.arrived);
  text += row("errors", std::to_string(live.errors), std::to_string(then.refused), "");
  text += share_row("cold", now.cold_share(), then.cold_share());
  text += share_row("waited for any start", now.waited_share(), then.waited_share());
  if (programs_of(comparison.plan) > 0) text += count_row("took a spare", now.from_spare, then.from_spare);
  text += time_row("added by the node, p50", now.added.at(0.5), then.added.at(0.5));
  text += time_row("added by the node, p99", now.added.at(0.99), then.added.at(0.99));
  text += time_row("added by the node, mean", now.added.mean(), then.added.mean());
  text += row("added for the caller, p50", time_text(live.added_for_caller.at(0.5)), "", "");
  text += row("added for the caller, p99", time_text(live.added_for_caller.at(0.99)), "", "");
  text += amount_row("held GB-seconds", now.held_gbs, then.held_gbs);
  if (programs_of(comparison.plan) > 0) text += amount_row("  of it by spares", now.spare_gbs, then.spare_gbs);
  text += amount_row("used GB-seconds", now.used_gbs, then.used_gbs);
  text += amount_row("held / used", per(now.held_gbs, now.used_gbs), per(then.held_gbs, then.used_gbs));
  text += formatted("\nusage records: %llu of %llu calls answered%s; calls sent late: p99 %s, most %s\n",
                    static_cast<unsigned long long>(live.records), static_cast<unsigned long long>(now.answered),
                    live.records_equal_calls() ? ", none beyond" : "", time_text(live.late.at(0.99)).c_str(),
                    time_text(live.late.max()).c_str());
  if (live.records_beyond > 0)
    text += formatted("records that belong to no call: %llu\n", static_cast<unsigned long long>(live.records_beyond));
  if (live.errors > 0) text += "the first error: " + live.first_error + "\n";
  text +=
      "COLD: waited for a whole start. Added by the node: from arrival to handler. Added for the caller: from the "
      "planned\n"
      "arrival to the answer, less the handler. HELD: zygotes and instances, runtimes included.\n";
  return text;
}

std::string to_json_text(const Comparison& comparison) {
  const Plan& plan = comparison.plan;
  const Live& live = comparison.live;
  json::object now = to_json(live.totals);
  now["errors"] = live.errors;
  now["cpu_seconds"] = live.cpu_seconds;
  now["added_for_caller_ms"] = json::object{{"p50", live.added_for_caller.at(0.5)},
                                            {"p99", live.added_for_caller.at(0.99)},
                                            {"max", live.added_for_caller.max()}};
  now["sent_late_ms"] = json::object{{"p99", live.late.at(0.99)}, {"max", live.late.max()}};
  const sim::Totals& then = comparison.predicted;
  json::object object{
      {"trace", comparison.trace},
      {"first_minute", plan.options.first_minute},
      {"minutes", plan.options.minutes},
      {"speed", plan.options.speed},
      {"seconds", std::chrono::duration<double>(plan.length).count()},
      {"seed", plan.options.seed},
      {"spread", sim::name_of(plan.options.spread)},
      {"functions", plan.functions.size()},
      {"functions_called", plan.functions_called},
      {"programs", programs_of(plan)},
      {"memory_scale", plan.memory_scale},
      {"processor_part", plan.processor_part},
      {"keep_alive_price", comparison.room.keep_alive_price},
      {"calibration", comparison.calibrated_on},
      {"records", json::object{{"matched", live.records},
                               {"missing", live.records_missing},
                               {"beyond", live.records_beyond},
                               {"equal_calls", live.records_equal_calls()}}},
      {"live", std::move(now)},
      {"predicted", to_json(then)},
      {"ratio", json::object{{"cold_share", ratio(live.totals.cold_share(), then.cold_share())},
                             {"waited_share", ratio(live.totals.waited_share(), then.waited_share())},
                             {"held_gb_seconds", ratio(live.totals.held_gbs, then.held_gbs)},
                             {"used_gb_seconds", ratio(live.totals.used_gbs, then.used_gbs)},
                             {"spares_taken",
                              ratio(static_cast<double>(live.totals.from_spare), static_cast<double>(then.from_spare))},
                             {"added_p50", ratio(live.totals.added.at(0.5), then.added.at(0.5))},
                             {"added_p99", ratio(live.totals.added.at(0.99), then.added.at(0.99))}}},
  };
  if (live.errors > 0) object["first_error"] = live.first_error;
  return json::serialize(object) + "\n";
}

}  // namespace ebb::replay
