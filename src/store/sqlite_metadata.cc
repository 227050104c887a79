#include "store/sqlite_metadata.h"

#include <array>
#include <boost/json.hpp>
#include <optional>
#include <set>

#include "base/limits.h"
#include "model/names.h"

namespace ebb::store {
namespace {

using base::Result;
using model::Version;

// One step per schema version, in order; a released step is never edited, a change is a new step.
constexpr std::array kMigrations = {
    R"(CREATE TABLE apps (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         name TEXT NOT NULL UNIQUE,
         uid_index INTEGER NOT NULL UNIQUE CHECK (uid_index >= 1));
       CREATE TABLE functions (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         app_id INTEGER NOT NULL REFERENCES apps(id) ON DELETE CASCADE,
         name TEXT NOT NULL,
         current_version_id INTEGER REFERENCES versions(id) DEFERRABLE INITIALLY DEFERRED,
         last_number INTEGER NOT NULL DEFAULT 0,
         UNIQUE (app_id, name));
       CREATE TABLE versions (
         id INTEGER PRIMARY KEY AUTOINCREMENT,
         function_id INTEGER NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
         number INTEGER NOT NULL,
         spec TEXT NOT NULL,
         package_key TEXT NOT NULL,
         layer_key TEXT NOT NULL,
         created_ns INTEGER NOT NULL,
         UNIQUE (function_id, number));
       CREATE INDEX functions_current ON functions (current_version_id);)",
    R"(CREATE TABLE access_keys (
         id TEXT PRIMARY KEY,
         digest TEXT NOT NULL,
         role TEXT NOT NULL,
         app TEXT NOT NULL,
         label TEXT NOT NULL,
         created_ns INTEGER NOT NULL,
         local INTEGER NOT NULL);)",
    R"(CREATE TABLE secrets (
         app TEXT NOT NULL,
         name TEXT NOT NULL,
         version INTEGER NOT NULL,
         sealed TEXT NOT NULL,
         updated_ns INTEGER NOT NULL,
         PRIMARY KEY (app, name));)",
    R"(CREATE TABLE budgets (
         app TEXT PRIMARY KEY,
         nano_cu INTEGER NOT NULL);)",
    R"(CREATE TABLE quotas (
         app TEXT PRIMARY KEY,
         milli_calls_per_second INTEGER NOT NULL,
         calls_at_once INTEGER NOT NULL);)",
    // What was there before organisations is of the default one, names without an app too: whoever knows of them is.
    R"(CREATE TABLE organisations (
         name TEXT PRIMARY KEY,
         created_ns INTEGER NOT NULL);
       CREATE TABLE app_organisations (
         app TEXT PRIMARY KEY,
         organisation TEXT NOT NULL);
       CREATE INDEX app_organisations_organisation ON app_organisations (organisation);
       INSERT INTO organisations SELECT 'default', CAST(strftime('%s', 'now') AS INTEGER) * 1000000000;
       INSERT INTO app_organisations SELECT app, 'default' FROM (
         SELECT name AS app FROM apps UNION SELECT app FROM secrets UNION SELECT app FROM budgets
         UNION SELECT app FROM quotas UNION SELECT app FROM access_keys WHERE app != '');
       ALTER TABLE access_keys ADD COLUMN organisation TEXT NOT NULL DEFAULT '';)",
    // Budgets and quotas of organisations beside those of apps.
    R"(CREATE TABLE budgets_of (
         app TEXT NOT NULL,
         organisation TEXT NOT NULL,
         nano_cu INTEGER NOT NULL,
         PRIMARY KEY (organisation, app));
       INSERT INTO budgets_of SELECT app, '', nano_cu FROM budgets;
       DROP TABLE budgets;
       ALTER TABLE budgets_of RENAME TO budgets;
       CREATE TABLE quotas_of (
         app TEXT NOT NULL,
         organisation TEXT NOT NULL,
         milli_calls_per_second INTEGER NOT NULL,
         calls_at_once INTEGER NOT NULL,
         PRIMARY KEY (organisation, app));
       INSERT INTO quotas_of SELECT app, '', milli_calls_per_second, calls_at_once FROM quotas;
       DROP TABLE quotas;
       ALTER TABLE quotas_of RENAME TO quotas;)",
    R"(ALTER TABLE quotas ADD COLUMN memory_bytes INTEGER NOT NULL DEFAULT 0;
       ALTER TABLE quotas ADD COLUMN storage_bytes INTEGER NOT NULL DEFAULT 0;)",
    R"(ALTER TABLE budgets ADD COLUMN nano_money INTEGER NOT NULL DEFAULT 9223372036854775807;)",
    R"(CREATE TABLE webhooks (
         organisation TEXT PRIMARY KEY,
         url TEXT NOT NULL,
         usage INTEGER NOT NULL,
         version INTEGER NOT NULL,
         sealed TEXT NOT NULL);)",
    // current_ns: when it last became the current one, 0 for never. Of what was there before it is not known, and
    // nearly all of them were.
    R"(CREATE TABLE aliases (
         function_id INTEGER NOT NULL REFERENCES functions(id) ON DELETE CASCADE,
         name TEXT NOT NULL,
         version_id INTEGER NOT NULL REFERENCES versions(id),
         weight_version_id INTEGER REFERENCES versions(id),
         weight_percent INTEGER NOT NULL,
         updated_ns INTEGER NOT NULL,
         PRIMARY KEY (function_id, name)) WITHOUT ROWID;
       CREATE INDEX aliases_version ON aliases (version_id);
       CREATE INDEX aliases_weight_version ON aliases (weight_version_id);
       ALTER TABLE versions ADD COLUMN current_ns INTEGER NOT NULL DEFAULT 0;
       UPDATE versions SET current_ns = created_ns;)",
    R"(ALTER TABLE apps ADD COLUMN reserve INTEGER NOT NULL DEFAULT 0;
       ALTER TABLE apps ADD COLUMN max_instances INTEGER NOT NULL DEFAULT 0;)",
};

