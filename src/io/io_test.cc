// Goal: the contracts of tasks, cores, gates, deadlines, offloading and hang-up watching.
// Method: real contexts, threads and socket pairs; deadlines in the past or far away, never a race against the clock.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <stdexcept>
#include <thread>

#include "io/cores.h"
#include "io/deadline.h"
#include "io/gate.h"
#include "io/hangup.h"
#include "io/offload.h"
#include "io/one_shot.h"
#include "io/task.h"

namespace ebb::io {
namespace {

using base::Code;
using base::Result;
using namespace std::chrono_literals;

base::SteadyTime far() { return base::steady_now() + 60s; }
base::SteadyTime past() { return base::steady_now() - 1s; }

Task<> record_core(std::atomic<unsigned>& seen) {
  seen = Cores::current();
  co_return;
}

Task<> throw_error() {
  throw std::runtime_error("on purpose");
  co_return;
}

Task<> set_flag(bool& flag) {
  flag = true;
  co_return;
}

TEST(Spawn, AnEscapedExceptionStopsAtTheWall) {
  asio::io_context context;
  bool after = false;
  testing::internal::CaptureStderr();
  spawn(context, "thrower", throw_error());
  spawn(context, "other", set_flag(after));
  context.run();
  EXPECT_TRUE(after);
  const std::string log = testing::internal::GetCapturedStderr();
  EXPECT_NE(log.find("task_failed"), std::string::npos);
  EXPECT_NE(log.find("thrower"), std::string::npos);
  EXPECT_NE(log.find("on purpose"), std::string::npos);
}

TEST(Cores, EachCoreRunsItsOwnContext) {
  Cores cores(3);
  ASSERT_EQ(cores.count(), 3u);
  EXPECT_EQ(Cores::current(), Cores::kNone);
  std::array<std::atomic<unsigned>, 3> seen{99u, 99u, 99u};
  std::thread runner([&] { cores.run(); });
  std::array<std::promise<void>, 3> done;
  for (unsigned i = 0; i < 3; ++i) {
    spawn(cores.context(i), "record", record_core(seen[i]));
    asio::post(cores.context(i), [&done, i] { done[i].set_value(); });
  }
  for (auto& one : done) one.get_future().wait();
  cores.stop();
  runner.join();
  for (unsigned i = 0; i < 3; ++i) EXPECT_EQ(seen[i], i);
  EXPECT_EQ(Cores::current(), Cores::kNone);
}

TEST(Cores, StopBeforeRunReturnsAtOnceAndAHandlerThatThrowsCostsOnlyItself) {
  {
    Cores cores(2);
    cores.stop();
    cores.run();
  }
  Cores cores(1);
  bool later = false;
  testing::internal::CaptureStderr();
  asio::post(cores.context(0), [] { throw std::runtime_error("plain handler"); });
  asio::post(cores.context(0), [&] {
    later = true;
    cores.stop();
  });
  cores.run();
  EXPECT_TRUE(later);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("plain handler"), std::string::npos);
}

Task<> close_gate(Gate& gate, base::SteadyTime deadline, std::optional<Result<>>& outcome) {
  outcome = co_await gate.close(deadline);
}

TEST(Gate, CloseWaitsForTheLastHolderAndNobodyEntersAfter) {
  asio::io_context context;
  Gate gate(context.get_executor());
  std::optional<Result<>> first;
  std::optional<Result<>> second;
  auto a = gate.enter();
  auto b = gate.enter();
  ASSERT_TRUE(a && b);
  EXPECT_EQ(gate.count(), 2u);
  spawn(context, "close", close_gate(gate, far(), first));
  spawn(context, "close again", close_gate(gate, base::steady_now() + 30s, second));
  context.poll();
  EXPECT_TRUE(gate.closed());
  EXPECT_FALSE(first);
  const auto late = gate.enter();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Code::kUnavailable);
  *a = Gate::Holder();
  context.poll();
  EXPECT_FALSE(first);
  Gate::Holder moved = std::move(*b);
  context.poll();
  EXPECT_FALSE(first);
  moved = Gate::Holder();
  context.poll();
  ASSERT_TRUE(first && second);
  EXPECT_TRUE(*first);
  EXPECT_TRUE(*second);
}

