// Metadata: which apps, functions and versions exist. The small, precious part of the state, behind an interface so
// that an embedded database serves one machine and a clustered one can take its place.
//
// Invariants:
//  1. A version is immutable and its id is never given twice; numbers count up from 1 within a function.
//  2. A publication happens whole or not at all.
//  3. Every version that can be asked for is counted in content_keys: its package and layer may not be collected.
//  4. A function keeps its current version, those that aliases stand for, and the newest limits::kOldVersionsKept
//  others.
// Called by the control plane (deploy, ls, rm) and by the node at start. Never on the invoke path: calls block on disk.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/access_key.h"
#include "model/alias.h"
#include "model/budget.h"
#include "model/organisation.h"
#include "model/quota.h"
#include "model/version.h"
#include "model/webhook.h"

namespace ebb::store {

struct App {
  std::string name;
  std::uint32_t uid_index = 0;  // 1..limits::kApps, unique among the apps there are, given out in turn
  model::AppScale scale{};      // as of its last publication
  bool operator==(const App&) const = default;
};

struct NewVersion {
  model::FunctionSpec spec;  // its name is the function's
  std::string package_key;
  std::string layer_key;  // "" without requirements
  bool fresh = false;     // a new version even when nothing of this changed: what it is given has
};

struct StoredSecret {
  std::string app;
  std::string name;
  std::uint64_t version = 0;
  std::string sealed;  // as SecretBox::seal gave it
  base::WallTime updated{};
};

struct StoredWebhook {
  model::Webhook webhook;
  std::uint64_t version = 0;  // counts up with every secret
  std::string sealed;         // the secret, as SecretBox::seal gave it
};

/// One that was removed because there are enough newer ones.
struct OldVersion {
  std::string function;
  std::uint32_t number = 0;
  bool operator==(const OldVersion&) const = default;
};

struct PublishedVersion {
  model::Version version;
  bool unchanged = false;  // equal to the version that was current: no new one was made
};

/// All calls: blocking; threads: any. Errors besides those named: kUnavailable (disk full, file locked), kInternal.
class Metadata {
 public:
  virtual ~Metadata() = default;

  /// Errors: kInvalidArgument (bad name), kResourceExhausted (limits::kApps apps exist).
  virtual base::Result<App> create_or_get_app(std::string_view name) = 0;
  /// Errors: kNotFound.
  virtual base::Result<App> app(std::string_view name) = 0;
  /// Sorted by name.
  virtual base::Result<std::vector<App>> apps() = 0;

  /// Makes a version of each, not yet current, so that it can be tried; or answers the current one, flagged unchanged,
  /// when spec, package and layer are equal. The answer is in the order of `versions`. Errors: kNotFound (no such app),
  /// kInvalidArgument (no or too many functions, one twice).
  virtual base::Result<std::vector<PublishedVersion>> stage_versions(std::string_view app,
                                                                     const std::vector<NewVersion>& versions) = 0;
  /// Makes these the current versions of the app, in one transaction; functions not among them are removed, and old
  /// versions beyond those that are kept: the answer. `scale` is the app's from then on; nothing: it stays as it is.
  /// Errors: kNotFound.
  virtual base::Result<std::vector<OldVersion>> activate_versions(std::string_view app,
                                                                  const std::vector<base::VersionId>& versions,
                                                                  const std::optional<model::AppScale>& scale) = 0;
  /// Makes a version that is there the current one. Errors: kNotFound.
  virtual base::Result<void> make_current(std::string_view app, std::string_view function, std::uint32_t number) = 0;
  /// The newest version before the current one that was current itself. Errors: kNotFound when there is none.
  virtual base::Result<model::Version> version_before(std::string_view app, std::string_view function) = 0;
  /// Deletes staged versions that are not to be published after all; current ones and those of aliases stay.
  virtual base::Result<void> discard_versions(const std::vector<base::VersionId>& versions) = 0;
  /// stage_versions and activate_versions.
  virtual base::Result<std::vector<PublishedVersion>> publish_versions(std::string_view app,
                                                                       const std::vector<NewVersion>& versions) = 0;

  /// Errors: kNotFound.
  virtual base::Result<model::Version> current_version(std::string_view app, std::string_view function) = 0;
  virtual base::Result<model::Version> version(std::string_view app, std::string_view function,
                                               std::uint32_t number) = 0;
  /// Current versions of an app's functions, sorted by function. Errors: kNotFound.
  virtual base::Result<std::vector<model::Version>> functions(std::string_view app) = 0;
  /// All versions of one function, newest first. Errors: kNotFound.
  virtual base::Result<std::vector<model::Version>> versions(std::string_view app, std::string_view function) = 0;
  /// Current versions of all functions, sorted by app and function.
  virtual base::Result<std::vector<model::Version>> all_current() = 0;

