// The pieces of a chart as SVG: lines, labels, and panels with an axis of hours below and curves in them.
#pragma once

#include <string>
#include <vector>

namespace ebb::sim {

inline constexpr double kChartLeft = 70;
inline constexpr double kChartRight = 940;

/// What a curve is, for the line of keys above the panels.
struct ChartKey {
  const char* stroke;
  const char* text;
};

std::string chart_head(double height);
std::string chart_label(double x, double y, const std::string& text, const char* fill = "#333333",
                        const char* anchor = "start");
std::string chart_line(double x1, double y1, double x2, double y2, const char* stroke, const char* more = "");
/// The keys in a line at the top.
std::string chart_keys(const std::vector<ChartKey>& keys);
/// 1, 2 or 5 times a power of ten, about a quarter of the range.
double chart_tick(double range);
/// "20 k".
std::string chart_number(double value);
double most(const std::vector<double>& values);

/// One panel: a frame with hours below and ticks at the left, and curves in it.
class Panel {
 public:
  Panel(double top, double bottom, double y_max, double minutes, const std::string& title);
  /// Values at equal distances over the whole width.
  void curve(const std::vector<double>& values, const char* stroke, bool filled, const char* more = "");
  const std::string& text() const { return text_; }

 private:
  double x(double minute) const { return kChartLeft + (kChartRight - kChartLeft) * minute / minutes_; }
  double y(double value) const;

  double top_;
  double bottom_;
  double y_max_;
  double minutes_;
  std::string text_;
};

}  // namespace ebb::sim
