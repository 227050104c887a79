// Goal: what was committed is there after a reopening, bounds hold, failed calls make way for new ones and only they
// do, and who reads does not wait for the disk. Method: the real SQLite in temporary files, on a disk that a test
// holds.
#include "store/calls.h"

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>

#include "store/sqlite_calls.h"
#include "store/temp_dir.h"

namespace ebb::store {
namespace {

using namespace std::chrono_literals;
using State = StoredCall::State;

/// SQLite's own file system, with a log whose fsync can be counted and held. One at a time.
class HeldDisk {
 public:
  HeldDisk() {
    the = this;
    real_ = sqlite3_vfs_find(nullptr);
    held_ = *real_;
    held_.zName = "held";
    held_.pNext = nullptr;
    held_.xOpen = open;
    sqlite3_vfs_register(&held_, 1);
  }
  ~HeldDisk() {
    let_go();
    sqlite3_vfs_register(real_, 1);
    sqlite3_vfs_unregister(&held_);
  }
  HeldDisk(const HeldDisk&) = delete;
  HeldDisk& operator=(const HeldDisk&) = delete;

  void hold() {
    std::lock_guard lock(mutex_);
    holds_ = true;
  }
  void let_go() {
    std::lock_guard lock(mutex_);
    holds_ = false;
    changed_.notify_all();
  }
  void wait_until_somebody_waits() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }
  int syncs() {
    std::lock_guard lock(mutex_);
    return syncs_;
  }

 private:
  static int open(sqlite3_vfs*, sqlite3_filename name, sqlite3_file* file, int flags, int* out_flags) {
    const int rc = the->real_->xOpen(the->real_, name, file, flags, out_flags);
    if (rc == SQLITE_OK && (flags & SQLITE_OPEN_WAL) != 0) {
      the->real_log_ = file->pMethods;
      the->log_ = *file->pMethods;
      the->log_.xSync = sync;
      file->pMethods = &the->log_;
    }
    return rc;
  }
  static int sync(sqlite3_file* file, int flags) {
    {
      std::unique_lock lock(the->mutex_);
      ++the->syncs_;
      ++the->waiting_;
      the->changed_.notify_all();
      the->changed_.wait(lock, [] { return !the->holds_; });
      --the->waiting_;
    }
    return the->real_log_->xSync(file, flags);
  }

  static inline HeldDisk* the = nullptr;
  sqlite3_vfs* real_ = nullptr;
  sqlite3_vfs held_{};
  const sqlite3_io_methods* real_log_ = nullptr;
  sqlite3_io_methods log_{};
  std::mutex mutex_;
  std::condition_variable changed_;
  bool holds_ = false;
  int waiting_ = 0;
  int syncs_ = 0;
};

class CallsTest : public testing::Test {
 protected:
  CallsTest() { reopen(); }

  void reopen(CallBounds bounds = {}) {
    calls_.reset();
    auto opened = SqliteCalls::open(file(), bounds);
    ASSERT_TRUE(opened) << opened.error().message;
    calls_ = std::move(*opened);
  }
  std::string file() const { return (temp_.path() / "calls.db").string(); }

  static base::WallTime at(std::int64_t seconds) { return base::WallTime(std::chrono::seconds(seconds)); }

  static NewCall call_of(const std::string& app, std::string event = "{}") {
    const base::InvocationId id = base::new_invocation_id();
    return {.call = {.id = id,
                     .app = app,
                     .function = "f",
                     .version = "3",
                     .content_type = "application/json",
                     .traceparent = "00-a-b-01",
                     .tracestate = "x=y",
                     .terms = {.retries = 1, .retry_after = 5s, .max_age = 1h},
                     .accepted = at(100),
                     .due = at(100),
                     .deadline = at(3700),
                     .event_size = base::Bytes{event.size()}},
            .event = std::move(event)};
  }
  base::Result<> add(NewCall call) {
    CallBatch batch;
    batch.added.push_back(std::move(call));
    const auto refusals = calls_->commit(batch);
    if (!refusals) return refusals.error();
    if (refusals->at(0)) return *refusals->at(0);
    return {};
  }
  static NewCall timer_call(const std::string& timer, std::int64_t due) {
    NewCall call = call_of("a");
    call.timer = TimerDue{.timer = timer, .due = at(due)};
    return call;
  }
  void fail(const base::InvocationId& id, std::int64_t when) {
    CallBatch batch;
    batch.changed.push_back({.id = id, .state = State::kFailed, .attempts = 2, .due = at(when), .error = "it raised"});
    ASSERT_TRUE(calls_->commit(batch));
  }

