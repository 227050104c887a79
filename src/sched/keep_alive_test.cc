// Goal: each keep-alive policy holds what its source says it holds, and Residency applies its plan to what a function
// does. Method: gaps with a known shape go in, the spans that come out are looked at.
#include "sched/keep_alive.h"

#include <gtest/gtest.h>

#include <random>

#include "sched/gap_histogram.h"
#include "sched/keep_alive_fixed.h"
#include "sched/keep_alive_hybrid.h"
#include "sched/keep_alive_worth.h"
#include "sched/residency.h"

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

base::Duration held(const HoldPlan& plan) {
  base::Duration sum{};
  for (const Window& window : plan) sum += window.to - window.from;
  return sum;
}

TEST(HoldPlan, JoinsWhatTouchesAndNeverHoldsLessThanAsked) {
  HoldPlan plan;
  plan.add({.from = 0s, .to = 2s});
  plan.add({.from = 2s, .to = 3s});
  plan.add({.from = 5s, .to = 5s});
  EXPECT_EQ(plan.end() - plan.begin(), 1);
  EXPECT_EQ(plan.first_hold(), 3s);
  for (int i = 1; i <= 20; ++i)
    plan.add({.from = std::chrono::seconds(10 * i), .to = std::chrono::seconds(10 * i + 1)});
  for (int i = 1; i <= 20; ++i) EXPECT_TRUE(plan.holds_at(std::chrono::seconds(10 * i)));
  EXPECT_FALSE(plan.holds_at(4s));
  EXPECT_FALSE(plan.holds_at(201s));
  EXPECT_EQ(plan.next_change(1s), 3s);
  EXPECT_EQ(plan.next_change(4s), 10s);
  EXPECT_EQ(plan.next_change(300s), base::Duration::max());
}

TEST(GapHistogram, BinsHoldTheirEdgesAndOldGapsFade) {
  for (std::size_t bin = 1; bin + 1 < GapHistogram::kBins; ++bin) {
    const double middle = (GapHistogram::edge(bin) + GapHistogram::edge(bin + 1)) / 2;
    EXPECT_EQ(GapHistogram::bin_of(std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(middle))),
              bin);
  }
  EXPECT_EQ(GapHistogram::bin_of(0s), 0U);
  EXPECT_EQ(GapHistogram::bin_of(24h * 30), GapHistogram::kBins - 1);
  GapHistogram gaps;
  for (int i = 0; i < 300; ++i) gaps.add(60s);
  for (int i = 0; i < 3000; ++i) gaps.add(600s);
  EXPECT_LT(gaps.total(), GapHistogram::kTotalMax);
  EXPECT_GT(gaps.count(GapHistogram::bin_of(600s)), 50 * gaps.count(GapHistogram::bin_of(60s)));
}

TEST(HybridKeepAlive, LetsGoAndComesBackForARegularFunctionAndHoldsARandomOne) {
  HybridKeepAlive regular;
  EXPECT_EQ(regular.plan().first_hold(), 4h) << "without history: the whole range";
  for (int i = 0; i < 100; ++i) regular.gap_ended(30min + 10s);
  EXPECT_FALSE(regular.plan().holds_at(10min));
  EXPECT_TRUE(regular.plan().holds_at(30min));
  EXPECT_FALSE(regular.plan().holds_at(40min));
  HybridKeepAlive far;
  for (int i = 0; i < 100; ++i) far.gap_ended(6h);
  EXPECT_EQ(far.plan().first_hold(), 4h) << "gaps out of range say nothing about those within";
}

TEST(WorthKeepAlive, LoadsShortlyBeforeTheCallOfARegularFunction) {
  WorthKeepAlive policy({.price = 100, .gigabytes = 0.15, .start_time = 300ms});
  for (int i = 0; i < 60; ++i) policy.gap_ended(300s);
  const HoldPlan& plan = policy.plan();
  EXPECT_TRUE(plan.holds_at(300s));
  EXPECT_FALSE(plan.holds_at(200s));
  EXPECT_FALSE(plan.holds_at(600s));
  EXPECT_LT(held(plan), 150s) << "half of what keeping it until the next call would hold";
}

