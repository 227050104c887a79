// Goal: pieces of work share processors as equals, none gets more than one, and they end when that says. Method: known
// arrivals, ends worked out by hand.
#include "sim/processors.h"

#include <gtest/gtest.h>

namespace ebb::sim {
namespace {

using Ends = std::vector<std::pair<std::int64_t, int>>;

/// Runs what has begun to its end.
Ends run_out(Processors<int>& processors) {
  Ends ends;
  while (processors.size() > 0) {
    const std::int64_t at = processors.next_end();
    for (const int done : processors.take_ended(at)) ends.emplace_back(at, done);
  }
  return ends;
}

TEST(Processors, AloneEachTakesItsOwnTime) {
  Processors<int> processors(2);
  processors.begin(100, 1000, 1);
  processors.begin(100, 3000, 2);
  EXPECT_EQ(run_out(processors), (Ends{{1100, 1}, {3100, 2}}));
  EXPECT_EQ(processors.next_end(), INT64_MAX);
}

TEST(Processors, MoreThanThereAreShareThem) {
  Processors<int> processors(2);
  for (int i = 0; i < 4; ++i) processors.begin(0, 1000, i);
  EXPECT_EQ(run_out(processors), (Ends{{2000, 0}, {2000, 1}, {2000, 2}, {2000, 3}}));
}

TEST(Processors, OneThatComesLaterSlowsThoseThatAreThere) {
  Processors<int> processors(1);
  processors.begin(0, 1000, 1);
  processors.begin(500, 100, 2);  // both at half speed until it ends, at 700; 400 are left of the first
  EXPECT_EQ(run_out(processors), (Ends{{700, 2}, {1100, 1}}));
}

TEST(Processors, IdleTimeIsNotSavedUp) {
  Processors<int> processors(1);
  processors.begin(0, 100, 1);
  EXPECT_EQ(run_out(processors), (Ends{{100, 1}}));
  processors.begin(10'000, 100, 2);
  EXPECT_EQ(processors.next_end(), 10'100);
}

TEST(Processors, NoneIsAsManyAsThereIsWork) {
  Processors<int> processors(0);
  for (int i = 0; i < 50; ++i) processors.begin(0, 1000, i);
  EXPECT_EQ(processors.next_end(), 1000);
  EXPECT_EQ(processors.take_ended(1000).size(), 50U);
}

}  // namespace
}  // namespace ebb::sim
