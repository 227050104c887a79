// Goal: calls that compute get as many instances as there are processors for, others all that they want; and nobody
// waits for instances that do not come free. Method: the rule alone, then a dispatcher that is told what calls used.
#include "sched/processor_bound.h"

#include <gtest/gtest.h>

#include <vector>

#include "sched/dispatcher.h"
#include "sched/drained.h"

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;

void use(ProcessorBound& bound, base::Duration cpu, base::Duration time, bool full, int calls = 20) {
  for (int i = 0; i < calls; ++i) bound.call_used(cpu, time, full);
}

TEST(ProcessorBound, CallsComputeWhenHalfOfTheirTimeIsProcessorTime) {
  ProcessorBound half;
  use(half, 5ms, 10ms, false, 7);
  EXPECT_FALSE(half.computes()) << "seven say nothing yet";
  use(half, 5ms, 10ms, false, 1);
  EXPECT_TRUE(half.computes());
  ProcessorBound less;
  use(less, 4ms, 10ms, false);
  EXPECT_FALSE(less.computes());
  ProcessorBound none;
  use(none, 1ms, 0ms, false);
  EXPECT_FALSE(none.computes()) << "a call without a time says nothing";
}

TEST(ProcessorBound, HowLongCallsWaitIsMeasuredWhileProcessorsAreFree) {
  ProcessorBound bound;
  use(bound, 9ms, 10ms, true);
  EXPECT_FALSE(bound.computes()) << "what it does by itself is not known";
  use(bound, 9ms, 10ms, false);
  use(bound, 9ms, 300ms, true);
  EXPECT_TRUE(bound.computes()) << "it waited for processors";
  use(bound, 9ms, 300ms, false);
  EXPECT_FALSE(bound.computes()) << "it waited for something else";
}

TEST(ProcessorBound, WhoseCallsUseNextToNothingSinceComputesNoLongerThoughProcessorsAreFull) {
  ProcessorBound bound;
  use(bound, 40ms, 50ms, false);
  use(bound, 1ms, 1s, true, 40);
  EXPECT_FALSE(bound.computes());
}

// A version whose calls take 50 ms each on two processors, with a zygote, and so much of them computing.
struct Version {
  explicit Version(base::Duration cpu, DispatcherOptions options = {})
      : dispatcher(with(options), &next_instance, &processors) {
    arrive(1);
    dispatcher.zygote_ready(ZygoteState::kReady, now, actions);
    begin_started();
    for (int i = 0; i < 20; ++i) {
      now += 50ms;
      leave(cpu);
      if (i < 19) arrive(1);
    }
  }
  static DispatcherOptions with(DispatcherOptions options) {
    options.instances_max = 100;
    options.idle_timeout = 60s;
    options.queue_max = 1000;
    options.starting_max = 100;
    return options;
  }
  void arrive(int calls) {
    for (int i = 0; i < calls; ++i) dispatcher.call_arrived(CallId{next_call++}, now, actions);
    take();
  }
  void tick() {
    dispatcher.tick(now, actions);
    take();
  }
  // 4 ms later all that start are ready.
  void begin_started() {
    take();
    now += 4ms;
    for (const base::InstanceId id : std::exchange(starting, {})) dispatcher.instance_ready(id, now, actions);
    take();
  }
  // The call that is at work for longest.
  void leave(base::Duration cpu) {
    const base::InstanceId id = running.front();
    running.erase(running.begin());
    dispatcher.call_used(cpu, 50ms, now);
    dispatcher.call_finished(id, now, actions);
    take();
  }
  void take() {
    for (const Action& action : std::exchange(actions, {})) {
      if (const auto* lease = std::get_if<LeaseTo>(&action)) running.push_back(lease->instance);
      if (const auto* start = std::get_if<StartInstance>(&action)) starting.push_back(start->instance);
      if (const auto* refuse = std::get_if<Refuse>(&action)) refused.push_back(refuse->wait);
    }
  }

  Processors processors{2};
  std::atomic<std::uint64_t> next_instance = 1;
  Dispatcher dispatcher;
  Actions actions;
  base::SteadyTime now{1h};
  std::uint64_t next_call = 1;
  std::vector<base::InstanceId> running;
  std::vector<base::InstanceId> starting;
  std::vector<base::Duration> refused;
};

TEST(ProcessorBound, ABurstOfCallsThatComputeGetsAsManyStartsAsThereAreProcessorsAndOne) {
  Version computes(49ms);
  computes.arrive(60);
  EXPECT_EQ(computes.running.size() + computes.starting.size(), 4u)
      << "two processors for 0.98 of a call each, and one";
  Version waits(5ms);
  waits.arrive(60);
  EXPECT_GT(waits.running.size() + waits.starting.size(), 50u) << "who waits for something else takes no processor";
}

