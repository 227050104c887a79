// The bill of a month: what each app used, in CU, and what that costs. docs/reference/bill.md is the same in words, and
// tools/recompute_bill.py the same again, written from those words.
//
// 1. CU are exact: an integer count of kCuAtoms-ths. Nothing is rounded until it is shown or turned into money.
// 2. An app's amount is rounded once, half up, to a millionth of the currency. Its lines and its tiers are parts of it
//    that add up to it to the last digit.
// 3. Only what is billed costs: refusals, platform faults and what the platform holds of itself (zygotes, idle and
//    frozen instances beyond scale.min) are counted and cost nothing.
// Pure. Called by the node for GET /api/v1/bill.
#pragma once

#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "meter/month.h"
#include "meter/price_list.h"
#include "meter/usage_sum.h"

namespace ebb::meter {

/// Grows as needed: a year of a large app times a price does not fit 128 bits.
using Exact = boost::multiprecision::cpp_int;

/// A CU in the unit that vCPU-milliseconds, byte-milliseconds and calls all measure whole: 10^12 x 2^30.
extern const Exact kCuAtoms;

enum class BillBy : std::uint8_t { kFunction, kVersion, kAlias, kTrigger, kDay };
std::optional<BillBy> bill_by_named(std::string_view name);
std::string_view name_of(BillBy by);

/// The CU of one kind of resource, in atoms.
struct CuParts {
  Exact cpu;
  Exact memory;
  Exact calls;
  Exact sleeping;  // instances that scale.min kept, while nobody called them
  Exact sum() const { return cpu + memory + calls + sleeping; }
  CuParts& operator+=(const CuParts& other);
};
CuParts cu_of(const Quantities& quantities, const Weights& weights);

struct BillLine {
  std::string label;  // "digits", "digits:3", "digits:live", "http", "2026-11-22"
  Quantities used;
  CuParts cu;
  std::uint64_t amount = 0;  // millionths of the currency
};

/// What fell into one tier of one price list.
struct TierUse {
  std::size_t list = 0;     // index into Prices::lists
  bool free = false;        // the free quota
  std::uint64_t price = 0;  // pico per CU
  Exact cu;                 // atoms
  std::uint64_t amount = 0;
};

struct AppBill {
  std::string app;
  std::vector<BillLine> lines;
  std::vector<TierUse> tiers;
  Quantities used;
  CuParts cu;
  std::uint64_t amount = 0;
};

struct Bill {
  Month month;
  BillBy by = BillBy::kFunction;
  Prices prices;
  std::vector<std::size_t> lists;  // those in effect in that month
  std::vector<AppBill> apps;       // by name
  std::uint64_t amount = 0;
  std::uint64_t open = 0;           // invocations that still run
  std::vector<std::string> damage;  // what could not be read of the usage log and is not on the bill
};

/// `sum` holds records of that month only.
/// Errors: kTooLarge when an amount has more than 18 digits.
base::Result<Bill> bill_for(Month month, BillBy by, const Prices& prices, const UsageSum& sum);

/// Atoms as CU, rounded half up to nine decimals: "0.007500150".
std::string cu_text(const Exact& atoms);
/// Millionths as a decimal: "12.000034".
std::string amount_text(std::uint64_t millionths);
/// A whole number of any size divided by 10^places, without loss: thousandths x milliseconds as vCPU-seconds.
std::string scaled_text(Wide value, unsigned places);
/// byte-milliseconds as GiB-seconds, rounded half up to nine decimals.
std::string gib_seconds_text(Wide byte_ms);

}  // namespace ebb::meter