// The columns that read_version expects, and the joins that give them.
#define EBB_VERSION_COLUMNS                                                                                  \
  "SELECT v.id, a.name, f.name, v.number, v.spec, v.package_key, v.layer_key, v.created_ns FROM versions v " \
  "JOIN functions f ON f.id = v.function_id JOIN apps a ON a.id = f.app_id "

#define EBB_APP_COLUMNS "name, uid_index, reserve, max_instances"

App read_app(const SqliteQuery& row) {
  return {.name = row.text(0),
          .uid_index = static_cast<std::uint32_t>(row.number(1)),
          .scale = {.reserve = static_cast<std::uint32_t>(row.number(2)),
                    .max_instances = static_cast<std::uint32_t>(row.number(3))}};
}

Result<Version> read_version(const SqliteQuery& row) {
  Version version;
  version.id = base::VersionId{static_cast<std::uint64_t>(row.number(0))};
  version.app = row.text(1);
  version.function = row.text(2);
  version.number = static_cast<std::uint32_t>(row.number(3));
  boost::system::error_code ec;
  const boost::json::value spec = boost::json::parse(row.text(4), ec);
  const std::string where = "stored version " + version.app + "/" + version.function + ":" +
                            std::to_string(version.number) + " cannot be read: ";
  if (ec || !spec.is_object()) return base::internal(where + "its specification is not JSON, deploy it again");
  auto parsed = model::function_spec_from_json(spec.get_object());
  if (!parsed) return base::internal(where + parsed.error().message);
  version.spec = std::move(*parsed);
  version.package_key = row.text(5);
  version.layer_key = row.text(6);
  version.created = base::WallTime(std::chrono::nanoseconds(row.number(7)));
  return version;
}

Result<std::vector<Version>> read_versions(SqliteQuery& query) {
  std::vector<Version> versions;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return versions;
    EBB_TRY(Version version, read_version(query));
    versions.push_back(std::move(version));
  }
}

