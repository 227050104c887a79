// Goal: a minimum for which there is no room costs others little, and calls nothing. Method: named scenarios of a
// Dispatcher in manual time; what a minimum is otherwise stands in dispatcher_test.cc.
#include <gtest/gtest.h>

#include "sched/dispatcher.h"
#include "sched/drained.h"

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

// Two are to be kept, and one has room.
struct Minimum : testing::Test {
  Minimum() {
    dispatcher.zygote_ready(ZygoteState::kReady, now, actions);
    const auto starts = drained<StartInstance>(actions);
    dispatcher.instance_ready(starts.at(0).instance, now, actions);
    last = starts.at(1).instance;
  }

  std::atomic<std::uint64_t> next_instance = 1;
  Dispatcher dispatcher{
      {.instances_min = 2, .instances_max = 4, .idle_timeout = 60s, .queue_max = 10, .starting_max = 8},
      &next_instance};
  Actions actions;
  base::SteadyTime now{1h};
  base::InstanceId last{};  // that starts
};

// Others' idle instances may end for it once, and then ever more seldom.
TEST_F(Minimum, AMinimumThatFindsNoRoomTakesOthersPlacesEverMoreSeldom) {
  using Claim = Dispatcher::Claim;
  std::vector<base::Duration> taken;
  const auto try_in_vain = [&](base::Duration at) {
    if (dispatcher.claim_of(last, now + at) == Claim::kIdle) {
      taken.push_back(at);
      dispatcher.displaces(last);
      EXPECT_EQ(dispatcher.claim_of(last, now + at), Claim::kDeparted) << "once";
    }
    dispatcher.no_room(last, now + at, actions);
    EXPECT_EQ(dispatcher.next_tick(), now + at + Dispatcher::kStartPause);
    dispatcher.tick(now + at + Dispatcher::kStartPause, actions);
    const auto again = drained<StartInstance>(actions);
    ASSERT_EQ(again.size(), 1u) << "what is free is taken within a second";
    last = again[0].instance;
  };
  for (base::Duration at = 0s; at <= 300s; at += 1s) try_in_vain(at);
  EXPECT_EQ(taken, (std::vector<base::Duration>{0s, 2s, 6s, 14s, 30s, 62s, 122s, 182s, 242s}));
  EXPECT_EQ(dispatcher.claim_of(last, now + 301s), Claim::kDeparted);
  dispatcher.call_arrived(CallId{1}, now + 301s, actions);
  dispatcher.call_arrived(CallId{2}, now + 301s, actions);
  EXPECT_EQ(dispatcher.claim_of(last, now + 301s), Claim::kIdle) << "a call waits for it";
  dispatcher.instance_ready(last, now + 301s, actions);
  for (const LeaseTo& lease : drained<LeaseTo>(actions)) dispatcher.call_finished(lease.instance, now + 301s, actions);
  // Met once, it begins anew; and when it is raised.
  dispatcher.instance_gone(last, now + 302s, actions);
  const auto anew = drained<StartInstance>(actions);
  ASSERT_EQ(anew.size(), 1u);
  last = anew[0].instance;
  EXPECT_EQ(dispatcher.claim_of(last, now + 302s), Claim::kIdle);
  try_in_vain(302s);
  EXPECT_EQ(dispatcher.claim_of(last, now + 303s), Claim::kDeparted);
  dispatcher.set_minimum(3);
  EXPECT_EQ(dispatcher.claim_of(last, now + 303s), Claim::kIdle);
}

// A try that began before it may displace, and ended when it might have, has displaced nobody.
TEST_F(Minimum, ATryThatDisplacedNobodyPutsOffNoOther) {
  using Claim = Dispatcher::Claim;
  const auto again_at = [&](base::Duration at) {
    dispatcher.tick(now + at, actions);
    last = drained<StartInstance>(actions).at(0).instance;
  };
  dispatcher.displaces(last);
  dispatcher.no_room(last, now, actions);
  again_at(1500ms);
  EXPECT_EQ(dispatcher.claim_of(last, now + 1500ms), Claim::kDeparted);
  dispatcher.no_room(last, now + 3500ms, actions);
  again_at(4500ms);
  EXPECT_EQ(dispatcher.claim_of(last, now + 4500ms), Claim::kIdle);
}

// Without reuse the minimum is of those that idle: the one that becomes ready is among them.
TEST(MinimumWithoutReuse, OnceItIsMetItMayDisplaceAgain) {
  using Claim = Dispatcher::Claim;
  std::atomic<std::uint64_t> next_instance = 1;
  Dispatcher dispatcher{{.instances_min = 1, .instances_max = 4, .reuse = false, .queue_max = 10, .starting_max = 8},
                        &next_instance};
  Actions actions;
  const base::SteadyTime now{1h};
  const auto started_at = [&](base::Duration at) {
    dispatcher.tick(now + at, actions);
    return drained<StartInstance>(actions).at(0).instance;
  };
  dispatcher.zygote_ready(ZygoteState::kReady, now, actions);
  const base::InstanceId in_vain = drained<StartInstance>(actions).at(0).instance;
  dispatcher.displaces(in_vain);
  dispatcher.no_room(in_vain, now, actions);
  const base::InstanceId met = started_at(1s);
  EXPECT_EQ(dispatcher.claim_of(met, now + 1s), Claim::kDeparted);
  dispatcher.instance_ready(met, now + 1s, actions);
  dispatcher.instance_gone(met, now + 1s, actions);
  const base::InstanceId anew = drained<StartInstance>(actions).at(0).instance;
  EXPECT_EQ(dispatcher.claim_of(anew, now + 1s), Claim::kIdle);
}

// The minimum's want of room says nothing of a call's, for which others may end.
TEST_F(Minimum, ACallGetsAStartWhileTheMinimumWaitsForRoom) {
  dispatcher.displaces(last);
  dispatcher.no_room(last, now, actions);
  dispatcher.call_arrived(CallId{1}, now + 1ms, actions);
  EXPECT_EQ(drained<LeaseTo>(actions).size(), 1u);
  EXPECT_TRUE(drained<StartInstance>(actions).empty());
  dispatcher.call_arrived(CallId{2}, now + 2ms, actions);
  EXPECT_EQ(drained<StartInstance>(actions).size(), 1u);
}

}  // namespace
}  // namespace ebb::sched
