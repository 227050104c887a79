// Versions: which is the current one, runners of those asked for by number, versions made to be tried at other sizes.
#include "base/co_checked.h"
#include "node/engine.h"

namespace ebb::node {

namespace {

// Each is lost only to a change of a secret on the node within the time of a read.
constexpr int kSecretReadsMost = 64;

std::string name_of(const model::Version& version) {
  return version.app + "/" + version.function + ":" + std::to_string(version.number);
}

}  // namespace

base::Result<Engine::Runner> Engine::made_runner(const model::Version& version) {
  EBB_TRY(const store::App app, services_.metadata.app(version.app));
  return std::make_shared<VersionRunner>(services_, version, app.uid_index,
                                         services_.secrets.values_for(version.app, version.spec));
}

void Engine::switch_to(const Runner& runner, std::vector<Runner>& replaced) {
  const Name name{runner->version().app, runner->version().function};
  by_number_.erase({name, runner->version().number});
  Runner& slot = current_[name];
  if (slot) {
    replaced.push_back(slot);
    by_number_[{name, slot->version().number}] = std::move(slot);
  }
  slot = runner;
}

std::vector<Engine::Runner> Engine::forget(const std::function<bool(const Name&)>& gone) {
  std::vector<Runner> closed;
  std::erase_if(current_,
                [&](const auto& entry) { return gone(entry.first) && (closed.push_back(entry.second), true); });
  std::erase_if(by_number_,
                [&](const auto& entry) { return gone(entry.first.first) && (closed.push_back(entry.second), true); });
  std::erase_if(aliases_, [&](const auto& entry) { return gone(entry.first); });
  return closed;
}

Engine::Runner Engine::forget_version(const Name& name, std::uint32_t number) {
  base::MutexLock lock(mutex_);
  auto taken = by_number_.extract({name, number});
  return taken ? std::move(taken.mapped()) : nullptr;
}

void Engine::scale_app(const std::string& app, const model::AppScale& scale) {
  services_.reserves.set_app(app, scale.reserve);
  services_.quotas.limit_instances(app, scale.max_instances);
}

base::Result<> Engine::publish(const std::string& app, const std::vector<store::PublishedVersion>& versions,
                               const std::vector<Runner>& runners, const std::optional<model::AppScale>& scale,
                               const SecretChange* change) {
  base::MutexLock naming(naming_);
  std::vector<base::VersionId> ids;
  std::set<std::string> functions;
  std::vector<Runner> now = runners;
  for (const store::PublishedVersion& one : versions) {
    ids.push_back(one.version.id);
    functions.insert(one.version.function);
    if (!one.unchanged) continue;
    // It was the current one when this deployment began. Meanwhile another may be: then this puts it back.
    const Name name{app, one.version.function};
    Runner before;
    {
      base::MutexLock lock(mutex_);
      const auto at = current_.find(name);
      if (at != current_.end() && at->second->version().number == one.version.number) continue;
      const auto old = by_number_.find({name, one.version.number});
      if (old != by_number_.end()) before = old->second;
    }
    if (!before) {
      EBB_TRY(before, made_runner(one.version));
    }
    now.push_back(std::move(before));
  }
  for (const Runner& runner : runners) EBB_CHECKED(check_secrets_stand(*runner, change));
  if (change != nullptr) EBB_CHECKED(check_aliased_were_tried(*change));
  // The value first: a start between the two would find it, and no version without it becomes current.
  if (change != nullptr) EBB_CHECKED(services_.secrets.store(*change));
  EBB_TRY(const std::vector<store::OldVersion> too_old, services_.metadata.activate_versions(app, ids, scale));
  if (scale) scale_app(app, *scale);
  std::vector<Runner> replaced;
  std::vector<Runner> closed;
  {
    base::MutexLock lock(mutex_);
    for (const Runner& runner : now) switch_to(runner, replaced);
    closed = forget([&](const Name& name) { return name.first == app && !functions.contains(name.second); });
  }
  for (const Runner& runner : now) timers_.in_force(runner->version());
  for (const Runner& runner : closed) timers_.end(app, runner->version().function);
  for (const store::OldVersion& one : too_old) closed.push_back(forget_version({app, one.function}, one.number));
  // A replaced version answers what waits for it, and by its number; close_unused() ends it. A removed one ends now.
  for (const Runner& runner : now) runner->stand_as(VersionRunner::Standing::kCurrent);
  for (const Runner& runner : replaced) settle({app, runner->version().function});
  for (const Runner& runner : closed) {
    if (runner) runner->close();
  }
  if (change != nullptr) {
    secret_changed(app, change->name);
    io::spawn(services_.here(), "load what aliases stand for", load_aliased(*this));
  }
  return {};
}

io::Task<base::Result<Engine::Runner>> Engine::runner_of_number(Name name, std::uint32_t number) {
  store::Metadata& metadata = services_.metadata;
  struct Found {
    model::Version version;
    std::uint32_t uid_index = 0;
    base::Result<SecretValues> secrets;
    std::uint64_t changes = 0;  // of secrets, before these were read
  };
  Secrets& secrets = services_.secrets;
  std::function<base::Result<Found>()> find = [&metadata, &secrets, &changes = secret_changes_, name,
                                               number]() -> base::Result<Found> {
    EBB_TRY(model::Version version, metadata.version(name.first, name.second, number));
    EBB_TRY(const store::App app, metadata.app(name.first));
    const std::uint64_t before = changes;
    base::Result<SecretValues> values = secrets.values_for(version.app, version.spec);
    return Found{std::move(version), app.uid_index, std::move(values), before};
  };
  for (int tries = 0; tries < kSecretReadsMost; ++tries) {
    std::function<base::Result<Found>()> find_it = find;
    auto found = co_await io::offload(services_.pool, "find version", std::move(find_it));
    if (!found) co_return found.error();
    base::MutexLock lock(mutex_);
    // What was read may be the value before.
    if (!found->version.spec.secrets.empty() && secret_changes_ != found->changes) continue;
    // Meanwhile it may have become the current one, or gone with its function.
    const auto current = current_.find(name);
    if (current == current_.end())
      co_return base::not_found(name.first + "/" + name.second + " was removed meanwhile, see ebb ls");
    if (current->second->version().number == number) co_return current->second;
    auto& runner = by_number_[{name, number}];
    if (!runner) {
      runner = std::make_shared<VersionRunner>(services_, std::move(found->version), found->uid_index,
                                               std::move(found->secrets));
      runner->stand_as(standing_of(name, number));
    }
    co_return runner;
  }
  co_return base::Error{.code = base::Code::kUnavailable,
                        .message = "secrets changed whenever those of " + name.first + "/" + name.second + ":" +
                                   std::to_string(number) + " were read: try again",
                        .retry_after = std::chrono::seconds(1)};
}

io::Task<base::Result<model::Version>> Engine::make_sized_version(std::string app, std::string function, Size size) {
  std::function<base::Result<model::Version>()> make = [&metadata = services_.metadata, app, function,
                                                        size]() -> base::Result<model::Version> {
    EBB_TRY(const model::Version current, metadata.current_version(app, function));
    store::NewVersion wanted{
        .spec = current.spec, .package_key = current.package_key, .layer_key = current.layer_key, .fresh = true};
    if (size.memory) wanted.spec.memory = *size.memory;
    if (size.cpu_millis) wanted.spec.cpu_millis = *size.cpu_millis;
    wanted.spec.scale = {.max = current.spec.scale.max};
    if (const auto wrong = model::first_violation(wanted.spec)) {
      return base::invalid_argument(wrong->field + " " + wrong->message);
    }
    EBB_TRY(const std::vector<store::PublishedVersion> staged, metadata.stage_versions(app, {wanted}));
    return staged.at(0).version;
  };
  co_return co_await io::offload(services_.pool, "make a version", std::move(make));
}

io::Task<base::Result<>> Engine::remove_version(std::string app, std::string function, std::uint32_t number) {
  std::function<base::Result<>()> discard = [this, app, function, number]() -> base::Result<> {
    base::MutexLock naming(naming_);
    store::Metadata& metadata = services_.metadata;
    EBB_TRY(const model::Version version, metadata.version(app, function, number));
    EBB_TRY(const model::Version current, metadata.current_version(app, function));
    if (version.id == current.id) {
      return base::Error{.code = base::Code::kConflict,
                         .message = name_of(version) +
                                    " is the current version: deploy another or roll back first, "
                                    "or remove " +
                                    app + "/" + function + " as a whole"};
    }
    EBB_TRY(const std::vector<model::Alias> aliases, metadata.aliases_of(app, function));
    for (const model::Alias& alias : aliases) {
      if (!alias.stands_for(number)) continue;
      return base::Error{.code = base::Code::kConflict,
                         .message = "alias " + alias.name + " stands for " + name_of(version) +
                                    ": set it to another version with ebb alias set, or remove it with ebb alias rm"};
    }
    EBB_CHECKED(metadata.discard_versions({version.id}));
    if (const Runner runner = forget_version({app, function}, number)) runner->close();
    return {};
  };
  co_return co_await io::offload(services_.pool, "remove a version", std::move(discard));
}

io::Task<base::Result<std::vector<VersionView>>> Engine::versions(std::string app, std::string function) {
  std::function<base::Result<std::vector<VersionView>>()> list =
      [this, app, function]() -> base::Result<std::vector<VersionView>> {
    store::Metadata& metadata = services_.metadata;
    EBB_TRY(const model::Version current, metadata.current_version(app, function));
    EBB_TRY(std::vector<model::Version> versions, metadata.versions(app, function));
    EBB_TRY(const std::vector<model::Alias> aliases, metadata.aliases_of(app, function));
    std::vector<VersionView> views;
    for (model::Version& version : versions) {
      VersionView view{.current = version.id == current.id};
      for (const model::Alias& alias : aliases) {
        if (alias.stands_for(version.number)) view.aliases.push_back(alias);
      }
      EBB_TRY(view.bytes, deployments_.bytes_of(model::content_keys(version)));
      view.version = std::move(version);
      views.push_back(std::move(view));
    }
    return views;
  };
  co_return co_await io::offload(services_.pool, "list versions", std::move(list));
}

io::Task<base::Result<Engine::Runner>> Engine::proven_runner(Name name, std::uint32_t number) {
  {
    base::MutexLock lock(mutex_);
    const auto at = current_.find(name);
    if (at != current_.end() && at->second->version().number == number) co_return at->second;
  }
  const std::string version = name.first + "/" + name.second + ":" + std::to_string(number);
  auto runner = co_await runner_of_number(std::move(name), number);
  if (!runner) co_return runner.error();
  const Runner found = *std::move(runner);
  const ZygoteOutcome outcome = co_await found->prepare();
  if (!outcome.result) {
    co_return base::Error{
        .code = base::Code::kConflict,
        .message = version + " does not start, so nothing was changed: " + outcome.result.error().message};
  }
  co_return found;
}

io::Task<base::Result<model::Version>> Engine::roll_back(std::string app, std::string function, std::uint32_t number) {
  if (number == 0) {
    std::function<base::Result<model::Version>()> find = [&metadata = services_.metadata, app, function] {
      return metadata.version_before(app, function);
    };
    const auto before = co_await io::offload(services_.pool, "find the version before", std::move(find));
    if (!before) co_return before.error();
    number = before->number;
  }
  const Name name{app, function};
  Name asked = name;
  const auto proven = co_await proven_runner(std::move(asked), number);
  if (!proven) co_return proven.error();
  const Runner runner = *proven;
  std::function<base::Result<>()> change = [this, name, number, runner]() -> base::Result<> {
    base::MutexLock naming(naming_);
    {
      base::MutexLock lock(mutex_);
      const auto at = current_.find(name);
      if (at != current_.end() && at->second == runner) return {};
      if (!answers(runner)) {
        return base::Error{.code = base::Code::kConflict,
                           .message = name.first + "/" + name.second +
                                      " was changed at the same time, nothing was rolled back: try again"};
      }
    }
    EBB_CHECKED(services_.metadata.make_current(name.first, name.second, number));
    std::vector<Runner> replaced;
    {
      base::MutexLock lock(mutex_);
      switch_to(runner, replaced);
    }
    timers_.in_force(runner->version());
    runner->stand_as(VersionRunner::Standing::kCurrent);
    settle(name);
    return {};
  };
  const auto changed = co_await io::offload(services_.pool, "roll back", std::move(change));
  if (!changed) co_return changed.error();
  co_return runner->version();
}

}  // namespace ebb::node
