// Goal: when a core spins and when it stops. Method: the rule alone, with times made up.
#include "io/spinning.h"

#include <gtest/gtest.h>

#include "base/duration.h"

namespace ebb::io {
namespace {

using namespace std::chrono_literals;

class SpinningTest : public ::testing::Test {
 protected:
  // `count` pieces of work, `apart` from one another.
  void work(int count, base::Duration apart) {
    for (int i = 0; i < count && !spinning_.on(); ++i) {
      now_ += apart;
      spinning_.worked([this] { return now_; });
    }
  }
  void spin(bool found) { spinning_.spun(found, now_); }

  Spinning spinning_;
  base::SteadyTime now_{1h};
};

TEST_F(SpinningTest, BeginsWhenWorkComesQuicklyAndNotBefore) {
  EXPECT_FALSE(spinning_.on());
  work(10 * Spinning::kRun, Spinning::kWithin + 1us);
  EXPECT_FALSE(spinning_.on());
  work(2 * Spinning::kRun, Spinning::kWithin);
  EXPECT_TRUE(spinning_.on());
}

TEST_F(SpinningTest, AFewQuickPiecesAfterAPauseAreNoReason) {
  for (int i = 0; i < 20; ++i) {
    work(Spinning::kRun / 2, 1us);
    now_ += 10ms;
  }
  EXPECT_FALSE(spinning_.on());
}

TEST_F(SpinningTest, GoesOnWhileItFinds) {
  work(2 * Spinning::kRun, 1us);
  for (int i = 0; i < 1000; ++i) {
    now_ += 100us;
    spin(true);
    spin(true);
    spin(false);
    spin(true);
    ASSERT_TRUE(spinning_.on()) << i;
  }
}

TEST_F(SpinningTest, StopsWhenItFindsTooLittleAndRests) {
  work(2 * Spinning::kRun, 1us);
  for (int i = 0; i < 100 && spinning_.on(); ++i) {
    spin(true);
    spin(false);
  }
  EXPECT_FALSE(spinning_.on());
  const base::SteadyTime stopped = now_;
  work(100'000, 1us);
  EXPECT_TRUE(spinning_.on());
  EXPECT_GE(now_ - stopped, Spinning::kRest);
}

TEST_F(SpinningTest, StopsWhereWorkComesSlowlyHoweverOftenItFinds) {
  work(2 * Spinning::kRun, 1us);
  int spins = 0;
  for (; spinning_.on() && spins < 1000; ++spins) {  // a request a millisecond, with what it brings about
    now_ += 333us;
    spin(spins % 3 != 2);
  }
  EXPECT_LE(spins, Spinning::kRun);
}

TEST_F(SpinningTest, RestsWhenItIsToldTo) {
  work(2 * Spinning::kRun, 1us);
  spinning_.rest(now_);
  EXPECT_FALSE(spinning_.on());
}

TEST_F(SpinningTest, WorkThatEndsCostsAFewSpins) {
  work(2 * Spinning::kRun, 1us);
  for (int i = 0; i < 100; ++i) spin(true);
  int spins = 0;
  while (spinning_.on() && ++spins < 100) spin(false);
  EXPECT_LE(spins, 4);
}

}  // namespace
}  // namespace ebb::io
