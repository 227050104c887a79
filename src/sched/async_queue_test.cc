// Goal: whose turn it is, what an attempt's end means, and that no function or app keeps another back.
// Method: a clock that the test sets; every call by a name.
#include "sched/async_queue.h"

#include <gtest/gtest.h>

#include <chrono>

#include "base/limits_async.h"

namespace ebb::sched {
namespace {

using namespace std::chrono_literals;
using How = AsyncEnd::How;
using Next = AsyncVerdict::Next;

base::InvocationId id_of(std::uint8_t number) {
  base::InvocationId id;
  id.bytes[15] = number;
  return id;
}

class AsyncQueueTest : public testing::Test {
 protected:
  void add(std::uint8_t number, const std::string& app = "a", const std::string& function = "f",
           const std::string& version = "") {
    queue_.add({.id = id_of(number),
                .app = app,
                .function = function,
                .version = version,
                .terms = terms_,
                .accepted = now_,
                .due = now_,
                .deadline = now_ + terms_.max_age});
  }
  // The number of the call that begins, 0 for none.
  int begun() {
    const auto leave = [this](const AsyncCall& call) {
      ++asked_;
      const auto closed = closed_.find(call.app);
      const auto places = places_.find(call.function);
      const auto version = versions_.find(call.version);
      return AsyncQueue::Leave{.version = version == versions_.end() ? 0 : version->second,
                               .places = places == places_.end() ? 100 : places->second,
                               .why_not = closed == closed_.end() ? "" : closed->second,
                               .ask_again = 1s};
    };
    const auto call = queue_.next(now_, leave);
    return call ? call->id.bytes[15] : 0;
  }
  AsyncVerdict end(std::uint8_t number, How how, base::Duration retry_after = {}) {
    const auto verdict = queue_.ended(id_of(number), {.how = how, .why = "why", .retry_after = retry_after}, now_);
    EXPECT_TRUE(verdict);
    return verdict.value_or(AsyncVerdict{});
  }
  std::string waits(std::uint8_t number) { return queue_.view(id_of(number), now_).value().waits_because; }

