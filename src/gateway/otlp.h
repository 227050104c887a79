// The calls that a collector is told of, and their form: OTLP's ExportTraceServiceRequest as JSON.
//
// 1. A call is a span of kind SERVER with up to four children, one after the other: queue, start, init, handler. A
//    phase that took no time has no span.
// 2. Names of attributes are those of OpenTelemetry's semantic conventions (FaaS, HTTP, errors); Ebb's own begin with
//    "ebb.". A resource is one version of one function.
// 3. Neither query strings nor headers nor bodies are told.
// 4. An asynchronous call is a message: its acceptance is a span of kind PRODUCER, each attempt one of kind CONSUMER
//    with the children of a call. The acceptance is the attempt's parent, and is linked to it (decision 0033).
// Source: https://opentelemetry.io/docs/specs/otlp/. Made by traces.cc.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/id.h"
#include "meter/trace_context.h"
#include "node/node.h"

namespace ebb::gateway {

/// The child that user code runs in, which it is told as its parent.
inline constexpr unsigned kHandlerSpan = 4;

/// One call that has ended.
struct CallTrace {
  /// What of a call: all of it, the acceptance of an asynchronous one, or one attempt of it.
  enum class Part : std::uint8_t { kWhole, kAcceptance, kAttempt };

  Part part = Part::kWhole;
  meter::TraceContext context;            // `span` is the whole call's
  std::optional<meter::SpanId> parent{};  // the caller's span
  std::string state;                      // tracestate, as it came
  base::InvocationId id;
  std::string app;
  std::string function;
  std::uint32_t version_number = 0;  // 0: none was reached
  node::Call::Kind kind = node::Call::Kind::kHttp;
  std::string method;  // this and the next three of kHttp
  std::string path;
  std::string client;
  bool over_tls = false;
  std::uint32_t attempt = 0;      // of kAttempt, from 1
  bool timer = false;             // of kAttempt: a timer made the call
  std::uint64_t event_bytes = 0;  // of kAcceptance and kAttempt
  base::WallTime arrived{};
  node::Phases phases;
  base::Duration total{};
  int status = 0;             // 0: there was no answer
  std::string error;          // a code's name; empty: none
  std::string error_message;  // for a person
};

/// `host`: this machine's name. Cost: some 5 us a call; not for a core.
std::string otlp_json(std::span<const CallTrace> calls, std::string_view host);

}  // namespace ebb::gateway
