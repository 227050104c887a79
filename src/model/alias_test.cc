// Goal: an alias stands for what was said, and its parts of the calls are what was said.
#include "model/alias.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <random>

#include "base/limits.h"

namespace ebb::model {
namespace {

// As base::new_invocation_id makes them: time first, then randomness.
base::InvocationId id_of(std::mt19937_64& random) {
  base::InvocationId id;
  for (std::size_t i = 6; i < id.bytes.size(); ++i) id.bytes[i] = static_cast<std::uint8_t>(random());
  return id;
}

// Calls of `percent` that go to the second version, of n with a fixed seed.
int second_of(std::uint32_t percent, int n) {
  const Alias alias{.version = 3, .weight = {.version = 4, .percent = percent}};
  std::mt19937_64 random(7);
  int second = 0;
  for (int i = 0; i < n; ++i) {
    const base::InvocationId id = id_of(random);
    const std::uint32_t version = version_for(alias, id);
    EXPECT_EQ(version_for(alias, id), version) << "the same call, the same version";
    EXPECT_TRUE(version == 3 || version == 4);
    second += version == 4;
  }
  return second;
}

TEST(Alias, OfOneVersionIsThat) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(version_for({.version = 3}, id_of(random)), 3u);
}

TEST(Alias, SharesCallsByTheirWeights) {
  constexpr int kCalls = 100'000;
  for (const std::uint32_t percent : {1u, 10u, 50u, 99u}) {
    const double p = percent / 100.0;
    const double deviation = std::sqrt(kCalls * p * (1 - p));
    EXPECT_NEAR(second_of(percent, kCalls), kCalls * p, 4 * deviation) << percent;
  }
}

TEST(Alias, FreshIdsAreSharedToo) {
  const Alias alias{.version = 1, .weight = {.version = 2, .percent = 50}};
  constexpr int kCalls = 20'000;
  int second = 0;
  for (int i = 0; i < kCalls; ++i) second += version_for(alias, base::new_invocation_id()) == 2;
  EXPECT_NEAR(second, kCalls / 2, 7 * std::sqrt(kCalls * 0.25));  // seven deviations: one run in 4e11 is beyond
}

TEST(Alias, StandsForItsVersions) {
  const Alias plain{.version = 3};
  EXPECT_TRUE(plain.stands_for(3));
  EXPECT_FALSE(plain.stands_for(4));
  EXPECT_FALSE(plain.stands_for(0)) << "no weight is no version";
  const Alias gray{.version = 3, .weight = {.version = 4, .percent = 1}};
  EXPECT_TRUE(gray.stands_for(3) && gray.stands_for(4));
  EXPECT_FALSE(gray.stands_for(5));
}

TEST(Alias, NamesAreNoNumbersAndNotCurrent) {
  for (const char* good : {"live", "v3", "3a", "a-1", "0x"}) EXPECT_TRUE(check_alias_name(good)) << good;
  EXPECT_TRUE(check_alias_name(std::string(limits::kNameLength, 'a')));
  for (const char* bad : {"", "3", "007", "current", "Live", "a.b", "a_b", "-a", "a-", "a b"}) {
    EXPECT_EQ(check_alias_name(bad).error().code, base::Code::kInvalidArgument) << bad;
  }
  EXPECT_FALSE(check_alias_name(std::string(limits::kNameLength + 1, 'a')));
}

TEST(Alias, NumbersAndWeightsAreReadStrictly) {
  EXPECT_EQ(*parse_version_number("3"), 3u);
  EXPECT_EQ(*parse_version_number("4294967295"), 4294967295u);
  for (const char* bad : {"", "0", "-1", "+1", " 1", "1 ", "1.0", "4294967296", "live"}) {
    EXPECT_FALSE(parse_version_number(bad)) << bad;
  }
  EXPECT_EQ(*parse_alias_weight("4=10"), (AliasWeight{.version = 4, .percent = 10}));
  EXPECT_EQ(*parse_alias_weight("4=99"), (AliasWeight{.version = 4, .percent = 99}));
  for (const char* bad : {"", "4", "4=", "=10", "4=0", "4=100", "4=-1", "4=1.5", "4=10%", "0=10", "4=10=1", "live=10"})
    EXPECT_EQ(parse_alias_weight(bad).error().code, base::Code::kInvalidArgument) << bad;
}

TEST(Alias, IsCheckedAsAWhole) {
  EXPECT_TRUE(check_alias({.name = "live", .version = 3}));
  EXPECT_TRUE(check_alias({.name = "live", .version = 3, .weight = {.version = 4, .percent = 10}}));
  EXPECT_FALSE(check_alias({.name = "live", .version = 3, .weight = {.version = 3, .percent = 10}}));
  EXPECT_FALSE(check_alias({.name = "3", .version = 3}));
}

TEST(Alias, IsShownWithAndWithoutAWeight) {
  const Alias plain{.app = "a", .function = "f", .name = "live", .version = 3};
  EXPECT_EQ(
      boost::json::serialize(to_json(plain)),
      R"({"app":"a","function":"f","name":"live","version":3,"weight":null,"updated":"1970-01-01T00:00:00.000Z"})");
  Alias gray = plain;
  gray.weight = {.version = 4, .percent = 10};
  EXPECT_EQ(boost::json::serialize(to_json(gray).at("weight")), R"({"version":4,"percent":10})");
}

}  // namespace
}  // namespace ebb::model
