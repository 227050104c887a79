// The budgets' table of the metadata, and what tables with one row for an app's or organisation's name share.
#include "base/limits_access.h"
#include "model/names.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<void> SqliteMetadata::check_count(const char* count_others, const std::string& what, const model::Holder& holder,
                                         std::size_t most) {
  EBB_TRY(SqliteQuery count, database_->query(count_others));
  EBB_TRY(const bool row, count.bind(holder.app).bind(holder.organisation).step());
  if (!row || count.number(0) < static_cast<std::int64_t>(most)) return {};
  return base::Error{base::Code::kResourceExhausted, "this node has " + std::to_string(most) + " " + what +
                                                         "s, the most it can have: remove one with ebb " + what +
                                                         " rm"};
}

Result<void> SqliteMetadata::remove_of(const char* find, const char* remove, const std::string& what,
                                       const model::Holder& holder) {
  {
    EBB_TRY(SqliteQuery query, database_->query(find));
    EBB_TRY(const bool row, query.bind(holder.app).bind(holder.organisation).step());
    if (!row) return base::not_found(holder.text() + " has no " + what + ", ebb " + what + " ls shows those there are");
  }
  EBB_TRY(SqliteQuery query, database_->query(remove));
  return query.bind(holder.app).bind(holder.organisation).run();
}

Result<void> SqliteMetadata::check_holder(const model::Holder& holder) {
  if (holder.organisation.empty()) return model::check_name("app", holder.app);
  EBB_CHECKED(model::check_name("organisation", holder.organisation));
  EBB_TRY(const bool there, has_organisation(holder.organisation));
  if (there) return {};
  return base::not_found("there is no organisation " + holder.organisation + ", see ebb org ls");
}

Result<void> SqliteMetadata::set_budget(const model::Budget& budget) {
  base::MutexLock lock(mutex_);
  EBB_CHECKED(check_holder(budget.holder()));
  EBB_CHECKED(check_count("SELECT count(*) FROM budgets WHERE NOT (app = ? AND organisation = ?)", "budget",
                          budget.holder(), limits::kBudgets));
  EBB_TRY(
      SqliteQuery query,
      database_->query("INSERT OR REPLACE INTO budgets (app, organisation, nano_cu, nano_money) VALUES (?, ?, ?, ?)"));
  return query.bind(budget.app)
      .bind(budget.organisation)
      .bind(static_cast<std::int64_t>(budget.nano_cu))
      .bind(static_cast<std::int64_t>(budget.nano_money))
      .run();
}

Result<void> SqliteMetadata::remove_budget(const model::Holder& holder) {
  base::MutexLock lock(mutex_);
  return remove_of("SELECT 1 FROM budgets WHERE app = ? AND organisation = ?",
                   "DELETE FROM budgets WHERE app = ? AND organisation = ?", "budget", holder);
}

Result<std::vector<model::Budget>> SqliteMetadata::budgets() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query,
          database_->query("SELECT app, nano_cu, organisation, nano_money FROM budgets ORDER BY organisation, app"));
  std::vector<model::Budget> budgets;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return budgets;
    budgets.push_back({.app = query.text(0),
                       .nano_cu = static_cast<std::uint64_t>(query.number(1)),
                       .organisation = query.text(2),
                       .nano_money = static_cast<std::uint64_t>(query.number(3))});
  }
}

}  // namespace ebb::store
