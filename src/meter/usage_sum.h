// Usage records added up: how much of each resource, by app, function, version, trigger, alias and day. Sums are exact
// integers without any price in them, so that they may be kept, added and priced later.
//
// Invariant: every closed record is in exactly one entry, by its arrival; an open one is only counted. What was held
// has entries of its own, of the trigger kHeld.
// Filled from the usage log by the node, priced by bill.h.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "meter/price_list.h"
#include "model/usage.h"

namespace ebb::meter {

using Wide = unsigned __int128;

struct UsageKey {
  std::string app;
  std::string function;
  std::uint32_t version = 0;
  model::Trigger trigger = model::Trigger::kUnknown;
  std::string alias{};  // "" for calls by none
  Day day = 0;
  auto operator<=>(const UsageKey&) const = default;
};

/// What was held, by tier: processes x milliseconds, and the memory of their own x milliseconds; and what of it is
/// billed at the sleeping rate: instances that scale.min kept, by what was configured for them.
struct HeldSum {
  std::array<Wide, model::kHeldTiers> ms{};
  std::array<Wide, model::kHeldTiers> byte_ms{};
  Wide sleeping_cpu_milli_ms = 0;
  Wide sleeping_byte_ms = 0;
  bool operator==(const HeldSum&) const = default;

  HeldSum& operator+=(const HeldSum& other);
};

struct Quantities {
  std::array<std::uint64_t, model::kOutcomes> calls{};  // by outcome
  std::uint64_t billed_ms = 0;
  Wide cpu_milli_ms = 0;  // thousandths of a processor x billed milliseconds
  Wide byte_ms = 0;       // memory limit x billed milliseconds
  HeldSum held;
  bool operator==(const Quantities&) const = default;

  Quantities& operator+=(const Quantities& other);
  std::uint64_t all_calls() const;
  /// Those that are charged for: all but refusals and faults of the platform.
  std::uint64_t billed_calls() const;
};

/// What a closed record adds.
Quantities quantities_of(const model::UsageRecord& record);
/// Under which key.
UsageKey key_of(const model::UsageRecord& record);
Day day_of(base::WallTime time);

class UsageSum {
 public:
  /// Errors: kTooLarge above limits::kBillEntries different keys.
  base::Result<void> add(const model::UsageRecord& record);
  base::Result<void> add(const UsageKey& key, const Quantities& quantities);

  const std::map<UsageKey, Quantities>& entries() const { return entries_; }
  std::uint64_t open() const { return open_; }

 private:
  std::map<UsageKey, Quantities> entries_;
  std::uint64_t open_ = 0;
};

}  // namespace ebb::meter