  base::SteadyTime now_{1000h};
  model::AsyncTerms terms_;
  std::map<std::string, std::string> closed_;      // by app
  std::map<std::string, std::uint32_t> places_;    // by function
  std::map<std::string, std::uint32_t> versions_;  // by how they are called
  int asked_ = 0;
  AsyncQueue queue_{{.per_app = 4, .per_node = 8}};
};

TEST_F(AsyncQueueTest, FirstComeFirstServedWithinAFunction) {
  add(3);
  add(1);
  add(2);
  EXPECT_EQ(begun(), 3);
  EXPECT_EQ(begun(), 1);
  EXPECT_EQ(begun(), 2);
  EXPECT_EQ(begun(), 0);
}

TEST_F(AsyncQueueTest, FunctionsTakeTurns) {
  for (std::uint8_t number = 1; number <= 5; ++number) add(number, "a", "greedy");
  add(10, "a", "modest");
  add(20, "b", "other");
  EXPECT_EQ(begun(), 1);
  EXPECT_EQ(begun(), 10);
  EXPECT_EQ(begun(), 20);
  EXPECT_EQ(begun(), 2);
}

TEST_F(AsyncQueueTest, AnAppHasItsBoundAndNeverTheLastPlaces) {
  for (std::uint8_t number = 1; number <= 20; ++number) add(number, "a", "f");
  int of_a = 0;
  while (begun() != 0) ++of_a;
  EXPECT_EQ(of_a, 4) << "per_app";
  for (std::uint8_t number = 21; number <= 40; ++number) add(number, "b", "f");
  int of_b = 0;
  while (begun() != 0) ++of_b;
  EXPECT_EQ(of_b, 2) << "it holds two where two are left";
  add(41, "c", "f");
  EXPECT_EQ(begun(), 41) << "who comes last finds room";
  end(1, How::kDone);
  end(2, How::kDone);
  EXPECT_NE(begun(), 0) << "what ended gives its room back";
}

TEST_F(AsyncQueueTest, AFunctionHasAsManyPlacesAsItIsGiven) {
  places_["f"] = 2;
  for (std::uint8_t number = 1; number <= 5; ++number) add(number);
  EXPECT_EQ(begun(), 1);
  EXPECT_EQ(begun(), 2);
  EXPECT_EQ(begun(), 0);
  end(1, How::kDone);
  EXPECT_EQ(begun(), 3);
  EXPECT_EQ(begun(), 0);
  places_["f"] = 0;
  end(2, How::kDone);
  end(3, How::kDone);
  EXPECT_EQ(begun(), 4) << "one at the least";
}

TEST_F(AsyncQueueTest, AnAliasesBacklogKeepsNobodyBackWhoCallsAnotherVersion) {
  places_["f"] = 1;
  versions_ = {{"", 2}, {"live", 1}};
  for (std::uint8_t number = 1; number <= 3; ++number) add(number, "a", "f", "live");
  add(10);
  EXPECT_EQ(begun(), 10);
  EXPECT_EQ(begun(), 1) << "another version has places of its own";
  EXPECT_EQ(begun(), 0);
  end(10, How::kRefused, 5s);
  EXPECT_EQ(begun(), 0) << "the version that runs is full, the other one held";
  end(1, How::kDone);
  EXPECT_EQ(begun(), 2) << "and holds up only those who called the same way";
}

TEST_F(AsyncQueueTest, AVersionHasItsPlacesHoweverItIsCalled) {
  places_["f"] = 2;
  versions_ = {{"", 7}, {"live", 7}, {"7", 7}};
  add(1);
  add(2, "a", "f", "live");
  add(3, "a", "f", "7");
  EXPECT_EQ(begun(), 1);
  EXPECT_EQ(begun(), 3);
  EXPECT_EQ(begun(), 0);
  versions_["live"] = 6;  // what it stands for is found out when its turn comes
  EXPECT_EQ(begun(), 2);
  for (std::uint8_t number = 1; number <= 3; ++number) end(number, How::kDone);
  add(4);
  EXPECT_EQ(begun(), 4) << "what ended gives its place back";
}

TEST_F(AsyncQueueTest, FailuresAreTriedAgainWithDoublingPausesAndThenGivenUp) {
  add(1);
  ASSERT_EQ(begun(), 1);
  AsyncVerdict verdict = end(1, How::kFailed);
  EXPECT_EQ(verdict.next, Next::kWaits);
  EXPECT_EQ(verdict.attempts, 1U);
  EXPECT_EQ(verdict.due, now_ + 1min);
  EXPECT_NE(waits(1).find("after 1 attempt"), std::string::npos);
  now_ += 59s;
  EXPECT_EQ(begun(), 0);
  now_ += 1s;
  ASSERT_EQ(begun(), 1);
  verdict = end(1, How::kFailed);
  EXPECT_EQ(verdict.due, now_ + 2min);
  now_ += 2min;
  ASSERT_EQ(begun(), 1);
  verdict = end(1, How::kFailed);
  EXPECT_EQ(verdict.next, Next::kFailed);
  EXPECT_EQ(verdict.attempts, 3U);
  EXPECT_EQ(verdict.why, "why");
  EXPECT_FALSE(queue_.view(id_of(1), now_)) << "not inside any more";
}

TEST_F(AsyncQueueTest, PausesHaveABound) {
  terms_ = {.retries = 10, .retry_after = 30min, .max_age = 24h};
  add(1);
  for (const base::Duration pause : {30min, 60min, 60min}) {
    ASSERT_EQ(begun(), 1);
    EXPECT_EQ(end(1, How::kFailed).due, now_ + pause);
    now_ += pause;
  }
}

TEST_F(AsyncQueueTest, NoRetryBeginsAfterMaxAge) {
  terms_.max_age = 50s;
  add(1);
  ASSERT_EQ(begun(), 1);
  const AsyncVerdict verdict = end(1, How::kFailed);
  EXPECT_EQ(verdict.next, Next::kFailed);
  EXPECT_NE(verdict.why.find("max_age"), std::string::npos);
}

TEST_F(AsyncQueueTest, RefusalsAndFaultsAreNoAttempts) {
  terms_.retries = 0;
  add(1);
  for (int time = 0; time < 5; ++time) {
    ASSERT_EQ(begun(), 1);
    const AsyncVerdict verdict = end(1, How::kRefused, 3s);
    EXPECT_EQ(verdict.next, Next::kWaits);
    EXPECT_EQ(verdict.attempts, 0U);
    EXPECT_EQ(waits(1), "why");
    now_ += 2999ms;
    EXPECT_EQ(begun(), 0);
    now_ += 1ms;
  }
  for (const base::Duration pause : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    ASSERT_EQ(begun(), 1);
    const AsyncVerdict verdict = end(1, How::kFault);
    EXPECT_EQ(verdict.next, Next::kWaits);
    EXPECT_EQ(verdict.attempts, 0U);
    EXPECT_EQ(verdict.due, now_ + pause);
    now_ += pause;
  }
  ASSERT_EQ(begun(), 1);
  EXPECT_EQ(end(1, How::kFailed).next, Next::kFailed) << "the one attempt that counts";
}

TEST_F(AsyncQueueTest, ARefusalHoldsItsFunctionOnlyAndNotForLong) {
  add(1, "a", "f");
  add(2, "a", "f");
  add(3, "a", "g");
  ASSERT_EQ(begun(), 1);
  end(1, How::kRefused, 30 * 24h);
  EXPECT_EQ(begun(), 3);
  EXPECT_EQ(begun(), 0);
  now_ += limits::kAsyncHoldMax;
  EXPECT_EQ(begun(), 1) << "still the first of its function";
}

TEST_F(AsyncQueueTest, ASpentBudgetHoldsAndIsAskedForOnceASecond) {
  closed_["a"] = "app a has used its budget";
  add(1, "a", "f");
  add(2, "a", "f");
  add(3, "b", "f");
  EXPECT_EQ(begun(), 3) << "others go on";
  asked_ = 0;
  for (int look = 0; look < 100; ++look) {
    EXPECT_EQ(begun(), 0);
    now_ += 100ms;
  }
  EXPECT_LE(asked_, 11) << "no busy loop";
  EXPECT_EQ(waits(2), "app a has used its budget");
  EXPECT_EQ(queue_.held_because("a", "f", "", now_), "app a has used its budget");
  EXPECT_EQ(queue_.held_because("b", "f", "", now_), "");
  closed_.clear();
  queue_.release();
  EXPECT_EQ(begun(), 1) << "at once, without waiting for the next look";
  EXPECT_EQ(begun(), 2);
}

TEST_F(AsyncQueueTest, WhatWaitedForItsMaxAgeIsTakenOut) {
  terms_.max_age = 10s;
  closed_["a"] = "spent";
  add(1, "a", "f");
  EXPECT_EQ(begun(), 0);
  now_ += 9s;
  EXPECT_TRUE(queue_.expire(now_).empty());
  EXPECT_EQ(begun(), 0);
  now_ += 1s;
  const auto expired = queue_.expire(now_);
  ASSERT_EQ(expired.size(), 1U);
  EXPECT_EQ(expired[0].id, id_of(1));
  EXPECT_NE(expired[0].why.find("10s"), std::string::npos) << expired[0].why;
  EXPECT_NE(expired[0].why.find("spent"), std::string::npos) << expired[0].why;
  EXPECT_TRUE(queue_.expire(now_).empty());
  EXPECT_EQ(begun(), 0);
}

TEST_F(AsyncQueueTest, WhatRunsDoesNotExpire) {
  terms_.max_age = 10s;
  add(1);
  ASSERT_EQ(begun(), 1);
  now_ += 1h;
  EXPECT_TRUE(queue_.expire(now_).empty());
  EXPECT_EQ(end(1, How::kFault).next, Next::kWaits);
  EXPECT_EQ(queue_.expire(now_).size(), 1U) << "but it does not begin again";
}

TEST_F(AsyncQueueTest, HopelessCallsFailAtOnce) {
  add(1);
  ASSERT_EQ(begun(), 1);
  const AsyncVerdict verdict = end(1, How::kHopeless);
  EXPECT_EQ(verdict.next, Next::kFailed);
  EXPECT_EQ(verdict.attempts, 0U);
}

TEST_F(AsyncQueueTest, RemovalLeavesNothingBehind) {
  using Removed = AsyncQueue::Removed;
  add(1);
  add(2);
  add(3, "a", "g");
  add(4, "b", "f");
  ASSERT_EQ(begun(), 1);
  EXPECT_EQ(queue_.remove(id_of(1)), Removed::kRuns);
  EXPECT_EQ(queue_.remove(id_of(2)), Removed::kYes);
  EXPECT_EQ(queue_.remove(id_of(2)), Removed::kNotInside);
  queue_.remove_all("a", "");
  EXPECT_FALSE(queue_.ended(id_of(1), {.how = How::kDone}, now_)) << "its end is nobody's business any more";
  EXPECT_EQ(queue_.counts().count("a"), 0U);
  EXPECT_EQ(begun(), 4);
  for (std::uint8_t number = 11; number <= 14; ++number) add(number);
  for (int place = 0; place < 4; ++place) EXPECT_NE(begun(), 0) << "the place of the removed one that ran is free";
}

TEST_F(AsyncQueueTest, HasteSkipsAPause) {
  add(1);
  ASSERT_EQ(begun(), 1);
  EXPECT_FALSE(queue_.hasten(id_of(1), now_)) << "it runs";
  end(1, How::kFailed);
  EXPECT_EQ(begun(), 0);
  EXPECT_TRUE(queue_.hasten(id_of(1), now_));
  EXPECT_EQ(begun(), 1);
}

TEST_F(AsyncQueueTest, CountsWhatWaitsAndRuns) {
  add(1);
  now_ += 5s;
  add(2);
  ASSERT_EQ(begun(), 1);
  const auto counts = queue_.counts();
  EXPECT_EQ(counts.at("a").running, 1U);
  EXPECT_EQ(counts.at("a").waiting, 1U);
  EXPECT_EQ(now_ - counts.at("a").oldest, 5s);
  EXPECT_EQ(queue_.running("a", ""), std::vector{id_of(1)});
  EXPECT_TRUE(queue_.running("a", "g").empty());
}

}  // namespace
}  // namespace ebb::sched
