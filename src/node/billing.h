// Bills asked of a node: the usage log's records of a month added up and priced by the price file as it reads now.
// Called by Engine; everything here blocks.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "meter/bill.h"
#include "meter/usage_log.h"
#include "node/node.h"

namespace ebb::node {

base::Result<std::shared_ptr<const meter::Bill>> read_bill(const meter::UsageLog& usage, const std::string& price_file,
                                                           const BillQuery& query);

/// Errors: kNotFound when no closed record matches.
base::Result<BillExplanation> explain(const meter::UsageLog& usage, const std::string& price_file,
                                      const std::string& app, const std::string& function,
                                      const std::optional<base::InvocationId>& request);

/// A page of the export: the records of one segment.
base::Result<UsageExportPage> export_page(const meter::UsageLog& usage, const std::string& app, meter::Month month,
                                          std::uint64_t segment);

}  // namespace ebb::node