  HeldDisk disk_;
  TempDir temp_;
  std::unique_ptr<SqliteCalls> calls_;
};

TEST_F(CallsTest, WhatWasCommittedIsThereWhole) {
  const NewCall call = call_of("a", std::string("\0\xff{}", 4));
  ASSERT_TRUE(add(call));
  reopen();
  const auto read = calls_->with_event(call.call.id);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->event, std::string("\0\xff{}", 4));
  const auto waiting = calls_->waiting();
  ASSERT_TRUE(waiting);
  ASSERT_EQ(waiting->size(), 1U);
  const StoredCall& stored = waiting->front();
  EXPECT_EQ(stored.id, call.call.id);
  EXPECT_EQ(stored.version, "3");
  EXPECT_EQ(stored.traceparent + stored.tracestate, "00-a-b-01x=y");
  EXPECT_EQ(stored.terms, call.call.terms);
  EXPECT_EQ(stored.deadline, at(3700));
  EXPECT_EQ(stored.event_size.count, 4U);
  EXPECT_EQ(calls_->kept().at("a").bytes, 4U);
}

TEST_F(CallsTest, EndsAreKeptAndUnknownOnesDoNothing) {
  const NewCall done = call_of("a");
  const NewCall again = call_of("a");
  ASSERT_TRUE(add(done));
  ASSERT_TRUE(add(again));
  CallBatch batch;
  batch.removed = {done.call.id, base::new_invocation_id()};
  batch.changed.push_back({.id = again.call.id, .attempts = 1, .due = at(160), .error = "it raised"});
  batch.changed.push_back({.id = base::new_invocation_id(), .state = State::kFailed});
  ASSERT_TRUE(calls_->commit(batch));
  reopen();
  EXPECT_EQ(calls_->call(done.call.id).error().code, base::Code::kNotFound);
  const auto stored = calls_->call(again.call.id);
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->attempts, 1U);
  EXPECT_EQ(stored->due, at(160));
  EXPECT_EQ(stored->error, "it raised");
  EXPECT_EQ(stored->deadline, at(3700)) << "as it was";
  EXPECT_EQ(calls_->kept().at("a").calls, 1U);
}

TEST_F(CallsTest, FailedOnesDoNotWaitAndWaitAgainWhenTold) {
  const NewCall call = call_of("a");
  ASSERT_TRUE(add(call));
  fail(call.call.id, 200);
  EXPECT_TRUE(calls_->waiting()->empty());
  EXPECT_EQ(calls_->kept().at("a").failed, 1U);
  EXPECT_EQ(calls_->calls({.app = "a"}, State::kFailed)->size(), 1U);
  EXPECT_TRUE(calls_->calls({.app = "a", .function = "g"}, State::kFailed)->empty());
  EXPECT_TRUE(calls_->calls({.app = "b"}, State::kFailed)->empty());
  CallBatch batch;
  batch.changed.push_back({.id = call.call.id, .due = at(300), .deadline = at(9000)});
  ASSERT_TRUE(calls_->commit(batch));
  EXPECT_EQ(calls_->waiting()->at(0).deadline, at(9000));
  EXPECT_EQ(calls_->kept().at("a").failed, 0U);
}

