// The budgets' table of the metadata.
#include "base/limits_access.h"
#include "model/names.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<void> SqliteMetadata::set_budget(const model::Budget& budget) {
  EBB_CHECKED(model::check_name("app", budget.app));
  base::MutexLock lock(mutex_);
  {
    EBB_TRY(SqliteQuery count, database_->query("SELECT count(*) FROM budgets WHERE app != ?"));
    EBB_TRY(const bool row, count.bind(budget.app).step());
    if (row && count.number(0) >= static_cast<std::int64_t>(limits::kBudgets)) {
      return base::Error{base::Code::kResourceExhausted,
                         "this node has " + std::to_string(limits::kBudgets) +
                             " budgets, the most it can have: remove one with ebb budget rm"};
    }
  }
  EBB_TRY(SqliteQuery query, database_->query("INSERT OR REPLACE INTO budgets (app, nano_cu) VALUES (?, ?)"));
  return query.bind(budget.app).bind(static_cast<std::int64_t>(budget.nano_cu)).run();
}

Result<void> SqliteMetadata::remove_budget(std::string_view app) {
  base::MutexLock lock(mutex_);
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT 1 FROM budgets WHERE app = ?"));
    EBB_TRY(const bool row, query.bind(app).step());
    if (!row) return base::not_found("app " + std::string(app) + " has no budget, ebb budget ls shows those there are");
  }
  EBB_TRY(SqliteQuery query, database_->query("DELETE FROM budgets WHERE app = ?"));
  return query.bind(app).run();
}

Result<std::vector<model::Budget>> SqliteMetadata::budgets() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT app, nano_cu FROM budgets ORDER BY app"));
  std::vector<model::Budget> budgets;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return budgets;
    budgets.push_back({.app = query.text(0), .nano_cu = static_cast<std::uint64_t>(query.number(1))});
  }
}

}  // namespace ebb::store
