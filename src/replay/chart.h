// A replay as a chart: traffic, and the memory held and used, live beside predicted.
#pragma once

#include <string>

#include "replay/comparison.h"

namespace ebb::replay {

/// SVG, readable on light and dark pages; one point for a minute of the trace.
std::string replay_chart(const Comparison& comparison);

}  // namespace ebb::replay
