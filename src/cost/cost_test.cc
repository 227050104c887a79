// traffic.cc, comparison.cc and report.cc of the part: all of it but the command, which tests/functional/test_cost.py
// shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "cost/report.h"

namespace ebb::cost {
namespace {

Traffic traffic(const std::vector<Minute>& minutes) { return {.source = "test", .minutes = minutes}; }

constexpr Prices kPrices{.cu = 0.01, .server_hour = 6, .server_vcpus = 2, .server_gb = 4};

TEST(Traffic, OfATraceIsBilledByTheMeanRunTime) {
  sim::Trace trace{.minutes = 2};
  sim::TraceFunction function{.per_minute = {60, 0}, .run_ms = sim::Curve::constant(500), .memory_mb = 819.2};
  trace.functions.push_back(function);
  const Traffic found = traffic_of(trace, "day", {.cpu = 2, .memory_share = 1.25});
  ASSERT_EQ(found.minutes.size(), 2u);
  EXPECT_DOUBLE_EQ(found.minutes[0].vcpu, 1);  // half an instance at a time, of two cores
  EXPECT_DOUBLE_EQ(found.minutes[0].gb, 0.5);  // of 1 GB
  EXPECT_NEAR(found.minutes[0].cu, 60 * (2 * 0.5 + 0.15 * 0.5 + 0.0075), 1e-6);
  EXPECT_EQ(found.minutes[1].calls, 0);
}

TEST(Traffic, OfRecordsThatComeInPieces) {
  const std::string text =
      R"({"arrival":"2026-11-24T10:01:59.999Z","billed_ms":30000,"cpu_millis":500,"memory_limit_bytes":1073741824,"cu":"0.250000"})"
      "\n"
      R"({"arrival":"2026-11-24T10:00:00.000Z","cpu_millis":500,"memory_limit_bytes":1073741824,"state":"open"})"
      "\n"
      R"({"arrival":"2026-11-24T10:04:00.000Z","billed_ms":60000,"cpu_millis":2000,"memory_limit_bytes":1073741824,"cu":"0.5"})";
  RecordReader reader;
  for (std::size_t at = 0; at < text.size(); at += 7) ASSERT_TRUE(reader.read(text.substr(at, 7)));
  const auto found = reader.finish("node");
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->minutes.size(), 5u);
  EXPECT_EQ(found->minutes[0].calls, 1);
  EXPECT_DOUBLE_EQ(found->minutes[1].vcpu, 0.25);
  EXPECT_DOUBLE_EQ(found->minutes[1].gb, 0.5);
  EXPECT_DOUBLE_EQ(found->minutes[4].vcpu, 2);
  EXPECT_DOUBLE_EQ(found->cu(), 0.75);
}

// Two minutes of 2 GB from the middle of a minute on, a quarter of it at work; one instance of 1 GB was kept.
TEST(Traffic, WhatWasHeldLiesOverTheMinutesOfItsStretch) {
  RecordReader reader;
  ASSERT_TRUE(reader.read(
      R"({"arrival":"2026-11-24T10:00:30.000Z","trigger":"held","state":"closed","memory_limit_bytes":1073741824,)"
      R"("cpu_millis":1000,"held_for_ms":120000,"held_ms":{"zygote":120000,"provisioned":120000,"active":120000},)"
      R"("held_byte_ms":{"zygote":"193273528320000","provisioned":"0","active":"64424509440000"}})"
      "\n"));
  const auto found = reader.finish("node");
  ASSERT_TRUE(found) << found.error().message;
  ASSERT_EQ(found->minutes.size(), 3u);
  EXPECT_EQ(found->calls(), 0);
  EXPECT_NEAR(found->minutes[0].held_gb, 1, 1e-9);
  EXPECT_NEAR(found->minutes[1].held_gb, 2, 1e-9);
  EXPECT_NEAR(found->minutes[2].active_gb, 0.25, 1e-9);
  EXPECT_NEAR(found->cu(), 120 * 0.15, 1e-9) << "asleep";
  const Comparison held = compare(*found, kPrices);
  EXPECT_NEAR(held.held_gb_hours, 4.0 / 60, 1e-9);
  EXPECT_NEAR(held.active_gb_hours, 1.0 / 60, 1e-9);
  EXPECT_THAT(to_text(*found, held), testing::HasSubstr("25.0 % of it"));
  EXPECT_THAT(to_chart(*found, held), testing::HasSubstr("GB held"));
  EXPECT_TRUE(found->has_held());
}

TEST(Traffic, WhatIsNoRecordIsRefused) {
  for (const char* text : {"{}\n", "nonsense\n", "{\"arrival\":\"2026-13-40T10:00:00Z\"}\n", "[1]\n"}) {
    RecordReader reader;
    EXPECT_FALSE(reader.read(text)) << text;
  }
  RecordReader reader;
  ASSERT_TRUE(reader.read("{\"arrival\":\"2026-11-24T10:0"));
  EXPECT_FALSE(reader.finish("cut"));
}

TEST(Comparison, ServersAreForTheBusiestMinute) {
  std::vector<Minute> minutes(60, Minute{.calls = 10, .cu = 1, .vcpu = 0.5, .gb = 0.1});
  minutes[30] = {.calls = 100, .cu = 10, .vcpu = 5, .gb = 1};
  const Comparison found = compare(traffic(minutes), kPrices);
  EXPECT_EQ(found.servers, 3u);  // 5 vCPUs of 2 each
  EXPECT_DOUBLE_EQ(found.servers_cost, 18);
  EXPECT_DOUBLE_EQ(found.used_cost, 0.69);
  EXPECT_NEAR(found.average_use, (59 * 0.5 + 5) / 60 / 6, 1e-12);
  EXPECT_FALSE(found.even_traffic);  // by use is cheaper, however much it grows
  EXPECT_GT(found.even_use, found.average_use);
  EXPECT_FALSE(found.correlation_calls);  // one hour
}

TEST(Comparison, MemoryCanBeWhatThePeakIsShortOf) {
  EXPECT_EQ(compare(traffic({{.calls = 1, .cu = 1, .vcpu = 1, .gb = 9}}), kPrices).servers, 3u);
  EXPECT_EQ(compare(traffic({{.calls = 1, .cu = 1, .vcpu = 2, .gb = 4}}), kPrices).servers, 1u);  // just fits
}

TEST(Comparison, EvenTrafficIsWhereTheFirstServerPays) {
  // Flat and dear: a server of 6 an hour is full with what costs 12 by use.
  const std::vector<Minute> minutes(60, Minute{.calls = 10, .cu = 20, .vcpu = 2, .gb = 1});
  const Comparison found = compare(traffic(minutes), kPrices);
  EXPECT_DOUBLE_EQ(found.used_cost, 12);
  EXPECT_DOUBLE_EQ(*found.even_traffic, 0.5);
  EXPECT_DOUBLE_EQ(found.average_use, 1);
  EXPECT_DOUBLE_EQ(found.even_use, 0.5);
  std::vector<Minute> half = minutes;
  for (Minute& minute : half) minute = {.calls = 5, .cu = 10, .vcpu = 1, .gb = 0.5};
  const Comparison even = compare(traffic(half), kPrices);
  EXPECT_DOUBLE_EQ(even.used_cost, even.servers_cost);
}

TEST(Comparison, CostThatFollowsTraffic) {
  std::vector<Minute> minutes(180);
  for (std::size_t i = 0; i < minutes.size(); ++i) {
    const double calls = 1 + static_cast<double>(i / 60);
    minutes[i] = {.calls = calls, .cu = 2 * calls, .vcpu = 4 - calls, .gb = 0.1};
  }
  const Comparison found = compare(traffic(minutes), kPrices);
  EXPECT_NEAR(*found.correlation_calls, 1, 1e-12);
  EXPECT_NEAR(*found.correlation_work, -1, 1e-12);
  EXPECT_DOUBLE_EQ(found.cost_per_1000_least, 20);
  EXPECT_DOUBLE_EQ(found.cost_per_1000_most, 20);
}

TEST(Report, OfNothingUsed) {
  const Traffic none = traffic(std::vector<Minute>(3));
  const Comparison found = compare(none, kPrices);
  EXPECT_EQ(found.servers, 1u);
  EXPECT_THAT(to_text(none, found), testing::HasSubstr("nothing was used"));
  EXPECT_TRUE(boost::json::parse(to_json_text(none, found)).at("correlation_work").is_null());
  EXPECT_THAT(to_chart(none, found), testing::EndsWith("</svg>\n"));
}

}  // namespace
}  // namespace ebb::cost
