// Secrets of apps: set, listed and removed, and what becomes of the versions that bind one.
#include "base/co_checked.h"
#include "node/engine.h"

namespace ebb::node {

// Versions that go on by their number would go on with the value before: they end, and start anew when asked for.
void Engine::secret_changed(const std::string& app, const std::string& secret) {
  std::vector<std::shared_ptr<VersionRunner>> closed;
  {
    base::MutexLock lock(mutex_);
    ++secret_changes_;
    std::erase_if(by_number_, [&](const auto& entry) {
      const model::Version& version = entry.second->version();
      return version.app == app && binds(version.spec, secret) && (closed.push_back(entry.second), true);
    });
  }
  for (const auto& runner : closed) runner->close();
}

io::Task<base::Result<std::uint64_t>> Engine::set_secret(std::string app, std::string name, std::string value) {
  SecretChange change{.app = std::move(app), .name = std::move(name), .value = std::move(value)};
  EBB_CO_CHECKED(Secrets::check(change));
  // Nothing comes to use it between the look and the value: what an alias or a rollback is to stand for has a runner by
  // then, and what a deployment tries is looked at again before it is published.
  std::function<base::Result<bool>()> store_unused = [this, change]() -> base::Result<bool> {
    base::MutexLock naming(naming_);
    EBB_TRY(const bool used, is_used(change.app, change.name));
    if (used) return false;
    EBB_CHECKED(services_.secrets.store(change));
    secret_changed(change.app, change.name);
    return true;
  };
  const auto stored = co_await io::offload(services_.pool, "store secret", std::move(store_unused));
  if (!stored) co_return stored.error();
  if (!*stored) co_return deployments_.begin_change(std::move(change));
  co_return std::uint64_t{0};
}

// Blocking; under naming_. By a version that runs, or that an alias stands for: it may have no runner, because it did
// not start, or soon after a restart.
base::Result<bool> Engine::is_used(const std::string& app, const std::string& secret) {
  for (const auto& runner : all_runners()) {
    if (runner->version().app == app && binds(runner->version().spec, secret)) return true;
  }
  EBB_TRY(const std::vector<AliasedVersion> aliased, services_.secrets.aliased_users(app, secret));
  return !aliased.empty();
}

// Functions whose current version binds the secret, by name.
std::vector<std::string> Engine::users_of(const std::string& app, const std::string& secret) {
  std::vector<std::string> users;
  base::MutexLock lock(mutex_);
  for (const auto& [name, runner] : current_) {
    if (name.first == app && binds(runner->version().spec, secret)) users.push_back(name.second);
  }
  return users;
}

io::Task<base::Result<std::vector<SecretView>>> Engine::secrets(std::string app) {
  store::Metadata& metadata = services_.metadata;
  std::function<base::Result<std::vector<store::StoredSecret>>()> read = [&metadata, app] {
    return metadata.secrets(app);
  };
  const auto stored = co_await io::offload(services_.pool, "list secrets", std::move(read));
  if (!stored) co_return stored.error();
  std::vector<SecretView> views;
  for (const store::StoredSecret& secret : *stored) {
    views.push_back({.name = secret.name,
                     .version = secret.version,
                     .updated = secret.updated,
                     .functions = users_of(app, secret.name)});
  }
  co_return views;
}

// Blocking; under naming_, so that none is added.
base::Result<> Engine::check_aliases_do_without(const std::string& app, const std::string& secret) {
  EBB_TRY(const std::vector<AliasedVersion> users, services_.secrets.aliased_users(app, secret));
  if (users.empty()) return {};
  return base::Error{.code = base::Code::kConflict,
                     .message = "secret " + secret + " is used by " + users.front().described() +
                                ": move the alias or remove it first"};
}

// Blocking; under naming_.
base::Result<> Engine::check_aliased_were_tried(const SecretChange& change) {
  EBB_TRY(const std::vector<AliasedVersion> users, services_.secrets.aliased_users(change.app, change.name));
  for (const AliasedVersion& user : users) {
    if (change.tried.contains(user.version.id)) continue;
    return base::Error{.code = base::Code::kConflict,
                       .message = user.described() + ", came to use secret " + change.name +
                                  " while its new value was tried: nothing was changed, set it again"};
  }
  return {};
}

// Blocking; under naming_. A value may have been stored, or removed, while a deployment tried its version with the one
// before.
base::Result<> Engine::check_secrets_stand(const VersionRunner& tried, const SecretChange* change) {
  const model::Version& version = tried.version();
  const base::Result<SecretValues> now = services_.secrets.values_for(version.app, version.spec, change);
  if (!now && now.error().code != base::Code::kInvalidArgument) return now.error();
  if (now && tried.secrets() && *tried.secrets() == *now) return {};
  return base::Error{.code = base::Code::kConflict,
                     .message = "a secret of function " + version.function +
                                (now ? " got another value" : " was removed") +
                                " while it was tried with the one before: nothing was changed, "
                                "deploy again"};
}

io::Task<base::Result<>> Engine::remove_secret(std::string app, std::string name) {
  std::function<base::Result<>()> remove = [this, app, name]() -> base::Result<> {
    base::MutexLock naming(naming_);
    std::string users;
    for (const std::string& function : users_of(app, name)) users += (users.empty() ? "" : ", ") + function;
    if (!users.empty()) {
      return base::Error{
          .code = base::Code::kConflict,
          .message = "secret " + name + " is used by " + users + ": take it out of their ebb.yaml and deploy first"};
    }
    EBB_CHECKED(check_aliases_do_without(app, name));
    EBB_CHECKED(services_.metadata.remove_secret(app, name));
    secret_changed(app, name);
    return {};
  };
  co_return co_await io::offload(services_.pool, "remove secret", std::move(remove));
}

}  // namespace ebb::node
