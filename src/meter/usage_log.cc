#include "meter/usage_log.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <deque>
#include <system_error>

#include "base/check.h"
#include "meter/usage_record.h"
#include "store/mapped_file.h"

namespace ebb::meter {

namespace fs = std::filesystem;
using base::Result;
using store::MappedFile;

/// One segment file while it is in use. Freed, and with it unmapped, when the log and all slots let go of it.
struct UsageSegment {
  explicit UsageSegment(MappedFile file_in)
      : file(std::move(file_in)), header(header_of(file.bytes())), records(file.bytes(), header.format) {}

  /// Forces to disk what was written since the last time.
  Result<void> flush() {
    if (!dirty.exchange(false, std::memory_order_acq_rel)) return {};
    auto flushed = file.flush();
    if (!flushed) dirty = true;
    return flushed;
  }

  MappedFile file;
  StoredHeader& header;
  RecordPlaces records;
  std::uint32_t next = 0;              // the first record never given out; guarded by the log's mutex
  std::atomic<std::uint32_t> open{0};  // records opened and not closed
  std::atomic<bool> dirty{false};      // written since the last flush
};

namespace {

constexpr std::string_view kPrefix = "usage-";
constexpr std::string_view kSuffix = ".ebb";

fs::path segment_path(const fs::path& directory, std::uint64_t number) {
  char name[40];
  std::snprintf(name, sizeof name, "usage-%010llu.ebb", static_cast<unsigned long long>(number));
  return directory / name;
}

// The numbers of the segments there are, ascending.
Result<std::vector<std::uint64_t>> list_segments(const fs::path& directory) {
  std::vector<std::uint64_t> numbers;
  std::error_code ec;
  fs::directory_iterator it(directory, ec);
  for (; !ec && it != fs::directory_iterator(); it.increment(ec)) {
    const std::string name = it->path().filename().string();
    if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) continue;
    const std::string_view digits =
        std::string_view(name).substr(kPrefix.size(), name.size() - kPrefix.size() - kSuffix.size());
    std::uint64_t number = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (code == std::errc{} && end == digits.data() + digits.size()) numbers.push_back(number);
  }
  if (ec) return base::os_error("list " + directory.string(), ec.value());
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

Result<MappedFile> open_segment(const fs::path& path, MappedFile::Access access) {
  std::error_code ec;
  constexpr std::size_t kEarly = segment_bytes(kUsageFormatWithoutTail);
  const bool early = fs::file_size(path, ec) == kEarly;
  EBB_TRY(MappedFile file, MappedFile::open(path, early ? kEarly : segment_bytes(kUsageFormat), access));
  const StoredHeader& header = header_of(file.bytes());
  if (std::memcmp(header.magic, kUsageMagic, sizeof header.magic) != 0 || header.format < kUsageFormatUnchecked ||
      header.format > kUsageFormat || file.bytes().size() != segment_bytes(header.format) ||
      header.record_bytes != record_bytes(header.format) || header.capacity != limits::kUsageSegmentRecords) {
    return base::internal(path.string() + " is not a usage segment of this version of Ebb: move it away");
  }
  return file;
}

bool selects(const UsageFilter& filter, const model::UsageRecord& record) {
  return (filter.app.empty() || filter.app == record.app) &&
         (filter.function.empty() || filter.function == record.function) && record.arrival >= filter.since &&
         record.arrival < filter.until && (!filter.invocation || *filter.invocation == record.invocation) &&
         (filter.kinds == RecordKinds::kAll || record.held.has_value() == (filter.kinds == RecordKinds::kHeld));
}

bool is_free(const StoredRecord& record) {
  return record.state.load(std::memory_order_acquire) == static_cast<std::uint32_t>(RecordState::kFree);
}

// What the daemon could not finish because it died costs nothing.
std::uint32_t close_open_records(const RecordPlaces& records) {
  std::uint32_t closed = 0;
  for (std::uint32_t i = 0; i < records.size(); ++i) {
    const std::uint32_t state = records[i].record.state.load(std::memory_order_acquire);
    if (state != static_cast<std::uint32_t>(RecordState::kOpen)) continue;
    close_left_over(records[i]);
    ++closed;
  }
  return closed;
}

// One behind the last record that is not free. A record killed while it was being opened stays a hole before it.
// Records of an early format cannot say all: a segment of them is full.
std::uint32_t used_records(const UsageSegment& segment) {
  std::uint32_t count = segment.records.size();
  if (segment.header.format != kUsageFormat) return count;
  while (count > 0 && is_free(segment.records[count - 1].record)) --count;
  return count;
}

}  // namespace

UsageLog::~UsageLog() = default;

Result<std::unique_ptr<UsageLog>> UsageLog::open(fs::path directory) {
  std::error_code ec;
  fs::create_directories(directory, ec);
  if (ec) return base::os_error("create " + directory.string(), ec.value());
  std::unique_ptr<UsageLog> log(new UsageLog(std::move(directory)));
  EBB_CHECKED(log->recover());
  EBB_CHECKED(log->flush());
  return log;
}

Result<void> UsageLog::recover() {
  EBB_TRY(const auto numbers, list_segments(directory_));
  std::vector<SegmentPtr> in_use;
  for (const std::uint64_t number : numbers) {
    auto opened = open_segment(segment_path(directory_, number), MappedFile::Access::kWrite);
    if (!opened && opened.error().code == base::Code::kInternal) {
      damage_.push_back({number, opened.error().message});
      continue;
    }
    EBB_TRY(MappedFile file, std::move(opened));
    if (header_of(file.bytes()).sealed.load(std::memory_order_acquire) == 1) continue;
    auto segment = std::make_shared<UsageSegment>(std::move(file));
    recovered_ += close_open_records(segment->records);
    // What a power failure tore must not come back to life; a hole in the middle of the used ones is never given out.
    segment->next = used_records(*segment);
    segment->dirty = true;
    in_use.push_back(std::move(segment));
  }
  base::MutexLock making(making_);
  newest_number_ = numbers.empty() ? 0 : numbers.back();
  base::MutexLock lock(mutex_);
  // In order: used ones, then at most one empty, prepared one. The last used one goes on; those before it are done.
  if (!in_use.empty() && in_use.size() > 1 && in_use.back()->next == 0) {
    next_ = in_use.back();
    in_use.pop_back();
  }
  if (!in_use.empty()) {
    current_ = in_use.back();
    in_use.pop_back();
  } else {
    EBB_TRY(current_, make_segment());
  }
  full_ = std::move(in_use);
  return {};
}

Result<UsageLog::SegmentPtr> UsageLog::make_segment() {
  const std::uint64_t number = newest_number_ + 1;
  EBB_TRY(MappedFile file,
          MappedFile::create(segment_path(directory_, number), segment_bytes(kUsageFormat), [](auto bytes) {
            StoredHeader& header = header_of(bytes);
            std::memcpy(header.magic, kUsageMagic, sizeof header.magic);
            header.format = kUsageFormat;
            header.record_bytes = record_bytes(kUsageFormat);
            header.capacity = limits::kUsageSegmentRecords;
          }));
  newest_number_ = number;
  return std::make_shared<UsageSegment>(std::move(file));
}

Result<UsageSlot> UsageLog::take_slot() {
  while (true) {
    SegmentPtr segment;
    std::uint32_t index = 0;
    {
      base::MutexLock lock(mutex_);
      if (current_->next == current_->records.size() && next_ != nullptr) {
        full_.push_back(std::move(current_));
        current_ = std::exchange(next_, nullptr);
      }
      segment = current_;
      index = segment->next;
      if (index < segment->records.size()) {
        ++segment->next;
        // Under the lock, so that a flush that finds the segment full also finds its open records.
        segment->open.fetch_add(1, std::memory_order_relaxed);
      }
    }
    if (index == segment->records.size()) {
      EBB_CHECKED(roll_over(segment));
      continue;
    }
    return UsageSlot(std::move(segment), index);
  }
}

void UsageLog::leave_slot(UsageSlot&& slot) {
  const SegmentPtr segment = std::move(slot.segment_);
  slot.segment_ = nullptr;
  segment->dirty.store(true, std::memory_order_release);
  // Last: a segment without open records may be sealed.
  segment->open.fetch_sub(1, std::memory_order_release);
}

Result<UsageSlot> UsageLog::open_record(const model::UsageStart& start) {
  EBB_TRY(UsageSlot slot, take_slot());
  open_records_.fetch_add(1, std::memory_order_relaxed);
  store_start(slot.segment_->records[slot.index_], start);
  slot.segment_->dirty.store(true, std::memory_order_release);
  return slot;
}

void UsageLog::close_record(UsageSlot&& slot, const model::UsageEnd& end) {
  EBB_CHECK(slot.open());
  store_end(slot.segment_->records[slot.index_], end);
  leave_slot(std::move(slot));
  open_records_.fetch_sub(1, std::memory_order_relaxed);
}

Result<void> UsageLog::add_held(const model::HeldStart& start, const model::HeldUse& use) {
  EBB_TRY(UsageSlot slot, take_slot());
  store_held(slot.segment_->records[slot.index_], start, use);
  leave_slot(std::move(slot));
  return {};
}

// Makes `full` not the current segment any more, waiting for the one thread that makes the next.
Result<void> UsageLog::roll_over(const SegmentPtr& full) {
  base::MutexLock making(making_);
  {
    base::MutexLock lock(mutex_);
    if (current_ != full || next_ != nullptr) return {};
  }
  EBB_TRY(SegmentPtr made, make_segment());
  base::MutexLock lock(mutex_);
  next_ = std::move(made);
  return {};
}

Result<void> UsageLog::prepare() {
  base::MutexLock making(making_);
  {
    base::MutexLock lock(mutex_);
    if (next_ != nullptr || current_->next < current_->records.size() / 2) return {};
  }
  EBB_TRY(SegmentPtr made, make_segment());
  base::MutexLock lock(mutex_);
  next_ = std::move(made);
  return {};
}

Result<void> UsageLog::flush() {
  base::MutexLock flushing(flushing_);
  std::vector<SegmentPtr> full;
  SegmentPtr current;
  {
    base::MutexLock lock(mutex_);
    full = full_;
    current = current_;
  }
  for (const SegmentPtr& segment : full) {
    const bool done = segment->open.load(std::memory_order_acquire) == 0;
    EBB_CHECKED(segment->flush());
    if (!done) continue;
    // Everything is closed and on disk: note the bounds, then the seal, and forget the segment.
    std::int64_t first = INT64_MAX;
    std::int64_t last = INT64_MIN;
    for (std::uint32_t i = 0; i < segment->records.size(); ++i) {
      const StoredRecord& record = segment->records[i].record;
      if (is_free(record)) continue;
      first = std::min(first, record.arrival_ns);
      last = std::max(last, record.arrival_ns);
    }
    segment->header.first_arrival_ns = first;
    segment->header.last_arrival_ns = last;
    if (segment->header.format != kUsageFormatUnchecked) {
      segment->header.records_checksum = records_checksum(segment->file.bytes());
      segment->header.header_checksum = header_checksum(segment->header);
    }
    segment->header.sealed.store(1, std::memory_order_release);
    EBB_CHECKED(segment->file.flush());
    base::MutexLock lock(mutex_);
    std::erase(full_, segment);
  }
  return current->flush();
}

namespace {

void tell(std::vector<Damage>* damage, std::uint64_t segment, std::string what) {
  if (damage != nullptr) damage->push_back({segment, std::move(what)});
}

bool is_sealed_header(const StoredHeader& header) { return header.sealed.load(std::memory_order_acquire) == 1; }

// Whether a sealed segment's header is as it was written; true for the format without checksums.
bool header_is_whole(const StoredHeader& header) {
  return header.format == kUsageFormatUnchecked || header.header_checksum == header_checksum(header);
}

std::string header_damage(const fs::path& path) {
  return path.string() + " says in its header what was not written there: bits have changed";
}

}  // namespace

// Visits the selected records, or with a limit only remembers the newest in `found`.
Result<void> UsageLog::read_segment(std::uint64_t number, Reading& reading) const {
  const fs::path path = segment_path(directory_, number);
  auto opened = open_segment(path, MappedFile::Access::kRead);
  if (!opened && opened.error().code == base::Code::kNotFound) return {};  // its time was over, since it was listed
  if (!opened && opened.error().code == base::Code::kInternal) {
    tell(reading.damage, number, opened.error().message);
    return {};
  }
  if (!opened) return std::move(opened).error();
  const StoredHeader& header = header_of(opened->bytes());
  const UsageFilter& filter = reading.filter;
  if (is_sealed_header(header)) {
    const bool whole = header_is_whole(header);
    if (!whole) tell(reading.damage, number, header_damage(path));
    if (whole && (header.last_arrival_ns < filter.since.time_since_epoch().count() ||
                  header.first_arrival_ns >= filter.until.time_since_epoch().count())) {
      return {};
    }
  }
  model::UsageRecord record;
  std::uint64_t damaged = 0;
  const RecordPlaces stored(opened->bytes(), header.format);
  for (std::uint32_t i = 0; i < stored.size(); ++i) {
    const Loaded loaded = load_record(stored[i], header.format, record);
    damaged += loaded == Loaded::kDamaged ? 1 : 0;
    if (loaded != Loaded::kRecord || !selects(filter, record)) continue;
    if (reading.found != nullptr) {
      reading.found->push_back(record);
    } else if (!(*reading.visit)(record)) {
      reading.more = false;
      break;
    }
  }
  if (damaged > 0) tell(reading.damage, number, path.string() + " has " + std::to_string(damaged) + " damaged records");
  return {};
}

Result<void> UsageLog::read(const UsageFilter& filter, const UsageVisitor& visit, std::vector<Damage>* damage) const {
  EBB_TRY(const auto numbers, list_segments(directory_));
  Reading reading{.filter = filter, .damage = damage};
  if (filter.limit == 0) {
    reading.visit = &visit;
    for (const std::uint64_t number : numbers) {
      EBB_CHECKED(read_segment(number, reading));
      if (!reading.more) return {};
    }
    return {};
  }
  // The newest so many: from the newest segment backwards until there are enough, then in order.
  std::vector<model::UsageRecord> found;
  reading.found = &found;
  std::deque<model::UsageRecord> newest;
  for (auto number = numbers.rbegin(); number != numbers.rend() && newest.size() < filter.limit; ++number) {
    found.clear();
    EBB_CHECKED(read_segment(*number, reading));
    while (!found.empty() && newest.size() < filter.limit) {
      newest.push_front(std::move(found.back()));
      found.pop_back();
    }
  }
  for (const model::UsageRecord& record : newest) {
    if (!visit(record)) break;
  }
  return {};
}

Result<std::vector<std::uint64_t>> UsageLog::segments() const { return list_segments(directory_); }

Result<void> UsageLog::read_one(std::uint64_t segment, const UsageFilter& filter, const UsageVisitor& visit,
                                std::vector<Damage>* damage) const {
  Reading reading{.filter = filter, .visit = &visit, .damage = damage};
  return read_segment(segment, reading);
}

Result<bool> UsageLog::visit_places(std::uint64_t segment, std::uint32_t first, const PlaceVisitor& visit) const {
  EBB_TRY(MappedFile file, open_segment(segment_path(directory_, segment), MappedFile::Access::kRead));
  const StoredHeader& header = header_of(file.bytes());
  const bool sealed = is_sealed_header(header);  // before the records: nothing changes after
  const RecordPlaces stored(file.bytes(), header.format);
  model::UsageRecord record;
  for (std::uint32_t index = first; index < stored.size(); ++index) {
    const Loaded loaded = load_record(stored[index], header.format, record);
    const bool closed = loaded == Loaded::kRecord && (record.end || record.held);
    const PlaceState state = loaded == Loaded::kFree      ? PlaceState::kNothing
                             : loaded == Loaded::kDamaged ? PlaceState::kDamaged
                             : closed                     ? PlaceState::kClosed
                                                          : PlaceState::kOpen;
    if (!visit(index, state, record)) break;
  }
  return sealed;
}

bool UsageLog::is_sealed(std::uint64_t segment) const {
  const auto opened = open_segment(segment_path(directory_, segment), MappedFile::Access::kRead);
  return opened && is_sealed_header(header_of(opened->bytes()));
}

Result<UsageLog::Check> UsageLog::check(std::uint64_t segment) const {
  Check check;
  const fs::path path = segment_path(directory_, segment);
  EBB_CHECKED(read_one(
      segment, {.kinds = RecordKinds::kAll},
      [&](const model::UsageRecord&) {
        ++check.records;
        return true;
      },
      &check.damage));
  const auto opened = open_segment(path, MappedFile::Access::kRead);
  if (!opened) return check;  // told above
  const StoredHeader& header = header_of(opened->bytes());
  check.sealed = is_sealed_header(header);
  check.checked = header.format != kUsageFormatUnchecked;
  if (check.sealed && check.checked && check.damage.empty() &&
      header.records_checksum != records_checksum(opened->bytes())) {
    tell(&check.damage, segment, path.string() + " is not what was sealed: bits have changed");
  }
  return check;
}

Result<void> UsageLog::remove(std::uint64_t segment) {
  const fs::path path = segment_path(directory_, segment);
  if (!is_sealed(segment)) {
    return base::Error{.code = base::Code::kConflict, .message = path.string() + " is in use"};
  }
  std::error_code ec;
  fs::remove(path, ec);
  if (ec) return base::os_error("remove " + path.string(), ec.value());
  return {};
}

Result<UsageTotals> UsageLog::totals(const UsageFilter& filter) const {
  UsageTotals totals;
  EBB_CHECKED(read(filter, [&](const model::UsageRecord& record) {
    if (!record.end) {
      ++totals.open;
      return true;
    }
    ++totals.invocations;
    totals.billed_ms += record.end->billed_ms;
    totals.cu_micro += record.end->cu_micro;
    return true;
  }));
  return totals;
}

}  // namespace ebb::meter
