// Goal: the invariants of dispatcher.h under every order of events. Method: named scenarios, then seeded random
// histories checked against a model that only counts; a failure prints its seed.
#include "sched/dispatcher.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "sched/drained.h"

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

struct Room {
  explicit Room(DispatcherOptions options) : dispatcher(options, &next_instance, &processors) {}
  Room() : Room({.instances_min = 0, .instances_max = 2, .idle_timeout = 60s, .queue_max = 100, .starting_max = 16}) {}

  template <typename T>
  std::vector<T> drain() {
    return drained<T>(actions);
  }

  std::atomic<std::uint64_t> next_instance = 1;
  Processors processors{2};
  Dispatcher dispatcher;
  Actions actions;
  base::SteadyTime now{1h};
};

TEST(Dispatcher, AHundredFirstCallsStartOneZygoteAndAtMostTheMaximum) {
  Room room({.instances_max = 20, .idle_timeout = 60s, .queue_max = 1000, .starting_max = 64});
  for (std::uint64_t i = 0; i < 100; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  EXPECT_EQ(room.actions.size(), 1u);
  EXPECT_EQ(room.drain<StartZygote>().size(), 1u);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  EXPECT_EQ(starts.size(), 20u);
  std::vector<std::uint64_t> order;
  for (const StartInstance& start : starts) room.dispatcher.instance_ready(start.instance, room.now, room.actions);
  for (int round = 0; round < 200 && order.size() < 100; ++round) {
    for (const LeaseTo& lease : room.drain<LeaseTo>()) {
      order.push_back(static_cast<std::uint64_t>(lease.call));
      room.dispatcher.call_finished(lease.instance, room.now, room.actions);
    }
  }
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end())) << "first come, first served";
}

TEST(Dispatcher, AnIdleInstanceIsLeasedAtOnceAndTheLastUsedFirst) {
  Room room;
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  room.dispatcher.call_arrived(CallId{2}, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 2u);
  room.dispatcher.instance_ready(starts[0].instance, room.now, room.actions);
  room.dispatcher.instance_ready(starts[1].instance, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  room.dispatcher.call_finished(starts[1].instance, room.now + 1s, room.actions);
  room.dispatcher.call_arrived(CallId{3}, room.now + 2s, room.actions);
  const auto leases = room.drain<LeaseTo>();
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases[0].instance, starts[1].instance);
}

TEST(Dispatcher, IdleInstancesRetireAfterTheirTimeoutButNotBelowTheMinimum) {
  Room room({.instances_min = 1, .instances_max = 3, .idle_timeout = 10s, .queue_max = 10, .starting_max = 8});
  for (std::uint64_t i = 0; i < 3; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  for (const StartInstance& start : room.drain<StartInstance>())
    room.dispatcher.instance_ready(start.instance, room.now, room.actions);
  for (const LeaseTo& lease : room.drain<LeaseTo>())
    room.dispatcher.call_finished(lease.instance, room.now, room.actions);
  EXPECT_EQ(room.dispatcher.next_tick(), room.now + 10s);
  room.dispatcher.tick(room.now + 9s, room.actions);
  EXPECT_TRUE(room.actions.empty());
  room.dispatcher.tick(room.now + 10s, room.actions);
  EXPECT_EQ(room.drain<Retire>().size(), 2u);
  EXPECT_EQ(room.dispatcher.instances(), 1u);
  EXPECT_EQ(room.dispatcher.next_tick(), base::SteadyTime::max());
}

TEST(Dispatcher, IdleTimeoutZeroRetiresAtOnceUnlessACallWaits) {
  Room room({.instances_max = 1, .idle_timeout = 0s, .queue_max = 10, .starting_max = 8});
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  room.dispatcher.call_arrived(CallId{2}, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 1u);
  room.dispatcher.instance_ready(starts[0].instance, room.now, room.actions);
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 2u);
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  EXPECT_EQ(room.drain<Retire>().size(), 1u);
  EXPECT_EQ(room.dispatcher.instances(), 0u);
}

