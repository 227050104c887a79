#include "node/billing.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace ebb::node {
namespace {

constexpr std::size_t kNewestLooked = 1000;  // for a closed one among those that still run

bool has_one_list(const meter::Prices& prices, meter::Month month) {
  return prices.list_on(month.first_day()) == prices.list_on(month.end_day() - 1);
}

// All that there is. The clock may be wrong at the start, and come to any of them.
base::Result<std::map<meter::Month, meter::UsageSum>> sums_by_month(const Books& books, const meter::Prices& prices) {
  std::map<meter::Month, meter::UsageSum> sums;
  std::set<std::uint64_t> rolled;
  EBB_TRY(const std::vector<meter::Month> months, books.ledger.months());
  for (const meter::Month month : months) {
    EBB_TRY(meter::Ledger::Part part, books.ledger.add_to(sums[month], month, "", !has_one_list(prices, month)));
    rolled = std::move(part.rolled);
  }
  EBB_TRY(const std::vector<std::uint64_t> numbers, books.usage.segments());
  for (const std::uint64_t number : numbers) {
    if (rolled.contains(number)) continue;
    base::Result<> added;
    EBB_CHECKED(
        books.usage.read_one(number, {.kinds = meter::RecordKinds::kAll}, [&](const model::UsageRecord& record) {
          added = sums[meter::month_of(record.arrival)].add(record);
          return added.has_value();
        }));
    EBB_CHECKED(added);
  }
  return sums;
}

}  // namespace

// What full segments hold comes from the ledger, the rest from the records themselves.
base::Result<std::shared_ptr<const meter::Bill>> read_bill(const Books& books, const BillQuery& query,
                                                           const AppSet& apps) {
  EBB_TRY(const meter::Prices prices, meter::load_prices(books.price_file));
  const meter::Month month = query.month;
  const bool by_day = query.by == meter::BillBy::kDay || !has_one_list(prices, month);
  meter::UsageSum sum;
  meter::UsageSum of_ledger;
  EBB_TRY(meter::Ledger::Part part, books.ledger.add_to(of_ledger, month, query.app, by_day));
  for (const auto& [key, quantities] : of_ledger.entries()) {
    if (!apps || apps->contains(key.app)) EBB_CHECKED(sum.add(key, quantities));
  }
  const meter::UsageFilter filter{
      .app = query.app, .since = month.begin(), .until = month.end(), .kinds = meter::RecordKinds::kAll};
  EBB_TRY(const std::vector<std::uint64_t> numbers, books.usage.segments());
  for (const std::uint64_t number : numbers) {
    if (part.rolled.contains(number)) continue;
    base::Result<> added;
    const auto add = [&](const model::UsageRecord& record) {
      if (!apps || apps->contains(record.app)) added = sum.add(record);
      return added.has_value();
    };
    EBB_CHECKED(books.usage.read_one(number, filter, add, &part.damage));
    EBB_CHECKED(added);
  }
  EBB_TRY(meter::Bill bill, meter::bill_for(month, query.by, prices, sum));
  for (meter::Damage& damage : part.damage) bill.damage.push_back(std::move(damage.what));
  return std::make_shared<const meter::Bill>(std::move(bill));
}

base::Result<BillExplanation> explain(const Books& books, const std::string& app, const std::string& function,
                                      const std::optional<base::InvocationId>& request) {
  BillExplanation explanation;
  bool found = false;
  const meter::UsageFilter filter{.app = app, .function = function, .invocation = request, .limit = kNewestLooked};
  EBB_CHECKED(books.usage.read(filter, [&](const model::UsageRecord& record) {
    if (record.end) {
      explanation.record = record;  // the last one stays: the newest
      found = true;
    }
    return true;
  }));
  if (!found) {
    return base::not_found(request ? "no finished invocation of " + app + "/" + function + " has that request id"
                                   : app + "/" + function + " has no finished invocation yet");
  }
  const BillQuery query{
      .app = app, .month = meter::month_of(explanation.record.arrival), .by = meter::BillBy::kFunction};
  EBB_TRY(explanation.bill, read_bill(books, query));
  return explanation;
}

base::Result<std::unique_ptr<meter::Budgets>> open_budgets(const Books& books, store::Metadata& metadata) {
  EBB_TRY(const meter::Prices prices, meter::load_prices(books.price_file));
  auto budgets = std::make_unique<meter::Budgets>(prices, base::wall_now());
  EBB_TRY(const auto months, sums_by_month(books, prices));
  for (const auto& [month, sum] : months) {
    EBB_TRY(const meter::Bill bill, meter::bill_for(month, meter::BillBy::kFunction, prices, sum));
    for (const meter::AppBill& app : bill.apps) {
      std::map<std::size_t, meter::Exact> by_list;
      for (const meter::TierUse& tier : app.tiers) by_list[tier.list] += tier.cu;
      for (const auto& [list, cu] : by_list) {
        const meter::Exact nano = cu * 1'000'000'000 / meter::kCuAtoms;
        budgets->begin_with(app.app, month, list, nano.convert_to<std::uint64_t>());
      }
    }
  }
  EBB_TRY(const std::vector<model::Budget> stored, metadata.budgets());
  for (const model::Budget& budget : stored) budgets->set(budget);
  return budgets;
}

base::Result<LedgerReport> look_at_ledger(const meter::UsageLog& usage, meter::Ledger& ledger, bool rebuild) {
  if (rebuild) EBB_CHECKED(ledger.rebuild(usage));
  EBB_TRY(meter::Ledger::Report found, ledger.verify(usage));
  LedgerReport report{.segments = found.segments,
                      .records = found.records,
                      .unchecked = found.unchecked,
                      .rolled = found.rolled,
                      .retired = found.retired};
  for (meter::Damage& damage : found.damage) report.damage.push_back(std::move(damage.what));
  return report;
}

base::Result<UsageExportPage> export_page(const meter::UsageLog& usage, const ExportQuery& query, const AppSet& apps) {
  EBB_TRY(const std::vector<std::uint64_t> numbers, usage.segments());
  const auto at = std::lower_bound(numbers.begin(), numbers.end(), query.segment);
  UsageExportPage page;
  if (at == numbers.end()) return page;
  const meter::UsageFilter filter{
      .app = query.app, .since = query.month.begin(), .until = query.month.end(), .kinds = meter::RecordKinds::kAll};
  EBB_CHECKED(usage.read_one(*at, filter, [&](const model::UsageRecord& record) {
    if (!apps || apps->contains(record.app)) page.records.push_back(record);
    return true;
  }));
  if (std::next(at) != numbers.end()) page.next = *std::next(at);
  return page;
}

}  // namespace ebb::node
