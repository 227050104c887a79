// The access keys' table of the metadata.
#include "base/limits.h"
#include "base/limits_access.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<void> SqliteMetadata::add_key(const model::AccessKey& key) {
  EBB_CHECKED(model::check_key(key));
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(SqliteQuery count, database_->query("SELECT count(*) FROM access_keys"));
  EBB_TRY(const bool row, count.step());
  if (row && count.number(0) >= static_cast<std::int64_t>(limits::kAccessKeys)) {
    return base::Error{base::Code::kResourceExhausted, "this node has " + std::to_string(limits::kAccessKeys) +
                                                           " keys, the most it can hold: remove one with ebb key rm"};
  }
  if (!key.organisation.empty()) {
    EBB_TRY(const bool there, has_organisation(key.organisation));
    if (!there) return base::not_found("there is no organisation " + key.organisation + ", see ebb org ls");
  }
  EBB_TRY(SqliteQuery insert,
          database_->query("INSERT INTO access_keys (id, digest, role, app, label, created_ns, local, organisation) "
                           "VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  EBB_CHECKED(insert.bind(key.id)
                  .bind(key.digest)
                  .bind(model::name_of(key.role))
                  .bind(key.app)
                  .bind(key.label)
                  .bind(key.created.time_since_epoch().count())
                  .bind(std::int64_t{key.local ? 1 : 0})
                  .bind(key.organisation)
                  .run());
  return transaction.commit();
}

Result<void> SqliteMetadata::remove_key(std::string_view id) {
  base::MutexLock lock(mutex_);
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT 1 FROM access_keys WHERE id = ?"));
    EBB_TRY(const bool row, query.bind(id).step());
    if (!row) return base::not_found("there is no key " + std::string(id.substr(0, 64)) + ", see ebb key ls");
  }
  EBB_TRY(SqliteQuery remove, database_->query("DELETE FROM access_keys WHERE id = ?"));
  return remove.bind(id).run();
}

Result<std::vector<model::AccessKey>> SqliteMetadata::keys() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT id, digest, role, app, label, created_ns, local, organisation "
                                              "FROM access_keys ORDER BY created_ns, id"));
  std::vector<model::AccessKey> keys;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return keys;
    model::AccessKey key{.id = query.text(0), .digest = query.text(1)};
    const auto role = model::role_named(query.text(2));
    if (!role) continue;  // of a newer Ebb: a role that is not understood opens nothing
    key.role = *role;
    key.app = query.text(3);
    key.label = query.text(4);
    key.created = base::WallTime(std::chrono::nanoseconds(query.number(5)));
    key.local = query.number(6) != 0;
    key.organisation = query.text(7);
    keys.push_back(std::move(key));
  }
}

}  // namespace ebb::store
