// Bills asked of a node: the usage log's records of a month added up and priced by the price file as it reads now.
// Called by Engine; everything here blocks.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "meter/bill.h"
#include "meter/budget.h"
#include "meter/ledger.h"
#include "meter/usage_log.h"
#include "node/node.h"
#include "node/stores.h"
#include "store/metadata.h"

namespace ebb::node {

/// What bills are made from.
struct Books {
  const meter::UsageLog& usage;
  meter::Ledger& ledger;
  std::string price_file;
};

base::Result<std::shared_ptr<const meter::Bill>> read_bill(const Books& books, const BillQuery& query,
                                                           const AppSet& apps = std::nullopt);

/// Errors: kNotFound when no closed record matches.
base::Result<BillExplanation> explain(const Books& books, const std::string& app, const std::string& function,
                                      const std::optional<base::InvocationId>& request);

/// What apps may use in a month, and what they have used in each so far.
base::Result<std::unique_ptr<meter::Budgets>> open_budgets(const Books& books, store::Metadata& metadata);

base::Result<LedgerReport> look_at_ledger(const meter::UsageLog& usage, meter::Ledger& ledger, bool rebuild);

/// A page of the export: the records of one segment.
base::Result<UsageExportPage> export_page(const meter::UsageLog& usage, const ExportQuery& query, const AppSet& apps);

}  // namespace ebb::node
