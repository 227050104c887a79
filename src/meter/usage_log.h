// The usage log: one record per invocation in mapped segment files <directory>/usage-<number>.ebb. A record is opened
// at the lease and closed before the last byte of the answer is sent, both by plain stores into memory that the kernel
// owns. Between them stand records of what versions held; readers ask for the kind they want.
//
// Invariants:
//  1. SIGKILL at any instruction loses and doubles no record; a power failure loses at most what was not flushed.
//  2. A record once closed never changes. Records open when the process died are closed by the next open as
//     platform faults, unbilled; one of what was held as nothing held.
//  3. A full disk is an Error of open_record or prepare, never a fault of a store.
//  4. Every closed record and every full segment carries a checksum. What is damaged is neither counted nor changed nor
//     dropped: it is told to whoever reads, and the log goes on.
// One process at a time. Opened and closed by the node for every invocation, flushed and prepared by a timer of the
// daemon.
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "model/usage.h"

namespace ebb::meter {

struct UsageSegment;

/// An open record: the duty to close it once. Movable; dropping it unclosed leaves the record open until the next start
/// of the daemon makes it a platform fault.
class UsageSlot {
 public:
  UsageSlot() = default;
  UsageSlot(UsageSlot&& other) noexcept = default;
  UsageSlot& operator=(UsageSlot&& other) noexcept = default;
  bool open() const { return segment_ != nullptr; }

 private:
  friend class UsageLog;
  UsageSlot(std::shared_ptr<UsageSegment> segment, std::uint32_t index) : segment_(std::move(segment)), index_(index) {}

  std::shared_ptr<UsageSegment> segment_;
  std::uint32_t index_ = 0;
};

enum class RecordKinds : std::uint8_t { kInvocations, kHeld, kAll };

struct UsageFilter {
  std::string app;                               // "" = all
  std::string function;                          // "" = all
  base::WallTime since = base::WallTime::min();  // arrival, inclusive
  base::WallTime until = base::WallTime::max();  // arrival, exclusive
  std::optional<base::InvocationId> invocation;
  std::size_t limit = 0;  // at most so many, the newest; 0 = all
  RecordKinds kinds = RecordKinds::kInvocations;
};

struct UsageTotals {
  std::uint64_t invocations = 0;  // closed records
  std::uint64_t open = 0;
  std::uint64_t billed_ms = 0;
  std::uint64_t cu_micro = 0;
  bool operator==(const UsageTotals&) const = default;
};

/// Where the log is not what it was written as: a file that was cut or is foreign, bits that have changed.
struct Damage {
  std::uint64_t segment = 0;
  std::string what;
};

/// Sees the records in the order of their leases; false stops.
using UsageVisitor = std::function<bool(const model::UsageRecord&)>;

/// What stands at a place of a segment. Nothing: not given out yet, being written, or never to be.
enum class PlaceState : std::uint8_t { kNothing, kOpen, kClosed, kDamaged };
/// Sees places in their order; `record` is there with kOpen and kClosed. False stops.
using PlaceVisitor = std::function<bool(std::uint32_t index, PlaceState state, const model::UsageRecord& record)>;

class UsageLog {
 public:
  /// Opens the log, made if there is none, and recovers it. Blocks: reads the segments that were in use.
  /// A segment that cannot be read is left as it is, see damage(). Errors: kUnavailable (disk full), kInternal.
  static base::Result<std::unique_ptr<UsageLog>> open(std::filesystem::path directory);
  ~UsageLog();

  /// The segments that open() could not read.
  const std::vector<Damage>& damage() const { return damage_; }
  /// How many records this open() closed as platform faults.
  std::uint64_t recovered() const { return recovered_; }
  /// Records opened and not yet closed.
  std::uint64_t open_records() const { return open_records_.load(std::memory_order_relaxed); }

