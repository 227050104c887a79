// Goal: what concurrent calls pay adds up to what there was, however they overlap, and each gets its part of each
// moment.
#include "sandbox/shares.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace ebb::sandbox {
namespace {

using namespace std::chrono_literals;

const base::SteadyTime kStart{1h};

auto reading(base::Duration cpu) {
  return [cpu] { return cpu; };
}

TEST(Shares, WhoIsAloneHasAll) {
  Shares shares;
  const auto mark = shares.begin(kStart, reading(7ms));
  EXPECT_TRUE(mark.alone);
  const Share share = shares.end(mark, kStart + 50ms, reading(27ms));
  EXPECT_EQ(share.time, 50ms);
  EXPECT_EQ(share.cpu, 20ms);
  const auto later = shares.begin(kStart + 1s, reading(500ms));  // what was used in between is nobody's
  EXPECT_EQ(shares.end(later, kStart + 1s + 10ms, reading(501ms)).cpu, 1ms);
}

TEST(Shares, WhatPassesWithoutACallIsGivenOutOnce) {
  Shares shares;
  shares.see(3ms);  // its start
  const auto mark = shares.begin(kStart, reading(7ms));
  EXPECT_EQ(shares.take_unclaimed(), 7ms);
  EXPECT_EQ(shares.end(mark, kStart + 50ms, reading(27ms)).cpu, 20ms);
  EXPECT_EQ(shares.take_unclaimed(), 0ms);
  shares.see(30ms);
  shares.see(29ms);  // read earlier, told later
  EXPECT_EQ(shares.take_unclaimed(), 3ms);
}

TEST(Shares, WhatAnEndedInstanceUsedIsItsLastCallsAndNoTimeOfIt) {
  Shares shares;
  const auto mark = shares.begin(kStart, reading(0ms));
  shares.see(40ms);  // the kernel's last word; its files are gone
  const Share share = shares.end(mark, kStart + 10ms, reading(0ms));
  EXPECT_EQ(share.cpu, 40ms);
  EXPECT_EQ(share.time, 10ms);
  shares.see(41ms);
  EXPECT_EQ(shares.take_unclaimed(), 1ms);
}

TEST(Shares, AMomentIsSharedByThoseWhoAreThere) {
  Shares shares;
  const auto first = shares.begin(kStart, reading(0ms));
  const auto second = shares.begin(kStart + 10ms, reading(0ms));
  EXPECT_FALSE(second.alone);
  const Share left_first = shares.end(first, kStart + 30ms, reading(0ms));
  EXPECT_EQ(left_first.time, 10ms + 10ms) << "alone for 10 ms, then half of 20";
  EXPECT_FALSE(left_first.last);
  const Share left_last = shares.end(second, kStart + 35ms, reading(0ms));
  EXPECT_EQ(left_last.time, 10ms + 5ms);
  EXPECT_TRUE(left_last.last);
}

TEST(Shares, AreReadAtTheFirstComingAndTheLastGoingAndSeldomBetween) {
  Shares shares;
  int reads = 0;
  const auto read = [&reads] { return base::Duration(1ms * ++reads); };
  const auto first = shares.begin(kStart, read);
  EXPECT_EQ(reads, 1);
  std::vector<Shares::Mark> more;
  for (int i = 1; i <= 10; ++i) more.push_back(shares.begin(kStart + i * 10us, read));
  EXPECT_EQ(reads, 1);
  more.push_back(shares.begin(kStart + 1ms, read));
  const int by_time = reads;
  EXPECT_EQ(by_time, 2) << "it is time again";
  for (const auto& mark : more) (void)shares.end(mark, kStart + 1ms + 10us, read);
  EXPECT_EQ(reads, by_time);
  (void)shares.end(first, kStart + 1ms + 20us, read);
  EXPECT_EQ(reads, by_time + 1) << "what comes after is nobody's";
}

// A clock that was read on another core may come late; nothing is lost or counted twice by it.
TEST(Shares, TheSumIsWhatThereWas) {
  std::mt19937 random(3);
  for (int round = 0; round < 200; ++round) {
    Shares shares;
    std::vector<Shares::Mark> present;
    base::SteadyTime now = kStart;
    base::Duration cpu{};
    base::Duration at_work{}, worked{}, time{}, used{};
    for (int i = 0; i < 400; ++i) {
      const base::Duration passes(random() % 1'000'000);
      const base::Duration burnt(random() % 2'000'000);
      now += passes;
      cpu += burnt;
      if (!present.empty()) {
        at_work += passes;
        worked += burnt;
      }
      if (present.empty() || (random() % 2 == 0 && i < 350)) {
        present.push_back(shares.begin(now, reading(cpu)));
      } else {
        const std::size_t who = random() % present.size();
        const Share share = shares.end(present[who], now, reading(cpu));
        time += share.time;
        used += share.cpu;
        present.erase(present.begin() + static_cast<std::ptrdiff_t>(who));
      }
    }
    for (const auto& mark : present) {
      const Share share = shares.end(mark, now, reading(cpu));
      time += share.time;
      used += share.cpu;
    }
    EXPECT_NEAR(static_cast<double>(time.count()), static_cast<double>(at_work.count()), 400);
    EXPECT_NEAR(static_cast<double>(used.count()), static_cast<double>(worked.count()), 400);
  }
}

}  // namespace
}  // namespace ebb::sandbox
