// The two clocks: steady time for measuring and deadlines, wall time for what people and bills read.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ebb::base {

using SteadyTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

inline SteadyTime steady_now() { return std::chrono::steady_clock::now(); }
inline WallTime wall_now() {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

/// RFC 3339 in UTC with milliseconds: "2026-11-22T21:21:54.123Z".
std::string to_rfc3339(WallTime time);

}  // namespace ebb::base
