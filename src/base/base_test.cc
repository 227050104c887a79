// Goal: the values everything else is written in round-trip, and refuse what they must. Method: tables.
#include <gtest/gtest.h>

#include <set>

#include "base/bytes.h"
#include "base/clock_watch.h"
#include "base/duration.h"
#include "base/error.h"
#include "base/id.h"

namespace ebb::base {
namespace {

using namespace std::chrono_literals;

TEST(Bytes, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_bytes("512Mi")->count, 512ull << 20);
  EXPECT_EQ(parse_bytes("1Gi")->count, 1ull << 30);
  EXPECT_EQ(parse_bytes("512M")->count, 512'000'000ull);
  EXPECT_EQ(parse_bytes("4096")->count, 4096ull);
  EXPECT_EQ(to_string(Bytes{1536ull << 20}), "1536Mi");
  EXPECT_EQ(to_string(Bytes{1000}), "1000");
}

TEST(Bytes, RefusesWithTheAcceptedForms) {
  for (const char* bad : {"", "Mi", "-1", "1.5Gi", "12Qi", "99999999999Ti", "1 Mi"}) {
    const auto result = parse_bytes(bad);
    ASSERT_FALSE(result) << bad;
    EXPECT_EQ(result.error().code, Code::kInvalidArgument);
    EXPECT_NE(result.error().message.find("512Mi"), std::string::npos);
  }
}

TEST(Duration, RoundTrips) {
  EXPECT_EQ(*parse_duration("30s"), 30s);
  EXPECT_EQ(*parse_duration("1m30s"), 90s);
  EXPECT_EQ(*parse_duration("250ms"), 250ms);
  EXPECT_EQ(*parse_duration("1d"), 24h);
  for (const char* text : {"30s", "1m30s", "250ms", "2h", "1us500ns"})
    EXPECT_EQ(to_string(*parse_duration(text)), text);
  for (const char* bad : {"", "s", "30", "-3s", "3 s", "9999999999999h", "1y"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

TEST(InvocationId, IsTimeOrderedDistinctAndRoundTrips) {
  std::set<std::string> seen;
  for (int i = 0; i < 10'000; ++i) {
    const InvocationId id = new_invocation_id();
    const std::string text = to_string(id);
    EXPECT_EQ(text.size(), 26u);
    EXPECT_TRUE(seen.insert(text).second);
    EXPECT_EQ(*parse_invocation_id(text), id);
  }
  EXPECT_FALSE(parse_invocation_id("8ZZZZZZZZZZZZZZZZZZZZZZZZZ")) << "more than 128 bits";
  EXPECT_FALSE(parse_invocation_id("short"));
  EXPECT_FALSE(parse_invocation_id("0000000000000000000000000!"));
}

TEST(Error, EveryCodeHasANameThatReadsBack) {
  for (int i = 0; i <= static_cast<int>(Code::kInternal); ++i) {
    const Code code = static_cast<Code>(i);
    EXPECT_EQ(code_named(name_of(code)), code);
    EXPECT_GE(http_status_of(code), 400);
    EXPECT_GE(exit_code_of(code), 1);
  }
}

TEST(ClockWatch, TellsHowFarTheClockWasSetAndNothingOfItsCourse) {
  using namespace std::chrono_literals;
  const SteadyTime began{};
  const WallTime wall{};
  ClockWatch watch(began, wall);
  EXPECT_EQ(watch.set_by(began + 1h, wall + 1h + 100ms), Duration::zero());
  EXPECT_EQ(watch.set_by(began + 1h + 1s, wall + 31 * 24h), 31 * 24h - 1h - 1100ms);
  EXPECT_EQ(watch.set_by(began + 1h + 2s, wall + 31 * 24h + 1s), Duration::zero());
  EXPECT_EQ(watch.set_by(began + 1h + 3s, wall), -31 * 24h - 2s);
}

}  // namespace
}  // namespace ebb::base
