// Durations as people write them: "30s", "1m30s", "250ms".
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/result.h"

namespace ebb::base {

using Duration = std::chrono::nanoseconds;

/// Reads numbers with units ns, us, ms, s, m, h, d, one after the other; "0" needs no unit.
/// Errors: kInvalidArgument, with the accepted forms.
Result<Duration> parse_duration(std::string_view text);

/// The exact inverse of parse_duration in the largest fitting units: "1m30s".
std::string to_string(Duration duration);

/// Milliseconds with three decimals, as Server-Timing wants them.
double milliseconds(Duration duration);

}  // namespace ebb::base
