// Goal: a node never keeps more spares than it may, in count and memory, and each place comes back. Method: places
// taken and given back one by one.
#include "node/spare_room.h"

#include <gtest/gtest.h>

namespace ebb::node {
namespace {

TEST(SpareRoom, BoundsTheCount) {
  const auto room = std::make_shared<SpareRoom>(2, base::Bytes{});
  std::optional<SpareRoom::Place> first = room->take(base::Bytes{1ull << 40});
  const auto second = room->take(base::Bytes{1ull << 40});
  EXPECT_TRUE(first && second);
  EXPECT_FALSE(room->take(base::Bytes{}));
  first.reset();
  EXPECT_EQ(room->taken(), 1u);
  EXPECT_TRUE(room->take(base::Bytes{}));
}

TEST(SpareRoom, BoundsTheMemoryByWhatSparesReallyUse) {
  const auto room = std::make_shared<SpareRoom>(10, base::Bytes{100});
  std::optional<SpareRoom::Place> first = room->take(base::Bytes{});
  ASSERT_TRUE(first);
  first->resize(base::Bytes{70});
  EXPECT_FALSE(room->take(base::Bytes{40}));
  {
    std::optional<SpareRoom::Place> second = room->take(base::Bytes{30});
    ASSERT_TRUE(second);
    second->resize(base::Bytes{60});
    EXPECT_FALSE(room->take(base::Bytes{})) << "more than allowed is in use";
    const SpareRoom::Place moved = *std::move(second);
    EXPECT_EQ(room->taken(), 2u);
  }
  EXPECT_EQ(room->taken(), 1u);
  EXPECT_TRUE(room->take(base::Bytes{30}));
  first.reset();
  EXPECT_EQ(room->taken(), 0u);
  EXPECT_TRUE(room->take(base::Bytes{100}));
}

TEST(SpareRoom, APlaceMayOutliveWhoGaveIt) {
  auto room = std::make_shared<SpareRoom>(1, base::Bytes{});
  std::optional<SpareRoom::Place> place = room->take(base::Bytes{5});
  room.reset();
  place.reset();
}

}  // namespace
}  // namespace ebb::node
