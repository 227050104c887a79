#include "node/quotas.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ebb::node {
namespace {

using namespace std::chrono_literals;

const base::SteadyTime kNow = base::SteadyTime(1h);

TEST(Quotas, WithoutOneEveryCallComesIn) {
  Quotas quotas;
  const auto gate = quotas.gate("a");
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(Gate::enter(gate, kNow));
  EXPECT_TRUE(quotas.views().empty());
}

TEST(Quotas, CallsAtOnceComeInAsOthersLeave) {
  Quotas quotas;
  quotas.set({.app = "a", .calls_at_once = 2});
  const auto gate = quotas.gate("a");
  auto first = std::make_unique<base::Result<Gate::Place>>(Gate::enter(gate, kNow));
  const auto second = Gate::enter(gate, kNow);
  const auto third = Gate::enter(gate, kNow);
  ASSERT_TRUE(*first && second);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, base::Code::kResourceExhausted);
  EXPECT_THAT(third.error().message, testing::HasSubstr("app a has 2 calls at once"));
  EXPECT_EQ(quotas.views().at(0).calls_now, 2u);  // who was refused is not inside
  EXPECT_TRUE(Gate::enter(quotas.gate("b"), kNow));
  first.reset();
  EXPECT_TRUE(Gate::enter(gate, kNow));
}

TEST(Quotas, WhoIsTooManyDoesNotUseUpTheRate) {
  Quotas quotas;
  quotas.set({.app = "a", .milli_calls_per_second = 2000, .calls_at_once = 1});
  const auto gate = quotas.gate("a");
  {
    const auto inside = Gate::enter(gate, kNow);
    for (int i = 0; i < 10; ++i) EXPECT_FALSE(Gate::enter(gate, kNow));
  }
  EXPECT_TRUE(Gate::enter(gate, kNow));
  const auto refused = Gate::enter(gate, kNow);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("quota of 2 a second"));
  EXPECT_EQ(refused.error().retry_after, 1s);
}

TEST(Quotas, AnEmptyOneRemovesIt) {
  Quotas quotas;
  quotas.set({.app = "a", .calls_at_once = 1});
  const auto inside = Gate::enter(quotas.gate("a"), kNow);
  quotas.set({.app = "a"});
  EXPECT_TRUE(Gate::enter(quotas.gate("a"), kNow));
  EXPECT_TRUE(quotas.views().empty());
}

}  // namespace
}  // namespace ebb::node
