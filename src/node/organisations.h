// Organisations in memory: whose each app's name is, for requests that must not wait for the disk. A change is on disk
// before it is here. Called by Engine and Deployments. Threads: any.
#pragma once

#include <map>
#include <set>
#include <string>

#include "base/mutex.h"
#include "base/result.h"
#include "meter/budget.h"
#include "node/quotas.h"
#include "store/metadata.h"

namespace ebb::node {

class Organisations {
 public:
  /// Tells budgets and quotas, so that an organisation's bound all its apps.
  Organisations(store::Metadata& metadata, meter::Budgets& budgets, Quotas& quotas)
      : metadata_(metadata), budgets_(budgets), quotas_(quotas) {}

  /// Blocking: before calls are served.
  base::Result<> load();

  /// "" for a name that nobody has used.
  std::string of(const std::string& app) const EBB_EXCLUDES(mutex_);
  std::set<std::string> apps_of(const std::string& organisation) const EBB_EXCLUDES(mutex_);

  /// Gives the name to the organisation ("" for the default one) unless it is some organisation's. Blocking. Errors:
  /// those of Metadata::claim_app; kConflict when an organisation was named and the name is another's.
  base::Result<> claim(const std::string& app, const std::string& organisation) EBB_EXCLUDES(changing_);
  /// Blocking. Errors: those of Metadata::move_app.
  base::Result<> move(const std::string& app, const std::string& organisation) EBB_EXCLUDES(changing_);

 private:
  void put(const std::string& app, const std::string& organisation) EBB_EXCLUDES(mutex_);

  store::Metadata& metadata_;
  meter::Budgets& budgets_;
  Quotas& quotas_;
  base::Mutex changing_;  // disk and memory change in the same order; taken before mutex_
  mutable base::Mutex mutex_;
  std::map<std::string, std::string> owners_ EBB_GUARDED_BY(mutex_);  // app -> organisation
};

}  // namespace ebb::node
