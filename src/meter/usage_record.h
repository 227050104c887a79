// The form of a usage record in a segment file: 320 bytes, little-endian, no pointers, never changed once written. A
// segment is one header page and limits::kUsageSegmentRecords of these. In early formats a record ended after 256.
//
// Invariant: `state` is written last, with release order. A process killed at any instruction leaves a record free (its
// bytes mean nothing), open (the start is complete) or closed (all of it is complete), and nothing between.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/limits.h"
#include "model/usage.h"

namespace ebb::meter {

enum class RecordState : std::uint32_t { kFree = 0, kOpen = 1, kClosed = 2 };

struct StoredRecord {
  // Written at the lease.
  std::uint8_t invocation[16];
  std::int64_t arrival_ns;  // wall time
  std::uint64_t version;
  std::uint64_t instance;
  std::uint64_t memory_limit_bytes;
  std::uint32_t version_number;
  std::uint32_t cpu_millis;
  char app[limits::kNameLength];       // zero-filled
  char function[limits::kNameLength];  // zero-filled
  std::uint8_t rung;
  std::uint8_t trigger;
  // Of a GPU: its class and its memory. Zero until there are such functions, see docs/reference/bill.md.
  std::uint8_t reserved_start[6];
  // Written at the end.
  std::int64_t queue_ns;
  std::int64_t start_ns;
  std::int64_t init_ns;
  std::int64_t handler_ns;
  std::int64_t total_ns;
  std::int64_t cpu_ns;
  std::uint64_t billed_ms;
  std::uint64_t memory_peak_bytes;
  std::uint64_t bytes_in;
  std::uint64_t bytes_out;
  std::uint64_t cu_micro;
  std::uint16_t http_status;
  std::uint8_t outcome;
  std::uint8_t reserved_end[5];
  std::atomic<std::uint32_t> checksum;  // of all before it and of the tail, once closed; 0 in records of format 1
  std::uint8_t reserved[8];
  std::atomic<std::uint32_t> state;  // a RecordState
};
static_assert(sizeof(StoredRecord) == 256);
static_assert(alignof(StoredRecord) == 8);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free, "the state is shared through a file");

/// What stands behind each record since format 3. Written at the lease.
struct StoredTail {
  char alias[limits::kNameLength];  // zero-filled
  std::uint8_t attempt;
  std::uint8_t reserved[23];
};
static_assert(sizeof(StoredTail) == 64);

/// What stands behind the start of a record of the trigger kHeld, in the place of the rest.
struct StoredHeld {
  std::uint64_t for_ms;
  std::uint64_t ms[model::kHeldTiers];
  std::uint64_t byte_ms[model::kHeldTiers];
  std::uint64_t reserved;
};
static_assert(sizeof(StoredHeld) == offsetof(StoredRecord, checksum) - offsetof(StoredRecord, queue_ns));

/// The first page of a segment.
struct StoredHeader {
  char magic[8];
  std::uint32_t format;
  std::uint32_t record_bytes;
  std::uint32_t capacity;
  std::uint32_t reserved;
  std::atomic<std::uint64_t> sealed;  // 1: full, every record closed or free, and on disk; it never changes again
  std::int64_t first_arrival_ns;      // of a sealed segment: the bounds of its records' arrivals
  std::int64_t last_arrival_ns;
  std::uint32_t records_checksum;  // of a sealed segment, since format 2: of everything behind the header page
  std::uint32_t header_checksum;   // and of all above but `sealed`
};
static_assert(sizeof(StoredHeader) <= 4096);

inline constexpr char kUsageMagic[8] = {'E', 'B', 'B', 'U', 'S', 'A', 'G', 'E'};
inline constexpr std::uint32_t kUsageFormat = 3;
inline constexpr std::uint32_t kUsageFormatUnchecked = 1;  // without checksums. Early formats are read, not written on
inline constexpr std::uint32_t kUsageFormatWithoutTail = 2;  // and those before it
inline constexpr std::size_t kHeaderBytes = 4096;
/// Of a record, and of a segment, of that format.
constexpr std::size_t record_bytes(std::uint32_t format) {
  return sizeof(StoredRecord) + (format > kUsageFormatWithoutTail ? sizeof(StoredTail) : 0);
}
constexpr std::size_t segment_bytes(std::uint32_t format) {
  return kHeaderBytes + limits::kUsageSegmentRecords * record_bytes(format);
}

/// A segment's bytes as what they hold.
StoredHeader& header_of(std::span<std::byte> bytes);

/// The place of one record. `tail` is null in early formats.
struct RecordPlace {
  StoredRecord& record;
  StoredTail* tail = nullptr;
};

/// All places of a segment, by their index. `bytes` has segment_bytes(format) and outlives this.
class RecordPlaces {
 public:
  RecordPlaces(std::span<std::byte> bytes, std::uint32_t format);
  std::uint32_t size() const { return limits::kUsageSegmentRecords; }
  RecordPlace operator[](std::uint32_t index) const;

 private:
  std::byte* first_;
  std::size_t step_;
};

/// Writes the start and opens the record, which is free and has a tail.
void store_start(const RecordPlace& place, const model::UsageStart& start);
/// Writes the end and closes the record, which is open.
void store_end(const RecordPlace& place, const model::UsageEnd& end);
/// Writes the whole of a record of what was held, which is free and has a tail. Killed within, it is left open.
void store_held(const RecordPlace& place, const model::HeldStart& start, const model::HeldUse& use);
/// Closes a record that a killed process left open: as a platform fault, or as nothing held.
void close_left_over(const RecordPlace& place);

enum class Loaded : std::uint8_t { kFree, kRecord, kDamaged };
/// Reads a record of a segment of that format. Damaged: its checksum is not that of its bytes, its fields are
/// impossible or of a later version, or it was closed once and says it is free. Free too: one of what was held that is
/// not closed yet. Safe beside a thread that opens or closes it.
Loaded load_record(const RecordPlace& place, std::uint32_t format, model::UsageRecord& out);

/// Of a sealed segment's header.
std::uint32_t header_checksum(const StoredHeader& header);
/// Of a segment's bytes behind its header page.
std::uint32_t records_checksum(std::span<std::byte> bytes);

}  // namespace ebb::meter