  /// Opens a record. Threads: any. Cost: one short lock and 320 bytes of stores; makes a file itself only when a
  /// segment is full and prepare() has not run since the last. Errors: kUnavailable (disk full).
  base::Result<UsageSlot> open_record(const model::UsageStart& start);
  /// Closes it; the slot is empty afterwards. Threads: any. Cost: stores only. Closing an empty slot is a bug.
  void close_record(UsageSlot&& slot, const model::UsageEnd& end);
  /// Adds a record of what was held. As open_record.
  base::Result<void> add_held(const model::HeldStart& start, const model::HeldUse& use);

  /// Makes the next segment ahead of time when the current one is half full. Blocks on the disk; call it off the
  /// request path.
  base::Result<void> prepare();
  /// Forces everything written to disk and seals segments that are done. Blocks; one thread at a time does the work.
  base::Result<void> flush();

  /// Threads: any, beside everything else. Blocks on the disk; the cost is that of the segments the times select.
  /// What is damaged is not visited but added to `damage`.
  base::Result<void> read(const UsageFilter& filter, const UsageVisitor& visit,
                          std::vector<Damage>* damage = nullptr) const;
  /// The numbers of the segments there are, ascending.
  base::Result<std::vector<std::uint64_t>> segments() const;
  /// As read, of one segment; `filter.limit` does not count.
  base::Result<void> read_one(std::uint64_t segment, const UsageFilter& filter, const UsageVisitor& visit,
                              std::vector<Damage>* damage = nullptr) const;
  /// All places of a segment from `first` on, whatever stands there. Gives whether it is sealed: then it stays as it
  /// was seen. Errors: kNotFound when it has gone; kInternal when it cannot be read.
  base::Result<bool> visit_places(std::uint64_t segment, std::uint32_t first, const PlaceVisitor& visit) const;
  /// Whether nothing will be added to it any more. False too for one that cannot be read.
  bool is_sealed(std::uint64_t segment) const;
  /// Holds a whole segment against its checksums. `checked`: false for one of an early format, which has none.
  struct Check {
    bool sealed = false;
    bool checked = false;
    std::uint64_t records = 0;
    std::vector<Damage> damage;
  };
  base::Result<Check> check(std::uint64_t segment) const;
  /// Deletes a sealed segment. Errors: kConflict when it is in use.
  base::Result<void> remove(std::uint64_t segment);
  base::Result<UsageTotals> totals(const UsageFilter& filter) const;

 private:
  explicit UsageLog(std::filesystem::path directory) : directory_(std::move(directory)) {}
  using SegmentPtr = std::shared_ptr<UsageSegment>;

  base::Result<void> recover();
  base::Result<UsageSlot> take_slot();
  void leave_slot(UsageSlot&& slot);
  base::Result<SegmentPtr> make_segment() EBB_REQUIRES(making_);
  base::Result<void> roll_over(const SegmentPtr& full) EBB_EXCLUDES(mutex_);
  struct Reading {
    const UsageFilter& filter;
    const UsageVisitor* visit = nullptr;  // or
    std::vector<model::UsageRecord>* found = nullptr;
    std::vector<Damage>* damage = nullptr;
    bool more = true;
  };
  base::Result<void> read_segment(std::uint64_t number, Reading& reading) const;

  const std::filesystem::path directory_;
  std::uint64_t recovered_ = 0;
  std::vector<Damage> damage_;
  std::atomic<std::uint64_t> open_records_{0};

  base::Mutex making_;  // held while a segment is made: one maker at a time. Taken before mutex_
  std::uint64_t newest_number_ EBB_GUARDED_BY(making_) = 0;  // of any segment there is
  base::Mutex flushing_;                                     // held while flushing. Taken before mutex_
  mutable base::Mutex mutex_;
  SegmentPtr current_ EBB_GUARDED_BY(mutex_);
  SegmentPtr next_ EBB_GUARDED_BY(mutex_);               // prepared, or none
  std::vector<SegmentPtr> full_ EBB_GUARDED_BY(mutex_);  // not yet sealed
};

}  // namespace ebb::meter
