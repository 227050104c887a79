// Goal: the books of the cache add up, pinned entries stay, and what is evicted is worth less than what stays. Method:
// seeded random histories against a plain map; a skewed load for the worth.
#include "sched/zygote_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

TEST(ZygoteCache, ItsBytesAreThoseOfItsEntriesAndPinnedOnesStay) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    ZygoteCache cache(base::Bytes{5000});
    std::map<std::uint32_t, std::uint64_t> entries;
    std::map<std::uint32_t, bool> pinned;
    for (int step = 0; step < 300; ++step) {
      const std::uint32_t key = static_cast<std::uint32_t>(random() % 60);
      switch (random() % 4) {
        case 0:
          entries[key] = random() % 1000 + 1;
          cache.insert(key, {entries[key]}, 100ms);
          break;
        case 1:
          cache.erase(key);
          entries.erase(key);
          break;
        case 2: cache.used(key); break;
        default: pinned[key] = random() % 2 == 0; cache.set_pinned(key, pinned[key]);
      }
      std::uint64_t sum = 0;
      for (const auto& [name, bytes] : entries) sum += bytes;
      ASSERT_EQ(cache.bytes().count, sum) << "seed " << seed;
      while (cache.over_budget()) {
        const auto victim = cache.victim();
        if (!victim) break;
        ASSERT_TRUE(entries.contains(*victim)) << "seed " << seed;
        ASSERT_FALSE(pinned[*victim]) << "seed " << seed;
        cache.erase(*victim);
        entries.erase(*victim);
      }
      bool all_pinned = true;
      for (const auto& [name, bytes] : entries) all_pinned = all_pinned && pinned[name];
      ASSERT_TRUE(!cache.over_budget() || all_pinned) << "seed " << seed;
    }
  }
}

TEST(ZygoteCache, KeepsWhatIsCalledOftenIsSlowToStartOrSmall) {
  ZygoteCache cache(base::Bytes{100 << 20});
  for (std::uint32_t key = 0; key < 20; ++key) cache.insert(key, {10 << 20}, 100ms);
  for (int i = 0; i < 50; ++i) cache.used(3);
  cache.insert(5, {10 << 20}, 60s);
  cache.used(5);
  for (int i = 0; i < 10; ++i) {
    const auto victim = cache.victim();
    ASSERT_TRUE(victim);
    EXPECT_NE(*victim, 3U);
    EXPECT_NE(*victim, 5U);
    cache.erase(*victim);
  }
}

TEST(ZygoteCache, WhatWasPopularLongAgoAges) {
  ZygoteCache cache(base::Bytes{2 << 20});
  cache.insert(0, {1 << 20}, 1s);
  for (int i = 0; i < 20; ++i) cache.used(0);
  bool evicted = false;
  for (std::uint32_t round = 0; round < 200 && !evicted; ++round) {
    const std::uint32_t key = 1 + round % 7;
    cache.insert(key, {1 << 20}, 1s);
    cache.used(key);
    while (cache.over_budget()) {
      const auto victim = cache.victim();
      ASSERT_TRUE(victim);
      evicted = evicted || *victim == 0;
      cache.erase(*victim);
    }
  }
  EXPECT_TRUE(evicted);
}

}  // namespace
}  // namespace ebb::sched