TEST(Gate, EachCloseHasItsOwnDeadline) {
  asio::io_context context;
  Gate gate(context.get_executor());
  std::optional<Result<>> patient;
  std::optional<Result<>> hasty;
  auto holder = gate.enter();
  spawn(context, "patient", close_gate(gate, far(), patient));
  spawn(context, "hasty", close_gate(gate, base::steady_now() + 1ms, hasty));
  for (int i = 0; i < 1000 && !hasty; ++i) context.run_one_for(10ms);
  ASSERT_TRUE(hasty && !*hasty);
  EXPECT_FALSE(patient);
  *holder = Gate::Holder();
  context.run();
  ASSERT_TRUE(patient && *patient);
}

TEST(Gate, CloseEndsAtItsDeadline) {
  asio::io_context context;
  Gate gate(context.get_executor());
  std::optional<Result<>> outcome;
  auto holder = gate.enter();
  spawn(context, "close", close_gate(gate, past(), outcome));
  context.run();
  ASSERT_TRUE(outcome);
  ASSERT_FALSE(*outcome);
  EXPECT_EQ(outcome->error().code, Code::kDeadlineExceeded);
  EXPECT_TRUE(gate.closed());
}

Task<Result<int>> seven() { co_return 7; }
Task<Result<int>> refuse() { co_return base::not_found("no such thing"); }
Task<Result<int>> fail() {
  throw std::runtime_error("broken");
  co_return 1;
}
Task<Result<int>> hang(bool& cancelled) {
  try {
    co_await sleep_for(1h);
  } catch (const boost::system::system_error&) {
    cancelled = true;
    throw;
  }
  co_return 1;
}

template <typename T>
Task<> limited(Task<T> task, base::SteadyTime deadline, std::optional<Result<int>>& outcome) {
  outcome = co_await with_deadline(std::move(task), deadline, "the answer");
}

TEST(Deadline, PassesTheValueAndTheError) {
  asio::io_context context;
  std::optional<Result<int>> value;
  std::optional<Result<int>> error;
  spawn(context, "value", limited(seven(), far(), value));
  spawn(context, "error", limited(refuse(), far(), error));
  context.run();
  ASSERT_TRUE(value && *value);
  EXPECT_EQ(**value, 7);
  ASSERT_TRUE(error && !*error);
  EXPECT_EQ(error->error().code, Code::kNotFound);
}

TEST(Deadline, CancelsTheLoser) {
  asio::io_context context;
  std::optional<Result<int>> outcome;
  bool cancelled = false;
  spawn(context, "hang", limited(hang(cancelled), base::steady_now() + 1ms, outcome));
  context.run();  // would last an hour if the sleep were left behind
  ASSERT_TRUE(outcome && !*outcome);
  EXPECT_EQ(outcome->error().code, Code::kDeadlineExceeded);
  EXPECT_EQ(outcome->error().message, "the answer did not come in time");
  EXPECT_TRUE(cancelled);
}

TEST(Deadline, AnExceptionEndsTheWaitAtOnce) {
  asio::io_context context;
  std::optional<Result<int>> outcome;
  testing::internal::CaptureStderr();
  spawn(context, "fail", limited(fail(), far(), outcome));
  context.run_for(10s);
  EXPECT_TRUE(context.stopped());
  EXPECT_FALSE(outcome);
  EXPECT_NE(testing::internal::GetCapturedStderr().find("broken"), std::string::npos);
}

TEST(Deadline, CancellingTheCallerCancelsTheTask) {
  asio::io_context context;
  std::optional<Result<int>> outcome;
  bool cancelled = false;
  asio::cancellation_signal signal;
  spawn(context.get_executor(), "hang", signal.slot(), limited(hang(cancelled), far(), outcome));
  context.poll();
  EXPECT_FALSE(cancelled);
  signal.emit(asio::cancellation_type::terminal);
  context.run();
  EXPECT_TRUE(cancelled);
  EXPECT_FALSE(outcome);
}

Task<> offloaded(Pool& pool, std::function<Result<int>()> job, std::optional<Result<int>>& outcome,
                 std::thread::id& resumed) {
  outcome = co_await offload(pool, "count", std::move(job));
  resumed = std::this_thread::get_id();
}

