// Goal: a record says what was written, and one that this version does not understand is not half understood.
#include "meter/usage_record.h"

#include <gtest/gtest.h>

namespace ebb::meter {
namespace {

// Of a record with what a later version would write into it.
Loaded loaded(std::uint8_t in_start, std::uint8_t in_tail) {
  StoredRecord record{};
  StoredTail tail{};
  const RecordPlace place{.record = record, .tail = &tail};
  store_start(place, {.app = "a", .function = "f", .trigger = model::Trigger::kHttp, .cpu_millis = 500});
  record.reserved_start[0] = in_start;
  tail.reserved[22] = in_tail;
  store_end(place, {.billed_ms = 7});
  model::UsageRecord out;
  const Loaded found = load_record(place, kUsageFormat, out);
  if (found == Loaded::kRecord) {
    EXPECT_EQ(out.end->billed_ms, 7u);
  }
  return found;
}

TEST(UsageRecord, WithWhatALaterVersionBillsIsDamageAndNotTooLittle) {
  EXPECT_EQ(loaded(0, 0), Loaded::kRecord);
  EXPECT_EQ(loaded(1, 0), Loaded::kDamaged) << "the class of a GPU, say";
  EXPECT_EQ(loaded(0, 1), Loaded::kDamaged);
}

}  // namespace
}  // namespace ebb::meter
