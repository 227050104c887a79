#include "sim/curve.h"

#include <algorithm>
#include <cmath>
#include <tuple>

namespace ebb::sim {

Curve::Curve(std::vector<Point> points) : points_(std::move(points)) {
  if (points_.empty()) return;
  std::sort(points_.begin(), points_.end(),
            [](Point a, Point b) { return std::tie(a.quantile, a.value) < std::tie(b.quantile, b.value); });
  if (points_.front().quantile > 0)
    points_.insert(points_.begin(), Point{.quantile = 0, .value = points_.front().value});
  if (points_.back().quantile < 1) points_.push_back(Point{.quantile = 1, .value = points_.back().value});
  double floor = 0;
  for (Point& point : points_) {
    point.value = floor = std::isfinite(point.value) ? std::max(point.value, floor) : floor;
  }
  const auto same = [](Point a, Point b) { return a.quantile == b.quantile; };
  points_.erase(std::unique(points_.begin(), points_.end(), same), points_.end());
}

Curve Curve::of_samples(std::vector<double> samples, const std::vector<double>& quantiles) {
  std::vector<Point> points;
  if (samples.empty()) return Curve();
  std::sort(samples.begin(), samples.end());
  for (const double quantile : quantiles) {
    const auto rank = static_cast<std::size_t>(quantile * static_cast<double>(samples.size() - 1) + 0.5);
    points.push_back({.quantile = quantile, .value = samples[rank]});
  }
  return Curve(std::move(points));
}

double Curve::at(double quantile) const {
  if (points_.empty()) return 0;
  const auto after = std::find_if(points_.begin(), points_.end(), [&](Point p) { return p.quantile >= quantile; });
  if (after == points_.begin()) return after->value;
  if (after == points_.end()) return points_.back().value;
  const Point before = *(after - 1);
  const double part = (quantile - before.quantile) / (after->quantile - before.quantile);
  return before.value + part * (after->value - before.value);
}

double Curve::mean() const {
  double sum = 0;
  for (std::size_t i = 1; i < points_.size(); ++i) {
    sum += (points_[i].quantile - points_[i - 1].quantile) * (points_[i].value + points_[i - 1].value) / 2;
  }
  return sum;
}

}  // namespace ebb::sim
