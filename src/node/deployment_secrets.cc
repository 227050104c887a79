// A new value of a secret: what is published with it, and what else is tried with it before it is stored.
#include <algorithm>

#include "base/co_checked.h"
#include "base/limits.h"
#include "node/deployments.h"
#include "node/version_runner.h"

namespace ebb::node {

namespace {

constexpr auto kTrials =
    10 * limits::kInitTimeout;  // of all that aliases stand for: others' deployments wait meanwhile

// What becomes current is tried as the new version that it will be, and versions of the same code once.
bool is_code_of(const model::Version& version, const std::vector<model::Version>& tried) {
  return std::any_of(tried.begin(), tried.end(), [&](const model::Version& one) {
    return one.function == version.function && one.package_key == version.package_key &&
           one.layer_key == version.layer_key && one.spec == version.spec;
  });
}

}  // namespace

// All functions of the app as they are, those that bind the secret as new versions.
io::Task<base::Result<>> Deployments::plan_change(std::shared_ptr<Job> job, Plan& plan) {
  const SecretChange change = *job->change;
  say(job, "secret", "trying the new value of " + change.name);
  plan.manifest.app = change.app;
  using Found = std::pair<store::App, std::vector<model::Version>>;
  store::Metadata& metadata = services_.metadata;
  std::function<base::Result<Found>()> find = [&metadata, app = change.app]() -> base::Result<Found> {
    EBB_TRY(store::App row, metadata.app(app));
    EBB_TRY(std::vector<model::Version> versions, metadata.functions(app));
    return Found{std::move(row), std::move(versions)};
  };
  const auto found = co_await io::offload(services_.pool, "find functions", std::move(find));
  if (!found) co_return found.error();
  plan.uid_index = found->first.uid_index;
  plan.current = found->second;
  for (const model::Version& version : plan.current) {
    plan.wanted.push_back({.spec = version.spec,
                           .package_key = version.package_key,
                           .layer_key = version.layer_key,
                           .fresh = binds(version.spec, change.name)});
  }
  co_return base::Result<>();
}

// Versions that aliases stand for are loaded again with the new value as soon as it is stored, and calls come by their
// names: so they are to start with it, too. One at a time, each ended before the next.
io::Task<base::Result<>> Deployments::try_aliased(std::shared_ptr<Job> job, Plan& plan) {
  SecretChange& change = *job->change;
  Secrets& secrets = services_.secrets;
  std::function<base::Result<std::vector<AliasedVersion>>()> find = [&secrets, app = change.app, name = change.name] {
    return secrets.aliased_users(app, name);
  };
  const auto users = co_await io::offload(services_.pool, "find versions", std::move(find));
  if (!users) co_return users.error();
  std::vector<model::Version> tried = plan.current;
  const base::SteadyTime deadline = base::steady_now() + kTrials;
  for (const AliasedVersion& user : *users) {
    change.tried.insert(user.version.id);
    if (is_code_of(user.version, tried)) continue;
    if (base::steady_now() > deadline) {
      co_return base::Error{.code = base::Code::kDeadlineExceeded,
                            .message = "to start all " + std::to_string(users->size()) +
                                       " versions that aliases stand for with the new value took more than " +
                                       base::to_string(base::Duration(kTrials)) +
                                       ": remove aliases that nobody calls (ebb alias rm)"};
    }
    tried.push_back(user.version);
    say(job, "zygote", "starting " + user.described());
    std::function<base::Result<SecretValues>()> open = [&secrets, change, version = user.version] {
      return secrets.values_for(version.app, version.spec, &change);
    };
    base::Result<SecretValues> values = co_await io::offload(services_.pool, "open secrets", std::move(open));
    const auto runner = std::make_shared<VersionRunner>(services_, user.version, plan.uid_index, std::move(values));
    runner->stand_as(VersionRunner::Standing::kOld);  // no instances, only its zygote
    ZygoteOutcome outcome = co_await runner->prepare();
    runner->close();
    if (outcome.result) continue;
    const base::Error& error = outcome.result.error();
    base::MutexLock lock(mutex_);
    job->status.detail = std::move(outcome.detail);
    // Code that fails in init is a fault of the value, not of a call.
    co_return base::Error{.code = error.code == base::Code::kFunctionFailed ? base::Code::kInvalidArgument : error.code,
                          .message = user.described() + ", does not start with the new value: " + error.message,
                          .retry_after = error.retry_after};
  }
  co_return base::Result<>();
}

}  // namespace ebb::node
