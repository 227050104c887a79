// What a collector is told, what a function is told, and what becomes of traces that cannot be delivered.
// Method: the JSON itself; a Traces whose endpoint nobody listens at. A real collector:
// tests/functional/test_traces.py.
#include "gateway/traces.h"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/limits_trace.h"

namespace ebb::gateway {
namespace {

using namespace std::chrono_literals;

constexpr const char* kTraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr const char* kNowhere = "http://127.0.0.1:1/v1/traces";  // no privileged port is listened at

CallTrace a_call() {
  CallTrace call{.context = *meter::parse_traceparent(kTraceparent), .app = "vision", .function = "digits"};
  call.version_number = 3;
  call.method = "GET";
  call.path = "/fn/vision/digits/\"\xff";
  call.arrived = base::WallTime(1'000'000'000ns);
  call.phases.queue = 1ms;
  call.phases.start = 2ms;
  call.phases.handler = 3ms;
  call.phases.rung = model::Rung::kFork;
  call.total = 7ms;
  call.status = 200;
  return call;
}

TEST(OtlpJson, HasTheCallAndItsPhasesOneAfterTheOther) {
  const CallTrace call = a_call();
  const auto parsed = boost::json::parse(otlp_json({&call, 1}, "here"));
  const auto& spans = parsed.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").as_array();
  ASSERT_EQ(spans.size(), 4U);  // init took no time
  EXPECT_EQ(spans[0].at("name").as_string(), "vision/digits");
  EXPECT_EQ(spans[0].at("kind").as_int64(), 2);
  EXPECT_EQ(spans[0].at("startTimeUnixNano").as_string(), "1000000000");
  EXPECT_EQ(spans[0].at("endTimeUnixNano").as_string(), "1007000000");
  EXPECT_EQ(spans[1].at("name").as_string(), "queue");
  EXPECT_EQ(spans[2].at("name").as_string(), "start");
  EXPECT_EQ(spans[2].at("startTimeUnixNano").as_string(), "1001000000");
  EXPECT_EQ(spans[3].at("name").as_string(), "handler");
  EXPECT_EQ(spans[3].at("endTimeUnixNano").as_string(), "1006000000");
  EXPECT_EQ(spans[3].at("parentSpanId").as_string(), spans[0].at("spanId").as_string());
  EXPECT_EQ(spans[3].at("spanId").as_string(), meter::hex_of(meter::child_of(call.context.span, kHandlerSpan)).c_str());
  EXPECT_FALSE(spans[0].as_object().contains("status"));
}

TEST(OtlpJson, PutsAVersionsCallsUnderOneResource) {
  std::vector<CallTrace> calls(3, a_call());
  calls[1].version_number = 4;
  const auto parsed = boost::json::parse(otlp_json(calls, "here"));
  EXPECT_EQ(parsed.at("resourceSpans").as_array().size(), 2U);
}

TEST(OtlpJson, SaysWhatWentWrong) {
  CallTrace call = a_call();
  call.status = 429;
  call.error = "resource_exhausted";
  call.error_message = "full";
  const auto parsed = boost::json::parse(otlp_json({&call, 1}, "here"));
  const auto& span = parsed.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").at(0);
  EXPECT_EQ(span.at("status").at("code").as_int64(), 2);
  EXPECT_EQ(span.at("status").at("message").as_string(), "full");
}

node::Call call_of(const char* traceparent) {
  node::Call call{.id = base::new_invocation_id(), .app = "vision", .function = "digits"};
  call.arrived = base::steady_now();
  if (traceparent != nullptr) call.request.headers.add("Traceparent", traceparent);
  call.request.headers.add("Tracestate", "a=1");
  call.request.headers.add("Tracestate", " b=2 ");
  return call;
}

TEST(OtlpJson, HasAnAttemptAsAMessageThatIsProcessed) {
  CallTrace call = a_call();
  call.part = CallTrace::Part::kAttempt;
  call.kind = node::Call::Kind::kDirect;
  call.parent = call.context.span;
  call.context.span = meter::new_span_id();
  call.attempt = 3;
  call.event_bytes = 17;
  const auto parsed = boost::json::parse(otlp_json({&call, 1}, "here"));
  const auto& span = parsed.at("resourceSpans").at(0).at("scopeSpans").at(0).at("spans").at(0);
  EXPECT_EQ(span.at("name").as_string(), "process vision/digits");
  EXPECT_EQ(span.at("kind").as_int64(), 5);
  EXPECT_EQ(span.at("parentSpanId").as_string(), "b7ad6b7169203331");
  EXPECT_EQ(span.at("links").as_array().size(), 1U);
  EXPECT_EQ(span.at("links").at(0).at("traceId").as_string(), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(span.at("links").at(0).at("spanId").as_string(), "b7ad6b7169203331");
  const std::string text = boost::json::serialize(span.at("attributes"));
  EXPECT_NE(text.find(R"("key":"ebb.attempt","value":{"intValue":"3"})"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("key":"messaging.message.body.size","value":{"intValue":"17"})"), std::string::npos) << text;
  EXPECT_NE(text.find(R"("key":"faas.trigger","value":{"stringValue":"pubsub"})"), std::string::npos) << text;
  call.timer = true;
  EXPECT_NE(otlp_json({&call, 1}, "here").find(R"("key":"faas.trigger","value":{"stringValue":"timer"})"),
            std::string::npos);
}

TEST(Traces, KeepsTheAcceptancesOwnSpanForTheAttempts) {
  Traces traces({.endpoint = kNowhere, .sample_ratio = 0});
  node::Call call = call_of(kTraceparent);
  const auto open = traces.begin(call, call.request.headers, CallTrace::Part::kAcceptance);
  ASSERT_NE(open, nullptr);
  open->accepted(node::AcceptedCall{});
  const auto kept = meter::parse_traceparent(call.traceparent);
  ASSERT_TRUE(kept);
  EXPECT_EQ(meter::hex_of(kept->trace), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_NE(meter::hex_of(kept->span), "b7ad6b7169203331");
  EXPECT_EQ(kept->span.back() & 7, 0) << "the acceptance itself";
}

TEST(Traces, ContinuesTheCallersTrace) {
  Traces traces({.endpoint = kNowhere, .sample_ratio = 0});
  node::Call call = call_of(kTraceparent);
  EXPECT_NE(traces.begin(call, call.request.headers), nullptr);
  const auto told = meter::parse_traceparent(call.traceparent);
  ASSERT_TRUE(told);
  EXPECT_EQ(meter::hex_of(told->trace), "0af7651916cd43dd8448eb211c80319c");
  EXPECT_NE(meter::hex_of(told->span), "b7ad6b7169203331");
  EXPECT_EQ(call.request.headers.get("traceparent"), call.traceparent);
  EXPECT_EQ(call.tracestate, "a=1,b=2");
}

TEST(Traces, HonoursACallerWhoDoesNotSample) {
  Traces traces({.endpoint = kNowhere, .sample_ratio = 1});
  node::Call call = call_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
  EXPECT_EQ(traces.begin(call, call.request.headers), nullptr);
  EXPECT_EQ(call.traceparent, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00");
}

TEST(Traces, BeginsAnewWhereTheCallersIsMalformedOrTwofold) {
  Traces traces({.endpoint = kNowhere, .sample_ratio = 0});
  for (const bool twice : {false, true}) {
    node::Call call = call_of(twice ? kTraceparent : "00-zz");
    if (twice) call.request.headers.add("traceparent", kTraceparent);
    EXPECT_EQ(traces.begin(call, call.request.headers), nullptr);
    const auto told = meter::parse_traceparent(call.traceparent);
    ASSERT_TRUE(told);
    EXPECT_EQ(told->trace, call.id.bytes);
    EXPECT_EQ(call.request.headers.count("traceparent"), 1U);
    EXPECT_EQ(call.request.headers.count("tracestate"), 0U);
    EXPECT_EQ(call.tracestate, "");
  }
}

TEST(Traces, DropsAndCountsWhatTheQueueHasNoRoomFor) {
  constexpr std::size_t kMore = 100;
  Traces traces({.endpoint = kNowhere});
  // One batch may be in the thread's hands.
  for (std::size_t i = 0; i < limits::kTracesQueued + limits::kTraceBatch + kMore; ++i) traces.record(a_call());
  const std::string metrics = traces.metrics_text();
  const std::string name = R"(ebb_traces_dropped_total{reason="queue_full"} )";
  const std::size_t at = metrics.find("\n" + name);
  ASSERT_NE(at, std::string::npos) << metrics;
  EXPECT_GE(std::atoll(metrics.c_str() + at + 1 + name.size()), static_cast<long long>(kMore));
}

TEST(Traces, HeaderLinesAreReadAndMistakesNamedWithoutTheirValue) {
  const auto headers = parse_header_lines("# for the collector\n\nX-Key: a:b c \r\nx-tenant:7");
  ASSERT_TRUE(headers);
  EXPECT_EQ(headers->get("x-key"), "a:b c");
  EXPECT_EQ(headers->get("x-tenant"), "7");
  for (const char* bad : {"X-Key a secret", "X-Key:", ": secret", "X Key: secret", "X-Key: sec\001ret"}) {
    const auto refused = parse_header_lines(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_NE(refused.error().message.find("line 1"), std::string::npos);
    EXPECT_EQ(refused.error().message.find("secret"), std::string::npos);
  }
}

// Not a test of speed: prints what a call costs. Run with --gtest_also_run_disabled_tests on a release build.
TEST(Traces, DISABLED_CostOfACall) {
  for (const char* mode : {"off", "not sampled", "sampled"}) {
    const bool sampled = mode[0] == 's';
    Traces traces({.endpoint = kNowhere, .sample_ratio = sampled ? 1.0 : 0.0});
    constexpr int kCalls = 8000;  // fewer than the queue has room for
    base::Duration spent{};
    for (int i = 0; i < kCalls; ++i) {
      node::Call call = call_of(nullptr);
      call.request.path = "/fn/vision/digits/images/1";
      call.request.method = "GET";
      call.request.peer_address = "127.0.0.1";
      const base::SteadyTime began = base::steady_now();
      if (mode[0] == 'o') {
        call.traceparent = traceparent_of(call.request.headers);
      } else if (const auto open = traces.begin(call, call.request.headers)) {
        open->answered(node::Reply{});
        open->end();
      }
      spent += base::steady_now() - began;
    }
    std::printf("%s: %lld ns a call\n", mode, static_cast<long long>(spent.count() / kCalls));
  }
}

}  // namespace
}  // namespace ebb::gateway
