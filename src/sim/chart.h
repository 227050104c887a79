// Charts of a simulated day as SVG, for the documentation: plain shapes and text, readable on light and dark pages.
#pragma once

#include <string>

#include "sim/report.h"

namespace ebb::sim {

/// Over the day: traffic; capacity used, held by Ebb, held by fixed 10 minutes and bought for the peak; and the cost of
/// each, added up. The rows `ebb` and `fixed 10 min` must be among the outcomes, else their curves are missing.
std::string day_chart(const Report& report);

/// Mean added latency against memory held: one point for each policy, a line through Ebb at its prices.
std::string frontier_chart(const Report& report);

}  // namespace ebb::sim
