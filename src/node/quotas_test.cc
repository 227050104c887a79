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

TEST(Quotas, WhoYieldsLeavesHalfOfThePlaces) {
  Quotas quotas;
  const auto gate = quotas.gate("a");
  const auto yielding = [&] { return Gate::enter(gate, kNow, Gate::Taker::kYielding); };
  quotas.set({.app = "a", .calls_at_once = 3});
  const auto first = yielding();
  const auto second = yielding();
  const auto third = yielding();
  ASSERT_TRUE(first && second);
  ASSERT_FALSE(third);
  EXPECT_THAT(third.error().message, testing::HasSubstr("half of the 3 calls at once of app a's quota"));
  EXPECT_TRUE(Gate::enter(gate, kNow)) << "who waits finds one";
  quotas.set({.app = "b", .calls_at_once = 1});
  EXPECT_TRUE(Gate::enter(quotas.gate("b"), kNow, Gate::Taker::kYielding)) << "one at the least";
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

TEST(Quotas, AnOrganisationsBoundAllItsAppsTogether) {
  Quotas quotas;
  quotas.set({.calls_at_once = 2, .organisation = "acme"});
  for (const char* app : {"a", "b"}) quotas.belong(app, "acme");
  quotas.belong("c", "other");
  auto first = std::make_unique<base::Result<Gate::Place>>(Gate::enter(quotas.gate("a"), kNow));
  const auto second = Gate::enter(quotas.gate("b"), kNow);
  const auto third = Gate::enter(quotas.gate("b"), kNow);
  ASSERT_TRUE(*first && second);
  ASSERT_FALSE(third);
  EXPECT_THAT(third.error().message, testing::HasSubstr("organisation acme has 2 calls at once"));
  EXPECT_THAT(third.error().message, testing::HasSubstr("ebb quota set --org acme"));
  EXPECT_TRUE(Gate::enter(quotas.gate("c"), kNow));
  ASSERT_EQ(quotas.views().size(), 1u);
  EXPECT_EQ(quotas.views()[0].quota.organisation, "acme");
  EXPECT_EQ(quotas.views()[0].calls_now, 2u);
  quotas.belong("b", "other");  // the call under way stays where it came in
  EXPECT_FALSE(Gate::enter(quotas.gate("a"), kNow));
  EXPECT_TRUE(Gate::enter(quotas.gate("b"), kNow));
  first.reset();
  EXPECT_TRUE(Gate::enter(quotas.gate("a"), kNow));
}

TEST(Quotas, WhoAnOrganisationRefusesDoesNotUseUpTheAppsRate) {
  Quotas quotas;
  quotas.belong("a", "acme");
  quotas.set({.app = "a", .milli_calls_per_second = 2000});
  quotas.set({.milli_calls_per_second = 1000, .organisation = "acme"});
  const auto gate = quotas.gate("a");
  EXPECT_TRUE(Gate::enter(gate, kNow));
  for (int i = 0; i < 10; ++i) {
    const auto refused = Gate::enter(gate, kNow);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message, testing::HasSubstr("organisation acme has had more calls"));
  }
  quotas.set({.organisation = "acme"});
  EXPECT_TRUE(Gate::enter(gate, kNow)) << "the app has its second call of this second still";
  EXPECT_FALSE(Gate::enter(gate, kNow));
}

TEST(Quotas, InstancesTakeRoomUntilTheyEnd) {
  Quotas quotas;
  quotas.set({.app = "a", .memory = {300}});
  quotas.set({.organisation = "acme", .memory = {500}});
  quotas.belong("a", "acme");
  quotas.belong("b", "acme");
  auto first = std::make_unique<base::Result<Gate::Room>>(Gate::make_room(quotas.gate("a"), {200}));
  ASSERT_TRUE(*first);
  const auto refused = Gate::make_room(quotas.gate("a"), {101});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, base::Code::kResourceExhausted);
  EXPECT_THAT(refused.error().message, testing::HasSubstr("app a may take 300"));
  EXPECT_TRUE(Gate::make_room(quotas.gate("a"), {100})) << "who was refused takes none";
  const auto beside = Gate::make_room(quotas.gate("b"), {300});
  ASSERT_TRUE(beside);
  EXPECT_THAT(Gate::make_room(quotas.gate("a"), {1}).error().message, testing::HasSubstr("organisation acme"));
  EXPECT_EQ(quotas.views().at(0).memory_now.count, 200u);
  quotas.belong("a", "other");
  first.reset();
  EXPECT_EQ(quotas.views().at(1).memory_now.count, 300u) << "it leaves the organisation that it was taken in";
  EXPECT_TRUE(Gate::make_room(quotas.gate("b"), {200}));
}

