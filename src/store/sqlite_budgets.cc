// The budgets' table of the metadata, and what tables with one row for an app's name share.
#include "base/limits_access.h"
#include "model/names.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<void> SqliteMetadata::check_count(const char* count_others, const std::string& what, std::string_view app,
                                         std::size_t most) {
  EBB_TRY(SqliteQuery count, database_->query(count_others));
  EBB_TRY(const bool row, count.bind(app).step());
  if (!row || count.number(0) < static_cast<std::int64_t>(most)) return {};
  return base::Error{base::Code::kResourceExhausted, "this node has " + std::to_string(most) + " " + what +
                                                         "s, the most it can have: remove one with ebb " + what +
                                                         " rm"};
}

Result<void> SqliteMetadata::remove_of_app(const char* find, const char* remove, const std::string& what,
                                           std::string_view app) {
  {
    EBB_TRY(SqliteQuery query, database_->query(find));
    EBB_TRY(const bool row, query.bind(app).step());
    if (!row) {
      return base::not_found("app " + std::string(app) + " has no " + what + ", ebb " + what +
                             " ls shows those there are");
    }
  }
  EBB_TRY(SqliteQuery query, database_->query(remove));
  return query.bind(app).run();
}

Result<void> SqliteMetadata::set_budget(const model::Budget& budget) {
  EBB_CHECKED(model::check_name("app", budget.app));
  base::MutexLock lock(mutex_);
  EBB_CHECKED(check_count("SELECT count(*) FROM budgets WHERE app != ?", "budget", budget.app, limits::kBudgets));
  EBB_TRY(SqliteQuery query, database_->query("INSERT OR REPLACE INTO budgets (app, nano_cu) VALUES (?, ?)"));
  return query.bind(budget.app).bind(static_cast<std::int64_t>(budget.nano_cu)).run();
}

Result<void> SqliteMetadata::remove_budget(std::string_view app) {
  base::MutexLock lock(mutex_);
  return remove_of_app("SELECT 1 FROM budgets WHERE app = ?", "DELETE FROM budgets WHERE app = ?", "budget", app);
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
