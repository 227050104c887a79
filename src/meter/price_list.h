// What use costs: the weights that turn resources into CU, the price of a CU, the free quota and the tiers. Several
// lists, each in effect from a day on, so that a bill of the past comes out as it did.
//
// 1. Integers only: weights in micro-CU, prices in pico (10^-12) of the currency per CU, CU bounds whole.
// 2. Lists ascend by day; one is in effect at any time, the first since ever.
// 3. The free quota and the tiers are those of one app in one calendar month (UTC).
// Read from `price_file` by the node, used by bill.h. docs/reference/bill.md is the same in words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace ebb::meter {

/// Days since 1970-01-01, UTC.
using Day = std::int64_t;

/// Micro-CU for one of each. The defaults are the conversion factors of Alibaba Cloud Function Compute's published
/// table.
struct Weights {
  std::uint64_t vcpu_second = 1'000'000;
  std::uint64_t gib_second = 150'000;
  std::uint64_t call = 7'500;              // 75 CU for 10,000
  std::uint64_t sleeping_vcpu_second = 0;  // of instances that `scale.min` keeps while nobody calls them
  std::uint64_t sleeping_gib_second = 150'000;
  bool operator==(const Weights&) const = default;
};

/// From the end of the tier before up to `up_to` CU of the month beyond the free ones; the last tier has no end.
struct Tier {
  std::optional<std::uint64_t> up_to;
  std::uint64_t price = 0;  // pico per CU
  bool operator==(const Tier&) const = default;
};

struct PriceList {
  std::optional<Day> from;  // nothing: since ever
  Weights weights;
  std::uint64_t free_cu = 0;
  std::vector<Tier> tiers = {Tier{}};  // never empty
  bool operator==(const PriceList&) const = default;
};

/// The default: weights as above, no price.
struct Prices {
  std::string currency;  // "" when there is no price
  std::vector<PriceList> lists = {PriceList{}};
  bool operator==(const Prices&) const = default;

  /// Which of `lists` is in effect on that day.
  std::size_t list_on(Day day) const;
};

/// Reads a price file. Usage before the first list's day has the default weights and no price. Errors: kInvalidArgument
/// with the line and the remedy: an unknown key, a number that is negative, not decimal or absurd, lists out of order,
/// tiers that overlap.
base::Result<Prices> parse_prices(std::string_view yaml);

/// "" gives the default. Errors: as parse_prices, with the path in front; kNotFound.
base::Result<Prices> load_prices(const std::string& path);

/// "2026-11-01" and back. Errors: kInvalidArgument.
base::Result<Day> parse_day(std::string_view text);
std::string day_text(Day day);

/// A decimal number such as "0.00012", in units of 10^-places, exactly.
/// Errors: kInvalidArgument saying what it is instead: negative, more places, above `most` whole ones.
base::Result<std::uint64_t> parse_decimal(std::string_view text, unsigned places, std::uint64_t most);
/// The other way: 120000000, 12 -> "0.00012".
std::string decimal_text(std::uint64_t value, unsigned places);

}  // namespace ebb::meter
