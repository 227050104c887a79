// Goal: what counts as an attempt, what waits and what is hopeless. Method: every outcome and every code.
#include "node/async_end.h"

#include <gtest/gtest.h>

namespace ebb::node {
namespace {

using How = sched::AsyncEnd::How;
using model::Outcome;

base::Error error_of(base::Code code) { return {.code = code, .message = "it says so"}; }

TEST(AsyncEnd, WithARecordItsOutcomeDecides) {
  const base::Error error = error_of(base::Code::kFunctionFailed);
  EXPECT_EQ(async_end_of(std::nullopt, Outcome::kOk).how, How::kDone);
  for (const Outcome outcome : {Outcome::kFunctionError, Outcome::kCrashed, Outcome::kOutOfMemory, Outcome::kTimedOut})
    EXPECT_EQ(async_end_of(error, outcome).how, How::kFailed) << model::name_of(outcome);
  EXPECT_EQ(async_end_of(error, Outcome::kPlatformFault).how, How::kFault) << "though user code ended with it";
  EXPECT_EQ(async_end_of(error, Outcome::kCancelled).how, How::kFault);
  EXPECT_EQ(async_end_of(error, Outcome::kCrashed).why, "it says so");
  EXPECT_EQ(async_end_of(error_of(base::Code::kInvalidArgument), Outcome::kFunctionError).how, How::kHopeless)
      << "a function that takes no such call";
  EXPECT_EQ(async_end_of(std::nullopt, Outcome::kFunctionError).why, "function_error");
}

TEST(AsyncEnd, AnAnswerToATimerBeyond2xxSaysThatItFailed) {
  EXPECT_EQ(async_end_of(std::nullopt, Outcome::kOk, 204).how, How::kDone);
  for (const int status : {301, 404, 500}) {
    const sched::AsyncEnd end = async_end_of(std::nullopt, Outcome::kOk, status);
    EXPECT_EQ(end.how, How::kFailed) << status;
    EXPECT_EQ(end.why, "it answered with status " + std::to_string(status));
  }
}

TEST(AsyncEnd, WithoutOneTheErrorDecides) {
  EXPECT_EQ(async_end_of(error_of(base::Code::kFunctionFailed), std::nullopt).how, How::kFailed) << "it does not start";
  EXPECT_EQ(async_end_of(error_of(base::Code::kNotFound), std::nullopt).how, How::kHopeless);
  EXPECT_EQ(async_end_of(error_of(base::Code::kTooLarge), std::nullopt).how, How::kHopeless);
  for (const base::Code code :
       {base::Code::kUnavailable, base::Code::kInternal, base::Code::kDeadlineExceeded, base::Code::kCancelled})
    EXPECT_EQ(async_end_of(error_of(code), std::nullopt).how, How::kFault) << base::name_of(code);
  base::Error full = error_of(base::Code::kResourceExhausted);
  full.retry_after = std::chrono::seconds(7);
  const sched::AsyncEnd refused = async_end_of(full, std::nullopt);
  EXPECT_EQ(refused.how, How::kRefused);
  EXPECT_EQ(refused.retry_after, std::chrono::seconds(7));
}

}  // namespace
}  // namespace ebb::node
