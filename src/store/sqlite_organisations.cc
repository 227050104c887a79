// The organisations' tables of the metadata: which there are, and whose each app's name is.
#include "base/limits_access.h"
#include "model/names.h"
#include "store/sqlite_metadata.h"

namespace ebb::store {
namespace {

using base::Result;

base::Error no_organisation(std::string_view name) {
  return base::not_found("there is no organisation " + std::string(name.substr(0, 64)) + ", see ebb org ls");
}

base::Error conflict(std::string message) {
  return base::Error{.code = base::Code::kConflict, .message = std::move(message)};
}

}  // namespace

Result<bool> SqliteMetadata::has_organisation(std::string_view name) {
  EBB_TRY(SqliteQuery query, database_->query("SELECT 1 FROM organisations WHERE name = ?"));
  return query.bind(name).step();
}

Result<std::string> SqliteMetadata::owner_of(std::string_view app) {
  EBB_TRY(SqliteQuery query, database_->query("SELECT organisation FROM app_organisations WHERE app = ?"));
  EBB_TRY(const bool row, query.bind(app).step());
  return row ? query.text(0) : std::string();
}

Result<void> SqliteMetadata::add_organisation(std::string_view name) {
  EBB_CHECKED(model::check_name("organisation", name));
  base::MutexLock lock(mutex_);
  EBB_TRY(const bool there, has_organisation(name));
  if (there) return conflict("there is an organisation " + std::string(name) + " already, see ebb org ls");
  EBB_TRY(SqliteQuery count, database_->query("SELECT count(*) FROM organisations"));
  EBB_TRY(const bool row, count.step());
  if (row && count.number(0) >= static_cast<std::int64_t>(limits::kOrganisations)) {
    return base::Error{base::Code::kResourceExhausted,
                       "this node has " + std::to_string(limits::kOrganisations) +
                           " organisations, the most it can have: remove one with ebb org rm"};
  }
  EBB_TRY(SqliteQuery insert, database_->query("INSERT INTO organisations (name, created_ns) VALUES (?, ?)"));
  return insert.bind(name).bind(base::wall_now().time_since_epoch().count()).run();
}

Result<void> SqliteMetadata::remove_organisation(std::string_view name) {
  const std::string organisation(name);
  if (name == model::kDefaultOrganisation) return conflict("organisation default cannot be removed");
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const bool there, has_organisation(name));
  if (!there) return no_organisation(name);
  {
    EBB_TRY(SqliteQuery apps, database_->query("SELECT o.app FROM app_organisations o JOIN apps a ON a.name = o.app "
                                               "WHERE o.organisation = ? ORDER BY o.app LIMIT 1"));
    EBB_TRY(const bool any, apps.bind(name).step());
    if (any) {
      return conflict("organisation " + organisation + " has apps, such as " + apps.text(0) +
                      ": remove them with ebb rm or move them with ebb org move first");
    }
  }
  {
    EBB_TRY(SqliteQuery keys,
            database_->query("SELECT k.id FROM access_keys k LEFT JOIN app_organisations o ON o.app = k.app "
                             "WHERE k.organisation = ?1 OR o.organisation = ?1 LIMIT 1"));
    EBB_TRY(const bool any, keys.bind(name).step());
    if (any) {
      return conflict("organisation " + organisation + " has keys, such as " + keys.text(0) +
                      ": revoke them with ebb key rm first");
    }
  }
  {
    EBB_TRY(SqliteQuery remove, database_->query("DELETE FROM organisations WHERE name = ?"));
    EBB_CHECKED(remove.bind(name).run());
    EBB_TRY(SqliteQuery budgets, database_->query("DELETE FROM budgets WHERE organisation = ?"));
    EBB_CHECKED(budgets.bind(name).run());
    EBB_TRY(SqliteQuery quotas, database_->query("DELETE FROM quotas WHERE organisation = ?"));
    EBB_CHECKED(quotas.bind(name).run());
    EBB_TRY(SqliteQuery webhook, database_->query("DELETE FROM webhooks WHERE organisation = ?"));
    EBB_CHECKED(webhook.bind(name).run());
  }
  return transaction.commit();
}

Result<std::vector<model::Organisation>> SqliteMetadata::organisations() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query,
          database_->query("SELECT g.name, g.created_ns, o.app, a.name IS NOT NULL FROM organisations g "
                           "LEFT JOIN app_organisations o ON o.organisation = g.name "
                           "LEFT JOIN apps a ON a.name = o.app ORDER BY g.name, o.app"));
  std::vector<model::Organisation> organisations;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return organisations;
    const std::string name = query.text(0);
    if (organisations.empty() || organisations.back().name != name) {
      organisations.push_back({.name = name,
                               .created = base::WallTime(std::chrono::nanoseconds(query.number(1))),
                               .apps = {},
                               .reserved = {}});
    }
    std::string app = query.text(2);
    if (app.empty()) continue;  // it has no app
    auto& names = query.number(3) != 0 ? organisations.back().apps : organisations.back().reserved;
    names.push_back(std::move(app));
  }
}

Result<std::vector<model::OwnedApp>> SqliteMetadata::owned_apps() {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteQuery query, database_->query("SELECT app, organisation FROM app_organisations ORDER BY app"));
  std::vector<model::OwnedApp> owned;
  while (true) {
    EBB_TRY(const bool row, query.step());
    if (!row) return owned;
    owned.push_back({.app = query.text(0), .organisation = query.text(1)});
  }
}

Result<std::string> SqliteMetadata::claim_app(std::string_view app, std::string_view organisation) {
  EBB_CHECKED(model::check_name("app", app));
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(std::string owner, owner_of(app));
  const bool fresh = owner.empty();
  if (fresh) owner = organisation;
  EBB_TRY(const bool there, has_organisation(owner));
  if (!there && fresh) return no_organisation(organisation);
  if (!there) {
    return conflict("app " + std::string(app) + " is of organisation " + owner +
                    ", which was removed: an administrator moves it with ebb org move");
  }
  if (!fresh) return owner;
  {
    EBB_TRY(SqliteQuery count, database_->query("SELECT count(*) FROM app_organisations"));
    EBB_TRY(const bool row, count.step());
    if (row && count.number(0) >= static_cast<std::int64_t>(limits::kAppNames)) {
      return base::Error{base::Code::kResourceExhausted,
                         "this node has seen " + std::to_string(limits::kAppNames) +
                             " names of apps, the most it remembers: take a name that was used before"};
    }
  }
  {
    EBB_TRY(SqliteQuery insert, database_->query("INSERT INTO app_organisations (app, organisation) VALUES (?, ?)"));
    EBB_CHECKED(insert.bind(app).bind(owner).run());
  }
  EBB_CHECKED(transaction.commit());
  return owner;
}

Result<void> SqliteMetadata::move_app(std::string_view app, std::string_view organisation) {
  base::MutexLock lock(mutex_);
  EBB_TRY(SqliteTransaction transaction, SqliteTransaction::begin(*database_));
  EBB_TRY(const bool there, has_organisation(organisation));
  if (!there) return no_organisation(organisation);
  EBB_TRY(const std::string owner, owner_of(app));
  if (owner.empty()) return base::not_found("there is no app " + std::string(app) + ", see ebb ls");
  {
    EBB_TRY(SqliteQuery update, database_->query("UPDATE app_organisations SET organisation = ? WHERE app = ?"));
    EBB_CHECKED(update.bind(organisation).bind(app).run());
  }
  return transaction.commit();
}

}  // namespace ebb::store
