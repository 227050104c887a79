// Goal: charges are exact and metrics render as Prometheus reads them. Method: tables worked out by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <thread>

#include "meter/cu.h"
#include "meter/metrics.h"

namespace ebb::meter {
namespace {

using model::Outcome;
using namespace std::chrono_literals;

struct ChargeCase {
  const char* what;
  ChargedUse use;
  Charge charge;
};

TEST(Cu, ChargesExactly) {
  constexpr base::Bytes kGib{1ull << 30};
  constexpr base::Bytes kHalf{512ull << 20};
  const ChargeCase cases[] = {
      {"1 core and 1 GiB for 1 s: 1 + 0.15 + 0.0075", {Outcome::kOk, true, 1s, 1000, kGib}, {1000, 1'157'500}},
      {"1 core and 512 MiB for 1 ms: 1000 + 75 + 7500", {Outcome::kOk, true, 1ms, 1000, kHalf}, {1, 8'575}},
      {"any part of a millisecond counts whole", {Outcome::kOk, true, 1ms + 1ns, 1000, kHalf}, {2, 9'650}},
      {"a handler of no time counts 1 ms", {Outcome::kOk, true, 0ns, 1000, kHalf}, {1, 8'575}},
      {"a clock gone backwards counts 1 ms", {Outcome::kOk, true, -5s, 1000, kHalf}, {1, 8'575}},
      {"a twentieth of a core, 16 MiB: 50 + 2.34375 rounded up + 7500",
       {Outcome::kOk, true, 1ms, 50, {16ull << 20}},
       {1, 7'553}},
      {"the fraction is rounded once, on the whole", {Outcome::kOk, true, 3ms, 50, {16ull << 20}}, {3, 7'658}},
      {"one byte is not nothing", {Outcome::kOk, true, 1ms, 1000, {1}}, {1, 8'501}},
      {"errors of the function are charged", {Outcome::kFunctionError, true, 1ms, 1000, kHalf}, {1, 8'575}},
      {"so are crashes", {Outcome::kCrashed, true, 1ms, 1000, kHalf}, {1, 8'575}},
      {"out of memory", {Outcome::kOutOfMemory, true, 1ms, 1000, kHalf}, {1, 8'575}},
      {"timeouts", {Outcome::kTimedOut, true, 1ms, 1000, kHalf}, {1, 8'575}},
      {"cancellations", {Outcome::kCancelled, true, 1ms, 1000, kHalf}, {1, 8'575}},
      {"a handler that never ran costs the call", {Outcome::kFunctionError, false, 9s, 1000, kHalf}, {0, 7'500}},
      {"a refusal costs nothing", {Outcome::kRefused, false, 0ns, 1000, kHalf}, {0, 0}},
      {"a platform fault costs nothing", {Outcome::kPlatformFault, true, 9s, 1000, kHalf}, {0, 0}},
      {"64 cores and 64 GiB for a day do not overflow",
       {Outcome::kOk, true, 24h, 64'000, {64ull << 30}},
       {86'400'000, 6'359'040'007'500}},
  };
  for (const ChargeCase& c : cases) {
    const Charge charge = charge_for(c.use);
    EXPECT_EQ(charge.billed_ms, c.charge.billed_ms) << c.what;
    EXPECT_EQ(charge.cu_micro, c.charge.cu_micro) << c.what;
  }
}

TEST(Metrics, BucketsHoldTheirBounds) {
  DurationHistogram histogram;
  histogram.observe(-1s);
  histogram.observe(250us);
  histogram.observe(250us + 1ns);
  histogram.observe(60s);
  histogram.observe(60s + 1ns);
  EXPECT_EQ(histogram.in_bucket(0), 2u);
  EXPECT_EQ(histogram.in_bucket(1), 1u);
  EXPECT_EQ(histogram.in_bucket(DurationHistogram::kBoundsUs.size() - 1), 1u);
  EXPECT_EQ(histogram.in_bucket(DurationHistogram::kBoundsUs.size()), 1u);
  EXPECT_EQ(histogram.sum_ns(), 120'000'500'002u);
}

TEST(Metrics, EscapesLabels) {
  EXPECT_EQ(escape_label("plain"), "plain");
  EXPECT_EQ(escape_label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
}

TEST(Metrics, RendersWhatPrometheusReads) {
  Metrics metrics("0.1.0 \"x\"");
  metrics.node.instances.add(3);
  metrics.node.instances.add(-1);
  metrics.node.queue_depth.set(7);
  metrics.node.log_lines_dropped.add(2);
  const auto function = metrics.function("vision", "digits");
  EXPECT_EQ(metrics.function("vision", "digits"), function);
  function->invocations_with(Outcome::kTimedOut).add();
  function->starts_from(model::Rung::kFork).add(5);
  function->handler.observe(3ms);
  function->handler.observe(2h);
  const std::string text = metrics.render();
  for (const char* line : {
           "ebb_build_info{version=\"0.1.0 \\\"x\\\"\"} 1\n",
           "ebb_instances 2\n",
           "ebb_queue_depth 7\n",
           "ebb_log_lines_dropped_total 2\n",
           "ebb_invocations_total{app=\"vision\",function=\"digits\",outcome=\"timed_out\"} 1\n",
           "ebb_invocations_total{app=\"vision\",function=\"digits\",outcome=\"ok\"} 0\n",
           "ebb_starts_total{app=\"vision\",function=\"digits\",rung=\"fork\"} 5\n",
           "ebb_handler_seconds_bucket{app=\"vision\",function=\"digits\",le=\"0.0025\"} 0\n",
           "ebb_handler_seconds_bucket{app=\"vision\",function=\"digits\",le=\"0.005\"} 1\n",
           "ebb_handler_seconds_bucket{app=\"vision\",function=\"digits\",le=\"60\"} 1\n",
           "ebb_handler_seconds_bucket{app=\"vision\",function=\"digits\",le=\"+Inf\"} 2\n",
           "ebb_handler_seconds_count{app=\"vision\",function=\"digits\"} 2\n",
           "ebb_handler_seconds_sum{app=\"vision\",function=\"digits\"} 7200.003\n",
           "ebb_queue_seconds_count{app=\"vision\",function=\"digits\"} 0\n",
       }) {
    EXPECT_THAT(text, testing::HasSubstr(line));
  }
}

TEST(Metrics, EveryFamilyHasHelpAndTypeOnceBeforeItsSamples) {
  Metrics metrics("1");
  metrics.function("a", "f");
  metrics.function("a", "g");
  std::istringstream lines(metrics.render());
  std::set<std::string> families;
  std::string family;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_TRUE(families.insert(family).second) << line;
      EXPECT_TRUE(std::getline(lines, line) && line.starts_with("# TYPE " + family + " ")) << line;
    } else {
      EXPECT_TRUE(line.starts_with(family)) << line;
      EXPECT_NE(line.find(' '), std::string::npos);
    }
  }
  EXPECT_EQ(families.size(), 23u);
}

TEST(Metrics, HeldMemoryIsSummedOverTimeByTier) {
  Metrics metrics("1");
  const auto function = metrics.function("a", "f");
  function->held_by_instances.add(base::Bytes{3 << 20}, 1500ms);
  function->held_by_instances.add(base::Bytes{1 << 20}, 500ms);
  function->held_by_spares.add(base::Bytes{2 << 20}, 500ms);
  function->held_by_zygotes.add(base::Bytes{8 << 20}, -1s);  // a clock that went back holds nothing
  metrics.app("a")->held_by_runtimes.add(base::Bytes{2 << 20}, 2s);
  const std::string name = "ebb_memory_held_byte_seconds_total";
  const std::string text = metrics.render();
  EXPECT_THAT(text,
              testing::HasSubstr(name + "{app=\"a\",function=\"f\",tier=\"instance\"} " + std::to_string(5 << 20)));
  EXPECT_THAT(text, testing::HasSubstr(name + "{app=\"a\",function=\"f\",tier=\"zygote\"} 0\n"));
  EXPECT_THAT(text, testing::HasSubstr(name + "{app=\"a\",function=\"f\",tier=\"spare\"} " + std::to_string(1 << 20)));
  EXPECT_THAT(text, testing::HasSubstr(name + "{app=\"a\",tier=\"runtime\"} " + std::to_string(4 << 20)));
  metrics.forget("a");
  EXPECT_THAT(metrics.render(), testing::Not(testing::HasSubstr("tier=\"runtime\"")));
}

TEST(Metrics, ProcessorTimeByWhoseItIs) {
  Metrics metrics("1");
  metrics.function("a", "f")->cpu_of_calls.add(1500ms);
  metrics.function("a", "f")->cpu_of_calls.add(-1s);  // a reading that came late
  metrics.function("a", "f")->cpu_beside_calls.add(250us);
  const auto app = metrics.app("a");
  app->cpu.set(4s);
  app->cpu.set(5s);
  app->cpu_of_runtimes.set(2s);
  app->cpu_of_zygotes.set(1s);
  const std::string text = metrics.render();
  for (const char* line : {
           "ebb_invocation_cpu_seconds_total{app=\"a\",function=\"f\"} 1.5\n",
           "ebb_platform_cpu_seconds_total{app=\"a\",function=\"f\",part=\"instance\"} 0.00025\n",
           "ebb_platform_cpu_seconds_total{app=\"a\",part=\"runtime\"} 2\n",
           "ebb_platform_cpu_seconds_total{app=\"a\",part=\"zygote\"} 1\n",
           "ebb_app_cpu_seconds_total{app=\"a\"} 5\n",
       }) {
    EXPECT_THAT(text, testing::HasSubstr(line));
  }
}

TEST(Metrics, ForgetsRemovedFunctionsAndCountsFromManyThreads) {
  Metrics metrics("1");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const auto function = metrics.function("a", "f");
      for (int i = 0; i < 10'000; ++i) function->invocations_with(Outcome::kOk).add();
      EXPECT_FALSE(metrics.render().empty());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(metrics.function("a", "f")->invocations_with(Outcome::kOk).value(), 40'000u);
  const auto kept = metrics.function("a", "f");
  metrics.forget("a", "f");
  EXPECT_EQ(metrics.render().find("function=\"f\""), std::string::npos);
  kept->invocations_with(Outcome::kOk).add();  // an invocation still running may count on
}

}  // namespace
}  // namespace ebb::meter