  /// Aliases. Sets one, in place of that of its name if there is one; `updated` is now, in the answer.
  /// Errors: kInvalidArgument, kNotFound (function or version), kResourceExhausted (limits::kAliasesPerFunction).
  virtual base::Result<model::Alias> set_alias(const model::Alias& alias) = 0;
  /// Errors: kNotFound.
  virtual base::Result<void> remove_alias(std::string_view app, std::string_view function, std::string_view name) = 0;
  /// By app, function and name: all, those of an app, or those of a function.
  virtual base::Result<std::vector<model::Alias>> aliases() = 0;
  virtual base::Result<std::vector<model::Alias>> aliases_of(std::string_view app) = 0;
  virtual base::Result<std::vector<model::Alias>> aliases_of(std::string_view app, std::string_view function) = 0;

  /// Removes the app with all functions, versions and aliases; its uid_index is free again. Errors: kNotFound.
  virtual base::Result<void> remove_app(std::string_view name) = 0;
  /// Removes a function, its versions and aliases; numbers go on where they were if it comes back. Errors: kNotFound.
  virtual base::Result<void> remove_function(std::string_view app, std::string_view function) = 0;

  /// Access keys; revoking one is removing it. They do not belong to an app's life: a key may be there before its app.
  /// Errors: kResourceExhausted (limits::kAccessKeys), kInvalidArgument.
  virtual base::Result<void> add_key(const model::AccessKey& key) = 0;
  /// Errors: kNotFound.
  virtual base::Result<void> remove_key(std::string_view id) = 0;
  /// Oldest first.
  virtual base::Result<std::vector<model::AccessKey>> keys() = 0;

  /// Organisations. Errors: kInvalidArgument, kConflict (it is there), kResourceExhausted (limits::kOrganisations).
  virtual base::Result<void> add_organisation(std::string_view name) = 0;
  /// The names that it has stay its own. Errors: kNotFound, kConflict (the default one, or it has apps or keys).
  virtual base::Result<void> remove_organisation(std::string_view name) = 0;
  /// By name, with their apps.
  virtual base::Result<std::vector<model::Organisation>> organisations() = 0;
  /// Whose each name is, by name.
  virtual base::Result<std::vector<model::OwnedApp>> owned_apps() = 0;
  /// Gives the name to the organisation, unless it has one already. Answers whose it is. Errors: kInvalidArgument,
  /// kNotFound (no such organisation), kConflict (its own was removed), kResourceExhausted (limits::kAppNames).
  virtual base::Result<std::string> claim_app(std::string_view app, std::string_view organisation) = 0;
  /// Gives the name to another organisation. Errors: kNotFound (nobody has the name, no such organisation).
  virtual base::Result<void> move_app(std::string_view app, std::string_view organisation) = 0;

  /// Budgets, at most one of an app's name. They do not belong to an app's life: who may remove an app and deploy it
  /// again must not be rid of its budget. Those of an organisation go with it. Errors: kResourceExhausted
  /// (limits::kBudgets), kInvalidArgument, kNotFound (no such organisation).
  virtual base::Result<void> set_budget(const model::Budget& budget) = 0;
  /// Errors: kNotFound.
  virtual base::Result<void> remove_budget(const model::Holder& holder) = 0;
  /// Those of apps by name, then those of organisations.
  virtual base::Result<std::vector<model::Budget>> budgets() = 0;

  /// Quotas, kept as budgets are. Errors: kResourceExhausted (limits::kQuotas), kInvalidArgument.
  virtual base::Result<void> set_quota(const model::Quota& quota) = 0;
  /// Errors: kNotFound.
  virtual base::Result<void> remove_quota(const model::Holder& holder) = 0;
  /// As budgets.
  virtual base::Result<std::vector<model::Quota>> quotas() = 0;

  /// Receivers of organisations, one each, which go with them. Errors: kNotFound (no such organisation),
  /// kResourceExhausted (limits::kWebhookReceivers).
  virtual base::Result<void> put_webhook(const StoredWebhook& webhook) = 0;
  /// Errors: kNotFound.
  virtual base::Result<void> remove_webhook(std::string_view organisation) = 0;
  /// By organisation.
  virtual base::Result<std::vector<StoredWebhook>> webhooks() = 0;

  /// Secrets, sealed by the caller. They belong to an app's name: one may be set before the app's first deployment;
  /// remove_app removes them. The version that the next value of a secret gets, from 1.
  /// Errors: kInvalidArgument (names), kResourceExhausted (limits::kSecretsPerApp).
  virtual base::Result<std::uint64_t> next_secret_version(std::string_view app, std::string_view name) = 0;
  virtual base::Result<void> put_secret(const StoredSecret& secret) = 0;
  /// Of any app, or of a webhook.
  virtual base::Result<bool> has_secrets() = 0;
  /// Sorted by name.
  virtual base::Result<std::vector<StoredSecret>> secrets(std::string_view app) = 0;
  /// Errors: kNotFound.
  virtual base::Result<void> remove_secret(std::string_view app, std::string_view name) = 0;

  /// Package and layer keys of all versions, those of images included.
  virtual base::Result<std::set<std::string>> content_keys() = 0;
};

}  // namespace ebb::store