base::Error no_app(std::string_view name) {
  return base::not_found("there is no app '" + std::string(name) + "', see ebb ls");
}

base::Error no_function(std::string_view app, std::string_view function) {
  return base::not_found("there is no function '" + std::string(app) + "/" + std::string(function) + "', see ebb ls");
}

}  // namespace

struct SqliteMetadata::FunctionRow {
  std::int64_t id = 0;
  std::int64_t current_version = 0;  // 0 for none
  std::int64_t last_number = 0;
};

Result<std::unique_ptr<SqliteMetadata>> SqliteMetadata::open(const std::string& path) {
  EBB_TRY(auto database, SqliteDatabase::open(path));
  std::unique_ptr<SqliteMetadata> metadata(new SqliteMetadata(std::move(database)));
  base::MutexLock lock(metadata->mutex_);
  EBB_CHECKED(metadata->migrate(path));
  return metadata;
}

Result<void> SqliteMetadata::migrate(const std::string& path) {
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_CHECKED(database_->execute(
      "CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, applied_ns INTEGER NOT NULL)"));
  std::int64_t at = 0;
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT coalesce(max(version), 0) FROM schema_migrations"));
    EBB_TRY(const bool row, query.step());
    EBB_CHECK(row);
    at = query.number(0);
  }
  const auto newest = static_cast<std::int64_t>(kMigrations.size());
  if (at > newest) {
    return base::internal("metadata file " + path + " has schema " + std::to_string(at) + ", this Ebb knows up to " +
                          std::to_string(newest) + ": run the newer Ebb that wrote it");
  }
  for (; at < newest; ++at) {
    EBB_CHECKED(database_->execute(kMigrations[static_cast<std::size_t>(at)]));
    EBB_TRY(SqliteQuery query, database_->query("INSERT INTO schema_migrations VALUES (?, ?)"));
    EBB_CHECKED(query.bind(at + 1).bind(base::wall_now().time_since_epoch().count()).run());
  }
  return transaction.commit();
}

Result<std::int64_t> SqliteMetadata::app_id(std::string_view name) {
  EBB_TRY(SqliteQuery query, database_->query("SELECT id FROM apps WHERE name = ?"));
  EBB_TRY(const bool row, query.bind(name).step());
  if (!row) return no_app(name);
  return query.number(0);
}

Result<App> SqliteMetadata::app(std::string_view name) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT " EBB_APP_COLUMNS " FROM apps WHERE name = ?"));
  EBB_TRY(const bool row, query.bind(name).step());
  if (!row) return no_app(name);
  return read_app(query);
}

Result<App> SqliteMetadata::create_or_get_app(std::string_view name) {
  EBB_CHECKED(model::check_name("app", name));
  auto existing = app(name);
  if (existing || existing.error().code != base::Code::kNotFound) return existing;
  base::MutexLock lock(mutex_);
  return create_app(name);
}

Result<App> SqliteMetadata::create_app(std::string_view name) {
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  // Another thread may have come first since create_or_get_app looked: the name's row then stays as it is.
  EBB_TRY(SqliteQuery used, database_->query("SELECT uid_index, name FROM apps"));
  std::set<std::uint32_t> taken;
  while (true) {
    EBB_TRY(const bool row, used.step());
    if (!row) break;
    const auto index = static_cast<std::uint32_t>(used.number(0));
    if (used.text(1) == name) return App{.name = std::string(name), .uid_index = index};
    taken.insert(index);
  }
  if (taken.size() >= limits::kApps) {
    return base::Error{base::Code::kResourceExhausted, "this node has " + std::to_string(limits::kApps) +
                                                           " apps, the most it can hold: remove one with ebb rm"};
  }
  // In turn, not the lowest free: processes of an app that was removed this moment may still run under its uids.
  EBB_TRY(SqliteQuery last, database_->query("SELECT seq FROM sqlite_sequence WHERE name = 'apps'"));
  EBB_TRY(const bool any_before, last.step());
  std::uint32_t index = any_before ? static_cast<std::uint32_t>(last.number(0) % std::int64_t{limits::kApps}) : 0;
  do {
    index = index % static_cast<std::uint32_t>(limits::kApps) + 1;
  } while (taken.contains(index));
  EBB_TRY(SqliteQuery insert, database_->query("INSERT INTO apps (name, uid_index) VALUES (?, ?)"));
  EBB_CHECKED(insert.bind(name).bind(std::int64_t{index}).run());
  EBB_CHECKED(transaction.commit());
  return App{.name = std::string(name), .uid_index = index};
}

