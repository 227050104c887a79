// Every bound of webhooks: a leaf of limits.h, as limits_access.h.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Webhooks.
inline constexpr std::size_t kWebhookEvents =
    1000;  // that wait for their delivery; more are dropped, logged and counted
inline constexpr std::size_t kWebhookReceivers = 100;  // organisations that have one of their own
inline constexpr std::size_t kWebhookUrlBytes = 2048;
inline constexpr auto kWebhookTimeout = 10s;  // for the receiver's answer
inline constexpr auto kWebhookAge = 72h;      // that an event is tried again; then it is given up
inline constexpr unsigned kWebhookAttempts =
    12;  // at the least, which is an hour of them: a clock that is ahead makes every event look old
inline constexpr auto kWebhookBackoffMin = 1s;             // before an event is sent again; doubles, with jitter
inline constexpr auto kWebhookBackoffMax = 1h;             // and no longer than this
inline constexpr auto kWebhookSentKept = 1500h;            // that a delivered event is remembered, at the least
inline constexpr std::size_t kWebhookAnswerBytes = 65536;  // of the receiver
inline constexpr std::size_t kUsageBatchRecords = 1000;    // usage records in one event
inline constexpr auto kUsageBatchPause = 2s;  // before the usage log is looked at again, when nothing was left to send
inline constexpr std::size_t kUsageLeftRecords =
    50'000;  // passed while their calls still ran; the feed of usage records waits when there are more

}  // namespace ebb::limits
