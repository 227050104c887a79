// Every bound of answers that the daemon holds: a leaf of limits.h, as limits_access.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ebb::limits {

// Answers.
inline constexpr std::size_t kAnswerFreeBytes = 64 * 1024;  // an answer up to this long is not counted below
inline constexpr std::uint64_t kAnswerBytesPerApp =
    256ull << 20;  // of its answers until their clients have taken them, but for streams: 502 beyond
inline constexpr std::uint64_t kAnswerBytesPerNode =
    512ull << 20;  // of all apps; then each has room for one of kHttpBodyBytes. Half of kBufferedBodyBytes is left

}  // namespace ebb::limits
