// Goal: who floods is told from who uses little, quickly, without flapping, whatever the readings.
#include "launcher/heavy_use.h"

#include <gtest/gtest.h>

#include <vector>

namespace ebb::launcher {
namespace {

using namespace std::chrono_literals;

// So many apps on two processors, each using `cores` of them, read every 100 ms.
struct Machine {
  explicit Machine(std::vector<double> wanted) : cores(std::move(wanted)), apps(this->cores.size()), cpu(apps.size()) {}
  int run(std::chrono::milliseconds time) {
    int changes = 0;
    for (const auto end = now + time; now < end;) {
      now += 100ms;
      for (std::size_t i = 0; i < apps.size(); ++i) {
        cpu[i] += cores[i] * 1e8;
        changes += static_cast<int>(use.look(apps[i], static_cast<std::uint64_t>(cpu[i]), now));
      }
    }
    return changes;
  }
  HeavyUse use{2};
  base::SteadyTime now{1h};
  std::vector<double> cores;
  std::vector<HeavyUse::App> apps;
  std::vector<double> cpu;
};

TEST(HeavyUse, WhoFloodsIsHeavyWithinASecondAndLightAgainAfterIt) {
  Machine machine({1.9, 0.05});
  EXPECT_EQ(machine.run(1s), 1);
  EXPECT_TRUE(machine.apps[0].heavy);
  EXPECT_FALSE(machine.apps[1].heavy);
  EXPECT_EQ(machine.run(10s), 0) << "it stays";
  machine.cores[0] = 0;
  EXPECT_EQ(machine.run(1s), 1);
  EXPECT_FALSE(machine.apps[0].heavy);
}

TEST(HeavyUse, OneAloneThatFloodsIsHeavyBeforeAnotherComes) {
  Machine machine({2.0});
  machine.run(1s);
  EXPECT_TRUE(machine.apps[0].heavy);
}

TEST(HeavyUse, EqualsStayEqual) {
  Machine machine({1.0, 1.0});
  EXPECT_EQ(machine.run(10s), 0);
  Machine four({0.5, 0.5, 0.5, 0.5});
  EXPECT_EQ(four.run(10s), 0);
}

TEST(HeavyUse, SeveralThatFloodAreAllHeavyBesideOneThatDoesNot) {
  Machine machine({0.95, 0.95, 0.07});
  machine.run(2s);
  EXPECT_TRUE(machine.apps[0].heavy);
  EXPECT_TRUE(machine.apps[1].heavy);
  EXPECT_FALSE(machine.apps[2].heavy);
}

TEST(HeavyUse, OneShortBurstIsNotHeavy) {
  Machine machine({0.3, 0.3});
  machine.run(1s);
  machine.cores[0] = 0.8;
  EXPECT_EQ(machine.run(100ms), 0);
  machine.cores[0] = 0.3;
  EXPECT_EQ(machine.run(2s), 0);
}

TEST(HeavyUse, WhoHasGoneNoLongerCounts) {
  for (const bool gone : {false, true}) {
    Machine machine({0.6, 0.48, 0.01});
    machine.cores[0] = 0.1;
    machine.run(2s);
    if (gone) {
      machine.use.forget(machine.apps[2]);
      machine.apps.pop_back();
    }
    machine.cores[0] = 0.6;
    machine.run(2s);
    EXPECT_EQ(machine.apps[0].heavy, !gone) << "more than 5/4 of a third, less than 5/4 of a half";
  }
}

TEST(HeavyUse, OneFloodsOnlyBesideOthers) {
  Machine machine({1.9, 0.01});
  machine.run(2s);
  EXPECT_TRUE(machine.use.one_floods());
  machine.cores[1] = 0;
  machine.run(2s);
  EXPECT_TRUE(machine.apps[0].heavy);
  EXPECT_FALSE(machine.use.one_floods()) << "it is alone";
  machine.cores[1] = 0.01;
  machine.run(2s);
  EXPECT_TRUE(machine.use.one_floods());
  machine.use.forget(machine.apps[0]);
  EXPECT_FALSE(machine.use.one_floods()) << "it has gone";
}

TEST(HeavyUse, NobodyIsWhileThereIsPlenty) {
  Machine machine({0.2, 0.01});
  EXPECT_EQ(machine.run(5s), 0);
}

TEST(HeavyUse, WhatOthersTakeOfTheMachineDoesNotHideWhoFloods) {
  Machine machine({0.3, 0.02});
  machine.run(2s);
  EXPECT_TRUE(machine.apps[0].heavy);
}

TEST(HeavyUse, ReadingsThatGoBackwardsAreNoUse) {
  HeavyUse use(2);
  HeavyUse::App app;
  base::SteadyTime now{1h};
  use.look(app, 1'000'000'000, now);
  use.look(app, 0, now + 100ms);
  use.look(app, 0, now + 100ms);
  EXPECT_EQ(app.cores, 0);
}

}  // namespace
}  // namespace ebb::launcher
