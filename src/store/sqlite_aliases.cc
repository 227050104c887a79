// The aliases' table of the metadata, and which of a function's versions is its current one.
#include "base/limits_versions.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {

using base::Result;

Result<std::int64_t> SqliteMetadata::function_id(std::string_view app, std::string_view function) {
  EBB_TRY(SqliteQuery query, database_->query("SELECT f.id FROM functions f JOIN apps a ON a.id = f.app_id WHERE "
                                              "a.name = ? AND f.name = ? AND f.current_version_id IS NOT NULL"));
  EBB_TRY(const bool row, query.bind(app).bind(function).step());
  if (row) return query.number(0);
  return base::not_found("there is no function '" + std::string(app) + "/" + std::string(function) + "', see ebb ls");
}

Result<std::int64_t> SqliteMetadata::version_id(const std::string& function, std::int64_t function_id,
                                                std::uint32_t number) {
  EBB_TRY(SqliteQuery query, database_->query("SELECT id FROM versions WHERE function_id = ? AND number = ?"));
  EBB_TRY(const bool row, query.bind(function_id).bind(std::int64_t{number}).step());
  if (row) return query.number(0);
  return base::not_found("there is no version " + std::to_string(number) + " of " + function + ": ebb versions " +
                         function + " lists those there are");
}

Result<void> SqliteMetadata::point_to(std::int64_t function_id, std::int64_t version_id) {
  EBB_TRY(SqliteQuery update, database_->query("UPDATE functions SET current_version_id = ? WHERE id = ?"));
  EBB_CHECKED(update.bind(version_id).bind(function_id).run());
  EBB_TRY(SqliteQuery note, database_->query("UPDATE versions SET current_ns = ? WHERE id = ?"));
  return note.bind(base::wall_now().time_since_epoch().count()).bind(version_id).run();
}

Result<void> SqliteMetadata::make_current(std::string_view app, std::string_view function, std::uint32_t number) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const std::int64_t id, function_id(app, function));
  EBB_TRY(const std::int64_t version, version_id(std::string(app) + "/" + std::string(function), id, number));
  EBB_CHECKED(point_to(id, version));
  return transaction.commit();
}

Result<model::Version> SqliteMetadata::version_before(std::string_view app, std::string_view function) {
  std::uint32_t number = 0;
  {
    base::MutexLock lock(mutex_);
    EBB_TRY(const std::int64_t id, function_id(app, function));
    EBB_TRY(SqliteQuery query,
            database_->query("SELECT v.number FROM versions v JOIN functions f ON f.id = v.function_id JOIN versions c "
                             "ON c.id = f.current_version_id WHERE f.id = ? AND v.number < c.number AND "
                             "v.current_ns > 0 ORDER BY v.number DESC LIMIT 1"));
    EBB_TRY(const bool row, query.bind(id).step());
    const std::string name = std::string(app) + "/" + std::string(function);
    if (!row) {
      return base::not_found(name + " has no version before its current one that was deployed: ebb versions " + name +
                             " lists those there are, ebb rollback " + name + " VERSION takes any of them");
    }
    number = static_cast<std::uint32_t>(query.number(0));
  }
  return version(app, function, number);
}

// The oldest go first. What aliases stand for is kept beside the others.
Result<void> SqliteMetadata::remove_old_versions(std::int64_t function_id, const std::string& function,
                                                 std::vector<OldVersion>& removed) {
  std::vector<std::int64_t> ids;
  {
    EBB_TRY(
        SqliteQuery query,
        database_->query("SELECT v.id, v.number FROM versions v JOIN functions f ON f.id = v.function_id WHERE "
                         "f.id = ? AND v.id != f.current_version_id AND NOT EXISTS (SELECT 1 FROM aliases WHERE "
                         "version_id = v.id OR weight_version_id = v.id) ORDER BY v.number DESC LIMIT -1 OFFSET ?"));
    query.bind(function_id).bind(static_cast<std::int64_t>(limits::kOldVersionsKept));
    while (true) {
      EBB_TRY(const bool row, query.step());
      if (!row) break;
      ids.push_back(query.number(0));
      removed.push_back({.function = function, .number = static_cast<std::uint32_t>(query.number(1))});
    }
  }
  for (const std::int64_t id : ids) {
    EBB_TRY(SqliteQuery remove, database_->query("DELETE FROM versions WHERE id = ?"));
    EBB_CHECKED(remove.bind(id).run());
  }
  return {};
}

