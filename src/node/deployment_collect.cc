// What deployments leave behind, removed after each: packages that no version refers to at once, those of the last
// limits::kDeploymentsKept builds excepted, layers a week after they were made. A layer is dear to make (a download, an
// installation), so one of a failed or removed deployment waits to be wanted again.
#include <chrono>
#include <filesystem>

#include "base/id.h"
#include "base/limits.h"
#include "base/log.h"
#include "node/deployments.h"
#include "node/sandbox_pool.h"

namespace ebb::node {
namespace {

namespace fs = std::filesystem;

constexpr auto kUnusedLayerKept = std::chrono::days(7);

struct Unused {
  wire::TreeKind kind;
  std::string key;
};

// Those of the directory that nobody keeps and that were made before `before`.
void find_unused(const fs::path& directory, wire::TreeKind kind, const std::set<std::string>& kept,
                 fs::file_time_type before, std::vector<Unused>& unused) {
  std::error_code failed;
  for (fs::directory_iterator at(directory, failed), end; !failed && at != end; at.increment(failed)) {
    const std::string key = at->path().filename().string();
    if (!base::is_content_key(key) || kept.contains(key)) continue;
    std::error_code gone;
    const fs::file_time_type made = fs::last_write_time(at->path(), gone);
    if (!gone && made < before) unused.push_back({.kind = kind, .key = key});
  }
}

}  // namespace

std::set<std::string> Deployments::built_packages() {
  base::MutexLock lock(mutex_);
  std::set<std::string> keys;
  for (const std::shared_ptr<Job>& job : jobs_) {
    if (job->build_only && !job->status.package_key.empty()) keys.insert(job->status.package_key);
  }
  return keys;
}

io::Task<> Deployments::collect_unused() {
  store::Metadata& metadata = services_.metadata;
  const fs::path data = services_.config.data_dir;
  const std::set<std::string> built = built_packages();
  std::function<base::Result<std::vector<Unused>>()> find = [&metadata, data,
                                                             built]() -> base::Result<std::vector<Unused>> {
    EBB_TRY(std::set<std::string> kept, metadata.content_keys());
    kept.insert(built.begin(), built.end());
    std::vector<Unused> unused;
    find_unused(data / "packages", wire::TreeKind::kPackage, kept, fs::file_time_type::max(), unused);
    find_unused(data / "layers", wire::TreeKind::kLayer, kept, fs::file_time_type::clock::now() - kUnusedLayerKept,
                unused);
    return unused;
  };
  auto unused = co_await io::offload(services_.pool, "find unused packages and layers", std::move(find));
  if (!unused) co_return;  // the next deployment looks again
  for (const Unused& one : *unused) {
    std::string order = encode(wire::RemoveTree{.kind = one.kind, .key = one.key});
    std::vector<os::Fd> none;
    const auto removed = co_await services_.launcher->ask(wire::LauncherType::kRemoveTree, std::move(order),
                                                          std::move(none), limits::kPackageRemoveTimeout, nullptr);
    // A sandbox on what is gone would serve who wants the same layer, made anew, one day.
    if (one.kind == wire::TreeKind::kLayer) services_.sandboxes->remove_layer(one.key);
    if (!removed) {
      base::log(base::LogLevel::kWarning, "package_not_removed",
                {{"package", one.key}, {"error", removed.error().message}});
    }
  }
}

}  // namespace ebb::node
