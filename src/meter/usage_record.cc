#include "meter/usage_record.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <string_view>

#include "base/check.h"
#include "meter/checksum.h"

namespace ebb::meter {
namespace {

static_assert(std::endian::native == std::endian::little, "usage files are little-endian");

void put_name(char (&out)[limits::kNameLength], std::string_view name) {
  EBB_CHECK(name.size() <= sizeof out);
  std::memset(out, 0, sizeof out);
  std::copy(name.begin(), name.end(), out);  // memcpy would not take the null of an empty name
}

std::string name_in(const char (&stored)[limits::kNameLength]) {
  return std::string(stored, strnlen(stored, sizeof stored));
}

RecordState state_of(const StoredRecord& record) {
  return static_cast<RecordState>(record.state.load(std::memory_order_acquire));
}

void set_state(StoredRecord& record, RecordState state) {
  record.state.store(static_cast<std::uint32_t>(state), std::memory_order_release);
}

std::uint32_t checksum_of(const RecordPlace& place) {
  const std::uint32_t sum =
      crc32c({reinterpret_cast<const std::byte*>(&place.record), offsetof(StoredRecord, checksum)});
  if (place.tail == nullptr) return sum;
  return crc32c({reinterpret_cast<const std::byte*>(place.tail), sizeof(StoredTail)}, sum);
}

void close(const RecordPlace& place) {
  place.record.checksum.store(checksum_of(place), std::memory_order_release);
  set_state(place.record, RecordState::kClosed);
}

// What this version knows nothing of may cost something.
bool is_of_later(const RecordPlace& place) {
  const auto set = [](std::uint8_t byte) { return byte != 0; };
  const StoredRecord& record = place.record;
  return std::any_of(std::begin(record.reserved_start), std::end(record.reserved_start), set) ||
         (place.tail != nullptr && std::any_of(std::begin(place.tail->reserved), std::end(place.tail->reserved), set));
}

base::Duration ns(std::int64_t count) { return base::Duration(count); }

std::byte* held_part(StoredRecord& record) {
  return reinterpret_cast<std::byte*>(&record) + offsetof(StoredRecord, queue_ns);
}

bool is_held(const StoredRecord& record) { return record.trigger == static_cast<std::uint8_t>(model::Trigger::kHeld); }

void close_held(const RecordPlace& place, const model::HeldUse& use) {
  StoredHeld stored{.for_ms = use.for_ms, .ms = {}, .byte_ms = {}, .reserved = 0};
  std::copy(use.ms.begin(), use.ms.end(), stored.ms);
  std::copy(use.byte_ms.begin(), use.byte_ms.end(), stored.byte_ms);
  std::memcpy(held_part(place.record), &stored, sizeof stored);
  close(place);
}

model::HeldUse held_in(const StoredRecord& record) {
  StoredHeld stored;
  std::memcpy(&stored, reinterpret_cast<const std::byte*>(&record) + offsetof(StoredRecord, queue_ns), sizeof stored);
  model::HeldUse use{.for_ms = stored.for_ms};
  std::copy(std::begin(stored.ms), std::end(stored.ms), use.ms.begin());
  std::copy(std::begin(stored.byte_ms), std::end(stored.byte_ms), use.byte_ms.begin());
  return use;
}

}  // namespace

StoredHeader& header_of(std::span<std::byte> bytes) {
  EBB_CHECK(bytes.size() >= kHeaderBytes);
  return *reinterpret_cast<StoredHeader*>(bytes.data());
}

RecordPlaces::RecordPlaces(std::span<std::byte> bytes, std::uint32_t format)
    : first_(bytes.data() + kHeaderBytes), step_(record_bytes(format)) {
  EBB_CHECK(bytes.size() == segment_bytes(format));
}

RecordPlace RecordPlaces::operator[](std::uint32_t index) const {
  EBB_CHECK(index < size());
  std::byte* const at = first_ + index * step_;
  const bool has_tail = step_ > sizeof(StoredRecord);
  return {.record = *reinterpret_cast<StoredRecord*>(at),
          .tail = has_tail ? reinterpret_cast<StoredTail*>(at + sizeof(StoredRecord)) : nullptr};
}

void store_start(const RecordPlace& place, const model::UsageStart& start) {
  StoredRecord& record = place.record;
  EBB_CHECK(state_of(record) == RecordState::kFree && place.tail != nullptr);
  std::memcpy(record.invocation, start.invocation.bytes.data(), sizeof record.invocation);
  record.arrival_ns = start.arrival.time_since_epoch().count();
  record.version = base::raw(start.version);
  record.instance = base::raw(start.instance);
  record.memory_limit_bytes = start.memory_limit.count;
  record.version_number = start.version_number;
  record.cpu_millis = start.cpu_millis;
  put_name(record.app, start.app);
  put_name(record.function, start.function);
  record.rung = static_cast<std::uint8_t>(start.rung);
  record.trigger = static_cast<std::uint8_t>(start.trigger);
  put_name(place.tail->alias, start.alias);
  place.tail->attempt = start.attempt;
  set_state(record, RecordState::kOpen);
}

void store_end(const RecordPlace& place, const model::UsageEnd& end) {
  StoredRecord& record = place.record;
  EBB_CHECK(state_of(record) == RecordState::kOpen);
  record.queue_ns = end.queue.count();
  record.start_ns = end.start.count();
  record.init_ns = end.init.count();
  record.handler_ns = end.handler.count();
  record.total_ns = end.total.count();
  record.cpu_ns = end.cpu.count();
  record.billed_ms = end.billed_ms;
  record.memory_peak_bytes = end.memory_peak.count;
  record.bytes_in = end.bytes_in.count;
  record.bytes_out = end.bytes_out.count;
  record.cu_micro = end.cu_micro;
  record.http_status = end.http_status;
  record.outcome = static_cast<std::uint8_t>(end.outcome);
  close(place);
}

void store_held(const RecordPlace& place, const model::HeldStart& start, const model::HeldUse& use) {
  store_start(place, {.invocation = {},
                      .arrival = start.begun,
                      .version = start.version,
                      .version_number = start.version_number,
                      .app = start.app,
                      .function = start.function,
                      .trigger = model::Trigger::kHeld,
                      .memory_limit = start.memory_limit,
                      .cpu_millis = start.cpu_millis});
  close_held(place, use);
}

void close_left_over(const RecordPlace& place) {
  if (is_held(place.record)) return close_held(place, {});
  store_end(place, {.outcome = model::Outcome::kPlatformFault});
}

Loaded load_record(const RecordPlace& place, std::uint32_t format, model::UsageRecord& out) {
  const StoredRecord& record = place.record;
  const RecordState state = state_of(record);
  if (state == RecordState::kFree) {
    // Nobody takes a checksum back. One that is there now was written by a thread since, or the state is not true.
    const bool was_closed = record.checksum.load(std::memory_order_acquire) != 0;
    return was_closed && state_of(record) == RecordState::kFree ? Loaded::kDamaged : Loaded::kFree;
  }
  if (state != RecordState::kOpen && state != RecordState::kClosed) return Loaded::kDamaged;
  if (state == RecordState::kClosed) {
    const std::uint32_t checksum = record.checksum.load(std::memory_order_acquire);
    const bool checked = format != kUsageFormatUnchecked || checksum != 0;
    if (checked && checksum != checksum_of(place)) return Loaded::kDamaged;
    if (!is_held(record) && record.outcome >= model::kOutcomes) return Loaded::kDamaged;
  }
  if (record.rung >= model::kRungs || record.trigger >= model::kTriggers) return Loaded::kDamaged;
  if (is_of_later(place)) return Loaded::kDamaged;
  if (is_held(record) && state == RecordState::kOpen) return Loaded::kFree;
  std::memcpy(out.invocation.bytes.data(), record.invocation, sizeof record.invocation);
  out.arrival = base::WallTime(std::chrono::nanoseconds(record.arrival_ns));
  out.version = base::VersionId{record.version};
  out.instance = base::InstanceId{record.instance};
  out.memory_limit = base::Bytes{record.memory_limit_bytes};
  out.version_number = record.version_number;
  out.cpu_millis = record.cpu_millis;
  out.app = name_in(record.app);
  out.function = name_in(record.function);
  out.rung = static_cast<model::Rung>(record.rung);
  out.trigger = static_cast<model::Trigger>(record.trigger);
  out.alias = place.tail != nullptr ? name_in(place.tail->alias) : std::string();
  out.attempt = place.tail != nullptr ? place.tail->attempt : 1;
  out.end.reset();
  out.held.reset();
  if (is_held(record)) {
    out.held = held_in(record);
    return Loaded::kRecord;
  }
  // The end may only be looked at once the record is closed: a thread may be writing it.
  if (state == RecordState::kOpen) return Loaded::kRecord;
  out.end = model::UsageEnd{.outcome = static_cast<model::Outcome>(record.outcome),
                            .http_status = record.http_status,
                            .queue = ns(record.queue_ns),
                            .start = ns(record.start_ns),
                            .init = ns(record.init_ns),
                            .handler = ns(record.handler_ns),
                            .total = ns(record.total_ns),
                            .billed_ms = record.billed_ms,
                            .memory_peak = {record.memory_peak_bytes},
                            .cpu = ns(record.cpu_ns),
                            .bytes_in = {record.bytes_in},
                            .bytes_out = {record.bytes_out},
                            .cu_micro = record.cu_micro};
  return Loaded::kRecord;
}

std::uint32_t header_checksum(const StoredHeader& header) {
  const auto* begin = reinterpret_cast<const std::byte*>(&header);
  constexpr std::size_t kAfter = offsetof(StoredHeader, first_arrival_ns);
  const std::uint32_t first = crc32c({begin, offsetof(StoredHeader, sealed)});
  return crc32c({begin + kAfter, offsetof(StoredHeader, header_checksum) - kAfter}, first);
}

std::uint32_t records_checksum(std::span<std::byte> bytes) { return crc32c(bytes.subspan(kHeaderBytes)); }

}  // namespace ebb::meter
