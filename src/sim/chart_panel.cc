#include "sim/chart_panel.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "sim/formatted.h"

namespace ebb::sim {
namespace {

constexpr double kWidth = 960;

}  // namespace

std::string chart_head(double height) {
  return formatted(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %g %g\" font-family=\"sans-serif\" font-size=\"13\">\n"
      "<rect width=\"%g\" height=\"%g\" fill=\"#ffffff\"/>\n",
      kWidth, height, kWidth, height);
}

std::string chart_label(double x, double y, const std::string& text, const char* fill, const char* anchor) {
  return formatted("<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\" text-anchor=\"%s\">", x, y, fill, anchor) + text +
         "</text>\n";
}

std::string chart_line(double x1, double y1, double x2, double y2, const char* stroke, const char* more) {
  return formatted("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\" %s/>\n", x1, y1, x2, y2, stroke,
                   more);
}

double chart_tick(double range) {
  const double raw = range / 4;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw) return factor * power;
  }
  return 10 * power;
}

std::string chart_number(double value) {
  if (value >= 1e6) return formatted("%g M", value / 1e6);
  if (value >= 1e3) return formatted("%g k", value / 1e3);
  return formatted("%g", value);
}

std::string chart_keys(const std::vector<ChartKey>& keys) {
  std::string svg;
  double x = kChartLeft;
  for (const ChartKey key : keys) {
    svg += chart_line(x, 22, x + 22, 22, key.stroke, "stroke-width=\"3\"") + chart_label(x + 28, 26, key.text);
    x += 40 + 6.4 * static_cast<double>(std::string_view(key.text).size());
  }
  return svg;
}

double most(const std::vector<double>& values) {
  return values.empty() ? 0 : *std::max_element(values.begin(), values.end());
}

Panel::Panel(double top, double bottom, double y_max, double minutes, const std::string& title)
    : top_(top), bottom_(bottom), y_max_(y_max > 0 ? y_max * 1.05 : 1), minutes_(minutes) {
  text_ += chart_label(kChartLeft, top - 10, title);
  const double step = chart_tick(y_max_);
  for (double value = 0; value <= y_max_; value += step) {
    text_ += chart_line(kChartLeft, y(value), kChartRight, y(value), "#dddddd");
    text_ += chart_label(kChartLeft - 8, y(value) + 4, chart_number(value), "#666666", "end");
  }
  const double hours = minutes / 60;
  const double hour_step = hours > 12 ? 3 : hours > 3 ? 1 : 0.25;
  for (double hour = 0; hour <= hours; hour += hour_step)
    text_ += chart_label(x(hour * 60), bottom + 17, formatted("%g h", hour), "#666666", "middle");
}

void Panel::curve(const std::vector<double>& values, const char* stroke, bool filled, const char* more) {
  if (values.empty()) return;
  std::string points;
  const double step = minutes_ / static_cast<double>(values.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    points += formatted("%.1f,%.1f ", x((static_cast<double>(i) + 0.5) * step), y(values[i]));
  if (filled) {
    text_ += formatted("<polygon fill=\"%s\" fill-opacity=\"0.35\" points=\"%.1f,%.1f ", stroke, x(step / 2), bottom_) +
             points + formatted("%.1f,%.1f\"/>\n", x(minutes_ - step / 2), bottom_);
  }
  text_ += formatted("<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.8\" %s points=\"", stroke, more) + points +
           "\"/>\n";
}
double Panel::y(double value) const { return bottom_ - (bottom_ - top_) * std::min(value, y_max_) / y_max_; }

}  // namespace ebb::sim
