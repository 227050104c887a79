// Goal: shares are fair in service, order within an app holds, nothing is lost or served twice. Method: a flood beside
// a light app; seeded random histories against a set.
#include "sched/fair_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

namespace ebb::sched {
namespace {

TEST(FairQueue, AFloodDelaysOnlyItself) {
  FairQueue queue(100'000);
  for (std::uint64_t i = 0; i < 10'000; ++i) ASSERT_TRUE(queue.push({.app = 0, .id = i}));
  for (int i = 0; i < 5'000; ++i) queue.pop();
  for (std::uint64_t i = 0; i < 3; ++i) queue.push({.app = 1, .id = 100'000 + i});
  int light = 0;
  for (int i = 0; i < 8; ++i) light += queue.pop()->app == 1 ? 1 : 0;
  EXPECT_EQ(light, 3) << "one of the flood's between two of the light app's, no more";
}

TEST(FairQueue, SharesAreOfServiceNotOfItems) {
  FairQueue queue(100'000);
  for (std::uint64_t i = 0; i < 3'000; ++i) {
    queue.push({.app = 0, .id = i, .cost = 10});
    queue.push({.app = 1, .id = 10'000 + i, .cost = 1});
  }
  double served[2] = {0, 0};
  for (int i = 0; i < 1'000; ++i) {
    const auto item = queue.pop();
    served[item->app] += item->cost;
  }
  EXPECT_NEAR(served[0], served[1], 11);
}

TEST(FairQueue, LosesNothingAndKeepsTheOrderOfAnApp) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    FairQueue queue(50);
    std::map<std::uint32_t, std::uint64_t> last;
    std::set<std::pair<std::uint32_t, std::uint64_t>> inside;
    for (std::uint64_t id = 1; id < 400; ++id) {
      const std::uint32_t app = static_cast<std::uint32_t>(random() % 6);
      const auto action = random() % 5;
      if (action < 3) {
        const bool room = inside.size() < 50;
        ASSERT_EQ(queue.push({.app = app, .id = id, .cost = static_cast<double>(random() % 5)}), room)
            << "seed " << seed;
        if (room) inside.emplace(app, id);
      } else if (action == 3) {
        const auto item = queue.pop();
        ASSERT_EQ(item.has_value(), !inside.empty()) << "seed " << seed;
        if (!item) continue;
        ASSERT_EQ(inside.erase({item->app, item->id}), 1U) << "seed " << seed;
        ASSERT_GT(item->id, last[item->app]) << "seed " << seed;
        last[item->app] = item->id;
      } else if (!inside.empty()) {
        const auto one = *inside.begin();
        ASSERT_TRUE(queue.withdraw(one.first, one.second)) << "seed " << seed;
        ASSERT_FALSE(queue.withdraw(one.first, one.second)) << "seed " << seed;
        inside.erase(one);
      }
      ASSERT_EQ(queue.size(), inside.size()) << "seed " << seed;
    }
  }
}

}  // namespace
}  // namespace ebb::sched
