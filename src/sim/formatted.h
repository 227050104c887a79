// printf into a string, for the report's table and the chart's SVG: rows of numbers read better as patterns.
#pragma once

#include <string>

namespace ebb::sim {

/// Cut after 1023 characters.
__attribute__((format(printf, 1, 2))) std::string formatted(const char* pattern, ...);

}  // namespace ebb::sim
