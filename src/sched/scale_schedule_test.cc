#include "sched/scale_schedule.h"

#include <gtest/gtest.h>

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

base::WallTime on(unsigned day, int hour, int minute = 0) {
  return std::chrono::sys_days(std::chrono::year(2026) / 11 / std::chrono::day(day)) + std::chrono::hours(hour) +
         std::chrono::minutes(minute);
}

model::Scale scale(std::vector<model::ScaleWindow> windows) {
  return {.min = 1, .max = 50, .windows = std::move(windows)};
}

TEST(ScaleSchedule, WithoutWindowsTheMinimumIsAlwaysTheSame) {
  ScaleSchedule schedule(scale({}));
  EXPECT_EQ(schedule.minimum(on(1, 0)), 1u);
  EXPECT_EQ(schedule.minimum(on(30, 0)), 1u);
}

TEST(ScaleSchedule, AWindowOpensAtItsTimeAndClosesAfterItsLength) {
  ScaleSchedule schedule(scale({{"0 8 * * mon-fri", 10h, 5}}));  // 24 November 2026 is a Tuesday
  EXPECT_EQ(schedule.minimum(on(24, 7, 59)), 1u);
  EXPECT_EQ(schedule.minimum(on(24, 8) - 1ns), 1u);
  EXPECT_EQ(schedule.minimum(on(24, 8)), 5u);
  EXPECT_EQ(schedule.minimum(on(24, 18) - 1ns), 5u);
  EXPECT_EQ(schedule.minimum(on(24, 18)), 1u);
  EXPECT_EQ(schedule.minimum(on(28, 12)), 1u);  // a Saturday
}

TEST(ScaleSchedule, AWindowInAZoneThatTheMachineHasLostNeverOpens) {
  ScaleSchedule schedule(scale({{"0 8 * * *", 10h, 5, "No/Such"}}));
  EXPECT_EQ(schedule.minimum(on(24, 12)), 1u);
}

TEST(ScaleSchedule, ANodeThatStartsInsideAWindowFindsItOpen) {
  EXPECT_EQ(ScaleSchedule(scale({{"0 8 * * *", 10h, 5}})).minimum(on(24, 17)), 5u);
}

TEST(ScaleSchedule, TheLargestOfThoseOpenCounts) {
  ScaleSchedule schedule(scale({{"0 8 * * *", 10h, 5}, {"0 9 * * *", 1h, 20}, {"30 9 * * *", 2h, 3}}));
  EXPECT_EQ(schedule.minimum(on(24, 8, 30)), 5u);
  EXPECT_EQ(schedule.minimum(on(24, 9, 45)), 20u);
  EXPECT_EQ(schedule.minimum(on(24, 10)), 5u);
}

TEST(ScaleSchedule, AWindowThatOpensAgainBeforeItClosesStaysOpen) {
  ScaleSchedule schedule(scale({{"0 * * * *", 90min, 4}}));
  for (int minute = 0; minute < 24 * 60; minute += 10) EXPECT_EQ(schedule.minimum(on(24, 0, minute)), 4u) << minute;
}

TEST(ScaleSchedule, FollowsAClockThatIsSetBack) {
  ScaleSchedule schedule(scale({{"0 8 * * *", 1h, 5}}));
  EXPECT_EQ(schedule.minimum(on(24, 12)), 1u);
  EXPECT_EQ(schedule.minimum(on(24, 8, 30)), 5u);
  EXPECT_EQ(schedule.minimum(on(24, 7)), 1u);
}

TEST(ScaleSchedule, AZoneThatIsNoMoreKeepsItsWindowClosed) {
  EXPECT_EQ(ScaleSchedule(scale({{"* * * * *", 1h, 5, "Mars/Olympus"}})).minimum(on(24, 8)), 1u);
}

}  // namespace
}  // namespace ebb::sched
