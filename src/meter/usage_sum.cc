#include "meter/usage_sum.h"

#include <chrono>
#include <numeric>

#include "base/limits_bill.h"

namespace ebb::meter {

Quantities& Quantities::operator+=(const Quantities& other) {
  for (std::size_t i = 0; i < calls.size(); ++i) calls[i] += other.calls[i];
  billed_ms += other.billed_ms;
  cpu_milli_ms += other.cpu_milli_ms;
  byte_ms += other.byte_ms;
  return *this;
}

std::uint64_t Quantities::all_calls() const { return std::accumulate(calls.begin(), calls.end(), std::uint64_t{0}); }

std::uint64_t Quantities::billed_calls() const {
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    if (model::is_billed(static_cast<model::Outcome>(i))) count += calls[i];
  }
  return count;
}

Quantities quantities_of(const model::UsageRecord& record) {
  Quantities one;
  if (!record.end) return one;
  one.calls[static_cast<std::size_t>(record.end->outcome)] = 1;
  if (!model::is_billed(record.end->outcome)) return one;
  one.billed_ms = record.end->billed_ms;
  one.cpu_milli_ms = Wide{record.cpu_millis} * one.billed_ms;
  one.byte_ms = Wide{record.memory_limit.count} * one.billed_ms;
  return one;
}

Day day_of(base::WallTime time) { return std::chrono::floor<std::chrono::days>(time).time_since_epoch().count(); }

UsageKey key_of(const model::UsageRecord& record) {
  return {.app = record.app,
          .function = record.function,
          .version = record.version_number,
          .trigger = record.trigger,
          .day = day_of(record.arrival)};
}

base::Result<void> UsageSum::add(const model::UsageRecord& record) {
  if (!record.end) {
    ++open_;
    return {};
  }
  return add(key_of(record), quantities_of(record));
}

base::Result<void> UsageSum::add(const UsageKey& key, const Quantities& quantities) {
  auto at = entries_.find(key);
  if (at == entries_.end()) {
    if (entries_.size() >= limits::kBillEntries) {
      return base::Error{
          .code = base::Code::kTooLarge,
          .message = "more than " + std::to_string(limits::kBillEntries) + " entries on one bill: name an app"};
    }
    at = entries_.emplace(key, Quantities{}).first;
  }
  at->second += quantities;
  return {};
}

}  // namespace ebb::meter
