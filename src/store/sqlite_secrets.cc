// The secrets' table of the metadata: sealed values only.
#include "base/limits_access.h"
#include "model/names.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<std::uint64_t> SqliteMetadata::next_secret_version(std::string_view app, std::string_view name) {
  EBB_CHECKED(model::check_name("app", app));
  EBB_CHECKED(model::check_name("secret", name));
  base::MutexLock lock(mutex_);
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT version FROM secrets WHERE app = ? AND name = ?"));
    EBB_TRY(const bool row, query.bind(app).bind(name).step());
    if (row) return static_cast<std::uint64_t>(query.number(0)) + 1;
  }
  EBB_TRY(SqliteQuery count, database_->query("SELECT count(*) FROM secrets WHERE app = ?"));
  EBB_TRY(const bool row, count.bind(app).step());
  if (row && count.number(0) >= static_cast<std::int64_t>(limits::kSecretsPerApp)) {
    return base::Error{base::Code::kResourceExhausted,
                       "app " + std::string(app) + " has " + std::to_string(limits::kSecretsPerApp) +
                           " secrets, the most it can have: remove one with ebb secret rm"};
  }
  return std::uint64_t{1};
}

Result<void> SqliteMetadata::put_secret(const StoredSecret& secret) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("INSERT INTO secrets (app, name, version, sealed, updated_ns) "
                                              "VALUES (?, ?, ?, ?, ?) ON CONFLICT (app, name) DO UPDATE SET "
                                              "version = excluded.version, sealed = excluded.sealed, "
                                              "updated_ns = excluded.updated_ns"));
  return query.bind(secret.app)
      .bind(secret.name)
      .bind(static_cast<std::int64_t>(secret.version))
      .bind(secret.sealed)
      .bind(secret.updated.time_since_epoch().count())
      .run();
}

Result<bool> SqliteMetadata::has_secrets() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT 1 FROM secrets UNION SELECT 1 FROM webhooks LIMIT 1"));
  return query.step();
}

Result<std::vector<StoredSecret>> SqliteMetadata::secrets(std::string_view app) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT app, name, version, sealed, updated_ns FROM secrets "
                                              "WHERE app = ? ORDER BY name"));
  query.bind(app);
  std::vector<StoredSecret> secrets;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return secrets;
    secrets.push_back({.app = query.text(0),
                       .name = query.text(1),
                       .version = static_cast<std::uint64_t>(query.number(2)),
                       .sealed = query.text(3),
                       .updated = base::WallTime(std::chrono::nanoseconds(query.number(4)))});
  }
}

Result<void> SqliteMetadata::remove_secret(std::string_view app, std::string_view name) {
  base::MutexLock lock(mutex_);
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT 1 FROM secrets WHERE app = ? AND name = ?"));
    EBB_TRY(const bool row, query.bind(app).bind(name).step());
    if (!row) {
      return base::not_found("app " + std::string(app.substr(0, 64)) + " has no secret " +
                             std::string(name.substr(0, 64)) + ", see ebb secret ls");
    }
  }
  EBB_TRY(SqliteQuery remove, database_->query("DELETE FROM secrets WHERE app = ? AND name = ?"));
  return remove.bind(app).bind(name).run();
}

}  // namespace ebb::store