// One instance that has served a call of `call`, after a start of `start`; it is idle.
struct RoomWithHistory : Room {
  RoomWithHistory(base::Duration start, base::Duration call, DispatcherOptions options) : Room(options) {
    dispatcher.call_arrived(CallId{1000}, now, actions);
    dispatcher.zygote_ready(ZygoteState::kReady, now, actions);
    const auto starts = drain<StartInstance>();
    now += start;
    dispatcher.instance_ready(starts.at(0).instance, now, actions);
    now += call;
    dispatcher.call_finished(starts.at(0).instance, now, actions);
    actions.clear();
  }
};

TEST(Dispatcher, ACallWaitsForABusyInstanceThatIsSoonerThanAStart) {
  RoomWithHistory room(10ms, 2ms, {.instances_max = 9, .queue_max = 100, .starting_max = 16});
  for (std::uint64_t i = 0; i < 6; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 1u);
  EXPECT_EQ(room.dispatcher.starting(), 0u) << "five calls of 2 ms are served within a start's 10 ms";
  room.dispatcher.call_arrived(CallId{6}, room.now, room.actions);
  EXPECT_EQ(room.drain<StartInstance>().size(), 1u) << "the sixth is not";
}

TEST(Dispatcher, ACallThatWaitedAsLongAsAStartTakesGetsOne) {
  RoomWithHistory room(10ms, 2ms, {.instances_max = 9, .queue_max = 100, .starting_max = 16});
  for (std::uint64_t i = 0; i < 3; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  room.actions.clear();
  EXPECT_EQ(room.dispatcher.next_tick(), room.now + 10ms);
  room.dispatcher.tick(room.now + 9ms, room.actions);
  EXPECT_TRUE(room.actions.empty());
  room.dispatcher.tick(room.now + 10ms, room.actions);
  EXPECT_EQ(room.drain<StartInstance>().size(), 2u) << "the call that runs takes longer than those before it";
  EXPECT_EQ(room.dispatcher.next_tick(), base::SteadyTime::max());
}

// Two instances that serve three at a time.
struct WideRoom : Room {
  WideRoom() : Room({.instances_max = 2, .concurrency = 3, .queue_max = 100, .starting_max = 16}) {}
  void call(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t i = first; i < first + count; ++i) dispatcher.call_arrived(CallId{i}, now, actions);
  }
};

TEST(Dispatcher, AnInstanceIsLeasedUntilItIsFullAndTheOthersEmpty) {
  WideRoom room;
  room.call(1, 4);
  room.actions.clear();
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 2u) << "four calls need two of three each";
  room.dispatcher.instance_ready(starts[0].instance, room.now, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 3u);
  room.dispatcher.instance_ready(starts[1].instance, room.now, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 1u);
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  room.dispatcher.call_finished(starts[1].instance, room.now, room.actions);
  EXPECT_EQ(room.dispatcher.idle(), 1u);
  room.call(5, 1);
  const auto lease = room.drain<LeaseTo>();
  ASSERT_EQ(lease.size(), 1u);
  EXPECT_EQ(lease[0].instance, starts[0].instance) << "one that is at work before one that could go";
  room.call(6, 4);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 3u);
  EXPECT_EQ(room.dispatcher.queued(), 1u) << "six at a time is all there is";
  room.dispatcher.call_finished(starts[1].instance, room.now, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 1u);
}

TEST(Dispatcher, ASpoiledInstanceGetsNobodyNewAndGoesWithItsLastCall) {
  WideRoom room;
  room.call(1, 3);
  room.actions.clear();
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 1u);
  room.dispatcher.instance_ready(starts[0].instance, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.call_spoiled(starts[0].instance, room.now, room.actions);
  EXPECT_TRUE(room.drain<Retire>().empty()) << "two are still in it";
  room.call(4, 1);
  EXPECT_TRUE(room.drain<LeaseTo>().empty());
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  EXPECT_TRUE(room.drain<LeaseTo>().empty());
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  const auto retired = room.drain<Retire>();
  ASSERT_EQ(retired.size(), 1u);
  EXPECT_EQ(retired[0].instance, starts[0].instance);
}

