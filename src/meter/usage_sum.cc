#include "meter/usage_sum.h"

#include <algorithm>
#include <chrono>
#include <numeric>

#include "base/limits_bill.h"

namespace ebb::meter {

HeldSum& HeldSum::operator+=(const HeldSum& other) {
  for (std::size_t i = 0; i < model::kHeldTiers; ++i) {
    ms[i] += other.ms[i];
    byte_ms[i] += other.byte_ms[i];
  }
  sleeping_cpu_milli_ms += other.sleeping_cpu_milli_ms;
  sleeping_byte_ms += other.sleeping_byte_ms;
  return *this;
}

Quantities& Quantities::operator+=(const Quantities& other) {
  for (std::size_t i = 0; i < calls.size(); ++i) calls[i] += other.calls[i];
  billed_ms += other.billed_ms;
  cpu_milli_ms += other.cpu_milli_ms;
  byte_ms += other.byte_ms;
  held += other.held;
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
  if (record.held) {
    std::copy(record.held->ms.begin(), record.held->ms.end(), one.held.ms.begin());
    std::copy(record.held->byte_ms.begin(), record.held->byte_ms.end(), one.held.byte_ms.begin());
    const Wide provisioned_ms = record.held->ms[static_cast<std::size_t>(model::HeldTier::kProvisioned)];
    one.held.sleeping_cpu_milli_ms = provisioned_ms * record.cpu_millis;
    one.held.sleeping_byte_ms = provisioned_ms * record.memory_limit.count;
    return one;
  }
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
          .alias = record.alias,
          .day = day_of(record.arrival)};
}

base::Result<void> UsageSum::add(const model::UsageRecord& record) {
  if (!record.end && !record.held) {
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