TEST(ProcessorBound, WhileProcessorsAreFullTheQueueWaitsForThoseAtWork) {
  Version version(50ms);
  version.arrive(60);
  version.processors.full_until = base::SteadyTime::max();
  version.begin_started();
  ASSERT_EQ(version.running.size(), 3u);
  std::size_t served = 0;
  for (int i = 0; i < 40; ++i) {
    version.now += 20ms;
    version.tick();
    EXPECT_EQ(version.starting.size(), 0u);
    version.leave(50ms);
    ++served;
  }
  EXPECT_EQ(version.running.size(), 3u) << "each that left was followed by the next";
  EXPECT_EQ(version.dispatcher.queued(), 57u - served);
}

TEST(ProcessorBound, WhileProcessorsAreFreeOneStartFollowsAnother) {
  Version version(50ms);
  version.arrive(60);
  version.begin_started();
  EXPECT_EQ(version.starting.size(), 1u) << "a fourth";
  version.begin_started();
  EXPECT_EQ(version.running.size(), 4u);
  EXPECT_EQ(version.starting.size(), 1u) << "and a fifth";
}

TEST(ProcessorBound, WhoComputesNoLongerGetsStartsWhenNoCallEnds) {
  Version version(50ms);
  version.arrive(60);
  version.processors.full_until = base::SteadyTime::max();
  version.begin_started();
  ASSERT_EQ(version.running.size(), 3u);
  version.now += 390ms;
  version.tick();
  EXPECT_EQ(version.starting.size(), 0u);
  EXPECT_LE(version.dispatcher.next_tick(), version.now + 20ms) << "it looks again soon";
  version.now += 20ms;
  version.tick();
  EXPECT_EQ(version.starting.size(), 1u) << "eight times a call's time have passed, and none has ended";
  version.tick();
  EXPECT_EQ(version.starting.size(), 1u);
  for (int i = 0; i < 10; ++i) {
    version.now += 21ms;
    version.tick();
  }
  EXPECT_EQ(version.starting.size(), 11u) << "and one follows another, though none is ready yet";
}

TEST(ProcessorBound, VersionsAtWorkShareTheProcessors) {
  Version version(50ms);
  version.processors.versions_at_work = 1;  // another's
  version.processors.full_until = base::SteadyTime::max();
  version.arrive(60);
  EXPECT_EQ(version.running.size(), 1u) << "its idle instance takes a call";
  EXPECT_EQ(version.starting.size(), 0u) << "each has one of two processors";
  version.processors.versions_at_work -= 1;
  version.now += 20ms;
  version.tick();
  EXPECT_EQ(version.starting.size(), 1u) << "the other has gone";
}

TEST(ProcessorBound, WithoutInstancesThereIsAlwaysAStart) {
  Version version(50ms);
  version.dispatcher.retire_coldest(version.actions);
  version.processors.full_until = base::SteadyTime::max();
  version.processors.versions_at_work = 100;
  version.arrive(5);
  EXPECT_EQ(version.starting.size(), 1u);
}

TEST(ProcessorBound, CallsThatTakeLongWaitTenSecondsAtMostForOneToEnd) {
  Version version(50ms);
  for (int i = 0; i < 100; ++i) {
    version.arrive(1);
    version.now += 40s;
    version.leave(50ms);
  }
  version.processors.full_until = base::SteadyTime::max();
  version.arrive(10);
  version.begin_started();
  const std::size_t at_first = version.running.size();
  EXPECT_LT(at_first, 4u);
  version.now += 11s;
  version.tick();
  EXPECT_EQ(version.starting.size(), 1u);
}

TEST(ProcessorBound, NobodyIsRefusedForAWaitThatAStartSpares) {
  Version version(50ms, {.max_wait = 10ms});
  version.arrive(1);
  version.processors.full_until = base::SteadyTime::max();
  version.arrive(1);
  EXPECT_TRUE(version.refused.empty()) << "there are two processors for it";
  EXPECT_EQ(version.starting.size(), 1u);
}

TEST(ProcessorBound, HowLongAQueueTakesIsToldByThoseAtWork) {
  Version version(50ms, {.max_wait = 500ms});
  version.arrive(1);
  version.processors.full_until = base::SteadyTime::max();
  version.arrive(100);
  ASSERT_FALSE(version.refused.empty()) << "a hundred instances would have served them";
  EXPECT_GT(version.refused.front(), 500ms);
}

TEST(ProcessorBound, CallsAtWorkAreCountedAndNoLonger) {
  Version version(50ms);
  EXPECT_EQ(version.processors.versions_at_work, 0u);
  version.arrive(2);
  version.begin_started();
  EXPECT_EQ(version.processors.versions_at_work, 1u);
  version.leave(50ms);
  EXPECT_EQ(version.processors.versions_at_work, 1u);
  version.dispatcher.instance_gone(version.running.front(), version.now, version.actions);
  EXPECT_EQ(version.processors.versions_at_work, 0u);
}

}  // namespace
}  // namespace ebb::sched