TEST(Dispatcher, WithoutReuseEveryCallGetsAStart) {
  Room room({.instances_max = 9, .reuse = false, .queue_max = 100, .starting_max = 16});
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  room.dispatcher.instance_ready(starts.at(0).instance, room.now + 10ms, room.actions);
  room.actions.clear();
  room.dispatcher.call_arrived(CallId{2}, room.now + 10ms, room.actions);
  EXPECT_EQ(room.drain<StartInstance>().size(), 1u);
}

TEST(Dispatcher, ACallThatWouldWaitTooLongIsRefusedWithTheTime) {
  RoomWithHistory room(1ms, 1s, {.instances_max = 2, .queue_max = 100, .max_wait = 2s, .starting_max = 16});
  // Two are served by the instances there may be, three more within 2 s.
  for (std::uint64_t i = 0; i < 5; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  EXPECT_TRUE(room.drain<Refuse>().empty());
  const std::optional<Refuse> told = room.dispatcher.overload(CallId{5}, room.now);
  ASSERT_TRUE(told);
  room.dispatcher.call_arrived(CallId{5}, room.now, room.actions);
  const auto refused = room.drain<Refuse>();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].why, Refuse::Why::kTooLong);
  EXPECT_EQ(refused[0].wait, 2500ms);
  EXPECT_TRUE(told->why == refused[0].why && told->wait == refused[0].wait) << "asked beforehand it is the same";
}

TEST(Dispatcher, OverloadIsSaidOfNobodyWhoWouldBeTaken) {
  Room room({.instances_max = 1, .queue_max = 1, .max_wait = 0s, .starting_max = 1});
  EXPECT_FALSE(room.dispatcher.overload(CallId{1}, room.now)) << "the first waits for a zygote";
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  const auto overload = room.dispatcher.overload(CallId{2}, room.now);
  ASSERT_TRUE(overload);
  EXPECT_EQ(overload->why, Refuse::Why::kQueueFull);
  EXPECT_EQ(room.dispatcher.queued(), 1u) << "asking changes nothing";
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  room.dispatcher.instance_ready(room.drain<StartInstance>().at(0).instance, room.now, room.actions);
  EXPECT_FALSE(room.dispatcher.overload(CallId{2}, room.now)) << "the instance is at work, and one may wait";
  room.dispatcher.close(room.actions);
  EXPECT_FALSE(room.dispatcher.overload(CallId{2}, room.now)) << "that is another refusal";
}

TEST(Dispatcher, NobodyIsRefusedForATimeThatAStartSpares) {
  RoomWithHistory room(1ms, 1s, {.instances_max = 9, .queue_max = 100, .max_wait = 0s, .starting_max = 16});
  for (std::uint64_t i = 0; i < 9; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  EXPECT_TRUE(room.drain<Refuse>().empty());
  room.dispatcher.call_arrived(CallId{9}, room.now, room.actions);
  EXPECT_EQ(room.drain<Refuse>().size(), 1u);
}

TEST(Dispatcher, AFailedZygoteRefusesEveryoneAndIsNotRetriedTooSoon) {
  Room room;
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.zygote_failed(room.now + 1s, room.actions);
  EXPECT_EQ(room.drain<Refuse>().size(), 1u);
  room.dispatcher.call_arrived(CallId{2}, room.now, room.actions);
  ASSERT_EQ(room.actions.size(), 1u);
  EXPECT_EQ(room.drain<Refuse>()[0].why, Refuse::Why::kZygoteFailed);
  room.dispatcher.call_arrived(CallId{3}, room.now + 1s, room.actions);
  EXPECT_EQ(room.drain<StartZygote>().size(), 1u);
}

TEST(Dispatcher, AFullQueueRefusesTheNewestOnly) {
  Room room({.instances_max = 1, .idle_timeout = 1s, .queue_max = 2, .starting_max = 1});
  for (std::uint64_t i = 1; i <= 3; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  const auto refused = room.drain<Refuse>();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].call, CallId{3});
  EXPECT_EQ(refused[0].why, Refuse::Why::kQueueFull);
}

