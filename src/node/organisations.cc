#include "node/organisations.h"

namespace ebb::node {

base::Result<> Organisations::load() {
  EBB_TRY(const std::vector<model::OwnedApp> owned, metadata_.owned_apps());
  for (const model::OwnedApp& one : owned) put(one.app, one.organisation);
  return {};
}

void Organisations::put(const std::string& app, const std::string& organisation) {
  {
    base::MutexLock lock(mutex_);
    owners_[app] = organisation;
  }
  budgets_.belong(app, organisation);
  quotas_.belong(app, organisation);
}

std::string Organisations::of(const std::string& app) const {
  base::MutexLock lock(mutex_);
  const auto at = owners_.find(app);
  return at == owners_.end() ? std::string() : at->second;
}

std::set<std::string> Organisations::apps_of(const std::string& organisation) const {
  base::MutexLock lock(mutex_);
  std::set<std::string> apps;
  for (const auto& [app, owner] : owners_) {
    if (owner == organisation) apps.insert(app);
  }
  return apps;
}

base::Result<> Organisations::claim(const std::string& app, const std::string& organisation) {
  base::MutexLock changing(changing_);
  const std::string_view wanted = organisation.empty() ? model::kDefaultOrganisation : organisation;
  EBB_TRY(const std::string owner, metadata_.claim_app(app, wanted));
  put(app, owner);
  if (organisation.empty() || owner == organisation) return {};
  // Not whose it is: who asks may be a stranger to them.
  return base::Error{.code = base::Code::kConflict,
                     .message = "the name " + app + " is taken on this node, and not by an app of organisation " +
                                organisation + ": choose another"};
}

base::Result<> Organisations::move(const std::string& app, const std::string& organisation) {
  base::MutexLock changing(changing_);
  EBB_CHECKED(metadata_.move_app(app, organisation));
  put(app, organisation);
  return {};
}

}  // namespace ebb::node
