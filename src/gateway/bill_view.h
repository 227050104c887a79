// Bills as JSON text, described by docs/reference/openapi.yaml: every number that is money, CU or a sum of use is a
// decimal in a string, so that no reader makes a floating-point number of it.
// Called by control_plane.cc.
#pragma once

#include <string>
#include <string_view>

#include "meter/bill.h"
#include "node/node.h"

namespace ebb::gateway {

/// `organisation`: the one whose apps are on it, "" for all.
std::string bill_json(const meter::Bill& bill, std::string_view organisation);

std::string quotas_json(const std::vector<node::Quotas::View>& quotas);
std::string budgets_json(const std::vector<meter::BudgetView>& budgets);

std::string ledger_json(const node::LedgerReport& report);

/// The record, the bill, and the way from the one to the other in sentences.
std::string explanation_json(const node::BillExplanation& explanation);

}  // namespace ebb::gateway
