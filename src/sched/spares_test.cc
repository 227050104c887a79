// Goal: who gets a spare, when it is taken, and that nothing is started again and again for nobody. Method: the policy
// alone, then named scenarios of a Dispatcher that keeps one; random histories with spares are in dispatcher_test.cc.
#include "sched/spares.h"

#include <gtest/gtest.h>

#include "sched/drained.h"

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

TEST(Spares, AreWantedWhereMostLoadsAreLong) {
  Spares spares(20ms);
  EXPECT_FALSE(spares.wanted()) << "nothing is known";
  spares.loaded(90ms);
  spares.loaded(90ms);
  EXPECT_FALSE(spares.wanted()) << "two slow starts on a busy machine say nothing";
  spares.loaded(20ms);
  EXPECT_TRUE(spares.wanted());
  for (int i = 0; i < 3; ++i) spares.loaded(1ms);
  EXPECT_FALSE(spares.wanted()) << "it loads faster now";
  spares.expect(40ms);
  EXPECT_TRUE(spares.wanted()) << "the zygote has tried it";
  spares.allow(false);
  EXPECT_FALSE(spares.wanted());
  spares.loaded(90ms);
  EXPECT_TRUE(spares.is_never());
  spares.allow(true);
  EXPECT_TRUE(spares.wanted()) << "what it has learned it knows still";
  Spares none(base::Duration::max());
  none.expect(base::Duration::max());
  none.allow(true);
  EXPECT_FALSE(none.wanted());
}

TEST(Spares, AfterAFailureOnlyAStartForACallBringsThemBack) {
  Spares spares(0ms);
  spares.failed();
  spares.call_arrived();
  spares.given_up();
  spares.call_arrived();
  EXPECT_FALSE(spares.wanted());
  spares.started();
  EXPECT_TRUE(spares.wanted());
  spares.given_up();
  EXPECT_FALSE(spares.wanted());
  spares.call_arrived();
  EXPECT_TRUE(spares.wanted());
  spares.failed();
  spares.zygote_ready();
  EXPECT_TRUE(spares.wanted());
}

struct Room {
  explicit Room(DispatcherOptions options) : dispatcher(options, &next_instance) {
    dispatcher.loading_takes(100ms);
    dispatcher.prewarm(now, actions);
    dispatcher.zygote_ready(ZygoteState::kReady, now, actions);
    actions.clear();
  }

  template <typename T>
  std::vector<T> drain() {
    return drained<T>(actions);
  }
  base::InstanceId begin_spare() {
    EXPECT_TRUE(dispatcher.wants_spare());
    dispatcher.start_spare(now, actions);
    const auto starts = drain<StartInstance>();
    EXPECT_EQ(starts.size(), 1u);
    EXPECT_EQ(dispatcher.spare(), starts.at(0).instance);
    return starts.at(0).instance;
  }
  base::InstanceId spare() {
    const base::InstanceId id = begin_spare();
    dispatcher.instance_ready(id, now, actions);
    EXPECT_EQ(dispatcher.spares(), 1u);
    return id;
  }
  /// The one lease that the call gets at once.
  LeaseTo call() {
    dispatcher.call_arrived(CallId{++calls}, now, actions);
    const auto leases = drain<LeaseTo>();
    EXPECT_EQ(leases.size(), 1u);
    return leases.at(0);
  }

  std::atomic<std::uint64_t> next_instance = 1;
  Dispatcher dispatcher;
  Actions actions;
  base::SteadyTime now{1h};
  std::uint64_t calls = 0;
};

DispatcherOptions options(std::uint32_t most) {
  return {.instances_max = most, .idle_timeout = 60s, .queue_max = 10, .starting_max = 8, .spare_from = 20ms};
}

TEST(Spare, IsTakenByTheFirstCallThatFindsNobodyIdle) {
  Room room(options(5));
  const base::InstanceId first = room.spare();
  EXPECT_EQ(room.dispatcher.idle(), 0u);
  EXPECT_FALSE(room.dispatcher.wants_spare()) << "there is one";
  const LeaseTo cold = room.call();
  EXPECT_TRUE(cold.spare && cold.instance == first && !cold.thaw);
  const base::InstanceId second = room.spare();
  room.dispatcher.call_finished(first, room.now, room.actions);
  EXPECT_EQ(room.dispatcher.idle(), 1u);
  const LeaseTo warm = room.call();
  EXPECT_TRUE(!warm.spare && warm.instance == first) << "who was used is used again";
  const LeaseTo beside = room.call();
  EXPECT_TRUE(beside.spare && beside.instance == second);
}