TEST(Dispatcher, AFullQueueTellsHowLongWhatWaitsWillTake) {
  RoomWithHistory room(1ms, 1s, {.instances_max = 2, .queue_max = 8, .starting_max = 16});
  for (std::uint64_t i = 0; i < 10; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  const auto refused = room.drain<Refuse>();
  ASSERT_EQ(refused.size(), 1u) << "one has begun and eight wait";
  EXPECT_EQ(refused[0].why, Refuse::Why::kQueueFull);
  EXPECT_EQ(refused[0].wait, 4500ms) << "eight and this one, that two serve in a second each";
}

TEST(Dispatcher, StartsThatKeepFailingEndInARefusalNotInALoop) {
  Room room;
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  int attempts = 0;
  for (int i = 0; i < 10; ++i) {
    const Actions actions = std::exchange(room.actions, {});
    for (const Action& action : actions) {
      if (const auto* start = std::get_if<StartInstance>(&action)) {
        ++attempts;
        room.dispatcher.start_failed(start->instance, room.now, room.actions);
      }
    }
    if (std::any_of(room.actions.begin(), room.actions.end(),
                    [](const Action& a) { return std::holds_alternative<Refuse>(a); }))
      break;
  }
  EXPECT_EQ(attempts, static_cast<int>(Dispatcher::kStartFailuresMax));
  EXPECT_EQ(room.dispatcher.queued(), 0u);
  EXPECT_EQ(room.dispatcher.instances(), 0u);
}

TEST(Dispatcher, StartsThatFailTogetherAreOneFailure) {
  Room room({.instances_max = 8, .idle_timeout = 60s, .queue_max = 10, .starting_max = 8});
  for (std::uint64_t call = 1; call <= 8; ++call) room.dispatcher.call_arrived(CallId{call}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 8u);
  base::SteadyTime now = room.now + 1s;  // the zygote has ended, and all its forks with it
  for (const StartInstance& start : starts)
    room.dispatcher.start_failed(start.instance, now += 1us, room.actions, true);
  EXPECT_EQ(room.dispatcher.queued(), 8u);
  const auto again = room.drain<StartInstance>();
  ASSERT_GE(again.size(), 2u) << "they are tried again";
  for (const StartInstance& start : again) room.dispatcher.start_failed(start.instance, now + 1s, room.actions);
  EXPECT_EQ(room.drain<Refuse>().size(), 8u) << "each for a reason of its own";
}

// Room for one instance where two are to be kept: it must not be tried again and again without a pause.
TEST(Dispatcher, TheMinimumIsTriedAgainAfterAPause) {
  Room room({.instances_min = 2, .instances_max = 4, .idle_timeout = 60s, .queue_max = 10, .starting_max = 8});
  room.dispatcher.prewarm(room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 2u);
  room.dispatcher.instance_ready(starts[0].instance, room.now, room.actions);
  int attempts = 0;
  for (starts.erase(starts.begin()); !starts.empty() && attempts < 100; starts = room.drain<StartInstance>()) {
    ++attempts;
    for (const StartInstance& start : starts) room.dispatcher.start_failed(start.instance, room.now, room.actions);
  }
  EXPECT_EQ(attempts, static_cast<int>(Dispatcher::kStartFailuresMax));
  EXPECT_EQ(room.dispatcher.next_tick(), room.now + Dispatcher::kStartPause);
  room.dispatcher.tick(room.now + 500ms, room.actions);
  EXPECT_TRUE(room.drain<StartInstance>().empty());
  room.dispatcher.tick(room.now + Dispatcher::kStartPause, room.actions);
  EXPECT_EQ(room.drain<StartInstance>().size(), 1u);
}

// Room for one instance where three are wanted: calls wait for it, and more is tried again after a pause.
TEST(Dispatcher, WhereThereIsNoRoomCallsWaitForTheInstancesThereAre) {
  Room room({.instances_max = 4, .idle_timeout = 60s, .queue_max = 10, .starting_max = 8});
  for (std::uint64_t i = 1; i <= 3; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 3u);
  room.dispatcher.no_room(starts[1].instance, room.now, room.actions);
  room.dispatcher.no_room(starts[2].instance, room.now, room.actions);
  EXPECT_TRUE(room.actions.empty()) << "neither a refusal nor a start";
  EXPECT_EQ(room.dispatcher.next_tick(), room.now + Dispatcher::kStartPause);
  room.dispatcher.instance_ready(starts[0].instance, room.now, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 1u);
  room.dispatcher.call_finished(starts[0].instance, room.now + 10ms, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 1u);
  room.dispatcher.tick(room.now + Dispatcher::kStartPause, room.actions);
  const auto again = room.drain<StartInstance>();
  ASSERT_EQ(again.size(), 1u) << "for the call that waits";
  room.dispatcher.no_room(again[0].instance, room.now + Dispatcher::kStartPause, room.actions);
  EXPECT_TRUE(room.drain<Refuse>().empty());
  room.dispatcher.call_finished(starts[0].instance, room.now + 2s, room.actions);
  EXPECT_EQ(room.drain<LeaseTo>().size(), 1u);
}

TEST(Dispatcher, WhereThereIsNoRoomForAnyInstanceCallsAreRefusedEachTime) {
  Room room({.instances_max = 4, .idle_timeout = 60s, .queue_max = 10, .starting_max = 8});
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  for (std::uint64_t i = 2; i < 5; ++i) {
    const auto starts = room.drain<StartInstance>();
    ASSERT_EQ(starts.size(), 1u) << "room may have come";
    room.dispatcher.no_room(starts[0].instance, room.now, room.actions);
    const auto refused = room.drain<Refuse>();
    ASSERT_EQ(refused.size(), 1u);
    EXPECT_EQ(refused[0].why, Refuse::Why::kStartFailed);
    room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  }
}

TEST(Dispatcher, CloseRefusesTheQueueAndLetsBusyInstancesFinish) {
  Room room({.instances_max = 1, .idle_timeout = 60s, .queue_max = 10, .starting_max = 8});
  room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  room.dispatcher.instance_ready(starts[0].instance, room.now, room.actions);
  room.dispatcher.call_arrived(CallId{2}, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.close(room.actions);
  EXPECT_EQ(room.drain<Refuse>()[0].call, CallId{2});
  EXPECT_EQ(room.dispatcher.instances(), 1u);
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  EXPECT_EQ(room.drain<Retire>().size(), 1u);
  EXPECT_EQ(room.dispatcher.instances(), 0u);
}

TEST(Dispatcher, AnInstanceThatIdlesIsFrozenOnceAndThawedByTheLeaseThatTakesIt) {
  Room room({.instances_max = 2, .idle_timeout = 60s, .freeze_after = 1s, .queue_max = 10, .starting_max = 8});
  for (std::uint64_t i = 1; i <= 2; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 2u);
  for (const StartInstance& start : starts) room.dispatcher.instance_ready(start.instance, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  room.dispatcher.call_finished(starts[1].instance, room.now + 500ms, room.actions);
  EXPECT_EQ(room.dispatcher.next_tick(), room.now + 1s);
  room.dispatcher.tick(room.now + 999ms, room.actions);
  EXPECT_TRUE(room.actions.empty());
  room.dispatcher.tick(room.now + 1s, room.actions);
  const auto frozen = room.drain<Freeze>();
  ASSERT_EQ(frozen.size(), 1u);
  EXPECT_EQ(frozen[0].instance, starts[0].instance);
  EXPECT_EQ(room.dispatcher.idle(), 2u);
  EXPECT_EQ(room.dispatcher.frozen(), 1u);
  // The one that runs is taken first, the frozen one only when no other is there.
  room.dispatcher.call_arrived(CallId{3}, room.now + 1100ms, room.actions);
  room.dispatcher.call_arrived(CallId{4}, room.now + 1100ms, room.actions);
  const auto leases = room.drain<LeaseTo>();
  ASSERT_EQ(leases.size(), 2u);
  EXPECT_TRUE(leases[0].instance == starts[1].instance && !leases[0].thaw);
  EXPECT_TRUE(leases[1].instance == starts[0].instance && leases[1].thaw);
  // An instance that is used again and again is never frozen.
  room.dispatcher.call_finished(starts[0].instance, room.now + 1100ms, room.actions);
  for (std::uint64_t i = 5; i < 50; ++i) {
    const auto at = room.now + 1100ms + i * 100ms;
    room.dispatcher.tick(at, room.actions);
    room.dispatcher.call_arrived(CallId{i}, at, room.actions);
    EXPECT_FALSE(room.drain<LeaseTo>().at(0).thaw);
    room.dispatcher.call_finished(starts[0].instance, at, room.actions);
  }
}

TEST(Dispatcher, SaysWhichIdleInstancesTheMinimumKeeps) {
  Room room({.instances_max = 4, .idle_timeout = 60s, .freeze_after = 1s, .queue_max = 10, .starting_max = 8});
  for (std::uint64_t i = 1; i <= 4; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  const auto starts = room.drain<StartInstance>();
  ASSERT_EQ(starts.size(), 4u);
  room.dispatcher.set_minimum(3);
  EXPECT_EQ(room.dispatcher.provisioned(), 0u) << "they only start";
  for (const StartInstance& start : starts) room.dispatcher.instance_ready(start.instance, room.now, room.actions);
  EXPECT_EQ(room.dispatcher.provisioned(), 0u) << "all are at work";
  room.dispatcher.call_finished(starts[0].instance, room.now, room.actions);
  EXPECT_EQ(room.dispatcher.provisioned(), 0u) << "three at work are the minimum";
  room.dispatcher.call_finished(starts[1].instance, room.now + 500ms, room.actions);
  EXPECT_EQ(room.dispatcher.provisioned(), 1u);
  room.dispatcher.tick(room.now + 1s, room.actions);
  EXPECT_EQ(room.dispatcher.resting(), (std::vector{starts[1].instance, starts[0].instance})) << "the frozen one last";
  room.dispatcher.call_finished(starts[2].instance, room.now + 1s, room.actions);
  room.dispatcher.call_finished(starts[3].instance, room.now + 1s, room.actions);
  EXPECT_EQ(room.dispatcher.provisioned(), 3u);
  room.dispatcher.set_minimum(0);
  EXPECT_EQ(room.dispatcher.provisioned(), 0u);
}

TEST(Dispatcher, FrozenInstancesRetireTooAndMayDie) {
  Room room({.instances_max = 2, .idle_timeout = 10s, .freeze_after = 1s, .queue_max = 10, .starting_max = 8});
  for (std::uint64_t i = 1; i <= 2; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  for (const StartInstance& start : room.drain<StartInstance>())
    room.dispatcher.instance_ready(start.instance, room.now, room.actions);
  for (const LeaseTo& lease : room.drain<LeaseTo>())
    room.dispatcher.call_finished(lease.instance, room.now, room.actions);
  room.dispatcher.tick(room.now + 5s, room.actions);
  const auto frozen = room.drain<Freeze>();
  ASSERT_EQ(frozen.size(), 2u);
  room.dispatcher.instance_gone(frozen[0].instance, room.now + 6s, room.actions);
  EXPECT_EQ(room.dispatcher.next_tick(), room.now + 10s);
  room.dispatcher.tick(room.now + 10s, room.actions);
  const auto retired = room.drain<Retire>();
  ASSERT_EQ(retired.size(), 1u);
  EXPECT_EQ(retired[0].instance, frozen[1].instance);
  EXPECT_EQ(room.dispatcher.instances(), 0u);
}

TEST(Dispatcher, WithoutReuseNoInstanceServesTwoCallsAndTheMinimumWaitsUnused) {
  Room room({.instances_min = 1,
             .instances_max = 3,
             .idle_timeout = 60s,
             .reuse = false,
             .queue_max = 10,
             .starting_max = 8});
  room.dispatcher.prewarm(room.now, room.actions);
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  std::set<base::InstanceId> used;
  std::uint64_t next = 0;
  for (int round = 0; round < 20; ++round) {
    for (const StartInstance& start : room.drain<StartInstance>())
      room.dispatcher.instance_ready(start.instance, room.now, room.actions);
    EXPECT_EQ(room.dispatcher.idle(), 1u) << "one waits for its call";
    room.actions.clear();
    room.dispatcher.call_arrived(CallId{++next}, room.now, room.actions);
    const auto actions = room.actions;
    const auto leases = room.drain<LeaseTo>();
    ASSERT_EQ(leases.size(), 1u);
    EXPECT_TRUE(used.insert(leases[0].instance).second) << "leased twice";
    room.actions = actions;
    std::erase_if(room.actions, [](const Action& action) { return !std::holds_alternative<StartInstance>(action); });
    EXPECT_EQ(room.actions.size(), 1u) << "its successor is started while it runs";
    Actions after;
    room.dispatcher.call_finished(leases[0].instance, room.now, after);
    ASSERT_EQ(after.size(), 1u);
    EXPECT_EQ(std::get<Retire>(after[0]).instance, leases[0].instance);
  }
}

TEST(Dispatcher, WithoutReuseTheQueueIsServedByNewInstancesUpToTheMaximum) {
  Room room({.instances_max = 2, .idle_timeout = 60s, .reuse = false, .queue_max = 10, .starting_max = 8});
  for (std::uint64_t i = 1; i <= 6; ++i) room.dispatcher.call_arrived(CallId{i}, room.now, room.actions);
  room.actions.clear();
  room.dispatcher.zygote_ready(ZygoteState::kReady, room.now, room.actions);
  std::set<base::InstanceId> used;
  for (int round = 0; round < 10 && used.size() < 6; ++round) {
    const Actions actions = std::exchange(room.actions, {});
    for (const Action& action : actions) {
      if (const auto* start = std::get_if<StartInstance>(&action)) {
        room.dispatcher.instance_ready(start->instance, room.now, room.actions);
      } else if (const auto* lease = std::get_if<LeaseTo>(&action)) {
        EXPECT_TRUE(used.insert(lease->instance).second);
        EXPECT_LE(room.dispatcher.instances(), 2u);
        room.dispatcher.call_finished(lease->instance, room.now, room.actions);
      }
    }
  }
  EXPECT_EQ(used.size(), 6u);
  EXPECT_EQ(room.dispatcher.queued(), 0u);
}

// A random history in which every instance, zygote and call may die at any moment.
class History {
 public:
  explicit History(unsigned seed)
      : random_(seed),
        reuse_(seed % 5 != 0),
        room_({.instances_min = seed % 3,
               .instances_max = 1 + seed % 3 + seed % 7,
               .idle_timeout = (seed % 4) * 10ms,
               .freeze_after = seed % 3 == 0 ? base::Duration::max() : base::Duration((seed % 5) * 3ms),
               .reuse = seed % 5 != 0,
               .queue_max = 1 + seed % 50,
               .starting_max = 1 + seed % 5,
               .spare_from = seed % 2 == 0 ? base::Duration::max() : base::Duration::zero()}) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      room_.now += std::chrono::milliseconds(random_() % 5);
      step();
      absorb();
      EXPECT_LE(calls_running_.size() + starting_.size(), 16u);
    }
    room_.dispatcher.close(room_.actions);
    absorb();
    EXPECT_EQ(arrived_, done_ + refused_ + withdrawn_ + calls_running_.size()) << "no call lost or run twice";
    EXPECT_EQ(room_.processors.versions_at_work, calls_running_.empty() ? 0u : 1u);
  }

 private:
  void step() {
    switch (random_() % 10) {
      case 0:
      case 1:
      case 2:
        room_.dispatcher.call_arrived(CallId{++arrived_}, room_.now, room_.actions);
        queued_.insert(arrived_);
        break;
      case 3:
        if (zygote_starting_) {
          zygote_starting_ = false;
          if (random_() % 5 == 0)
            room_.dispatcher.zygote_failed(room_.now + 3ms, room_.actions);
          else
            room_.dispatcher.zygote_ready(random_() % 4 ? ZygoteState::kReady : ZygoteState::kUnfit, room_.now,
                                          room_.actions),
                zygote_up_ = true;
        } else if (zygote_up_ && random_() % 10 == 0) {
          zygote_up_ = false;
          room_.dispatcher.zygote_lost(room_.now, room_.actions);
        }
        break;
      case 4:
        if (!starting_.empty()) {
          const auto id = *starting_.begin();
          starting_.erase(id);
          if (random_() % 6 == 0)
            room_.dispatcher.start_failed(id, room_.now, room_.actions);
          else
            room_.dispatcher.instance_ready(id, room_.now, room_.actions);
        }
        break;
      case 5:
      case 6:
        if (!calls_running_.empty()) {
          const auto [id, call] = *calls_running_.begin();
          calls_running_.erase(id);
          ++done_;
          room_.processors.full_until = room_.now + (random_() % 3) * 20ms;
          room_.dispatcher.call_used((random_() % 8) * 1ms, 5ms, room_.now);
          if (random_() % 8 == 0)
            room_.dispatcher.instance_gone(id, room_.now, room_.actions);
          else
            room_.dispatcher.call_finished(id, room_.now, room_.actions);
        }
        break;
      case 7:
        if (!queued_.empty()) {
          const auto call = *queued_.begin();
          if (room_.dispatcher.call_withdrawn(CallId{call})) ++withdrawn_, queued_.erase(call);
        }
        break;
      case 8:
        room_.dispatcher.tick(room_.now, room_.actions);
        room_.dispatcher.prewarm(room_.now, room_.actions);
        break;
      case 9:
        if (room_.dispatcher.wants_spare()) {
          room_.dispatcher.start_spare(room_.now, room_.actions);
        } else if (random_() % 3 == 0) {
          room_.dispatcher.give_up_spare(room_.actions);
        }
        break;
    }
  }

  void absorb() {
    for (const Action& action : std::exchange(room_.actions, {})) {
      if (const auto* lease = std::get_if<LeaseTo>(&action)) {
        EXPECT_EQ(queued_.erase(static_cast<std::uint64_t>(lease->call)), 1u);
        EXPECT_TRUE(calls_running_.emplace(lease->instance, lease->call).second) << "a busy instance was leased";
        EXPECT_EQ(frozen_.erase(lease->instance) == 1, lease->thaw) << "thawed exactly when it is frozen";
        const bool unused = served_.insert(lease->instance).second;
        EXPECT_TRUE(unused || reuse_) << "leased again without reuse";
        EXPECT_TRUE(unused || !lease->spare) << "a spare had served before";
      } else if (const auto* freeze = std::get_if<Freeze>(&action)) {
        EXPECT_FALSE(calls_running_.contains(freeze->instance)) << "a busy instance was frozen";
        EXPECT_TRUE(frozen_.insert(freeze->instance).second) << "frozen twice";
      } else if (const auto* retire = std::get_if<Retire>(&action)) {
        EXPECT_FALSE(calls_running_.contains(retire->instance)) << "a busy instance was retired";
        frozen_.erase(retire->instance);
      } else if (const auto* refuse = std::get_if<Refuse>(&action)) {
        EXPECT_EQ(queued_.erase(static_cast<std::uint64_t>(refuse->call)), 1u);
        ++refused_;
      } else if (const auto* start = std::get_if<StartInstance>(&action)) {
        EXPECT_TRUE(zygote_up_);
        starting_.insert(start->instance);
      } else if (std::get_if<StartZygote>(&action)) {
        EXPECT_FALSE(zygote_starting_) << "single flight";
        EXPECT_FALSE(zygote_up_);
        zygote_starting_ = true;
      }
    }
  }

  std::mt19937 random_;
  const bool reuse_;
  Room room_;
  std::uint64_t arrived_ = 0, done_ = 0, refused_ = 0, withdrawn_ = 0;
  bool zygote_starting_ = false, zygote_up_ = false;
  std::set<std::uint64_t> queued_;
  std::set<base::InstanceId> starting_, frozen_, served_;
  std::map<base::InstanceId, CallId> calls_running_;
};

TEST(Dispatcher, RandomHistoriesKeepTheInvariants) {
  for (unsigned seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    History history(seed);
    history.run(300);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace ebb::sched
