// The ledger: the usage log's full segments added up by hour and by month in SQLite, so that a bill reads rows instead
// of records and old segments may go. Derived: `ebb ledger rebuild` makes it anew from the segments there are.
//
// 1. A segment is in the sums once or not at all: its rows and the note that it is in are one transaction.
// 2. What is in no segment that is full is not in the ledger: whoever wants everything reads the rest of the log beside
// it.
// 3. A segment goes, if a retention is set, only after it is in, whole and older than that.
// 4. Memory is bounded by one segment's keys, whatever the log holds.
// Rolled by the node off the request path, read for bills. Blocks on the disk.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "meter/month.h"
#include "meter/usage_log.h"
#include "meter/usage_sum.h"
#include "store/sqlite.h"

namespace ebb::meter {

class Ledger {
 public:
  static constexpr std::size_t kSegmentsAtOnce = 4;

  /// Opens or makes it. A database that is damaged is moved aside (".damaged") and made anew: `replaced()` says so.
  static base::Result<std::unique_ptr<Ledger>> open(const std::filesystem::path& path);
  bool replaced() const { return replaced_; }

  /// Takes in the oldest full segments that are not yet, at most kSegmentsAtOnce, so that neither bills nor the
  /// caller's next flush wait long when there are many. Gives how many.
  base::Result<std::size_t> roll(const UsageLog& log);
  /// Removes segments all of whose records arrived before `before`; not damaged ones. Gives how many.
  base::Result<std::size_t> retire(UsageLog& log, base::WallTime before);
  /// Makes the sums anew. Those of segments that have gone stay.
  base::Result<std::size_t> rebuild(const UsageLog& log);

  /// What is in the ledger of a month, and of one app or "" for all, added to `sum`. The days of the keys are right
  /// when `by_day`, else all are the month's first, which is faster. `rolled`: the segments that are in. `damage`: what
  /// was found in them. The three belong together.
  struct Part {
    std::set<std::uint64_t> rolled;
    std::vector<Damage> damage;
  };
  base::Result<Part> add_to(UsageSum& sum, Month month, const std::string& app, bool by_day);
  /// Those that it has sums of, ascending.
  base::Result<std::vector<Month>> months();

  /// Holds everything against everything: segments against their checksums, sums against segments, months against
  /// hours, numbers of segments against their row.
  struct Report {
    std::uint64_t segments = 0;   // files
    std::uint64_t records = 0;    // in them
    std::uint64_t unchecked = 0;  // segments of the early format without checksums
    std::uint64_t rolled = 0;     // segments in the sums
    std::uint64_t retired = 0;    // of these, gone by retention
    std::vector<Damage> damage;   // segment 0: of the ledger itself
  };
  base::Result<Report> verify(const UsageLog& log);

 private:
  struct HourKey {
    std::int64_t hour = 0;  // since 1970
    UsageKey key;           // its day is the hour's
    auto operator<=>(const HourKey&) const = default;
  };
  struct SegmentSums {
    std::map<HourKey, Quantities> hours;
    std::uint64_t records = 0;
    std::int64_t last_ns = 0;
    std::string damage;
  };

  explicit Ledger(std::unique_ptr<store::SqliteDatabase> database) : database_(std::move(database)) {}
  static base::Result<std::unique_ptr<Ledger>> open_once(const std::filesystem::path& path);
  static base::Result<SegmentSums> sums_of(const UsageLog& log, std::uint64_t segment);
  base::Result<std::size_t> take_in(const UsageLog& log, std::set<std::uint64_t>& rolled, std::size_t limit)
      EBB_REQUIRES(mutex_);
  base::Result<void> write(std::uint64_t segment, const SegmentSums& sums) EBB_REQUIRES(mutex_);
  base::Result<void> add_to_month(const UsageKey& key, const Quantities& quantities) EBB_REQUIRES(mutex_);
  base::Result<std::map<HourKey, Quantities>> hours_of(std::uint64_t segment) EBB_REQUIRES(mutex_);
  base::Result<void> sum_up_months() EBB_REQUIRES(mutex_);
  base::Result<void> check_months(Report& report) EBB_REQUIRES(mutex_);

  bool replaced_ = false;
  base::Mutex mutex_;
  std::unique_ptr<store::SqliteDatabase> database_ EBB_GUARDED_BY(mutex_);
  std::set<std::uint64_t> rolled_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::meter
