// Holding the ledger against the log that it was derived from.
#include <algorithm>

#include "meter/ledger.h"
#include "meter/ledger_rows.h"

namespace ebb::meter {

using base::Result;
using store::SqliteQuery;

Result<std::map<Ledger::HourKey, Quantities>> Ledger::hours_of(std::uint64_t segment) {
  std::map<HourKey, Quantities> hours;
  EBB_TRY(SqliteQuery rows,
          database_->query("SELECT hour, app, function, version, trigger_kind, alias, calls, billed_ms, "
                           "cpu_milli_ms, byte_ms, held FROM hours WHERE segment = ?"));
  rows.bind(static_cast<std::int64_t>(segment));
  for (;;) {
    EBB_TRY(const bool more, rows.step());
    if (!more) return hours;
    const std::int64_t hour = rows.number(0);
    hours[{.hour = hour, .key = key_at(rows, 1, day_of_hour(hour))}] = quantities_at(rows, 6);
  }
}

// The months against the hours that they are sums of.
Result<void> Ledger::check_months(Report& report) {
  UsageSum of_hours;
  {
    EBB_TRY(
        SqliteQuery rows,
        database_->query(
            "SELECT calls, billed_ms, cpu_milli_ms, byte_ms, held, app, function, version, trigger_kind, alias, hour "
            "FROM hours"));
    for (;;) {
      EBB_TRY(const bool more, rows.step());
      if (!more) break;
      EBB_CHECKED(of_hours.add(key_at(rows, 5, month_day(day_of_hour(rows.number(10)))), quantities_at(rows, 0)));
    }
  }
  UsageSum of_months;
  EBB_TRY(SqliteQuery rows,
          database_->query("SELECT calls, billed_ms, cpu_milli_ms, byte_ms, held, app, function, version, "
                           "trigger_kind, alias, month FROM months"));
  for (;;) {
    EBB_TRY(const bool more, rows.step());
    if (!more) break;
    EBB_CHECKED(of_months.add(key_at(rows, 5, rows.number(10)), quantities_at(rows, 0)));
  }
  if (of_hours.entries() != of_months.entries())
    report.damage.push_back({0, "the sums by month are not those of the hours: ebb ledger rebuild makes them anew"});
  return {};
}

Result<Ledger::Report> Ledger::verify(const UsageLog& log) {
  base::MutexLock lock(mutex_);
  Report report;
  EBB_TRY(const std::vector<std::uint64_t> numbers, log.segments());
  std::set<std::uint64_t> missing = rolled_;
  for (const std::uint64_t number : numbers) {
    missing.erase(number);
    EBB_TRY(const UsageLog::Check check, log.check(number));
    ++report.segments;
    report.records += check.records;
    report.unchecked += check.checked || !check.damage.empty() ? 0 : 1;
    report.damage.insert(report.damage.end(), check.damage.begin(), check.damage.end());
    if (!rolled_.contains(number)) continue;
    EBB_TRY(const SegmentSums sums, sums_of(log, number));
    EBB_TRY(const auto hours, hours_of(number));
    if (hours != sums.hours) {
      report.damage.push_back({number, "the sums of segment " + std::to_string(number) +
                                           " are not those of its records: ebb ledger rebuild makes them anew"});
    }
  }
  report.rolled = rolled_.size();
  EBB_TRY(SqliteQuery rows, database_->query("SELECT number FROM segments WHERE retired = 1"));
  for (;;) {
    EBB_TRY(const bool more, rows.step());
    if (!more) break;
    ++report.retired;
    missing.erase(static_cast<std::uint64_t>(rows.number(0)));
  }
  for (const std::uint64_t number : missing) {
    report.damage.push_back(
        {number, "the file of segment " + std::to_string(number) + " has gone, its sums are still in the bills"});
  }
  // A row of numbers without a hole: a segment that nobody has seen in the sums was lost.
  const std::uint64_t last = numbers.empty() ? 0 : numbers.back();
  for (std::uint64_t number = 1; number < last; ++number) {
    const bool known = rolled_.contains(number) || std::binary_search(numbers.begin(), numbers.end(), number);
    if (!known) {
      report.damage.push_back(
          {number, "segment " + std::to_string(number) + " is missing, and what was in it is in no sum"});
    }
  }
  EBB_CHECKED(check_months(report));
  return report;
}

}  // namespace ebb::meter
