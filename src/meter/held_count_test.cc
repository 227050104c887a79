// Goal: what was held is counted once, whole, and by tier, in whatever stretches it is taken.
#include "meter/held_count.h"

#include <gtest/gtest.h>

#include <random>

namespace ebb::meter {
namespace {

using namespace std::chrono_literals;
using model::HeldTier;

constexpr auto kZygote = static_cast<std::size_t>(HeldTier::kZygote);
constexpr auto kIdle = static_cast<std::size_t>(HeldTier::kIdle);

constexpr base::SteadyTime kStart{1h};
const base::WallTime kWall{std::chrono::days(20'000)};

TEST(HeldCount, CountsProcessesAndTheirMemory) {
  HeldCount count(kStart, kWall);
  count.advance(kStart + 2s, {1, 0, 3});
  count.add_memory(HeldTier::kIdle, {1 << 20}, 2s);
  count.advance(kStart + 1s, {9, 9, 9});  // a clock read on another core
  count.advance(kStart + 5s, {1});
  const auto stretch = count.take(kStart + 5s, kWall + 5s);
  ASSERT_TRUE(stretch);
  EXPECT_EQ(stretch->begun, kWall);
  EXPECT_EQ(stretch->use.for_ms, 5'000u);
  EXPECT_EQ(stretch->use.ms[kZygote], 5'000u);
  EXPECT_EQ(stretch->use.ms[kIdle], 6'000u);
  EXPECT_EQ(stretch->use.byte_ms[kIdle], 2'000ull << 20);
  EXPECT_FALSE(count.take(kStart + 9s, kWall + 9s)) << "nothing was held";
  count.advance(kStart + 10s, {});
  EXPECT_FALSE(count.take(kStart + 10s, kWall + 10s));
}

TEST(HeldCount, PartsOfAMillisecondAreNotLost) {
  std::mt19937_64 random(3);
  HeldCount count(kStart, kWall);
  base::SteadyTime now = kStart;
  std::uint64_t taken = 0;
  std::uint64_t ns = 0;
  for (int i = 0; i < 5'000; ++i) {
    const base::Duration step{static_cast<std::int64_t>(random() % 900'000)};
    const auto instances = static_cast<std::uint32_t>(random() % 4);
    now += step;
    ns += instances * static_cast<std::uint64_t>(step.count());
    count.advance(now, {0, 0, instances});
    const auto stretch = count.take(now, kWall);
    if (!stretch) continue;
    if (random() % 3 == 0) {
      count.give_back(*stretch);  // it could not be written
    } else {
      taken += stretch->use.ms[kIdle];
    }
  }
  const auto rest = count.take(now + 1ms, kWall);
  taken += rest ? rest->use.ms[kIdle] : 0;
  EXPECT_EQ(taken, ns / 1'000'000);
}

TEST(HeldCount, WhatIsGivenBackBelongsToTheLongerStretch) {
  HeldCount count(kStart, kWall);
  count.advance(kStart + 1s, {1});
  const auto first = count.take(kStart + 1s, kWall + 1s);
  count.give_back(*first);
  count.advance(kStart + 3s, {2});
  const auto both = count.take(kStart + 3s, kWall + 3s);
  EXPECT_EQ(both->begun, kWall);
  EXPECT_EQ(both->use.for_ms, 3'000u);
  EXPECT_EQ(both->use.ms[kZygote], 5'000u);
}

}  // namespace
}  // namespace ebb::meter
