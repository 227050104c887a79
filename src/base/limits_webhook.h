// Every bound of webhooks: a leaf of limits.h, as limits_access.h.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Webhooks.
inline constexpr std::size_t kWebhookEvents =
    1000;                                        // that wait for their delivery; more are dropped, logged and counted
inline constexpr auto kWebhookTimeout = 10s;     // for the receiver's answer
inline constexpr auto kWebhookAge = 72h;         // that an event is tried again; then it is given up
inline constexpr auto kWebhookBackoffMin = 1s;   // before an event is sent again; doubles, with jitter
inline constexpr auto kWebhookBackoffMax = 1h;   // and no longer than this
inline constexpr auto kWebhookSentKept = 1500h;  // that a delivered event is remembered, at the least
inline constexpr std::size_t kWebhookAnswerBytes = 65536;  // of the receiver

}  // namespace ebb::limits
