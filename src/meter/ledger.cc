#include "meter/ledger.h"

#include <algorithm>
#include <chrono>
#include <system_error>

#include "meter/ledger_rows.h"

namespace ebb::meter {

namespace fs = std::filesystem;
using base::Result;
using store::SqliteDatabase;
using store::SqliteQuery;
using store::SqliteTransaction;

namespace {

// Sums that 64 bits may not hold are decimals in text; `calls` are counts by outcome, `held` sums by tier, with commas
// between.
constexpr const char* kSchema = R"(
CREATE TABLE IF NOT EXISTS segments(
  number INTEGER PRIMARY KEY, records INTEGER NOT NULL, last_ns INTEGER NOT NULL, damage TEXT NOT NULL,
  retired INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS hours(
  segment INTEGER NOT NULL, hour INTEGER NOT NULL, app TEXT NOT NULL, function TEXT NOT NULL, version INTEGER NOT NULL,
  trigger_kind INTEGER NOT NULL, alias TEXT NOT NULL, calls TEXT NOT NULL, billed_ms INTEGER NOT NULL,
  cpu_milli_ms TEXT NOT NULL, byte_ms TEXT NOT NULL, held TEXT NOT NULL,
  PRIMARY KEY(segment, hour, app, function, version, trigger_kind, alias)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hours_by_hour ON hours(hour);
CREATE TABLE IF NOT EXISTS months(
  month INTEGER NOT NULL, app TEXT NOT NULL, function TEXT NOT NULL, version INTEGER NOT NULL,
  trigger_kind INTEGER NOT NULL, alias TEXT NOT NULL, calls TEXT NOT NULL, billed_ms INTEGER NOT NULL,
  cpu_milli_ms TEXT NOT NULL, byte_ms TEXT NOT NULL, held TEXT NOT NULL,
  PRIMARY KEY(month, app, function, version, trigger_kind, alias)) WITHOUT ROWID;
)";

Result<bool> has_row(SqliteDatabase& database, const char* query) {
  EBB_TRY(SqliteQuery rows, database.query(query));
  return rows.step();
}

// Early versions knew nothing of what was held, then nothing of aliases. The sums of segments that are retired are
// nowhere else: they are carried over.
Result<void> migrate(SqliteDatabase& database) {
  EBB_TRY(const bool there, has_row(database, "SELECT 1 FROM pragma_table_info('hours') LIMIT 1"));
  EBB_TRY(const bool now, has_row(database, "SELECT 1 FROM pragma_table_info('hours') WHERE name = 'alias'"));
  if (!there || now) return database.execute(kSchema);
  EBB_TRY(const bool with_held, has_row(database, "SELECT 1 FROM pragma_table_info('hours') WHERE name = 'held'"));
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(database));
  if (!with_held) {
    EBB_CHECKED(
        database.execute("ALTER TABLE hours ADD COLUMN held TEXT NOT NULL DEFAULT '';"
                         "ALTER TABLE months ADD COLUMN held TEXT NOT NULL DEFAULT '';"));
  }
  EBB_CHECKED(
      database.execute("DROP INDEX IF EXISTS hours_by_hour;"
                       "ALTER TABLE hours RENAME TO early_hours; ALTER TABLE months RENAME TO early_months;"));
  EBB_CHECKED(database.execute(kSchema));
  EBB_CHECKED(
      database.execute("INSERT INTO hours SELECT segment, hour, app, function, version, trigger_kind, '', calls, "
                       "billed_ms, cpu_milli_ms, byte_ms, held FROM early_hours;"
                       "INSERT INTO months SELECT month, app, function, version, trigger_kind, '', calls, billed_ms, "
                       "cpu_milli_ms, byte_ms, held FROM early_months;"
                       "DROP TABLE early_hours; DROP TABLE early_months;"));
  return transaction.commit();
}

}  // namespace

Result<std::unique_ptr<Ledger>> Ledger::open_once(const fs::path& path) {
  EBB_TRY(auto database, SqliteDatabase::open(path.string()));
  std::unique_ptr<Ledger> ledger(new Ledger(std::move(database)));
  base::MutexLock lock(ledger->mutex_);
  EBB_CHECKED(migrate(*ledger->database_));
  EBB_TRY(SqliteQuery numbers, ledger->database_->query("SELECT number FROM segments"));
  for (;;) {
    EBB_TRY(const bool more, numbers.step());
    if (!more) break;
    ledger->rolled_.insert(static_cast<std::uint64_t>(numbers.number(0)));
  }
  return ledger;
}

Result<std::unique_ptr<Ledger>> Ledger::open(const fs::path& path) {
  auto ledger = open_once(path);
  if (ledger || ledger.error().code != base::Code::kInternal) return ledger;
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code ec;
    fs::rename(path.string() + suffix, path.string() + ".damaged" + suffix, ec);
  }
  ledger = open_once(path);
  if (ledger) (*ledger)->replaced_ = true;
  return ledger;
}

