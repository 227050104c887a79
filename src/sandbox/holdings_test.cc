// Goal: what the daemon holds of one kind stays within its bounds, an app cannot take another's part, and what is given
// back is there again. Method: holds of sizes around the bounds of answers, and what is different for bodies.
#include "sandbox/holdings.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "base/limits.h"
#include "base/limits_held.h"
#include "sandbox/answers.h"
#include "sandbox/request_bodies.h"

namespace ebb::sandbox {
namespace {

TEST(Holdings, SmallOnesAreNotCounted) {
  Holdings answers(kAnswerBounds);
  HeldAnswer held(answers.of("a"));
  EXPECT_TRUE(held.grow_to(limits::kAnswerFreeBytes));
  EXPECT_EQ(answers.bytes(), 0u);
  EXPECT_TRUE(held.grow_to(limits::kAnswerFreeBytes + 1));
  EXPECT_EQ(answers.bytes(), limits::kAnswerFreeBytes + 1);
}

TEST(Holdings, OneGrowsAndIsGivenBackOnce) {
  Holdings answers(kAnswerBounds);
  {
    HeldAnswer held(answers.of("a"));
    EXPECT_TRUE(held.grow_to(1'000'000));
    EXPECT_TRUE(held.grow_to(3'000'000));
    EXPECT_TRUE(held.grow_to(2'000'000)) << "it never gets smaller";
    EXPECT_EQ(answers.bytes(), 3'000'000u);
    const HeldAnswer moved(std::move(held));
    EXPECT_EQ(moved.counted(), 3'000'000u);
    EXPECT_EQ(answers.bytes(), 3'000'000u);
  }
  EXPECT_EQ(answers.bytes(), 0u);
}

TEST(Holdings, AnAppHasItsBoundAndTheErrorNamesIt) {
  Holdings answers(kAnswerBounds);
  std::vector<HeldAnswer> held;
  for (std::uint64_t taken = 0; taken < limits::kAnswerBytesPerApp; taken += limits::kHttpBodyBytes) {
    EXPECT_TRUE(held.emplace_back(answers.of("hog")).grow_to(limits::kHttpBodyBytes));
  }
  HeldAnswer more(answers.of("hog"));
  const base::Result<> refused = more.grow_to(limits::kAnswerFreeBytes + 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kTooLarge);
  EXPECT_NE(refused.error().message.find("app hog as it may, 256Mi"), std::string::npos) << refused.error().message;
  EXPECT_TRUE(more.grow_to(limits::kAnswerFreeBytes)) << "small ones pass";
  EXPECT_EQ(answers.bytes(), limits::kAnswerBytesPerApp) << "what was refused is not counted";
  EXPECT_TRUE(HeldAnswer(answers.of("other")).grow_to(limits::kHttpBodyBytes));
  held.pop_back();
  EXPECT_TRUE(more.grow_to(limits::kHttpBodyBytes));
}

TEST(Holdings, TheLargestFindsRoomInAFullNode) {
  Holdings answers(kAnswerBounds);
  std::vector<HeldAnswer> held;
  for (const char* hog : {"hog1", "hog2"}) {
    for (std::uint64_t taken = 0; taken < limits::kAnswerBytesPerApp; taken += limits::kHttpBodyBytes) {
      EXPECT_TRUE(held.emplace_back(answers.of(hog)).grow_to(limits::kHttpBodyBytes));
    }
  }
  EXPECT_EQ(answers.bytes(), limits::kAnswerBytesPerNode);
  HeldAnswer other(answers.of("other")), second(answers.of("other"));
  EXPECT_TRUE(other.grow_to(limits::kHttpBodyBytes + limits::kFrameMetaBytes));
  const base::Result<> refused = second.grow_to(limits::kAnswerFreeBytes + 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted) << "not its own doing";
  EXPECT_NE(refused.error().message.find("all apps as it may, 512Mi"), std::string::npos) << refused.error().message;
}

TEST(Holdings, BodiesHaveTheirOwnBoundAndCode) {
  Holdings answers(kAnswerBounds), bodies(kRequestBodyBounds);
  std::vector<Held> held;
  for (std::uint64_t taken = 0; taken < limits::kRequestBytesPerApp; taken += limits::kHttpBodyBytes) {
    EXPECT_TRUE(held.emplace_back(bodies.of("hog")).grow_to(limits::kHttpBodyBytes));
  }
  Held more(bodies.of("hog"));
  EXPECT_TRUE(more.grow_to(limits::kUnreadBodyBytes)) << "small ones pass";
  const base::Result<> refused = more.grow_to(limits::kUnreadBodyBytes + 1);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted) << "the caller may try again";
  EXPECT_TRUE(refused.error().retry_after);
  EXPECT_NE(refused.error().message.find("request bodies of app hog as it may, 256Mi"), std::string::npos)
      << refused.error().message;
  EXPECT_TRUE(Held(bodies.of("other")).grow_to(limits::kHttpBodyBytes));
  EXPECT_TRUE(Held(answers.of("hog")).grow_to(limits::kHttpBodyBytes)) << "answers are counted apart";
}

TEST(Holdings, OneThatDoesNotFitCostsNobodyTheRoomThatThereIs) {
  Holdings answers(kAnswerBounds);
  constexpr std::uint64_t kRoom = 4 * limits::kAnswerFreeBytes;
  Held most(answers.of("a"));
  ASSERT_TRUE(most.grow_to(limits::kAnswerBytesPerApp - kRoom));
  constexpr int kTries = 200'000;
  std::atomic<bool> done = false;
  std::atomic<int> begun = 0;
  std::thread too_long([&] {
    while (!done) {
      Held answer(answers.of("a"));
      EXPECT_FALSE(answer.grow_to(kRoom + 1));
      ++begun;
    }
  });
  while (begun == 0) std::this_thread::yield();
  int refused = 0;
  for (int i = 0; i < kTries; ++i) {
    Held answer(answers.of("a"));
    if (!answer.grow_to(kRoom)) ++refused;
  }
  done = true;
  too_long.join();
  EXPECT_EQ(refused, 0);
  most.release();
  EXPECT_EQ(answers.bytes(), 0u);
}

}  // namespace
}  // namespace ebb::sandbox
