// Every bound of the contract of Function Compute: a leaf of limits.h, as limits_access.h. A server's start, its
// initialization and, when it is tried out, its end lie together within kInitTimeout.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Function Compute.
inline constexpr auto kInitializeTimeoutMax = 40s;      // of POST /initialize to a new instance
inline constexpr auto kPreStopTimeoutMax = 10s;         // of GET /pre-stop to one that ends
inline constexpr std::size_t kToldFailureBytes = 1024;  // of a failed call's answer that its error repeats

}  // namespace ebb::limits
