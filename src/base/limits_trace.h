// Every bound of traces: a leaf of limits.h, as limits_access.h.
#pragma once

#include <chrono>
#include <cstddef>

namespace ebb::limits {

using namespace std::chrono_literals;

// Traces.
inline constexpr std::size_t kTracesQueued = 8192;       // calls that wait to be exported; more are dropped and counted
inline constexpr std::size_t kTraceBatch = 256;          // calls in one request to the collector, each of up to 5 spans
inline constexpr auto kTraceBatchWait = 1s;              // from a call's end to its export, where the batch is not full
inline constexpr auto kTraceSendTimeout = 5s;            // for one answer of the collector
inline constexpr auto kTraceRetryMax = 60s;              // that one batch is tried again; then it is dropped
inline constexpr auto kTraceBackoffMin = 500ms;          // before a batch is sent again; doubles, with jitter
inline constexpr auto kTraceBackoffMax = 15s;            // and no longer than this, whatever the collector asks for
inline constexpr auto kTraceStopWait = 1s;               // that a daemon told to stop gives the last batches
inline constexpr std::size_t kTraceTextBytes = 1024;     // of a path, or an error's message, in a span; cut beyond
inline constexpr std::size_t kTraceStateBytes = 512;     // a tracestate; a longer one is dropped
inline constexpr std::size_t kTraceHeaders = 16;         // lines of otlp_headers_file
inline constexpr std::size_t kTraceAnswerBytes = 65536;  // of the collector

}  // namespace ebb::limits
