// A distribution given by some of its quantiles, with straight lines between them: how traces and calibrations describe
// times and sizes.
//
// Invariants: quantiles rise strictly from 0 to 1, values never fall. An empty curve is zero everywhere.
#pragma once

#include <vector>

namespace ebb::sim {

class Curve {
 public:
  struct Point {
    double quantile = 0;
    double value = 0;
  };

  Curve() = default;
  /// Points in any order; missing ends take the value of the nearest point, values that fall are raised, negative ones
  /// are zero (public traces hold some).
  explicit Curve(std::vector<Point> points);
  static Curve constant(double value) { return Curve({{.quantile = 0, .value = value}}); }
  /// From measurements, by the given quantiles.
  static Curve of_samples(std::vector<double> samples, const std::vector<double>& quantiles);

  double at(double quantile) const;
  double mean() const;
  bool empty() const { return points_.empty(); }
  const std::vector<Point>& points() const { return points_; }

 private:
  std::vector<Point> points_;
};

}  // namespace ebb::sim
