// Goal: a record says what was written, and one that this version does not understand is not half understood.
#include "meter/usage_record.h"

#include <gtest/gtest.h>

namespace ebb::meter {
namespace {

Loaded loaded(std::uint8_t of_later) {
  StoredRecord record{};
  store_start(record, {.app = "a", .function = "f", .trigger = model::Trigger::kHttp, .cpu_millis = 500});
  record.reserved_start[0] = of_later;
  store_end(record, {.billed_ms = 7});
  model::UsageRecord out;
  const Loaded found = load_record(record, kUsageFormat, out);
  if (found == Loaded::kRecord) {
    EXPECT_EQ(out.end->billed_ms, 7u);
  }
  return found;
}

TEST(UsageRecord, WithWhatALaterVersionBillsIsDamageAndNotTooLittle) {
  EXPECT_EQ(loaded(0), Loaded::kRecord);
  EXPECT_EQ(loaded(1), Loaded::kDamaged) << "the class of a GPU, say";
}

}  // namespace
}  // namespace ebb::meter
