#include "sim/chart.h"

#include <algorithm>
#include <cmath>

#include "sim/chart_panel.h"
#include "sim/formatted.h"

namespace ebb::sim {
namespace {

constexpr std::size_t kBucketMinutes = 10;

std::vector<double> bucketed(const std::vector<double>& minutes, bool average) {
  std::vector<double> buckets;
  for (std::size_t i = 0; i < minutes.size(); i += kBucketMinutes) {
    const std::size_t end = std::min(minutes.size(), i + kBucketMinutes);
    double sum = 0;
    for (std::size_t j = i; j < end; ++j) sum += minutes[j];
    buckets.push_back(average ? sum / static_cast<double>(end - i) : sum);
  }
  return buckets;
}

std::vector<double> added_up(const std::vector<double>& values, double factor) {
  std::vector<double> sums;
  double sum = 0;
  for (const double value : values) sums.push_back(sum += value * factor);
  return sums;
}

const Outcome* named(const Report& report, const std::string& name) {
  for (const Outcome& outcome : report.outcomes) {
    if (outcome.policy.name == name) return &outcome;
  }
  return nullptr;
}

constexpr ChartKey kUsed{"#2a9d4a", "used: instances while they serve"};
constexpr ChartKey kHeld{"#1f5fbf", "held by Ebb, zygotes included"};
constexpr ChartKey kFixed{"#c97a12", "held by fixed keep-alive of 10 minutes"};
constexpr ChartKey kPeak{"#c02b2b", "servers bought for the peak minute"};

}  // namespace

std::string day_chart(const Report& report) {
  if (report.outcomes.empty()) return chart_head(40) + "</svg>\n";
  const auto minutes = static_cast<double>(report.minutes);
  const Outcome* ebb = named(report, "ebb");
  const Outcome* fixed = named(report, "fixed 10 min");
  const Totals& any = report.outcomes.front().totals;
  const std::vector<double> none;
  const auto used = bucketed((ebb != nullptr ? ebb->totals : any).used_by_minute, true);
  const auto held = ebb != nullptr ? bucketed(ebb->totals.held_by_minute, true) : none;
  const auto kept = fixed != nullptr ? bucketed(fixed->totals.held_by_minute, true) : none;
  // A server for the peak holds, all day, what the busiest minute used.
  const double peak = most((ebb != nullptr ? ebb->totals : any).used_by_minute);
  const std::vector<double> flat(used.size(), peak);

  std::string svg = chart_head(800);
  svg += chart_keys({kUsed, kHeld, kFixed, kPeak});
  const auto calls = bucketed(any.calls_by_minute, true);
  Panel traffic(75, 200, most(calls), minutes, "Traffic: calls a minute (averages of ten minutes)");
  traffic.curve(calls, "#555555", true);

  Panel capacity(265, 500, std::max({most(used), most(held), most(kept), peak}), minutes, "Capacity: GB of memory");
  capacity.curve(used, kUsed.stroke, true);
  capacity.curve(kept, kFixed.stroke, false);
  capacity.curve(held, kHeld.stroke, false);
  capacity.curve(flat, kPeak.stroke, false, "stroke-dasharray=\"7 4\"");

  const double seconds = 60.0 * kBucketMinutes / 3600;
  const auto flat_cost = added_up(flat, seconds);
  const auto kept_cost = added_up(kept, seconds);
  Panel cost(565, 770,
             std::max({flat_cost.back(), kept_cost.empty() ? 0 : kept_cost.back(), most(added_up(held, seconds))}),
             minutes, "Cost so far: GB-hours paid for");
  cost.curve(added_up(used, seconds), kUsed.stroke, true);
  cost.curve(kept_cost, kFixed.stroke, false);
  cost.curve(added_up(held, seconds), kHeld.stroke, false);
  cost.curve(flat_cost, kPeak.stroke, false, "stroke-dasharray=\"7 4\"");
  return svg + traffic.text() + capacity.text() + cost.text() + "</svg>\n";
}

std::string frontier_chart(const Report& report) {
  constexpr double kTop = 50;
  constexpr double kBottom = 480;
  std::vector<const Outcome*> all;
  for (const Outcome& outcome : report.outcomes) all.push_back(&outcome);
  for (const Outcome& outcome : report.frontier) all.push_back(&outcome);
  double held_min = 1e300;
  double held_max = 0;
  double wait_max = 0;
  for (const Outcome* outcome : all) {
    held_min = std::min(held_min, std::max(1.0, outcome->totals.held_gbs));
    held_max = std::max(held_max, outcome->totals.held_gbs);
    wait_max = std::max(wait_max, outcome->totals.added.mean());
  }
  if (all.empty() || held_max <= 0) return chart_head(40) + "</svg>\n";
  const double low = std::log10(held_min / 1.3);
  const double high = std::log10(held_max * 1.8);
  wait_max = wait_max > 0 ? wait_max * 1.05 : 1;
  const auto x = [&](double held) {
    return kChartLeft + (kChartRight - kChartLeft) * (std::log10(std::max(held, 1.0)) - low) / (high - low);
  };
  const auto y = [&](double wait) { return kBottom - (kBottom - kTop) * wait / wait_max; };
  std::string svg =
      chart_head(530) +
      chart_label(kChartLeft, 30,
                  "Mean added latency of a call (ms) against memory held in the day (GB-seconds, logarithmic)");
  const double step = chart_tick(wait_max);
  for (double value = 0; value <= wait_max; value += step)
    svg += chart_line(kChartLeft, y(value), kChartRight, y(value), "#dddddd") +
           chart_label(kChartLeft - 8, y(value) + 4, chart_number(value), "#666666", "end");
  for (double power = std::floor(low); power <= high; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double held = factor * std::pow(10, power);
      if (std::log10(held) >= low && std::log10(held) <= high)
        svg += chart_line(x(held), kTop, x(held), kBottom, "#eeeeee") +
               chart_label(x(held), kBottom + 18, chart_number(held), "#666666", "middle");
    }
  }
  std::string points;
  for (const Outcome& outcome : report.frontier) {
    points += formatted("%.1f,%.1f ", x(outcome.totals.held_gbs), y(outcome.totals.added.mean()));
  }
  svg +=
      formatted("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"2\" points=\"", kHeld.stroke) + points + "\"/>\n";
  for (const Outcome& outcome : report.frontier)
    svg += formatted("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3\" fill=\"%s\"/>\n", x(outcome.totals.held_gbs),
                     y(outcome.totals.added.mean()), kHeld.stroke);
  for (const Outcome& outcome : report.outcomes) {
    const bool ours = outcome.policy.mechanics != Mechanics::kInstances;
    const double at_x = x(outcome.totals.held_gbs);
    const double at_y = y(outcome.totals.added.mean());
    svg += formatted("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n", at_x, at_y,
                     ours ? kHeld.stroke : kFixed.stroke);
    svg += chart_label(at_x + 8, at_y - 7, outcome.policy.name);
  }
  return svg + "</svg>\n";
}

}  // namespace ebb::sim
