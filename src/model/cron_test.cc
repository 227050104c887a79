#include "model/cron.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ebb::model {
namespace {

using namespace std::chrono_literals;
using std::chrono::year;

base::WallTime utc(int y, unsigned month, unsigned day, int hour, int minute) {
  return std::chrono::sys_days(year(y) / std::chrono::month(month) / std::chrono::day(day)) + std::chrono::hours(hour) +
         std::chrono::minutes(minute);
}

std::string next(std::string_view cron, base::WallTime after, std::string_view zone = "UTC") {
  const auto parsed = Cron::parse(cron);
  if (!parsed) return parsed.error().message;
  const auto at = parsed->next_after(after, TimeZone::named(zone).value());
  return at ? base::to_rfc3339(*at).substr(0, 16) : "never";
}

std::string error(std::string_view cron) {
  const auto parsed = Cron::parse(cron);
  return parsed ? "" : parsed.error().message;
}

TEST(Cron, FindsTheNextTime) {
  const base::WallTime tuesday = utc(2026, 11, 24, 10, 17);
  EXPECT_EQ(next("* * * * *", tuesday), "2026-11-24T10:18");
  EXPECT_EQ(next("17 10 * * *", tuesday), "2026-11-25T10:17");  // after, not at
  EXPECT_EQ(next("17 10 * * *", tuesday - 1ns), "2026-11-24T10:17");
  EXPECT_EQ(next("*/15 * * * *", tuesday), "2026-11-24T10:30");
  EXPECT_EQ(next("5-50/20 8-9,11 * * *", tuesday), "2026-11-24T11:05");
  EXPECT_EQ(next("0 8 * * mon-fri", utc(2026, 11, 27, 9, 0)), "2026-11-30T08:00");
  EXPECT_EQ(next("0 0 1 JAN *", tuesday), "2027-01-01T00:00");
  EXPECT_EQ(next("@weekly", tuesday), "2026-11-29T00:00");
  EXPECT_EQ(next("0 0 * * 7", tuesday), next("0 0 * * 0", tuesday));
}

TEST(Cron, TheDayOfTheMonthOrOfTheWeek) {
  const base::WallTime tuesday = utc(2026, 11, 24, 10, 0);
  EXPECT_EQ(next("0 0 13 * fri", tuesday), "2026-11-27T00:00");   // one of them
  EXPECT_EQ(next("0 0 */7 * fri", tuesday), "2027-01-01T00:00");  // a step of * restricts nothing: both
}

TEST(Cron, RareDays) {
  EXPECT_EQ(next("0 0 29 2 *", utc(2096, 3, 1, 0, 0)), "2104-02-29T00:00");  // 2100 is no leap year
  EXPECT_THAT(error("0 0 31 2 *"), testing::HasSubstr("a day that no year has"));
  EXPECT_EQ(error("0 0 31 2 mon"), "");
}

TEST(Cron, ReadsTheClocksOfAZone) {
  EXPECT_EQ(next("30 8 * * *", utc(2026, 7, 1, 0, 0), "Europe/Berlin"), "2026-07-01T06:30");
  EXPECT_EQ(next("30 8 * * *", utc(2026, 12, 1, 0, 0), "Europe/Berlin"), "2026-12-01T07:30");
  EXPECT_EQ(next("0 0 * * mon", utc(2026, 11, 29, 12, 0), "Asia/Tokyo"), "2026-11-29T15:00");
}

// In Berlin clocks went from 2 to 3 o'clock on 29 March 2026 at 01:00 UTC, and back from 3 to 2 on 25 October at 01:00
// UTC.
TEST(Cron, WhenClocksAreSetForward) {
  const base::WallTime before = utc(2026, 3, 29, 0, 0);
  EXPECT_EQ(next("30 2 * * *", before, "Europe/Berlin"), "2026-03-29T01:00");  // the moment of the change
  EXPECT_EQ(next("30 2 * * *", utc(2026, 3, 29, 1, 0), "Europe/Berlin"), "2026-03-30T00:30");
  EXPECT_EQ(next("30 * * * *", utc(2026, 3, 29, 0, 30), "Europe/Berlin"),
            "2026-03-29T01:30");  // an hour later, as ever
}

TEST(Cron, WhenClocksAreSetBack) {
  EXPECT_EQ(next("30 2 * * *", utc(2026, 10, 24, 12, 0), "Europe/Berlin"), "2026-10-25T00:30");
  EXPECT_EQ(next("30 2 * * *", utc(2026, 10, 25, 0, 30), "Europe/Berlin"), "2026-10-26T01:30");  // once
  std::string times;
  base::WallTime at = utc(2026, 10, 24, 23, 59);
  for (int i = 0; i < 6; ++i) {
    at = *Cron::parse("*/30 * * * *")->next_after(at, TimeZone::named("Europe/Berlin").value());
    times += base::to_rfc3339(at).substr(11, 5) + " ";
  }
  EXPECT_EQ(times, "00:00 00:30 01:00 01:30 02:00 02:30 ");
}

TEST(Cron, SaysWhatIsWrong) {
  EXPECT_THAT(error(""), testing::HasSubstr("five fields"));
  EXPECT_THAT(error("* * * * * *"), testing::HasSubstr("five fields"));
  EXPECT_THAT(error("60 * * * *"), testing::HasSubstr("has '60' for the minute, which is *, a number from 0 to 59"));
  EXPECT_THAT(error("* * * * mon-funday"), testing::HasSubstr("the day of the week"));
  for (const std::string_view field : {"5-3", "*/0", "*/99", "5/15", ",", "1,", "-1", "a", "1-", "999999999999"}) {
    EXPECT_NE(error(std::string(field) + " * * * *"), "") << field;
  }
}

TEST(TimeZone, ThatDoesNotExist) {
  const auto zone = TimeZone::named("Mars/Olympus");
  ASSERT_FALSE(zone);
  EXPECT_THAT(zone.error().message, testing::HasSubstr("'Mars/Olympus' is no time zone"));
  EXPECT_FALSE(TimeZone::named("../../etc/passwd"));
}

}  // namespace
}  // namespace ebb::model
