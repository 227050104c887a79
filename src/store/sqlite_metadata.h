// Metadata in one SQLite file. A commit is on disk when the call returns (write-ahead log, synchronous=FULL). The
// schema carries its version; opening migrates an older one and refuses one written by a newer Ebb.
#pragma once

#include <memory>
#include <string>

#include "base/mutex.h"
#include "store/metadata.h"
#include "store/sqlite.h"

namespace ebb::store {

class SqliteMetadata final : public Metadata {
 public:
  /// Opens or creates. Errors: kInternal (damaged, newer schema, not writable), each with the file and the remedy.
  static base::Result<std::unique_ptr<SqliteMetadata>> open(const std::string& path);

  base::Result<App> create_or_get_app(std::string_view name) override;
  base::Result<App> app(std::string_view name) override;
  base::Result<std::vector<App>> apps() override;
  base::Result<std::vector<PublishedVersion>> stage_versions(std::string_view app,
                                                             const std::vector<NewVersion>& versions) override;
  base::Result<std::vector<OldVersion>> activate_versions(std::string_view app,
                                                          const std::vector<base::VersionId>& versions,
                                                          const std::optional<model::AppScale>& scale) override;
  base::Result<void> make_current(std::string_view app, std::string_view function, std::uint32_t number) override;
  base::Result<model::Version> version_before(std::string_view app, std::string_view function) override;
  base::Result<void> discard_versions(const std::vector<base::VersionId>& versions) override;
  base::Result<std::vector<PublishedVersion>> publish_versions(std::string_view app,
                                                               const std::vector<NewVersion>& versions) override;
  base::Result<model::Version> current_version(std::string_view app, std::string_view function) override;
  base::Result<model::Version> version(std::string_view app, std::string_view function, std::uint32_t number) override;
  base::Result<std::vector<model::Version>> functions(std::string_view app) override;
  base::Result<std::vector<model::Version>> versions(std::string_view app, std::string_view function) override;
  base::Result<std::vector<model::Version>> all_current() override;
  base::Result<model::Alias> set_alias(const model::Alias& alias) override;
  base::Result<void> remove_alias(std::string_view app, std::string_view function, std::string_view name) override;
  base::Result<std::vector<model::Alias>> aliases() override { return aliases_of({}, {}); }
  base::Result<std::vector<model::Alias>> aliases_of(std::string_view app) override { return aliases_of(app, {}); }
  base::Result<std::vector<model::Alias>> aliases_of(std::string_view app, std::string_view function) override;
  base::Result<void> remove_app(std::string_view name) override;
  base::Result<void> remove_function(std::string_view app, std::string_view function) override;
  base::Result<void> add_key(const model::AccessKey& key) override;
  base::Result<void> remove_key(std::string_view id) override;
  base::Result<std::vector<model::AccessKey>> keys() override;
  base::Result<void> add_organisation(std::string_view name) override;
  base::Result<void> remove_organisation(std::string_view name) override;
  base::Result<std::vector<model::Organisation>> organisations() override;
  base::Result<std::vector<model::OwnedApp>> owned_apps() override;
  base::Result<std::string> claim_app(std::string_view app, std::string_view organisation) override;
  base::Result<void> move_app(std::string_view app, std::string_view organisation) override;
  base::Result<void> set_budget(const model::Budget& budget) override;
  base::Result<void> remove_budget(const model::Holder& holder) override;
  base::Result<std::vector<model::Budget>> budgets() override;
  base::Result<void> set_quota(const model::Quota& quota) override;
  base::Result<void> remove_quota(const model::Holder& holder) override;
  base::Result<std::vector<model::Quota>> quotas() override;
  base::Result<void> put_webhook(const StoredWebhook& webhook) override;
  base::Result<void> remove_webhook(std::string_view organisation) override;
  base::Result<std::vector<StoredWebhook>> webhooks() override;
  base::Result<std::uint64_t> next_secret_version(std::string_view app, std::string_view name) override;
  base::Result<void> put_secret(const StoredSecret& secret) override;
  base::Result<bool> has_secrets() override;
  base::Result<std::vector<StoredSecret>> secrets(std::string_view app) override;
  base::Result<void> remove_secret(std::string_view app, std::string_view name) override;
  base::Result<std::set<std::string>> content_keys() override;

 private:
  // Of tables with one row for an app's name; statements are literals (SqliteDatabase::query), `what` is "budget".
  /// Whether one more fits, for an app that may have one already.
  base::Result<void> check_count(const char* count_others, const std::string& what, const model::Holder& holder,
                                 std::size_t most) EBB_REQUIRES(mutex_);
  base::Result<void> remove_of(const char* find, const char* remove, const std::string& what,
                               const model::Holder& holder) EBB_REQUIRES(mutex_);
  /// Errors: kInvalidArgument, kNotFound (no such organisation).
  base::Result<void> check_holder(const model::Holder& holder) EBB_REQUIRES(mutex_);

  base::Result<bool> has_organisation(std::string_view name) EBB_REQUIRES(mutex_);
  base::Result<std::string> owner_of(std::string_view app) EBB_REQUIRES(mutex_);  // "" for nobody

  struct FunctionRow;

  explicit SqliteMetadata(std::unique_ptr<SqliteDatabase> database) : database_(std::move(database)) {}
  base::Result<void> migrate(const std::string& path) EBB_REQUIRES(mutex_);
  base::Result<std::int64_t> app_id(std::string_view name) EBB_REQUIRES(mutex_);
  base::Result<App> create_app(std::string_view name) EBB_REQUIRES(mutex_);
  base::Result<FunctionRow> function_row(std::int64_t app, std::string_view name) EBB_REQUIRES(mutex_);
  base::Result<PublishedVersion> stage_one(std::int64_t app_id, std::string_view app, const NewVersion& version)
      EBB_REQUIRES(mutex_);
  base::Result<void> clear_function(std::int64_t function_id) EBB_REQUIRES(mutex_);
  base::Result<void> point_to(std::int64_t function_id, std::int64_t version_id) EBB_REQUIRES(mutex_);
  base::Result<void> remove_old_versions(std::int64_t function_id, const std::string& function,
                                         std::vector<OldVersion>& removed) EBB_REQUIRES(mutex_);
  /// The ids of a function and of one of its versions. Errors: kNotFound.
  base::Result<std::int64_t> function_id(std::string_view app, std::string_view function) EBB_REQUIRES(mutex_);
  base::Result<std::int64_t> version_id(const std::string& function, std::int64_t function_id, std::uint32_t number)
      EBB_REQUIRES(mutex_);
  base::Result<void> remove_functions_missing_from(std::int64_t app_id, const std::set<std::string>& kept)
      EBB_REQUIRES(mutex_);

  base::Mutex mutex_;
  std::unique_ptr<SqliteDatabase> database_ EBB_GUARDED_BY(mutex_);
};

}  // namespace ebb::store
