#include "meter/bill.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/check.h"

namespace ebb::meter {

using base::Result;

const Exact kCuAtoms = Exact(1'000'000'000'000) << 30;

namespace {

const Exact kPicoPerMicro = 1'000'000;
constexpr std::uint64_t kAmountMost = 1'000'000'000'000'000'000;

constexpr std::array<std::string_view, 5> kByNames = {"function", "version", "alias", "trigger", "day"};

Exact exact(Wide value) {
  return (Exact(static_cast<std::uint64_t>(value >> 64)) << 64) + static_cast<std::uint64_t>(value);
}

Exact half_up(const Exact& numerator, const Exact& denominator) {
  return (2 * numerator + denominator) / (2 * denominator);
}

// value / 10^places, with all places.
std::string with_point(const Exact& value, unsigned places) {
  std::string digits = value.str();
  if (digits.size() <= places) digits.insert(0, places + 1 - digits.size(), '0');
  return digits.insert(digits.size() - places, ".");
}

// Pico of the currency x atoms, as millionths of the currency.
Exact micro_of(const Exact& pico_atoms) { return half_up(pico_atoms, kCuAtoms * kPicoPerMicro); }

// Cuts an amount into parts that add up to it: each is the rounded sum up to it less the rounded sum before it.
class Shares {
 public:
  explicit Shares(Exact denominator) : denominator_(std::move(denominator)) {}
  std::uint64_t next(const Exact& numerator) {
    sum_ += numerator;
    const Exact up_to = denominator_ == 0 ? Exact(0) : half_up(sum_, denominator_);
    return static_cast<std::uint64_t>(up_to - std::exchange(given_, up_to));
  }

