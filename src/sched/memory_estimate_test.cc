// Goal: the estimate is the 95th percentile and follows change.
#include "sched/memory_estimate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace ebb::sched {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

TEST(MemoryEstimate, IsNothingUntilItKnowsAndNeverMoreThanTheLimit) {
  MemoryEstimate estimate({512 * kMiB});
  EXPECT_EQ(estimate.value().count, 0U);
  estimate.seen({20 * kMiB});
  EXPECT_GE(estimate.value().count, 20 * kMiB) << "one call shows what the next is likely to need";
  for (int i = 0; i < 100; ++i) estimate.seen({20 * kMiB});
  EXPECT_GE(estimate.value().count, 20 * kMiB);
  EXPECT_LE(estimate.value().count, 23 * kMiB);
  for (int i = 0; i < 100; ++i) estimate.seen({2000 * kMiB});
  EXPECT_EQ(estimate.value().count, 512 * kMiB);
}

TEST(MemoryEstimate, LiesAboveNineteenInTwentyAndFollowsChange) {
  std::mt19937 random(3);
  std::lognormal_distribution<double> sizes(3.0, 0.5);
  MemoryEstimate estimate({4096 * kMiB});
  std::vector<double> seen;
  for (int i = 0; i < 100; ++i) {
    seen.push_back(sizes(random));
    estimate.seen({static_cast<std::uint64_t>(seen.back() * kMiB)});
  }
  std::sort(seen.begin(), seen.end());
  const double value = static_cast<double>(estimate.value().count) / kMiB;
  EXPECT_GT(value, seen[92]);
  EXPECT_LT(value, seen[97] * 1.15);
  for (int i = 0; i < 400; ++i) estimate.seen({kMiB});
  EXPECT_LT(estimate.value().count, 4 * kMiB);
}

}  // namespace
}  // namespace ebb::sched
