// sizes.cc, advice.cc and report.cc of the part: all of it but the trial on a node, which tests/functional/test_tune.py
// shows.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "tune/advice.h"
#include "tune/report.h"

namespace ebb::tune {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

Measured measured(std::uint32_t cpu_millis, std::vector<double> times, double cu, std::size_t failed = 0) {
  Measured one{.size = {base::Bytes{64 * kMiB}, cpu_millis}};
  for (const double time : times)
    one.samples.push_back({.handler_ms = time, .cu = cu, .peak_mb = 10, .ok = true, .outcome = "ok"});
  for (std::size_t i = 0; i < failed; ++i) one.samples.push_back({.cu = cu, .peak_mb = 64, .outcome = "out_of_memory"});
  return one;
}

TEST(Measured, QuantilesAreOfTheCallsThatWentWell) {
  const Measured one = measured(1000, {4, 1, 3, 2}, 0.5, 1);
  EXPECT_EQ(one.handler_ms(0.5), 2);
  EXPECT_EQ(one.handler_ms(0.99), 4);
  EXPECT_EQ(one.failed(), 1u);
  EXPECT_EQ(one.peak_mb(), 64);
  EXPECT_EQ(measured(1000, {}, 0).handler_ms(0.5), 0);
}

TEST(Sizes, AreReadStrictly) {
  ASSERT_TRUE(parse_memories("64Mi,1Gi"));
  EXPECT_EQ(parse_memories("64Mi,1Gi")->at(1).count, 1024 * kMiB);
  EXPECT_FALSE(parse_memories("64Mi,"));
  EXPECT_THAT(*parse_cpus("0.25,2"), testing::ElementsAre(250, 2000));
  for (const char* text : {"", "0", "0.01", "65", "1,x", "1e9", "-1"}) EXPECT_FALSE(parse_cpus(text)) << text;
}

TEST(Sizes, UsualOnesReachTheMachineAndHoldThePresentOne) {
  EXPECT_THAT(usual_cpus(2, 1000), testing::ElementsAre(250, 500, 1000, 2000));
  EXPECT_THAT(usual_cpus(2, 300), testing::ElementsAre(250, 300, 500, 1000, 2000));
  EXPECT_THAT(usual_cpus(0, 4000), testing::ElementsAre(250, 500, 1000, 4000));
}

TEST(Sizes, EnoughMemoryIsAQuarterMoreInSteps) {
  EXPECT_EQ(enough_memory(100).count, 128 * kMiB);  // 125 up to the next 16
  EXPECT_EQ(enough_memory(0).count, 16 * kMiB);     // the least that a function may have
  EXPECT_EQ(cpu_text(250), "0.25");
  EXPECT_EQ(cpu_text(1050), "1.05");
  EXPECT_EQ(cpu_text(2000), "2");
}

TEST(Advice, ByTheAim) {
  const std::vector<Measured> all = {measured(250, {400}, 1.0), measured(500, {150}, 1.1), measured(1000, {100}, 2.0),
                                     measured(2000, {99}, 4.0)};
  EXPECT_EQ(advise(all, Aim::kCost)->chosen, 0u);
  EXPECT_EQ(advise(all, Aim::kSpeed)->chosen, 2u);  // as fast as the last within 2 %, and half its price
  EXPECT_EQ(advise(all, Aim::kBalance)->chosen, 1u);
}

TEST(Advice, NeverASizeThatFailed) {
  const std::vector<Measured> all = {measured(250, {1}, 0.1, 1), measured(500, {5}, 1)};
  EXPECT_EQ(advise(all, Aim::kCost)->chosen, 1u);
  EXPECT_FALSE(advise({measured(250, {1}, 0.1, 1)}, Aim::kCost));
  EXPECT_FALSE(advise({}, Aim::kCost));
}

TEST(Report, SaysWhatToWrite) {
  std::vector<Measured> all = {measured(250, {4}, 0.001, 1), measured(500, {5}, 0.002)};
  all[0].current = true;
  const Subject subject{.function = "a/b", .calls = 2, .aim = Aim::kCost};
  const auto advice = advise(all, subject.aim);
  const std::string table = to_table(subject, all, advice, {});
  EXPECT_THAT(table, testing::HasSubstr("1 failed: out_of_memory, as it is now"));
  EXPECT_THAT(table, testing::HasSubstr("take this, cheapest, fastest"));
  EXPECT_THAT(table, testing::HasSubstr("memory: 64Mi  cpu: 0.5\n"));
  const auto json = boost::json::parse(to_json_text(subject, all, advice)).as_object();
  EXPECT_EQ(json.at("take").at("cpu").to_number<double>(), 0.5);
  EXPECT_EQ(json.at("sizes").at(0).at("failed").to_number<int>(), 1);
  EXPECT_DOUBLE_EQ(json.at("sizes").at(1).at("cu_per_1000_calls").to_number<double>(), 2);
  const std::string chart = to_chart(subject, all, advice);
  EXPECT_THAT(chart, testing::StartsWith("<svg"));
  EXPECT_THAT(chart, testing::EndsWith("</svg>\n"));
}

}  // namespace
}  // namespace ebb::tune
