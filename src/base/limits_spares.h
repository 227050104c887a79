// Every bound of spares: a leaf of limits.h, as limits_access.h.
#pragma once

#include <chrono>
#include <cstdint>

namespace ebb::limits {

using namespace std::chrono_literals;

// Spares.
inline constexpr auto kSpareLoading = 20ms;          // of a function in each instance: from here on one is kept ready
inline constexpr unsigned kSpareMemoryShare = 20;    // percent of memory_budget that all spares together may use
inline constexpr std::uint32_t kSparesMax = 10'000;  // max_spares, at most

}  // namespace ebb::limits