 private:
  Exact denominator_;
  Exact sum_ = 0;
  Exact given_ = 0;
};

// Where a line stands, and what it is called.
struct LineKey {
  std::string name;
  std::int64_t number = 0;
  std::string alias{};
  auto operator<=>(const LineKey&) const = default;
};

LineKey line_key(BillBy by, const UsageKey& key) {
  switch (by) {
    case BillBy::kFunction: return {key.function};
    case BillBy::kVersion: return {key.function, key.version};
    case BillBy::kAlias: return {key.function, 0, key.alias};
    case BillBy::kTrigger: return {std::string(name_of(key.trigger))};
    case BillBy::kDay: return {"", key.day};
  }
  return {};
}

std::string label_of(BillBy by, const LineKey& key) {
  const bool of_a_version = by == BillBy::kVersion && key.number != 0;  // runtime zygotes are of none
  if (of_a_version) return key.name + ":" + std::to_string(key.number);
  if (!key.alias.empty()) return key.name + ":" + key.alias;
  if (by == BillBy::kDay) return day_text(key.number);
  return key.name;
}

// The CU that one list is in effect for, poured into its tiers from where the month stands.
void fill_tiers(const PriceList& list, std::size_t index, const Exact& before, const Exact& cu,
                std::vector<TierUse>& out) {
  Exact at = before;
  const Exact end = before + cu;
  const auto pour = [&](const std::optional<Exact>& up_to, bool free, std::uint64_t price) {
    const Exact stop = up_to ? std::min(*up_to, end) : end;
    if (stop <= at) return;
    out.push_back({.list = index, .free = free, .price = price, .cu = stop - at});
    at = stop;
  };
  const Exact free_end = Exact(list.free_cu) * kCuAtoms;
  pour(free_end, true, 0);
  for (const Tier& tier : list.tiers) {
    std::optional<Exact> up_to;
    if (tier.up_to) up_to = free_end + Exact(*tier.up_to) * kCuAtoms;
    pour(up_to, false, tier.price);
  }
  EBB_CHECK(at == end);
}

struct Gathered {
  std::map<LineKey, BillLine> lines;
  std::map<std::size_t, Exact> by_list;
};

Result<AppBill> finish(std::string name, BillBy by, const Prices& prices, Gathered gathered) {
  AppBill app;
  app.app = std::move(name);
  Exact before = 0;
  for (const auto& [list, cu] : gathered.by_list) {
    fill_tiers(prices.lists[list], list, before, cu, app.tiers);
    before += cu;
  }
  Exact whole = 0;  // pico x atoms
  Shares of_tiers(kCuAtoms * kPicoPerMicro);
  for (const TierUse& tier : app.tiers) whole += tier.cu * tier.price;
  const Exact amount = micro_of(whole);
  if (amount > kAmountMost) {
    return base::Error{.code = base::Code::kTooLarge,
                       .message = "the amount of app " + app.app + " has more than 18 digits: check the price file"};
  }
  app.amount = static_cast<std::uint64_t>(amount);
  for (TierUse& tier : app.tiers) tier.amount = of_tiers.next(tier.cu * tier.price);
  Shares of_lines(before * kCuAtoms * kPicoPerMicro);
  for (auto& [key, line] : gathered.lines) {
    line.label = label_of(by, key);
    line.amount = of_lines.next(line.cu.sum() * whole);
    app.used += line.used;
    app.cu += line.cu;
    app.lines.push_back(std::move(line));
  }
  return app;
}

}  // namespace

std::optional<BillBy> bill_by_named(std::string_view name) {
  const auto at = std::find(kByNames.begin(), kByNames.end(), name);
  if (at == kByNames.end()) return std::nullopt;
  return static_cast<BillBy>(at - kByNames.begin());
}

std::string_view name_of(BillBy by) { return kByNames[static_cast<std::size_t>(by)]; }

CuParts& CuParts::operator+=(const CuParts& other) {
  cpu += other.cpu;
  memory += other.memory;
  calls += other.calls;
  sleeping += other.sleeping;
  return *this;
}

CuParts cu_of(const Quantities& quantities, const Weights& weights) {
  return {.cpu = (exact(quantities.cpu_milli_ms) * weights.vcpu_second) << 30,
          .memory = exact(quantities.byte_ms) * weights.gib_second * 1000,
          .calls = (Exact(quantities.billed_calls()) * weights.call * 1'000'000) << 30,
          .sleeping = ((exact(quantities.held.sleeping_cpu_milli_ms) * weights.sleeping_vcpu_second) << 30) +
                      exact(quantities.held.sleeping_byte_ms) * weights.sleeping_gib_second * 1000};
}

Result<Bill> bill_for(Month month, BillBy by, const Prices& prices, const UsageSum& sum) {
  Bill bill{.month = month, .by = by, .prices = prices, .open = sum.open()};
  for (std::size_t i = prices.list_on(month.first_day()); i <= prices.list_on(month.end_day() - 1); ++i)
    bill.lists.push_back(i);
  std::map<std::string, Gathered> apps;
  for (const auto& [key, quantities] : sum.entries()) {
    const std::size_t list = prices.list_on(key.day);
    Gathered& app = apps[key.app];
    BillLine& line = app.lines[line_key(by, key)];
    const CuParts cu = cu_of(quantities, prices.lists[list].weights);
    line.used += quantities;
    line.cu += cu;
    app.by_list[list] += cu.sum();
  }
  for (auto& [name, gathered] : apps) {
    EBB_TRY(AppBill app, finish(name, by, prices, std::move(gathered)));
    bill.amount += app.amount;
    if (bill.amount > kAmountMost)
      return base::Error{.code = base::Code::kTooLarge, .message = "the bill has more than 18 digits: name an app"};
    bill.apps.push_back(std::move(app));
  }
  return bill;
}

std::string cu_text(const Exact& atoms) { return with_point(half_up(atoms * 1'000'000'000, kCuAtoms), 9); }

std::string amount_text(std::uint64_t millionths) { return with_point(millionths, 6); }

std::string scaled_text(Wide value, unsigned places) { return with_point(exact(value), places); }

std::string gib_seconds_text(Wide byte_ms) {
  return with_point(half_up(exact(byte_ms) * 1'000'000, Exact(1) << 30), 9);  // 10^9 nano / 10^3 ms
}

}  // namespace ebb::meter
