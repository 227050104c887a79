#include "node/billing.h"

#include <algorithm>
#include <iterator>

namespace ebb::node {
namespace {

constexpr std::size_t kNewestLooked = 1000;  // for a closed one among those that still run

}  // namespace

base::Result<std::shared_ptr<const meter::Bill>> read_bill(const meter::UsageLog& usage, const std::string& price_file,
                                                           const BillQuery& query) {
  EBB_TRY(const meter::Prices prices, meter::load_prices(price_file));
  const meter::UsageFilter filter{.app = query.app, .since = query.month.begin(), .until = query.month.end()};
  meter::UsageSum sum;
  base::Result<> added;
  EBB_CHECKED(usage.read(filter, [&](const model::UsageRecord& record) {
    added = sum.add(record);
    return added.has_value();
  }));
  EBB_CHECKED(added);
  EBB_TRY(meter::Bill bill, meter::bill_for(query.month, query.by, prices, sum));
  return std::make_shared<const meter::Bill>(std::move(bill));
}

base::Result<BillExplanation> explain(const meter::UsageLog& usage, const std::string& price_file,
                                      const std::string& app, const std::string& function,
                                      const std::optional<base::InvocationId>& request) {
  BillExplanation explanation;
  bool found = false;
  const meter::UsageFilter filter{.app = app, .function = function, .invocation = request, .limit = kNewestLooked};
  EBB_CHECKED(usage.read(filter, [&](const model::UsageRecord& record) {
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
  EBB_TRY(explanation.bill, read_bill(usage, price_file, query));
  return explanation;
}

base::Result<UsageExportPage> export_page(const meter::UsageLog& usage, const std::string& app, meter::Month month,
                                          std::uint64_t segment) {
  EBB_TRY(const std::vector<std::uint64_t> numbers, usage.segments());
  const auto at = std::lower_bound(numbers.begin(), numbers.end(), segment);
  UsageExportPage page;
  if (at == numbers.end()) return page;
  const meter::UsageFilter filter{.app = app, .since = month.begin(), .until = month.end()};
  EBB_CHECKED(usage.read_one(*at, filter, [&](const model::UsageRecord& record) {
    page.records.push_back(record);
    return true;
  }));
  if (std::next(at) != numbers.end()) page.next = *std::next(at);
  return page;
}

}  // namespace ebb::node
