#include "sched/call_rate.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

base::SteadyTime at(base::Duration time) { return base::SteadyTime(100h) + time; }

int let_in(CallRate& rate, base::SteadyTime now, int calls) {
  int count = 0;
  for (int i = 0; i < calls; ++i) count += static_cast<int>(rate.take(now) == base::Duration::zero());
  return count;
}

TEST(CallRate, WithoutABoundEveryCallComesIn) {
  CallRate rate;
  EXPECT_EQ(let_in(rate, at(0s), 1000), 1000);
}

TEST(CallRate, ASecondsWorthAtOnceAndThenTheRate) {
  CallRate rate;
  rate.set(10'000);  // 10 a second
  EXPECT_EQ(let_in(rate, at(0s), 100), 10);
  EXPECT_EQ(rate.take(at(0s)), 100ms);
  EXPECT_EQ(let_in(rate, at(100ms), 100), 1);
  EXPECT_EQ(let_in(rate, at(1100ms), 100), 10);
  EXPECT_EQ(let_in(rate, at(1h), 100), 10);  // no more are saved up
}

TEST(CallRate, LessThanOneASecond) {
  CallRate rate;
  rate.set(250);  // one in four seconds
  EXPECT_EQ(let_in(rate, at(0s), 5), 1);
  EXPECT_EQ(rate.take(at(1s)), 3s);
  EXPECT_EQ(let_in(rate, at(4s), 5), 1);
}

TEST(CallRate, IsHeldOverAnySpan) {
  CallRate rate;
  rate.set(20'000);
  int came = 0;
  for (int ms = 0; ms < 10'000; ++ms) came += let_in(rate, at(std::chrono::milliseconds(ms)), 3);
  EXPECT_GE(came, 20 * 10);
  EXPECT_LE(came, 20 * 11);
}

TEST(CallRate, WhoYieldsLeavesHalfASecondsWorth) {
  using Taker = CallRate::Taker;
  CallRate rate;
  rate.set(10'000);
  int yielding = 0;
  while (rate.take(at(0s), Taker::kYielding) == base::Duration::zero()) ++yielding;
  EXPECT_EQ(yielding, 5);
  EXPECT_EQ(let_in(rate, at(0s), 100), 5);
  EXPECT_EQ(rate.take(at(0s), Taker::kYielding), 550ms) << "when half is there again";
  EXPECT_EQ(rate.take(at(550ms), Taker::kYielding), 0ms);
  rate.set(500);
  EXPECT_EQ(rate.take(at(1h), Taker::kYielding), 0ms) << "a slow rate has no half";
}

TEST(CallRate, ANewBoundCountsAtOnce) {
  CallRate rate;
  rate.set(1'000);
  EXPECT_EQ(let_in(rate, at(0s), 5), 1);
  rate.set(0);
  EXPECT_EQ(let_in(rate, at(0s), 5), 5);
}

TEST(CallRate, ManyThreadsGetNoMoreTogether) {
  CallRate rate;
  rate.set(1'000'000);
  std::atomic<int> came = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { came += let_in(rate, at(0s), 1000); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(came, 1000);
}

}  // namespace
}  // namespace ebb::sched
