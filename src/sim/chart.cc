#include "sim/chart.h"

#include <algorithm>
#include <cmath>

#include "sim/formatted.h"

namespace ebb::sim {
namespace {

constexpr double kWidth = 960;
constexpr double kLeft = 70;
constexpr double kRight = 940;
constexpr std::size_t kBucketMinutes = 10;

std::string head(double height) {
  return formatted(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"%g\" height=\"%g\" fill=\"#ffffff\"/>\n",
      kWidth, height, kWidth, height);
}

std::string label(double x, double y, const std::string& text, const char* fill = "#333333",
                  const char* anchor = "start") {
  return formatted("<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" text-anchor=\"%s\">", x, y, fill, anchor) + text +
         "</text>\n";
}

std::string line(double x1, double y1, double x2, double y2, const char* stroke, const char* more = "") {
  return formatted("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" %s/>\n", x1, y1, x2, y2, stroke,
                   more);
}

/// 1, 2 or 5 times a power of ten, about a quarter of the range.
double tick_step(double range) {
  const double raw = range / 4;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

std::string number(double value) {
  if (value >= 1e6) return formatted("%g M", value / 1e6);
  if (value >= 1e3) return formatted("%g k", value / 1e3);
  return formatted("%g", value);
}

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

/// One panel: a frame with hours below and ticks at the left, and curves in it.
class Panel {
 public:
  Panel(double top, double bottom, double y_max, double minutes, const std::string& title)
      : top_(top), bottom_(bottom), y_max_(y_max > 0 ? y_max * 1.05 : 1), minutes_(minutes) {
    text_ += label(kLeft, top - 10, title);
    const double step = tick_step(y_max_);
    for (double value = 0; value <= y_max_; value += step) {
      text_ += line(kLeft, y(value), kRight, y(value), "#dddddd");
      text_ += label(kLeft - 8, y(value) + 4, number(value), "#666666", "end");
    }
    const double hours = minutes / 60;
    const double hour_step = hours > 12 ? 3 : hours > 3 ? 1 : 0.25;
    for (double hour = 0; hour <= hours; hour += hour_step)
      text_ += label(x(hour * 60), bottom + 17, formatted("%g h", hour), "#666666", "middle");
  }

  void curve(const std::vector<double>& values, const char* stroke, bool filled, const char* more = "") {
    if (values.empty()) return;
    std::string points;
    const double step = minutes_ / static_cast<double>(values.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      points += formatted("%.1f,%.1f ", x((static_cast<double>(i) + 0.5) * step), y(values[i]));
    if (filled) {
      text_ +=
          formatted("<polygon fill=\"%s\" fill-opacity=\"0.35\" points=\"%.1f,%.1f ", stroke, x(step / 2), bottom_) +
          points + formatted("%.1f,%.1f\"/>\n", x(minutes_ - step / 2), bottom_);
    }
    text_ += formatted("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" %s points=\"", stroke, more) +
             points + "\"/>\n";
  }
  const std::string& text() const { return text_; }

 private:
  double x(double minute) const { return kLeft + (kRight - kLeft) * minute / minutes_; }
  double y(double value) const { return bottom_ - (bottom_ - top_) * std::min(value, y_max_) / y_max_; }

  double top_;
  double bottom_;
  double y_max_;
  double minutes_;
  std::string text_;
};

double most(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

const Outcome* named(const Report& report, const std::string& name) {
  for (const Outcome& outcome : report.outcomes) {
    if (outcome.policy.name == name) return &outcome;
  }
  return nullptr;
}

struct Key {
  const char* stroke;
  const char* text;
};
constexpr Key kUsed{"#2a9d4a", "used: instances while they serve"};
constexpr Key kHeld{"#1f5fbf", "held by Ebb, zygotes included"};
constexpr Key kFixed{"#c97a12", "held by fixed keep-alive of 10 minutes"};
constexpr Key kPeak{"#c02b2b", "servers bought for the peak minute"};

}  // namespace

std::string day_chart(const Report& report) {
  if (report.outcomes.empty()) return head(40) + "</svg>\n";
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

  std::string svg = head(800);
  double x = kLeft;
  for (const Key key : {kUsed, kHeld, kFixed, kPeak}) {
    svg += line(x, 22, x + 22, 22, key.stroke, "stroke-width=\"3\"") + label(x + 28, 26, key.text);
    x += 40 + 6.4 * static_cast<double>(std::string_view(key.text).size());
  }
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
  if (all.empty() || held_max <= 0) return head(40) + "</svg>\n";
  const double low = std::log10(held_min / 1.3);
  const double high = std::log10(held_max * 1.8);
  wait_max = wait_max > 0 ? wait_max * 1.05 : 1;
  const auto x = [&](double held) {
    return kLeft + (kRight - kLeft) * (std::log10(std::max(held, 1.0)) - low) / (high - low);
  };
  const auto y = [&](double wait) { return kBottom - (kBottom - kTop) * wait / wait_max; };
  std::string svg =
      head(530) +
      label(kLeft, 30, "Mean added latency of a call (ms) against memory held in the day (GB-seconds, logarithmic)");
  const double step = tick_step(wait_max);
  for (double value = 0; value <= wait_max; value += step)
    svg += line(kLeft, y(value), kRight, y(value), "#dddddd") +
           label(kLeft - 8, y(value) + 4, number(value), "#666666", "end");
  for (double power = std::floor(low); power <= high; ++power) {
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double held = factor * std::pow(10, power);
      if (std::log10(held) >= low && std::log10(held) <= high)
        svg += line(x(held), kTop, x(held), kBottom, "#eeeeee") +
               label(x(held), kBottom + 18, number(held), "#666666", "middle");
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
    const bool ours = outcome.policy.mechanics == Mechanics::kZygotes;
    const double at_x = x(outcome.totals.held_gbs);
    const double at_y = y(outcome.totals.added.mean());
    svg += formatted("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n", at_x, at_y,
                     ours ? kHeld.stroke : kFixed.stroke);
    svg += label(at_x + 8, at_y - 7, outcome.policy.name);
  }
  return svg + "</svg>\n";
}

}  // namespace ebb::sim