TEST(Offload, RunsElsewhereAndResumesHere) {
  asio::io_context context;
  Pool pool(1, 4);
  std::optional<Result<int>> outcome;
  std::optional<Result<int>> thrown;
  std::thread::id worker;
  std::thread::id resumed;
  spawn(context, "a",
        offloaded(
            pool,
            [&]() -> Result<int> {
              worker = std::this_thread::get_id();
              return 5;
            },
            outcome, resumed));
  spawn(context, "b",
        offloaded(pool, []() -> Result<int> { throw std::runtime_error("disk on fire"); }, thrown, resumed));
  context.run();
  ASSERT_TRUE(outcome && *outcome);
  EXPECT_EQ(**outcome, 5);
  EXPECT_NE(worker, std::this_thread::get_id());
  EXPECT_EQ(resumed, std::this_thread::get_id());
  ASSERT_TRUE(thrown && !*thrown);
  EXPECT_EQ(thrown->error().code, Code::kInternal);
  EXPECT_EQ(thrown->error().message, "job count threw: disk on fire");
}

TEST(Offload, AFullQueueRefusesAndACancelledWaiterLeavesAtOnce) {
  asio::io_context context;
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
  std::promise<void> started;
  Pool pool(1, 1);
  std::optional<Result<int>> running;
  std::optional<Result<int>> waiting;
  std::optional<Result<int>> refused;
  std::thread::id resumed;
  asio::cancellation_signal signal;
  spawn(context.get_executor(), "running", signal.slot(),
        offloaded(
            pool,
            [&]() -> Result<int> {
              started.set_value();
              released.wait();
              return 1;
            },
            running, resumed));
  context.poll();
  started.get_future().wait();
  spawn(context, "waiting", offloaded(pool, []() -> Result<int> { return 2; }, waiting, resumed));
  spawn(context, "refused", offloaded(pool, []() -> Result<int> { return 3; }, refused, resumed));
  context.poll();
  ASSERT_TRUE(refused && !*refused);
  EXPECT_EQ(refused->error().code, Code::kUnavailable);
  EXPECT_FALSE(running);
  signal.emit(asio::cancellation_type::terminal);
  context.poll();
  ASSERT_TRUE(running && !*running);  // although its job still runs
  EXPECT_EQ(running->error().code, Code::kCancelled);
  EXPECT_FALSE(waiting);
  release.set_value();
  context.run();
  ASSERT_TRUE(waiting && *waiting);
  EXPECT_EQ(**waiting, 2);
}

class HangupWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair_), 0);
    auto opened = HangupWatch::open(context_);
    ASSERT_TRUE(opened);
    watch_ = *opened;
  }
  void TearDown() override {
    watch_->close();
    context_.run();
    ::close(pair_[0]);
    if (pair_[1] >= 0) ::close(pair_[1]);
  }
  // Serves the context until the flag is set; the far deadline only ends a broken test.
  void await(const bool& flag) {
    for (int i = 0; i < 1000 && !flag; ++i) context_.run_for(10ms);
  }

  asio::io_context context_;
  std::shared_ptr<HangupWatch> watch_;
  int pair_[2] = {-1, -1};
};

TEST_F(HangupWatchTest, UnreadBytesAreNoHangupAndHideNone) {
  bool gone = false;
  ASSERT_TRUE(watch_->add(pair_[0], [&] { gone = true; }));
  ASSERT_EQ(::write(pair_[1], "GET /", 5), 5);
  context_.poll();
  EXPECT_FALSE(gone);
  ::shutdown(pair_[1], SHUT_WR);
  await(gone);
  EXPECT_TRUE(gone);
}

TEST_F(HangupWatchTest, TellsOfAPeerThatHadLeftBefore) {
  ::close(std::exchange(pair_[1], -1));
  bool gone = false;
  ASSERT_TRUE(watch_->add(pair_[0], [&] { gone = true; }));
  await(gone);
  EXPECT_TRUE(gone);
}

TEST_F(HangupWatchTest, ARemovedSocketIsSilent) {
  bool gone = false;
  bool other = false;
  int second[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, second), 0);
  auto token = watch_->add(pair_[0], [&] { gone = true; });
  ASSERT_TRUE(token);
  ASSERT_TRUE(watch_->add(second[0], [&] { other = true; }));
  watch_->remove(*token, pair_[0]);
  ::shutdown(pair_[1], SHUT_WR);
  ::close(second[1]);
  await(other);
  EXPECT_TRUE(other);
  EXPECT_FALSE(gone);
  ::close(second[0]);
}

TEST(OneShot, WhatIsThereIsTakenWithoutAWaitAndOnce) {
  OneShot<int> value;
  EXPECT_EQ(value.take_now(), std::nullopt);
  value.set(1);
  EXPECT_EQ(value.take_now(), 1);
  value.set(2);
  EXPECT_EQ(value.take_now(), std::nullopt) << "the first one counts, and has been taken";
}

}  // namespace
}  // namespace ebb::io