TEST(Quotas, WhoFindsNoRoomMayWaitForWhoLeaves) {
  Quotas quotas;
  quotas.belong("a", "acme");
  quotas.belong("b", "acme");
  const auto gate = quotas.gate("a");
  EXPECT_EQ(&Gate::departures(*gate), &Gate::departures(*quotas.gate("b"))) << "their organisation may be what is full";
  EXPECT_NE(&Gate::departures(*gate), &Gate::departures(*quotas.gate("c")));
  {
    const auto stays = Gate::make_room(gate, {1});
    auto leaves = Gate::make_room(gate, {1});
    leaves->leave();
    const Gate::Room moved = *std::move(leaves);
    EXPECT_TRUE(moved.leaving());
    EXPECT_EQ(Gate::departures(*gate).so_far(), 0u);
  }
  EXPECT_EQ(Gate::departures(*gate).so_far(), 1u) << "one left, one was never told to";
}

TEST(Quotas, AnAppHasNoMoreInstancesThanItsManifestAllows) {
  Quotas quotas;
  const auto gate = quotas.gate("a");
  EXPECT_FALSE(gate->bounds_room());
  auto before = std::make_unique<base::Result<Gate::Room>>(Gate::make_room(gate, {1}));
  quotas.limit_instances("a", 2);
  EXPECT_TRUE(gate->bounds_room());
  EXPECT_TRUE(quotas.views().empty()) << "nobody has set a quota";
  const auto second = Gate::make_room(gate, {1});
  const auto third = Gate::make_room(gate, {1});
  ASSERT_TRUE(*before && second);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, base::Code::kResourceExhausted);
  EXPECT_THAT(third.error().message, testing::HasSubstr("app a has 2 instances"));
  EXPECT_THAT(third.error().message, testing::HasSubstr("max_instances"));
  EXPECT_TRUE(Gate::make_room(quotas.gate("b"), {1}));
  before.reset();
  quotas.set({.app = "a", .memory = {2}});
  EXPECT_THAT(Gate::make_room(gate, {5}).error().message, testing::HasSubstr("quota"));
  EXPECT_TRUE(Gate::make_room(gate, {1})) << "who was refused the memory takes no place";
  quotas.set({.app = "a"});
  quotas.limit_instances("a", 0);
  EXPECT_FALSE(gate->bounds_room());
}

TEST(Quotas, WhatNeverFitsNeedsNobodysEnd) {
  Quotas quotas;
  const auto gate = quotas.gate("a");
  EXPECT_TRUE(gate->may_ever_hold({1000}));
  quotas.set({.app = "a", .memory = {10}});
  EXPECT_TRUE(gate->may_ever_hold({10}));
  EXPECT_FALSE(gate->may_ever_hold({11}));
  quotas.belong("a", "o");
  quotas.set({.organisation = "o", .memory = {5}});
  EXPECT_FALSE(gate->may_ever_hold({6}));
}

TEST(Quotas, OfStorage) {
  Quotas quotas;
  EXPECT_FALSE(quotas.storage_of({.app = "a"}));
  quotas.set({.app = "a", .storage = {7}});
  EXPECT_EQ(quotas.storage_of({.app = "a"})->count, 7u);
  EXPECT_EQ(quotas.views().size(), 1u);
}

}  // namespace
}  // namespace ebb::node
