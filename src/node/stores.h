// What the node keeps on disk, opened and recovered together, and the two questions asked of it: logs and usage.
// Called by Engine; everything here blocks.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "meter/budget.h"
#include "meter/ledger.h"
#include "meter/usage_log.h"
#include "model/config.h"
#include "node/node.h"
#include "node/secrets.h"
#include "store/calls.h"
#include "store/function_log.h"
#include "store/metadata.h"
#include "store/package.h"

namespace ebb::node {

/// The apps that a question is about; nothing: all.
using AppSet = std::optional<std::set<std::string>>;

struct Stores {
  std::unique_ptr<store::Metadata> metadata;
  std::unique_ptr<Secrets> secrets;
  std::unique_ptr<store::PackageStore> packages;
  std::unique_ptr<store::FunctionLogs> log;
  std::unique_ptr<store::Calls> calls;
  std::unique_ptr<meter::UsageLog> usage;
  std::unique_ptr<meter::Ledger> ledger;
  std::unique_ptr<meter::Budgets> budgets;
  std::string python_version;  // of config.python, "3.11.2"
  std::string node_toolchain;  // node_toolchain() of npm_layer.h
};

/// Errors: those of each store, with its path; kUnavailable when the interpreter does not run.
base::Result<Stores> open_stores(const model::Config& config);

/// The lines of the functions, merged by time. A cursor names a place in each function's log.
base::Result<LogPage> read_logs(store::FunctionLogs& log, const LogQuery& query,
                                const std::vector<std::string>& functions);
base::Result<UsagePage> read_usage(meter::UsageLog& usage, const UsageQuery& query, const AppSet& apps);

}  // namespace ebb::node