Result<std::vector<App>> SqliteMetadata::apps() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT " EBB_APP_COLUMNS " FROM apps ORDER BY name"));
  std::vector<App> apps;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return apps;
    apps.push_back(read_app(query));
  }
}

// The function's row, made when there is none.
Result<SqliteMetadata::FunctionRow> SqliteMetadata::function_row(std::int64_t app, std::string_view name) {
  EBB_TRY(SqliteQuery insert, database_->query("INSERT OR IGNORE INTO functions (app_id, name) VALUES (?, ?)"));
  EBB_CHECKED(insert.bind(app).bind(name).run());
  EBB_TRY(SqliteQuery query, database_->query("SELECT id, coalesce(current_version_id, 0), last_number FROM functions "
                                              "WHERE app_id = ? AND name = ?"));
  EBB_TRY(const bool row, query.bind(app).bind(name).step());
  EBB_CHECK(row);
  return FunctionRow{query.number(0), query.number(1), query.number(2)};
}

Result<PublishedVersion> SqliteMetadata::stage_one(std::int64_t app_id, std::string_view app,
                                                   const NewVersion& version) {
  EBB_TRY(const FunctionRow function, function_row(app_id, version.spec.name));
  if (function.current_version != 0 && !version.fresh) {
    EBB_TRY(SqliteQuery query, database_->query(EBB_VERSION_COLUMNS "WHERE v.id = ?"));
    EBB_TRY(const bool row, query.bind(function.current_version).step());
    EBB_CHECK(row);
    auto current = read_version(query);
    // An unreadable current version counts as changed: deploying again is the remedy.
    if (current && current->spec == version.spec && current->package_key == version.package_key &&
        current->layer_key == version.layer_key) {
      return PublishedVersion{std::move(*current), true};
    }
  }
  Version made{.app = std::string(app),
               .function = version.spec.name,
               .number = static_cast<std::uint32_t>(function.last_number + 1),
               .spec = version.spec,
               .package_key = version.package_key,
               .layer_key = version.layer_key,
               .created = base::wall_now()};
  EBB_TRY(SqliteQuery insert,
          database_->query("INSERT INTO versions (function_id, number, spec, package_key, layer_key, created_ns) "
                           "VALUES (?, ?, ?, ?, ?, ?)"));
  EBB_CHECKED(insert.bind(function.id)
                  .bind(std::int64_t{made.number})
                  .bind(boost::json::serialize(to_json(made.spec)))
                  .bind(made.package_key)
                  .bind(made.layer_key)
                  .bind(made.created.time_since_epoch().count())
                  .run());
  made.id = base::VersionId{static_cast<std::uint64_t>(database_->last_insert_id())};
  EBB_TRY(SqliteQuery update, database_->query("UPDATE functions SET last_number = ? WHERE id = ?"));
  EBB_CHECKED(update.bind(std::int64_t{made.number}).bind(function.id).run());
  return PublishedVersion{std::move(made), false};
}

