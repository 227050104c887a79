// What an app's packages and layers take on disk, held against its quota and its organisation's before a deployment
// publishes anything. A layer that others have too counts for each of them: whoever shares it may go.
#include <filesystem>

#include "base/limits.h"
#include "node/deployments.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

// Of the files in a tree that the platform made; links are not followed.
base::Result<std::uint64_t> bytes_in(const fs::path& tree) {
  std::uint64_t sum = 0;
  std::error_code failed;
  for (fs::recursive_directory_iterator at(tree, fs::directory_options::skip_permission_denied, failed), end;
       !failed && at != end; at.increment(failed)) {
    std::error_code gone;
    if (!at->is_symlink(gone) && at->is_regular_file(gone)) sum += at->file_size(gone);
  }
  if (failed == std::errc::no_such_file_or_directory) return std::uint64_t{0};
  if (failed) return base::os_error("look at " + tree.string(), failed.value());
  return sum;
}

base::Result<std::set<std::string>> keys_of_app(store::Metadata& metadata, const std::string& app) {
  std::set<std::string> keys;
  const auto functions = metadata.functions(app);
  if (!functions && functions.error().code == base::Code::kNotFound) return keys;
  if (!functions) return functions.error();
  for (const model::Version& current : *functions) {
    EBB_TRY(const std::vector<model::Version> versions, metadata.versions(app, current.function));
    for (const model::Version& version : versions) keys.merge(model::content_keys(version));
  }
  return keys;
}

base::Error too_much(const model::Holder& holder, std::uint64_t bytes, base::Bytes most) {
  return base::Error{.code = base::Code::kTooLarge,
                     .message = "packages and layers of " + holder.text() + " would take " + std::to_string(bytes) +
                                " bytes, its quota is " + base::to_string(most) +
                                ": remove versions that are not needed with ebb rm, or have an administrator raise it "
                                "with ebb quota set " +
                                holder.argument()};
}

}  // namespace

base::Result<std::uint64_t> Deployments::bytes_of(const std::set<std::string>& keys) {
  std::uint64_t sum = 0;
  for (const std::string& key : keys) {
    {
      base::MutexLock lock(mutex_);
      const auto at = tree_bytes_.find(key);
      if (at != tree_bytes_.end()) {
        sum += at->second;
        continue;
      }
    }
    std::error_code missing;
    const bool package = fs::exists(tree_path("packages", key), missing);
    EBB_TRY(const std::uint64_t bytes, bytes_in(tree_path(package ? "packages" : "layers", key)));
    sum += bytes;
    base::MutexLock lock(mutex_);
    if (tree_bytes_.size() > limits::kDeploymentsKept * limits::kDeploymentsKept) tree_bytes_.clear();
    tree_bytes_.emplace(key, bytes);
  }
  return sum;
}

base::Result<> Deployments::check_storage_of(const std::string& app, const std::set<std::string>& coming) {
  const std::string organisation = services_.organisations.of(app);
  const model::Holder whole{.organisation = organisation};
  const std::optional<base::Bytes> own = services_.quotas.storage_of({.app = app});
  const std::optional<base::Bytes> theirs = services_.quotas.storage_of(whole);
  if (!own && !theirs) return {};
  EBB_TRY(std::set<std::string> keys, keys_of_app(services_.metadata, app));
  keys.insert(coming.begin(), coming.end());
  EBB_TRY(std::uint64_t bytes, bytes_of(keys));
  if (own && bytes > own->count) return too_much({.app = app}, bytes, *own);
  if (!theirs) return {};
  for (const std::string& other : services_.organisations.apps_of(organisation)) {
    if (other == app) continue;
    EBB_TRY(const std::set<std::string> others, keys_of_app(services_.metadata, other));
    EBB_TRY(const std::uint64_t more, bytes_of(others));
    bytes += more;
  }
  if (bytes > theirs->count) return too_much(whole, bytes, *theirs);
  return {};
}

io::Task<base::Result<>> Deployments::check_storage(Plan& plan) {
  std::set<std::string> coming = {plan.package_key};
  if (!plan.layer_key.empty()) coming.insert(plan.layer_key);
  if (!plan.model_layer_key.empty()) coming.insert(plan.model_layer_key);
  for (const model::FunctionSpec& spec : plan.manifest.functions)
    coming.insert(spec.image.layers.begin(), spec.image.layers.end());
  const std::string app = plan.manifest.app;
  std::function<base::Result<>()> check = [this, app, coming] { return check_storage_of(app, coming); };
  co_return co_await io::offload(services_.pool, "check storage", std::move(check));
}

}  // namespace ebb::node