TEST(WorthKeepAlive, HoldsLongerForAHigherPriceAndALowerSize) {
  std::mt19937 random(7);
  std::exponential_distribution<double> gaps(1.0 / 120);
  WorthKeepAlive cheap({.price = 1, .gigabytes = 0.15, .start_time = 300ms});
  WorthKeepAlive dear({.price = 1000, .gigabytes = 0.15, .start_time = 300ms});
  WorthKeepAlive large({.price = 1000, .gigabytes = 64, .start_time = 300ms});
  for (int i = 0; i < 400; ++i) {
    const auto gap = std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(gaps(random)));
    cheap.gap_ended(gap);
    dear.gap_ended(gap);
    large.gap_ended(gap);
  }
  EXPECT_LT(held(cheap.plan()), 10s);
  EXPECT_GT(held(dear.plan()), 300s);
  EXPECT_LT(held(large.plan()), 10s);
}

// The plan is the cheapest for the gaps seen: no plan that holds up to some age and then lets go is cheaper.
TEST(WorthKeepAlive, IsNoDearerThanTheBestCutOff) {
  std::mt19937 random(11);
  for (int round = 0; round < 20; ++round) {
    const WorthOptions options{.price = 50.0 + 20 * round, .gigabytes = 0.1, .start_time = 400ms};
    std::lognormal_distribution<double> gaps(3.0 + 0.2 * round, 1.0);
    std::vector<double> seen;
    WorthKeepAlive policy(options);
    for (int i = 0; i < 480; ++i) {
      seen.push_back(gaps(random));
      policy.gap_ended(std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seen.back())));
    }
    const auto cost = [&](const auto& held_until, const auto& holds) {
      double sum = 0;
      for (const double gap : seen) sum += options.gigabytes * held_until(gap) + (holds(gap) ? 0 : options.price * 0.4);
      return sum;
    };
    double best = 1e300;
    for (double cut = 2; cut < 5000; cut *= 1.05)
      best =
          std::min(best, cost([&](double gap) { return std::min(gap, cut); }, [&](double gap) { return gap < cut; }));
    const auto duration = [](double seconds) {
      return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(seconds));
    };
    const double mine = cost(
        [&](double gap) {
          double sum = 0;
          for (const Window& window : policy.plan()) {
            const double from = std::chrono::duration<double>(window.from).count();
            const double to = std::chrono::duration<double>(window.to).count();
            sum += std::max(0.0, std::min(gap, to) - from);
          }
          return sum;
        },
        [&](double gap) { return policy.plan().holds_at(duration(gap)); });
    EXPECT_LT(mine, 1.1 * best) << "round " << round;
  }
}

TEST(Residency, FollowsThePlanFromTheEndOfTheLastCall) {
  Residency residency(std::make_unique<FixedKeepAlive>(60s));
  const base::SteadyTime start{1h};
  EXPECT_FALSE(residency.wanted(start)) << "never called";
  residency.call_arrived(start);
  EXPECT_TRUE(residency.wanted(start + 10h)) << "while a call runs";
  EXPECT_EQ(residency.next_change(start), base::SteadyTime::max());
  residency.became_idle(start + 10s);
  residency.became_idle(start + 50s);
  EXPECT_TRUE(residency.wanted(start + 69s));
  EXPECT_FALSE(residency.wanted(start + 70s)) << "the second report of the same idleness counts for nothing";
  EXPECT_EQ(residency.next_change(start + 20s), start + 70s);
  residency.call_arrived(start + 80s);
  EXPECT_TRUE(residency.wanted(start + 1000s));
}

TEST(WorthOfIdling, IsWhatAStartCostsOverWhatHoldingCosts) {
  // 0.1 GB for a start of 50 ms: (93.33 + 6.67) x 0.05 s / 0.1 GB.
  EXPECT_NEAR(std::chrono::duration<double>(worth_of_idling(100 - 1 / 0.15, 0.1, 50ms)).count(), 50, 0.01);
  EXPECT_GT(worth_of_idling(200, 0.1, 50ms), worth_of_idling(100, 0.1, 50ms));
  EXPECT_LT(worth_of_idling(100, 0.2, 50ms), worth_of_idling(100, 0.1, 50ms));
  EXPECT_EQ(worth_of_idling(0, 100, 1ms), WorthOptions{}.hold_min) << "calls come in bursts";
  EXPECT_EQ(worth_of_idling(1e6, 0, 10s), 24h) << "what costs nothing is bounded too";
}

}  // namespace
}  // namespace ebb::sched