Result<std::vector<PublishedVersion>> SqliteMetadata::stage_versions(std::string_view app,
                                                                     const std::vector<NewVersion>& versions) {
  std::set<std::string_view> names;
  for (const NewVersion& version : versions) {
    if (!names.insert(version.spec.name).second) {
      return base::invalid_argument("function '" + version.spec.name + "' is given twice");
    }
    if (auto violation = model::first_violation(version.spec)) {
      return base::invalid_argument(version.spec.name + "." + violation->field + ": " + violation->message);
    }
  }
  if (versions.empty() || versions.size() > limits::kFunctionsPerApp) {
    return base::invalid_argument("an app has 1 to " + std::to_string(limits::kFunctionsPerApp) + " functions, not " +
                                  std::to_string(versions.size()));
  }
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const std::int64_t id, app_id(app));
  std::vector<PublishedVersion> staged;
  for (const NewVersion& version : versions) {
    EBB_TRY(PublishedVersion one, stage_one(id, app, version));
    staged.push_back(std::move(one));
  }
  EBB_CHECKED(transaction.commit());
  return staged;
}

Result<std::vector<OldVersion>> SqliteMetadata::activate_versions(std::string_view app,
                                                                  const std::vector<base::VersionId>& versions,
                                                                  const std::optional<model::AppScale>& scale) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const std::int64_t id, app_id(app));
  std::set<std::string> names;
  std::vector<OldVersion> removed;
  for (const base::VersionId version : versions) {
    const auto version_id = static_cast<std::int64_t>(raw(version));
    EBB_TRY(SqliteQuery query,
            database_->query("SELECT f.id, f.name FROM versions v JOIN functions f ON v.function_id = f.id "
                             "WHERE v.id = ? AND f.app_id = ?"));
    EBB_TRY(const bool row, query.bind(version_id).bind(id).step());
    if (!row)
      return base::not_found("there is no staged version " + std::to_string(version_id) + " of app '" +
                             std::string(app) + "'");
    const std::string& name = *names.insert(query.text(1)).first;
    const std::int64_t function = query.number(0);
    EBB_CHECKED(point_to(function, version_id));
    EBB_CHECKED(remove_old_versions(function, name, removed));
  }
  EBB_CHECKED(remove_functions_missing_from(id, names));
  if (scale) {
    EBB_TRY(SqliteQuery update, database_->query("UPDATE apps SET reserve = ?, max_instances = ? WHERE id = ?"));
    EBB_CHECKED(update.bind(std::int64_t{scale->reserve}).bind(std::int64_t{scale->max_instances}).bind(id).run());
  }
  EBB_CHECKED(transaction.commit());
  return removed;
}

Result<void> SqliteMetadata::discard_versions(const std::vector<base::VersionId>& versions) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  for (const base::VersionId version : versions) {
    EBB_TRY(SqliteQuery remove,
            database_->query("DELETE FROM versions WHERE id = ?1 AND id NOT IN "
                             "(SELECT current_version_id FROM functions WHERE current_version_id IS NOT NULL) "
                             "AND NOT EXISTS (SELECT 1 FROM aliases WHERE version_id = ?1 OR weight_version_id = ?1)"));
    EBB_CHECKED(remove.bind(static_cast<std::int64_t>(raw(version))).run());
  }
  return transaction.commit();
}

Result<std::vector<PublishedVersion>> SqliteMetadata::publish_versions(std::string_view app,
                                                                       const std::vector<NewVersion>& versions) {
  EBB_TRY(std::vector<PublishedVersion> staged, stage_versions(app, versions));
  std::vector<base::VersionId> ids;
  for (const PublishedVersion& one : staged) ids.push_back(one.version.id);
  EBB_CHECKED(activate_versions(app, ids, std::nullopt));
  return staged;
}

// Takes the current version, aliases and all versions away; the row stays for its last_number.
Result<void> SqliteMetadata::clear_function(std::int64_t function_id) {
  EBB_TRY(SqliteQuery update, database_->query("UPDATE functions SET current_version_id = NULL WHERE id = ?"));
  EBB_CHECKED(update.bind(function_id).run());
  EBB_TRY(SqliteQuery aliases, database_->query("DELETE FROM aliases WHERE function_id = ?"));
  EBB_CHECKED(aliases.bind(function_id).run());
  EBB_TRY(SqliteQuery remove, database_->query("DELETE FROM versions WHERE function_id = ?"));
  return remove.bind(function_id).run();
}

