// TraceContext: where a call stands in a trace that spans systems, as W3C Trace Context writes it in the header
// traceparent.
//
// 1. What is not exactly of the recommendation's form is no context: a trace is then begun anew.
// 2. The id of a trace begun here is the invocation's id: the request id of logs and records, in hexadecimal.
// Source: https://www.w3.org/TR/trace-context-2/. Used by gateway.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/id.h"

namespace ebb::meter {

using TraceId = std::array<std::uint8_t, 16>;
using SpanId = std::array<std::uint8_t, 8>;

struct TraceContext {
  static constexpr std::uint8_t kSampled = 1;  // the caller records its part
  static constexpr std::uint8_t kRandom = 2;   // the last 7 bytes of the trace's id are random

  TraceId trace{};
  SpanId span{};
  std::uint8_t flags = 0;  // of those above

  bool sampled() const { return (flags & kSampled) != 0; }
  bool operator==(const TraceContext&) const = default;
};

/// The value of a traceparent header; nothing when it is malformed. A later version's is read as far as it is known.
std::optional<TraceContext> parse_traceparent(std::string_view text);
/// "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".
std::string traceparent_of(const TraceContext& context);

/// A trace that begins with this invocation, without a span; sampled when its id falls within `ratio` (0 to 1).
TraceContext begin_trace(const base::InvocationId& invocation, double ratio);

/// A random span id whose last 3 bits are 0: child_of has room for 7 in them. Threads: any.
SpanId new_span_id();
/// `number` from 1 to 7.
SpanId child_of(const SpanId& span, unsigned number);

std::string hex_of(const TraceId& id);
std::string hex_of(const SpanId& id);

}  // namespace ebb::meter
