// Every bound of timers: a leaf of limits.h, as limits_async.h.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Timers.
inline constexpr std::size_t kTimersPerFunction = 16;  // of one function
inline constexpr std::size_t kTimerCronBytes = 256;    // of `cron`
inline constexpr std::size_t kTimerEventBytes = 4096;  // of `event`, as JSON
inline constexpr std::size_t kTimerPathBytes = 1024;   // of `path`
inline constexpr auto kTimerEveryMin = 1s;             // `every`, at the least
inline constexpr auto kTimerEveryMax = 24h;            // and at most: beyond it cron says when
inline constexpr auto kTimerMadeUp = 1h;               // a missed due time is made up for when it is no older
inline constexpr auto kTimerBehind = 1min;             // a node further behind makes up for the latest only
inline constexpr auto kTimerWriteAgain = 1s;           // before what the disk did not take is written again
inline constexpr auto kTimerLoadMargin = 1s;           // loaded so much ahead, beyond what loading takes
inline constexpr auto kTimerLoadMost = 10min;          // and never longer ahead
inline constexpr auto kTimerLinger = 5s;               // what was loaded for a call is kept until it comes

}  // namespace ebb::limits
