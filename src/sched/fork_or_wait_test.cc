// Goal: a fork where waiting takes longer, none where it does not. Method: the two sides of the boundary.
#include "sched/fork_or_wait.h"

#include <gtest/gtest.h>

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;
using Choice = ForkOrWait::Choice;

TEST(ForkOrWait, ForksForTheFirstCallAndWhileNothingIsKnown) {
  ForkOrWait rule;
  EXPECT_EQ(rule.choose(0, 0, 0), Choice::kFork);
  EXPECT_EQ(rule.choose(0, 5, 0), Choice::kFork);
  EXPECT_EQ(rule.choose(0, 0, 1), Choice::kWait) << "the fork under way is for it";
  EXPECT_EQ(rule.choose(1, 0, 1), Choice::kFork);
}

TEST(ForkOrWait, WaitsForShortCallsAndForksForLongOnes) {
  ForkOrWait shorts;
  shorts.fork_took(5ms);
  shorts.call_took(1ms);
  EXPECT_EQ(shorts.choose(0, 1, 0), Choice::kWait);
  EXPECT_EQ(shorts.choose(4, 1, 0), Choice::kWait);
  EXPECT_EQ(shorts.choose(5, 1, 0), Choice::kFork) << "the queue is longer than a fork";
  EXPECT_EQ(shorts.choose(5, 2, 0), Choice::kWait) << "two busy instances come free twice as often";
  ForkOrWait longs;
  longs.fork_took(5ms);
  longs.call_took(1s);
  EXPECT_EQ(longs.choose(0, 100, 0), Choice::kFork);
  for (int i = 0; i < 200; ++i) longs.call_took(100us);
  EXPECT_EQ(longs.choose(0, 1, 0), Choice::kWait) << "it follows a function whose calls have become short";
}

}  // namespace
}  // namespace ebb::sched