Result<void> SqliteMetadata::remove_functions_missing_from(std::int64_t app_id, const std::set<std::string>& kept) {
  std::vector<std::int64_t> gone;
  {
    EBB_TRY(SqliteQuery query, database_->query("SELECT id, name FROM functions WHERE app_id = ? "
                                                "AND current_version_id IS NOT NULL"));
    query.bind(app_id);
    while (true) {
      EBB_TRY(const bool row, query.step());
      if (!row) break;
      if (!kept.contains(std::string(query.text(1)))) gone.push_back(query.number(0));
    }
  }
  for (const std::int64_t id : gone) EBB_CHECKED(clear_function(id));
  return {};
}

Result<Version> SqliteMetadata::current_version(std::string_view app, std::string_view function) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query,
          database_->query(EBB_VERSION_COLUMNS "WHERE a.name = ? AND f.name = ? AND v.id = f.current_version_id"));
  EBB_TRY(const bool row, query.bind(app).bind(function).step());
  if (!row) return no_function(app, function);
  return read_version(query);
}

Result<Version> SqliteMetadata::version(std::string_view app, std::string_view function, std::uint32_t number) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query(EBB_VERSION_COLUMNS "WHERE a.name = ? AND f.name = ? AND v.number = ?"));
  EBB_TRY(const bool row, query.bind(app).bind(function).bind(std::int64_t{number}).step());
  if (!row) {
    return base::not_found("there is no version " + std::to_string(number) + " of '" + std::string(app) + "/" +
                           std::string(function) + "'");
  }
  return read_version(query);
}

Result<std::vector<Version>> SqliteMetadata::functions(std::string_view app) {
  base::MutexLock lock(mutex_);
  EBB_CHECKED(app_id(app));
  EBB_TRY(SqliteQuery query,
          database_->query(EBB_VERSION_COLUMNS "WHERE a.name = ? AND v.id = f.current_version_id ORDER BY f.name"));
  return read_versions(query.bind(app));
}

Result<std::vector<Version>> SqliteMetadata::versions(std::string_view app, std::string_view function) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query,
          database_->query(EBB_VERSION_COLUMNS "WHERE a.name = ? AND f.name = ? ORDER BY v.number DESC"));
  EBB_TRY(auto found, read_versions(query.bind(app).bind(function)));
  if (found.empty()) return no_function(app, function);
  return found;
}

Result<std::vector<Version>> SqliteMetadata::all_current() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query,
          database_->query(EBB_VERSION_COLUMNS "WHERE v.id = f.current_version_id ORDER BY a.name, f.name"));
  return read_versions(query);
}

Result<void> SqliteMetadata::remove_app(std::string_view name) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const std::int64_t id, app_id(name));
  EBB_TRY(SqliteQuery query, database_->query("DELETE FROM apps WHERE id = ?"));
  EBB_CHECKED(query.bind(id).run());
  // Whoever takes the name next must not inherit them.
  EBB_TRY(SqliteQuery secrets, database_->query("DELETE FROM secrets WHERE app = ?"));
  EBB_CHECKED(secrets.bind(name).run());
  return transaction.commit();
}

Result<void> SqliteMetadata::remove_function(std::string_view app, std::string_view function) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_CHECKED(app_id(app));
  EBB_TRY(const std::int64_t id, function_id(app, function));
  EBB_CHECKED(clear_function(id));
  return transaction.commit();
}

Result<std::set<std::string>> SqliteMetadata::content_keys() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query,
          database_->query("SELECT package_key FROM versions UNION SELECT layer_key FROM versions "
                           "UNION SELECT value FROM versions, json_each(versions.spec, '$.image.layers')"));
  std::set<std::string> keys;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return keys;
    if (std::string key = query.text(0); !key.empty()) keys.insert(std::move(key));
  }
}

#undef EBB_APP_COLUMNS
#undef EBB_VERSION_COLUMNS

}  // namespace ebb::store
