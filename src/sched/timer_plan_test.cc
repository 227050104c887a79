// Goal: each due time is taken once, whatever restarts, clocks and deployments do, and what is called at a known time
// is wanted loaded just before it. Method: times that are given.
#include "sched/timer_plan.h"

#include <gtest/gtest.h>

#include "base/limits_timers.h"

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

constexpr auto kLong = std::chrono::hours(24 * 30);

base::WallTime at(int hour, int minute = 0, int second = 0) {
  return std::chrono::sys_days(std::chrono::year(2026) / 11 / 24) + std::chrono::hours(hour) +
         std::chrono::minutes(minute) + std::chrono::seconds(second);
}
model::Timer every(base::Duration time) { return {.every = time}; }
model::Timer cron(std::string text) { return {.cron = std::move(text)}; }

/// What is due then, each called at once.
std::vector<base::WallTime> called(TimerPlan& plan, base::WallTime now) {
  std::vector<base::WallTime> times;
  for (const TimerPlan::Due& due : plan.take(now)) {
    if (!due.stale) times.push_back(due.at);
    plan.settled(key_of(due.timer));
  }
  return times;
}
using Times = std::vector<base::WallTime>;

TEST(TimerPlan, ADueTimeIsTakenOnceAndNotBeforeItComes) {
  TimerPlan plan;
  plan.set({cron("0 8 * * *")}, at(7));
  EXPECT_EQ(plan.soonest(), at(8));
  EXPECT_EQ(called(plan, at(8) - 1ns), Times{});
  EXPECT_EQ(called(plan, at(8)), Times{at(8)});
  EXPECT_EQ(called(plan, at(8) + 100ms), Times{});
  EXPECT_EQ(plan.soonest(), at(8) + 24h);
}

TEST(TimerPlan, AnIntervalCountsFromTheEpochWhenceverItIsSet) {
  TimerPlan plan;
  plan.set({every(30s)}, at(7, 0, 17));
  EXPECT_EQ(plan.soonest(), at(7, 0, 30));
  EXPECT_EQ(called(plan, at(7, 0, 30)), Times{at(7, 0, 30)});
  EXPECT_EQ(plan.soonest(), at(7, 1));
}

TEST(TimerPlan, NothingBeforeItsSettingIsDue) {
  TimerPlan plan;
  plan.set({cron("0 8 * * *")}, at(8));
  EXPECT_EQ(called(plan, at(9)), Times{});
}

TEST(TimerPlan, OneThatIsLateByLittleTakesAllInTheirOrder) {
  TimerPlan plan;
  plan.set({every(1s)}, at(7));
  for (int second = 1; second <= 5; ++second) EXPECT_EQ(called(plan, at(7, 0, 5)), Times{at(7, 0, second)});
  EXPECT_EQ(called(plan, at(7, 0, 5)), Times{});
}

TEST(TimerPlan, TheNextIsNotTakenBeforeTheOneBeforeIsSettled) {
  TimerPlan plan;
  plan.set({every(1s), every(2s)}, at(7));
  EXPECT_EQ(plan.take(at(7, 0, 1)).size(), 1U);
  EXPECT_EQ(plan.take(at(7, 0, 2)).at(0).timer.every, 2s) << "the other one's";
  plan.settled(key_of(every(1s)));
  EXPECT_EQ(called(plan, at(7, 0, 2)), Times{at(7, 0, 2)});
}

TEST(TimerPlan, WhoIsFarBehindMakesUpForTheLatestAlone) {
  TimerPlan plan;
  plan.set({every(10s)}, at(7));
  const auto late = plan.take(at(7, 30, 5));
  ASSERT_EQ(late.size(), 1U);
  EXPECT_EQ(late[0].at, at(7, 30));
  EXPECT_EQ(late[0].missed, at(7, 0, 10));
  plan.settled(key_of(every(10s)));
  EXPECT_EQ(called(plan, at(7, 30, 5)), Times{});
}

TEST(TimerPlan, AnotherNodeGoesOnWhereTheOneBeforeWas) {
  const std::string key = key_of(cron("0 * * * *"));
  TimerPlan plan;
  plan.set({cron("0 * * * *")}, at(9, 30));
  plan.resume(key, at(8));
  const auto due = plan.take(at(9, 30));
  ASSERT_EQ(due.size(), 1U);
  EXPECT_EQ(due[0].at, at(9));
  EXPECT_FALSE(due[0].missed) << "it is the only one";

  TimerPlan seconds;
  seconds.set({every(1s)}, at(8, 0, 10));
  seconds.resume(key_of(every(1s)), at(8, 0, 5));
  EXPECT_EQ(called(seconds, at(8, 0, 10)), Times{at(8, 0, 10)}) << "the latest alone, however little was missed";
  EXPECT_EQ(called(seconds, at(8, 0, 11)), Times{at(8, 0, 11)});
}