TEST_F(CallsTest, AFullAppIsRefusedAndOthersAreNot) {
  reopen({.app_calls = 3});
  const NewCall first = call_of("a");
  const NewCall second = call_of("a");
  for (const NewCall& one : {first, second, call_of("a")}) ASSERT_TRUE(add(one));
  const auto refused = add(call_of("a"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("app a has as many"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(add(call_of("b")));
  fail(second.call.id, 200);
  fail(first.call.id, 300);
  EXPECT_TRUE(add(call_of("a"))) << "a failed one makes way";
  EXPECT_FALSE(calls_->call(second.call.id)) << "the one that failed first";
  EXPECT_TRUE(calls_->call(first.call.id));
  reopen({.app_calls = 3});
  EXPECT_TRUE(add(call_of("a"))) << "the other one";
  EXPECT_FALSE(add(call_of("a"))) << "what is kept was counted anew";
}

TEST_F(CallsTest, EventsHaveTheirBoundOfBytes) {
  reopen({.app_bytes = 10});
  ASSERT_TRUE(add(call_of("a", "1234567")));
  EXPECT_FALSE(add(call_of("a", "1234")));
  EXPECT_TRUE(add(call_of("a", "123")));
  EXPECT_EQ(calls_->kept().at("a").bytes, 10U);
}

TEST_F(CallsTest, AFullNodeIsRefusedAfterItsOldestFailedCallsMadeWay) {
  reopen({.app_calls = 3, .node_calls = 4});
  const NewCall failed = call_of("a");
  for (const NewCall& one : {failed, call_of("a"), call_of("b"), call_of("c")}) ASSERT_TRUE(add(one));
  fail(failed.call.id, 200);
  EXPECT_TRUE(add(call_of("b"))) << "another app's";
  EXPECT_FALSE(calls_->call(failed.call.id));
  const auto refused = add(call_of("d"));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("this node has as many"), std::string::npos) << refused.error().message;
}

TEST_F(CallsTest, OneOfABatchMayBeRefusedAndTheOthersKept) {
  reopen({.app_calls = 2});
  CallBatch batch;
  for (const char* app : {"a", "a", "a", "b"}) batch.added.push_back(call_of(app));
  const auto refusals = calls_->commit(batch);
  ASSERT_TRUE(refusals);
  EXPECT_FALSE(refusals->at(0));
  EXPECT_FALSE(refusals->at(1));
  EXPECT_TRUE(refusals->at(2));
  EXPECT_FALSE(refusals->at(3));
  EXPECT_FALSE(calls_->call(batch.added[2].call.id));
  EXPECT_EQ(calls_->kept().at("a").calls, 2U);
}

TEST_F(CallsTest, ABatchThatFailsLeavesNothing) {
  const NewCall twice = call_of("a");
  CallBatch batch;
  batch.added = {call_of("a"), twice, twice};
  EXPECT_FALSE(calls_->commit(batch)) << "an id is there once";
  EXPECT_TRUE(calls_->waiting()->empty());
  EXPECT_TRUE(calls_->kept().empty());
}

TEST_F(CallsTest, RemovesThoseOfAnAppOrOfAFunction) {
  NewCall other = call_of("a");
  other.call.function = "g";
  ASSERT_TRUE(add(call_of("a")));
  ASSERT_TRUE(add(other));
  ASSERT_TRUE(add(call_of("b")));
  EXPECT_EQ(calls_->remove_all("a", "f").value(), 1U);
  EXPECT_TRUE(calls_->call(other.call.id));
  EXPECT_EQ(calls_->remove_all("a", "").value(), 1U);
  EXPECT_EQ(calls_->remove_all("a", "").value(), 0U);
  EXPECT_EQ(calls_->kept().size(), 1U);
}

TEST_F(CallsTest, ForgetsWhatFailedLongAgo) {
  const NewCall old = call_of("a");
  const NewCall young = call_of("a");
  const NewCall waits = call_of("a");
  for (const NewCall& one : {old, young, waits}) ASSERT_TRUE(add(one));
  fail(old.call.id, 200);
  fail(young.call.id, 400);
  EXPECT_EQ(calls_->forget_failed(at(300)).value(), 1U);
  EXPECT_FALSE(calls_->call(old.call.id));
  EXPECT_TRUE(calls_->call(young.call.id));
  EXPECT_TRUE(calls_->call(waits.call.id));
  EXPECT_EQ(calls_->forget_failed(at(500)).value(), 1U) << "and never one that waits";
}

TEST_F(CallsTest, WhatIsReadDoesNotWaitForTheDiskBehindWhatIsWritten) {
  const NewCall call = call_of("a", "event");
  ASSERT_TRUE(add(call));
  disk_.hold();
  auto writes = std::async(std::launch::async, [this] { return add(call_of("a")); });
  disk_.wait_until_somebody_waits();
  auto reads = std::async(std::launch::async, [this, id = call.call.id] {
    const auto one = calls_->call(id);
    const auto event = calls_->with_event(id);
    const auto all = calls_->calls({.app = "a"}, State::kWaiting);
    return one && event && event->event == "event" && all && all->size() == 1 && calls_->waiting()->size() == 1;
  });
  // The limit is for a test that fails: else it would hang.
  const bool answered = reads.wait_for(30s) == std::future_status::ready;
  disk_.let_go();
  EXPECT_TRUE(answered);
  EXPECT_TRUE(reads.get()) << "as it was before the commit that is under way";
  EXPECT_TRUE(writes.get());
  EXPECT_EQ(calls_->waiting()->size(), 2U) << "and after it";
}

TEST_F(CallsTest, ALookForOldOnesWhereThereAreNoneDoesNotTouchTheDisk) {
  const NewCall failed = call_of("a");
  ASSERT_TRUE(add(failed));
  fail(failed.call.id, 400);
  const int before = disk_.syncs();
  EXPECT_EQ(calls_->forget_failed(at(300)).value(), 0U);
  EXPECT_EQ(disk_.syncs(), before);
  EXPECT_EQ(calls_->forget_failed(at(500)).value(), 1U);
  EXPECT_GT(disk_.syncs(), before);
  EXPECT_TRUE(calls_->kept().empty());
}

TEST_F(CallsTest, ADueTimeOfATimerIsHandledOnce) {
  ASSERT_TRUE(calls_->set_timers("a", "f", {"every 1s"}, at(10)));
  ASSERT_TRUE(add(timer_call("every 1s", 11)));
  EXPECT_EQ(add(timer_call("every 1s", 11)).error().code, base::Code::kConflict);
  EXPECT_EQ(add(timer_call("every 1s", 9)).error().code, base::Code::kConflict) << "the clock was set back";
  reopen();
  EXPECT_EQ(add(timer_call("every 1s", 11)).error().code, base::Code::kConflict) << "nor after a restart";
  EXPECT_EQ(calls_->timers()->at(0).handled, at(11));
  EXPECT_TRUE(add(timer_call("every 1s", 12)));
  EXPECT_EQ(calls_->waiting()->size(), 2U);
}

TEST_F(CallsTest, ADueTimeIsHandledOnlyWithItsTransaction) {
  ASSERT_TRUE(calls_->set_timers("a", "f", {"every 1s"}, at(10)));
  NewCall twice = timer_call("every 1s", 11);
  CallBatch batch;
  batch.added = {twice, twice};
  batch.added[1].timer.reset();
  EXPECT_FALSE(calls_->commit(batch)) << "an id is there once";
  EXPECT_EQ(calls_->timers()->at(0).handled, at(10));
  EXPECT_TRUE(add(twice));
}

TEST_F(CallsTest, ADueTimeThatFoundNoRoomIsHandledToo) {
  reopen({.app_calls = 1});
  ASSERT_TRUE(calls_->set_timers("a", "f", {"every 1s"}, at(10)));
  const NewCall first = call_of("a");
  ASSERT_TRUE(add(first));
  EXPECT_EQ(add(timer_call("every 1s", 11)).error().code, base::Code::kResourceExhausted);
  ASSERT_EQ(calls_->remove_all("a", "other").value(), 0U);
  EXPECT_EQ(add(timer_call("every 1s", 11)).error().code, base::Code::kConflict);
  EXPECT_EQ(calls_->waiting()->size(), 1U);
}

TEST_F(CallsTest, TimersInForceAreThoseThatWereSetLast) {
  ASSERT_TRUE(calls_->set_timers("a", "f", {"one", "two"}, at(10)));
  ASSERT_TRUE(calls_->set_timers("a", "g", {"one"}, at(10)));
  ASSERT_TRUE(add(timer_call("two", 15)));
  ASSERT_TRUE(calls_->set_timers("a", "f", {"two", "three"}, at(20)));
  EXPECT_EQ(add(timer_call("one", 21)).error().code, base::Code::kConflict) << "not in force any more";
  std::map<std::string, base::WallTime> handled;
  for (const StoredTimer& one : *calls_->timers()) handled[one.function + " " + one.timer] = one.handled;
  const std::map<std::string, base::WallTime> wanted{{"f two", at(15)}, {"f three", at(20)}, {"g one", at(10)}};
  EXPECT_EQ(handled, wanted) << "one that stayed goes on, another begins";
  ASSERT_TRUE(calls_->remove_all("a", "f"));
  EXPECT_EQ(calls_->timers()->size(), 1U);
  EXPECT_EQ(add(timer_call("two", 30)).error().code, base::Code::kConflict) << "it went with its function";
}

TEST_F(CallsTest, AFileOfBeforeTimersIsTakenOver) {
  const NewCall call = call_of("a");
  ASSERT_TRUE(add(call));
  calls_.reset();
  {
    auto database = SqliteDatabase::open(file());
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->execute("DROP TABLE timers; PRAGMA user_version = 1"));
  }
  reopen();
  EXPECT_TRUE(calls_->call(call.call.id));
  EXPECT_TRUE(calls_->timers()->empty());
  ASSERT_TRUE(calls_->set_timers("a", "f", {"one"}, at(10)));
  reopen();
  EXPECT_EQ(calls_->timers()->size(), 1U);
}

TEST_F(CallsTest, RefusesAFileOfANewerEbb) {
  {
    auto database = SqliteDatabase::open(file());
    ASSERT_TRUE(database);
    ASSERT_TRUE((*database)->execute("PRAGMA user_version = 99"));
  }
  calls_.reset();
  const auto opened = SqliteCalls::open(file());
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("newer Ebb"), std::string::npos) << opened.error().message;
}

}  // namespace
}  // namespace ebb::store
