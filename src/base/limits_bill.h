// Every bound of bills: a leaf of limits.h, apart so that a change here compiles few files anew. The same rules hold
// and docs/reference/limits.md has them too.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Bills.
inline constexpr std::size_t kPriceLists = 100;  // in one price file
inline constexpr std::size_t kPriceTiers = 20;   // in one price list
inline constexpr std::size_t kBillEntries =
    1'000'000;  // app, function, version, trigger, alias and day that one bill tells apart
inline constexpr auto kClockSetPause =
    24h;  // that usage_retention_days removes nothing for, after the clock was set forward
inline constexpr auto kReadCpuWait = 1s;  // for the launcher to say what an app used, when metrics are asked for

}  // namespace ebb::limits
