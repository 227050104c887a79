// Goal: a fork where waiting takes longer, none where it does not. Method: the two sides of the boundary.
#include "sched/fork_or_wait.h"

#include <gtest/gtest.h>

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

TEST(ForkOrWait, PromisesNothingWhileNothingIsKnown) {
  ForkOrWait rule;
  EXPECT_EQ(rule.served_within_a_fork(5), 0u);
  EXPECT_EQ(rule.until_served(100, 1), 0s);
  rule.call_took(1ms);
  EXPECT_EQ(rule.served_within_a_fork(5), 0u) << "how long a fork takes is not known";
}

TEST(ForkOrWait, BusyInstancesServeShortCallsSoonerThanAFork) {
  ForkOrWait shorts;
  shorts.fork_took(5ms);
  shorts.call_took(1ms);
  EXPECT_EQ(shorts.served_within_a_fork(1), 5u);
  EXPECT_EQ(shorts.served_within_a_fork(2), 10u) << "two busy instances come free twice as often";
  EXPECT_EQ(shorts.served_within_a_fork(0), 0u);
  ForkOrWait longs;
  longs.fork_took(5ms);
  longs.call_took(1s);
  EXPECT_EQ(longs.served_within_a_fork(100), 0u);
  for (int i = 0; i < 200; ++i) longs.call_took(100us);
  EXPECT_GE(longs.served_within_a_fork(1), 40u) << "it follows a function whose calls have become short";
}

TEST(ForkOrWait, TheWaitGrowsWithTheQueueAndFallsWithInstances) {
  ForkOrWait rule;
  rule.call_took(2s);
  EXPECT_EQ(rule.until_served(10, 4), 5s);
  EXPECT_EQ(rule.until_served(10, 0), 20s) << "as if there were one";
  rule.fork_took(1s);
  EXPECT_EQ(rule.until_served(10, 4), 5s);
  EXPECT_EQ(rule.until_served(10, 4, true), 7500ms);
}

}  // namespace
}  // namespace ebb::sched
