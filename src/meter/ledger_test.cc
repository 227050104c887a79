// Goal: the ledger's sums are those of the records, once each, whatever is rolled, killed, rebuilt, retired or damaged.
// Method: real segments and a real database; every sum is compared with one made from the records alone.
#include "meter/ledger.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "meter/retention.h"
#include "meter/usage_record.h"
#include "store/temp_dir.h"

namespace ebb::meter {
namespace {

namespace fs = std::filesystem;
using store::TempDir;

constexpr std::uint32_t kSegment = limits::kUsageSegmentRecords;

struct Books {
  Books() { reopen(); }
  void reopen() {
    log.reset();
    ledger.reset();
    log = *UsageLog::open(temp.path() / "usage");
    ledger = *Ledger::open(temp.path() / "ledger.db");
  }

  void write(std::uint32_t count, Day first = 20'000, unsigned days = 62) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto arrival = base::WallTime(std::chrono::days(first)) + std::chrono::hours(random() % (24 * days));
      if (random() % 4 == 0) {
        write_held(arrival);
        continue;
      }
      auto slot = log->open_record({.arrival = arrival,
                                    .version_number = 1 + static_cast<std::uint32_t>(random() % 2),
                                    .app = random() % 2 != 0 ? "a" : "b",
                                    .function = random() % 3 != 0 ? "f" : "g",
                                    .trigger = static_cast<model::Trigger>(random() % 3),
                                    .alias = with_aliases && random() % 2 != 0 ? "live" : "",
                                    .memory_limit = {64ull << 30},
                                    .cpu_millis = 64'000});
      ASSERT_TRUE(slot);
      log->close_record(std::move(*slot),
                        {.outcome = static_cast<model::Outcome>(random() % model::kOutcomes), .billed_ms = random()});
    }
    ASSERT_TRUE(log->flush());
  }

  void write_held(base::WallTime begun) {
    model::HeldUse use{.for_ms = 60'000};
    for (auto& ms : use.ms) ms = random() % 1'000'000;
    for (auto& byte_ms : use.byte_ms) byte_ms = (std::uint64_t{random()} << 30) + random();
    ASSERT_TRUE(log->add_held({.begun = begun,
                               .version_number = 1 + static_cast<std::uint32_t>(random() % 2),
                               .app = random() % 2 != 0 ? "a" : "b",
                               .function = "f",
                               .memory_limit = {64ull << 30},
                               .cpu_millis = 64'000},
                              use));
  }

  // What the records say, and what the ledger and the rest of the log say together.
  UsageSum from_records(Month month, const std::string& app, bool by_day) const {
    UsageSum sum;
    EXPECT_TRUE(log->read({.app = app, .since = month.begin(), .until = month.end(), .kinds = RecordKinds::kAll},
                          [&](const auto& record) {
                            UsageKey key = key_of(record);
                            if (!by_day) key.day = month.first_day();
                            EXPECT_TRUE(sum.add(key, quantities_of(record)));
                            return true;
                          }));
    return sum;
  }
  UsageSum from_ledger(Month month, const std::string& app, bool by_day) const {
    UsageSum sum;
    const auto part = ledger->add_to(sum, month, app, by_day);
    EXPECT_TRUE(part) << part.error().message;
    for (const std::uint64_t number : *log->segments()) {
      if (part->rolled.contains(number)) continue;
      EXPECT_TRUE(log->read_one(number,
                                {.app = app, .since = month.begin(), .until = month.end(), .kinds = RecordKinds::kAll},
                                [&](const auto& record) {
                                  UsageKey key = key_of(record);
                                  if (!by_day) key.day = month.first_day();
                                  EXPECT_TRUE(sum.add(key, quantities_of(record)));
                                  return true;
                                }));
    }
    return sum;
  }
  void expect_equal() const {
    for (const Month month : {Month{2024, 10}, Month{2024, 11}, Month{2024, 12}, Month{2025, 1}}) {
      for (const std::string app : {"", "a"}) {
        for (const bool by_day : {true, false}) {
          EXPECT_TRUE(from_ledger(month, app, by_day).entries() == from_records(month, app, by_day).entries())
              << to_string(month) << " " << app << " " << by_day;
        }
      }
    }
  }
  fs::path segment(int number) const {
    return temp.path() / "usage" / ("usage-000000000" + std::to_string(number) + ".ebb");
  }

  TempDir temp;
  bool with_aliases = true;
  std::mt19937 random{11};
  std::unique_ptr<UsageLog> log;
  std::unique_ptr<Ledger> ledger;
};

TEST(Ledger, SumsAreThoseOfTheRecords) {
  Books books;
  books.write(100);
  EXPECT_EQ(*books.ledger->roll(*books.log), 0u) << "the current segment is not full";
  books.expect_equal();
  books.write(2 * kSegment);
  EXPECT_EQ(*books.ledger->roll(*books.log), 2u);
  EXPECT_EQ(*books.ledger->roll(*books.log), 0u) << "once each";
  books.expect_equal();
  books.reopen();
  EXPECT_EQ(*books.ledger->roll(*books.log), 0u);
  books.expect_equal();
  const auto report = books.ledger->verify(*books.log);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->segments, 3u);
  EXPECT_EQ(report->rolled, 2u);
  EXPECT_EQ(report->records, 2 * kSegment + 100);
  EXPECT_TRUE(report->damage.empty()) << report->damage[0].what;
}

TEST(Ledger, TakesInAFewSegmentsAtATime) {
  Books books;
  books.write((Ledger::kSegmentsAtOnce + 1) * kSegment + 1);
  EXPECT_EQ(*books.ledger->roll(*books.log), Ledger::kSegmentsAtOnce);
  books.expect_equal();
  EXPECT_EQ(*books.ledger->roll(*books.log), 1u);
  books.expect_equal();
}

TEST(Ledger, IsMadeAnewFromTheSegments) {
  Books books;
  books.write(kSegment + 5);
  ASSERT_EQ(*books.ledger->roll(*books.log), 1u);
  EXPECT_EQ(*books.ledger->rebuild(*books.log), 1u);
  books.expect_equal();
  {
    auto database = *store::SqliteDatabase::open((books.temp.path() / "ledger.db").string());
    ASSERT_TRUE(database->execute("UPDATE hours SET billed_ms = billed_ms + 1"));
  }
  const auto wrong = books.ledger->verify(*books.log);
  ASSERT_EQ(wrong->damage.size(), 2u) << "a segment's sums and the months'";
  EXPECT_NE(wrong->damage[0].what.find("ebb ledger rebuild"), std::string::npos);
  EXPECT_EQ(*books.ledger->rebuild(*books.log), 1u);
  EXPECT_TRUE(books.ledger->verify(*books.log)->damage.empty());
  books.expect_equal();
}

TEST(Ledger, ADatabaseThatIsNoneIsMovedAsideAndMadeAnew) {
  Books books;
  books.write(kSegment + 5);
  ASSERT_EQ(*books.ledger->roll(*books.log), 1u);
  books.ledger.reset();
  std::ofstream(books.temp.path() / "ledger.db", std::ios::trunc) << std::string(8192, 'x');
  books.reopen();
  EXPECT_TRUE(books.ledger->replaced());
  EXPECT_TRUE(fs::exists(books.temp.path() / "ledger.db.damaged"));
  EXPECT_EQ(*books.ledger->roll(*books.log), 1u);
  books.expect_equal();
}

// What earlier versions had in the place of the tables: the first knew neither aliases nor what was held.
void make_early(store::SqliteDatabase& database, bool with_held) {
  const std::string sums = std::string("calls, billed_ms, cpu_milli_ms, byte_ms") + (with_held ? ", held" : "");
  const std::string columns =
      "app TEXT NOT NULL, function TEXT NOT NULL, version INTEGER NOT NULL, trigger_kind INTEGER NOT NULL, calls TEXT "
      "NOT NULL, billed_ms INTEGER NOT NULL, cpu_milli_ms TEXT NOT NULL, byte_ms TEXT NOT NULL" +
      std::string(with_held ? ", held TEXT NOT NULL DEFAULT ''" : "");
  const std::string key = "app, function, version, trigger_kind";
  for (const auto& [table, first, types] :
       {std::tuple<std::string, std::string, std::string>("hours", "segment, hour",
                                                          "segment INTEGER NOT NULL, hour INTEGER NOT NULL"),
        std::tuple<std::string, std::string, std::string>("months", "month", "month INTEGER NOT NULL")}) {
    const std::string make = "ALTER TABLE " + table + " RENAME TO now; CREATE TABLE " + table + "(" + types + ", " +
                             columns + ", PRIMARY KEY(" + first + ", " + key + ")) WITHOUT ROWID; INSERT INTO " +
                             table + " SELECT " + first + ", " + key + ", " + sums + " FROM now; DROP TABLE now;";
    ASSERT_TRUE(database.execute(make.c_str()));
  }
  ASSERT_TRUE(database.execute("CREATE INDEX IF NOT EXISTS hours_by_hour ON hours(hour)"));
}

class EarlyLedger : public testing::TestWithParam<bool> {};
INSTANTIATE_TEST_SUITE_P(WithAndWithoutHeld, EarlyLedger, testing::Bool());

TEST_P(EarlyLedger, GoesOnWithItsSums) {
  Books books;
  books.with_aliases = false;
  books.write(2 * kSegment + 1);
  EXPECT_EQ(*books.ledger->roll(*books.log), 2u);
  // Nothing but the ledger has the first segment's sums from here on.
  EXPECT_TRUE(*books.ledger->retire(*books.log, base::WallTime(std::chrono::days(30'000))) > 0);
  const Month month{2024, 11};
  const auto calls = [&] {
    const UsageSum sum = books.from_ledger(month, "", true);
    std::uint64_t count = 0;
    for (const auto& [key, quantities] : sum.entries()) count += quantities.all_calls();
    return count;
  };
  const std::uint64_t before = calls();
  EXPECT_GT(before, 0u);
  books.ledger.reset();
  make_early(*std::move(*store::SqliteDatabase::open((books.temp.path() / "ledger.db").string())), GetParam());
  for (int round = 0; round < 2; ++round) {
    books.reopen();
    EXPECT_FALSE(books.ledger->replaced());
    EXPECT_EQ(calls(), before);
  }
  books.with_aliases = true;
  books.write(kSegment);
  EXPECT_EQ(*books.ledger->roll(*books.log), 1u);
  EXPECT_EQ(*books.ledger->rebuild(*books.log), 1u);
  EXPECT_GT(calls(), before);
  EXPECT_TRUE(books.ledger->verify(*books.log)->damage.empty());
}

TEST(Ledger, OldSegmentsGoOnceTheyAreInAndTheirSumsStay) {
  Books books;
  books.write(kSegment, 20'000, 10);
  books.write(kSegment, 20'030, 10);
  books.write(5, 20'040, 1);
  const auto all = base::WallTime(std::chrono::days(30'000));
  EXPECT_EQ(*books.ledger->retire(*books.log, all), 0u) << "not rolled up";
  ASSERT_EQ(*books.ledger->roll(*books.log), 2u);
  const Month month = month_of(base::WallTime(std::chrono::days(20'000)));
  const auto before = books.from_ledger(month, "", true).entries();
  EXPECT_EQ(*books.ledger->retire(*books.log, base::WallTime(std::chrono::days(20'020))), 1u);
  EXPECT_FALSE(fs::exists(books.segment(1)));
  EXPECT_TRUE(fs::exists(books.segment(2)));
  EXPECT_TRUE(books.from_ledger(month, "", true).entries() == before);
  EXPECT_EQ(*books.ledger->rebuild(*books.log), 1u) << "of the one that is left";
  EXPECT_TRUE(books.from_ledger(month, "", true).entries() == before);
  books.reopen();
  EXPECT_TRUE(books.from_ledger(month, "", false).entries() != UsageSum().entries());
  const auto report = books.ledger->verify(*books.log);
  EXPECT_EQ(report->retired, 1u);
  EXPECT_TRUE(report->damage.empty());
}

TEST(Ledger, DamageIsToldCountsNothingAndIsNotRetired) {
  Books books;
  books.write(2 * kSegment + 1);
  std::fstream file(books.segment(1), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(
      static_cast<std::streamoff>(kHeaderBytes + 7 * record_bytes(kUsageFormat) + offsetof(StoredRecord, billed_ms)));
  file.put(0x55);
  file.close();
  ASSERT_EQ(*books.ledger->roll(*books.log), 2u);
  UsageSum sum;
  const auto part = books.ledger->add_to(sum, Month{2024, 11}, "", true);
  ASSERT_EQ(part->damage.size(), 1u);
  EXPECT_NE(part->damage[0].what.find("1 damaged record"), std::string::npos) << part->damage[0].what;
  EXPECT_EQ(*books.ledger->retire(*books.log, base::WallTime(std::chrono::days(30'000))), 1u);
  EXPECT_TRUE(fs::exists(books.segment(1)));
  fs::remove(books.segment(1));
  const auto report = books.ledger->verify(*books.log);
  ASSERT_EQ(report->damage.size(), 1u);
  EXPECT_NE(report->damage[0].what.find("has gone"), std::string::npos);
}

TEST(Ledger, AMissingSegmentThatWasInNoSumIsNoticed) {
  Books books;
  books.write(2 * kSegment + 1);
  fs::remove(books.segment(1));
  ASSERT_EQ(*books.ledger->roll(*books.log), 1u);
  const auto report = books.ledger->verify(*books.log);
  ASSERT_EQ(report->damage.size(), 1u);
  EXPECT_NE(report->damage[0].what.find("segment 1 is missing"), std::string::npos);
}

TEST(Retention, PausesAfterTheClockWasSetForward) {
  using namespace std::chrono_literals;
  const base::SteadyTime began{};
  const base::WallTime wall{std::chrono::sys_days{std::chrono::year{2026} / 11 / 29}};
  Retention retention(30, began, wall);
  EXPECT_EQ(retention.before(began, wall), wall - 30 * 24h);
  EXPECT_EQ(retention.see(began + 1h, wall + 1h), 0s);
  EXPECT_TRUE(retention.before(began + 1h, wall + 1h));
  EXPECT_EQ(retention.see(began + 2h, wall + 2h + 744h), 744h);
  EXPECT_FALSE(retention.before(began + 2h, wall + 746h)) << "all of November would go";
  EXPECT_EQ(retention.see(began + 3h, wall + 3h), -744h);
  EXPECT_FALSE(retention.before(began + 25h, wall + 25h));
  EXPECT_EQ(retention.before(began + 26h, wall + 26h), wall + 26h - 30 * 24h);
  EXPECT_FALSE(Retention(0, began, wall).before(began, wall)) << "everything stays";
}

}  // namespace
}  // namespace ebb::meter
