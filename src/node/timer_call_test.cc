// Goal: a timer's call reaches each kind of function as that takes calls. Method: the call that was kept, and specs.
#include "node/timer_call.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace ebb::node {
namespace {

Call timer_call(const std::string& path) {
  model::Timer timer{.every = std::chrono::seconds(30), .event = R"({"n":1})", .path = path};
  Call call{.app = "shop", .function = "report"};
  call.kind = Call::Kind::kDirect;
  call.content_type = model::kTimerEventType;
  call.body = model::timer_event(timer, base::WallTime(std::chrono::seconds(60)));
  make_timer_call(call);
  return call;
}

TEST(TimerCall, AHandlerGetsTheEvent) {
  Call call = timer_call("");
  EXPECT_EQ(call.timer, "every 30s");
  EXPECT_EQ(call.content_type, "application/json");
  const model::FunctionSpec spec{.runtime = "node"};
  address_timer_call(spec, call);
  EXPECT_EQ(call.kind, Call::Kind::kDirect);
  EXPECT_FALSE(tells_timer_either_way(spec, call));
  EXPECT_EQ(boost::json::parse(call.body).at("event").at("n").as_int64(), 1);
}

TEST(TimerCall, AWebServerGetsARequest) {
  Call call = timer_call("/jobs?dry=0");
  call.traceparent = "00-1-2-01";
  address_timer_call({.runtime = "http"}, call);
  EXPECT_EQ(call.kind, Call::Kind::kHttp);
  EXPECT_EQ(call.request.method, "POST");
  EXPECT_EQ(call.function_path(), "/jobs");
  EXPECT_EQ(call.request.query, "dry=0");
  EXPECT_EQ(call.request.headers.get("x-ebb-timer"), "every 30s");
  EXPECT_EQ(call.request.headers.get("x-ebb-timer-due"), "1970-01-01T00:01:00.000Z");
  EXPECT_EQ(call.request.headers.get("traceparent"), "00-1-2-01");
}

TEST(TimerCall, WhoFindsOutItselfGetsBoth) {
  Call call = timer_call("");
  const model::FunctionSpec spec{.runtime = "python3"};
  address_timer_call(spec, call);
  EXPECT_EQ(call.kind, Call::Kind::kDirect);
  EXPECT_TRUE(tells_timer_either_way(spec, call));
  const auto event = boost::json::parse(call.event_of(call));
  EXPECT_EQ(event.at("rawPath").as_string(), "/");
  EXPECT_EQ(event.at("requestContext").at("http").at("method").as_string(), "POST");
  EXPECT_EQ(event.at("headers").at("x-ebb-timer").as_string(), "every 30s");
  EXPECT_FALSE(tells_timer_either_way({.runtime = "python3", .interface = model::Interface::kEvent}, call));
}

TEST(TimerCall, AContractSaysItself) {
  Call call = timer_call("");
  address_timer_call({.runtime = "http", .contract = model::Contract::kFc}, call);
  EXPECT_EQ(call.kind, Call::Kind::kDirect);
  EXPECT_TRUE(call.request.headers.empty() && call.url_prefix.empty()) << "its request is made where it is sent";
}

}  // namespace
}  // namespace ebb::node