TEST(Spare, OutlivesIdleInstancesAndIsFrozenLikeThem) {
  DispatcherOptions brief = options(5);
  brief.idle_timeout = 0s;
  brief.freeze_after = 1s;
  Room room(brief);
  const base::InstanceId id = room.spare();
  EXPECT_EQ(room.dispatcher.next_tick(), room.now + 1s);
  room.now += 1s;
  room.dispatcher.tick(room.now, room.actions);
  EXPECT_EQ(room.drain<Freeze>().at(0).instance, id);
  EXPECT_EQ(room.dispatcher.next_tick(), base::SteadyTime::max());
  room.now += 24h;
  room.dispatcher.tick(room.now, room.actions);
  EXPECT_TRUE(room.actions.empty());
  const LeaseTo lease = room.call();
  EXPECT_TRUE(lease.spare && lease.thaw && lease.instance == id);
  room.dispatcher.call_finished(id, room.now, room.actions);
  EXPECT_EQ(room.drain<Retire>().at(0).instance, id) << "from its call on it is an instance like others";
}

TEST(Spare, NeverStandsInTheWayOfACallAtTheMaximum) {
  Room room(options(1));
  const base::InstanceId id = room.begin_spare();
  room.dispatcher.call_arrived(CallId{++room.calls}, room.now, room.actions);
  EXPECT_TRUE(room.actions.empty()) << "there is room for one instance, and it starts already";
  room.dispatcher.instance_ready(id, room.now, room.actions);
  const auto leases = room.drain<LeaseTo>();
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_FALSE(leases[0].spare) << "it waited for its start";
  EXPECT_FALSE(room.dispatcher.wants_spare()) << "the maximum is reached";
  room.dispatcher.call_spoiled(id, room.now, room.actions);
  room.actions.clear();
  room.spare();
  EXPECT_TRUE(room.call().spare);
}

TEST(Spare, ThatFailsIsNotStartedAgainForNobody) {
  Room room(options(5));
  for (int crash = 0; crash < 2; ++crash) {  // in init, and after it
    const base::InstanceId id = crash == 0 ? room.begin_spare() : room.spare();
    if (crash == 0) {
      room.dispatcher.start_failed(id, room.now, room.actions);
    } else {
      room.dispatcher.instance_gone(id, room.now, room.actions);
    }
    EXPECT_TRUE(room.actions.empty());
    EXPECT_FALSE(room.dispatcher.wants_spare());
    room.dispatcher.call_arrived(CallId{++room.calls}, room.now, room.actions);
    const auto start = room.drain<StartInstance>();
    ASSERT_EQ(start.size(), 1u) << "the call's own";
    EXPECT_FALSE(room.dispatcher.wants_spare());
    room.dispatcher.instance_ready(start[0].instance, room.now, room.actions);
    room.dispatcher.call_spoiled(start[0].instance, room.now, room.actions);
    room.actions.clear();
    EXPECT_TRUE(room.dispatcher.wants_spare());
  }
}

TEST(Spare, FailuresAreToldToCallsThatWaitForIt) {
  Room room(options(1));
  const base::InstanceId id = room.begin_spare();
  room.dispatcher.call_arrived(CallId{++room.calls}, room.now, room.actions);
  room.dispatcher.start_failed(id, room.now, room.actions);
  for (std::uint32_t i = 1; i < Dispatcher::kStartFailuresMax; ++i) {
    const auto start = room.drain<StartInstance>();
    ASSERT_EQ(start.size(), 1u);
    room.dispatcher.start_failed(start[0].instance, room.now, room.actions);
  }
  EXPECT_EQ(room.drain<Refuse>().at(0).why, Refuse::Why::kStartFailed);
}

