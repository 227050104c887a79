// Goal: shares are fair in service, between apps and between the functions of one; order within a function holds;
// nothing is lost or served twice. Method: a flood beside a light app and a light function; seeded random histories
// against a set.
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

TEST(FairQueue, AFunctionThatFloodsDelaysItsSiblingsByOneEach) {
  FairQueue queue(100'000);
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    queue.push({.app = 0, .function = 1, .id = i});
    queue.push({.app = 1, .function = 1, .id = i});
  }
  for (int i = 0; i < 100; ++i) queue.pop();
  for (std::uint64_t i = 0; i < 3; ++i) queue.push({.app = 0, .function = 2, .id = 5'000 + i});
  std::map<std::pair<std::uint32_t, std::uint64_t>, int> served;
  for (int i = 0; i < 14; ++i) {
    const auto item = queue.pop();
    ++served[{item->app, item->function}];
  }
  EXPECT_EQ((served[{0, 2}]), 3) << "one of its sibling's between two of its own";
  EXPECT_EQ((served[{0, 1}]), 4);
  EXPECT_EQ((served[{1, 1}]), 7) << "an app gets no more for having two functions";
}

TEST(FairQueue, AFunctionThatHasWaitedForNothingIsNotAheadByThat) {
  FairQueue queue(100);
  for (std::uint64_t i = 0; i < 4; ++i) queue.push({.app = 0, .function = 1, .id = i});
  queue.push({.app = 0, .function = 2, .id = 10});
  EXPECT_TRUE(queue.withdraw(0, 10));
  EXPECT_FALSE(queue.withdraw(0, 10));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(queue.pop()->function, 1U);
  for (std::uint64_t i = 11; i < 14; ++i) queue.push({.app = 0, .function = 2, .id = i});
  for (std::uint64_t i = 4; i < 6; ++i) queue.push({.app = 0, .function = 1, .id = i});
  int first_four = 0;
  for (int i = 0; i < 4; ++i) first_four += queue.pop()->function == 2 ? 1 : 0;
  EXPECT_EQ(first_four, 2);
}

TEST(FairQueue, WhoMayNotIsPassedOverAndKeepsItsPlace) {
  FairQueue queue(100);
  for (std::uint64_t i = 0; i < 3; ++i) queue.push({.app = 0, .id = i});
  queue.push({.app = 1, .id = 10});
  const auto not_the_first = [](FairQueue::App app) { return app != 0; };
  EXPECT_EQ(queue.pop_of(not_the_first)->id, 10U);
  EXPECT_FALSE(queue.pop_of(not_the_first));
  EXPECT_EQ(queue.size(), 3U);
  queue.push({.app = 1, .id = 11});
  EXPECT_EQ(queue.pop()->id, 0U) << "the other app has been served already";
  EXPECT_EQ(queue.pop()->id, 11U);
}

TEST(FairQueue, LosesNothingAndKeepsTheOrderOfAFunction) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    FairQueue queue(50);
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> last;
    std::set<std::pair<std::uint32_t, std::uint64_t>> inside;
    for (std::uint64_t id = 1; id < 400; ++id) {
      const std::uint32_t app = static_cast<std::uint32_t>(random() % 6);
      const std::uint64_t function = random() % 3;
      const auto action = random() % 5;
      if (action < 3) {
        const bool room = inside.size() < 50;
        ASSERT_EQ(queue.push({.app = app, .function = function, .id = id, .cost = static_cast<double>(random() % 5)}),
                  room)
            << "seed " << seed;
        if (room) inside.emplace(app, id);
      } else if (action == 3) {
        const auto item = queue.pop();
        ASSERT_EQ(item.has_value(), !inside.empty()) << "seed " << seed;
        if (!item) continue;
        ASSERT_EQ(inside.erase({item->app, item->id}), 1U) << "seed " << seed;
        std::uint64_t& before = last[{item->app, item->function}];
        ASSERT_GT(item->id, before) << "seed " << seed;
        before = item->id;
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
