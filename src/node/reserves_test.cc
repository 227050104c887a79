#include "node/reserves.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ebb::node {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

model::Version version(std::uint64_t id, std::string app, std::string function, std::uint32_t reserve = 0) {
  model::Version made{.id = base::VersionId{id}, .app = std::move(app), .function = function};
  made.spec.name = std::move(function);
  made.spec.memory = base::Bytes{100 * kMiB};
  made.spec.scale.reserve = reserve;
  return made;
}

/// Of a current version whose instances need 1 MiB each.
Reserves::Use use(std::uint32_t reserve, std::uint32_t instances = 0, std::uint64_t each = kMiB) {
  return {.reserve = reserve, .instances = instances, .each = {each}};
}

TEST(Reserves, AreForOthersToLeave) {
  Reserves reserves;
  const model::Version a = version(1, "x", "a");
  const model::Version b = version(2, "x", "b");
  reserves.set(a, use(3));
  EXPECT_EQ(reserves.of_others(a).instances, 0u);
  EXPECT_EQ(reserves.of_others(b).instances, 3u);
  EXPECT_EQ(reserves.of_others(b).memory.count, 3 * kMiB);
  reserves.set(b, use(5));
  reserves.set(a, use(3, 2));
  EXPECT_EQ(reserves.of_others(b).instances, 1u);
  EXPECT_EQ(reserves.of_others(a).instances, 5u);
  EXPECT_EQ(reserves.of_others(version(3, "y", "c")).instances, 6u);
  reserves.set(a, {});
  reserves.set(b, {});
  EXPECT_EQ(reserves.of_others(version(3, "y", "c")).memory.count, 0u);
}

TEST(Reserves, ANewVersionTakesThePlaceOfTheOld) {
  Reserves reserves;
  reserves.set(version(1, "x", "a"), use(4));
  const model::Version next = version(7, "x", "a");
  EXPECT_EQ(reserves.of_others(next).instances, 0u);  // it is tried while the old one still serves
  reserves.set(next, use(4));
  EXPECT_EQ(reserves.of_others(version(1, "x", "a")).instances, 0u);
  EXPECT_EQ(reserves.of_others(version(2, "x", "aa")).instances, 8u);
}

TEST(Reserves, OfAnAppAreOneRoomForItsFunctions) {
  Reserves reserves;
  const model::Version a = version(1, "x", "a");
  const model::Version b = version(2, "x", "b");
  const model::Version stranger = version(3, "y", "c");
  reserves.set_app("x", 5);
  EXPECT_EQ(reserves.of_others(stranger).instances, 0u) << "an app without functions needs none";
  reserves.set(a, use(0));
  reserves.set(b, use(0, 0, 3 * kMiB));
  EXPECT_EQ(reserves.of_others(stranger).instances, 5u);
  EXPECT_EQ(reserves.of_others(stranger).memory.count, 5 * 3 * kMiB) << "as its largest function needs";
  EXPECT_EQ(reserves.of_others(a).instances, 0u);
  reserves.set(a, use(0, 4));
  EXPECT_EQ(reserves.of_others(stranger).instances, 1u) << "whichever function has them";
  EXPECT_EQ(reserves.of_others(stranger).memory.count, 3 * kMiB);
  reserves.set(version(9, "x", "a"), {.instances = 1});  // of an old version
  EXPECT_EQ(reserves.of_others(stranger).instances, 0u);
  EXPECT_EQ(reserves.of_app("x"), 5u);
  EXPECT_EQ(reserves.of_app("y"), 0u);
  reserves.set_app("x", 7);
  EXPECT_EQ(reserves.of_others(stranger).instances, 2u);
  reserves.set_app("x", 0);
  EXPECT_EQ(reserves.of_others(stranger).memory.count, 0u);
}

TEST(Reserves, OfAFunctionCountWithinItsApps) {
  Reserves reserves;
  const model::Version a = version(1, "x", "a");
  const model::Version b = version(2, "x", "b");
  const model::Version stranger = version(3, "y", "c");
  reserves.set_app("x", 5);
  reserves.set(a, use(2));
  reserves.set(b, use(0));
  EXPECT_EQ(reserves.of_others(stranger).instances, 5u);
  EXPECT_EQ(reserves.of_others(b).instances, 2u) << "the app's other functions leave it, too";
  reserves.set(b, use(0, 4));
  EXPECT_EQ(reserves.of_others(stranger).instances, 2u) << "what one function has reserved no other uses up";
  reserves.set(a, use(2, 2));
  EXPECT_EQ(reserves.of_others(stranger).instances, 0u);
  reserves.set(b, use(0));
  EXPECT_EQ(reserves.of_others(stranger).instances, 3u);
}

struct Wish {
  std::uint32_t of_function = 0;
  std::uint32_t of_app = 0;
};

std::string refusal(Wish wish, Wish of_another_app) {
  model::Manifest wanted{.app = "x", .scale = {.reserve = wish.of_app}};
  wanted.functions.push_back(version(1, "x", "a", wish.of_function).spec);
  model::Config config;
  config.memory_budget = base::Bytes{1000 * kMiB};
  config.max_instances = 10;
  // What the app has now makes way for what it wants; one that has no function any more keeps nothing.
  const std::vector<store::App> apps = {{.name = "x", .scale = {.reserve = 9}},
                                        {.name = "y", .scale = {.reserve = of_another_app.of_app}},
                                        {.name = "z", .scale = {.reserve = 9}}};
  const auto checked =
      check_reserves(wanted, {version(2, "x", "a", 9), version(3, "y", "b", of_another_app.of_function)}, apps, config);
  return checked ? "" : checked.error().message;
}

TEST(Reserves, AreRefusedWhenTheNodeCannotKeepThem) {
  EXPECT_EQ(refusal({8}, {}), "");
  EXPECT_EQ(refusal({4}, {4}), "");
  EXPECT_EQ(refusal({0}, {99}), "");
  EXPECT_THAT(refusal({9}, {}), testing::HasSubstr("comes to 900Mi of memory, and 80 % of this node's memory_budget"));
  EXPECT_THAT(refusal({4}, {5}), testing::HasSubstr("reserve fewer"));
}

TEST(Reserves, OfAppsAreRefusedLikewise) {
  EXPECT_EQ(refusal({4, 4}, {2, 4}), "");
  EXPECT_EQ(refusal({0, 8}, {}), "");
  EXPECT_EQ(refusal({4, 8}, {}), "");
  EXPECT_THAT(refusal({0, 9}, {}), testing::HasSubstr("reserve: with what other apps reserve it comes to 900Mi"));
  EXPECT_THAT(refusal({4}, {0, 5}), testing::HasSubstr("scale.reserve: with what other apps reserve"));
}

}  // namespace
}  // namespace ebb::node
