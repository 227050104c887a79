// How a comparison of costs is shown. Money is in the currency of the prices that were given.
#pragma once

#include <string>

#include "cost/comparison.h"

namespace ebb::cost {

std::string to_text(const Traffic& traffic, const Comparison& found);
std::string to_json_text(const Traffic& traffic, const Comparison& found);
/// An SVG: traffic, processors used beside those bought, cost of each hour, cost so far.
std::string to_chart(const Traffic& traffic, const Comparison& found);

}  // namespace ebb::cost
