// Which of the measured sizes to take, by cost, time or both. Pure; threads: any.
#pragma once

#include <optional>

#include "tune/sizes.h"

namespace ebb::tune {

enum class Aim : std::uint8_t { kCost, kSpeed, kBalance };

/// Positions in the list; sizes with a failed call are not advised.
struct Advice {
  std::size_t cheapest = 0;
  std::size_t fastest = 0;  // at the median
  std::size_t chosen = 0;   // by the aim
};

/// kCost: the cheapest. kSpeed: the fastest, and of those within 2 % of it the cheapest. kBalance: the least sum of
/// cost and median, each as a multiple of the least one. Nothing when every size failed.
std::optional<Advice> advise(const std::vector<Measured>& all, Aim aim);

}  // namespace ebb::tune
