// Every bound of asynchronous calls: a leaf of limits.h, as limits_access.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ebb::limits {

using namespace std::chrono_literals;

// Asynchronous calls.
inline constexpr std::size_t kAsyncEventBytes = 1024 * 1024;        // of one call: 413 beyond
inline constexpr std::size_t kAsyncContentTypeBytes = 256;          // kept with it: 400 beyond
inline constexpr std::size_t kAsyncCallsPerApp = 10'000;            // kept: those that wait, run or failed
inline constexpr std::size_t kAsyncCallsPerNode = 100'000;          // of all apps
inline constexpr std::uint64_t kAsyncBytesPerApp = 256ull << 20;    // of their events
inline constexpr std::uint64_t kAsyncBytesPerNode = 2ull << 30;     // of all apps: 429 beyond each of these
inline constexpr std::uint64_t kAsyncUnwrittenBytes = 64ull << 20;  // events on their way to the disk: 429 beyond
inline constexpr std::uint32_t kAsyncRunningPerApp = 16;            // at one time; never more than are left free
inline constexpr std::uint32_t kAsyncRunningPerNode = 256;          // of all apps
inline constexpr std::uint32_t kAsyncRetriesMax = 10;               // after the first attempt
inline constexpr auto kAsyncRetryAfterMin = 1s;                     // from an attempt that failed to the next
inline constexpr auto kAsyncRetryAfterMax = 1h;                     // and no longer, whatever it has doubled to
inline constexpr auto kAsyncAgeMin = 1s;                            // max_age, at the least
inline constexpr auto kAsyncAgeMax = 336h;                          // and at most
inline constexpr std::uint32_t kAsyncFailedDays = 14;               // that a failed call is kept
inline constexpr auto kAsyncHoldMax = 10s;             // before a function that was refused (429) is tried again
inline constexpr auto kAsyncBudgetLook = 1s;           // between two looks whether a budget is open again
inline constexpr auto kAsyncFaultPauseMin = 1s;        // after a fault of the platform; doubles with each
inline constexpr auto kAsyncFaultPauseMax = 60s;       // and no longer than this
inline constexpr auto kAsyncWriteTimeout = 10s;        // for the disk to take an event: 503 beyond
inline constexpr auto kAsyncWriteAgain = 1s;           // before what the disk did not take is written again
inline constexpr std::size_t kAsyncErrorBytes = 1024;  // kept of the error of an attempt
inline constexpr std::size_t kAsyncPageCalls = 1000;   // of one answer

}  // namespace ebb::limits