TEST(Spare, GivenUpItComesBackWithTheNextCall) {
  Room room(options(5));
  const base::InstanceId id = room.spare();
  EXPECT_TRUE(room.dispatcher.give_up_spare(room.actions));
  EXPECT_EQ(room.drain<Retire>().at(0).instance, id);
  EXPECT_FALSE(room.dispatcher.give_up_spare(room.actions));
  EXPECT_FALSE(room.dispatcher.wants_spare());
  room.dispatcher.call_arrived(CallId{++room.calls}, room.now, room.actions);
  room.dispatcher.instance_ready(room.drain<StartInstance>().at(0).instance, room.now, room.actions);
  EXPECT_TRUE(room.dispatcher.wants_spare());
}

TEST(Spare, RestingItMayBeStartedAgainBeforeTheNextCall) {
  Room room(options(5));
  const base::InstanceId id = room.spare();
  EXPECT_TRUE(room.dispatcher.keeps_spares());
  EXPECT_TRUE(room.dispatcher.rest_spare(room.actions));
  EXPECT_EQ(room.drain<Retire>().at(0).instance, id);
  EXPECT_FALSE(room.dispatcher.rest_spare(room.actions));
  EXPECT_EQ(room.dispatcher.instances(), 0u);
  EXPECT_TRUE(room.dispatcher.wants_spare());
  EXPECT_NE(room.spare(), id);
}

TEST(Spare, IsNoneOfTheMinimumUntilThatNeedsIt) {
  DispatcherOptions kept = options(2);
  kept.instances_min = 1;
  kept.freeze_after = 1s;
  Room room(kept);
  EXPECT_FALSE(room.dispatcher.wants_spare()) << "the minimum first";
  const base::InstanceId first{1};
  room.dispatcher.instance_ready(first, room.now, room.actions);
  const base::InstanceId spare = room.spare();
  room.now += 2min;
  room.dispatcher.tick(room.now, room.actions);
  EXPECT_TRUE(room.drain<Retire>().empty()) << "the minimum stays beside the spare";
  room.dispatcher.instance_gone(first, room.now, room.actions);
  EXPECT_TRUE(room.drain<StartInstance>().empty()) << "the spare takes its place";
  EXPECT_EQ(room.dispatcher.idle(), 1u);
  EXPECT_FALSE(room.dispatcher.spare());
  const LeaseTo lease = room.call();
  EXPECT_TRUE(lease.instance == spare && lease.thaw && !lease.spare);
}

TEST(Spare, WithoutReuseEachIsUsedOnce) {
  DispatcherOptions once = options(3);
  once.reuse = false;
  Room room(once);
  for (int round = 0; round < 10; ++round) {
    const base::InstanceId id = room.spare();
    const LeaseTo lease = room.call();
    EXPECT_TRUE(lease.spare && lease.instance == id);
    room.dispatcher.call_finished(id, room.now, room.actions);
    EXPECT_EQ(room.drain<Retire>().at(0).instance, id);
  }
  once.instances_min = 1;
  Room minimum(once);
  minimum.dispatcher.instance_ready(base::InstanceId{1}, minimum.now, minimum.actions);
  EXPECT_FALSE(minimum.dispatcher.wants_spare()) << "an unused instance waits already";
}

TEST(Spare, EndsWithItsVersion) {
  for (const bool starting : {false, true}) {
    for (const bool closed : {false, true}) {
      Room room(options(3));
      const base::InstanceId id = starting ? room.begin_spare() : room.spare();
      if (closed) {
        room.dispatcher.close(room.actions);
      } else {
        room.dispatcher.keep_no_spare(room.actions);
      }
      if (starting) room.dispatcher.instance_ready(id, room.now, room.actions);
      EXPECT_EQ(room.drain<Retire>().at(0).instance, id);
      EXPECT_EQ(room.dispatcher.instances(), 0u);
      EXPECT_FALSE(room.dispatcher.wants_spare());
      room.dispatcher.may_keep_spare();
      room.dispatcher.call_arrived(CallId{1}, room.now, room.actions);
      EXPECT_FALSE(closed && room.dispatcher.wants_spare()) << "a closed one never does";
      if (closed) continue;
      room.dispatcher.instance_ready(room.drain<StartInstance>().at(0).instance, room.now, room.actions);
      EXPECT_TRUE(room.dispatcher.wants_spare()) << "one that has its name back keeps one again";
    }
  }
}

}  // namespace
}  // namespace ebb::sched
