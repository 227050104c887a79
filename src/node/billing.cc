#include "node/billing.h"

#include <algorithm>
#include <iterator>

namespace ebb::node {
namespace {

constexpr std::size_t kNewestLooked = 1000;  // for a closed one among those that still run

}  // namespace

// What full segments hold comes from the ledger, the rest from the records themselves.
base::Result<std::shared_ptr<const meter::Bill>> read_bill(const Books& books, const BillQuery& query,
                                                           const AppSet& apps) {
  EBB_TRY(const meter::Prices prices, meter::load_prices(books.price_file));
  const meter::Month month = query.month;
  const bool one_list = prices.list_on(month.first_day()) == prices.list_on(month.end_day() - 1);
  const bool by_day = query.by == meter::BillBy::kDay || !one_list;
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
  const base::WallTime now = base::wall_now();
  const BillQuery query{.app = "", .month = meter::month_of(now), .by = meter::BillBy::kFunction};
  EBB_TRY(const auto bill, read_bill(books, query));
  auto budgets = std::make_unique<meter::Budgets>(bill->prices, now);
  for (const meter::AppBill& app : bill->apps) {
    const meter::Exact nano = app.cu.sum() * 1'000'000'000 / meter::kCuAtoms;
    budgets->begin_with(app.app, nano.convert_to<std::uint64_t>(), app.amount * 1'000);
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
