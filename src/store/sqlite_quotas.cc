// The quotas' table of the metadata.
#include "base/limits_access.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<void> SqliteMetadata::set_quota(const model::Quota& quota) {
  base::MutexLock lock(mutex_);
  EBB_CHECKED(check_holder(quota.holder()));
  EBB_CHECKED(check_count("SELECT count(*) FROM quotas WHERE NOT (app = ? AND organisation = ?)", "quota",
                          quota.holder(), limits::kQuotas));
  EBB_TRY(SqliteQuery query, database_->query("INSERT OR REPLACE INTO quotas (app, organisation, "
                                              "milli_calls_per_second, calls_at_once, memory_bytes, storage_bytes) "
                                              "VALUES (?, ?, ?, ?, ?, ?)"));
  return query.bind(quota.app)
      .bind(quota.organisation)
      .bind(static_cast<std::int64_t>(quota.milli_calls_per_second))
      .bind(static_cast<std::int64_t>(quota.calls_at_once))
      .bind(static_cast<std::int64_t>(quota.memory.count))
      .bind(static_cast<std::int64_t>(quota.storage.count))
      .run();
}

Result<void> SqliteMetadata::remove_quota(const model::Holder& holder) {
  base::MutexLock lock(mutex_);
  return remove_of("SELECT 1 FROM quotas WHERE app = ? AND organisation = ?",
                   "DELETE FROM quotas WHERE app = ? AND organisation = ?", "quota", holder);
}

Result<std::vector<model::Quota>> SqliteMetadata::quotas() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT app, milli_calls_per_second, calls_at_once, organisation, "
                                              "memory_bytes, storage_bytes FROM quotas ORDER BY organisation, app"));
  std::vector<model::Quota> quotas;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return quotas;
    quotas.push_back({.app = query.text(0),
                      .milli_calls_per_second = static_cast<std::uint64_t>(query.number(1)),
                      .calls_at_once = static_cast<std::uint64_t>(query.number(2)),
                      .organisation = query.text(3),
                      .memory = {static_cast<std::uint64_t>(query.number(4))},
                      .storage = {static_cast<std::uint64_t>(query.number(5))}});
  }
}

}  // namespace ebb::store
