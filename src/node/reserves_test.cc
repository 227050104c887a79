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

Reserves::Room room(std::uint32_t instances) {
  return {.memory = base::Bytes{instances * kMiB}, .instances = instances};
}

TEST(Reserves, AreForOthersToLeave) {
  Reserves reserves;
  const model::Version a = version(1, "x", "a");
  const model::Version b = version(2, "x", "b");
  reserves.set(a, room(3));
  EXPECT_EQ(reserves.of_others(a).instances, 0u);
  EXPECT_EQ(reserves.of_others(b).instances, 3u);
  EXPECT_EQ(reserves.of_others(b).memory.count, 3 * kMiB);
  reserves.set(b, room(5));
  reserves.set(a, room(1));  // two have been started
  EXPECT_EQ(reserves.of_others(b).instances, 1u);
  EXPECT_EQ(reserves.of_others(a).instances, 5u);
  reserves.set(a, room(0));
  reserves.set(b, room(0));
  EXPECT_EQ(reserves.of_others(version(3, "y", "c")).memory.count, 0u);
}

TEST(Reserves, ANewVersionTakesThePlaceOfTheOld) {
  Reserves reserves;
  reserves.set(version(1, "x", "a"), room(4));
  const model::Version next = version(7, "x", "a");
  EXPECT_EQ(reserves.of_others(next).instances, 0u);  // it is tried while the old one still serves
  reserves.set(next, room(4));
  EXPECT_EQ(reserves.of_others(version(1, "x", "a")).instances, 0u);
  EXPECT_EQ(reserves.of_others(version(2, "x", "aa")).instances, 8u);
}

std::string refusal(std::uint32_t reserve, std::uint32_t of_another_app) {
  model::Manifest wanted{.app = "x"};
  wanted.functions.push_back(version(1, "x", "a", reserve).spec);
  model::Config config;
  config.memory_budget = base::Bytes{1000 * kMiB};
  config.max_instances = 10;
  // What the app has now makes way for what it wants.
  const auto checked = check_reserves(wanted, {version(2, "x", "a", 9), version(3, "y", "b", of_another_app)}, config);
  return checked ? "" : checked.error().message;
}

TEST(Reserves, AreRefusedWhenTheNodeCannotKeepThem) {
  EXPECT_EQ(refusal(8, 0), "");
  EXPECT_EQ(refusal(4, 4), "");
  EXPECT_EQ(refusal(0, 99), "");
  EXPECT_THAT(refusal(9, 0), testing::HasSubstr("comes to 900Mi of memory, and 80 % of this node's memory_budget"));
  EXPECT_THAT(refusal(4, 5), testing::HasSubstr("reserve fewer"));
}

}  // namespace
}  // namespace ebb::node
