// Every bound of what the daemon holds in its memory for apps, answers and bodies of requests, and how long: a leaf of
// limits.h, as limits_access.h.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace ebb::limits {

using namespace std::chrono_literals;

// Answers.
inline constexpr std::size_t kAnswerFreeBytes = 64 * 1024;  // an answer up to this long is not counted below
inline constexpr std::uint64_t kAnswerBytesPerApp =
    256ull << 20;  // of its answers until their clients have taken them, but for streams: 502 beyond
inline constexpr std::uint64_t kAnswerBytesPerNode =
    512ull << 20;  // of all apps; then each has room for one of kHttpBodyBytes. With kRequestBytesPerNode and
                   // kUploadBytesPerNode it leaves short bodies a part of kBufferedBodyBytes

// Bodies of calls.
inline constexpr std::uint64_t kRequestBytesPerApp =
    256ull << 20;  // of bodies longer than kUnreadBodyBytes, until their calls have ended, but for those that are
                   // passed on as they come: 429 beyond
inline constexpr std::uint64_t kRequestBytesPerNode =
    512ull << 20;  // of all apps; then each has room for one of kHttpBodyBytes

// Uploads of deployments.
inline constexpr std::uint64_t kUploadBytesPerOwner =
    256ull << 20;  // on their way and until they are unpacked, of an organisation's keys, of an app's in the
                   // organisation default, or of the node's: 429 beyond
inline constexpr std::uint64_t kUploadBytesPerNode =
    448ull << 20;  // of all of these; then each has room for kUploadBytesAlways
inline constexpr std::uint64_t kUploadBytesAlways = 32ull << 20;
inline constexpr std::size_t kDeploymentsWaitingPerOwner =
    4;  // of kDeploymentsWaiting, and of owners as above but for the node's keys: 429 beyond

// Slow clients.
inline constexpr auto kWholeBodyGrace =
    5min;  // for a body or an answer that is held whole to pass, and a second more for each kWholeBodyPace bytes that
           // have passed: 408 beyond, or the end of the connection
inline constexpr std::uint64_t kWholeBodyPace = 16 * 1024;  // bytes a second, see kWholeBodyGrace

}  // namespace ebb::limits