Result<model::Alias> SqliteMetadata::set_alias(const model::Alias& alias) {
  EBB_CHECKED(model::check_alias(alias));
  model::Alias set = alias;
  set.updated = base::wall_now();
  const std::string name = alias.app + "/" + alias.function;
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const std::int64_t id, function_id(alias.app, alias.function));
  EBB_TRY(const std::int64_t version, version_id(name, id, alias.version));
  std::int64_t other = 0;
  if (alias.weight.version != 0) {
    EBB_TRY(other, version_id(name, id, alias.weight.version));
  }
  {
    EBB_TRY(SqliteQuery others, database_->query("SELECT count(*) FROM aliases WHERE function_id = ? AND name != ?"));
    EBB_TRY(const bool row, others.bind(id).bind(alias.name).step());
    EBB_CHECK(row);
    if (others.number(0) >= static_cast<std::int64_t>(limits::kAliasesPerFunction)) {
      return base::Error{.code = base::Code::kResourceExhausted,
                         .message = name + " has " + std::to_string(limits::kAliasesPerFunction) +
                                    " aliases, the most a function can have: remove one with ebb alias rm"};
    }
  }
  EBB_TRY(SqliteQuery put,
          database_->query("INSERT OR REPLACE INTO aliases (function_id, name, version_id, weight_version_id, "
                           "weight_percent, updated_ns) VALUES (?, ?, ?, nullif(?, 0), ?, ?)"));
  EBB_CHECKED(put.bind(id)
                  .bind(alias.name)
                  .bind(version)
                  .bind(other)
                  .bind(std::int64_t{alias.weight.percent})
                  .bind(set.updated.time_since_epoch().count())
                  .run());
  EBB_CHECKED(transaction.commit());
  return set;
}

Result<void> SqliteMetadata::remove_alias(std::string_view app, std::string_view function, std::string_view name) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const std::int64_t id, function_id(app, function));
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT 1 FROM aliases WHERE function_id = ? AND name = ?"));
    EBB_TRY(const bool row, query.bind(id).bind(name).step());
    if (!row) {
      return base::not_found(std::string(app) + "/" + std::string(function) + " has no alias '" +
                             std::string(name.substr(0, 64)) + "', see ebb alias ls");
    }
  }
  EBB_TRY(SqliteQuery remove, database_->query("DELETE FROM aliases WHERE function_id = ? AND name = ?"));
  EBB_CHECKED(remove.bind(id).bind(name).run());
  return transaction.commit();
}

// Of all apps, or functions, where these are empty.
Result<std::vector<model::Alias>> SqliteMetadata::aliases_of(std::string_view app, std::string_view function) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query,
          database_->query(
              "SELECT a.name, f.name, l.name, v.number, coalesce(w.number, 0), l.weight_percent, "
              "l.updated_ns FROM aliases l JOIN functions f ON f.id = l.function_id JOIN apps a ON a.id = "
              "f.app_id JOIN versions v ON v.id = l.version_id LEFT JOIN versions w ON w.id = "
              "l.weight_version_id WHERE (?1 = '' OR a.name = ?1) AND (?2 = '' OR f.name = ?2) ORDER BY a.name, "
              "f.name, l.name"));
  query.bind(app).bind(function);
  std::vector<model::Alias> aliases;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return aliases;
    aliases.push_back({.app = query.text(0),
                       .function = query.text(1),
                       .name = query.text(2),
                       .version = static_cast<std::uint32_t>(query.number(3)),
                       .weight = {.version = static_cast<std::uint32_t>(query.number(4)),
                                  .percent = static_cast<std::uint32_t>(query.number(5))},
                       .updated = base::WallTime(std::chrono::nanoseconds(query.number(6)))});
  }
}

}  // namespace ebb::store