Result<Ledger::SegmentSums> Ledger::sums_of(const UsageLog& log, std::uint64_t segment) {
  SegmentSums sums;
  sums.last_ns = INT64_MIN;
  std::vector<Damage> damage;
  EBB_CHECKED(log.read_one(
      segment, {.kinds = RecordKinds::kAll},
      [&](const model::UsageRecord& record) {
        if (!record.end && !record.held) return true;
        const auto hour = std::chrono::floor<std::chrono::hours>(record.arrival).time_since_epoch().count();
        sums.hours[{.hour = hour, .key = key_of(record)}] += quantities_of(record);
        sums.last_ns = std::max<std::int64_t>(sums.last_ns, record.arrival.time_since_epoch().count());
        ++sums.records;
        return true;
      },
      &damage));
  for (const Damage& one : damage) sums.damage += (sums.damage.empty() ? "" : "; ") + one.what;
  return sums;
}

Result<void> Ledger::add_to_month(const UsageKey& key, const Quantities& quantities) {
  const Day month = month_day(key.day);
  Quantities whole = quantities;
  {
    EBB_TRY(SqliteQuery before,
            database_->query("SELECT calls, billed_ms, cpu_milli_ms, byte_ms, held FROM months WHERE "
                             "month = ? AND app = ? AND function = ? AND version = ? AND "
                             "trigger_kind = ? AND alias = ?"));
    before.bind(month);
    bind_key(before, key);
    EBB_TRY(const bool there, before.step());
    if (there) whole += quantities_at(before, 0);
  }
  EBB_TRY(SqliteQuery put, database_->query("INSERT OR REPLACE INTO months VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  put.bind(month);
  bind_key(put, key);
  bind_quantities(put, whole);
  return put.run();
}

Result<void> Ledger::write(std::uint64_t segment, const SegmentSums& sums) {
  for (const auto& [at, quantities] : sums.hours) {
    {
      EBB_TRY(SqliteQuery put, database_->query("INSERT INTO hours VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
      put.bind(static_cast<std::int64_t>(segment)).bind(at.hour);
      bind_key(put, at.key);
      bind_quantities(put, quantities);
      EBB_CHECKED(put.run());
    }
    EBB_CHECKED(add_to_month(at.key, quantities));
  }
  EBB_TRY(SqliteQuery note,
          database_->query("INSERT INTO segments(number, records, last_ns, damage) VALUES(?, ?, ?, ?)"));
  note.bind(static_cast<std::int64_t>(segment))
      .bind(static_cast<std::int64_t>(sums.records))
      .bind(sums.last_ns)
      .bind(sums.damage);
  return note.run();
}

Result<std::size_t> Ledger::take_in(const UsageLog& log, std::set<std::uint64_t>& rolled, std::size_t limit) {
  EBB_TRY(const std::vector<std::uint64_t> numbers, log.segments());
  std::size_t count = 0;
  for (const std::uint64_t number : numbers) {
    if (count == limit) break;
    if (rolled.contains(number) || !log.is_sealed(number)) continue;
    EBB_TRY(const SegmentSums sums, sums_of(log, number));
    EBB_CHECKED(write(number, sums));
    rolled.insert(number);
    ++count;
  }
  return count;
}

Result<std::size_t> Ledger::roll(const UsageLog& log) {
  base::MutexLock lock(mutex_);
  std::set<std::uint64_t> rolled = rolled_;
  EBB_TRY(const std::vector<std::uint64_t> numbers, log.segments());
  const auto waits = [&](std::uint64_t number) { return !rolled.contains(number) && log.is_sealed(number); };
  if (std::none_of(numbers.begin(), numbers.end(), waits)) return std::size_t{0};
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const std::size_t count, take_in(log, rolled, kSegmentsAtOnce));
  EBB_CHECKED(transaction.commit());
  rolled_ = std::move(rolled);
  return count;
}

Result<std::size_t> Ledger::retire(UsageLog& log, base::WallTime before) {
  base::MutexLock lock(mutex_);
  EBB_TRY(const std::vector<std::uint64_t> there, log.segments());
  std::vector<std::uint64_t> old;
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT number FROM segments WHERE damage = '' AND last_ns < ?"));
    query.bind(before.time_since_epoch().count());
    for (;;) {
      EBB_TRY(const bool more, query.step());
      if (!more) break;
      const auto number = static_cast<std::uint64_t>(query.number(0));
      if (std::binary_search(there.begin(), there.end(), number)) old.push_back(number);
    }
  }
  for (const std::uint64_t number : old) {
    // The note first: killed between the two, the file is left over, and the next time it goes.
    EBB_TRY(SqliteQuery note, database_->query("UPDATE segments SET retired = 1 WHERE number = ?"));
    EBB_CHECKED(note.bind(static_cast<std::int64_t>(number)).run());
    EBB_CHECKED(log.remove(number));
  }
  return old.size();
}

// From the hours, row by row.
Result<void> Ledger::sum_up_months() {
  EBB_CHECKED(database_->execute("DELETE FROM months"));
  EBB_TRY(SqliteQuery rows,
          database_->query("SELECT hour, app, function, version, trigger_kind, alias, calls, billed_ms, "
                           "cpu_milli_ms, byte_ms, held FROM hours"));
  for (;;) {
    EBB_TRY(const bool more, rows.step());
    if (!more) return {};
    EBB_CHECKED(add_to_month(key_at(rows, 1, day_of_hour(rows.number(0))), quantities_at(rows, 6)));
  }
}

Result<std::size_t> Ledger::rebuild(const UsageLog& log) {
  base::MutexLock lock(mutex_);
  EBB_TRY(const std::vector<std::uint64_t> numbers, log.segments());
  std::set<std::uint64_t> rolled = rolled_;
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  for (const std::uint64_t number : numbers) {
    rolled.erase(number);
    EBB_TRY(SqliteQuery hours, database_->query("DELETE FROM hours WHERE segment = ?"));
    EBB_CHECKED(hours.bind(static_cast<std::int64_t>(number)).run());
    EBB_TRY(SqliteQuery note, database_->query("DELETE FROM segments WHERE number = ?"));
    EBB_CHECKED(note.bind(static_cast<std::int64_t>(number)).run());
  }
  EBB_CHECKED(sum_up_months());
  EBB_TRY(const std::size_t count, take_in(log, rolled, numbers.size()));
  EBB_CHECKED(transaction.commit());
  rolled_ = std::move(rolled);
  return count;
}

Result<std::vector<Month>> Ledger::months() {
  base::MutexLock lock(mutex_);
  std::vector<Month> months;
  EBB_TRY(SqliteQuery rows, database_->query("SELECT DISTINCT month FROM months ORDER BY month"));
  for (;;) {
    EBB_TRY(const bool more, rows.step());
    if (!more) return months;
    months.push_back(month_of(base::WallTime(std::chrono::days(rows.number(0)))));
  }
}

Result<Ledger::Part> Ledger::add_to(UsageSum& sum, Month month, const std::string& app, bool by_day) {
  base::MutexLock lock(mutex_);
  Part part{.rolled = rolled_};
  if (by_day) {
    EBB_TRY(SqliteQuery rows,
            database_->query("SELECT hour, app, function, version, trigger_kind, alias, calls, billed_ms, "
                             "cpu_milli_ms, byte_ms, held FROM hours WHERE hour >= ? AND hour < ?"));
    rows.bind(month.first_day() * kHoursPerDay).bind(month.end_day() * kHoursPerDay);
    for (;;) {
      EBB_TRY(const bool more, rows.step());
      if (!more) break;
      const UsageKey key = key_at(rows, 1, day_of_hour(rows.number(0)));
      if (app.empty() || key.app == app) EBB_CHECKED(sum.add(key, quantities_at(rows, 6)));
    }
  } else {
    EBB_TRY(SqliteQuery rows, database_->query("SELECT app, function, version, trigger_kind, alias, calls, billed_ms, "
                                               "cpu_milli_ms, byte_ms, held FROM months WHERE month = ?"));
    rows.bind(month.first_day());
    for (;;) {
      EBB_TRY(const bool more, rows.step());
      if (!more) break;
      const UsageKey key = key_at(rows, 0, month.first_day());
      if (app.empty() || key.app == app) EBB_CHECKED(sum.add(key, quantities_at(rows, 5)));
    }
  }
  EBB_TRY(SqliteQuery damaged, database_->query("SELECT number, damage FROM segments WHERE damage != ''"));
  for (;;) {
    EBB_TRY(const bool more, damaged.step());
    if (!more) return part;
    part.damage.push_back({static_cast<std::uint64_t>(damaged.number(0)), damaged.text(1)});
  }
}

}  // namespace ebb::meter