TEST(TimerPlan, WhatIsOlderThanAnHourIsNotMadeUpFor) {
  for (const auto& [later, wanted] : {std::pair{59min, Times{at(8)}}, std::pair{61min, Times{}}}) {
    TimerPlan plan;
    plan.set({cron("0 8 * * *")}, at(8) + later);
    plan.resume(key_of(cron("0 8 * * *")), at(8) - 24h);
    EXPECT_EQ(called(plan, at(8) + later), wanted) << later.count();
    EXPECT_EQ(plan.soonest(), at(8) + 24h);
  }
  TimerPlan days;
  days.set({every(24h)}, at(12));
  days.resume(key_of(every(24h)), at(0) - kLong);
  const auto due = days.take(at(12));
  ASSERT_EQ(due.size(), 1U);
  EXPECT_TRUE(due[0].stale);
  EXPECT_EQ(days.soonest(), at(24));
}

TEST(TimerPlan, AClockThatIsSetBackMakesNothingDueAgain) {
  TimerPlan plan;
  plan.set({every(1min)}, at(7));
  EXPECT_EQ(called(plan, at(7, 1)).size(), 1U);
  EXPECT_EQ(called(plan, at(6)), Times{});
  EXPECT_EQ(called(plan, at(7, 1)), Times{});
  EXPECT_EQ(called(plan, at(7, 2)), Times{at(7, 2)});
  TimerPlan after;
  after.set({every(1min)}, at(6));
  after.resume(key_of(every(1min)), at(7, 1));
  EXPECT_EQ(called(after, at(7)), Times{}) << "nor over a restart";
}

TEST(TimerPlan, AClockThatIsSetForthCallsOnce) {
  TimerPlan plan;
  plan.set({every(1s)}, at(7));
  EXPECT_EQ(called(plan, at(7) + kLong), Times{at(7) + kLong});
}

TEST(TimerPlan, OneThatIsSetAgainWordForWordGoesOn) {
  TimerPlan plan;
  plan.set({cron("0 8 * * *"), cron("5 8 * * *")}, at(7));
  EXPECT_EQ(called(plan, at(8)), Times{at(8)});
  plan.set({cron("5 8 * * *"), cron("0 8 * * *")}, at(7, 59));
  EXPECT_EQ(called(plan, at(8, 1)), Times{}) << "the clock may have been set back meanwhile";
  model::Timer other = cron("5 8 * * *");
  other.event = "1";
  plan.set({other}, at(8, 10));
  EXPECT_EQ(called(plan, at(8, 10)), Times{}) << "another one";
  plan.set({}, at(8, 10));
  EXPECT_TRUE(plan.empty());
  EXPECT_FALSE(plan.soonest());
}

TEST(ExpectedCall, IsWantedLoadedByTheTimeThatLoadingTakesAndNotLongBefore) {
  const base::SteadyTime due{100s};
  ExpectedCall call;
  EXPECT_FALSE(call.wanted(due, 4s));
  call.expect(due, base::SteadyTime{});
  EXPECT_FALSE(call.wanted(due - 7s, 4s));
  EXPECT_TRUE(call.wanted(due - load_ahead(4s), 4s));
  EXPECT_FALSE(call.wanted(due - 4s, 400ms)) << "what loads soon is loaded later";
  EXPECT_GE(load_ahead(4s), 4s + limits::kTimerLoadMargin);
  EXPECT_EQ(load_ahead(1h), limits::kTimerLoadMost);
}

TEST(ExpectedCall, ThatIsOnItsWayIsWaitedForThoughTheNextIsFar) {
  const base::SteadyTime due{100s};
  ExpectedCall call;
  call.expect(due, base::SteadyTime{});
  call.expect(due + 1h, due + 100ms);
  EXPECT_TRUE(call.wanted(due + 200ms, 1s));
  EXPECT_FALSE(call.wanted(due + limits::kTimerLinger, 1s));
  EXPECT_TRUE(call.wanted(due + 1h - 1s, 1s));
  call.expect(base::SteadyTime::max(), due + 10s);
  EXPECT_FALSE(call.wanted(due + 1h - 1s, 1s)) << "it is not to come any more";
}

}  // namespace
}  // namespace ebb::sched
