// Every bound of `ebb replay`: a leaf of limits.h, apart so that a change here compiles few files anew. The same rules
// hold and docs/reference/limits.md has them too.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Replays.
inline constexpr std::size_t kReplayCalls = 1'000'000;  // of one replay; each takes about 100 bytes of the command
inline constexpr std::size_t kReplayApps = 16;          // with kFunctionsPerApp functions each
inline constexpr std::size_t kReplayCallsAtOnce = 500;  // open at one time; others wait, and that counts as latency
inline constexpr auto kReplayCallTimeout = 10min;       // for the answer to one call, beyond its run time

}  // namespace ebb::limits
